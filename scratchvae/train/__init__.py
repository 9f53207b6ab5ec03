"""The training loop and all that a run needs: optimiser, callbacks, CUDA graphs, MPI, signals.

It knows a model only by the names in `protocol.py`. No model, no file format and no command line
belongs here.
"""

from ..files.run_folder import COLUMNS
from .callbacks import EarlyStopping
from .protocol import Record, TrainableModel
from .trainer import Trainer

__all__ = ["COLUMNS", "EarlyStopping", "Record", "TrainableModel", "Trainer"]
