"""How well scores tell two kinds of examples apart: numbers that depend on the order alone."""

from typing import Any

import numpy as np


def roc_auc(scores: Any, is_positive: Any) -> float:
    """The share of pairs, positive and negative, whose positive scores higher; ties count half."""
    scores, positive = np.asarray(scores), np.asarray(is_positive, dtype=bool)
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def average_precision(scores: Any, is_positive: Any) -> float:
    """The sum of (recall gained) times (precision) over the thresholds, highest first."""
    scores, positive = np.asarray(scores), np.asarray(is_positive, dtype=bool)
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(positive[order])
    last = np.append(np.diff(scores[order]) != 0, True)  # of each run of equal scores
    found, taken = found[last], np.arange(1, len(scores) + 1)[last]
    return float((np.diff(found, prepend=0) * found / taken).sum() / positive.sum())
