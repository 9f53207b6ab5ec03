"""Finite differences that measure their own error, and a gradient compared with them.

Along a direction u, with phi(t) = <v, f(x + t u)>, the residual

    r(h) = [phi(h) - phi(-h) - <g, x+ - x->] / 2h

is 0 for a right gradient g up to truncation, c h^2, and round-off, eps_f / h. Both are measured on
a ladder of steps h, each a quarter of the previous one: Richardson's (16 r(h/4) - r(h)) / 15
removes c h^2, and its change from rung to rung estimates what is left; round-off is estimated from
how the smallest steps disagree. The rung with the least estimated error decides. x+ and x- are the
points that floating point actually reached, so that rounding x + h u adds no error.
"""

from collections.abc import Callable
from math import inf, pi, prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, array_module, to_numpy

Forward = Callable[[Array], Array]  # a function of one input, the others being fixed
Moved = Callable[[Array], Forward]  # the forward of x with something added to it

RUNGS = 13  # two evaluations each: with the one at x, 27 a direction
RATIO = 4.0
FIRST = 0.25  # the largest step, relative to the size of x
FINER = FIRST * RATIO**-9  # the largest step of a second attempt
SURE = 5.0  # estimated errors: a residual above so many is a failure
DIRECTIONS = 5  # an error may be nearly orthogonal to one, hardly to all of them
MISSED = 1e-4  # the chance that they all miss an error of the size that is printed
SMOOTHER = 15.0  # a larger jump of the noise, from rung to rung, is not round-off
GRAIN = 1e-6  # relative to the forward: a smaller jump is rounding, not a step function
ORDER = 1e3  # entries of x that are further apart are moved one group after the other
SEVERAL = 4  # smallest steps, so many that they do not all agree by chance
SMOOTH = 2.5  # the gap of one-sided slopes shrinks by RATIO a rung if f is smooth, by 1 at a kink
NEARBY = 1e-4  # distance of the points at which a kink shows its slopes, relative to x
SAMPLES = 64  # of those points: at a tie of five, each order is met almost surely
OUTSIDE = "steps leave the domain of the forward"


class Claim(NamedTuple):
    """The claim that g is the gradient of <v, f(x)>, and what is known of its rounding."""

    f: Forward
    v: Array
    x: Array
    g: Array
    slack: Array | float = 0.0  # rounding of each entry of g, by the backward's own arithmetic
    noise: float = 0.0  # of <v, f(x)>, beyond what differences show


class Probe(NamedTuple):
    """The comparison along one direction; all slopes are along it."""

    residual: float  # difference of the slopes: numeric minus analytic
    error: float  # estimated error of the residual
    scale: float  # typical size of the slope, over directions
    right: float = 0.0  # one-sided residuals at the smallest trustworthy step
    left: float = 0.0
    kink: bool = False  # they do not meet: x lies at, or within rounding of, a kink
    reason: str = ""  # why the probe is inconclusive, if it is
    step: float = FIRST  # the largest step of the rungs that decided
    noise: float = 0.0  # of the forward, along any direction
    flat: bool = False  # no step, however large, changed anything
    slope: float = 0.0  # numeric: analytic plus residual
    loose: float = 0.0  # estimated error of the one-sided residuals

    @property
    def wrong(self) -> bool:
        return abs(self.residual) > SURE * self.error

    def sees(self, residual: float) -> bool:
        """Whether an error of this slope along this direction would have been called wrong."""
        return (SURE + 1) * self.error < abs(residual)

    @property
    def relative(self) -> float:
        """The residual as far as it is not round-off, relative to the gradient's size."""
        return abs(self.residual) / self.scale if self.scale else 0.0

    @property
    def resolution(self) -> float:
        """The smallest relative error detectable if all directions were like this one."""
        return resolution([self])

    @property
    def bracketed(self) -> bool:
        """The gradient lies between the one-sided slopes: a subgradient, or one of them."""
        slack = max(SURE * self.error, min(SURE * self.loose, 0.01 * abs(self.right - self.left)))
        return min(self.right, self.left) <= slack and max(self.right, self.left) >= -slack


def resolution(probes: list[Probe]) -> float:
    """The relative error that all of these directions miss with probability MISSED.

    Along a normal direction an error has a normal slope, which is below t of its size with
    probability sqrt(2/pi) t, for small t; it is detected above (SURE + 1) estimated errors.
    """
    errors = [p.error / p.scale if p.scale else (inf if p.error else 0.0) for p in probes]
    if inf in errors:  # not 0, though another direction be exact
        return inf
    mean = prod(errors) ** (1 / len(errors))
    return sqrt(2 / pi) * (SURE + 1) * mean * MISSED ** (-1 / DIRECTIONS)


def size(x: Array) -> float:
    """The root mean square of x, which is what steps are relative to; 1 if x is 0."""
    rms = float(array_module(x).sqrt((x * x).mean())) if x.size else 0.0
    return rms if rms > 0 else 1.0


def direction(x: Array, name: str, seed: int, sizes: Array | None = None) -> Array:
    """A random direction, isotropic, of the size of x, or with steps of the sizes given.

    Keyed by the name, so that other inputs do not change it.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    xp = array_module(x)
    n = xp.asarray(rng.standard_normal(x.shape))
    if sizes is not None:
        n = xp.where(sizes > 0, n, 0)
    return n * (size(x) if sizes is None else sizes) / xp.sqrt((n * n).sum() / (n != 0).sum())


def groups(x: Array) -> list[Array]:
    """Step sizes relative to each entry, in groups of similar entries: 0 outside the group.

    Such a step keeps an entry inside most domains, and larger slopes do not hide a small one.
    Entries that are 0 get the smallest step.
    """
    xp = array_module(x)
    own = xp.abs(x)
    least = float(own[own > 0].min()) if bool((own > 0).any()) else 1.0
    found = [xp.where(own > 0, 0.0, least)]
    while bool((own > 0).any()):
        near = own > own.max() / ORDER
        found.append(xp.where(near, own, 0.0))
        own = xp.where(near, 0.0, own)
    return [sizes for sizes in found if bool(sizes.any())]


def probe(claim: Claim, u: Array, largest: float = FIRST) -> Probe:
    """Compare a gradient with differences along u; f is evaluated 27 times."""
    f, v, x, g, _, least = claim
    xp = array_module(x)
    y = f(x)
    eps = float(np.finfo(y.dtype).eps)
    scale = float(xp.sqrt(((g * u) ** 2).sum()))
    rows = []
    with np.errstate(all="ignore"):
        for h in (largest * RATIO**-k for k in range(RUNGS)):
            xa, xb = x + h * u, x - h * u
            ya, yb = f(xa), f(xb)
            central = _residual(v, ya - yb, g, xa - xb, 2 * h)
            right = _residual(v, ya - y, g, xa - x, h)
            left = _residual(v, y - yb, g, x - xb, h)
            moved = float(array_module(v).abs(v * (ya - yb)).max()) if v.size else 0.0
            rows.append((h, central, right, left, moved))
        h, r, right, left, moved = np.array(rows).T
        own = float(((v * y) ** 2).sum()) ** 0.5
        # rungs that leave the domain of f are too large
        first = int(np.flatnonzero(~np.isfinite(r))[-1]) + 1 if not np.isfinite(r).all() else 0
        h, r, right, left = h[first:], r[first:], right[first:], left[first:]
        if len(h) < 5:
            return Probe(0.0, np.inf, scale, reason=OUTSIDE)
        noise = _noise(h, r, max(least, 0.5 * eps * own))
        zero = not bool((g * u).any())
        if not zero:
            noise = max(noise, _grain(moved, own))
            if not moved[-1]:  # a change below the rounding of numbers around 1 may be lost
                noise = max(noise, eps * float(xp.sqrt((v * v).sum())))
        R = _extrapolated(r)
        floor = _floor(claim, u, eps)
        error = np.abs(np.diff(R)) + 3 * noise / h[2:] + floor
    best = _best(R[:-1], error)
    slope = float((g * u).sum()) + float(R[best])
    if zero and abs(slope) <= SURE * error[best]:
        # no slope, as at a minimum: errors are relative to that beside x, or to the forward
        scale = _beside(right, left) or own or float(moved.max())
    else:
        scale = max(scale, abs(slope))
    kink, at = _kink(h, right - left, noise, scale)
    return Probe(
        *(float(R[best]), float(error[best]), scale, float(right[at]), float(left[at]), kink),
        step=float(h[best]),
        noise=noise,
        flat=not moved.any(),
        slope=slope,
        loose=noise / float(h[at]),
    )


def confirm(claim: Claim, u: Array, first: Probe) -> Probe:
    """Another direction, at the rungs that decided the first one: f is evaluated 6 times."""
    f, v, x, g, *_ = claim
    xp = array_module(x)
    r = []
    with np.errstate(all="ignore"):
        for h in (first.step * RATIO**-k for k in range(3)):
            xa, xb = x + h * u, x - h * u
            r.append(_residual(v, f(xa) - f(xb), g, xa - xb, 2 * h))
        R = _extrapolated(np.array(r)).tolist()
    floor = _floor(claim, u, float(xp.finfo(x.dtype).eps))
    error = abs(R[1] - R[0]) + 3 * first.noise * RATIO**2 / first.step + floor
    slope = float((g * u).sum()) + R[0]
    scale = max(float(xp.sqrt(((g * u) ** 2).sum())), abs(slope))
    if not bool((g * u).any()) and abs(slope) <= SURE * error:
        scale = first.scale
    if not np.isfinite(error):
        return Probe(0.0, np.inf, scale, reason=OUTSIDE)
    return Probe(R[0], error, scale, step=first.step, noise=first.noise, slope=slope)


def _floor(claim: Claim, u: Array, eps: float) -> float:
    """The rounding of the slope that the gradient gives along u."""
    xp = array_module(u)
    return float((4 * eps * xp.abs(claim.g * u) + xp.abs(claim.slack * u)).sum())


def _residual(v: Array, change: Array, g: Array, moved: Array, width: float) -> float:
    """The slope of <v, f> for that change of f, minus the slope of <g, x> for x's own."""
    return (float((v * change).sum()) - float((g * moved).sum())) / width


def _extrapolated(r: Any) -> Any:
    """Richardson's extrapolation of residuals at steps that shrink by RATIO: without c h^2."""
    return (RATIO**2 * r[1:] - r[:-1]) / (RATIO**2 - 1)


def _noise(h: Any, r: Any, least: float) -> float:
    """eps_f, from how the smallest steps disagree.

    h (r(h/4) - r(h)) falls by 64 a rung where truncation dominates; what does not is round-off. The
    largest of several is taken, as a few may be small by chance, but none beyond a jump, where
    steps may cross a kink.
    """
    change = (h[1:] * np.diff(r))[::-1]
    off = np.minimum(np.abs(change[:-1]), np.abs(change[:-1] - change[1:] / RATIO**3))[:6]
    noise = max(least, *off[:SEVERAL].tolist())
    for larger in off[SEVERAL:]:
        if larger > SMOOTHER * noise:
            break
        noise = max(noise, float(larger))
    return noise


def _grain(moved: Any, own: float) -> float:
    """The smallest jump of f, if the smallest steps do not change f at all; else 0."""
    if moved[-1] or not moved.any():
        return 0.0
    least = float(moved[np.flatnonzero(moved)[-1]])
    return least if least < GRAIN * own else 0.0


def _best(R: Any, error: Any) -> int:
    """The rung of least error among those that all smaller steps agree with.

    Steps that are too large may agree with one another and be wrong together: a bounded function
    looks flat to them.
    """
    k = np.arange(len(R))
    agree = np.abs(R[:, None] - R) <= SURE * (error[:, None] + error)
    trusted = (agree | (k[:, None] >= k)).all(axis=1)
    return int(np.argmin(np.where(trusted, error, np.inf)))


def _beside(right: Any, left: Any) -> float:
    """The slope near a point where it is 0, at the largest step.

    It grows with the distance; one that grows faster, like an exponential, is measured at smaller
    steps, and one that keeps its sign on the flatter side.
    """
    one, two = (np.abs(side[:3]) * RATIO ** np.arange(3) for side in (right, left))
    sides = sorted((float(one.min()), float(two.min())))
    return sides[int(right[0] * left[0] <= 0)]


def _kink(h: Any, gap: Any, noise: float, scale: float) -> tuple[bool, int]:
    """Whether one-sided slopes fail to meet, and the last rung with a gap above the noise."""
    gap = np.abs(gap)
    clear = np.flatnonzero((gap > 20 * noise / h) & (gap > 1e-6 * scale))
    if len(clear) < 2 or clear[-1] - clear[-2] != 1:
        return False, int(clear[-1]) if len(clear) else 0
    last = int(clear[-1])
    # a smooth function's gap is below the noise, or still shrinking, at that rung
    steady = gap[last - 1] < SMOOTH * gap[last]
    # the last rung at which a gap as large as the largest would still be above the noise
    return bool(steady and last == np.flatnonzero(gap.max() > 20 * noise / h)[-1]), last


def among(claim: Claim, u: Array, apart: Array, seed: int, at: Moved | None = None) -> bool:
    """Whether the gradient's slope along u lies between those at points nearby, as at a kink.

    apart: how far each entry is moved to get there, relative to x. at(w): the forward of x + w.
    """
    f, v, x, g, *_ = claim
    xp, at = array_module(x), at or (lambda w: lambda z: f(z + w))
    apart = size(x) * apart
    h = float(apart.max()) / 100
    rng, slopes = np.random.default_rng([seed, 3]), []
    values = np.unique(to_numpy(x), return_inverse=True)[1].reshape(x.shape)
    for k in range(SAMPLES):
        w = rng.standard_normal(x.shape)
        if k % 2:  # those of one value together
            w = rng.choice([-1.0, 1.0], x.size)[values]
        w = apart * xp.asarray(w)
        there = at(w)
        slopes.append(float((v * (there(x + h * u) - there(x - h * u))).sum()) / (2 * h))
    found = np.array(slopes)[np.isfinite(slopes)]
    slope = float((g * u).sum())
    slack = 10 * NEARBY * max(abs(slope), np.abs(found).max(initial=0.0))
    return bool(len(found) and found.min() - slack <= slope <= found.max() + slack)
