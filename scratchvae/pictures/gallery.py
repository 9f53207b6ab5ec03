"""The pictures of a model: what each shows is computed here, for the command that draws it alone
and for `train`, which leaves all that apply. The drawing itself is `plots.py` and `charts.py`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..cli.shared import Data, Units, means, units_of
from ..files import run_folder as runs
from ..files.run_folder import COLUMNS
from ..models import Labelled, Model, SemiSupervisedVAE
from ..train.callbacks import LatentFrames
from . import latent
from .page import page


class Picture(NamedTuple):
    """The numbers that a picture shows, and its figure; what is in it, in words."""

    numbers: np.ndarray
    figure: Callable[[Any], Any]  # of the module `plots`
    words: str = ""
    animation: Callable[[Any], Any] | None = None  # of the module `animation`: its frames


def spread(model: Model, mu: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Where the codes of each unit lie, mean and standard deviation: as the prior says, if any."""
    if model.noisy or mu is None:
        return np.zeros(model.latent_dim), np.ones(model.latent_dim)
    return mu.mean(axis=0), mu.std(axis=0)


def decoded(model: Model, codes: np.ndarray, y: Any) -> np.ndarray:
    """Codes (R,C,Z), and for models with labels the label of each row (R,)  ->  (R,C,D)"""
    flat = codes.reshape(-1, codes.shape[-1])
    labels = {} if y is None else {"y": np.repeat(y, codes.shape[1])}
    return model.decode(flat, **labels).reshape(*codes.shape[:2], -1)


def samples(model: Model, n: int, seed: int | None = None) -> Picture:
    columns, title = runs.sample_layout(model, n)
    images = model.sample(n, seed=seed)
    return Picture(images, lambda plots: plots.samples(images, title, columns), title)


def reconstructions(model: Model, X: Any, labels: dict[str, Any]) -> Picture:
    originals = runs.first_rows(model, X, len(X))
    images = model.reconstruct(X, **labels)
    words = "test examples, each above its reconstruction"
    return Picture(images, lambda plots: plots.reconstructions(originals, images), words)


def pairs(n: int, X: Any, labels: dict[str, Any]) -> np.ndarray:
    """At most n pairs of rows to go between: (n,2); of one label each, where there are labels."""
    return latent.pairs(n, labels.get("y", np.zeros(len(X))))


def interpolations(
    model: Model, X: Any, labels: dict[str, Any], pairs: np.ndarray, steps: int, slerp: bool
) -> Picture:
    rows = pairs.ravel()
    y = labels["y"][rows] if labels else None
    mu, _ = means(model, X[rows], {} if y is None else {"y": y})
    walk = latent.slerped if slerp else latent.interpolated
    images = decoded(model, walk(mu[0::2], mu[1::2], steps), None if y is None else y[0::2])
    ends = runs.first_rows(model, X[rows], len(rows)).reshape(len(pairs), 2, -1)
    between = ends[:, 0], images, ends[:, 1]
    words = "from one test example to another" + (" of the same label" if labels else "")
    return Picture(
        images,
        lambda plots: plots.interpolations(*between, words),
        words,
        lambda animation: animation.interpolation(*between, words),
    )


def traversals(model: Model, found: Units, row: int, n: int, steps: int) -> Picture:
    """Each of the n most informative active units moved alone around the code of a row."""
    moved = found.order[found.active[found.order]][:n]
    t = np.linspace(-latent.ACROSS, latent.ACROSS, steps)
    centre, scale = spread(model, found.mu)
    values = centre[moved, None] + scale[moved, None] * t
    y = np.repeat(found.labels["y"][row], len(moved)) if found.labels else None
    images = decoded(model, latent.traversed(found.mu[row], moved, values), y)
    at = (found.mu[row] - centre) / scale
    marks = [f"{j}  ({found.said[j]:.2f})  {at[j]:+.1f}" for j in moved]
    title = f"each active unit moved alone, the others as in the code of example {row}"
    of, along = (
        "unit (KL)  value",
        "value of the unit; at the left, its KL in nats and its value in the example",
    )
    if not model.noisy:
        of = "unit (variance)  value"
        along = "standard deviations from the mean; at the left, the variance and the example"
    return Picture(
        images, lambda plots: plots.traversals(images, marks, t, title, of, along), title
    )


def manifold(
    model: Model, moved: tuple[int, int], mu: np.ndarray | None, n: int, label: dict[str, Any]
) -> Picture:
    """A grid of n by n codes over two units; mu (N,Z) is needed where there is no prior."""
    centre, scale = spread(model, mu)
    q = latent.quantiles(n)
    across, up = (centre[j] + scale[j] * q for j in moved)
    y = np.repeat(label["y"], n) if label else None
    images = decoded(model, latent.plane(centre, moved, across, up), y)
    title = f"decoded over unit {moved[0]} (to the right) and unit {moved[1]} (up)"
    title += ", at quantiles of " + ("the prior" if model.noisy else "a normal distribution")
    if model.latent_dim > 2:
        title += ", the others at " + ("0" if model.noisy else "their means")
    if label:
        title += f"; label {label['y']}"
    return Picture(images, lambda plots: plots.manifold(images, across, up, moved, title), title)


def _those_that_apply(
    model: Model, test: Data, settings: dict[str, Any]
) -> Iterator[tuple[str, Picture]]:
    """The name of each file that `train` leaves, and what is in it."""
    from . import charts, plots  # on use: matplotlib is slow to import

    X, images = test.X, plots.are_images(model.n_features_)
    found = units_of(model, test, settings)
    labels = found.labels
    if model.history_:
        history, name = model.history_, model.loss_name
        words = f"the {name} after each epoch, and its two parts, in nats per example"
        loss = np.array([r["test_loss"] for r in history])
        yield "loss.png", Picture(loss, lambda plots: plots.loss_curves(history, name), words)
    if images:
        first = {name: y[: runs.SHOWN] for name, y in labels.items()}
        yield "reconstructions.png", reconstructions(model, X[: runs.SHOWN], first)
        yield "samples.png", samples(model, 100)
    if model.noisy:
        words = f"what each of the {len(found.said)} latent units says of an example, in nats"
        yield (
            "unit_kl.png",
            Picture(found.said, lambda _: charts.unit_kl(found.said, found.active), words),
        )
    if model.latent_dim == 2:
        words = "the code of each test example" + ("" if test.y is None else ", coloured by label")
        yield (
            "latent.png",
            Picture(found.mu, lambda plots: plots.latent_plane(found.mu, test.y), words),
        )
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
    """Write the pictures that apply to this model and its data; their names, and what is in them.

    Those that an earlier part of the run left, and that apply no more, are removed.
    """
    from . import animation, plots  # on use: matplotlib is slow to import

    left = {}
    if film is not None and model.history_:
        shots = animation.training(
            film.epochs, film.frames, model.history_, film.columns, model.loss_name
        )
        runs.save_animation(shots, folder / runs.FILM)
        left[runs.FILM] = f"{film.n} latent points, decoded after each epoch, beside the loss"
    for name, picture in _those_that_apply(model, test, settings):
        runs.save_figure(picture.figure(plots), folder / name)
        left[name] = picture.words
    for name in runs.LEFT:
        if name not in left:
            (folder / name).unlink(missing_ok=True)
    return left


def page_of(
    model: Model, numbers: str, pictures: dict[str, str], settings: dict[str, Any], folder: Path,
    data: str,
) -> str:  # fmt: skip
    """The page of the run in the folder."""
    run, epochs = str(folder), len(model.history_)
    widths = "-".join(map(str, (model.n_features_, *model.hidden, model.latent_dim)))
    title = f"{type(model).__name__} {widths} on {data}, {epochs} epoch{'s' * (epochs != 1)}"
    commands = [
        ["train", "--resume", "--out", run, "--epochs", str(2 * epochs)],
        ["evaluate", run, *(["--samples", "100"] if model.noisy else [])],
        ["anomaly", run],
    ]
    if "samples.png" in pictures:
        commands.append(["sample", run, "-n", "64", "-o", "new.png"])
    if "interpolations.png" in pictures:
        commands.append(["interpolate", run, "-o", "between.gif"])
    if "traversals.png" in pictures:
        commands.append(["traverse", run, "--row", "7", "-o", "traversals-7.png"])
    if "samples.png" in pictures and model.latent_dim > 1:
        commands += [["manifold", run], ["explore", run]]
    if not isinstance(model, SemiSupervisedVAE):
        commands.append(["diagram", run])
    return page(
        title, numbers, model.history_, COLUMNS, pictures, settings,
        [["scratchvae", *words] for words in commands],
    )  # fmt: skip
