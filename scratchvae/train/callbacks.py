"""Which epoch of a run was its best, and when it has had enough."""

from math import isnan
from typing import Any

import numpy as np

from ..errors import InputError, whole_number

Record = dict[str, float]  # of an epoch: the columns of metrics.csv


def is_best(record: Record, history: list[Record]) -> bool:
    """Whether no test loss of the history is smaller; the record's is one of them."""
    return record["test_loss"] == min(r["test_loss"] for r in history)


class EarlyStopping:
    """A callback that ends the run when the test loss has not improved for `patience` epochs."""

    def __init__(self, patience: int) -> None:
        self.patience = whole_number(patience, "patience")

    def __call__(self, trainer: Any, record: Record) -> bool:
        if isnan(record["test_loss"]):
            raise InputError("early stopping needs a test split to look at: pass X_test")
        series = [r["test_loss"] for r in trainer.model.history_]
        return len(series) - 1 - int(np.argmin(series)) >= self.patience
