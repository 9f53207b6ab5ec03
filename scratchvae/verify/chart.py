"""A chart of the error of every checked gradient beside the resolution of its check."""

from collections.abc import Iterable
from math import isfinite

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..gradcheck import Report
from ..gradcheck.report import GOOD
from ..pictures.plots import DARK, LIGHT, MIDDLE, hide_spines, set_title

ZERO = 1e-18  # where an error of 0 is drawn on the logarithmic axis


def gradient_errors(reports: Iterable[tuple[str, Report]]) -> Figure:
    """A row for each subject: the error and the resolution of each of its gradients.

    Both are relative to the size of the gradient, on a logarithmic axis. A gradient passed if its
    error is below its resolution, the smallest error that the check detects; a line joins the two.
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
            y = row + 0.6 * ((i + 0.5) / len(leaves) - 0.5)  # so that gradients do not overlap
            found, seen = max(leaf.error, ZERO), max(leaf.resolution, ZERO)
            axes.plot((found, seen), (y, y), "-", color=LIGHT, lw=0.6)
            axes.plot(seen, y, "|", color=LIGHT, ms=6, mew=2)
            marker, colour = ("o", DARK) if good else ("X", MIDDLE)
            axes.plot(found, y, marker, color=colour, ms=3.5 if good else 8, zorder=3)
        if report.verdict not in (*GOOD, *(leaf.verdict for leaf in leaves)):
            name += f", {report.verdict}"
        names.append(name)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, ZERO / 3), max(high, 1e-3))
    powers = np.arange(-15, np.log10(axes.get_xlim()[1]) + 1e-9, 3)
    axes.set_xticks([ZERO, *10.0**powers], ["0", *(f"$10^{{{p:.0f}}}$" for p in powers)])
    axes.minorticks_off()
    axes.set_yticks(range(len(reports)), names, fontsize=9)
    axes.set_ylim(len(reports) - 0.4, -0.6)
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    hide_spines(axes, "top", "right", "left")
    axes.set_xlabel("relative error of a gradient")
    looks = [("o", DARK, 4, "error found"), ("|", LIGHT, 8, "smallest detectable error")]
    looks += [("X", MIDDLE, 8, "did not pass")] if wrong else []
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=size, mew=2 if marker == "|" else 1,
               linestyle="none", label=label)
        for marker, colour, size, label in looks
    ]  # fmt: skip
    figure.legend(handles=handles, frameon=False, loc="outside upper right", ncols=len(handles))
    set_title(axes, f"{count - wrong} of {count} gradients passed")
    return figure
