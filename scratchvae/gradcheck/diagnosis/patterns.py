"""Patterns in a wrong gradient: which entries, which parts of a sum, which statistic.

Each function returns one sentence, or "". a is the gradient that backward returned, n the numeric
one; both have the same shape, and they differ.
"""

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np

FIT = 1e-4  # the residual that a fit may leave, relative to the largest error it explains
SPARE = 3  # entries in each slice beyond the coefficients that are fitted to it
SHOWN = 4  # slices that are listed by number


def _fits(candidate: np.ndarray, a: np.ndarray, n: np.ndarray) -> bool:
    """Whether the candidate explains a: what it leaves is small beside the error of a."""
    return bool(np.abs(a - candidate).max() <= FIT * np.abs(a - n).max())


def contributions(
    a: np.ndarray, n: np.ndarray, v: np.ndarray, jacobian: Callable[[], np.ndarray | None]
) -> str:
    """Sums over the outputs that lack some of their terms, or run over another axis."""
    J = jacobian()
    if J is None:
        return ""
    parts = v.reshape(-1, 1) * J  # of each output (rows) to each entry
    if v.shape == a.shape and _fits(np.diagonal(parts).reshape(a.shape), a, n):
        return "only the diagonal of the Jacobian counts: each output depends on other entries, too"
    wrong = np.flatnonzero(np.abs(a - n).ravel() > FIT * np.abs(a - n).max())
    apart = np.abs(parts[:, wrong] - a.ravel()[wrong]).min(axis=0)
    several = (np.abs(parts[:, wrong]) > FIT * np.abs(parts).max()).sum(axis=0) > 1
    if len(wrong) < a.size and several.all() and (apart <= FIT * np.abs(a - n).max()).all():
        return (
            f"{len(wrong)} of {a.size} entries, which several outputs depend on, get the part of "
            "one alone: = where += is meant? (repeated indices, overlapping windows)"
        )
    each = parts.sum(axis=1).reshape(v.shape)
    for count in range(1, v.ndim + 1):
        for axes in combinations(range(v.ndim), count):
            total = each.sum(axis=axes)
            if total.shape == a.shape and _fits(total, a, n):
                return f"it is summed over axis {', '.join(map(str, axes))} of dy, a wrong one"
    return ""


def symmetric(a: np.ndarray, n: np.ndarray) -> str:
    """The gradient of a symmetric matrix, where the forward reads one triangle of it."""
    if n.ndim < 2 or n.shape[-1] != n.shape[-2]:
        return ""
    T = np.swapaxes(n, -1, -2)
    both = n + T - n * np.eye(n.shape[-1])
    for candidate in (both, (n + T) / 2, n + T):
        if _fits(candidate, a, n):
            return "it is symmetric, but the forward does not use both triangles alike"
    return ""


def statistics(a: np.ndarray, n: np.ndarray, y: np.ndarray | None) -> str:
    """An error that is, along an axis, constant or a multiple of the output.

    That is what is missing if a mean, or a variance, over this axis was held constant.
    """
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
                ("a mean and a variance", "a constant and a multiple of the output", [one, out]),
                ("", "", [out, right]),
            ]
        for statistic, what, basis in bases:
            if len(e) < 2 or length < len(basis) + SPARE or not _spanned(e, basis):
                continue
            if not statistic:
                return (
                    f"along axis {axis} it is a multiple of the right one, plus a multiple of the "
                    "output: another epsilon or ddof in a variance over it?"
                )
            return (
                f"the error is {what} along axis {axis}: {statistic} over it was held constant, "
                "or its term has another factor"
            )
    if same and y is not None and y.ndim == 2 and min(y.shape) > 2 and (y != 0).all():
        ratio = error / y
        rest = ratio - ratio.mean(axis=0) - ratio.mean(axis=1, keepdims=True) + ratio.mean()
        if np.abs(rest * y).max() <= FIT * np.abs(error).max():
            return "the error is the output times a sum over either axis: a sum over the wrong axis"
    return ""


def _spanned(e: np.ndarray, basis: list[np.ndarray]) -> bool:
    """Whether each row of e is a combination of the same row of the basis."""
    left = 0.0
    for k, row in enumerate(e):
        B = np.stack([b[k] for b in basis], axis=1)
        left = max(left, float(np.abs(row - B @ np.linalg.lstsq(B, row, rcond=None)[0]).max()))
    return left <= FIT * float(np.abs(e).max())


def mask(a: np.ndarray, n: np.ndarray) -> str:
    """Two gradients that agree wherever both are not 0."""
    size = np.abs(n).max()
    off = np.abs(a - n) > 1e-5 * size
    lost, extra = off & (a == 0), off & (np.abs(n) <= 1e-9 * size)
    if not lost.any() or not extra.any() or (off & ~lost & ~extra).any():
        return ""
    return (
        f"it is 0 at {lost.sum()} entries where it should not be, and not 0 at {extra.sum()} where "
        "it should: another mask than the forward's?"
    )


def slices(a: np.ndarray, n: np.ndarray, close: float, right: float) -> str:
    """Along one axis, slices that are wrong as a whole, while the others are right."""
    for axis, length in enumerate(a.shape if a.ndim > 1 else ()):
        A = np.moveaxis(a, axis, 0).reshape(length, -1)
        N = np.moveaxis(n, axis, 0).reshape(length, -1)
        off = np.abs(A - N).max(axis=1)
        wrong = np.flatnonzero(off > close)
        if not 0 < len(wrong) < length or off[off <= close].max() > right:
            continue
        some = np.maximum(np.abs(A[wrong]), np.abs(N[wrong])) > close
        bad = np.abs(A[wrong] - N[wrong]) > close
        if (bad.sum(axis=1) < np.maximum(2, 0.7 * some.sum(axis=1))).any():
            continue
        c = (A[wrong] * N[wrong]).sum() / (N[wrong] ** 2).sum()
        how = "wrong"
        if not A[wrong].any():
            how = "0"
        elif np.abs(A[wrong] - c * N[wrong]).max() <= 1e-5 * np.abs(A[wrong]).max():
            how = f"{c:.4g} times the right one"
        return f"along axis {axis}, {_which(wrong, length)} {how}, and the others are right"
    return ""


def _which(wrong: np.ndarray, length: int) -> str:
    """Slices in words, with their verb."""
    k, first, last = len(wrong), int(wrong[0]), int(wrong[-1])
    if k == 1:
        return f"slice {first} is" if last < length - 1 else f"the last slice, {last}, is"
    if last - first == k - 1:
        if first == 0:
            return f"the first {k} slices are"
        return f"the last {k} slices are" if last == length - 1 else f"slices {first} to {last} are"
    steps = np.diff(wrong)
    if k > 2 and (steps == steps[0]).all():
        which = {2: "second", 3: "third"}.get(int(steps[0]), f"{steps[0]}th")
        return f"every {which} slice, from {first} on, is"
    if k <= SHOWN:
        return f"slices {', '.join(map(str, wrong))} are"
    return f"{k} of {length} slices are"


def epsilon(a: np.ndarray, n: np.ndarray, alike: Mapping[str, np.ndarray]) -> str:
    """A small relative error that falls with an input: an epsilon that only the forward adds."""
    known = np.abs(n) > 1e-3 * np.abs(n).max()
    off = a[known] / n[known] - 1
    if len(off) < 3 or not 0 < np.abs(off).max() < 1e-2:
        return ""
    for name, x in alike.items():
        for power, shown in ((1, name), (2, f"{name}^2")):
            eps = off * x[known] ** power
            if eps.std() <= 1e-2 * abs(eps.mean()) and np.ptp(x[known]) > 0:
                return (
                    f"consistent with an epsilon of {abs(eps.mean()):.2g} that the forward adds to "
                    f"{shown}, and the backward does not"
                )
    return ""
