"""The training loop with its optimiser, callbacks, CUDA graphs, MPI and signal handling.

It uses a model only through the interface in `protocol.py`. No model, no file format and no command
line belongs here.
"""

from ..files.run_folder import COLUMNS
from .callbacks import EarlyStopping
from .protocol import Record, TrainableModel
from .trainer import Trainer

__all__ = ["COLUMNS", "EarlyStopping", "Record", "TrainableModel", "Trainer"]
