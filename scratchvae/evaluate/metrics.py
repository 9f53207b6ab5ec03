"""Metrics of scores, labels and codes: deterministic functions of arrays, without a model.

Each docstring states the estimated quantity, its unit and its error. `evaluation.py` has the
metrics that need a model; `collapse.py` reports some of those below in words.
"""

from typing import Any

import numpy as np

from ..data.batches import check_codes, chunks
from ..errors import InputError
from ..models.losses import log_mean_exp
from ..models.losses import unit_kl as mean_unit_kl
from ..train.measure import ACTIVE

BLOCK = 2**15  # pairs of rows at a time: 256 KiB of float64, which stay in a cache


def roc_auc(scores: Any, is_positive: Any) -> float:
    """The area under the ROC curve: P(a positive scores above a negative), ties counting half.

    scores (N,): larger means more positive; is_positive (N,): booleans, or 0 and 1. Returns a
    number from 0 to 1; 0.5 is chance. It is computed from ranks: the statistic of Mann and Whitney
    (1947) over the number of pairs. Raises InputError if lengths differ, a score is NaN, or a class
    is missing.
    """
    scores, positive = _scored(scores, is_positive)
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]  # from 1; equal scores get their mean rank
    P = int(positive.sum())
    return float((ranks[positive].sum() - P * (P + 1) / 2) / (P * (len(scores) - P)))


def average_precision(scores: Any, is_positive: Any) -> float:
    """The mean precision over the positives, each at the threshold of its own score.

    That is sum_t (recall_t - recall_{t-1}) precision_t over the distinct scores t in descending
    order, without interpolation, as in scikit-learn's `average_precision_score`. Arguments and
    errors as for `roc_auc`. Returns a number from 0 to 1; chance is the fraction of positives.
    """
    scores, positive = _scored(scores, is_positive)
    _, place = np.unique(-scores, return_inverse=True)
    hits = np.bincount(place, weights=positive)  # positives at each threshold
    found, shown = np.cumsum(hits), np.cumsum(np.bincount(place))
    return float((hits * found / shown).sum() / found[-1])


def classification_error(y_true: Any, y_pred: Any) -> float:
    """The fraction of wrong labels, from 0 to 1.        y_true, y_pred (N,)

    Raises InputError if shapes differ, there are no labels, or one is NaN.
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or len(y_true) == 0:
        raise InputError(
            f"true and predicted labels must be (N,) each, got {y_true.shape} and {y_pred.shape}"
        )
    if any(y.dtype.kind == "f" and np.isnan(y).any() for y in (y_true, y_pred)):
        raise InputError("the labels hold a NaN, which cannot be compared")
    return float(np.mean(y_true != y_pred))


def active_units(mu: Any) -> np.ndarray:
    """The active units: those whose posterior means vary by more than 0.01 (variance over rows).

    mu (N,Z)  ->  booleans (Z,), whose sum is the number of active units (Burda et al.,
    arXiv:1509.00519, section 5.2). Raises InputError for invalid codes.
    """
    (mu,) = _codes(mu)
    return mu.var(axis=0) > ACTIVE


def unit_kl(mu: Any, logvar: Any) -> np.ndarray:
    """Each unit's KL(q(z|x) || N(0, 1)), averaged over the rows, in nats.

    mu, logvar (N,Z)  ->  (Z,), in float64; their sum is the KL of the evidence lower bound (Kingma
    & Welling, arXiv:1312.6114, appendix B). Raises InputError for invalid codes.
    """
    mu, logvar = _codes(mu, logvar)
    return mean_unit_kl(mu, logvar)


def mutual_information(mu: Any, logvar: Any, z: Any) -> float:
    """An estimate of the mutual information I(x; z) of row and code, in nats.

    mu, logvar (N,Z) are q(z|x_i) of N rows, z (N,Z) one sample of each. With the aggregate
    posterior of these rows, log q(z_i) = log (1/N) sum_j q(z_i|x_j), it is the mean of
    log q(z_i|x_i) - log q(z_i): an estimate of E_x KL(q(z|x) || q(z)) from one sample per row
    (Hoffman & Johnson, "ELBO surgery", 2016; Dieng et al., arXiv:1807.04863).

    It is unbiased for x drawn uniformly from these N rows. For the distribution that the rows come
    from it is biased low, since the estimate cannot exceed log N nats. Near 0 it may be negative by
    chance. Memory is bounded: at most BLOCK pairs of rows, or N, are processed at once. Raises
    InputError for invalid codes.
    """
    mu, logvar, z = _codes(mu, logvar, z)
    logvar = np.maximum(logvar, -600.0)  # smaller ones would overflow below
    N, mus, scales = len(mu), mu.T.copy(), np.exp(-logvar / 2).T.copy()
    total = 0.0
    for rows in chunks(N, max(1, BLOCK // N)):
        # log q(z_i|x_j) up to a constant, which cancels in the difference: i in rows, all j
        log_q = np.tile(-logvar.sum(axis=1) / 2, (len(z[rows]), 1))
        term = np.empty_like(log_q)
        for unit in range(mu.shape[1]):
            np.subtract(z[rows, unit, None], mus[unit], out=term)
            term *= scales[unit]
            term *= term
            term /= 2
            log_q -= term
        own = log_q[np.arange(len(log_q)), np.arange(N)[rows]]
        total += float((own - log_mean_exp(log_q)).sum())
    return total / N


def _codes(mu: Any, *others: Any) -> list[np.ndarray]:
    """Codes as float64 (N,Z). Raises InputError unless all are finite and of one shape."""
    shape = np.shape(mu)
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"codes must be (N,Z), at least one row of one unit, got {shape}")
    arrays = zip(("mu", "logvar", "z"), (mu, *others), strict=False)
    return [check_codes(a, shape[1], name, shape[0]).astype(np.float64) for name, a in arrays]


def _scored(scores: Any, is_positive: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 (N,), classes as booleans (N,). Raises InputError if they are invalid."""
    scores, positive = np.asarray(scores), np.asarray(is_positive)
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise InputError(
            f"scores and classes must be (N,) each, got {scores.shape} and {positive.shape}"
        )
    if scores.dtype.kind not in "buif" or np.isnan(scores).any():
        raise InputError("scores must be numbers without NaN")
    if positive.dtype.kind not in "buif" or not ((positive == 0) | (positive == 1)).all():
        raise InputError("is_positive must hold booleans, or 0 and 1")
    positive = positive.astype(bool)
    if positive.all() or not positive.any():
        missing = "negative" if positive.any() else "positive"
        raise InputError(f"there is no {missing} example: the curve needs both classes")
    return scores.astype(np.float64), positive
