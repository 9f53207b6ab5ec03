"""Data sets: named ones and the user's own files, validated, with their labels.

`load_data` returns the rows and labels of one split; `batches.py` validates the input of a model.
All data are NumPy arrays on the host. No model and no optimiser belongs here.
"""

from typing import TYPE_CHECKING

from ..startup import importer

if TYPE_CHECKING:
    from .load import both_splits, data_set, fetch, load_data
    from .sources import NAMED, Options, known_name, shown_name

__all__ = [
    "NAMED", "Options", "both_splits", "data_set", "fetch", "known_name", "load_data",
    "shown_name",
]  # fmt: skip

# a model needs `batches` and `rows`, and no reader of files
_HOMES = {
    **dict.fromkeys(("both_splits", "data_set", "fetch", "load_data"), ".load"),
    **dict.fromkeys(("NAMED", "Options", "known_name", "shown_name"), ".sources"),
}
_MODULES = (
    *("arrays", "batches", "foreign", "idx", "images", "labels", "learning", "load", "rows"),
    *("shapes", "sources", "strokes", "tables"),
)

if not TYPE_CHECKING:  # a type checker would take any name for a public one
    __getattr__ = importer(__name__, _HOMES, _MODULES)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
