"""Evaluate the losses of a whole split on the model's device, and prepare its rows."""

from math import inf, isfinite
from typing import Any

import numpy as np

from ..backend import Array, noise, to_numpy
from ..data.batches import BINARIZE, binarized_once, chunks, to_float
from ..errors import InputError
from .protocol import TrainableModel

CHUNK = 500  # rows at a time, for passes over a whole data set
ACTIVE = 0.01  # a unit is active if the variance of its codes exceeds this (Burda et al., 2016)


def losses(model: TrainableModel, X: Array) -> dict[str, Any]:
    """Means of rec, kl and loss over X (N,D), nats; the ELBO's standard error; the active units.

    All results are copied to the host in one transfer.
    """
    return summary(sums_of_losses(model, X), model.latent_dim, len(X))


def sums_of_losses(model: TrainableModel, X: Array) -> np.ndarray:
    """Sums over X (N,D) of rec, kl, loss, (rec + kl)^2, mu and mu^2: (4 + 2Z,), on the host."""
    xp = model.xp
    Z = model.latent_dim
    sums = xp.zeros(4 + 2 * Z, dtype="float64")
    for rows in chunks(len(X), CHUNK) if len(X) else ():
        x = to_float(X[rows], model.workspace("x", *X[rows].shape))
        acts = evaluated(model, x)
        square = xp.square(acts.rec + acts.kl, dtype="float64")
        for i, values in enumerate((acts.rec, acts.kl, model.example_losses(acts), square)):
            sums[i] += xp.sum(values, dtype="float64")
        sums[4 : 4 + Z] += xp.sum(acts.mu, axis=0, dtype="float64")
        sums[4 + Z :] += xp.sum(xp.square(acts.mu, dtype="float64"), axis=0)
    return np.asarray(to_numpy(sums))


def summary(sums: np.ndarray, Z: int, n: int) -> dict[str, Any]:
    """The result of `losses`, from the sums over n rows."""
    rec, kl, loss, square, *moments = sums / n
    variance = np.array(moments[Z:]) - np.array(moments[:Z]) ** 2
    return {
        "loss": float(loss),
        "rec": float(rec),
        "kl": float(kl),
        "elbo_error": standard_error(square - (rec + kl) ** 2 if isfinite(square) else inf, n),
        "active_units": int((variance > ACTIVE).sum()),
    }


def evaluated(model: TrainableModel, x: Array) -> Any:
    """The activations of rows x (B,D) on the device.

    The noise is keyed by the values of each row: a row has the same losses anywhere in the data,
    and two evaluations differ only by the model.
    """
    row = noise.row_keys(x[:, : model.n_features_])  # without labels
    return model.forward(x, model.draw_noise(len(x), seed=model.seed, stream=noise.TEST, row=row))


def standard_error(variance: float, n: int) -> float | None:
    """The standard error of the mean of n numbers with this variance; None if n is 1."""
    return float(max(variance, 0.0) / (n - 1)) ** 0.5 if n > 1 else None


def prepare(model: TrainableModel, X: Any, y: Any, binarize: str) -> np.ndarray:
    """X, validated against the model and, unless binarize is "none", binarised once."""
    check_binarize(model, binarize)
    X = model.check(X, y)
    if len(X) == 0:
        raise InputError("the data hold no examples: pass at least one row")
    if binarize == "none":
        return X
    return binarized_once(X, model.n_features_, seed=model.seed)


def check_binarize(model: TrainableModel, binarize: str) -> None:
    """Raises InputError if binarize is unknown, or the likelihood is not Bernoulli."""
    if binarize not in BINARIZE:
        raise InputError(f"binarize must be one of {', '.join(BINARIZE)}, got {binarize!r}")
    if binarize != "none" and model.likelihood != "bernoulli":
        raise InputError(
            f"binarize={binarize!r} needs likelihood='bernoulli', not {model.likelihood!r}"
        )
    if binarize != "none" and model.rows_.fitted:
        raise InputError(
            f"binarize={binarize!r} needs pixels, but scale={model.rows_.scale!r} changes them: "
            "use scale='none' or 'bytes'"
        )
