"""Missing and extra factors: a number and where it may come from, or a derivative."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, combinations, permutations
from math import prod

import numpy as np

Arrays = Mapping[str, np.ndarray]

SHOWN = 3  # arrays that are listed by name


def factor(
    name: str, a: np.ndarray, n: np.ndarray, fits: Callable[..., bool], arrays: Arrays
) -> str:
    """The number in words, or "" if there is none.

    a, n: the gradient of `name` that backward returned, and the right one. fits(c n): whether that
    explains a. arrays: the inputs, the output y and dy.
    """
    c = float((a * n).sum() / (n * n).sum())
    if not fits(c * n) or c == 0:
        return ""
    everywhere = f"at all {n.size} entries" if n.size > 1 else "at its only entry"
    dy = arrays["dy"]
    if dy.size == 1 and c and abs(c * float(dy.sum()) - 1) < 1e-6:
        return "it is the gradient for an upstream gradient of 1: multiply by dy"
    if abs(c + 1) < 1e-4:
        return f"the sign is wrong {everywhere}"
    sign = "with the wrong sign, and " if c < 0 else ""
    ratio = abs(c)
    whole, way = (ratio, "large") if ratio > 1 else (1 / ratio, "small")
    if n.size == 1 and whole >= 1.05 and not _plain(whole) and not _root(whole, arrays):
        return ""  # any error of one number is a factor
    text = f"{whole:.4g} x" if whole >= 1.05 else f"{100 * abs(ratio - 1):.3g} %"
    hint = _sums(name, n.shape, whole, ratio < 1, arrays) or _root(whole, arrays)
    return f"{sign}{text} too {way} {everywhere}{hint or _lengths(name, whole, ratio < 1, arrays)}"


def _sums(name: str, shape: tuple[int, ...], whole: float, small: bool, arrays: Arrays) -> str:
    """A factor that is the length of an axis, or the product of several, as a question.

    Axes over which this gradient is a sum come first, then those of dy and of the input itself.
    """
    length = round(whole)
    # a factor of 2 has other causes more often than an axis of that length
    if abs(whole - length) > 1e-4 * whole or length <= 2:
        return ""
    where: dict[str, list[str]] = {}
    ranks: dict[str, tuple[int, int]] = {}
    for other, x in sorted(arrays.items()):
        long = [i for i, size in enumerate(x.shape) if size > 1]
        for axes in chain(*(combinations(long, count) for count in (1, 2, 3))):
            if prod(x.shape[i] for i in axes) != length:
                continue
            part, count = f"axis {axes[0]} of", len(axes)
            if count > 1:
                part = f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]} of"
            if count == x.ndim > 1:
                part = "all of"
            away = all(_summed(i, x.shape, shape) for i in axes)
            rank = (0, count) if away else (1 if other in ("dy", name) else 2, count)
            where.setdefault(part, []).append(other)
            ranks[part] = min(rank, ranks.get(part, rank))
    if not where:
        return ""
    kept = [part for part, rank in ranks.items() if rank == min(ranks.values())]
    some = [f"{part} {', '.join(where[part][:SHOWN])}" for part in kept]
    kinds = ("a sum where the forward has a mean", "a mean where the forward has a sum")
    return f": {kinds[small]}, over {' or '.join(some)}?"


def _summed(axis: int, shape: tuple[int, ...], gradient: tuple[int, ...]) -> bool:
    """Whether an axis of an array is none of the gradient's, so that this may be a sum over it."""
    return axis < len(shape) - len(gradient) or shape[axis] not in gradient


def _lengths(name: str, whole: float, small: bool, arrays: Arrays) -> str:
    """A factor that is the ratio of the lengths of two axes, as a question."""
    if abs(whole - round(whole)) <= 1e-4:
        return ""
    for other in ("dy", name):
        shape = arrays[other].shape if other in arrays else ()
        for i, j in permutations(range(len(shape)), 2):
            if shape[j] > 2 and abs(whole - shape[i] / shape[j]) < 1e-6:
                one, two = (i, j) if small else (j, i)
                return (
                    f": perhaps divided by {shape[one]}, the length of axis {one} of {other}, "
                    f"instead of {shape[two]}, that of axis {two}?"
                )
    return ""


def last_activation(
    shape: tuple[int, ...],
    v: np.ndarray,
    y: np.ndarray | None,
    jacobian: Callable[[], np.ndarray | None],
) -> Iterator[tuple[str, np.ndarray]]:
    """Gradients in which the derivative of the forward's last function is missing or applied twice.

    shape: of the gradients. The derivative is computed from the output.
    """
    if y is None or v.shape != y.shape or (J := jacobian()) is None or not y.all():
        return
    slopes = {
        "(1 - y^2), the derivative of the final tanh": 1 - y * y,
        "y (1 - y), the derivative of the final sigmoid": y * (1 - y),
        "y, the derivative of the final exponential": y,
        "(1 - exp(-y)), the derivative of the final softplus": 1 - np.exp(-np.maximum(y, 0)),
    }
    for shown, slope in slopes.items():
        for wrong, how in ((v / slope, "is missing"), (v * slope, "is applied twice")):
            if (slope > 0).all():
                yield f"a factor {shown}, {how}", (wrong.ravel() @ J).reshape(shape)


def _plain(whole: float) -> bool:
    """Whether it is the ratio of two small numbers."""
    return any(abs(whole * k - round(whole * k)) < 1e-6 * whole * k for k in (1, 2, 3, 4, 5))


def _roots(arrays: Arrays) -> Iterator[tuple[int, str]]:
    for name, x in sorted(arrays.items()):
        for i, length in enumerate(x.shape):
            if length > 2:
                yield length, f"{length} being the length of axis {i} of {name}?"


def _root(whole: float, arrays: Arrays) -> str:
    """Factors that are roots of an axis' length, as of a scale or of ddof, as a question."""
    if abs(whole - round(whole)) <= 1e-4:
        return ""
    for length, of in _roots(arrays):
        if abs(whole / length**0.5 - 1) < 1e-6:
            return f": a factor sqrt({length}), {of}"
        if abs(whole / (length / (length - 1)) ** 0.5 - 1) < 1e-6:
            return f": a factor sqrt({length}/{length - 1}), a different ddof, {of}"
        if length > 3 and abs(whole / (length / (length - 1)) - 1) < 1e-6:
            return f": a factor {length}/{length - 1}, a different ddof, {of}"
    return ""
