"""What each command of the command line does, by topic. `cli.py` has the options.

training.py     train
looking.py      evaluate, sample, reconstruct, interpolate, traverse, manifold
exploring.py    explore
exporting.py    export
anomalies.py    anomaly
checking.py     verify
drawing.py      diagram
gallery.py      the pictures of a model, for the commands that draw one, and for train, all
opening.py      what they share: the run, its data, its labels, and writing a result

`runs.py` has the files of a run.
"""

from .anomaly import anomaly
from .drawing import draw_diagram
from .exploring import explore
from .exporting import export
from .look import evaluate_run, interpolate, manifold, reconstruct, sample, traverse
from .train import train
from .verify import verify

__all__ = [
    "anomaly",
    "draw_diagram",
    "evaluate_run",
    "explore",
    "export",
    "interpolate",
    "manifold",
    "reconstruct",
    "sample",
    "train",
    "traverse",
    "verify",
]
