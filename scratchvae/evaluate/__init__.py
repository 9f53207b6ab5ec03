"""Evaluation of models: bounds, metrics and posterior collapse, reported with their protocol.

`evaluation.py` evaluates a model, `published.py` holds published numbers, `metrics.py` has pure
functions of arrays, and `outliers.py` a detector with a threshold. Nothing here draws, or knows the
command line.
"""

from typing import TYPE_CHECKING

from ..startup import importer

if TYPE_CHECKING:
    from .collapse import collapse_report
    from .evaluation import Evaluation, compare, evaluate
    from .metrics import average_precision, roc_auc

__all__ = ["Evaluation", "average_precision", "collapse_report", "compare", "evaluate", "roc_auc"]

_HOMES = {
    **dict.fromkeys(("Evaluation", "compare", "evaluate"), ".evaluation"),
    **dict.fromkeys(("average_precision", "roc_auc"), ".metrics"),
    "collapse_report": ".collapse",
}

if not TYPE_CHECKING:  # a type checker would take any name for a public one
    __getattr__ = importer(__name__, _HOMES)
