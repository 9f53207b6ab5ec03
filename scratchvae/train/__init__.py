"""The training loop."""

from .trainer import COLUMNS, EarlyStopping, Record, Trainer

__all__ = ["COLUMNS", "EarlyStopping", "Record", "Trainer"]
