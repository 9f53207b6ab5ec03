"""The verdict on one gradient and, if it is wrong, the name of the bug.

Random directions are probed first. Doubtful cases get more probes: with other steps, in groups of
entries of similar size, near x if x may lie at a kink, and entry by entry.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from ..backend import Array, array_module, to_numpy
from .numerics import (
    DIRECTIONS,
    FINER,
    NEARBY,
    Claim,
    Probe,
    among,
    confirm,
    direction,
    groups,
    probe,
    resolution,
    size,
)
from .pair import Raised
from .question import PASS_RESOLUTION, SEVERAL, Question, closely, entries, with_bar
from .report import FAIL, INCONCLUSIVE, KINK, OF_ALL, OF_ITSELF, PASS, Leaf
from .rounding import low_precision
from .ties import FEW, ones, tied

FAIL_RESOLUTION = 0.5  # FAIL requires this resolution, or a finer one
MANY = 24  # gradients that are looked at together first
TOGETHER = 1e-6  # the resolution that this must have
FURTHER = 1e-2  # relative to the inputs: a step that shows how the output changes with all of them
SLIGHT = 1e-9  # a gradient so much smaller than the others is looked at alone

LESS = 1e-12  # accuracy of a forward: a better one is no better than round-off
NUDGE = 1e-2  # distance from a kink of the points that are checked beside it, relative to x


def leaves(asked: Question, gradients: Mapping[str, Array], wrt: Iterable[str]) -> tuple[Leaf, ...]:
    """Check each of these gradients.

    Every step costs a whole forward, so checking many inputs one by one costs the square of their
    number. They are moved together first, and one by one only if that shows an error.
    """
    names = tuple(wrt)
    known = _together(asked, gradients, names) if len(names) >= MANY else {}
    return tuple(known.get(n) or leaf(asked, n, gradients[n]) for n in with_bar(names, "gradients"))


def _together(
    asked: Question, gradients: Mapping[str, Array], names: tuple[str, ...]
) -> dict[str, Leaf]:
    """Leaves that pass if all inputs are moved at once; none if any may be wrong.

    Steps are such that each gradient has the same slope along them, so none hides another.
    """
    pair, xp = asked.pair, array_module(asked.dy)
    largest = {n: float(abs(to_numpy(gradients[n])).max(initial=0)) for n in names}
    sizes = {n: largest[n] * size(pair.inputs[n]) for n in names}
    least = SLIGHT * max(sizes.values())
    names = tuple(n for n in names if n not in pair.coarse and not sizes[n] <= least)
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
        return Leaf(name, PASS, resolution=0.0, message="it is empty")
    claim = asked.claim(name, g, pair.inputs)
    if not bool(array_module(g).isfinite(g).all()):
        return _failed(asked, name, claim, [])
    probes, seen = _looks(asked, claim, name)
    if any(p.wrong and not p.kink for p in probes):
        claim = asked.rounded(claim, name, pair.inputs)
        probes, seen = _looks(asked, claim, name)
    if any(p.wrong or p.kink for p in probes):
        return _second_look(asked, name, claim, probes)
    best = min(probes, key=lambda p: p.resolution).relative
    of, rounds = OF_ITSELF, ""
    if not seen <= PASS_RESOLUTION:
        found = _zero(asked, claim, name)
        if found is None:
            return _inconclusive(asked, name, probes, seen)
        rounds = " up to rounding" if bool(g.any()) else ""
        (seen, of), best, claim = found, 0.0, claim._replace(g=0 * g)
    message, wrong = low_precision(pair, name, asked.dy, claim.g, asked.seed)
    if wrong:
        return Leaf(name, FAIL, np.inf, seen, message)
    if not bool(claim.g.any()) and (rounds or not message):
        message = f"it is 0 here{rounds}, as it should be"
    return Leaf(name, PASS, best, seen, message, of=of)


def _zero(asked: Question, claim: Claim, name: str) -> tuple[float, str] | None:
    """Whether gradient and differences are both 0 up to their own rounding.

    If so, the smallest detectable error, and what that is relative to: the slope near x, as at a
    minimum, or else the change of the output if all inputs move.
    """
    x, g = claim.x, claim.g
    exact = asked.rounded(claim, name, asked.pair.inputs)
    if not bool((abs(g) <= SEVERAL * exact.slack).all()):
        return None
    zero = exact._replace(g=0 * g, slack=0 * g)
    found = []
    for k in range(DIRECTIONS):
        u = direction(x, f"{name}, {k}", asked.seed)
        p = closely(zero, u)
        if p.reason or p.wrong or p.kink:
            return None
        found.append(p._replace(error=p.error + float(abs(g * u).sum())))
    if all(p.resolution <= PASS_RESOLUTION for p in found):
        return resolution(found), OF_ITSELF
    if not bool(g.any()):
        return None  # an exact 0 may be one that was never computed, of a slope that hides
    moved = {
        n: a + FURTHER * direction(a, n, asked.seed)
        for n, a in asked.pair.inputs.items()
        if n in asked.pair.floats
    }
    change = asked.output({**asked.pair.inputs, **moved}) - asked.output(asked.pair.inputs)
    natural = float(array_module(g).sqrt(((asked.dy * change) ** 2).sum())) / FURTHER
    if not 0 < natural < np.inf:
        return None
    seen = resolution([p._replace(scale=natural) for p in found])
    return (seen, OF_ALL) if seen <= TOGETHER else None


def _inconclusive(asked: Question, name: str, probes: list[Probe], seen: float) -> Leaf:
    reason = next((p.reason for p in probes if p.reason), "")
    what = f"a forward accurate to {asked.accuracy:.0e}" if asked.accuracy > LESS else "round-off"
    small = f"{what} hides relative errors below {seen:.1g}"
    if seen > 1:
        small = f"{what} hides the whole gradient, which may be 0 here: there is nothing to compare"
    reason = reason or small
    return Leaf(name, INCONCLUSIVE, resolution=seen, message=reason)


def _looks(asked: Question, claim: Claim, name: str) -> tuple[list[Probe], float]:
    """Probes of all entries at once or, if such steps leave the domain, group by group.

    With them comes the smallest error detectable in every group.
    """

    def look(sizes: Array | None) -> list[Probe]:
        """One full probe, and cheaper ones at the rungs that decided it, unless it is enough."""
        u = direction(claim.x, name, asked.seed, sizes)
        first = inside(u, sizes)
        if first.reason or first.wrong or first.kink or first.resolution > PASS_RESOLUTION:
            return [first]
        found = [first]
        for k in range(1, DIRECTIONS):
            u = direction(claim.x, f"{name}, {k}", asked.seed, sizes)
            another = confirm(claim, u, first)
            if another.wrong or another.resolution > PASS_RESOLUTION:
                another = inside(u, sizes)
            found.append(another)
        return found

    def inside(u: Array, sizes: Array | None) -> Probe:
        found = closely(claim, u)
        if found.reason and sizes is not None:  # an entry may lie near the edge of a domain
            found = probe(claim, u, FINER)
        return found

    looks = [look(None)]
    if any(p.reason for p in looks[0]):
        looks = [look(sizes) for sizes in groups(claim.x)]
    return [p for probes in looks for p in probes], max(map(resolution, looks))


def _second_look(asked: Question, name: str, claim: Claim, probes: list[Probe]) -> Leaf:
    """Decide a doubtful case: at a kink, the gradient must be a valid choice, and right nearby."""
    worst = max(probes, key=lambda p: p.relative)
    if not any(p.kink for p in probes) and worst.resolution > FAIL_RESOLUTION:
        return _inconclusive(asked, name, probes, worst.resolution)
    there, again = _beside(asked, name)
    wrong_beside = any(p.wrong or p.kink for p in again)
    if wrong_beside and not any(p.kink for p in probes):
        return _failed(asked, name, claim, probes)
    found = entries(asked, claim)
    doubtful = [i for i, p in found if (not p.bracketed if p.kink else p.wrong)]
    moved = doubtful + [i for i, p in found if p.kink and i not in doubtful]
    # as near as where differences decided: the forward may vary fast
    near = min([NEARBY, *(p.step / 4 for p in (*probes, *(p for _, p in found)) if not p.reason)])
    apart = near * ones(claim.x, moved)
    if len(doubtful) <= FEW and len(found) == claim.x.size:
        # of three entries that tie, each one alone and a line through all may show no kink
        doubtful = [i for i in doubtful if not among(claim, ones(claim.x, [i]), apart, asked.seed)]
    if not any(p.kink for _, p in found) and (doubtful or not moved):
        if any(p.wrong for _, p in found) or len(found) < claim.x.size:
            return _failed(asked, name, claim, probes)
        seen = max(p.resolution for _, p in found)
        if not seen <= PASS_RESOLUTION:
            return _inconclusive(asked, name, [p for _, p in found], seen)
        return Leaf(name, PASS, 0.0, seen, "checked entry by entry: x is near a kink")
    text = f"at a kink in {len(moved)} of {len(found)} entries"
    if doubtful:
        text += ", the gradient is not a valid choice"
        return _failed(asked, name, claim, probes, text)
    text += ", the gradient is a valid choice in each"
    said, wrong = tied(asked, name, claim, apart)
    if wrong:
        return _failed(asked, name, claim, [wrong], said)
    if wrong_beside:
        text += ", but wrong nearby"
        return _failed(asked, name, there, again[:1], text)
    if reason := next((p.reason for p in again if p.reason), ""):
        seen = min(p.resolution for p in probes)
        return Leaf(name, INCONCLUSIVE, resolution=seen, message=f"{text}, but nearby {reason}")
    return Leaf(name, KINK, 0.0, max(p.resolution for p in again), f"{text}, and right nearby")


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
