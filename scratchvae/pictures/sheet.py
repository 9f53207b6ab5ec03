"""What a diagram is drawn with: boxes, and arrows between them with a gradient flowing back beside.

One inch is one unit of the axes. `diagram.py` says what stands where.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from .plots import DARK, MIDDLE

Point = tuple[float, float]

WIDTH, HEIGHT = 1.6, 1.16  # of a box, where nothing else is said
APART = 0.13  # half the distance between an arrow and the gradient beside it


class Box:
    """A rectangle; its sides are where arrows begin and end."""

    def __init__(self, x: float, y: float, width: float = WIDTH, height: float = HEIGHT) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height

    def left(self, up: float = 0) -> Point:
        return self.x - self.width / 2, self.y + up

    def right(self, up: float = 0) -> Point:
        return self.x + self.width / 2, self.y + up

    def top(self) -> Point:
        return self.x, self.y + self.height / 2

    def bottom(self, across: float = 0) -> Point:
        return self.x + across, self.y - self.height / 2


class Sheet:
    """Axes to draw on."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def text(self, x: float, y: float, text: str, colour: str = DARK, **style: Any) -> None:
        usual: dict[str, Any] = {"fontsize": 10.5, "ha": "center", "va": "center"}
        self.axes.text(x, y, text, color=colour, **(usual | style))

    def box(self, box: Box, name: str, lines: Sequence[str] = (), gradient: str = "") -> Box:
        """A box with its name, what it computes, and the gradients of its parameters."""
        x, y = box.x - box.width / 2, box.y - box.height / 2
        style = "round,pad=0,rounding_size=0.08"
        self.axes.add_patch(
            FancyBboxPatch((x, y), box.width, box.height, style, fc="white", ec=DARK, lw=1.4)
        )
        rows: list[tuple[str, str, dict[str, Any]]] = [
            (name, DARK, {"weight": "bold", "fontsize": 12})
        ]
        rows += [(line, DARK, {"fontsize": _size(line, box.width)}) for line in lines]
        rows += [(gradient, MIDDLE, {})] if gradient else []
        for i, (text, colour, row) in enumerate(rows):
            self.text(box.x, box.y + 0.25 * ((len(rows) - 1) / 2 - i), text, colour, **row)
        return box

    def flow(self, points: Sequence[Point], forward: str, backward: str = "") -> None:
        """An arrow along straight segments; beside it, where it is named, a gradient flows back."""
        self.arrow(_shifted(points, APART if backward else 0), DARK, "-")
        segments = list(pairwise(points))
        (x0, y0), (x1, y1) = max(segments, key=lambda s: abs(s[0][0] - s[1][0] + s[0][1] - s[1][1]))
        x, y, away = (x0 + x1) / 2, (y0 + y1) / 2, (APART if backward else 0) + 0.05
        if y0 == y1:
            self.text(x, y + away, forward, va="bottom")
        else:
            self.text(x - away, y, forward, ha="right")
        if backward:
            self.arrow(_shifted(points, -APART)[::-1], MIDDLE, "--")
            if y0 == y1:
                self.text(x, y - away, backward, MIDDLE, va="top")
            else:
                self.text(x + away, y, backward, MIDDLE, ha="left")

    def arrow(self, points: Sequence[Point], colour: str, style: str) -> None:
        self.axes.add_line(Line2D(*zip(*points, strict=True), color=colour, ls=style, lw=1.5))
        head = FancyArrowPatch(
            path=Path([_toward(points[-1], points[-2], 0.02), points[-1]]), arrowstyle="-|>",
            mutation_scale=13, color=colour, lw=1, shrinkA=0, shrinkB=0,
        )  # fmt: skip
        self.axes.add_patch(head)


def _toward(a: Point, b: Point, far: float) -> Point:
    length = abs(a[0] - b[0]) + abs(a[1] - b[1])  # along an axis
    return a[0] + (b[0] - a[0]) * far / length, a[1] + (b[1] - a[1]) * far / length


def _shifted(points: Sequence[Point], by: float) -> list[Point]:
    """The segments moved: those along x upwards, those along y to the left."""
    moved = []
    for i, (x, y) in enumerate(points):
        beside = [points[j] for j in (i - 1, i + 1) if 0 <= j < len(points)]
        moved.append(
            (x - by * any(p[0] == x for p in beside), y + by * any(p[1] == y for p in beside))
        )
    return moved


def _size(line: str, width: float) -> float:
    """The size of the letters, smaller where a line would not fit."""
    return min(10.5, 112 * width / max(len(line), 1))
