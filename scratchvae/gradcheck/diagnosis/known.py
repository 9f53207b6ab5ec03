"""Layers that are known by their output, and the gradients that their usual bugs give.

A layer is known if a formula gives the forward's output to the last digits, and a bug has its name
if it gives the gradient that backward returned.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import permutations

import numpy as np

SAME = 1e-9  # relative: what a formula of a known layer may leave of its output
NEAR = 1e-2  # relative to the gradient: two functions that differ so little approximate each other
MOST = 6  # arrays among which the arguments of a layer are looked for
CUBE, ROOT = 0.044715, math.sqrt(2 / math.pi)  # of GELU by tanh
UNMASKED = "the causal mask is forgotten in backward"
WRONG_INSIDE = (
    "it is the gradient of GELU by tanh, but the derivative of the argument of the tanh is missing "
    "or wrong"
)

Arrays = Mapping[str, np.ndarray]
Candidates = Iterator[tuple[str, np.ndarray]]
_erf = np.vectorize(math.erf, otypes=[float])


def known(name: str, a: np.ndarray, n: np.ndarray, arrays: Arrays, v: np.ndarray) -> Candidates:
    """Explanations, and the gradient of `name` if they are true.

    a, n: the gradient that backward returned, and the numeric one. arrays: the inputs and the
    output by name. v: the upstream gradient.
    """
    x, y = arrays.get(name), arrays.get("y")
    if x is None or y is None:
        return
    if (v.shape == x.shape or v.size == 1) and x.size > 2:
        near = np.abs(a - n).max() <= NEAR * np.abs(n).max()
        for what, slope in _slopes(x):
            text = "an approximation?" if near else "another function than the forward"
            yield f"it is the gradient of {what}: {text}", v * slope
        yield from ((WRONG_INSIDE, v * slope) for slope in _wrong_inside(x))
    if v.shape == x.shape == y.shape:
        yield from _softmax(x, y, v)
    yield from _attention(name, arrays, v)


def _slopes(x: np.ndarray) -> Candidates:
    """Functions of one number, and their derivatives at x."""
    with np.errstate(all="ignore"):
        s, t, q = (1 / (1 + np.exp(-x)), np.tanh(x), 1 / (1 + np.exp(-1.702 * x)))
        bell = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        yield "GELU by erf", (1 + _erf(x / math.sqrt(2))) / 2 + x * bell
        yield "GELU by tanh", _gelu_slope(x, ROOT * (1 + 3 * CUBE * x * x))
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


def _softmax_along(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _softmax_slope(p: np.ndarray, v: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(p * (v - (v * p).sum(axis=axis, keepdims=True)))


def _softmax(x: np.ndarray, y: np.ndarray, v: np.ndarray) -> Candidates:
    for axis in range(x.ndim):
        p = _softmax_along(x, axis)
        for what, right in (("softmax", p), ("log softmax", np.log(p))):
            if not np.allclose(right, y, SAME, SAME):
                continue
            for other in range(x.ndim):
                q = _softmax_along(x, other)
                log = v - q * v.sum(axis=other, keepdims=True)
                slope = _softmax_slope(q, v, other) if what == "softmax" else log
                text = f"the forward is a {what} along axis {axis}, the backward of one along axis "
                yield f"{text}{other}", slope
            yield f"the sum of dy is missing in a {what}", v - p
            yield f"the gradient of a {what} has a wrong sign inside", v + p


def _attention(name: str, arrays: Arrays, v: np.ndarray) -> Candidates:
    some = [n for n, x in arrays.items() if n != "y" and x.ndim >= 2][:MOST]
    for roles in permutations(some, 3) if v.ndim >= 2 and name in some else ():
        if name in roles:
            q, k, values = (arrays[n] for n in roles)
            yield from _attends(roles.index(name), q, k, values, arrays["y"], v)


def _attends(
    role: int, q: np.ndarray, k: np.ndarray, values: np.ndarray, y: np.ndarray, dy: np.ndarray
) -> Candidates:
    if q.shape[-1] != k.shape[-1] or k.shape[:-1] != values.shape[:-1]:
        return
    if y.shape != (*q.shape[:-1], values.shape[-1]):
        return
    root = 1 / math.sqrt(q.shape[-1])
    later = np.triu(np.full((q.shape[-2], k.shape[-2]), -np.inf), 1)
    for scale in (root, 1.0):
        scores = scale * q @ _T(k)
        whole = _softmax_along(scores, -1)
        for p in (whole, _softmax_along(scores + later, -1)):
            if not np.allclose(p @ values, y, SAME, SAME):
                continue
            for text, ds in _inside(p, whole, dy @ _T(values)):
                for more, factor in (("", scale), (" (nor is it scaled)", 1.0)):
                    if role < 2:
                        yield text + more, factor * (ds @ k if role == 0 else _T(ds) @ q)
            if role == 2:
                yield UNMASKED, _T(whole) @ dy


def _inside(p: np.ndarray, whole: np.ndarray, dp: np.ndarray) -> Candidates:
    """Wrong gradients of the scores that a softmax has made p of; whole: without a mask."""
    yield "the softmax inside is summed over the wrong axis", _softmax_slope(p, dp, -2)
    yield "the sum of the softmax inside is missing", p * dp
    yield "only the diagonal of the softmax inside counts", p * (1 - p) * dp
    yield UNMASKED, _softmax_slope(whole, dp, -1)
    yield "the softmax inside is left out", dp


def _T(a: np.ndarray) -> np.ndarray:
    return np.swapaxes(a, -1, -2)
