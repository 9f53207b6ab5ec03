"""The verdict on one gradient and, if it is wrong, the name of the bug.

Random directions are probed first. Where they leave doubt, more probes follow: with other steps, in
groups of entries of similar size, beside x if x may lie at a kink, and entry by entry.
"""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from .numerics import DIRECTIONS, FINER, Probe, confirm, direction, groups, probe, resolution, size
from .pair import Pair
from .report import FAIL, INCONCLUSIVE, KINK, PASS, Leaf

PASS_RESOLUTION = 1e-2  # PASS requires this resolution, or a finer one
FAIL_RESOLUTION = 0.5  # FAIL requires this one
UNKNOWN = 1e-4  # an entry of a larger estimated error, relative to the largest entry, is not known
OTHER = 0.7  # of the usual steps: those of another attempt
NUDGE = 1e-2  # distance from a kink of the points that are checked beside it, relative to x
ENTRIES = 2000  # entries of a failing gradient that are compared, fewer where arrays are large
WORK = 40_000_000  # numbers that such a comparison may compute


def leaf(pair: Pair, name: str, dy: Array, g: Array, seed: int) -> Leaf:
    """Check g, the gradient with respect to the input `name` for the upstream gradient dy."""
    x = pair.inputs[name]
    if x.size == 0:
        return Leaf(name, PASS, resolution=0.0, message="it has no entries")
    if not bool(array_module(g).isfinite(g).all()):
        return _failed(pair, name, dy, g, [])
    looks = _looks(pair, pair.inputs, name, dy, g, seed)
    seen = max(resolution(probes) for probes in looks)
    probes = [p for probes in looks for p in probes]
    if any(p.wrong or p.kink for p in probes):
        return _second_look(pair, name, dy, g, seed, probes)
    if not seen <= PASS_RESOLUTION:
        return _inconclusive(name, probes, seen)
    message, wrong = pair.low_precision(name, dy, g, seed)
    if wrong:
        return Leaf(name, FAIL, np.inf, seen, message)
    best = min(probes, key=lambda p: p.resolution)
    return Leaf(name, PASS, best.relative, seen, message)


def _inconclusive(name: str, probes: list[Probe], seen: float) -> Leaf:
    reason = next((p.reason for p in probes if p.reason), "")
    reason = reason or f"round-off hides errors below {seen:.1g} of its size"
    return Leaf(name, INCONCLUSIVE, resolution=seen, message=reason)


def along(pair: Pair, inputs: Mapping[str, Array], name: str) -> Callable[[Array], Array]:
    """The forward as a function of one of its inputs."""
    return lambda z: pair.forward({**inputs, name: z})


def _looks(pair: Pair, inputs: Any, name: str, dy: Array, g: Array, seed: int) -> list[list[Probe]]:
    """Probes of all entries at once or, if such steps leave the domain, group by group."""
    f, x = along(pair, inputs, name), inputs[name]

    def look(sizes: Array | None) -> list[Probe]:
        """One full probe, and cheaper ones at the rungs that decided it, unless it is enough."""
        first = closely(f, dy, x, g, direction(x, name, seed, sizes))
        if first.reason or first.wrong or first.kink or first.resolution > PASS_RESOLUTION:
            return [first]
        found = [first]
        for k in range(1, DIRECTIONS):
            u = direction(x, f"{name}, {k}", seed, sizes)
            another = confirm(f, dy, x, g, u, first)
            if another.wrong or another.resolution > PASS_RESOLUTION:
                another = closely(f, dy, x, g, u)
            found.append(another)
        return found

    first = look(None)
    return [look(sizes) for sizes in groups(x)] if first[0].reason else [first]


def closely(f: Callable[[Array], Array], dy: Array, x: Array, g: Array, u: Array) -> Probe:
    """A probe, repeated with other steps if it is wrong or its resolution is coarse."""
    found = probe(f, dy, x, g, u)
    coarse = found.resolution > PASS_RESOLUTION
    if found.kink or found.reason or not (found.wrong or coarse):
        return found
    finer = probe(f, dy, x, g, u, FINER)  # f may vary faster than x is large, or have a kink near x
    if found.wrong:
        # by chance, a forward that rounds may do so alike at all steps
        for again, share in ((probe(f, dy, x, g, OTHER * u), OTHER), (finer, 1.0)):
            if again.kink or (not again.wrong and again.sees(share * found.residual)):
                return again
    better = coarse and finer.error < found.error and not (finer.flat and finer.wrong)
    return finer if better else found


def _second_look(
    pair: Pair, name: str, dy: Array, g: Array, seed: int, probes: list[Probe]
) -> Leaf:
    """Decide a doubtful case: at a kink, a possible gradient that is right at points beside it."""
    worst = max(probes, key=lambda p: p.relative)
    if not any(p.kink for p in probes) and worst.resolution > FAIL_RESOLUTION:
        return _inconclusive(name, probes, worst.resolution)
    beside, again = _beside(pair, name, dy, seed)
    wrong_beside = any(p.wrong or p.kink for p in again)
    if wrong_beside and not any(p.kink for p in probes):
        return _failed(pair, name, dy, g, probes)
    entries = _entries(pair, name, dy, g)
    kinks = sum(p.kink for _, p in entries)
    if not kinks:
        if any(p.wrong for _, p in entries) or len(entries) < g.size:
            return _failed(pair, name, dy, g, probes)
        seen = max(p.resolution for _, p in entries)
        if not seen <= PASS_RESOLUTION:
            return _inconclusive(name, [p for _, p in entries], seen)
        return Leaf(name, PASS, 0.0, seen, "entry by entry, as x is near a kink")
    text = f"at a kink in {kinks} of {len(entries)} entries"
    if not all(p.bracketed for _, p in entries):
        text += ", the gradient is none of the possible ones"
        return _failed(pair, name, dy, g, probes, text)
    text += ", the gradient is a possible one in each"
    if wrong_beside:
        g = pair.backward(dy, beside)[name]
        text += ", but wrong right beside it"
        there = copy(pair)
        there.inputs = beside
        return _failed(there, name, dy, g, again[:1], text)
    if reason := next((p.reason for p in again if p.reason), ""):
        seen = min(p.resolution for p in probes)
        return Leaf(name, INCONCLUSIVE, resolution=seen, message=f"{text}, but beside it {reason}")
    return Leaf(name, KINK, 0.0, max(p.resolution for p in again), f"{text}, and right beside it")


def _beside(pair: Pair, name: str, dy: Array, seed: int) -> tuple[dict[str, Array], list[Probe]]:
    """Inputs with every entry of x moved, and probes there; moved less if they leave the domain."""
    x = pair.inputs[name]
    u = direction(x, f"{name} beside", seed)
    u += array_module(x).where(u < 0, -size(x), size(x))  # no entry stays where it is
    for nudge in (NUDGE, NUDGE**2, NUDGE**3):
        beside = {**pair.inputs, name: x + nudge * u}
        y = pair.forward(beside)
        looks = _looks(pair, beside, name, dy, pair.backward(dy, beside, y)[name], seed)
        again = [p for probes in looks for p in probes]
        if not any(p.reason for p in again):
            break
    return beside, again


def _entries(
    pair: Pair, name: str, dy: Array, g: Array, first: Probe | None = None
) -> list[tuple[tuple[int, ...], Probe]]:
    """Probes along single entries: of all entries, or of as many as WORK allows.

    first: a probe whose rungs are used again; without it, each entry gets a full probe.
    """
    x = pair.inputs[name]
    cost = (30 if first is None else 6) * (sum(a.size for a in pair.inputs.values()) + dy.size)
    count = min(x.size, ENTRIES, max(16, WORK // cost))
    f, xp, step = along(pair, pair.inputs, name), array_module(x), size(x)
    found = []
    for flat in range(0, x.size, max(1, x.size // count)):
        index = tuple(int(i) for i in np.unravel_index(flat, x.shape))
        u = xp.zeros_like(x)
        u[index] = step
        probed = closely(f, dy, x, g, u) if first is None else confirm(f, dy, x, g, u, first)
        found.append((index, probed))
    return found


def _failed(
    pair: Pair, name: str, dy: Array, g: Array, probes: list[Probe], message: str = ""
) -> Leaf:
    """A wrong gradient: the name of the bug, if an explanation fits, and the worst entries."""
    from .diagnose import ZERO, explain, not_finite, table  # lazily: only a failure needs it

    analytic = to_numpy(g)
    clean = np.nan_to_num(analytic, posinf=0.0, neginf=0.0)
    first = probes[0] if probes and not probes[0].reason else None
    entries = _entries(pair, name, dy, array_module(g).asarray(clean), first)
    picked = [index for index, _ in entries]
    step = size(pair.inputs[name])
    numeric = _values(entries, np.abs(clean).max() * step) / step
    whole = len(picked) == analytic.size
    a = np.array([analytic[i] for i in picked])
    alike = [o for o in pair.floats if o != name and pair.inputs[o].shape == analytic.shape]
    known = not message and not np.isnan(numeric).any()
    if not np.isfinite(analytic).all():
        message = not_finite(analytic)
    elif not message and not analytic.any():
        message = ZERO
    elif known and whole:
        arrays = {n: to_numpy(pair.inputs[n]) for n in pair.floats}
        arrays["y"] = to_numpy(pair.forward(pair.inputs))
        message = explain(
            a.reshape(analytic.shape),
            numeric.reshape(analytic.shape),
            arrays,
            lambda: {o: _numeric(pair, o, dy, first) for o in alike},
            lambda v: _numeric(pair, name, array_module(dy).asarray(v), first),
            to_numpy(dy),
        )
    elif known:
        message = explain(a, numeric, {}, dict, lambda v: np.full(a.shape, np.inf), np.ones(()))
        compared = f"{len(picked)} of {analytic.size} entries were compared"
        message = f"{message}; {compared}" if message else compared
    norm = float(np.linalg.norm(numeric))  # NaN where some entries are not known
    if norm > 0 and np.isfinite(a).all():
        error = float(np.linalg.norm(a - numeric)) / norm
    else:
        error = max((p.relative for p in probes), default=np.inf)
    seen = min((p.resolution for p in probes), default=0.0)
    return Leaf(name, FAIL, error, seen, message, table(picked, a, numeric))


def _numeric(pair: Pair, name: str, dy: Array, first: Probe | None) -> np.ndarray:
    """The numeric gradient of one input, entry by entry."""
    x = pair.inputs[name]
    zero = array_module(x).zeros_like(x)
    entries = _entries(pair, name, dy, zero, first)
    if len(entries) < x.size:
        return np.full(x.shape, np.inf)
    return _values(entries, 0.0).reshape(x.shape) / size(x)


def _values(entries: list[tuple[tuple[int, ...], Probe]], least: float) -> np.ndarray:
    """The numeric slope along each entry; NaN where its estimated error is too large.

    Too large is more than UNKNOWN of the largest slope, or of `least` if that is larger.
    """
    values = np.array([p.slope for _, p in entries])
    largest = np.abs(values).max(initial=least)
    unknown = [bool(p.reason) or p.error > UNKNOWN * largest for _, p in entries]
    return np.where(unknown, np.nan, values)
