"""The name of the bug: a wrong gradient explained in terms of the right one.

The failing gradient a is compared with the numeric one n, and explanations are tried in order: a is
c n, n transposed, n plus c times an input, and so on. An explanation is accepted only if it leaves
no residual. If none fits, the report shows the worst entries alone.
"""

from collections.abc import Callable
from itertools import chain, combinations

import numpy as np

from .factors import factor, last_activation
from .functions import slopes
from .known import known
from .patterns import (
    SPARE,
    by_value,
    contributions,
    count,
    epsilon,
    mask,
    other_noise,
    slices,
    symmetric,
)
from .products import product, unchanged
from .statistics import statistics
from .wrong import Arrays, Candidates, Wrong

CLOSE = 1e-5  # the residual that an explanation may leave, relative to the largest entry
RIGHT = 1e-8  # relative to the largest entry: an entry with a smaller error is right
NOTHING = 1e-11  # relative to the gradient: differences of a constant are no larger
SILENT = 1e-4  # relative to the largest entry: smaller ones hardly test an explanation
TINY = "it is zero up to rounding, but the forward depends on this input"
ZERO = "it is zero everywhere, but the forward depends on this input"
FEW = 0.25  # "some entries are wrong" is an explanation only if most are right


def explain(wrong: Wrong) -> str:
    """One sentence, or "" if no explanation fits."""
    name, a, n, v, arrays = wrong.name, wrong.a, wrong.n, wrong.v, wrong.arrays
    numeric_for, jacobian, alike = wrong.numeric_for, wrong.jacobian, wrong.alike
    size = max(np.abs(n).max(initial=0), np.abs(a).max(initial=0))

    # the residual must be small, also in comparison with the error that is explained
    limit = min(CLOSE * size, 0.01 * float(np.abs(a - n).max(initial=0)))

    def fits(candidate: np.ndarray) -> bool:
        return candidate.shape == a.shape and bool(np.abs(a - candidate).max() <= limit)

    def first(*candidates: Candidates) -> str:
        return next((text for text, candidate in chain(*candidates) if fits(candidate)), "")

    if np.abs(a).max(initial=0) <= NOTHING * size:
        return TINY
    if text := _ignoring(wrong):
        return text
    difference = np.abs(a - n)
    # where most entries are right, what is wrong with the others comes before what fits by chance
    local = bool((difference <= RIGHT * size).mean() >= 0.5)
    text = (
        factor(name, a, n, fits, {**arrays, "dy": v})
        or first(_moved(a, n), _lost(n), _ignored(v, numeric_for))
        or (local and _local(a, n, v, alike, size, jacobian))
        or first(
            _upstream(v, numeric_for),
            _other(wrong.others),
            known(name, a, n, arrays, wrong.masks, v),
        )
        or first(last_activation(a.shape, v, arrays.get("y"), jacobian))
        or product(wrong)
        or unchanged(wrong)
        or first(slopes(name, a, n, arrays, v))
        or _term(a, n, alike, v)
        or contributions(a, n, v, jacobian)
        or symmetric(a, n)
        or slices(a, n, CLOSE * size, RIGHT * size)
        or mask(a, n)
        or statistics(wrong)
        or _some(a, n, size, alike)
        or _through(name, a, n, arrays)
        or epsilon(a, n, alike, v)
        or other_noise(wrong)
    )
    # where a few entries are far larger than the others, the others do not test it
    larger = np.maximum(np.abs(a), np.abs(n))
    silent = (larger > 0) & (larger < SILENT * size)
    return f"perhaps {text}" if text and silent.mean() > 0.1 else text


def _local(
    a: np.ndarray,
    n: np.ndarray,
    v: np.ndarray,
    alike: Arrays,
    size: float,
    jacobian: Callable[[], np.ndarray | None],
) -> str:
    """The names of an error in some entries."""
    return (
        contributions(a, n, v, jacobian, local=True)
        or symmetric(a, n)
        or slices(a, n, CLOSE * size, RIGHT * size)
        or mask(a, n)
        or _some(a, n, size, alike)
    )


def _ignoring(wrong: Wrong) -> str:
    """A gradient that ignores dy, and is a multiple of the right one for a dy of 1."""
    a, v = wrong.a, wrong.v
    twice = wrong.returned_for(2 * v)
    if twice is None or not np.array_equal(a, twice):
        return ""
    right = wrong.numeric_for(np.ones_like(v))
    off = np.abs(a - right).max()
    if not np.isfinite(off) or off <= CLOSE * np.abs(a).max():
        return ""

    def fits(candidate: np.ndarray) -> bool:
        return bool(np.abs(a - candidate).max() <= min(CLOSE * np.abs(a).max(), 0.01 * off))

    text = factor(wrong.name, a, right, fits, {**wrong.arrays, "dy": np.zeros(0)})
    return f"the upstream gradient is ignored, and for dy = 1, {text}" if text else ""


def _moved(a: np.ndarray, n: np.ndarray) -> Candidates:
    if n.ndim == 2:
        yield "it is the transpose of the right one", n.T
        yield "it is the transpose of the right one, reshaped to fit", n.T.reshape(n.shape)
    long = [(axis, length) for axis, length in enumerate(n.shape) if length > 1]
    for axis, length in long:
        yield f"it is reversed along axis {axis}", np.flip(n, axis)
        for shift in range(1, min(length, 64)):
            steps = min(shift, length - shift)
            yield f"it is rolled by {steps} along axis {axis}", np.roll(n, shift, axis)
    for axis, _ in long:
        yield f"it is permuted along axis {axis}", _sorted_like(a, n, axis)


def _sorted_like(a: np.ndarray, n: np.ndarray, axis: int) -> np.ndarray:
    """n's slices in the order in which they resemble a's slices best."""
    left = np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1)
    right = np.moveaxis(n, axis, 0).reshape(n.shape[axis], -1)
    order = [int(np.abs(right - row).sum(axis=1).argmin()) for row in left]
    if len(set(order)) < len(order):
        return np.full(a.shape, np.inf)
    return np.take(n, order, axis=axis)


def _lost(n: np.ndarray) -> Candidates:
    for axis, length in enumerate(n.shape):
        for end, index in (("first", 0), ("last", length - 1)) if length > 1 else ():
            kept = n.copy()
            np.moveaxis(kept, axis, 0)[index] = 0
            where = f"slice along axis {axis}" if n.ndim > 1 else "entry"
            yield f"the {end} {where} is lost (zero)", kept


def _ignored(v: np.ndarray, numeric_for: Callable[[np.ndarray], np.ndarray]) -> Candidates:
    text = "the upstream gradient is ignored: this is the gradient of the sum of the output"
    yield text, numeric_for(np.ones_like(v))


def _upstream(v: np.ndarray, numeric_for: Callable[[np.ndarray], np.ndarray]) -> Candidates:
    for end, index in (("first", 0), ("last", -1)) if v.ndim and len(v) > 1 else ():
        only, without = np.zeros_like(v), v.copy()
        only[index], without[index] = v[index], 0
        text = f"only the {end} row of dy is used: a sum over the batch is missing"
        yield text, numeric_for(only)
        yield f"the {end} row of dy is ignored", numeric_for(without)


def _through(name: str, a: np.ndarray, n: np.ndarray, arrays: Arrays) -> str:
    """An error that only one of several matrices can have let through: the right one is larger."""
    error, found = (a - n).reshape(-1, a.shape[-1]) if a.ndim > 1 else np.zeros((0, 1)), []
    right, size = n.reshape(-1, error.shape[1]), np.abs(error).max(initial=0)

    def outside(g: np.ndarray, W: np.ndarray) -> float:
        """What is left of g without its part in the span of the columns of W."""
        Q, _ = np.linalg.qr(W)
        return float(np.abs(g - g @ Q @ Q.T).max(initial=0))

    for other, W in arrays.items():
        for B in (W, W.T) if W.ndim == 2 and other not in (name, "y") else ():
            if len(B) != error.shape[1] or len(error) * (len(B) - B.shape[1]) < len(B) + SPARE:
                continue
            if outside(error, B) <= CLOSE * size and outside(right, B) > 1e-3 * np.abs(n).max():
                found.append(other)
    if len(found) != 1:
        return ""
    return (
        f"perhaps the path through {found[0]} is missing or wrong: the error lies in the span of "
        "that matrix, the gradient does not"
    )


def _other(others: Callable[[], Candidates]) -> Candidates:
    for name, gradient in others():
        yield f"it is the gradient of {name}", gradient


def _term(a: np.ndarray, n: np.ndarray, alike: Arrays, v: np.ndarray) -> str:
    """a - n as a multiple of one array of that shape, perhaps times the upstream gradient."""
    rest = a - n
    if (np.abs(rest) > CLOSE * np.abs(rest).max()).sum() < 2:
        return ""  # one entry is no evidence of a term
    for name, T in _terms(alike, v, a.shape):
        square = float((T * T).sum())
        if square == 0:
            continue
        c = float((rest * T).sum()) / square
        if np.abs(rest - c * T).max() <= CLOSE * np.abs(rest).max():
            number = "" if abs(abs(c) - 1) < 1e-4 else f"{abs(c):.4g} "
            if rest.size == 1 and number:
                continue  # any error of one number is a multiple of another
            if c < 0:
                return f"a missing term {number}{name}"
            return f"an extra term {number}{name}, or a missing -{number}{name}"
    return ""


def _terms(alike: Arrays, v: np.ndarray, shape: tuple[int, ...]) -> Candidates:
    up = {"": np.ones(shape)}
    if v.shape == shape:
        up["dy "] = v
    elif v.ndim == 1 and len(shape) > 1 and shape[0] == len(v):
        up["dy "] = v.reshape(-1, *[1] * (len(shape) - 1)) * np.ones(shape)
    with np.errstate(all="ignore"):
        exps = {f"exp({name})": np.exp(x) for name, x in alike.items() if x.max() < 50}
    same = {**alike, **exps}
    for before, up_to in sorted(up.items(), reverse=True):
        for name, x in same.items():
            yield f"{before}{name}", up_to * x
        yield before.strip() or "(a constant)", up_to
        for (one, x), (two, z) in combinations(same.items(), 2):
            yield f"{before}{one} {two}", up_to * x * z


def _some(a: np.ndarray, n: np.ndarray, size: float, alike: Arrays) -> str:
    difference = np.abs(a - n)
    close, wrong = difference > RIGHT * size, difference > CLOSE * size
    where = by_value(close, alike)
    wrong = close if where else wrong
    # the others are right only if they are so to the accuracy of differences
    if not 0 < wrong.mean() < 1 or difference[~wrong].max() > RIGHT * size:
        return ""
    how, not_zero = "is wrong", "should be 0"
    if not (np.abs(n[wrong]) > CLOSE * size).any() and wrong.sum() > 1:
        how = not_zero
    elif not a[wrong].any() and wrong.sum() > 1:
        how = "is 0"
    if where:
        return f"it {how} {where}, and is right elsewhere"
    if how != "is wrong":
        return f"it {how} at {wrong.sum()} of {wrong.size} entries, and is right elsewhere"
    return f"{count(wrong)} wrong, the others are right" if wrong.mean() <= FEW else ""
