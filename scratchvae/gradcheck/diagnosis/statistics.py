"""Errors that are alike along an axis: a mean, a norm or a variance that was held constant."""

import numpy as np

from .patterns import FIT, SPARE
from .wrong import Wrong

NONE = 1e-7  # relative to the Jacobian: an entry that is 0 but for what differences leave


def statistics(wrong: Wrong) -> str:
    """An error that is, along an axis, constant or a multiple of the output.

    Such a term is missing if a mean or a variance over this axis was held constant. That is
    reported only if the forward has one.
    """
    a, n, y = wrong.a, wrong.n, wrong.arrays.get("y")
    error = a - n
    same = y is not None and y.shape == a.shape
    for axis, length in enumerate(a.shape):
        e = np.moveaxis(error, axis, -1).reshape(-1, length)
        if (np.abs(e).max(axis=1) > 1e-3 * np.abs(e).max()).mean() < 0.6:
            continue  # a statistic is wrong in all slices alike
        one = np.ones_like(e)
        bases = [("a mean", "constant", [one])]
        if same and y is not None:
            out = np.moveaxis(y, axis, -1).reshape(-1, length)
            right = np.moveaxis(n, axis, -1).reshape(-1, length)
            bases += [
                ("a sum, a norm or a variance", "a multiple of the output", [out]),
                ("a mean and a variance", "a constant plus a multiple of the output", [one, out]),
                ("a factor", "", [right]),
                ("a factor", "a different epsilon or ddof in a variance over it?", [out, right]),
            ]
        for statistic, what, basis in bases:
            if len(e) < 2 or length < len(basis) + SPARE or not _spanned(e, basis):
                continue
            if statistic == "a factor":
                if not what:
                    return (
                        f"along axis {axis} each row is off by its own factor: a factor that "
                        "depends on the other axes is missing or extra"
                    )
                return (
                    f"along axis {axis} it is a multiple of the right one, plus a multiple of the "
                    f"output: {what}"
                )
            sums = [np.abs(np.moveaxis(g, axis, -1).sum(axis=-1)).max() for g in (a, n)]
            if sums[0] <= 1e-8 * np.abs(a).max() and sums[1] > 1e-3 * np.abs(n).max():
                return (
                    f"it sums to 0 along axis {axis}, as if a mean over it were subtracted, and "
                    f"the error is {what}: does the forward hold {statistic} constant?"
                )
            text, found = f"the error is {what} along axis {axis}", _has_statistic(wrong, axis)
            if found is False:
                return f"{text}: such a term is missing or extra"
            return (
                f"{text}: {'' if found else 'perhaps '}{statistic} over it was held constant, or "
                "its term has the wrong factor"
            )
    if same and y is not None and y.ndim == 2 and min(y.shape) > 2 and (y != 0).all():
        ratio = error / y
        rest = ratio - ratio.mean(axis=0) - ratio.mean(axis=1, keepdims=True) + ratio.mean()
        if np.abs(rest * y).max() <= FIT * np.abs(error).max():
            return "the error fits a sum over the wrong axis"
    return ""


def _has_statistic(wrong: Wrong, axis: int) -> bool | None:
    """Whether the forward has a mean, a norm or a variance over an axis; None if unknown.

    An output then depends on the others' inputs along this axis, and on all of them by the same
    number, or by a multiple of the output there. The error must depend on dy as such a term does:
    it is linear, and reaches no entry that the gradient does not reach.
    """
    y, v, shape = wrong.arrays.get("y"), wrong.v, wrong.a.shape
    if y is None or y.shape != shape or v.shape != shape:
        return None
    first = np.zeros_like(v)
    row = tuple(slice(None) if i == axis else 0 for i in range(v.ndim))
    first[row] = v[row]
    parts = [wrong.returned_for(u) for u in (first, v - first)]
    numeric = [wrong.numeric_for(u) for u in (first, v - first)]
    error = wrong.a - wrong.n
    if parts[0] is not None and parts[1] is not None:
        one, two = parts[0] - numeric[0], parts[1] - numeric[1]
        close = FIT * np.abs(error).max()
        outside = np.abs(numeric[0]) <= NONE * np.abs(numeric[0]).max()
        if np.abs(one + two - error).max() > close or np.abs(one[outside]).max(initial=0) > close:
            return False
    J = wrong.jacobian()
    if J is None:
        return None
    length, size = shape[axis], np.abs(J).max()
    J = np.moveaxis(J.reshape(shape + shape), (axis, v.ndim + axis), (-2, -1))
    J = J.reshape(v.size // length, v.size // length, length, length)
    out = np.moveaxis(y, axis, -1).reshape(-1, length)
    fits, mixes = True, False
    for k, row_of in enumerate(out):
        for i in range(length):
            others = np.arange(length) != i
            slope = J[k, k, i, others]
            if np.abs(slope).max() > NONE * size:
                B = np.stack([np.ones(length - 1), row_of[others]], axis=1)
                left = slope - B @ np.linalg.lstsq(B, slope, rcond=None)[0]
                mixes, fits = True, fits and bool(np.abs(left).max() <= FIT * np.abs(slope).max())
    return False if not mixes else fits or None


def _spanned(e: np.ndarray, basis: list[np.ndarray]) -> bool:
    """Whether each row of e is a combination of the same row of the basis."""
    left = 0.0
    for k, row in enumerate(e):
        B = np.stack([b[k] for b in basis], axis=1)
        left = max(left, float(np.abs(row - B @ np.linalg.lstsq(B, row, rcond=None)[0]).max()))
    return left <= FIT * float(np.abs(e).max())
