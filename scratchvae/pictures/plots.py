"""Figures: each function takes arrays and returns a matplotlib Figure, and changes no global state.

Matplotlib is slow to import, so import this module only where a figure is drawn. The colours and
helpers at its top are the style of every figure. The colours differ in lightness too, to be
distinguishable in black and white.
"""

from collections.abc import Mapping, Sequence
from math import ceil, isnan
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from ..data.batches import image_side
from ..errors import InputError
from ..files.atomic import write_atomically

DARK, MIDDLE, LIGHT = "#1b2a49", "#c8553d", "#8fa6c6"
LOSSES = {"train_loss": ("train", "--", LIGHT), "test_loss": ("test", "-", DARK)}
NAMED_UNITS = 40  # up to so many bars, each has its number below it


def set_title(axes: Axes, text: str) -> Text:
    return axes.set_title(text, fontsize=11, loc="left", color=DARK)


def hide_spines(axes: Axes, *sides: str) -> None:
    """Hide the frame on these sides; at the top and on the right if none is named."""
    axes.spines[list(sides or ("top", "right"))].set_visible(False)


def show_image(axes: Axes, image: np.ndarray, **more: Any) -> AxesImage:
    """Draw pixels in [0, 1] unsmoothed: 0 is white and 1 is black."""
    return axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", **more)


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure whole or not at all, in the format that the suffix names."""
    kind = path.suffix.lstrip(".")
    write_atomically(path, lambda f: figure.savefig(f, format=kind, dpi=110))


def grid(images: Any, columns: int | None = None, margin: int = 1) -> np.ndarray:
    """Images (N,D) or (N, height, width) side by side, row after row, as one (height, width).

    Pixels are clipped to [0, 1]; each image gets a margin of so many pixels.
    """
    images = np.asarray(images, dtype=float)
    if images.ndim == 2:
        side = image_side(images.shape[1])
        images = images.reshape(-1, side, side)
    columns = columns or ceil(len(images) ** 0.5)
    around = (margin, margin)
    cells = np.pad(np.clip(images, 0, 1), ((0, -len(images) % columns), around, around))
    _, height, width = cells.shape
    table = cells.reshape(-1, columns, height, width).swapaxes(1, 2)
    return table.reshape(-1, columns * width)


def stacked(sets: Sequence[Any], columns: int) -> np.ndarray:
    """A grid of several sets (N,D): each row of the first one stands above those of the others."""
    images = np.stack(sets)
    images = np.pad(images, ((0, 0), (0, -images.shape[1] % columns), (0, 0)))
    rows = images.reshape(len(sets), -1, columns, images.shape[2]).swapaxes(0, 1)
    return grid(rows.reshape(-1, images.shape[2]), columns)


def _figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of this size in inches with a pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    set_title(axes, title)
    return figure, axes


def _picture(table: np.ndarray, width: float, height: float, title: str) -> Figure:
    """A figure of pixels alone."""
    figure, axes = _figure(width, height, title)
    show_image(axes, table)
    axes.set_axis_off()
    return figure


def samples(
    images: Any, title: str = "samples from the prior", columns: int | None = None
) -> Figure:
    """Decoded images (N,D), in a square unless `columns` is given."""
    table = grid(images, columns)
    height, width = (6 * side / max(table.shape) for side in table.shape)
    return _picture(table, width, height + 0.35, title)


def reconstructions(originals: Any, decoded: Any, columns: int = 16) -> Figure:
    """Rows of originals, each above its reconstruction; both (N,D) in [0, 1]."""
    columns = min(columns, len(originals))
    table = stacked((originals, decoded), columns)
    width = max(4, 9 * columns / 16)
    height = width * len(table) / table.shape[1] + 0.4
    return _picture(table, width, height, "originals, each above its reconstruction")


def loss_curves(history: Sequence[Mapping[str, float]], title: str = "negative ELBO") -> Figure:
    """The loss of both splits under that title, and beside it reconstruction and KL."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [r["epoch"] for r in history]
    for axes, names in (
        (left, LOSSES),
        (right, {"rec": ("reconstruction", "-", DARK), "kl": ("KL", "--", MIDDLE)}),
    ):
        for name, (label, style, colour) in names.items():
            values = [r[name] for r in history]
            if not all(isnan(v) or v == 0 for v in values):
                marker = "o" if len(values) == 1 else None
                axes.plot(epochs, values, style, color=colour, label=label, marker=marker)
                if name != "train_loss":  # its label would overlap that of the test loss
                    at = epochs[-1], values[-1]
                    axes.annotate(f" {values[-1]:.1f}", at, color=colour, va="center", fontsize=9)
        axes.set_xlabel("epoch")
        axes.set_ylabel("nats per example")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        hide_spines(axes)
        axes.legend(frameon=False)
    set_title(left, title)
    set_title(right, "reconstruction and KL")
    return figure


def unit_kl(kl: Any, active: Any) -> Figure:
    """A bar for the mean KL of each unit, the largest first; kl (Z,) nats, active (Z,) booleans."""
    kl, active = np.asarray(kl, dtype=float), np.asarray(active, dtype=bool)
    order = np.argsort(-kl, kind="stable")
    figure, axes = _figure(9, 3.6, f"KL of each latent unit; {kl.sum():.2f} nats together")
    dead: dict[str, Any] = {"color": "white", "ec": MIDDLE, "hatch": "////"}
    for shown, look, name in ((active, {"color": DARK}, "active"), (~active, dead, "not active")):
        at = np.flatnonzero(shown[order])
        if at.size:
            axes.bar(at, kl[order[at]], **look, label=f"{at.size} {name}")
    axes.set_xlim(-0.8, max(len(kl), 6) - 0.2)
    if len(kl) <= NAMED_UNITS:
        axes.set_xticks(np.arange(len(kl)), order.tolist(), fontsize=9 if len(kl) <= 24 else 8)
        axes.set_xlabel("unit")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.set_xlabel("units, by rank")
    axes.set_ylabel("KL, nats per example")
    hide_spines(axes)
    axes.legend(frameon=False, loc="upper right")
    return figure


def latent_plane(codes: Any, labels: Any = None) -> Figure:
    """A scatter plot of the codes (N,2) of a model with two latent units, coloured by label."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise InputError(f"a latent plane needs codes of shape (N, 2), got {codes.shape}")
    figure, axes = _figure(6.4, 5.6, "where the test examples lie")
    first, second = codes.T
    if labels is None:
        axes.scatter(first, second, s=4, color=DARK, alpha=0.5, linewidths=0)
    else:
        classes, index = np.unique(labels, return_inverse=True)
        norm = BoundaryNorm(np.arange(len(classes) + 1) - 0.5, max(256, len(classes)))
        dots = axes.scatter(first, second, s=5, c=index, cmap="turbo", norm=norm, linewidths=0)
        for k, label in enumerate(classes):
            x, y = np.median(codes[index == k], axis=0)
            disc = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
            axes.text(x, y, str(label), weight="bold", ha="center", va="center", bbox=disc)
        bar = figure.colorbar(dots, ax=axes)
        bar.set_ticks(range(len(classes)), labels=[str(c) for c in classes])
        bar.outline.set_visible(False)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel("first latent unit")
    axes.set_ylabel("second latent unit")
    hide_spines(axes)
    return figure


def _strips(table: Any, marks: Sequence[str], title: str, gap: int = 0) -> tuple[Figure, Axes, int]:
    """Rows of images (R,C,D), each with a mark at its left.

    `gap` pixels set the first and the last image of a row apart. Returns the figure, its axes and
    the width of all in pixels.
    """
    table = np.asarray(table)
    rows, columns, _ = table.shape
    image = grid(table.reshape(rows * columns, -1), columns)
    width = image.shape[1]
    cell = width // columns
    image = np.insert(image, gap * [cell, width - cell], 0, axis=1)
    beside, below = (1.75, 0.8) if marks else (0.1, 0.6)  # inches of text
    height = (9 - beside) * len(image) / image.shape[1] + below
    figure, axes = _figure(9, height, title)
    show_image(axes, image)
    hide_spines(axes, *axes.spines)
    axes.tick_params(length=0, labelsize=9)
    middle = len(image) / rows * (np.arange(rows) + 0.5) - 0.5
    axes.set_yticks(middle if marks else [], marks)
    axes.set_xticks([])
    return figure, axes, image.shape[1]


def interpolations(
    first: Any, decoded: Any, second: Any, title: str = "from one test example to another"
) -> Figure:
    """A row for each pair: one original, the decoded codes between the two, the other original.

    first, second (N,D) in [0, 1]; decoded (N,S,D)
    """
    first, decoded, second = (np.asarray(a) for a in (first, decoded, second))
    table = np.concatenate((first[:, None], decoded, second[:, None]), axis=1)
    gap = image_side(table.shape[-1]) // 2
    figure, axes, width = _strips(table, (), title, gap)
    cell = (width - 2 * gap) / table.shape[1]
    axes.set_xticks([cell / 2, width / 2, width - cell / 2], ["original", "decoded", "original"])
    return figure


def traversals(
    decoded: Any, marks: Sequence[str], values: Any, title: str, of: str = "unit", along: str = ""
) -> Figure:
    """A row for each unit, with a mark at its left, and a column for each value: (U,S,D)

    `values` (S,) label the columns, `along` and `of` the two axes.
    """
    figure, axes, width = _strips(decoded, marks, title)
    places = (np.arange(len(values)) + 0.5) * width / len(values) - 0.5
    axes.set_xticks(places, [f"{value:g}" for value in np.round(values, 2)])
    axes.set_xlabel(along)
    axes.set_ylabel(of)
    return figure


def manifold(decoded: Any, across: Any, up: Any, units: Sequence[int], title: str) -> Figure:
    """Decoded codes (n,n,D) over two units; their values are `across` (n,) and `up` (n,)."""
    decoded = np.asarray(decoded)
    n, _, D = decoded.shape
    side = image_side(D)
    figure, axes = _figure(7, 7.2, title)
    show_image(axes, grid(decoded.reshape(n * n, D), n, margin=0))
    for axis, values, cells in (
        (axes.xaxis, np.asarray(across), np.arange(n)),
        (axes.yaxis, np.asarray(up), np.arange(n)[::-1]),
    ):
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(values[0], values[-1])
        ticks = ticks[(ticks >= values[0]) & (ticks <= values[-1])]
        places = np.interp(ticks, values, cells)  # the values are not equally spaced
        axis.set_ticks((places + 0.5) * side - 0.5, [f"{tick:g}" for tick in ticks], fontsize=9)
    axes.set_xlabel(f"unit {units[0]}")
    axes.set_ylabel(f"unit {units[1]}")
    return figure


def anomalies(worst: Any, best: Any, columns: int = 8) -> Figure:
    """The least and the most likely examples, side by side, each with its score below it.

    `worst` and `best` are each (images (N,D), scores as text, labels as text or None).
    """
    columns = min(columns, len(worst[0]))
    rows = -(-len(worst[0]) // columns)
    figure = Figure(figsize=(11, 6.8 / columns * rows + 0.3), layout="constrained")
    for axes, (images, scores, labels), title in zip(
        figure.subplots(1, 2), (worst, best), ("the least likely", "the most likely"), strict=True
    ):
        images = np.asarray(images)
        side = image_side(images.shape[1])
        room = -(-side // 3)  # for the text
        cells = np.pad(images.reshape(-1, side, side), ((0, 0), (0, room), (0, 0)))
        show_image(axes, grid(cells, columns))
        axes.set_axis_off()
        for i, score in enumerate(scores):
            row, column = divmod(i, columns)
            x, y = column * (side + 2) + side / 2, row * (side + room + 2) + side + 1
            text = score + (f", {labels[i]}" if labels else "")
            axes.text(x, y, text, ha="center", va="top", fontsize=8, color=DARK)
        title += ": score in nats, label (* anomalous)" if labels else ": score in nats"
        set_title(axes, title)
    return figure
