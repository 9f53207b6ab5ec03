"""Data sets: named ones and the user's own files, validated, with their labels.

`load_data` returns images and labels of one split; `batches.py` validates the input of a model.
All data are NumPy arrays on the host. No model and no optimiser belongs here.
"""

from .load import NAMED, fetch, has_splits, load_data, shown_name

__all__ = ["NAMED", "fetch", "has_splits", "load_data", "shown_name"]
