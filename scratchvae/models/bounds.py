"""Lower bounds of log p(x), for `score_samples` (Burda et al., arXiv:1509.00519)."""

from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np

from ..backend import Array, array_module, noise, to_numpy
from ..errors import InputError, whole_number


def check_samples(model: Any, k: int | None) -> None:
    """Raises InputError if k is no number of samples, or the model draws none."""
    if k is None:
        return
    whole_number(k, "k")
    if not model.noisy:
        raise InputError(
            f"{type(model).__name__} draws no samples of z, so it has no importance-weighted bound"
        )


def of_rows(model: Any, X: np.ndarray, k: int | None, seed: int) -> np.ndarray:
    """A lower bound of log p(x) for each validated row of X: (N,), nats.

    Without k, the ELBO, log p(x|z) - KL, with as many samples of z as in training. With k, the
    importance-weighted bound, log (1/k) sum_j p(x, z_j) / q(z_j|x). Memory does not depend on k.
    It is -inf for a row so far from the training data that the numbers overflow.
    """
    check_samples(model, k)

    def bound(x: Array) -> tuple[Array]:
        pixels = x[:, : model.n_features_]  # so that a row has the same noise with any label
        key = {"seed": seed, "stream": noise.SCORE, "row": noise.row_keys(pixels)}
        if k is None:
            acts = model.forward(x, model.draw_noise(len(x), **key))
            return (-acts.rec - acts.kl,)
        codes, size = model.encoder(x), (len(x), model.latent_dim)
        samples = (model.draw_noise(*size, step=j, **key) for j in range(k))
        return (streaming_log_mean_exp(model.log_weight(x, codes, eps) for eps in samples),)

    bounds = model.map_rows(bound, X)[0]
    if np.isnan(bounds).any() and not np.isfinite(to_numpy(model.params_.array)).all():
        raise InputError("a parameter of the model is NaN or infinite, so its rows have no scores")
    return np.where(np.isnan(bounds), bounds.dtype.type(-inf), bounds)


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
