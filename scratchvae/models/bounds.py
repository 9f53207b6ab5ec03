"""Lower bounds of log p(x), one per row, for `score_samples`.

Without k, the evidence lower bound; with k samples of z, the importance-weighted bound, which
tightens as k grows (Burda et al., arXiv:1509.00519).
"""

from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np

from ..backend import Array, array_module, noise
from ..errors import InputError, whole_number


def score_samples(
    model: Any, X: Any, k: int | None = None, seed: int | None = None, *, y: Any = None
) -> np.ndarray:
    """A lower bound of log p(x) for each row of X (N,D): (N,), nats.

    Without k, the ELBO, log p(x|z) - KL, with as many samples of z as in training. With k, the
    importance-weighted bound, log (1/k) sum_j p(x, z_j) / q(z_j|x). Memory does not depend on k.
    """
    X = model.check(X, y)
    return of_rows(model, X, k, noise.check_seed(model.seed if seed is None else seed))


def of_rows(model: Any, X: np.ndarray, k: int | None, seed: int) -> np.ndarray:
    """`score_samples` of validated rows."""

    def key(rows: slice, step: int) -> dict[str, int]:
        return {"seed": seed, "stream": noise.SCORE, "step": step, "row": rows.start}

    def elbo(rows: slice) -> tuple[Array]:
        x = model.to_device(X[rows], "x")
        acts = model.forward(x, model.draw_noise(len(x), **key(rows, 0)))
        return (-acts.rec - acts.kl,)

    if k is None:
        return model.map_rows(len(X), elbo)[0]
    k = whole_number(k, "k")
    if not model.noisy:
        raise InputError(
            f"{type(model).__name__} draws no samples of z, so it has no importance-weighted bound"
        )

    def importance_weighted(rows: slice) -> tuple[Array]:
        x = model.to_device(X[rows], "x")
        codes, Z = model.encoder(x), model.latent_dim

        def log_weights() -> Iterator[Array]:
            for j in range(k):
                eps = model.draw_noise(len(x), width=Z, **key(rows, j))
                yield model.log_weight(x, codes, eps)

        return (streaming_log_mean_exp(log_weights()),)

    return model.map_rows(len(X), importance_weighted)[0]


def streaming_log_mean_exp(terms: Iterator[Array]) -> Array:
    """log (1/K) sum_j exp(terms_j) of K arrays (B,), read one at a time, in float64.

    Accumulates exp(terms_j - top), where top is the largest term so far.
    """
    top = next(terms).astype("float64")
    xp = array_module(top)
    total, count = (top > -inf).astype("float64"), 1
    for term in terms:
        higher = xp.maximum(top, term)
        # avoids -inf - (-inf) = NaN: a sum of no finite terms stays 0
        finite = xp.where(higher > -inf, higher, 0)
        total *= xp.exp(top - finite)
        total += xp.exp(term - finite)
        top, count = higher, count + 1
    return top + xp.log(xp.maximum(total, 1e-300) / count)
