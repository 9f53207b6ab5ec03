"""Lower bounds of log p(x), for `score_samples` (Burda et al., arXiv:1509.00519).

`of_rows` is the entry. `Columns` is a second, faster version of `Model.log_weight` for Bernoulli
pixels on the CPU; read that one first.
"""

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any

import numpy as np

from ..backend import Array, array_module, noise, to_numpy
from ..errors import InputError, whole_number
from ..nets import ACTIVATIONS

# Pairs of a row and a sample of z that are decoded together on the CPU: enough for an efficient
# product whose result stays in the cache. The number is constant because the BLAS rounds a product
# of another size differently.
PAIRS = 256
NUMBERS = 2**15  # random numbers to draw together, about
DECODER = f"{__package__}.vae"  # the module of the decoder that this package's models share


def check_samples(model: Any, k: int | None) -> None:
    """Raises InputError if k is not a number of samples, or the model draws none."""
    if k is None:
        return
    whole_number(k, "k")
    if not model.noisy:
        raise InputError(
            f"{type(model).__name__} draws no samples of z, so it has no importance-weighted bound"
        )


def of_rows(model: Any, X: np.ndarray, k: int | None, seed: int) -> np.ndarray:
    """A lower bound on log p(x) for each validated row of X: (N,), nats.

    Without k, the ELBO, log p(x|z) - KL, with as many samples of z as in training. With k, the
    importance-weighted bound, log (1/k) sum_j p(x, z_j) / q(z_j|x). Memory does not depend on k.
    It is -inf for rows so far from the training data that numbers overflow.
    """
    check_samples(model, k)
    key = {"seed": seed, "stream": noise.SCORE}
    layers = decoder_layers(model) if k and has_columns(model) else None

    def elbo(x: Array) -> tuple[Array]:
        acts = model.forward(x, model.draw_noise(len(x), row=row_keys(model, x), **key))
        return (-acts.rec - acts.kl,)

    def bound(x: Array) -> tuple[Array]:
        codes, n = model.encoder(x), len(x)
        if array_module(x) is np:  # few rows, with many samples of each in a pass of PAIRS
            n = min(n, _power_of_2(len(X)))
        x, codes = x[:n], tuple(a[:n] for a in codes)
        return (streaming_log_mean_exp(_log_weights(model, x, codes, k or 1, layers, key)),)

    return finite_or_minus_inf(model, model.map_rows(elbo if k is None else bound, X)[0])


def finite_or_minus_inf(model: Any, scores: np.ndarray) -> np.ndarray:
    """The scores (N,), with -inf for NaN. Raises InputError if the model itself is not finite."""
    if np.isnan(scores).any() and not np.isfinite(to_numpy(model.params_.array)).all():
        raise InputError("a parameter of the model is NaN or infinite, so rows have no scores")
    return np.where(np.isnan(scores), scores.dtype.type(-inf), scores)


def _power_of_2(n: int) -> int:
    """The smallest power of 2 >= n, for n >= 1: with that many rows, a pass has PAIRS pairs."""
    return 1 << (n - 1).bit_length()


def row_keys(model: Any, x: Array) -> Array:
    """The keys of the noise: those of the pixels, so that it is the same for any label."""
    return noise.row_keys(x[:, : model.n_features_])


def _log_weights(
    model: Any, x: Array, codes: tuple[Array, ...], k: int, layers: Any, key: dict[str, int]
) -> Iterator[Array]:
    """log p(x, z_j) / q(z_j|x), (B,), for j = 0, ..., k - 1, one after another."""
    n, Z, row = len(x), model.latent_dim, row_keys(model, x)
    if array_module(x) is not np:  # a GPU has enough to do with one sample of each row
        for j in range(k):
            yield model.log_weight(x, codes, model.draw_noise(n, Z, step=j, row=row, **key))
        return
    # pair j n + i is sample j of row i
    S = max(1, PAIRS // n)  # no remainder: n is a power of 2, like BLOCK of `map_rows` and PAIRS
    x, codes = np.tile(x, (S, 1)), tuple(np.tile(a, (S, 1)) for a in codes)
    weigh: Callable[[Array], Array] = partial(model.log_weight, x, codes)
    if layers is not None:
        weigh = Columns(model, layers, x, codes).log_weight
    for first in range(0, k, drawn := S * max(1, NUMBERS // (S * n * Z))):
        many = min(drawn, k - first)
        steps = np.arange(first, first + many, dtype=np.uint64).repeat(n)[:, None]
        draws = model.draw_noise(len(steps), Z, step=steps, row=np.tile(row, many), **key)
        if unused := -many % S:  # the last pass has as many pairs as all others
            draws = np.vstack((draws, np.zeros((unused * n, Z), draws.dtype)))
        for i, eps in enumerate(np.split(draws, len(draws) // (S * n))):
            log_w = weigh(eps).reshape(S, n)
            yield from log_w[: k - first - i * S]


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


# ---------------------------------------------------------------- Model.log_weight, by columns


def has_columns(model: Any) -> bool:
    """Whether `Columns` computes what the model's own methods compute."""
    kind = type(model)
    own = kind.log_weight.__module__, kind.decoder.__module__
    return (
        model.xp is np
        and model.likelihood == "bernoulli"
        and own == (f"{__package__}.model", DECODER)
    )


def decoder_layers(model: Any) -> list[np.ndarray]:
    """The decoder's layers, (O,I+1): W^T, with b as the last column; halved for the logits."""
    p, layers = model.params_, []
    names = [name.removesuffix("_W") for name in p if name.startswith("dec") and name[-1] == "W"]
    for name in (*names, "out"):
        layers.append(np.vstack((p[f"{name}_W"], p[f"{name}_b"])).T.copy())
    layers[-1] *= 0.5
    return layers


class Columns:
    """`Model.log_weight` of a Bernoulli model: forward only, and each pair is a column.

    Each bias is the last column of its layer, and the input has a row of ones, so the BLAS adds it.
    With half the logits, m = l / 2, and s = 1 - 2 t,

        -log p(x|z) = sum_d [log(1 + exp(l)) - l t] = sum_d [s m + |m| - log((1 + tanh|m|) / 2)]

    The arguments of the logarithm lie in [1/2, 1], so 16 of them are multiplied before one
    logarithm is taken. With the features as rows, these products run over contiguous memory.
    """

    def __init__(self, model: Any, layers: list[np.ndarray], x: Array, codes: Any) -> None:
        """x (B,D+C), codes: mu and logvar (B,Z), of each pair"""
        self.ws, self.layers, (B, Z) = model.workspace, layers, codes[0].shape
        self.f, _ = ACTIVATIONS[model.activation]
        self.mu, self.logvar = (np.ascontiguousarray(a.T) for a in codes)
        self.std = np.exp(0.5 * self.logvar)
        self.sign = np.ascontiguousarray((1 - 2 * x[:, : model.n_features_]).T)
        self.inputs = [self.ws(f"columns{i}", W.shape[1], B) for i, W in enumerate(layers)]
        for h in self.inputs:
            h[-1] = 1
        self.inputs[0][Z:-1] = x[:, model.n_features_ :].T  # the label, if there is one

    def log_weight(self, eps: Array) -> Array:
        """eps (B,Z)  ->  log p(x,z) / q(z|x), (B,)"""
        eps, z = eps.T, self.inputs[0][: eps.shape[1]]
        np.multiply(eps, self.std, out=z)
        z += self.mu
        for W, h, above in zip(self.layers, self.inputs, self.inputs[1:], strict=False):
            a = np.matmul(W, h, out=above[:-1])
            self.f(a, out=a)
        m = np.matmul(self.layers[-1], self.inputs[-1], out=self.ws("m", *self.sign.shape))
        cost = np.multiply(m, self.sign, out=self.ws("cost", *m.shape))
        np.abs(m, out=m)
        cost += m
        np.tanh(m, out=m)
        m *= 0.5
        m += 0.5
        log_w = np.log(_halved(np.multiply, m)).sum(axis=0)
        log_w -= _halved(np.add, cost).sum(axis=0)
        ratio = eps * eps
        ratio += self.logvar
        ratio -= z * z
        log_w += 0.5 * ratio.sum(axis=0)
        return log_w


def _halved(op: Any, a: Array) -> Array:
    """Four times: op of the two halves of the rows, in place; a middle row stays as it is."""
    for _ in range(4):
        low, high = len(a) // 2, -(-len(a) // 2)
        op(a[:low], a[high:], out=a[:low])
        a = a[:high]
    return a
