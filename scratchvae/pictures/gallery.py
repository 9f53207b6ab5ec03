"""The pictures of a model: which apply to it, and the numbers that each one shows.

The commands draw one picture each; `train` draws all that apply to its model and data, and a page
that shows them. `plots.py` and `animation.py` do the drawing, and are imported on use.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.batches import to_float
from ..evaluate.units import Data, Units, means, units_of
from ..files import run_folder as runs
from ..files.atomic import write_atomically
from ..models import Labelled, Model, SemiSupervisedVAE
from ..train.callbacks import LatentFrames
from . import ROWS, SHOWN
from .page import page, with_explorer
from .walks import interpolated, plane, quantiles, slerped, traversed

DRAWN = ", drawn from p(x|z)"  # rather than its means
ACROSS = 2.5  # standard deviations by which a traversal moves a unit, in both directions
FIRST = ("samples.png", "reconstructions.png", "loss.png", "unit_kl.png")  # on the page
KEPT = "surrogateescape"  # bytes of a page that are no UTF-8 are written as they were read
OF_IMAGES = ("manifold.png", "traversals.png", "interpolations.png")


class Picture(NamedTuple):
    """A picture, not yet drawn."""

    numbers: np.ndarray
    figure: Callable[[Any], Any]  # takes the module `plots`, returns the figure
    words: str = ""  # the caption
    animation: Callable[[Any], Any] | None = None  # takes `animation`, returns the frames


def spread(model: Model, mu: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each unit: of the prior, or of the codes if there is none."""
    if model.noisy or mu is None:
        return np.zeros(model.latent_dim), np.ones(model.latent_dim)
    return mu.mean(axis=0), mu.std(axis=0)


def decoded(model: Model, codes: np.ndarray, y: Any) -> np.ndarray:
    """The decoded rows (R,C,D) of the codes (R,C,Z); y (R,) is the label of each, or None."""
    flat = codes.reshape(-1, codes.shape[-1])
    labels = {} if y is None else {"y": np.repeat(y, codes.shape[1])}
    return model.decode(flat, **labels).reshape(*codes.shape[:2], -1)


def as_floats(model: Model, X: np.ndarray) -> np.ndarray:
    """The rows as floating point, as `reconstruct` returns them."""
    X = model.rows_.check(X, type(model).__name__)
    X = model.rows_.scaled(X, "float64", model.unit_interval)
    return model.rows_.unscaled(to_float(X, np.empty(X.shape, dtype=np.float64)))


def drawn(model: Model, x: np.ndarray) -> np.ndarray:
    """Rows (...,D) as the images that `plots` draws: (...,H,W), ink on paper, or (...,H,W,3)."""
    return as_colour(model, model.rows_.images(x))


def as_colour(model: Model, images: np.ndarray) -> np.ndarray:
    """Grey photographs (...,H,W) as three equal colours; other images unchanged."""
    if model.rows_.ink or len(model.rows_.image_shape or ()) == 3:
        return images
    return np.repeat(images[..., None], 3, axis=-1)


def samples(
    model: Model, n: int, seed: int | None = None, label: dict[str, Any] | None = None,
    beside: np.ndarray | None = None, *, draw: bool = False,
) -> Picture:  # fmt: skip
    """New examples; of a model with labels, each label has columns of its own.

    label: the argument y= for samples of one label only; beside: rows (N,D) of a table, in the
    units of the data, to compare the samples with; draw: draws from p(x|z), not its means.
    """
    columns = None
    title = "samples from the prior" if model.noisy else "decoded from N(0, I): no prior"
    if label:
        title = f"samples of label {label['y']}"
    elif isinstance(model, Labelled):
        labels = model.classes_.tolist()[:n]
        columns = len(labels) * max(1, round(n**0.5 / len(labels)))
        title = f"samples of each label in turn: {', '.join(map(str, labels))}"
    if draw:
        title += DRAWN
    rows = model.sample(n, **(label or {}), draw=draw, seed=seed)
    if model.rows_.image_shape:
        return Picture(rows, lambda plots: plots.samples(drawn(model, rows), title, columns), title)
    title += "" if draw else ", means of p(x|z)"
    words = f"{title}: a histogram of each column, with that of the test examples"
    if beside is None:
        title = words = f"{title}; without the data"
    return Picture(rows, lambda _: _tables().samples(rows, beside, names(model), title), words)


def reconstructions(model: Model, X: Any, labels: dict[str, Any]) -> Picture:
    originals, rows = as_floats(model, X), model.reconstruct(X, **labels)
    if model.rows_.image_shape:
        words = "test examples, each above its reconstruction"
        both = originals, rows
        return Picture(
            rows, lambda plots: plots.reconstructions(*(drawn(model, x) for x in both)), words
        )
    words = f"reconstructed against original values of each column, {len(rows):,} test examples"
    return Picture(rows, lambda _: _tables().reconstructions(originals, rows, names(model)), words)


def names(model: Model) -> list[str]:
    """The names of the columns of a table."""
    rows = model.rows_
    return list(rows.columns or (f"column {i}" for i in range(rows.n_features)))


def _tables() -> Any:
    from . import tables  # lazily: matplotlib is slow to import

    return tables


def latent_plane(model: Model, test: Data, found: Units) -> Picture:
    """The codes of the test examples, on the plane of the two most informative units."""
    plane, axes = [0, 1], ["first latent unit", "second latent unit"]
    words = "the codes of the test examples"
    if model.latent_dim > 2:
        plane = found.order[:2].tolist()
        of = "KL" if model.noisy else "variance"
        axes = [f"unit {j} ({of} {found.information[j]:.2f})" for j in plane]
        words += " in the two most informative units"
    mu, y = found.mu[:, plane], test.y
    words += "" if y is None else ", coloured by label"
    return Picture(mu, lambda plots: plots.latent_plane(mu, y, axes), words)


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
    between = decoded(model, walk(mu[0::2], mu[1::2], steps), None if y is None else y[0::2])
    ends = as_floats(model, X[rows]).reshape(len(pairs), 2, -1)
    parts = ends[:, 0], between, ends[:, 1]
    words = "from one test example to another" + (" of the same label" if labels else "")
    return Picture(
        between,
        lambda plots: plots.interpolations(*(drawn(model, x) for x in parts), words),
        words,
        lambda animation: animation.interpolation(*(drawn(model, x) for x in parts), words),
    )


def traversals(model: Model, found: Units, row: int, n: int, steps: int) -> Picture:
    """The code of a row, decoded with each of the n most informative active units moved alone."""
    moved = found.order[found.active[found.order]][:n]
    t = np.linspace(-ACROSS, ACROSS, steps)
    centre, scale = spread(model, found.mu)
    values = centre[moved, None] + scale[moved, None] * t
    y = np.repeat(found.labels["y"][row], len(moved)) if found.labels else None
    rows = decoded(model, traversed(found.mu[row], moved, values), y)
    at = (found.mu[row] - centre) / scale
    marks = [f"{j}  ({found.information[j]:.2f})  {at[j]:+.1f}" for j in moved]
    title = f"the code of example {row}, decoded with one unit changed at a time"
    along = "value of the unit; on the left, its KL in nats and its value in the example"
    if not model.noisy:
        along = "standard deviations from the mean; on the left, the variance and the example"
    of = f"unit ({'KL' if model.noisy else 'variance'})  value"
    return Picture(
        rows,
        lambda plots: plots.traversals(drawn(model, rows), marks, t, title, of, along),
        title,
    )


def manifold(
    model: Model, moved: tuple[int, int], mu: np.ndarray | None, n: int, label: dict[str, Any]
) -> Picture:
    """A decoded grid of n by n codes over two units; a model without a prior needs mu (N,Z)."""
    centre, scale = spread(model, mu)
    q = quantiles(n)
    across, up = (centre[j] + scale[j] * q for j in moved)
    y = np.repeat(label["y"], n) if label else None
    rows = decoded(model, plane(centre, moved, across, up), y)
    of, others = ("the prior", "0") if model.noisy else ("a normal distribution", "their means")
    title = f"decoded over unit {moved[0]} (horizontal) and unit {moved[1]} (vertical)"
    title += f", at quantiles of {of}"
    if model.latent_dim > 2:
        title += f", the others at {others}"
    if label:
        title += f"; label {label['y']}"
    return Picture(
        rows,
        lambda plots: plots.manifold(drawn(model, rows), across, up, moved, title),
        title,
    )


# ------------------------------------------------------------------------------ what a run leaves


def _applicable(
    model: Model, test: Data, settings: dict[str, Any]
) -> Iterator[tuple[str, Picture | str]]:
    """The file name of each picture of a run, and the picture, or why there is none."""
    X, table, Z = test.X, model.rows_.image_shape is None, model.latent_dim
    found = units_of(model, test, settings)
    labels, kl = found.labels, found.information
    if model.history_:
        history, name = model.history_, model.loss_name
        words = f"the {name} after each epoch, and its two parts, in nats per example"
        loss = np.array([r["test_loss"] for r in history])
        yield "loss.png", Picture(loss, lambda plots: plots.loss_curves(history, name), words)
    else:
        yield "loss.png", "the model was not trained"
    n = ROWS if table else SHOWN
    first = {name: y[:n] for name, y in labels.items()}
    yield "reconstructions.png", reconstructions(model, X[:n], first)
    beside = as_floats(model, X[:n]) if table else None
    yield "samples.png", samples(model, 1000 if table else 100, beside=beside, draw=table)
    if model.noisy:
        active = found.active
        words = f"the mean KL of each of the {Z} latent units, in nats per example"
        yield "unit_kl.png", Picture(kl, lambda plots: plots.unit_kl(kl, active), words)
    else:
        yield "unit_kl.png", f"an {type(model).__name__} has no KL"
    units = "one latent unit" if Z == 1 else f"{Z} latent units"
    if Z == 2 or (table and Z > 2):
        yield "latent.png", latent_plane(model, test, found)
    else:
        yield "latent.png", f"the model has {units}, not two"
    if table:
        reason = "the rows are not images"
        yield from dict.fromkeys((*OF_IMAGES, runs.FILM), reason).items()
        return
    if Z == 2:
        label = {"y": model.classes_[0]} if isinstance(model, Labelled) else {}
        yield "manifold.png", manifold(model, (0, 1), found.mu, 20, label)
    else:
        why = f"training draws it for two units only; the manifold command below picks two of {Z}"
        yield "manifold.png", why if Z > 2 else f"the model has {units}, not two"
    if found.active.any():
        yield "traversals.png", traversals(model, found, 0, 10, 11)
    else:
        yield "traversals.png", "no latent unit is active"
    if len(ends := pairs(8, X, labels)):
        yield "interpolations.png", interpolations(model, X, labels, ends, 12, slerp=False)
    else:
        alike = " of one label" if labels else ""
        yield "interpolations.png", f"the {test.split} has no two examples{alike}"


def leave(
    model: Model, test: Data, settings: dict[str, Any], folder: Path, film: LatentFrames | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Write the pictures that apply to the model and its data.

    Returns their names and captions, and for the others their names and why they were not drawn.
    Removes those that an earlier part of the run wrote and that no longer apply.
    """
    from . import animation, plots  # lazily: matplotlib is slow to import

    left, absent = {}, {}
    if film is not None and model.history_:
        shots = animation.training(
            film.epochs,
            as_colour(model, np.asarray(film.frames)),
            model.history_,
            film.columns,
            model.loss_name,
        )
        animation.save_animation(shots, folder / runs.FILM)
        left[runs.FILM] = f"{film.n} latent points, decoded after each epoch, with the loss"
    for name, picture in _applicable(model, test, settings):
        if isinstance(picture, str):
            absent[name] = picture
            (folder / name).unlink(missing_ok=True)
        else:
            plots.save_figure(picture.figure(plots), folder / name)
            left[name] = picture.words
    return left, absent


def page_of(
    model: Model, numbers: Sequence[tuple[str, str, str]], protocol: str, pictures: dict[str, str],
    absent: dict[str, str], settings: dict[str, Any], defaults: dict[str, Any], folder: Path,
    test: Data, program: Sequence[str],
) -> str:  # fmt: skip
    """The page of the run in the folder, as text: its numbers, its pictures, the next commands.

    numbers and protocol are those of an Evaluation, pictures and absent those of `leave`; defaults
    are those of the settings, and program the words before the name of a command.
    """
    run, history, n = str(folder), model.history_, len(model.history_)
    title = f"{type(model).__name__} {model.widths} on {test.name}, {n} epoch{'s' * (n != 1)}"
    images, row = model.rows_.image_shape is not None, min(7, len(test.X) - 1)
    plane = images and model.latent_dim > 1
    commands = [  # whether it applies, and its words
        (True, ["train", "--resume", "--out", run, "--epochs", str(2 * n)]),
        (True, ["evaluate", run, *(["--samples", "100"] if model.noisy else [])]),
        (True, ["anomaly", run, *([] if images else ["--split", "all"])]),
        (True, ["sample", run, *("-n 64 -o new.png" if images else "-n 1000 -o new.csv").split()]),
        ("interpolations.png" in pictures, ["interpolate", run, "-o", "between.gif"]),
        ("traversals.png" in pictures, ["traverse", run, *f"--row {row} -o row-{row}.png".split()]),
        (plane, ["manifold", run]),
        (plane, ["explore", run]),
        (not isinstance(model, SemiSupervisedVAE), ["diagram", run]),
    ]
    lines = [[*program, *words] for applies, words in commands if applies]
    shown = {name: pictures[name] for name in (*FIRST, *pictures) if name in pictures}
    text = page(title, numbers, protocol, history, shown, absent, settings, defaults, lines)
    return with_explorer(text) if (folder / runs.EXPLORER).exists() else text


def write_page(folder: Path, text: str) -> None:
    write_atomically(folder / runs.INDEX, lambda f: f.write(text.encode("utf-8", KEPT)))


def link_explorer(folder: Path) -> None:
    """Add a link to the explorer to the page of the run in the folder, if it has none."""
    text = (folder / runs.INDEX).read_text("utf-8", KEPT)
    if (linked := with_explorer(text)) != text:
        write_page(folder, linked)
