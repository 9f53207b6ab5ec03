"""Everything that comes in: data sets by name and own files, checked, with their labels.

`load_data` gives images and labels of one split; `batches.py` checks arrays at the door of a model.
Data stay NumPy arrays on the host here. No model and no optimiser belongs here.
"""

from .load import NAMED, fetch, has_splits, load_data, shown_name

__all__ = ["NAMED", "fetch", "has_splits", "load_data", "shown_name"]
