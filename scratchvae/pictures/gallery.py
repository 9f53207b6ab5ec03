"""The numbers of each picture of a model, and the walks through the latent space that it needs.

The commands draw one picture each; `train` draws all that apply to its model and data, and a page
that shows them. `plots.py` and `animation.py` do the drawing, and are imported on use.
"""

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from ..data.batches import are_images, to_float
from ..evaluate.units import Data, Units, means, units_of
from ..files import run_folder as runs
from ..files.atomic import write_atomically
from ..models import Labelled, Model, SemiSupervisedVAE
from ..train.callbacks import LatentFrames
from . import SHOWN
from .page import page

DRAWN = ", drawn from p(x|z)"  # rather than its means
ACROSS = 2.5  # standard deviations by which a traversal moves a unit, in both directions


class Picture(NamedTuple):
    """A picture that is yet to be drawn."""

    numbers: np.ndarray
    figure: Callable[[Any], Any]  # takes the module `plots`, returns the figure
    words: str = ""  # the caption
    animation: Callable[[Any], Any] | None = None  # takes `animation`, returns the frames


def spread(model: Model, mu: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each unit: those of the prior, or without one of the codes."""
    if model.noisy or mu is None:
        return np.zeros(model.latent_dim), np.ones(model.latent_dim)
    return mu.mean(axis=0), mu.std(axis=0)


def decoded(model: Model, codes: np.ndarray, y: Any) -> np.ndarray:
    """Images (R,C,D) of the codes (R,C,Z); y (R,) is the label of each row, or None."""
    flat = codes.reshape(-1, codes.shape[-1])
    labels = {} if y is None else {"y": np.repeat(y, codes.shape[1])}
    return model.decode(flat, **labels).reshape(*codes.shape[:2], -1)


def as_floats(model: Model, X: np.ndarray) -> np.ndarray:
    """The rows as floating point, as `reconstruct` returns them."""
    X = model.rows_.check(X, type(model).__name__)
    X = model.rows_.scaled(X, "float64", model.unit_interval)
    return model.rows_.unscaled(to_float(X, np.empty(X.shape, dtype=np.float64)))


def samples(model: Model, n: int, seed: int | None = None, **how: Any) -> Picture:
    """New examples; of a model with labels, each label has columns of its own.

    how: other arguments of `sample`.
    """
    columns = None
    title = "samples from the prior" if model.noisy else "decoded from N(0, 1): no prior"
    if isinstance(model, Labelled):
        labels = model.classes_.tolist()[:n]
        columns = len(labels) * max(1, round(n**0.5 / len(labels)))
        title = f"samples of each label in turn: {', '.join(map(str, labels))}"
    if how.get("draw"):
        title += DRAWN
    images = model.sample(n, seed=seed, **how)
    return Picture(images, lambda plots: plots.samples(images, title, columns), title)


def reconstructions(model: Model, X: Any, labels: dict[str, Any]) -> Picture:
    originals = as_floats(model, X)
    images = model.reconstruct(X, **labels)
    words = "test examples, each above its reconstruction"
    return Picture(images, lambda plots: plots.reconstructions(originals, images), words)


def pairs(n: int, X: Any, labels: dict[str, Any]) -> np.ndarray:
    """At most n pairs of rows of X to interpolate between, of each label in turn: (n,2)"""
    y = labels.get("y", np.zeros(len(X)))
    of_label = [np.flatnonzero(y == label) for label in np.unique(y)]
    turns = zip_longest(*(zip(rows[0::2], rows[1::2], strict=False) for rows in of_label))
    found = [pair for turn in turns for pair in turn if pair is not None]
    return np.array(found[:n], dtype=int).reshape(-1, 2)


def interpolations(
    model: Model, X: Any, labels: dict[str, Any], pairs: np.ndarray, steps: int, slerp: bool
) -> Picture:
    rows = pairs.ravel()
    y = labels["y"][rows] if labels else None
    mu, _ = means(model, X[rows], {} if y is None else {"y": y})
    walk = slerped if slerp else interpolated
    images = decoded(model, walk(mu[0::2], mu[1::2], steps), None if y is None else y[0::2])
    ends = as_floats(model, X[rows]).reshape(len(pairs), 2, -1)
    between = ends[:, 0], images, ends[:, 1]
    words = "from one test example to another" + (" of the same label" if labels else "")
    return Picture(
        images,
        lambda plots: plots.interpolations(*between, words),
        words,
        lambda animation: animation.interpolation(*between, words),
    )


def traversals(model: Model, found: Units, row: int, n: int, steps: int) -> Picture:
    """The code of a row, decoded with each of the n most informative active units moved alone."""
    moved = found.order[found.active[found.order]][:n]
    t = np.linspace(-ACROSS, ACROSS, steps)
    centre, scale = spread(model, found.mu)
    values = centre[moved, None] + scale[moved, None] * t
    y = np.repeat(found.labels["y"][row], len(moved)) if found.labels else None
    images = decoded(model, traversed(found.mu[row], moved, values), y)
    at = (found.mu[row] - centre) / scale
    marks = [f"{j}  ({found.information[j]:.2f})  {at[j]:+.1f}" for j in moved]
    title = f"each active unit moved alone, the others as in the code of example {row}"
    along = "value of the unit; at the left, its KL in nats and its value in the example"
    if not model.noisy:
        along = "standard deviations from the mean; at the left, the variance and the example"
    of = f"unit ({'KL' if model.noisy else 'variance'})  value"
    return Picture(
        images, lambda plots: plots.traversals(images, marks, t, title, of, along), title
    )


def manifold(
    model: Model, moved: tuple[int, int], mu: np.ndarray | None, n: int, label: dict[str, Any]
) -> Picture:
    """A decoded grid of n by n codes over two units; a model without a prior needs mu (N,Z)."""
    centre, scale = spread(model, mu)
    q = quantiles(n)
    across, up = (centre[j] + scale[j] * q for j in moved)
    y = np.repeat(label["y"], n) if label else None
    images = decoded(model, plane(centre, moved, across, up), y)
    of, others = ("the prior", "0") if model.noisy else ("a normal distribution", "their means")
    title = f"decoded over unit {moved[0]} (to the right) and unit {moved[1]} (up)"
    title += f", at quantiles of {of}"
    if model.latent_dim > 2:
        title += f", the others at {others}"
    if label:
        title += f"; label {label['y']}"
    return Picture(images, lambda plots: plots.manifold(images, across, up, moved, title), title)


# ------------------------------------------------------------------ walks through the latent space


def interpolated(first: np.ndarray, second: np.ndarray, steps: int) -> np.ndarray:
    """Codes on the straight line from first to second, both (N,Z), ends included: (N,steps,Z)"""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * first[:, None] + t * second[:, None]


def slerped(first: np.ndarray, second: np.ndarray, steps: int) -> np.ndarray:
    """The same by spherical interpolation of the directions; lengths are interpolated linearly.

    With the angle a between the directions: u(t) = [sin((1-t) a) u0 + sin(t a) u1] / sin a. For
    equal and for opposite directions, where sin a = 0, the codes lie on the straight line.
    """
    t = np.linspace(0, 1, steps)[:, None]
    n0, n1 = (np.linalg.norm(z, axis=1, keepdims=True)[:, None] for z in (first, second))
    u0, u1 = first[:, None] / np.maximum(n0, 1e-12), second[:, None] / np.maximum(n1, 1e-12)
    angle = np.arccos(np.clip((u0 * u1).sum(axis=2, keepdims=True), -1, 1))
    straight = np.sin(angle) < 1e-6
    u = np.sin((1 - t) * angle) * u0 + np.sin(t * angle) * u1
    u /= np.where(straight, 1, np.sin(angle))
    length = (1 - t) * n0 + t * n1
    return np.where(straight, interpolated(first, second, steps), length * u)


def traversed(z: np.ndarray, units: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The code z (Z,) with one unit at a time set to each of its values (U,S): (U,S,Z)"""
    codes = np.tile(z, (*values.shape, 1))
    codes[np.arange(len(units)), :, units] = values
    return codes


def quantiles(n: int) -> np.ndarray:
    """Medians of the n intervals that divide N(0, 1) into equal probabilities: (n,)"""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])


def plane(
    centre: np.ndarray, units: tuple[int, int], across: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Codes (n,n,Z) in the order of a picture: the first unit grows to the right, the second up."""
    codes = np.tile(centre, (len(up), len(across), 1))
    codes[:, :, units[0]] = across
    codes[:, :, units[1]] = up[::-1, None]
    return codes


# ------------------------------------------------------------------------------ what a run leaves


def _applicable(
    model: Model, test: Data, settings: dict[str, Any]
) -> Iterator[tuple[str, Picture]]:
    """The file name of each picture that applies to the model and its data, and the picture."""
    X, images = test.X, are_images(model.n_features_)
    found = units_of(model, test, settings)
    labels = found.labels
    if model.history_:
        history, name = model.history_, model.loss_name
        words = f"the {name} after each epoch, and its two parts, in nats per example"
        loss = np.array([r["test_loss"] for r in history])
        yield "loss.png", Picture(loss, lambda plots: plots.loss_curves(history, name), words)
    if images:
        first = {name: y[:SHOWN] for name, y in labels.items()}
        yield "reconstructions.png", reconstructions(model, X[:SHOWN], first)
        yield "samples.png", samples(model, 100)
    if model.noisy:
        kl, active = found.information, found.active
        words = f"the mean KL of each of the {len(kl)} latent units, in nats per example"
        yield "unit_kl.png", Picture(kl, lambda plots: plots.unit_kl(kl, active), words)
    if model.latent_dim == 2:
        words = "the code of each test example" + ("" if test.y is None else ", coloured by label")
        mu, y = found.mu, test.y
        yield "latent.png", Picture(mu, lambda plots: plots.latent_plane(mu, y), words)
        if images:
            label = {"y": model.classes_[0]} if isinstance(model, Labelled) else {}
            yield "manifold.png", manifold(model, (0, 1), found.mu, 20, label)
    if images and found.active.any():
        yield "traversals.png", traversals(model, found, 0, 10, 11)
    if images and len(ends := pairs(8, X, labels)):
        yield "interpolations.png", interpolations(model, X, labels, ends, 12, slerp=False)


def leave(
    model: Model, test: Data, settings: dict[str, Any], folder: Path, film: LatentFrames | None
) -> dict[str, str]:
    """Write the pictures that apply to the model and its data; returns their names and captions.

    Removes those that an earlier part of the run wrote and that no longer apply.
    """
    from . import animation, plots  # lazily: matplotlib is slow to import

    left = {}
    if film is not None and model.history_:
        shots = animation.training(
            film.epochs, film.frames, model.history_, film.columns, model.loss_name
        )
        animation.save_animation(shots, folder / runs.FILM)
        left[runs.FILM] = f"{film.n} latent points, decoded after each epoch, beside the loss"
    for name, picture in _applicable(model, test, settings):
        plots.save_figure(picture.figure(plots), folder / name)
        left[name] = picture.words
    for name in runs.TRAIN_PICTURES:
        if name not in left:
            (folder / name).unlink(missing_ok=True)
    return left


def page_of(
    model: Model, numbers: str, pictures: dict[str, str], settings: dict[str, Any], folder: Path,
    data: str,
) -> str:  # fmt: skip
    """The page of the run in the folder, as text: its numbers, its pictures, the next commands."""
    run, epochs = str(folder), len(model.history_)
    title = f"{type(model).__name__} {model.widths} on {data}, {epochs} epoch{'s' * (epochs != 1)}"
    plane = "samples.png" in pictures and model.latent_dim > 1
    commands = [  # whether it applies, and its words
        (True, ["train", "--resume", "--out", run, "--epochs", str(2 * epochs)]),
        (True, ["evaluate", run, *(["--samples", "100"] if model.noisy else [])]),
        (True, ["anomaly", run]),
        ("samples.png" in pictures, ["sample", run, "-n", "64", "-o", "new.png"]),
        ("interpolations.png" in pictures, ["interpolate", run, "-o", "between.gif"]),
        ("traversals.png" in pictures, ["traverse", run, "--row", "7", "-o", "traversals-7.png"]),
        (plane, ["manifold", run]),
        (plane, ["explore", run]),
        (not isinstance(model, SemiSupervisedVAE), ["diagram", run]),
    ]
    lines = [["scratchvae", *words] for applies, words in commands if applies]
    return page(title, numbers, model.history_, pictures, settings, lines)


def write_page(folder: Path, text: str) -> None:
    write_atomically(folder / runs.INDEX, lambda f: f.write(text.encode()))
