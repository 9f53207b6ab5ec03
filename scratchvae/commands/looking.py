"""The commands that look at what a run learned: numbers, new examples, and its latent space."""

import argparse
from typing import Any

import numpy as np

from .. import latent, runs
from ..data.labels import labels_named
from ..errors import InputError
from ..metrics import ACTIVE
from ..models import Labelled, Model
from ..published import compare
from .opening import (
    collapse,
    data_of,
    means,
    measure,
    open_run,
    output,
    units_of,
    with_labels,
    write,
)


def evaluate_run(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    data = data_of(a, settings)
    found = measure(model, data, settings, k=a.samples, examples=a.examples)
    compared = "" if a.compare is None else compare(found, a.compare)  # refuses first
    print(found)
    if compared:
        print(f"\n{compared}")
    print(collapse(model, data.X, with_labels(model, *data[:3]), settings))
    return 0


def sample(a: argparse.Namespace) -> int:
    model, _ = open_run(a)
    columns, title = runs.sample_layout(model, a.n)
    path = output(a, "samples.png" if a.label is None else runs.SAMPLES_OF_LABEL)
    if a.label is None:
        images = model.sample(a.n, seed=a.seed)
    else:
        images = model.sample(a.n, **_label(model, a.label), seed=a.seed)
        columns, title = None, f"samples of label {a.label}"
    return write(path, images, lambda plots: plots.samples(images, title, columns))


def _label(model: Model, text: str | None) -> dict[str, Any]:
    """The argument y= for a label as the user wrote it: the first one if None, and {} if none."""
    if isinstance(model, Labelled):
        return {"y": model.classes_[0] if text is None else labels_named([text], model.classes_)[0]}
    if text is not None:
        raise InputError(
            f"--label means nothing for a {type(model).__name__}, which knows no labels: "
            "leave it out"
        )
    return {}


def reconstruct(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    X, y, name, _ = data_of(a, settings)
    X, y = X[: a.n], None if y is None else y[: a.n]
    originals = runs.first_rows(model, X, a.n)
    decoded = model.reconstruct(X, **with_labels(model, X, y, name))
    path = output(a, "reconstructions.png")
    return write(path, decoded, lambda plots: plots.reconstructions(originals, decoded))


def _decode(model: Model, codes: np.ndarray, y: Any) -> np.ndarray:
    """Codes (R,C,Z), and for models with labels the label of each row (R,)  ->  (R,C,D)"""
    flat = codes.reshape(-1, codes.shape[-1])
    labels = {} if y is None else {"y": np.repeat(y, codes.shape[1])}
    return model.decode(flat, **labels).reshape(*codes.shape[:2], -1)


def interpolate(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    X, y, name, split = data_of(a, settings)
    labels = with_labels(model, X, y, name)
    pairs = latent.pairs(a.n, labels.get("y", np.zeros(len(X))))
    if len(pairs) == 0:
        kind = " of one label" if labels else ""
        raise InputError(f"the {split} of {name} have no two examples{kind} to go between")
    rows = pairs.ravel()
    y = labels["y"][rows] if labels else None
    mu, _ = means(model, X[rows], {} if y is None else {"y": y})
    walk = latent.slerped if a.slerp else latent.interpolated
    decoded = _decode(model, walk(mu[0::2], mu[1::2], a.steps), None if y is None else y[0::2])
    ends = runs.first_rows(model, X[rows], len(rows)).reshape(len(pairs), 2, -1)
    title = "from one test example to another" + (" of the same label" if labels else "")
    path = output(a, "interpolations.png")
    return write(
        path, decoded, lambda plots: plots.interpolations(ends[:, 0], decoded, ends[:, 1], title)
    )


def _spread(model: Model, mu: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Where the codes of each unit lie, mean and standard deviation: as the prior says, if any."""
    if model.noisy or mu is None:
        return np.zeros(model.latent_dim), np.ones(model.latent_dim)
    return mu.mean(axis=0), mu.std(axis=0)


def traverse(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    order, said, active, mu, _, labels = units_of(model, data_of(a, settings), settings)
    if a.row >= len(mu):
        raise InputError(f"--row {a.row} is out of range: there are {len(mu)} examples")
    units = order[active[order]][: a.n]
    if len(units) == 0:
        raise InputError(
            f"no unit is active (variance of its codes > {ACTIVE:g}), so there is nothing to move: "
            "train longer, or charge less for the KL"
        )
    t = np.linspace(-latent.ACROSS, latent.ACROSS, a.steps)
    centre, scale = _spread(model, mu)
    values = centre[units, None] + scale[units, None] * t
    y = np.repeat(labels["y"][a.row], len(units)) if labels else None
    decoded = _decode(model, latent.traversed(mu[a.row], units, values), y)
    at = (mu[a.row] - centre) / scale
    marks = [f"{j}  ({said[j]:.2f})  {at[j]:+.1f}" for j in units]
    title = f"each active unit moved alone, the others as in the code of example {a.row}"
    of, along = (
        "unit (KL)  value",
        "value of the unit; at the left, its KL in nats and its value in the example",
    )
    if not model.noisy:
        of = "unit (variance)  value"
        along = "standard deviations from the mean; at the left, the variance and the example"
    path = output(a, "traversals.png")
    return write(path, decoded, lambda plots: plots.traversals(decoded, marks, t, title, of, along))


def manifold(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    Z = model.latent_dim
    if Z < 2:
        raise InputError("a manifold is drawn over two latent units, but this model has one")
    label, units, mu = _label(model, a.label), a.units, None
    if units is None and Z == 2:
        units = (0, 1)
    if units is not None and (max(units) >= Z or units[0] == units[1]):
        given = " ".join(map(str, units))
        raise InputError(f"--units {given}: two different ones are needed, from 0 to {Z - 1}")
    if units is None or not model.noisy:
        found = units_of(model, data_of(a, settings), settings)
        mu, units = found.mu, units or found.order[:2].tolist()
    centre, scale = _spread(model, mu)
    q = latent.quantiles(a.n)
    across, up = (centre[j] + scale[j] * q for j in units)
    y = np.repeat(label["y"], a.n) if label else None
    decoded = _decode(model, latent.plane(centre, tuple(units), across, up), y)
    title = f"decoded over unit {units[0]} (to the right) and unit {units[1]} (up)"
    title += ", at quantiles of " + ("the prior" if model.noisy else "a normal distribution")
    if Z > 2:
        title += ", the others at " + ("0" if model.noisy else "their means")
    if label:
        title += f"; label {label['y']}"
    path = output(a, "manifold.png")
    code = write(path, decoded, lambda plots: plots.manifold(decoded, across, up, units, title))
    print(title)
    return code
