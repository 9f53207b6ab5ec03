"""A diagram of a configured model: what it computes forward, every gradient, and all shapes.

The names are those of forward and backward in `models/vae.py`. A unit of the axes is an inch.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from ..errors import InputError
from ..models import IWAE, Autoencoder, Labelled, Model, SemiSupervisedVAE
from .plots import DARK, MIDDLE

Point = tuple[float, float]

WIDTH, HEIGHT = 1.6, 1.16  # of a box, by default
TALL, WIDE = 1.9, 2.06  # of the boxes that hold two things, or a formula
APART = 0.13  # half the distance between an arrow and its gradient
PITCH = 2.75  # from column to column
ABOVE, ENCODER, BETWEEN, DECODER = 6.3, 4.72, 2.82, 1.2  # the rows, from the lower edge

PIXEL = {  # what y means and the loss of a pixel, by likelihood
    "bernoulli": ("logits", "BCE from logits"),
    "continuous_bernoulli": ("logits", "BCE, log A(y)"),
    "gaussian": ("means", "Gaussian"),
}


def diagram(model: Model) -> Figure:
    """The diagram of a built model: forward solid, every gradient dashed and in another colour.

    Raises InputError for a SemiSupervisedVAE.
    """
    if isinstance(model, SemiSupervisedVAE):
        raise InputError(
            "a SemiSupervisedVAE (m2) is not drawn: it is a classifier and a ConditionalVAE that "
            "runs once for each class; draw cvae instead"
        )
    return _Drawing(model).figure


class Box:
    """A rectangle; arrows begin and end at the middle of a side, or so far from it."""

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
    """Draws boxes and arrows on axes."""

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
        """An arrow along straight segments; beside it, if it is named, the gradient flows back."""
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
    """The segments, shifted: horizontal ones upwards, vertical ones to the left."""
    moved = []
    for i, (x, y) in enumerate(points):
        beside = [points[j] for j in (i - 1, i + 1) if 0 <= j < len(points)]
        moved.append(
            (x - by * any(p[0] == x for p in beside), y + by * any(p[1] == y for p in beside))
        )
    return moved


def _size(line: str, width: float) -> float:
    """The font size, smaller where a line would not fit."""
    return min(10.5, 112 * width / max(len(line), 1))


class _Drawing:
    """The diagram of one model: the encoder above, from left to right; the decoder below, from
    right to left; the losses between them.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.p = model, model.params_
        D, Z, L = model.n_features_, model.latent_dim, len(model.hidden)
        self.D, self.Z = D, Z
        self.C = len(model.classes_) if isinstance(model, Labelled) else 0
        self.objective = getattr(model, "objective", "")
        self.point, self.weighted = isinstance(model, Autoencoder), isinstance(model, IWAE)
        self.B = "BK" if self.weighted else "B"  # rows that the decoder sees
        self.columns = max(L, 1) + 2 + (not self.point)
        width = (self.columns - 1) * PITCH + WIDTH + (1.2 if not self.point else 0.7)
        self.figure = Figure(figsize=(width, 7))
        axes = self.figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(0, 7))
        axes.set_axis_off()
        self.sheet = Sheet(axes)
        self.x = self.sheet.box(
            Box(self.at(0), ENCODER), "x, label" if self.C else "x",
            [f"{D} features", *([f"{self.C} classes"] if self.C else [])],
        )  # fmt: skip
        code = self.encoder()
        self.losses(self.decoder(code), code)
        self.words()

    def at(self, column: float) -> float:
        return 0.35 + WIDTH / 2 + column * PITCH

    def shape(self, name: str) -> str:
        return f"{name} ({','.join(map(str, self.p[name].shape))})"

    def layer(self, box: Box, name: str, tensor: str, formula: str) -> Box:
        return self.sheet.box(box, name, [formula, self.shape(tensor)], "dW  db")

    def encoder(self) -> Box:
        """x, hidden layers, the head and the sample; returns the box of the code."""
        before, rows = self.x, f"(B,{self.D}{f'+{self.C}' if self.C else ''})"
        gradient, of = "", "x"
        for i, width in enumerate(self.model.hidden):
            box = Box(self.at(i + 1), ENCODER)
            formula = f"{self.model.activation}({of} W + b)"
            self.layer(box, f"enc {i + 1}", f"enc{i}_W", formula)
            self.sheet.flow([before.right(), box.left()], rows, gradient)
            before, rows, gradient, of = box, f"(B,{width})", f"denc{i + 1}", "h"
        place = self.at(max(len(self.model.hidden), 1) + 1)
        if self.point:
            head = Box(place, ENCODER)
            self.layer(head, "mu, the code", "head_W", f"{of} W + b")
            self.sheet.flow([before.right(), head.left()], rows, gradient)
            return head
        self.head = head = Box(place, ENCODER, WIDTH, TALL)
        self.sheet.box(head, "", [])
        self.sheet.flow([before.right(), head.left()], rows, gradient)
        for name, up in (("mu", TALL / 4), ("logvar", -TALL / 4)):
            self.sheet.text(head.x, head.y + up, name, weight="bold", fontsize=12)
        middle = [head.x - WIDTH / 2, head.x + WIDTH / 2], [head.y, head.y]
        self.sheet.axes.add_line(Line2D(*middle, color=DARK, lw=1))
        for i, (line, colour) in enumerate(
            ((f"{of} W + b, in halves", DARK), (self.shape("head_W"), DARK), ("dW  db", MIDDLE))
        ):
            self.sheet.text(head.x, head.top()[1] + 0.62 - 0.23 * i, line, colour)
        return self.sample(head)

    def sample(self, head: Box) -> Box:
        """z = mu + exp(logvar/2) eps"""
        z = Box(self.at(self.columns - 1) + 0.42, ENCODER, WIDE, TALL)
        each = ["for each of K eps"] if self.weighted else []
        self.sheet.box(z, "z", ["mu + exp(logvar/2) eps", *each, "", "reparameterization"])
        for name, up in (("mu", TALL / 4), ("logvar", -TALL / 4)):
            label = f"(B,{self.Z})"
            self.sheet.flow([head.right(up), z.left(up)], label, f"d{name}")
        eps = self.sheet.box(Box(z.x, ABOVE, WIDTH, 0.72), "eps", ["noise, N(0, 1)"])
        self.sheet.flow([eps.bottom(), z.top()], f"({self.B},{self.Z})")
        return z

    def decoder(self, code: Box) -> Box:
        """From the code to y; returns the box of y."""
        corner, gradient = (code.x, DECODER), "dmu" if self.point else "dz"
        start, rows, of = [code.bottom(), corner], f"({self.B},{self.Z})", "z"
        if self.point:
            of = "mu"
        if self.C:
            joined = self.sheet.box(Box(*corner, WIDE, 0.8), "z, label", [f"{self.C} classes"])
            self.sheet.flow([code.bottom(), joined.top()], rows, gradient)
            start, rows, gradient = [joined.left()], f"(B,{self.Z}+{self.C})", "dzy"
        widths = tuple(reversed(self.model.hidden))
        for i, width in enumerate(widths):
            box = Box(self.at(len(widths) - i), DECODER)
            formula = f"{self.model.activation}({of} W + b)"
            self.layer(box, f"dec {i + 1}", f"dec{i}_W", formula)
            self.sheet.flow([*start, box.right()], rows, gradient)
            start, rows, gradient = [box.left()], f"({self.B},{width})", f"ddec{i + 1}"
            of = "h"
        kind, _ = PIXEL[self.model.likelihood]
        y = self.layer(Box(self.at(0), DECODER), f"y, {kind}", "out_W", f"{of} W + b")
        self.sheet.flow([*start, y.right()], rows, gradient)
        return y

    def losses(self, y: Box, code: Box) -> None:
        """The reconstruction loss, the KL, and their sum."""
        model, sheet = self.model, self.sheet
        rec = Box(self.at(0), BETWEEN, WIDTH, 0.96 if "x_logvar" not in self.p else HEIGHT)
        learned = "x_logvar" in self.p
        cost = PIXEL[model.likelihood][1]
        given = "x|z,label" if self.C else "x|mu" if self.point else "x|z"
        lines = [f"-log p({given})", cost]
        sheet.box(rec, "rec", lines, "dx_logvar" if learned else "")
        shape = f"({self.B},{self.D})"
        sheet.flow([self.x.bottom(), rec.top()], shape)
        sheet.flow([y.top(), rec.bottom()], shape, "dy")
        each = "(B,K)" if self.weighted else "(B,)"
        middle = (self.at(0) + self.at(max(len(model.hidden), 1) + 1)) / 2
        loss = Box(middle, BETWEEN, WIDE, 0.96)
        sheet.flow([rec.right(), loss.left()], each, "drec")
        if self.point:
            sheet.box(loss, "loss", ["mean(rec), nats"])
            return
        kl = Box(self.head.x, BETWEEN, WIDE, 0.96)
        sheet.flow([kl.left(), loss.right()], each, "dlog_r" if self.weighted else "dkl")
        down = [self.head.bottom(), kl.top()]
        if self.weighted:
            sheet.box(kl, "log r", ["log p(z) - log q(z|x)"])
            sheet.flow(down, f"logvar ({self.B},{self.Z})", "dlogvar_ratio")
            self.sheet.flow(
                [code.bottom(-0.55), (code.x - 0.55, BETWEEN), kl.right()],
                f"z, eps ({self.B},{self.Z})", "dz_ratio",
            )  # fmt: skip
            mean = "-log mean_k w" if self.objective == "iwae" else "-mean_k log w"
            sheet.box(loss, "loss", [f"mean({mean})", "w = exp(log r - rec)"])
            return
        sheet.box(kl, "KL", ["½ Σ (mu² + exp(logvar)", "- logvar - 1)"])
        sheet.flow(down, f"(B,{self.Z}) each", "dmu_kl\ndlogvar_kl")
        sheet.box(loss, "loss", _charge(model))

    def words(self) -> None:
        """The title, the legend, and how the gradients add up."""
        model, sheet, left = self.model, self.sheet, self.x.left()[0]
        title = f"{type(model).__name__} {model.widths}"
        sheet.text(left, 6.62, title, fontsize=14, weight="bold", ha="left")
        for i, (text, colour, style) in enumerate(
            (
                (f"forward; B rows{', K samples each' * self.weighted}", DARK, "-"),
                ("the gradient of the loss, backward", MIDDLE, "--"),
            )
        ):
            y = 6.28 - 0.26 * i
            sheet.arrow([(left, y), (left + 0.5, y)][:: 1 - 2 * i], colour, style)
            sheet.text(left + 0.6, y, text, colour, ha="left")
        still = "x needs" if self.point else "x and eps need"
        notes = [f"layers: dW = h^T dy,  db = sum over B of dy,  dh = dy W^T; {still} no gradient"]
        if self.weighted:
            notes += ["gradients add: z goes two ways, mu and logvar into each of the K samples"]
        elif not self.point:
            weight, where = _weight(model)
            notes += [
                f"dmu = dz + {weight}dmu_kl,  dlogvar = dz eps exp(logvar/2) / 2 + "
                f"{weight}dlogvar_kl{where}"
            ]
        for i, note in enumerate(reversed(notes)):
            sheet.text(left, 0.16 + 0.24 * i, note, MIDDLE, ha="left")


def _weight(model: Any) -> tuple[str, str]:
    """The factor of the gradients of the KL, and its definition if it is not a constant."""
    beta = "" if model.beta == 1 else f"{model.beta:g} "
    if model.free_bits:
        return "w ", f",  w = {model.beta:g} where a unit's KL > {model.free_bits:g}, else 0"
    if model.capacity is not None:
        return "w ", f",  w = {beta}sign(mean(KL) - {model.capacity:g})"
    return beta, ""


def _charge(model: Any) -> list[str]:
    """The formula of the loss, in two lines."""
    beta = "" if model.beta == 1 else f"{model.beta:g} "
    if model.free_bits:
        return ["mean(rec), nats,", f"+ {beta}Σ max(KL_j, {model.free_bits:g})"]
    if model.capacity is not None:
        return ["mean(rec), nats,", f"+ {beta}|mean(KL) - {model.capacity:g}|"]
    return [f"mean(rec + {beta}KL)", "nats"]
