"""Elementwise functions mistaken for the forward: gradients of another activation."""

import math
from collections.abc import Iterator

import numpy as np

from .wrong import Arrays, Candidates

SAME = 1e-9  # relative to the gradient: what differences may leave of a right entry
NEAR = 1e-2  # relative to the gradient: two functions that differ so little approximate each other
SOME = 0.1  # of the entries: where so many are right, two functions are alike there
CUBE, ROOT = 0.044715, math.sqrt(2 / math.pi)  # of GELU by tanh
WRONG_INSIDE = (
    "it is the gradient of GELU (tanh), but the derivative of the tanh's argument is missing or "
    "wrong"
)
_erf = np.vectorize(math.erf, otypes=[float])


def slopes(name: str, a: np.ndarray, n: np.ndarray, arrays: Arrays, v: np.ndarray) -> Candidates:
    """Gradients of elementwise functions other than the forward."""
    x = arrays.get(name)
    if x is None or x.size < 3 or not (v.shape == x.shape or v.size == 1):
        return
    size = np.abs(n).max()
    near = np.abs(a - n).max() <= NEAR * size
    # where it is right for some, as without the slope of a leaky relu, it is no other function
    if (np.abs(a - n) <= SAME * size).mean() > SOME:
        return
    for what, slope in _slopes(x):
        text = "an approximation of the forward?" if near else "not of the forward"
        if np.ptp(slope) > 0:
            yield f"it is the gradient of {what}, {text}", v * slope
    yield from ((WRONG_INSIDE, v * slope) for slope in _wrong_inside(x))


def _slopes(x: np.ndarray) -> Candidates:
    """Elementwise functions and their derivatives at x."""
    with np.errstate(all="ignore"):
        s, t, q = (1 / (1 + np.exp(-x)), np.tanh(x), 1 / (1 + np.exp(-1.702 * x)))
        bell = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        yield "GELU (erf)", (1 + _erf(x / math.sqrt(2))) / 2 + x * bell
        yield "GELU (tanh)", _gelu_slope(x, ROOT * (1 + 3 * CUBE * x * x))
        yield "x sigmoid(1.702 x)", q + 1.702 * x * q * (1 - q)
        yield "SiLU", s + x * s * (1 - s)
        yield "tanh", 1 - t * t
        yield "sigmoid", s * (1 - s)
        yield "softplus", s
        yield "relu", 1.0 * (x > 0)
        yield "erf", 2 / math.sqrt(math.pi) * np.exp(-x * x)
        yield from {"exp": np.exp(x), "sin": np.cos(x), "cos": -np.sin(x)}.items()


def _gelu_slope(x: np.ndarray, inside: np.ndarray | float) -> np.ndarray:
    """The derivative of GELU by tanh, given that of the argument of the tanh."""
    u = np.tanh(ROOT * (x + CUBE * x**3))
    return np.asarray((1 + u) / 2 + x * (1 - u * u) / 2 * inside)


def _wrong_inside(x: np.ndarray) -> Iterator[np.ndarray]:
    for inside in (1.0, ROOT, ROOT * (1 + CUBE * x * x), 1 + 3 * CUBE * x * x):
        yield _gelu_slope(x, inside)
