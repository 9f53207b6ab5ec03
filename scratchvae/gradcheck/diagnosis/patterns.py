"""Patterns in a wrong gradient: which entries, which parts of a sum, which statistic.

Each function returns one sentence, or "". a is the gradient that backward returned, n the numeric
one; both have the same shape, and they differ.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from math import comb

import numpy as np

from .wrong import Wrong

FIT = 1e-4  # the residual that a fit may leave, relative to the largest error it explains
SPARE = 3  # entries in each slice beyond the coefficients that are fitted to it
CHANCE = 0.02  # that entries which are wrong by chance are all those of some value
SHOWN = 4  # slices that are listed by number


def _fits(candidate: np.ndarray, a: np.ndarray, n: np.ndarray) -> bool:
    """Whether the candidate explains a: what it leaves is small beside the error of a."""
    return bool(np.abs(a - candidate).max() <= FIT * np.abs(a - n).max())


def contributions(
    a: np.ndarray,
    n: np.ndarray,
    v: np.ndarray,
    jacobian: Callable[[], np.ndarray | None],
    local: bool = False,
) -> str:
    """Sums over the outputs that lack some of their terms, or run over another axis.

    local: most entries are right, so that no part of dy is missing as a whole.
    """
    J = jacobian()
    if J is None:
        return ""
    parts = v.reshape(-1, 1) * J  # of each output (rows) to each entry
    close = FIT * float(np.abs(a - n).max())
    if v.shape == a.shape and _fits(np.diagonal(parts).reshape(a.shape), a, n):
        return "only the diagonal of the Jacobian is used, but outputs depend on other entries too"
    wrong = np.flatnonzero(np.abs(a - n).ravel() > close)
    text = "" if local else _part_of_dy(a, n, v, parts)
    if text := text or _one_of_several(a, parts, v.shape, wrong, close):
        return text
    counts = np.round(J)
    if counts.max() > 1 and np.abs(J - counts).max() <= FIT and counts.min() >= 0:
        once = (v.reshape(-1, 1) * (counts > 0)).sum(axis=0).reshape(a.shape)
        if _fits(once, a, n):
            return (
                f"{entries_of(wrong, a)} used several times by one output, but counted once: "
                "np.add.at adds each time (repeated indices)"
            )
    each = parts.sum(axis=1).reshape(v.shape)
    for count in range(1, v.ndim + 1):
        for axes in combinations(range(v.ndim), count):
            total = each.sum(axis=axes)
            if total.shape == a.shape and _fits(total, a, n):
                return f"it is summed over axis {', '.join(map(str, axes))} of dy, the wrong one"
    return ""


def _one_of_several(
    a: np.ndarray, parts: np.ndarray, shape: tuple[int, ...], wrong: np.ndarray, close: float
) -> str:
    """Entries that get the part of one output, or of one block of outputs, instead of the sum."""
    flat = a.ravel()[wrong]
    if not flat.any() or (len(wrong) == a.size and a.size < SPARE):
        return ""
    for count in range(len(shape)):
        for axes in combinations(range(len(shape)), count):
            some = parts[:, wrong].reshape(*shape, -1).sum(axis=axes).reshape(-1, len(wrong))
            several = (np.abs(some) > FIT * np.abs(parts).max()).sum(axis=0) > 1
            if several.all() and (np.abs(some - flat).min(axis=0) <= close).all():
                which = entries_of(wrong, a)
                get = "gets" if which.endswith(" is") else "get"
                return (
                    f"{which} used by several outputs, but {get} the gradient of only one: = where "
                    "+= is meant? (repeated indices, overlapping windows, copies)"
                )
    return ""


def _part_of_dy(a: np.ndarray, n: np.ndarray, v: np.ndarray, parts: np.ndarray) -> str:
    """A gradient to which only one end of dy, or all but that, contributes."""
    blocks = parts.reshape(*v.shape, -1)
    for axis, length in enumerate(v.shape):
        for end, index in (("first", 0), ("last", length - 1)) if length > 1 else ():
            one = np.take(blocks, index, axis=axis).reshape(-1, a.size).sum(axis=0).reshape(a.shape)
            if _fits(one, a, n):
                return f"only the {end} slice of dy along axis {axis} is used"
            if _fits(parts.sum(axis=0).reshape(a.shape) - one, a, n):
                return f"the {end} slice of dy along axis {axis} is ignored"
    return ""


def entries_of(wrong: np.ndarray, a: np.ndarray) -> str:
    """Entries by their flat numbers, in words, with their verb."""
    if len(wrong) == a.size:
        return f"all {a.size} entries are"
    for axis, length in enumerate(a.shape):
        rows = np.unique(np.unravel_index(wrong, a.shape)[axis])
        if len(rows) < length and len(wrong) == len(rows) * (a.size // length):
            which, verb = _which(rows, length, a.ndim).rsplit(" ", 1)
            return f"{which} along axis {axis} {verb}" if a.ndim > 1 else f"{which} {verb}"
    return f"{len(wrong)} of {a.size} entries {'is' if len(wrong) == 1 else 'are'}"


def symmetric(a: np.ndarray, n: np.ndarray) -> str:
    """The gradient of a symmetric matrix, where the forward reads one triangle of it."""
    if n.ndim < 2 or n.shape[-1] != n.shape[-2]:
        return ""
    T = np.swapaxes(n, -1, -2)
    both = n + T - n * np.eye(n.shape[-1])
    for candidate in (both, (n + T) / 2, n + T):
        if _fits(candidate, a, n):
            return "it is symmetric, but the forward does not use both triangles equally"
    for which, used, unused in (("upper", np.triu, np.tril), ("lower", np.tril, np.triu)):
        lost = unused(a, -1 if which == "upper" else 1)
        if lost.any() and _same(used(a) + np.swapaxes(lost, -1, -2), n):
            return (
                f"the forward reads only the {which} triangle: the gradient of the other one must "
                "be added to it, transposed"
            )
    return ""


def mask(a: np.ndarray, n: np.ndarray) -> str:
    """Two gradients that agree wherever both are not 0."""
    size = np.abs(n).max()
    off = np.abs(a - n) > 1e-5 * size
    lost, extra = off & (a == 0), off & (np.abs(n) <= 1e-9 * size)
    if not lost.any() or not extra.any() or (off & ~lost & ~extra).any():
        return ""
    return (
        f"it is 0 at {lost.sum()} entries where it should not be, and nonzero at {extra.sum()} "
        "where it should be 0: not the forward's mask?"
    )


def slices(a: np.ndarray, n: np.ndarray, close: float, right: float) -> str:
    """Along one axis, slices that are wrong as a whole, while the others are right."""
    for axis, length in enumerate(a.shape):
        A = np.moveaxis(a, axis, 0).reshape(length, -1)
        N = np.moveaxis(n, axis, 0).reshape(length, -1)
        off = np.abs(A - N).max(axis=1)
        wrong = np.flatnonzero(off > close)
        if not 0 < len(wrong) < length or off[off <= close].max() > right:
            continue
        some = np.maximum(np.abs(A[wrong]), np.abs(N[wrong])) > close
        bad = np.abs(A[wrong] - N[wrong]) > close
        least = 2 if a.ndim > 1 else 1
        if (bad.sum(axis=1) < np.maximum(least, 0.7 * some.sum(axis=1))).any():
            continue
        c = (A[wrong] * N[wrong]).sum() / (N[wrong] ** 2).sum()
        how = "wrong"
        if not A[wrong].any():
            how = "0"
        elif np.abs(A[wrong] - c * N[wrong]).max() <= 1e-5 * np.abs(A[wrong]).max():
            how = f"{c:.4g} times the right one"
        if a.ndim == 1 and (how == "wrong" or len(wrong) > SHOWN):
            continue
        along = f"along axis {axis}, " if a.ndim > 1 else ""
        return f"{along}{_which(wrong, length, a.ndim)} {how}, and the others are right"
    return ""


def _which(wrong: np.ndarray, length: int, ndim: int = 2) -> str:
    """Slices in words, with their verb; of an array with one axis they are entries."""
    one, many = ("slice", "slices") if ndim > 1 else ("entry", "entries")
    k, first, last = len(wrong), int(wrong[0]), int(wrong[-1])
    if k == 1:
        return f"{one} {first} is" if last < length - 1 else f"the last {one} ({last}) is"
    if last - first == k - 1:
        if first == 0:
            return f"the first {k} {many} are"
        end = last == length - 1
        return f"the last {k} {many} are" if end else f"{many} {first} to {last} are"
    steps = np.diff(wrong)
    if k > 2 and (steps == steps[0]).all():
        which = {2: "second", 3: "third"}.get(int(steps[0]), f"{steps[0]}th")
        return f"every {which} {one} from {first} on is"
    if k <= SHOWN:
        return f"{many} {', '.join(map(str, wrong))} are"
    return f"{k} of {length} {many} are"


def by_value(wrong: np.ndarray, alike: Mapping[str, np.ndarray]) -> str:
    """Where entries are wrong, by the value of an input or of the output there.

    Nothing is said of so few entries that any would be among those of some value.
    """
    few = min(int(wrong.sum()), int((~wrong).sum()))
    chance = 1 / comb(wrong.size, few)
    for name, x in alike.items():
        for said, at in (("0", x == 0), ("negative", x < 0), ("positive", x > 0)):
            # a number is rarely 0, but of each input some are negative
            tries = 1 if said == "0" else 2 * len(alike)
            if few > 1 and bool((at == wrong).all()) and tries * chance <= CHANCE:
                return f"where {name} is {said}"
        if few <= SPARE:  # a threshold between so few may be there by chance
            continue
        for shown, z in ((name, x), (f"|{name}|", np.abs(x))):
            for side, low, high in (("above", ~wrong, wrong), ("below", wrong, ~wrong)):
                if z[low].max() < z[high].min() and 4 * len(alike) * chance <= CHANCE:
                    return f"where {shown} is {side} {_between(z[low].max(), z[high].min())}"
    return ""


def _between(low: float, high: float) -> str:
    """The shortest number between two."""
    for digits in range(1, 17):
        text = f"{(low + high) / 2:.{digits}g}"
        if low <= float(text) <= high:
            break
    return text


def other_noise(wrong: Wrong) -> str:
    """A factor of each entry that looks random, where a constant input is a factor of n.

    A backward that draws the noise again draws the same for another noise of the forward.
    """
    a, n = wrong.a, wrong.n
    for name, at_0 in wrong.without.items():
        noise = wrong.alike.get(name)
        if noise is None or noise.size < 2 * SPARE or noise.std() == 0:
            continue
        rest = at_0()  # the part without the noise, as of a KL divergence
        through = n - rest
        known = np.abs(through) > 1e-3 * np.abs(n).max()
        if not np.isfinite(rest).all() or known.sum() < 2 * SPARE:
            continue
        ratio = ((a - rest) / np.where(known, through, 1))[known]
        drawn, flips = ratio * noise[known], (ratio < 0).mean()
        if not (0.15 < flips < 0.85 and 0.3 < drawn.std() / noise.std() < 3):
            continue
        a, n, noise = wrong.changed(name)
        with np.errstate(all="ignore"):
            again = ((a - rest) / (n - rest) * noise)[known]
        if np.abs(again - drawn).max() <= 1e-3 * np.abs(drawn).max():
            return (
                f"perhaps backward redraws {name}: each entry is off by its own factor, and many "
                "signs are flipped"
            )
    return ""


def _same(a: np.ndarray, n: np.ndarray) -> bool:
    return bool(np.abs(a - n).max() <= FIT * np.abs(n).max())


def epsilon(a: np.ndarray, n: np.ndarray, alike: Mapping[str, np.ndarray], v: np.ndarray) -> str:
    """A small relative error that falls with an input: an epsilon that only the forward adds."""
    known = np.abs(n) > 1e-3 * np.abs(n).max()
    off = a[known] / n[known] - 1
    if len(off) < 3 or not 0 < np.abs(off).max() < 1e-2:
        return ""
    for name, x in alike.items():
        for power, shown in ((1, name), (2, f"{name}^2")):
            z = x[known] ** power
            if not (z > 0).all() or np.ptp(z) == 0:
                continue
            eps = off * z
            if eps.std() <= 1e-2 * abs(eps.mean()):
                # of (z + eps)^-p, p times eps is seen; p is, where the outputs do not mix
                p = 1.0
                if v.shape == a.shape or v.size == 1:
                    slopes = np.log(np.abs(n / v)[known])
                    p, _ = np.polyfit(np.log(z), slopes - (power == 2) * np.log(z) / 2, 1)
                about = "" if abs(p + 1) < 1e-3 else "about "
                return (
                    f"consistent with an epsilon of {about}{abs(eps.mean() / (p or 1.0)):.2g} that "
                    f"only the forward adds to {shown}"
                )
    return ""


def count(mask: np.ndarray) -> str:
    k = int(mask.sum())
    return f"{k} of {mask.size} entries {'is' if k == 1 else 'are'}"
