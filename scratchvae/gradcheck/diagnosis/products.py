"""A gradient that is the right one times an array: a factor of the chain rule."""

import numpy as np

from .wrong import Arrays, Candidates, Wrong

CLOSE = 1e-5  # the residual that a factor may leave, relative to the largest entry
VARIES = 1e-3  # relative: an array that varies less is a number
RIGHT = 1e-8  # relative to the largest entry: an entry with a smaller error is right
SOME = 0.1  # of the entries: so many are not right by chance
UNCHANGED = "dy is passed on unchanged: the derivative of the forward is missing"


def product(wrong: Wrong) -> str:
    """a is n times one array, or n is a times it, perhaps with a number."""
    a, n, v = wrong.a, wrong.n, wrong.v
    passed_on = v.shape == a.shape and bool((a == v).all())
    for name, T in _factors(_broadcast(wrong.arrays, a.shape)):
        if not np.ptp(T) > VARIES * np.abs(T).max():
            continue
        for found, right, missing in ((a, n * T, False), (n, a * T, True)):
            square = float((right * right).sum())
            c = float((found * right).sum()) / square if square else 0.0
            if a.size < 3 or abs(c - 1) < 1e-4:
                c = 1.0
            if c == 0 or not np.abs(found - c * right).max() <= CLOSE * np.abs(found).max():
                continue
            if not missing and passed_on:  # n is dy / (c T)
                return f"a factor {_number(1 / c)}1/{name} is missing"
            factor = f"factor {_number(c)}{name}"
            return f"a {factor} is missing" if missing else f"an extra {factor}"
    return ""


def unchanged(wrong: Wrong) -> str:
    """A backward that returns dy, where that is right nowhere."""
    a, n, v = wrong.a, wrong.n, wrong.v
    if v.shape != a.shape or not (a == v).all():
        return ""
    return UNCHANGED if (np.abs(a - n) <= RIGHT * np.abs(n).max()).mean() <= SOME else ""


def _number(c: float) -> str:
    """A number before a name."""
    if abs(abs(c) - 1) < 1e-4:
        return "" if c > 0 else "-"
    return f"{c:.4g} "


def _broadcast(arrays: Arrays, shape: tuple[int, ...]) -> Arrays:
    """The arrays in this shape: as NumPy broadcasts them, or along the one axis that fits."""
    found = {}
    for name, x in arrays.items():
        fit = [axis for axis, length in enumerate(shape) if x.shape == (length,) and length > 1]
        if x.ndim == 1 < len(shape) and fit:
            for axis in reversed(fit):
                along = f"{name} along axis {axis}" if len(fit) > 1 else name
                z = x.reshape([-1 if i == axis else 1 for i in range(len(shape))])
                found[along] = np.broadcast_to(z, shape)
        elif 1 < x.size and x.ndim <= len(shape):
            full = (1,) * (len(shape) - x.ndim) + x.shape
            if all(one in (1, two) for one, two in zip(full, shape, strict=True)):
                found[name] = np.broadcast_to(x, shape)
    return found


def _factors(alike: Arrays) -> Candidates:
    for name, x in alike.items():
        yield name, x
        if name == "y":
            yield "(1 - y^2)", 1 - x * x
            yield "y (1 - y)", x * (1 - x)
        else:
            small = np.clip(x, -300, 300)
            yield f"exp({name})", np.exp(small)
            yield f"exp({name}/2)", np.exp(small / 2)
            s = 1 / (1 + np.exp(-small))
            yield f"sigmoid({name}) (1 - sigmoid({name}))", s * (1 - s)
