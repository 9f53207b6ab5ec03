"""The commands that look at what a run learned: numbers, new examples, and its latent space."""

import argparse
from typing import Any

from ..data.labels import labels_named
from ..errors import InputError
from ..evaluate import compare
from ..evaluate.units import units_of, with_labels
from ..files import run_folder as runs
from ..models import Labelled, Model
from ..pictures import gallery
from ..train.measure import ACTIVE
from .shared import collapse, data_of, measure, open_run, output, write


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
    path = output(a, "samples.png" if a.label is None else runs.SAMPLES_OF_LABEL)
    if a.label is None:
        return write(path, gallery.samples(model, a.n, a.seed))
    images = model.sample(a.n, **_label(model, a.label), seed=a.seed)
    title = f"samples of label {a.label}"
    return write(path, gallery.Picture(images, lambda plots: plots.samples(images, title)))


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
    picture = gallery.reconstructions(model, X, with_labels(model, X, y, name))
    return write(output(a, "reconstructions.png"), picture)


def interpolate(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    X, y, name, split = data_of(a, settings)
    labels = with_labels(model, X, y, name)
    path = output(a, "interpolations.png")
    steps = a.steps or (24 if path.suffix == ".gif" else 12)
    pairs = gallery.pairs(a.n, X, labels)
    if len(pairs) == 0:
        kind = " of one label" if labels else ""
        raise InputError(f"the {split} of {name} have no two examples{kind} to go between")
    return write(path, gallery.interpolations(model, X, labels, pairs, steps, a.slerp))


def traverse(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    found = units_of(model, data_of(a, settings), settings)
    if a.row >= len(found.mu):
        raise InputError(f"--row {a.row} is out of range: there are {len(found.mu)} examples")
    if not found.active.any():
        raise InputError(
            f"no unit is active (variance of its codes > {ACTIVE:g}), so there is nothing to move: "
            "train longer, or charge less for the KL"
        )
    picture = gallery.traversals(model, found, a.row, a.n, a.steps)
    return write(output(a, "traversals.png"), picture)


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
    picture = gallery.manifold(model, tuple(units), mu, a.n, label)
    code = write(output(a, "manifold.png"), picture)
    print(picture.words)
    return code
