"""The verdict on one gradient and, if it is wrong, the name of the bug.

Random directions are probed first. Where they leave doubt, more probes follow: with other steps, in
groups of entries of similar size, beside x if x may lie at a kink, and entry by entry.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from ..backend import Array, array_module
from .numerics import DIRECTIONS, Claim, Probe, confirm, direction, groups, resolution, size
from .pair import Raised
from .question import PASS_RESOLUTION, Entries, Question, closely, entries
from .report import FAIL, INCONCLUSIVE, KINK, PASS, Leaf
from .rounding import low_precision

FAIL_RESOLUTION = 0.5  # FAIL requires this resolution, or a finer one
MANY = 24  # gradients that are looked at together first
TOGETHER = 1e-6  # the resolution that this must have
NUDGE = 1e-2  # distance from a kink of the points that are checked beside it, relative to x


def leaves(asked: Question, gradients: Mapping[str, Array], wrt: Iterable[str]) -> tuple[Leaf, ...]:
    """Check each of these gradients.

    Every step costs a whole forward, so that many inputs, one after the other, cost the square of
    their number. They are moved together first, and one by one only if that shows anything.
    """
    names = tuple(wrt)
    known = _together(asked, gradients, names) if len(names) >= MANY else {}
    return tuple(known.get(n) or leaf(asked, n, gradients[n]) for n in names)


def _together(
    asked: Question, gradients: Mapping[str, Array], names: tuple[str, ...]
) -> dict[str, Leaf]:
    """Leaves that pass if all inputs are moved at once; none if any may be wrong.

    Steps are such that each gradient has the same slope along them, so none hides another.
    """
    pair, xp = asked.pair, array_module(asked.dy)
    names = tuple(n for n in names if n not in pair.coarse and bool(gradients[n].any()))
    xs, gs = [pair.inputs[n] for n in names], [gradients[n] for n in names]
    if not names or not all(bool(xp.isfinite(g).all()) for g in gs):
        return {}
    ends = np.cumsum([x.size for x in xs])

    def joined(arrays: Iterable[Array]) -> Array:
        return xp.concatenate([a.ravel() for a in arrays])

    def f(z: Array) -> Array:
        parts = xp.split(z, ends[:-1].tolist())
        moved = {n: a.reshape(x.shape) for n, a, x in zip(names, parts, xs, strict=True)}
        return asked.output(pair.inputs | moved)

    def step(k: int) -> Array:
        us = [direction(x, f"{n}, {k}", asked.seed) for n, x in zip(names, xs, strict=True)]
        slopes = [float(xp.sqrt(((g * u) ** 2).sum())) for g, u in zip(gs, us, strict=True)]
        least = min(slopes)
        return joined(u * (least / s if s else 0.0) for u, s in zip(us, slopes, strict=True))

    claim = asked.claim_of(f, joined(xs), joined(gs))
    first = closely(claim, step(0))
    found = [first]
    if not (first.reason or first.wrong or first.kink):
        found += [confirm(claim, step(k), first) for k in range(1, DIRECTIONS)]
    seen = resolution(found) * len(names) ** 0.5  # the slope of all together is larger than of one
    if any(p.reason or p.wrong or p.kink for p in found) or not seen <= TOGETHER:
        return {}
    passed = {}
    for n, g in zip(names, gs, strict=True):
        message, wrong = low_precision(pair, n, asked.dy, g, asked.seed)
        if not wrong:
            passed[n] = Leaf(n, PASS, min(p.relative for p in found), seen, message)
    return passed


def leaf(asked: Question, name: str, g: Array) -> Leaf:
    """Check g, the gradient with respect to the input `name`."""
    pair = asked.pair
    x = pair.inputs[name]
    if x.size == 0:
        return Leaf(name, PASS, resolution=0.0, message="it has no entries")
    if g.dtype.kind == "f" and g.dtype.itemsize > 8:
        g = g.astype("float64")  # NumPy's linear algebra takes no extended precision
    claim = asked.claim(name, g, pair.inputs)
    if not bool(array_module(g).isfinite(g).all()):
        return _failed(asked, name, claim, [])
    probes, seen = _looks(asked, claim, name)
    if any(p.wrong and not p.kink for p in probes):
        claim = asked.rounded(claim, name, pair.inputs)
        probes, seen = _looks(asked, claim, name)
    if any(p.wrong or p.kink for p in probes):
        return _second_look(asked, name, claim, probes)
    if not seen <= PASS_RESOLUTION:
        return _inconclusive(name, probes, seen)
    message, wrong = low_precision(pair, name, asked.dy, g, asked.seed)
    if wrong:
        return Leaf(name, FAIL, np.inf, seen, message)
    if not message and not bool(g.any()):
        message = "it is 0 here, as it should be"
    best = min(probes, key=lambda p: p.resolution)
    return Leaf(name, PASS, best.relative, seen, message)


def _inconclusive(name: str, probes: list[Probe], seen: float) -> Leaf:
    reason = next((p.reason for p in probes if p.reason), "")
    small = ": the gradient itself is smaller" if seen > 1 else ""
    reason = reason or f"round-off hides errors below {seen:.1g} of its size{small}"
    return Leaf(name, INCONCLUSIVE, resolution=seen, message=reason)


def _looks(asked: Question, claim: Claim, name: str) -> tuple[list[Probe], float]:
    """Probes of all entries at once or, if such steps leave the domain, group by group.

    With them comes the smallest error that would have been seen in every group.
    """

    def look(sizes: Array | None) -> list[Probe]:
        """One full probe, and cheaper ones at the rungs that decided it, unless it is enough."""
        first = closely(claim, direction(claim.x, name, asked.seed, sizes))
        if first.reason or first.wrong or first.kink or first.resolution > PASS_RESOLUTION:
            return [first]
        found = [first]
        for k in range(1, DIRECTIONS):
            u = direction(claim.x, f"{name}, {k}", asked.seed, sizes)
            another = confirm(claim, u, first)
            if another.wrong or another.resolution > PASS_RESOLUTION:
                another = closely(claim, u)
            found.append(another)
        return found

    looks = [look(None)]
    if looks[0][0].reason:
        looks = [look(sizes) for sizes in groups(claim.x)]
    return [p for probes in looks for p in probes], max(map(resolution, looks))


def _second_look(asked: Question, name: str, claim: Claim, probes: list[Probe]) -> Leaf:
    """Decide a doubtful case: at a kink, a possible gradient that is right at points beside it."""
    worst = max(probes, key=lambda p: p.relative)
    if not any(p.kink for p in probes) and worst.resolution > FAIL_RESOLUTION:
        return _inconclusive(name, probes, worst.resolution)
    there, again = _beside(asked, name)
    wrong_beside = any(p.wrong or p.kink for p in again)
    if wrong_beside and not any(p.kink for p in probes):
        return _failed(asked, name, claim, probes)
    found = entries(asked, claim)
    kinks = sum(p.kink for _, p in found)
    if not kinks:
        if any(p.wrong for _, p in found) or len(found) < claim.x.size:
            return _failed(asked, name, claim, probes)
        seen = max(p.resolution for _, p in found)
        if not seen <= PASS_RESOLUTION:
            return _inconclusive(name, [p for _, p in found], seen)
        return Leaf(name, PASS, 0.0, seen, "entry by entry, as x is near a kink")
    text = f"at a kink in {kinks} of {len(found)} entries"
    if not all(p.bracketed for _, p in found):
        text += ", the gradient is none of the possible ones"
        return _failed(asked, name, claim, probes, text)
    text += ", the gradient is a possible one in each"
    tied, apart = _tied(asked, name, claim, found)
    if apart:
        return _failed(asked, name, claim, [apart], tied)
    if wrong_beside:
        text += ", but wrong right beside it"
        return _failed(asked, name, there, again[:1], text)
    if reason := next((p.reason for p in again if p.reason), ""):
        seen = min(p.resolution for p in probes)
        return Leaf(name, INCONCLUSIVE, resolution=seen, message=f"{text}, but beside it {reason}")
    return Leaf(name, KINK, 0.0, max(p.resolution for p in again), f"{text}, and right beside it")


def _tied(asked: Question, name: str, claim: Claim, each: Entries) -> tuple[str, Probe | None]:
    """Move entries at a kink that are equal together; what is wrong with the gradient, if it is.

    Entries tie within one input, or with the same entries of another input, as in maximum(a, b).
    """
    x, inputs = claim.x, asked.pair.inputs
    at = array_module(x).zeros_like(x)
    for index, probe in each:
        at[index] = float(probe.kink)
    values = {float(x[index]) for index, probe in each if probe.kink}
    moves = [(claim, at * (x == value), "") for value in values]
    for other in asked.pair.floats:
        z = inputs[other]
        if other != name and z.shape == x.shape and bool((at * (z == x)).any()):
            both = asked.gradients(inputs)

            def f(new: Array, other: str = other, z: Array = z) -> Array:
                return asked.along({**inputs, name: new}, other)(z + (new - x))

            together = claim._replace(f=f, g=both[name] + both[other])
            moves.append((together, at * (z == x), f" of {name} and {other}"))
    for moved, u, of in moves:
        count = int(u.sum()) * (2 if of else 1)
        if count < 2:
            continue
        found = closely(moved, u * size(x))
        if not found.bracketed if found.kink else found.wrong:
            text = (
                f"{count} entries{of} tie, and if they are moved together the gradient is none of "
                "the possible ones: those of the tied entries must share it"
            )
            return text, found
    return "", None


def _beside(asked: Question, name: str) -> tuple[Claim, list[Probe]]:
    """The claim with every entry of x moved, and probes; moved less if that leaves the domain."""
    x = asked.pair.inputs[name]
    u = direction(x, f"{name} beside", asked.seed)
    u += array_module(x).where(u < 0, -size(x), size(x))  # no entry stays where it is
    for nudge in (NUDGE, NUDGE**2, NUDGE**3):
        beside = {**asked.pair.inputs, name: x + nudge * u}
        try:
            claim = asked.claim(name, asked.gradients(beside)[name], beside)
        except Raised:
            continue
        again, _ = _looks(asked, claim, name)
        if any(p.wrong and not p.kink for p in again):
            claim = asked.rounded(claim, name, beside)
            again, _ = _looks(asked, claim, name)
        if not any(p.reason for p in again):
            break
    return claim, again


def _failed(
    asked: Question, name: str, claim: Claim, probes: list[Probe], message: str = ""
) -> Leaf:
    from .diagnosis.failure import failed  # lazily: only a wrong gradient needs it

    return failed(asked, name, claim, probes, message)
