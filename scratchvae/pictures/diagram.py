"""A diagram of a configured model: what it computes forward, every gradient, and all shapes.

The names are those of forward and backward in `models/vae.py`. A unit of the axes is an inch.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import dist
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
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
    """The diagram of a built model: solid arrows for forward, dashed ones for the gradients.

    Raises InputError for a SemiSupervisedVAE.
    """
    if isinstance(model, SemiSupervisedVAE):
        raise InputError(
            "a SemiSupervisedVAE (m2) cannot be drawn: it is a classifier and a ConditionalVAE "
            "that runs once per class; draw cvae instead"
        )
    return _Drawing(model).figure


class Box(NamedTuple):
    """A rectangle, by its middle and its size."""

    x: float
    y: float
    width: float = WIDTH
    height: float = HEIGHT

    def edge(self, right: float, up: float) -> Point:
        """The middle of a side: (-1, 0), (1, 0), (0, -1) or (0, 1); 0.5 is half-way to a corner."""
        return self.x + right * self.width / 2, self.y + up * self.height / 2


class Sheet:
    """A figure of this size with boxes and arrows."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height))
        self.axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()

    def text(self, x: float, y: float, text: str, colour: str = DARK, **style: Any) -> None:
        usual: dict[str, Any] = {"fontsize": 10.5, "ha": "center", "va": "center"}
        self.axes.text(x, y, text, color=colour, **(usual | style))

    def box(self, box: Box, name: str, lines: Sequence[str] = (), gradient: str = "") -> Box:
        """A box with its name, what it computes, and the gradients of its parameters."""
        corner, style = box.edge(-1, -1), "round,pad=0,rounding_size=0.08"
        self.axes.add_patch(
            FancyBboxPatch(corner, box.width, box.height, style, fc="white", ec=DARK, lw=1.4)
        )
        rows: list[tuple[str, str, Any]] = [(name, DARK, {"weight": "bold", "fontsize": 12})]
        for line in lines:  # in smaller letters where it would not fit
            rows.append((line, DARK, {"fontsize": min(10.5, 112 * box.width / len(line or " "))}))
        if gradient:
            rows.append((gradient, MIDDLE, {}))
        for i, (text, colour, row) in enumerate(rows):
            self.text(box.x, box.y + 0.25 * ((len(rows) - 1) / 2 - i), text, colour, **row)
        return box

    def flow(self, points: Sequence[Point], forward: str, backward: str = "") -> None:
        """An arrow along straight segments; beside it, if it is named, the gradient flows back."""
        apart = APART if backward else 0
        self.arrow(_shifted(points, apart), DARK, "-")
        self.beside(points, apart + 0.05, forward, DARK)
        if backward:
            self.arrow(_shifted(points, -apart)[::-1], MIDDLE, "--")
            self.beside(points, -apart - 0.05, backward, MIDDLE)

    def beside(self, points: Sequence[Point], by: float, text: str, colour: str) -> None:
        """A text beside the longest segment, on the side to which `_shifted` moves it."""
        (x0, y0), (x1, y1) = max(pairwise(points), key=lambda ends: dist(*ends))
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if y0 == y1:
            self.text(x, y + by, text, colour, va="bottom" if by > 0 else "top")
        else:
            self.text(x - by, y, text, colour, ha="right" if by > 0 else "left")

    def arrow(self, points: np.ndarray, colour: str, style: str) -> None:
        self.axes.plot(*points.T, color=colour, ls=style, lw=1.5)
        before, end = points[-2:]
        tip = Path([end + (before - end) * 0.02 / dist(before, end), end])
        self.axes.add_patch(FancyArrowPatch(
            path=tip, arrowstyle="-|>", mutation_scale=13, color=colour, lw=1, shrinkA=0, shrinkB=0,
        ))  # fmt: skip


def _shifted(points: Sequence[Point], by: float) -> np.ndarray:
    """The segments, shifted: horizontal ones upwards, vertical ones to the left."""
    moved = np.array(points)
    for i, ((x0, _), (x1, _)) in enumerate(pairwise(points)):
        if x0 == x1:
            moved[i : i + 2, 0] -= by
        else:
            moved[i : i + 2, 1] += by
    return moved


class _Drawing(Sheet):
    """The diagram of one model: the encoder above, from left to right; the decoder below, from
    right to left; the losses between them.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.p = model, model.params_
        self.D, self.Z = model.n_features_, model.latent_dim
        self.C = len(model.classes_) if isinstance(model, Labelled) else 0
        self.point, self.weighted = isinstance(model, Autoencoder), isinstance(model, IWAE)
        self.B = "BK" if self.weighted else "B"  # rows that the decoder sees
        self.last = max(len(model.hidden), 1) + 1  # the column of the head; z is in the next one
        columns, beyond = (self.last, 0.7) if self.point else (self.last + 1, 1.2)
        super().__init__(columns * PITCH + WIDTH + beyond, 7)
        name, classes = ("x, label", [f"{self.C} classes"]) if self.C else ("x", [])
        self.x = self.box(Box(self.at(0), ENCODER), name, [f"{self.D} features", *classes])
        self.head = self.encoder()
        code = self.head if self.point else self.sample()
        self.losses(self.decoder(code), code)
        self.words()

    def at(self, column: float) -> float:
        return 0.35 + WIDTH / 2 + column * PITCH

    def shape(self, name: str) -> str:
        return f"{name} ({','.join(map(str, self.p[name].shape))})"

    def layer(self, box: Box, name: str, tensor: str, formula: str) -> Box:
        return self.box(box, name, [formula, self.shape(tensor)], "dW  db")

    def encoder(self) -> Box:
        """x, hidden layers and the head; returns the box of the head."""
        before, rows = self.x, f"(B,{self.D}{f'+{self.C}' if self.C else ''})"
        gradient, of = "", "x"
        for i, width in enumerate(self.model.hidden, 1):
            box = Box(self.at(i), ENCODER)
            self.layer(box, f"enc {i}", f"enc{i - 1}_W", f"{self.model.activation}({of} W + b)")
            self.flow([before.edge(1, 0), box.edge(-1, 0)], rows, gradient)
            before, rows, gradient, of = box, f"(B,{width})", f"denc{i}", "h"
        head = Box(self.at(self.last), ENCODER, height=HEIGHT if self.point else TALL)
        if self.point:
            self.layer(head, "mu, the code", "head_W", f"{of} W + b")
        else:
            self.halves(self.box(head, ""), of)
        self.flow([before.edge(1, 0), head.edge(-1, 0)], rows, gradient)
        return head

    def halves(self, head: Box, of: str) -> None:
        """What a head of mu and logvar holds, and above it what it computes."""
        for name, up in (("mu", 0.5), ("logvar", -0.5)):
            self.text(*head.edge(0, up), name, weight="bold", fontsize=12)
        self.axes.plot(*zip(head.edge(-1, 0), head.edge(1, 0), strict=True), color=DARK, lw=1)
        rows = (f"{of} W + b, in halves", DARK), (self.shape("head_W"), DARK), ("dW  db", MIDDLE)
        for i, (line, colour) in enumerate(rows):
            self.text(head.x, head.edge(0, 1)[1] + 0.62 - 0.23 * i, line, colour)

    def sample(self) -> Box:
        """z = mu + exp(logvar/2) eps"""
        z = Box(self.at(self.last + 1) + 0.42, ENCODER, WIDE, TALL)
        each = ["for each of K eps"] if self.weighted else []
        self.box(z, "z", ["mu + exp(logvar/2) eps", *each, "", "reparameterization"])
        for name, up in (("mu", 0.5), ("logvar", -0.5)):
            self.flow([self.head.edge(1, up), z.edge(-1, up)], f"(B,{self.Z})", f"d{name}")
        eps = self.box(Box(z.x, ABOVE, height=0.72), "eps", ["noise, N(0, I)"])
        self.flow([eps.edge(0, -1), z.edge(0, 1)], f"({self.B},{self.Z})")
        return z

    def decoder(self, code: Box) -> Box:
        """From the code to y; returns the box of y."""
        start, rows = [code.edge(0, -1), (code.x, DECODER)], f"({self.B},{self.Z})"
        of, gradient = ("mu", "dmu") if self.point else ("z", "dz")
        if self.C:
            box = Box(code.x, DECODER, WIDE, 0.8)
            joined = self.box(box, "z, label", [f"{self.C} classes"])
            self.flow([code.edge(0, -1), joined.edge(0, 1)], rows, gradient)
            start, rows, gradient = [joined.edge(-1, 0)], f"(B,{self.Z}+{self.C})", "dzy"
        L = len(self.model.hidden)
        for i, width in enumerate(reversed(self.model.hidden), 1):
            box = Box(self.at(L + 1 - i), DECODER)
            self.layer(box, f"dec {i}", f"dec{i - 1}_W", f"{self.model.activation}({of} W + b)")
            self.flow([*start, box.edge(1, 0)], rows, gradient)
            start, rows, gradient = [box.edge(-1, 0)], f"({self.B},{width})", f"ddec{i}"
            of = "h"
        kind, _ = PIXEL[self.model.likelihood]
        y = self.layer(Box(self.at(0), DECODER), f"y, {kind}", "out_W", f"{of} W + b")
        self.flow([*start, y.edge(1, 0)], rows, gradient)
        return y

    def losses(self, y: Box, code: Box) -> None:
        """The reconstruction loss, the KL, and their sum."""
        learned = "x_logvar" in self.p
        rec = Box(self.at(0), BETWEEN, height=HEIGHT if learned else 0.96)
        given = "x|z,label" if self.C else "x|mu" if self.point else "x|z"
        lines = [f"-log p({given})", PIXEL[self.model.likelihood][1]]
        self.box(rec, "rec", lines, "dx_logvar" if learned else "")
        shape = f"({self.B},{self.D})"
        self.flow([self.x.edge(0, -1), rec.edge(0, 1)], shape)
        self.flow([y.edge(0, 1), rec.edge(0, -1)], shape, "dy")
        each = "(B,K)" if self.weighted else "(B,)"
        loss = Box((self.at(0) + self.at(self.last)) / 2, BETWEEN, WIDE, 0.96)
        self.flow([rec.edge(1, 0), loss.edge(-1, 0)], each, "drec")
        if self.point:
            self.box(loss, "loss", ["mean(rec), nats"])
            return
        kl = Box(self.head.x, BETWEEN, WIDE, 0.96)
        self.flow([kl.edge(-1, 0), loss.edge(1, 0)], each, "dlog_r" if self.weighted else "dkl")
        down = [self.head.edge(0, -1), kl.edge(0, 1)]
        if isinstance(self.model, IWAE):
            self.box(kl, "log r", ["log p(z) - log q(z|x)"])
            self.flow(down, f"logvar ({self.B},{self.Z})", "dlogvar_ratio")
            x, bottom = code.x - 0.55, code.edge(0, -1)[1]
            around = [(x, bottom), (x, BETWEEN), kl.edge(1, 0)]
            self.flow(around, f"z, eps ({self.B},{self.Z})", "dz_ratio")
            mean = "-log mean_k w" if self.model.objective == "iwae" else "-mean_k log w"
            self.box(loss, "loss", [f"mean({mean})", "w = exp(log r - rec)"])
        else:
            self.box(kl, "KL", ["½ Σ (mu² + exp(logvar)", "- logvar - 1)"])
            self.flow(down, f"(B,{self.Z}) each", "dmu_kl\ndlogvar_kl")
            self.box(loss, "loss", _charge(self.model)[0])

    def words(self) -> None:
        """The title, the legend, and how the gradients add up."""
        left = self.x.edge(-1, 0)[0]
        title = f"{type(self.model).__name__} {self.model.widths}"
        self.text(left, 6.62, title, fontsize=14, weight="bold", ha="left")
        self.arrow(np.array([(left, 6.28), (left + 0.5, 6.28)]), DARK, "-")
        self.arrow(np.array([(left + 0.5, 6.02), (left, 6.02)]), MIDDLE, "--")
        forward = f"forward; B rows{', K samples each' * self.weighted}"
        self.text(left + 0.6, 6.28, forward, ha="left")
        self.text(left + 0.6, 6.02, "the gradient of the loss, backward", MIDDLE, ha="left")
        still = "x needs" if self.point else "x and eps need"
        notes = [f"layers: dW = h^T dy,  db = sum over B of dy,  dh = dy W^T; {still} no gradient"]
        if self.weighted:
            notes += ["gradients add: z goes two ways, mu and logvar into each of the K samples"]
        elif not self.point:
            _, weight, where = _charge(self.model)
            dmu, dlogvar = f"{weight}dmu_kl", f"{weight}dlogvar_kl"
            notes += [f"dmu = dz + {dmu},  dlogvar = dz eps exp(logvar/2) / 2 + {dlogvar}{where}"]
        for i, note in enumerate(reversed(notes)):
            self.text(left, 0.16 + 0.24 * i, note, MIDDLE, ha="left")


def _charge(model: Any) -> tuple[list[str], str, str]:
    """The formula of the loss, in two lines; the factor of the gradients of the KL, and its
    definition if it is not a constant.
    """
    beta = "" if model.beta == 1 else f"{model.beta:g} "
    if model.free_bits:
        bits = f"{model.free_bits:g}"
        where = f",  w = {model.beta:g} where a unit's KL > {bits}, else 0"
        return ["mean(rec), nats,", f"+ {beta}Σ max(KL_j, {bits})"], "w ", where
    if model.capacity is not None:
        apart = f"mean(KL) - {model.capacity:g}"
        return ["mean(rec), nats,", f"+ {beta}|{apart}|"], "w ", f",  w = {beta}sign({apart})"
    return [f"mean(rec + {beta}KL)", "nats"], beta, ""
