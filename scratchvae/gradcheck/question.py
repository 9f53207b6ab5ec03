"""`Question`: whether the gradients of a pair are right; and the probes that answer it."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from .numerics import FINER, Claim, Probe, confirm, probe, size
from .pair import Pair, Raised
from .rounding import reads_less, rounding

PASS_RESOLUTION = 1e-2  # PASS requires this resolution, or a finer one
SURELY = 1e-5  # the resolution at which a kink that smaller steps do not show is none
OTHER = 0.7  # of the usual steps: those of another attempt
SEVERAL = 4.0  # roundings of a gradient that is less precise than its input
ENTRIES = 2000  # entries of a gradient that are probed one by one, fewer where arrays are large
WORK = 40_000_000  # numbers that such a comparison may compute

MOMENT = 2.0  # seconds

Entries = list[tuple[tuple[int, ...], Probe]]  # the index of each, and its probe


@dataclass(frozen=True)
class Question:
    """Whether the gradients of a pair are right, for the upstream gradient dy."""

    pair: Pair
    dy: Array
    seed: int
    accuracy: float = 0.0  # of the forward, relative
    accept: float = 0.0  # an error of this part of the gradient's size
    instead: Callable[[Mapping[str, Array]], Array] | None = None  # of the pair's own forward

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """In float64, also where backward computed them in another precision."""
        return {n: g.astype("float64") for n, g in self.pair.backward(self.dy, inputs).items()}

    def treating(self, paths: Iterable[str], how: Callable[..., Any] | str) -> "Question":
        """The same for these inputs as constants, or for another forward in place of the pair's."""
        if callable(how):
            return replace(self, instead=self.pair.of(how).forward)
        fixed = {n: self.pair.inputs[n] for n in paths}
        return replace(self, instead=lambda inputs: self.pair.forward({**inputs, **fixed}))

    def output(self, inputs: Mapping[str, Array]) -> Array:
        """What the forward returns; NaN where it raises, as it may outside its domain."""
        try:
            y = (self.instead or self.pair.forward)(inputs)
        except Raised:
            return self.dy * np.nan
        return y if y.shape == self.dy.shape else self.dy * np.nan

    def along(self, inputs: Mapping[str, Array], name: str) -> Callable[[Array], Array]:
        """The forward as a function of one input."""
        xp = array_module(inputs[name])  # the sum of two 0-d arrays is none
        return lambda z: self.output({**inputs, name: xp.asarray(z)})

    def claim(self, name: str, g: Array, inputs: Mapping[str, Array]) -> Claim:
        slack = SEVERAL * self.pair.coarse.get(name, 0.0) * abs(to_numpy(g)).max(initial=0.0)
        return self.claim_of(self.along(inputs, name), inputs[name], g, float(slack))

    def claim_of(
        self, f: Callable[[Array], Array], x: Array, g: Array, slack: float = 0.0
    ) -> Claim:
        """The claim that g is the gradient of <dy, f(x)>, for a forward of this accuracy."""
        noise = 0.0
        if self.accuracy:
            noise = self.accuracy * float(np.linalg.norm(to_numpy(self.dy * f(x))))
        return Claim(f, self.dy, x, g, slack + 0 * x, noise)

    def rounded(self, claim: Claim, name: str, inputs: Mapping[str, Array]) -> Claim:
        """The same claim, with the rounding errors of the gradient and of the output."""
        try:
            slack, noise = rounding(self.pair, inputs, name, self.dy, claim.g, self.seed)
        except Raised:
            return claim
        noise = max(claim.noise, noise)
        if not self.accuracy and (dtype := reads_less(claim.f, claim.x, self.seed)):
            text = f"the forward rounds {name} to {dtype}"
            self.pair.notes.extend([text] if text not in self.pair.notes else [])
            noise = max(
                noise,
                float(np.finfo(dtype).eps * np.linalg.norm(to_numpy(self.dy * claim.f(claim.x)))),
            )
        return claim._replace(slack=claim.slack + slack, noise=noise)


def with_bar(items: Sequence, what: str) -> Iterable:
    """The same items, with a progress bar in a terminal if they take longer than a moment."""
    if len(items) < 2 or sys.stderr is None or not sys.stderr.isatty():
        return items
    from tqdm import tqdm  # lazily: most checks are done before it would show

    return tqdm(items, what, leave=False, delay=MOMENT, dynamic_ncols=True)


def closely(claim: Claim, u: Array) -> Probe:
    """A probe, repeated with other steps if it is wrong or its resolution is coarse."""
    found = probe(claim, u)
    coarse = found.resolution > PASS_RESOLUTION
    if found.reason or not (found.wrong or coarse or found.kink):
        return found
    finer = probe(claim, u, FINER)  # f may vary faster than x is large, or have a kink near x
    if found.kink:
        smooth = not (finer.kink or finer.reason or finer.wrong)
        return finer if smooth and finer.resolution <= SURELY else found
    if found.wrong:
        # by chance, a forward that rounds may do so alike at all steps
        for again, share in ((probe(claim, OTHER * u), OTHER), (finer, 1.0)):
            if again.kink or (not again.wrong and again.sees(share * found.residual)):
                return again
    better = coarse and finer.error < found.error and not (finer.flat and finer.wrong)
    return finer if better else found


def entries(asked: Question, claim: Claim, first: Probe | None = None) -> Entries:
    """Probes along single entries: of all entries, or of as many as WORK allows.

    first: a probe whose rungs are used again; without it, each entry gets a full probe.
    """
    x, inputs = claim.x, asked.pair.inputs
    cost = sum(int(a.size) for a in inputs.values()) + int(claim.v.size)  # of one forward, at least
    count = min(x.size, ENTRIES, max(16, WORK // (cost * (30 if first is None else 6))))
    step, found = size(x), []
    for flat in with_bar(range(0, x.size, max(1, x.size // count)), "entries"):
        index = tuple(int(i) for i in np.unravel_index(flat, x.shape))
        u = array_module(x).zeros_like(x)
        u[index] = step
        probed = closely(claim, u) if first is None else confirm(claim, u, first)
        found.append((index, probed))
    return found
