"""What each command of the command line does, by topic. `cli.py` has the options.

training.py     train
looking.py      evaluate, sample, reconstruct, interpolate, traverse, manifold
exploring.py    explore
anomalies.py    anomaly
checking.py     verify
opening.py      what they share: the run, its data, its labels, and writing a result

`runs.py` has the files of a run.
"""

from .anomalies import anomaly
from .checking import verify
from .exploring import explore
from .looking import evaluate_run, interpolate, manifold, reconstruct, sample, traverse
from .training import train

__all__ = [
    "anomaly",
    "evaluate_run",
    "explore",
    "interpolate",
    "manifold",
    "reconstruct",
    "sample",
    "train",
    "traverse",
    "verify",
]
