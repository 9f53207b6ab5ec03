"""Figures of rows that are not images: tables, with a small panel for each column.

Values are in the units of the data. Matplotlib is slow to import, so import this module only where
a figure is drawn; `plots.py` has the style.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .plots import DARK, LIGHT, MIDDLE, hide_spines, set_title
from .texts import plain

PANELS, ACROSS = 16, 4  # most panels of a figure, and in a row
LETTERS = 20  # of a column's name


def r_squared(originals: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """The fraction of each column's variance that is reconstructed (D,); NaN for a constant column.

    R^2 = 1 - sum (x - x_hat)^2 / sum (x - mean)^2
    """
    lost = ((originals - decoded) ** 2).sum(axis=0)
    total = ((originals - originals.mean(axis=0)) ** 2).sum(axis=0)
    varies = np.ptp(originals, axis=0) > 0
    return np.where(varies, 1 - lost / np.where(varies, total, 1), np.nan)


def reconstructions(originals: Any, decoded: Any, names: Sequence[str]) -> Figure:
    """Reconstructed against original values (N,D) of each column, the best R^2 first.

    Of more than 16 columns, the eight best and the eight worst.
    """
    originals, decoded = (np.asarray(a, dtype=float) for a in (originals, decoded))
    quality = r_squared(originals, decoded)
    order = np.argsort(-quality, kind="stable")  # NaN last
    title, half = "reconstructed (vertical) against original (horizontal)", PANELS // 2
    if len(order) > PANELS:
        order = np.append(order[:half], order[-half:])
        title += f": the {half} best and the {half} worst of {len(names)} columns"
    figure, panels = _panels(len(order), title, 1.0)
    for axes, j in zip(panels, order, strict=True):
        x, y = originals[:, j], decoded[:, j]
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        room = 0.05 * (high - low) or 0.5
        axes.axline((low, low), slope=1, color=MIDDLE, lw=1)
        axes.scatter(x, y, s=5, color=DARK, alpha=0.35, linewidths=0)
        axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room), aspect="equal")
        axes.yaxis.set_major_locator(MaxNLocator(3))
        of = "constant" if np.isnan(quality[j]) else f"R² {quality[j]:.2f}"
        set_title(axes, f"{plain(names[j], LETTERS)}  {of}").set_fontsize(9)
    return figure


def samples(drawn: Any, data: Any, names: Sequence[str], title: str) -> Figure:
    """A histogram of each column of the samples (n,D), and of the data (N,D), if not None.

    The first 16 of more columns. The outermost bins hold what lies outside them too, in each set
    at most the highest and the lowest 0.5 % of the values.
    """
    drawn = np.asarray(drawn, dtype=float)
    shown = min(drawn.shape[1], PANELS)
    if shown < drawn.shape[1]:
        title += f": the first {shown} of {len(names)} columns"
    figure, panels = _panels(shown, title, 0.75)
    sets = {"samples": drawn} if data is None else {"samples": drawn, "data": np.asarray(data)}
    bins = int(min(30, max(8, min(map(len, sets.values())) ** 0.5)))
    for j, axes in enumerate(panels):
        low = min(np.percentile(x[:, j], 0.5, method="lower") for x in sets.values())
        high = max(np.percentile(x[:, j], 99.5, method="higher") for x in sets.values())
        edges = np.histogram_bin_edges([], bins, (low, high))
        for name, rows in sets.items():
            look: dict[str, Any] = {"color": LIGHT, "fill": True}
            if name == "data":
                look = {"color": DARK, "lw": 1.2}
            inside = np.clip(rows[:, j], edges[0], edges[-1])
            axes.stairs(np.histogram(inside, edges)[0] / len(rows), edges, label=name, **look)
        axes.set_yticks([])
        hide_spines(axes, "left", "top", "right")
        set_title(axes, plain(names[j], LETTERS)).set_fontsize(9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside upper right", ncols=2, fontsize=9)
    return figure


def _panels(n: int, title: str, aspect: float) -> tuple[Figure, list[Axes]]:
    """A figure with n panels; `aspect` is their height divided by their width."""
    across = min(n, ACROSS)
    down = -(-n // across)
    width = 9 / ACROSS * across
    figure = Figure(figsize=(max(width, 5), 9 / ACROSS * aspect * down + 0.5), layout="constrained")
    figure.suptitle(plain(title), fontsize=11, color=DARK, x=0.01, ha="left")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid:
        hide_spines(axes)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    for axes in grid[n:]:
        axes.set_axis_off()
    return figure, list(grid[:n])
