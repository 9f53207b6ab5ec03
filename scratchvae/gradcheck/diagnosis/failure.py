"""The report on a wrong gradient: the name of the bug, if one fits, and the worst entries."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from types import EllipsisType

import numpy as np

from ...backend import Array, array_module, to_numpy
from .. import trees
from ..numerics import FIRST, RATIO, SURE, Claim, Probe, confirm, direction, size
from ..pair import Raised
from ..question import ENTRIES, Entries, Question, closely, entries
from ..report import ACCEPTED, FAIL, Leaf
from .explain import ZERO, explain
from .wrong import Wrong

UNKNOWN = 1e-4  # an entry with a larger estimated error, relative to the largest entry, is unknown
FLAT = "it should be zero: the output does not depend on this input"
STEPS = "it should be zero: the forward is piecewise constant here (it rounds or compares)"
SMALL = 3e-5  # relative to the gradient: an error that an approximate forward may explain
NO_SLOPE = 1e-8  # relative to the gradient: differences of a constant are no larger
FLIPS = 0.15  # of entries with another sign: fewer do not look like noise
PLACE = 1e-3  # relative: factors that differ by more are not the same
NEARLY = 1e-6  # the same, if they are within their own errors, too
ALIKE = 1e-3  # relative: slopes along one line of two gradients that may be the same
AGAIN = 32  # entries that the rungs of the first probe do not tell, and that get a full one
LARGE = 200_000  # entries of a Jacobian that is not computed
OUTPUTS = 8  # of which each is looked at alone
NOTHING = (
    "it is None, which means zero, but the forward depends on this input; if it is a constant, "
    "return nothing for it, or list the others in wrt"
)

Output = tuple[
    str, slice | EllipsisType, np.ndarray
]  # its path, its place in the vector of all, its value


def failed(
    asked: Question, name: str, claim: Claim, probes: list[Probe], message: str = ""
) -> Leaf:
    """A wrong gradient: the name of the bug, if an explanation fits, and the worst entries."""
    pair, dy = asked.pair, asked.dy
    analytic = to_numpy(claim.g).astype("float64")
    clean = np.nan_to_num(analytic, posinf=0.0, neginf=0.0)
    first = probes[0] if probes and not probes[0].reason else None
    found = entries(asked, claim._replace(g=array_module(dy).asarray(clean)), first)
    picked = [index for index, _ in found]
    step = size(claim.x)
    if max(abs(p.slope) for _, p in found) <= NO_SLOPE * np.abs(clean).max() * step:
        # beside so large a gradient the right one is lost
        anew = None if len(found) <= AGAIN else first
        found = entries(asked, claim._replace(g=0 * claim.x, slack=0 * claim.x), anew)
        clean = 0 * clean
    least = float(np.abs(clean).max() * step)
    lost = np.flatnonzero(np.isnan(_values(found, least)))
    for k in lost if first is not None and len(lost) <= AGAIN else ():  # a kink nearby?
        u = array_module(claim.x).zeros_like(claim.x)
        u[picked[k]] = step
        found[k] = picked[k], closely(claim._replace(g=array_module(dy).asarray(clean)), u)
    numeric = _values(found, least) / step
    largest = max(abs(p.slope) for _, p in found)
    whole = len(picked) == analytic.size
    a = np.array([analytic[i] for i in picked])
    alike = [o for o in pair.floats if o != name and pair.inputs[o].shape == analytic.shape]
    at_kink = bool(message)
    known, part = not message and not np.isnan(numeric).any(), ""

    def numeric_for(other: str, v: np.ndarray, given: Mapping[str, Array] = {}) -> np.ndarray:
        """The numeric gradient of an input for an upstream gradient, entry by entry.

        given: other values of inputs.
        """
        x = pair.inputs[other]
        question = replace(asked, dy=array_module(dy).asarray(v))
        claim = question.claim(other, 0 * x, {**pair.inputs, **given})
        each = entries(asked, claim, first)
        if len(each) < x.size:
            return np.full(x.shape, np.inf)
        return _values(each, largest).reshape(x.shape) / size(x)

    def changed(other: str, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """Both gradients for other values of a constant, and these."""
        given = {other: 1.5 - pair.inputs[other]}
        returned = _returned(asked, name, v, given)
        lost = np.full(analytic.shape, np.nan)
        numeric = numeric_for(name, v, given)
        return lost if returned is None else returned, numeric, to_numpy(given[other])

    jacobian = cache(lambda: _jacobian(claim, first))

    def for_upstream(v: np.ndarray) -> np.ndarray:
        J = jacobian()
        return numeric_for(name, v) if J is None else (v.ravel() @ J).reshape(analytic.shape)

    def others() -> Iterator[tuple[str, np.ndarray]]:
        """Numeric gradients of the inputs of this shape that have the slope of a along one line."""
        for other in alike:
            x = pair.inputs[other]
            u, like = direction(x, name, asked.seed), asked.claim(other, 0 * x, pair.inputs)
            slope = (closely(like, u) if first is None else confirm(like, u, first)).slope
            if abs(slope - float((claim.g * u).sum())) <= ALIKE * abs(slope):
                yield other, numeric_for(other, to_numpy(dy))

    if not np.isfinite(analytic).all():
        message = not_finite(analytic)
    elif not message and name in pair.nothing:
        message = NOTHING
    elif not message and not analytic.any():
        message = ZERO
    elif not at_kink and _flat(found, analytic, step):
        message = STEPS if _jumps(claim, asked.seed) else FLAT
    elif known and whole:
        arrays = {n: to_numpy(pair.inputs[n]) for n in pair.floats}
        masks = {n: to_numpy(x) for n, x in pair.inputs.items() if x.dtype.kind == "b" and x.ndim}
        given, right = a.reshape(analytic.shape), numeric.reshape(analytic.shape)
        upstream = to_numpy(dy).astype("float64")

        def named(a: np.ndarray, n: np.ndarray, output: Output) -> str:
            """The name of the error of a, of the part of the gradient by one output, or by all."""
            _, where, y = output
            single = where is ...

            def all_of(v: np.ndarray) -> np.ndarray:
                full = np.zeros_like(upstream)
                full[where] = v if single else v.ravel()
                return full

            v = upstream[where].reshape(y.shape)
            constants = [o for o in alike if o not in pair.first]
            return explain(
                Wrong(
                    *(name, a, n, v, {**arrays, "y": y}, masks),
                    others=others if single else lambda: iter(()),
                    numeric_for=lambda v: for_upstream(all_of(v)),
                    returned_for=lambda v: _returned(asked, name, all_of(v)),
                    without={
                        o: partial(numeric_for, name, all_of(v), {o: 0 * pair.inputs[o]})
                        for o in constants
                    },
                    changed=lambda other: changed(other, all_of(v)),
                    jacobian=lambda: J if (J := jacobian()) is None or single else J[where],
                )
            )

        y = to_numpy(pair.forward(pair.inputs)).astype("float64")
        everything: Output = ("", ..., y)
        outputs = _outputs(asked) if pair.nested else []
        wrong = []
        for output in outputs if 1 < len(outputs) <= OUTPUTS else []:
            only = np.zeros_like(upstream)
            only[output[1]] = upstream[output[1]]
            one, two = _returned(asked, name, only), for_upstream(only)
            if one is not None and np.abs(one - two).max() > SMALL * np.abs(right).max():
                wrong.append((output, one, two))
        if len(wrong) in (0, len(outputs)):
            message = named(given, right, everything)
        for output, one, two in wrong if not message else []:
            if not one.any():
                message = f"it ignores the upstream gradient of output {output[0]}"
            elif text := named(one, two, output):
                message = f"through output {output[0]}: {text}"
            if message:
                break
        ratio = _ratio(given, right)
        if not message and (ratio < 0).mean() > FLIPS and dy.size > 1:
            message = _drawn_again(asked, name, ratio, for_upstream)
    elif known:
        message = explain(Wrong(name, a, numeric))
        part = f"{len(picked)} of {analytic.size} entries were compared"
    norm = float(np.linalg.norm(numeric))  # NaN where some entries are not known
    if norm > 0 and np.isfinite(a).all() and not at_kink:
        error = float(np.linalg.norm(a - numeric)) / norm
    else:
        error = max((p.relative for p in probes), default=np.inf)
    seen = min((p.resolution for p in probes), default=0.0)
    verdict = ACCEPTED if error <= asked.accept and not at_kink else FAIL
    if part:
        message = f"{message or f'relative error {error:.2g}'}; {part}"
    if not message and error < SMALL:
        message = (
            "so small an error may be the forward's (an epsilon, or a solver accurate to about "
            f"{error:.0e}?): pass forward_accuracy= to allow for it, or accept= to tolerate it"
        )
    return Leaf(name, verdict, error, seen, message, table(picked, a, numeric))


def _outputs(asked: Question) -> list[Output]:
    """The arrays of a nested output."""
    pair = asked.pair
    out = pair.f(**trees.rebuild(pair.tree, pair.inputs))
    if "cache" in pair.needs and "cache" not in pair.tree:
        out, _ = out
    found: list[Output] = []
    start = 0
    for path, y in trees.arrays(out).items():
        if y.dtype.kind == "f":
            found.append((path, slice(start, start + y.size), to_numpy(y).astype("float64")))
            start += y.size
    return found


def _returned(
    asked: Question, name: str, v: np.ndarray, given: Mapping[str, Array] = {}
) -> np.ndarray | None:
    """The gradient that backward returns for another upstream gradient, and other inputs."""
    question = replace(asked, dy=array_module(asked.dy).asarray(v))
    try:
        return to_numpy(question.gradients({**asked.pair.inputs, **given})[name]).astype("float64")
    except Raised:
        return None


def _ratio(a: np.ndarray, n: np.ndarray) -> np.ndarray:
    """a / n, and NaN where n is about 0."""
    known = np.abs(n) > 1e-3 * np.abs(n).max()
    return np.where(known, a / np.where(known, n, 1), np.nan)


def _drawn_again(
    asked: Question, name: str, ratio: np.ndarray, for_upstream: Callable[[np.ndarray], np.ndarray]
) -> str:
    """A name if each entry has a factor that depends on its place, and on no number.

    The factor is the same for another dy, and differs from entry to entry also where all entries of
    each input are equal. So does the right gradient, of a forward that has noise.
    """
    v = np.random.default_rng(0).standard_normal(asked.dy.shape)
    a, n = _returned(asked, name, v), for_upstream(v)
    if a is None or not np.nanmax(np.abs(a - ratio * n)) <= PLACE * np.abs(a).max():
        return ""
    xp, inputs = array_module(asked.dy), asked.pair.inputs
    even = {
        o: xp.full_like(x, x.mean()) if o in asked.pair.floats else x for o, x in inputs.items()
    }
    try:
        asked = replace(asked, dy=xp.ones_like(asked.dy))
        found = entries(asked, asked.claim(name, 0 * even[name], even))
        a = to_numpy(asked.gradients(even)[name])
    except Raised:
        return ""
    n = np.array([p.slope for _, p in found]) / size(even[name])
    if n.size < a.size or not np.ptp(n) > PLACE * np.abs(n).max():
        return ""
    if np.nanstd(_ratio(a, n.reshape(a.shape))) <= PLACE:
        return ""
    return (
        "perhaps backward redraws noise: each entry is off by its own factor, the same for "
        "every dy, and many signs are flipped"
    )


def _flat(found: Entries, analytic: np.ndarray, step: float) -> bool:
    """Whether differences show nothing but their own errors, or less than may be lost in them."""
    slopes = [abs(p.slope) for _, p in found if not p.reason]
    errors = [p.error for _, p in found if not p.reason]
    if not slopes or not analytic.any() or not np.isfinite(analytic).all():
        return False
    nothing = max(slopes) <= NEARLY * np.abs(analytic).max() * step
    return bool(nothing and max(slopes) <= SURE * max(errors))


def _jumps(claim: Claim, seed: int) -> bool:
    """Whether the forward changes for large steps, though not for small ones."""
    y = claim.f(claim.x)
    u = direction(claim.x, "steps", seed)
    near, far = claim.f(claim.x + 1e-9 * u), claim.f(claim.x + FIRST * u)
    return bool((near == y).all() and (far != y).any())


def _jacobian(claim: Claim, first: Probe | None) -> np.ndarray | None:
    """Of the outputs (rows) by the entries of x, at the rungs that decided; None if it is large."""
    x, h = claim.x, FIRST if first is None else first.step
    if x.size > ENTRIES or x.size * claim.v.size > LARGE:
        return None
    columns = []
    for flat in range(x.size):
        u = array_module(x).zeros_like(x).ravel()
        u[flat] = size(x)
        u = u.reshape(x.shape)
        wide, narrow = ((claim.f(x + t * u) - claim.f(x - t * u)) / (2 * t) for t in (h, h / RATIO))
        slope = (RATIO**2 * narrow - wide) / (RATIO**2 - 1) / size(x)
        columns.append(to_numpy(slope).ravel())
    J = np.stack(columns, axis=1)
    return J if np.isfinite(J).all() else None


def _values(found: Entries, least: float) -> np.ndarray:
    """The numeric slope along each entry; NaN where its estimated error is too large.

    Too large is more than UNKNOWN of the largest slope, or of `least` if that is larger.
    """
    values = np.array([p.slope for _, p in found])
    largest = np.abs(values).max(initial=least)
    unknown = [bool(p.reason) or p.error > UNKNOWN * largest for _, p in found]
    return np.where(unknown, np.nan, values)


def not_finite(a: np.ndarray) -> str:
    """The message for a gradient that holds a NaN or an infinity."""
    bad = ~np.isfinite(a)
    first = ", ".join(str(i) for i in np.argwhere(bad)[0])
    where = f"at {bad.sum()} of {bad.size} entries (first: [{first}])"
    nan = np.isnan(a).any()
    return f"NaN {where}: uninitialised memory, or 0/0" if nan else f"infinite {where}"


def table(picked: list[tuple[int, ...]], a: np.ndarray, n: np.ndarray, rows: int = 5) -> str:
    """The worst of the entries picked: index, the value of backward, the numeric value."""
    difference = np.abs(a - n)
    difference[~np.isfinite(difference)] = np.inf
    worst = np.argsort(difference, axis=None)[::-1][:rows]
    lines = [f"{'entry':>14} {'backward':>18} {'differences':>18}"]
    for flat in worst:
        at = "[" + ", ".join(str(i) for i in picked[flat]) + "]"
        lines.append(f"{at:>14} {a[flat]:>18.10g} {n[flat]:>18.10g}")
    return "\n".join(lines)
