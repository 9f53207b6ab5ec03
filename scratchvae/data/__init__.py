"""Data sets: named ones and the user's own files, validated, with their labels.

`load_data` returns the rows and labels of one split; `batches.py` validates the input of a model.
All data are NumPy arrays on the host. No model and no optimiser belongs here.
"""

from .load import both_splits, data_set, fetch, load_data
from .sources import NAMED, Options, known_name, shown_name

__all__ = [
    "NAMED", "Options", "both_splits", "data_set", "fetch", "known_name", "load_data",
    "shown_name",
]  # fmt: skip
