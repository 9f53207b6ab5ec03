"""Evaluation of models: bounds, metrics and posterior collapse, reported with their protocol.

`evaluation.py` evaluates a model, `published.py` holds published numbers, `metrics.py` has pure
functions of arrays. Nothing here draws, or knows the command line.
"""

from .collapse import collapse_report
from .evaluation import Evaluation, compare, evaluate
from .metrics import average_precision, roc_auc

__all__ = [
    "Evaluation",
    "average_precision",
    "collapse_report",
    "compare",
    "evaluate",
    "roc_auc",
]
