"""The scores of `score_samples`: larger is more normal, in nats.

"elbo"            the lower bound on log p(x) of `bounds.py`
"reconstruction"  log p(x|z), the mean over samples of z: the reconstruction probability of An & Cho
                  (Variational autoencoder based anomaly detection using reconstruction probability,
                  SNU Data Mining Center, 2015)
"regret"          minus the likelihood regret (Xiao et al., arXiv:2003.02977), see `regret.py`
"complexity"      -S(x), S(x) = -log p(x) - L(x), where L is the length of the compressed row and
                  the bound stands for log p (Serra et al., arXiv:1909.11480, their score S)
"typicality"      minus the distance to the typical set, |mean of -log p over M rows - entropy|; the
                  bound stands for log p, and normal rows for the entropy (Nalisnick et al.,
                  arXiv:1906.02994, their test statistic)

All are computed from the validated rows of one model. This module takes data on the host.
"""

import zlib
from math import isfinite, log
from typing import Any

import numpy as np

from ...backend import Array, noise
from ...errors import InputError
from .. import bounds
from . import regret

KINDS = ("elbo", "reconstruction", "regret", "complexity", "typicality")


def check(model: Any, kind: str, k: int | None) -> None:
    """Raises InputError if the model has no such score with k samples of z."""
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "regret" and not model.noisy:
        raise InputError(
            f"{type(model).__name__} has no q(z|x) to refine, so it has no likelihood regret"
        )
    if kind == "regret" and not regret.has_regret(model):
        raise InputError(
            f"kind='regret' supports the decoders of scratchvae's models, not that of "
            f"{type(model).__name__}: choose another kind"
        )
    bounds.check_samples(model, k)
    if kind == "regret" and k is not None and k > regret.MOST:
        raise InputError(f"kind='regret' takes at most {regret.MOST} samples of z, got {k}")


def of_rows(
    model: Any, X: np.ndarray, k: int | None, seed: int, kind: str, normal: Any, groups: Any
) -> np.ndarray:
    """The score of each validated row of X, (N,); normal and groups are for "typicality"."""
    check(model, kind, k)
    if kind != "typicality" and not (normal is None and groups is None):
        raise InputError(f"normal and groups are for kind='typicality', not {kind!r}")
    if kind in ("reconstruction", "regret"):
        key = {"seed": seed, "stream": noise.SCORE}

        def scores(x: Array) -> tuple[Array]:
            if kind == "regret":
                return (-regret.of_rows(model, x, k, **key),)
            return (reconstruction(model, x, k, **key),)

        return bounds.finite_or_minus_inf(model, model.map_rows(scores, X)[0])
    if kind == "typicality":  # before the scores, which take time
        normal, groups = _normal(normal), _numbered(groups, len(X))
    found = bounds.of_rows(model, X, k, seed)
    if kind == "complexity":
        return found + compressed(model, X).astype(found.dtype)
    if kind == "typicality":
        return -abs(_means(found, groups) - normal)
    return found


def reconstruction(model: Any, x: Array, k: int | None, **key: Any) -> Array:
    """log p(x|z), (B,): the mean over k samples of z; without k, over as many as in training."""
    row = bounds.row_keys(model, x)
    if k is None:
        return -model.forward(x, model.draw_noise(len(x), row=row, **key)).rec
    total = 0.0
    for j in range(k):
        eps = model.draw_noise(len(x), model.latent_dim, step=j, row=row, **key)
        total = total - model.forward(x, eps).rec
    return total / k


def compressed(model: Any, X: np.ndarray) -> np.ndarray:
    """The length of each row (N,D), compressed by zlib: (N,), nats.

    The compressed values are those that the model sees, times 255 and rounded. For the Bernoulli
    likelihoods they are one byte each, the pixels from 0 to 255. For the gaussian one they are
    16-bit integers, clipped to that range, all low bytes before all high bytes. (One level is
    1/255; another step would change all lengths by nearly the same number.) The paper's models
    give the likelihood of the compressed bytes. A Bernoulli likelihood of grey pixels does not: it
    is the smaller part of the score.
    """
    X = X[:, : model.n_features_]
    levels = X if X.dtype == np.uint8 else np.rint(np.clip(X, -128, 128) * 255)
    if model.unit_interval:
        rows = levels.astype(np.uint8)
    else:
        words = np.clip(levels, -(2**15), 2**15 - 1).astype("<i2")
        rows = words.view(np.uint8).reshape(*X.shape, 2).swapaxes(1, 2)
    lengths = [len(zlib.compress(row.tobytes(), 9)) for row in rows]
    return np.array(lengths, dtype=float) * 8 * log(2)


def _normal(normal: Any) -> float:
    if isinstance(normal, (int, float, np.number)) and isfinite(normal):
        return float(normal)
    raise InputError(
        "kind='typicality' needs normal, the finite mean of score_samples over normal rows such as "
        f"the training data; got {normal!r}"
    )


def _numbered(groups: Any, n: int) -> Any:
    """The number of each row's group, from 0: (N,). None: each row is its own group."""
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise InputError(f"groups must hold one label per row, ({n},), got {groups.shape}")
    return np.unique(groups, return_inverse=True)[1]


def _means(scores: np.ndarray, groups: Any) -> np.ndarray:
    """The mean score of each row's group, (N,)."""
    if groups is None:
        return scores
    means = np.bincount(groups, scores) / np.bincount(groups)
    return means[groups].astype(scores.dtype)
