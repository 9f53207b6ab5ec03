"""How good a model is, in numbers that carry their protocol: bounds, metrics, collapse.

`evaluation.py` measures a model, `published.py` holds the numbers of papers, `metrics.py` is arrays
in and numbers out. Nothing here draws, or knows the command line.
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
