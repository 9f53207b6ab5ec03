"""Pictures of a run. Each function returns a matplotlib Figure; nothing global is touched.

Matplotlib is imported here, and this module only where a picture is wanted. The colours are told
apart in black and white too, by lightness and by the style of the line.
"""

from collections.abc import Mapping, Sequence
from math import ceil, isnan, isqrt
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import InputError

DARK, MIDDLE, LIGHT = "#1b2a49", "#c8553d", "#8fa6c6"


def image_side(n_features: int) -> int:
    """The side of square images with that many pixels, or InputError."""
    side = isqrt(n_features)
    if side * side != n_features:
        raise InputError(f"rows of {n_features} features are not square images: nothing to draw")
    return side


def are_images(n_features: int) -> bool:
    """Whether rows of that many features can be drawn."""
    return isqrt(n_features) ** 2 == n_features


def grid(images: Any, columns: int | None = None) -> np.ndarray:
    """One large image (height, width) of images (N,D) or (N, height, width), row by row.

    Pixels in [0, 1]; ink is drawn dark on white, so 1 becomes black.
    """
    images = np.asarray(images, dtype=float)
    if images.ndim == 2:
        side = image_side(images.shape[1])
        images = images.reshape(-1, side, side)
    n, height, width = images.shape
    columns = columns or ceil(n**0.5)
    rows = -(-n // columns)
    padded = np.zeros((rows * columns, height + 2, width + 2))
    padded[:n, 1:-1, 1:-1] = np.clip(images, 0, 1)
    table = padded.reshape(rows, columns, height + 2, width + 2).swapaxes(1, 2)
    return table.reshape(rows * (height + 2), columns * (width + 2))


def _show(figure: Figure, image: np.ndarray, title: str) -> None:
    axes = figure.subplots()
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, loc="left", color=DARK)


def samples(
    images: Any, title: str = "samples from the prior", columns: int | None = None
) -> Figure:
    """Decoded images (N,D), in a square unless the columns are given."""
    table = grid(images, columns)
    width, height = _size(table)
    figure = Figure(figsize=(width, height + 0.35), layout="constrained")
    _show(figure, table, title)
    return figure


def _size(table: np.ndarray, longest: float = 6.0) -> tuple[float, float]:
    """Width and height in inches of a table of pixels, its longer side being `longest`."""
    height, width = table.shape
    return longest * width / max(table.shape), longest * height / max(table.shape)


def reconstructions(originals: Any, decoded: Any, columns: int = 16) -> Figure:
    """Rows of originals, each above its reconstruction; both (N,D) in [0, 1]."""
    originals, decoded = np.asarray(originals), np.asarray(decoded)
    n, columns = len(originals), min(columns, len(originals))
    rows = -(-n // columns)
    pairs = np.zeros((rows * columns, 2, originals.shape[1]))
    pairs[:n, 0], pairs[:n, 1] = originals, decoded
    above = pairs.reshape(rows, columns, 2, -1).swapaxes(1, 2)
    table = grid(above.reshape(2 * len(pairs), -1), columns)
    width = max(4, 9 * columns / 16)
    height = width * len(table) / table.shape[1] + 0.4
    figure = Figure(figsize=(width, height), layout="constrained")
    _show(figure, table, "originals, each above its reconstruction")
    return figure


def loss_curves(history: Sequence[Mapping[str, float]], title: str = "negative ELBO") -> Figure:
    """Loss of both splits, under that title, and the two parts of the ELBO; nats per example."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [r["epoch"] for r in history]
    for axes, names in (
        (left, {"train_loss": ("train", "--", LIGHT), "test_loss": ("test", "-", DARK)}),
        (right, {"rec": ("reconstruction", "-", DARK), "kl": ("KL", "--", MIDDLE)}),
    ):
        for name, (label, style, colour) in names.items():
            values = [r[name] for r in history]
            if not all(isnan(v) or v == 0 for v in values):
                marker = "o" if len(values) == 1 else None
                axes.plot(epochs, values, style, color=colour, label=label, marker=marker)
                if name != "train_loss":  # its end lies too near that of the test loss
                    at = epochs[-1], values[-1]
                    axes.annotate(f" {values[-1]:.1f}", at, color=colour, va="center", fontsize=9)
        axes.set_xlabel("epoch")
        axes.set_ylabel("nats per example")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    left.set_title(title, fontsize=11, loc="left", color=DARK)
    right.set_title("reconstruction and KL", fontsize=11, loc="left", color=DARK)
    return figure


def latent_plane(codes: Any, labels: Any = None) -> Figure:
    """The codes (N,2) of a model with two latent units, coloured by label if there are labels."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise InputError(f"a latent plane needs codes of shape (N, 2), got {codes.shape}")
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    if labels is None:
        axes.scatter(codes[:, 0], codes[:, 1], s=4, color=DARK, alpha=0.5, linewidths=0)
    else:
        classes, index = np.unique(labels, return_inverse=True)
        norm = BoundaryNorm(np.arange(len(classes) + 1) - 0.5, max(256, len(classes)))
        axes.scatter(codes[:, 0], codes[:, 1], s=5, c=index, cmap="turbo", norm=norm, linewidths=0)
        for k, label in enumerate(classes):
            x, y = np.median(codes[index == k], axis=0)
            disc = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
            axes.text(x, y, str(label), weight="bold", ha="center", va="center", bbox=disc)
        bar = figure.colorbar(ScalarMappable(norm, "turbo"), ax=axes, ticks=range(len(classes)))
        bar.ax.set_yticklabels([str(c) for c in classes])
        bar.outline.set_visible(False)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel("first latent unit")
    axes.set_ylabel("second latent unit")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("where the test examples lie", fontsize=11, loc="left", color=DARK)
    return figure


def _strips(table: Any, marks: Sequence[str], title: str, gap: int = 0) -> tuple[Figure, Axes, int]:
    """Images (R,C,D) in rows, a mark at the left of each; the first and last `gap` apart.

    Returns the axes and the width of the whole in pixels too.
    """
    table = np.asarray(table)
    rows, columns, _ = table.shape
    parts = [grid(table.reshape(rows * columns, -1), columns)]
    if gap:
        cell = parts[0].shape[1] // columns
        space = np.zeros((len(parts[0]), gap))
        inner = parts[0][:, cell:-cell]
        parts = [parts[0][:, :cell], space, inner, space, parts[0][:, -cell:]]
    image = np.concatenate(parts, axis=1)
    beside, below = (1.75, 0.8) if marks else (0.1, 0.6)  # inches that the text takes
    height = (9 - beside) * len(image) / image.shape[1] + below
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    middle = len(image) / rows * (np.arange(rows) + 0.5) - 0.5
    axes.set_yticks(middle if marks else [], marks)
    axes.set_xticks([])
    axes.set_title(title, fontsize=11, loc="left", color=DARK)
    return figure, axes, image.shape[1]


def interpolations(
    first: Any, decoded: Any, second: Any, title: str = "from one test example to another"
) -> Figure:
    """A row for each pair: an original, the codes between the two decoded, the other original.

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
    """A row for each unit, named by its mark, at each of its values (S,); decoded (U,S,D)

    `of` says what the marks are, `along` what the values are.
    """
    figure, axes, width = _strips(decoded, marks, title)
    places = (np.arange(len(values)) + 0.5) * width / len(values) - 0.5
    axes.set_xticks(places, [f"{value:g}" for value in np.round(values, 2)])
    axes.set_xlabel(along)
    axes.set_ylabel(of)
    return figure


def manifold(decoded: Any, across: Any, up: Any, units: Sequence[int], title: str) -> Figure:
    """Decoded codes (n,n,D) over two units: the first takes the values across, the second up."""
    decoded = np.asarray(decoded)
    rows, columns, D = decoded.shape
    side = image_side(D)
    table = decoded.reshape(rows, columns, side, side).swapaxes(1, 2)
    image = table.reshape(rows * side, columns * side)  # no gaps: neighbours should merge
    figure = Figure(figsize=(7, 7.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    for axis, values, cells in (
        (axes.xaxis, np.asarray(across), np.arange(columns)),
        (axes.yaxis, np.asarray(up), np.arange(rows)[::-1]),
    ):
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(values[0], values[-1])
        ticks = ticks[(ticks >= values[0]) & (ticks <= values[-1])]
        places = np.interp(ticks, values, cells)  # the cells stand at unequal values
        axis.set_ticks((places + 0.5) * side - 0.5, [f"{tick:g}" for tick in ticks], fontsize=9)
    axes.set_xlabel(f"unit {units[0]}")
    axes.set_ylabel(f"unit {units[1]}")
    axes.set_title(title, fontsize=11, loc="left", color=DARK)
    return figure


def anomalies(worst: Any, best: Any, columns: int = 8) -> Figure:
    """The least and the most likely examples, side by side, each with its score below.

    Both are (images (N,D), scores as text, labels as text or None).
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
        cells = np.zeros((len(images), side + room, side))
        cells[:, :side] = images.reshape(-1, side, side)
        axes.imshow(grid(cells, columns), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        for i, score in enumerate(scores):
            row, column = divmod(i, columns)
            x, y = column * (side + 2) + side / 2, row * (side + room + 2) + side + 1
            text = score + (f", {labels[i]}" if labels else "")
            axes.text(x, y, text, ha="center", va="top", fontsize=8, color=DARK)
        title += ": score in nats, label (* anomalous)" if labels else ": score in nats"
        axes.set_title(title, fontsize=11, loc="left", color=DARK)
    return figure
