"""How good a model is, in nats, with the protocol beside every number.

A loss in nats means something only together with what was measured: which split, grey or binary
pixels, how many samples, which seed. `Evaluation` keeps them together and prints them together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import noise
from .backend import Array, array_module, to_numpy
from .data.batches import BINARIZE, binarized_once, chunks, to_float
from .errors import InputError, whole_number
from .models.base import CHUNK, Model

ACTIVE = 0.01  # a unit is active if the variance of its codes exceeds this (Burda et al., 2016)


@dataclass(frozen=True)
class Evaluation:
    """Means over a split, nats per example, and how they were measured."""

    rec: float  # -log p(x|z), one sample of z an example
    kl: float  # KL(q(z|x) || p(z)), closed form
    loss: float  # rec + beta kl
    active_units: int
    n: int
    protocol: str
    log_likelihood: float | None = None  # importance-weighted bound of log p(x), if asked for

    @property
    def elbo(self) -> float:
        return -self.rec - self.kl

    def __str__(self) -> str:
        lines = [
            f"ELBO           {self.elbo:10.2f} nats per example",
            f"  -log p(x|z)  {self.rec:10.2f}",
            f"  KL           {self.kl:10.2f}   in {self.active_units} active units",
        ]
        if self.log_likelihood is not None:
            lines.insert(
                1, f"log p(x)     >={self.log_likelihood:10.2f}   importance-weighted bound"
            )
        return "\n".join([*lines, f"protocol: {self.protocol}"])


def losses(model: Model, X: Array) -> dict[str, Any]:
    """Means of rec and kl over X (N,D), on the model's device, and the number of active units.

    The noise is keyed by row: two evaluations differ by what the model learned, not by luck. One
    transfer to the host in all.
    """
    xp = model._ws.xp
    Z = model.latent_dim
    sums = xp.zeros(3 + 2 * Z, dtype="float64")
    for rows in chunks(len(X), CHUNK):
        x = to_float(X[rows], model._ws("x", *X[rows].shape))
        acts = model._forward(x, model._draw(len(x), **_key(model.seed, noise.TEST, 0, rows)))
        for i, values in enumerate((acts.rec, acts.kl, model._loss(acts))):
            sums[i] += xp.sum(values, dtype="float64")
        sums[3 : 3 + Z] += xp.sum(acts.mu, axis=0, dtype="float64")
        sums[3 + Z :] += xp.sum(xp.square(acts.mu), axis=0, dtype="float64")
    rec, kl, loss, *moments = to_numpy(sums) / len(X)
    variance = np.array(moments[Z:]) - np.array(moments[:Z]) ** 2
    return {
        "loss": float(loss),
        "rec": float(rec),
        "kl": float(kl),
        "active_units": int((variance > ACTIVE).sum()),
    }


def evaluate(
    model: Model,
    X: Any,
    y: Any = None,
    *,
    k: int | None = None,
    binarize: str = "none",
    split: str = "given",
) -> Evaluation:
    """The ELBO of X (N,D) and its parts; with k, the importance-weighted bound of log p(x) too.

    binarize "static" or "dynamic" turns grey pixels into one fixed binary sample of each first.
    `split` is what the protocol says of X.
    """
    X = prepare(model, X, y, binarize, step=1)
    means = losses(model, model._ws.xp.asarray(X))
    pixels = "real values" if model.likelihood == "gaussian" else "grey pixels in [0, 1]"
    pixels = pixels if binarize == "none" else "pixels binarised once, at random"
    protocol = f"{split}, {len(X):,} examples, {pixels}, one sample of z, seed {model.seed}"
    log_likelihood = None
    if k is not None:
        log_likelihood = float(bound(model, X, k).mean())
        protocol += f"; {k} samples for the bound of log p(x)"
    if model.likelihood == "bernoulli" and binarize == "none":
        protocol += "; not comparable with results on binary images"
    return Evaluation(**means, n=len(X), protocol=protocol, log_likelihood=log_likelihood)


def prepare(model: Model, X: Any, y: Any, binarize: str, *, step: int) -> np.ndarray:
    """X checked against the model and, unless binarize is "none", made binary once."""
    check_binarize(model, binarize)
    X = model.check(X, y)
    if len(X) == 0:
        raise InputError("the data hold no examples: pass at least one row")
    return X if binarize == "none" else binarized_once(X, seed=model.seed, step=step)


def check_binarize(model: Model, binarize: str) -> None:
    """InputError for an unknown way, or for pixels that are not Bernoulli."""
    if binarize not in BINARIZE:
        raise InputError(f"binarize must be one of {', '.join(BINARIZE)}, got {binarize!r}")
    if binarize != "none" and model.likelihood != "bernoulli":
        raise InputError(
            f"binarize={binarize!r} needs likelihood='bernoulli': binary pixels are not Gaussian"
        )


def bound(
    model: Model, X: Any, k: int | None = None, seed: int | None = None, *, y: Any = None
) -> np.ndarray:
    """A lower bound of log p(x) for each row of X (N,D): (N,), nats.

    Without k the ELBO, log p(x|z) - KL with one sample of z. With k the importance-weighted bound,
    log (1/k) sum_j p(x, z_j) / q(z_j|x), which tightens as k grows (Burda et al.,
    arXiv:1509.00519). The sum is kept as it grows, so memory does not depend on k.
    """
    X = model.check(X, y)
    seed = noise.check_seed(model.seed if seed is None else seed)

    def elbo(rows: slice) -> tuple[Array]:
        x = model._to_device(X[rows], "x")
        acts = model._forward(x, model._draw(len(x), **_key(seed, noise.SCORE, 0, rows)))
        return (-acts.rec - acts.kl,)

    if k is None:
        return model._by_rows(len(X), elbo)[0]
    k = whole_number(k, "k")
    if not model.noisy:
        raise InputError(f"{type(model).__name__} draws no samples: leave k out")

    def importance_weighted(rows: slice) -> tuple[Array]:
        x = model._to_device(X[rows], "x")
        codes, Z = model._encode(x), model.latent_dim

        def log_weights() -> Iterator[Array]:
            for j in range(k):
                key = _key(seed, noise.SCORE, j, rows)
                yield model._log_weight(x, codes, model._draw(len(x), width=Z, **key))

        return (streaming_log_mean_exp(log_weights()),)

    return model._by_rows(len(X), importance_weighted)[0]


def streaming_log_mean_exp(terms: Iterator[Array]) -> Array:
    """log (1/K) sum_j exp(terms_j) of K arrays (B,), which pass one by one, in float64.

    The sum is that of exp(terms_j - top), top being the largest term so far.
    """
    top = next(terms).astype("float64")
    xp, total, count = array_module(top), array_module(top).ones_like(top), 1
    for term in terms:
        higher = xp.maximum(top, term)
        total *= xp.exp(top - higher)
        total += xp.exp(term - higher)
        top, count = higher, count + 1
    return top + xp.log(total / count)


def _key(seed: int, stream: int, step: int, rows: slice) -> dict[str, int]:
    return {"seed": seed, "stream": stream, "step": step, "row": rows.start}
