"""Charts of numbers: what each latent unit says, and how far each gradient is off.

As in `plots.py`, each function returns a Figure, and the colours differ in lightness too.
"""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..gradcheck import Report
from ..gradcheck.report import GOOD
from .plots import DARK, LIGHT, MIDDLE

MARKED = 40  # units that can be named below their bars
EXACT = 1e-18  # where an error of 0 is put on a logarithmic axis


def unit_kl(kl: Any, active: Any) -> Figure:
    """A bar for the mean KL of each unit, (Z,), nats, the largest first; active (Z,) booleans."""
    kl, active = np.asarray(kl, dtype=float), np.asarray(active, dtype=bool)
    order = np.argsort(-kl, kind="stable")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    bars = axes.bar(np.arange(len(kl)), kl[order], width=0.8, color=DARK)
    for bar, on in zip(bars, active[order], strict=True):
        if not on:
            bar.set(facecolor="white", edgecolor=MIDDLE, hatch="////")
    axes.set_xlim(-0.8, max(len(kl), 6) - 0.2)
    if len(kl) <= MARKED:
        axes.set_xticks(np.arange(len(kl)), order.tolist(), fontsize=9 if len(kl) <= 24 else 8)
        axes.set_xlabel("unit")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.set_xlabel("units, by rank")
    axes.set_ylabel("KL, nats per example")
    axes.spines[["top", "right"]].set_visible(False)
    kinds: list[tuple[np.ndarray, dict[str, Any], str]] = [(active, {"fc": DARK}, "active")]
    kinds += [(~active, {"fc": "white", "ec": MIDDLE, "hatch": "////"}, "not active")]
    patches = [Patch(**look, label=f"{on.sum()} {name}") for on, look, name in kinds if on.any()]
    axes.legend(handles=patches, frameon=False, loc="upper right")
    title = f"KL of each latent unit; {kl.sum():.2f} nats together"
    axes.set_title(title, fontsize=11, loc="left", color=DARK)
    return figure


def gradient_errors(reports: Iterable[tuple[str, Report]]) -> Figure:
    """A row for each subject: the error of each of its gradients, and from where it would be seen.

    Both are relative to the size of the gradient, on a logarithmic axis. A gradient passed if its
    error is below its resolution; a line joins the two.
    """
    reports = list(reports)
    figure = Figure(figsize=(9, 1.5 + 0.27 * len(reports)), layout="constrained")
    axes = figure.subplots()
    count, wrong, names = 0, 0, []
    for row, (name, report) in enumerate(reports):
        leaves = report.leaves
        for i, leaf in enumerate(leaves):
            good = leaf.verdict in GOOD
            count, wrong = count + 1, wrong + (not good)
            if not isfinite(leaf.error + leaf.resolution):
                name += f", d{leaf.name} {leaf.verdict}"
                continue
            y = row + 0.6 * ((i + 0.5) / len(leaves) - 0.5)  # each gradient on a line of its own
            found, seen = max(leaf.error, EXACT), max(leaf.resolution, EXACT)
            axes.plot((found, seen), (y, y), "-", color=LIGHT, lw=0.6)
            axes.plot(seen, y, "|", color=LIGHT, ms=6, mew=2)
            marker, colour = ("o", DARK) if good else ("X", MIDDLE)
            axes.plot(found, y, marker, color=colour, ms=3.5 if good else 8, zorder=3)
        if report.verdict not in (*GOOD, *(leaf.verdict for leaf in leaves)):
            name += f", {report.verdict}"
        names.append(name)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, EXACT / 3), max(high, 1e-3))
    powers = np.arange(-15, np.log10(axes.get_xlim()[1]) + 1e-9, 3)
    axes.set_xticks([EXACT, *10.0**powers], ["0", *(f"$10^{{{p:.0f}}}$" for p in powers)])
    axes.minorticks_off()
    axes.set_yticks(range(len(reports)), names, fontsize=9)
    axes.set_ylim(len(reports) - 0.4, -0.6)
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("error of a gradient, relative to its size")
    looks = [("o", DARK, 4, "error found"), ("|", LIGHT, 8, "smallest error that would be seen")]
    looks += [("X", MIDDLE, 8, "did not pass")] if wrong else []
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=size, mew=2 if marker == "|" else 1,
               linestyle="none", label=label)
        for marker, colour, size, label in looks
    ]  # fmt: skip
    figure.legend(handles=handles, frameon=False, loc="outside upper right", ncols=len(handles))
    title = f"{count - wrong} of {count} gradients passed"
    axes.set_title(title, fontsize=11, loc="left", color=DARK)
    return figure
