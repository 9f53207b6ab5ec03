"""Figures: each function takes arrays and returns a matplotlib Figure, and changes no global state.

Images are (N,H,W), ink on paper (0 is white, 1 black), or (N,H,W,3), colour, with values in [0, 1].
Grey photographs are three equal colours: `gallery.drawn` converts rows to what suits their model.

Matplotlib is slow to import, so import this module only where a figure is drawn. The colours and
helpers at its top are the style of every figure. The colours also differ in lightness, so they
remain distinguishable in black and white.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, isnan
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from ..errors import InputError
from ..files.atomic import write_atomically
from . import class_colours
from .texts import captions, font_size, measured, plain
from .tiles import checked, grid, on_white, padded, per_row, stacked

DARK, MIDDLE, LIGHT = "#1b2a49", "#c8553d", "#8fa6c6"
FAINT = "#d3dae6"
LOSSES = {"train_loss": ("train", "--", LIGHT), "test_loss": ("test", "-", DARK)}
NAMED_UNITS = 40  # most bars that are numbered
SHARP = 100  # most pixels of an image per inch; figures are saved at 110 dpi: none is lost


def set_title(axes: Axes, text: str) -> Text:
    return axes.set_title(text, fontsize=11, loc="left", color=DARK)


def hide_spines(axes: Axes, *sides: str) -> None:
    """Hide the frame on these sides; at the top and on the right if none is named."""
    axes.spines[list(sides or ("top", "right"))].set_visible(False)


def show_image(axes: Axes, image: np.ndarray, **more: Any) -> AxesImage:
    """Draw an image unsmoothed, grey (H,W) or colour (H,W,3)."""
    return axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", **more)


def save_figure(figure: Figure, path: Path) -> None:
    """Save the figure, atomically, in the format that the suffix names."""
    kind = path.suffix.lower().lstrip(".")
    write_atomically(path, lambda f: figure.savefig(f, format=kind, dpi=110))


def _figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of about this size in inches, with one pair of axes and room for text."""
    figure = Figure(figsize=(max(width, 4), max(height, 1.5)), layout="constrained")
    axes = figure.subplots()
    set_title(axes, fill(plain(title), int(11 * width)))
    return figure, axes


def _picture(table: np.ndarray, width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of pixels alone."""
    figure, axes = _figure(width, height, title)
    show_image(axes, table)
    axes.set_axis_off()
    return figure, axes


def _frame(axes: Axes, images: np.ndarray, size: tuple[int, ...], down: int, top: int = 1) -> None:
    """A hairline around each colour image of a table of this size, if most lie on white.

    The rows of images begin at `top`, every `down` pixels.
    """
    if not on_white(images):
        return
    height, width = images.shape[1:3]
    places = product(range(top, size[0], down), range(1, size[1], width + 2))
    for _, (y, x) in zip(images, places, strict=False):
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, ec=FAINT, lw=0.6))


def samples(
    images: Any, title: str = "samples from the prior", columns: int | None = None
) -> Figure:
    """Decoded images, in a square unless `columns` is given."""
    images = checked(images)
    table = grid(images, columns)
    longest = max(table.shape[:2])
    height, width = (max(6, longest / SHARP) * side / longest for side in table.shape[:2])
    figure, axes = _picture(table, width, height + 0.35, title)
    _frame(axes, images, table.shape, images.shape[1] + 2)
    return figure


def reconstructions(originals: Any, decoded: Any, columns: int = 16) -> Figure:
    """Rows of originals, each above its reconstruction; both in [0, 1].

    The rows of pairs stand apart, by a third of an image more than the two of a pair.
    """
    originals = checked(originals)
    n, high = originals.shape[:2]
    room = per_row(originals, columns)
    columns = min(room, n)
    table = stacked((originals, decoded), columns)
    pair, gap = 2 * (high + 2), ceil(high / 3)
    between = np.repeat(np.arange(pair, len(table), pair), gap)
    table = np.insert(table, between, originals.ndim == 4, axis=0)
    width = max(4, 9 * columns / room, table.shape[1] / SHARP)
    height = width * len(table) / table.shape[1] + 0.4
    figure, axes = _picture(table, width, height, "originals, each above its reconstruction")
    for top in (1, high + 3):
        _frame(axes, originals, table.shape, pair + gap, top)
    return figure


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


def latent_plane(
    codes: Any,
    labels: Any = None,
    units: Sequence[str] = ("first latent unit", "second latent unit"),
) -> Figure:
    """A scatter plot of codes (N,2), coloured by label; `units` name the axes."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise InputError(f"a latent plane needs codes of shape (N, 2), got {codes.shape}")
    figure, axes = _figure(6.4, 5.6, "codes of the test examples")
    first, second = codes.T
    size = np.clip(220 / max(len(codes), 1) ** 0.5, 5, 40)
    if labels is None:
        axes.scatter(first, second, s=size, color=DARK, alpha=0.5, linewidths=0)
    elif (values := measured(labels)) is not None:
        dots = axes.scatter(first, second, s=size, c=values, cmap="viridis", linewidths=0)
        figure.colorbar(dots, ax=axes, shrink=0.5, anchor=(0, 1)).outline.set_visible(False)
    else:
        classes, index = np.unique(labels, return_inverse=True)
        colours = ListedColormap(class_colours(len(classes)))
        dots = axes.scatter(first, second, s=size, c=index, cmap=colours, linewidths=0)
        dots.set_clim(-0.5, len(classes) - 0.5)
        names = [plain(label) for label in classes]
        if max(map(len, names)) <= 2:  # longer ones would hide points
            outline = [withStroke(linewidth=2, foreground="white")]
            for k, name in enumerate(names):
                x, y = np.median(codes[index == k], axis=0)
                axes.text(x, y, name, weight="bold", ha="center", va="center", path_effects=outline)
        bar = figure.colorbar(dots, ax=axes, shrink=min(1, 0.1 * len(names)), anchor=(0, 1))
        bar.set_ticks(range(len(names)), labels=names)
        bar.outline.set_visible(False)
    axes.set_aspect("equal", "datalim")
    axes.set(xlabel=units[0], ylabel=units[1])
    hide_spines(axes)
    return figure


def _strips(table: Any, marks: Sequence[str], title: str, gap: int = 0) -> tuple[Figure, Axes, int]:
    """Rows of images (R,C,H,W) or (R,C,H,W,3), each with a mark on its left.

    `gap` pixels set the first and the last image of a row apart. Wide images make a wider figure,
    of at most 18 inches. Returns the figure, its axes and the width of all in pixels.
    """
    table = np.asarray(table)
    rows, columns = table.shape[:2]
    image = grid(table.reshape(rows * columns, *table.shape[2:]), columns)
    white, cell = table.ndim == 5, image.shape[1] // columns
    image = np.insert(image, gap * [cell, image.shape[1] - cell], white, axis=1)
    beside, below = (1.75, 0.8) if marks else (0.1, 0.6)  # inches of text
    wide = 0.5 * image.shape[1] / (table.shape[2] + 2)  # inches, for rows of half an inch
    width = max(9, min(18, wide + beside), image.shape[1] / SHARP + beside)
    height = (width - beside) * len(image) / image.shape[1] + below
    figure, axes = _figure(width, height, title)
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

    first, second (N,H,W) or (N,H,W,3); decoded (N,S,H,W) or (N,S,H,W,3)
    """
    first, decoded, second = (np.asarray(a) for a in (first, decoded, second))
    table = np.concatenate((first[:, None], decoded, second[:, None]), axis=1)
    gap = min(table.shape[2:4]) // 2
    figure, axes, width = _strips(table, (), title, gap)
    cell = (width - 2 * gap) / table.shape[1]
    axes.set_xticks([cell / 2, width / 2, width - cell / 2], ["original", "decoded", "original"])
    return figure


def traversals(
    decoded: Any, marks: Sequence[str], values: Any, title: str, of: str = "unit", along: str = ""
) -> Figure:
    """A row for each unit, with a mark on its left, and a column for each value.

    decoded (U,S,H,W) or (U,S,H,W,3); `values` (S,) label the columns, `along` their axis, and `of`
    stands above the marks.
    """
    figure, axes, width = _strips(decoded, marks, title)
    places = (np.arange(len(values)) + 0.5) * width / len(values) - 0.5
    axes.set_xticks(places, [f"{value:g}" for value in np.round(values, 2)])
    axes.set_xlabel(along)
    axes.annotate(  # above the marks: few rows of wide images have no room for a label beside them
        of, (0, 1), (-10, 6), xycoords="axes fraction", textcoords="offset points", ha="right",
        fontsize=9, style="italic",
    )  # fmt: skip
    return figure


def manifold(decoded: Any, across: Any, up: Any, units: Sequence[int], title: str) -> Figure:
    """Decoded codes (n,n,H,W) or (n,n,H,W,3) over two units, whose values are `across` and `up`.

    across, up (n,)
    """
    decoded = np.asarray(decoded)
    n, _, *shape = decoded.shape
    table = grid(decoded.reshape(n * n, *shape), n, margin=0)
    longest = max(table.shape[:2])
    height, width = (max(7, longest / SHARP) * side / longest for side in table.shape[:2])
    figure, axes = _figure(width, height + 0.2, title)
    show_image(axes, table)
    for axis, values, cells, side in (
        (axes.xaxis, np.asarray(across), np.arange(n), shape[1]),
        (axes.yaxis, np.asarray(up), np.arange(n)[::-1], shape[0]),
    ):
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(values[0], values[-1])
        ticks = ticks[(ticks >= values[0]) & (ticks <= values[-1])]
        places = np.interp(ticks, values, cells)  # the values are not equally spaced
        axis.set_ticks((places + 0.5) * side - 0.5, [f"{tick:g}" for tick in ticks], fontsize=9)
    axes.set_xlabel(f"unit {units[0]}")
    axes.set_ylabel(f"unit {units[1]}")
    return figure


def anomalies(worst: Any, best: Any, below: str = "", columns: int = 8) -> Figure:
    """The least and the most likely examples, side by side, each with its score below it.

    worst, best   each (images, scores as text, labels as text or None); `best` may be None
    below         says what stands below an image, and what a star there means

    Labels stand beside the scores if all are short, else below them, broken into lines.
    """
    sets = {"least likely": worst, "most likely": best} if best else {"": worst}
    images = checked(worst[0])
    n, height, width = images.shape[:3]
    columns = min(n, per_row(images, columns))
    labels = [str(label) for _, _, labels in sets.values() for label in labels or [""]]
    beside = max(map(len, labels))
    longest = max(len(text) for _, texts, _ in sets.values() for text in texts)
    half = max(5.5 if best else 3, columns * (width + 2) / SHARP)  # inches; 0.928 are of images
    pixel = 0.928 * half / columns / (width + 2)
    letters = max(2, int(pixel * (width + 2) / 0.065))  # that have room in a line
    sep = ", " if beside <= 3 and longest + beside + 2 <= letters else "\n"
    texts = {
        name: captions(scores, labels, sep, letters) for name, (_, scores, labels) in sets.items()
    }
    every = [text for each in texts.values() for text in each]
    size = font_size(every, 72 * pixel * (width + 1), 8)
    most = 1 + max(text.count("\n") for text in every)
    room = ceil((0.21 * min(most, 3) + 0.15 * max(most - 3, 0)) / pixel)
    below = below or "score in nats" + ", label (* anomalous)" * any(labels)
    below = fill(plain(f"below each image: {below}"), int(13 * len(sets) * half))
    high = pixel * (height + room + 2) * -(-n // columns) + 0.6 + 0.15 * below.count("\n")
    figure = Figure(figsize=(len(sets) * half, max(high, 1)), layout="constrained")
    figure.suptitle(below, fontsize=9, color=DARK, x=0.01, ha="left")
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    for axes, (title, (images, _, _)) in zip(panels, sets.items(), strict=True):
        table = grid(padded(checked(images), (0, 0), (0, room)), columns)
        show_image(axes, table)
        axes.set_axis_off()
        _frame(axes, checked(images), table.shape, height + room + 2)
        for i, text in enumerate(texts[title]):
            row, column = divmod(i, columns)
            x, y = column * (width + 2) + width / 2, row * (height + room + 2) + height + 1
            axes.text(x, y, text, ha="center", va="top", fontsize=size, color=DARK)
        set_title(axes, title)
    return figure
