"""Data sets."""

from .load import NAMED, fetch, has_splits, load_data, shown_name

__all__ = ["NAMED", "fetch", "has_splits", "load_data", "shown_name"]
