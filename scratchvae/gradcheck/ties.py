"""Ties: entries at a kink that must share a gradient, such as equal largest entries of a maximum.

Each alone may have any valid share. Moved together they show no kink, and the slope that their
gradients give along that line is right or wrong.
"""

from collections.abc import Iterable

import numpy as np

from ..backend import Array, array_module, to_numpy
from .numerics import Claim, Forward, Moved, Probe, among, size
from .question import Question, closely

FEW = 32  # entries at a kink of which each is looked at closely


def ones(x: Array, picked: Iterable[tuple[int, ...]]) -> Array:
    """1 at the entries that are picked, else 0."""
    at = array_module(x).zeros_like(x)
    for index in picked:
        at[index] = 1.0
    return at


def tied(asked: Question, name: str, claim: Claim, apart: Array) -> tuple[str, Probe | None]:
    """Move tied entries at a kink together; what is wrong with the gradient, or "".

    Entries tie if they are equal up to their sign within one input, or at the same place in two
    inputs, as in maximum(a, b). apart: how far entries at a kink are moved to part them, else 0.
    """
    x, inputs, xp = claim.x, asked.pair.inputs, array_module(claim.x)
    own = {float(value) for value in x[apart > 0]}
    at_kink, signs = 1.0 * (apart > 0), xp.where(x < 0, -1.0, 1.0)
    moves: list[tuple[Claim, Array, str, int, Moved | None]]
    moves = [(claim, at_kink * (x == value), "", 0, None) for value in own]
    opposite = [value for value in own if value > 0 and -value in own]
    moves += [(claim, at_kink * signs * (abs(x) == v), "", 0, None) for v in opposite]
    for other in (o for o in asked.pair.floats if o in asked.pair.first and o != name):
        z = inputs[other]
        equal, theirs_equal = _equal(at_kink, x, z)
        if z.shape != x.shape and not bool(equal.any()):
            continue
        alone = np.argwhere(to_numpy(at_kink - equal)).tolist()[:FEW] if z.shape == x.shape else []
        both = asked.gradients(inputs)
        theirs = asked.claim(other, both[other], inputs)
        for u, w in ((equal, theirs_equal), *((ones(x, [tuple(i)]),) * 2 for i in alone)):
            if not bool(u.any()) or (u is not equal and not closely(theirs, u * size(z)).kink):
                continue
            ratio = 1.0 if u is equal else size(z) / size(x)
            at = _moving(asked, (name, other), (u, ratio * w), apart)
            g = both[name] + u * (ratio * both[other] * w).sum() / (u * u).sum()
            moves.append(
                (claim._replace(f=at(0 * x), g=g), u, f" of {name} and {other}", int(w.sum()), at)
            )
    for moved, u, of, others, shifted in moves:
        count = int(abs(u).sum()) + others
        if count < 2:
            continue
        found = closely(moved, u * size(x))
        if not found.bracketed if found.kink else found.wrong:
            if among(moved, u, apart, asked.seed, shifted):
                continue
            text = (
                f"{count} entries{of} tie, and moved together their gradient is not a valid "
                "choice: tied entries must share it"
            )
            return text, found
    return "", None


def _equal(at_kink: Array, x: Array, z: Array) -> tuple[Array, Array]:
    """1 at the entries of x at a kink that equal some of z, and at those of z; 0 elsewhere.

    Arrays of equal shape are compared entry by entry. For others it is unknown which entries meet,
    so all entries of one value move together, tied ones among them.
    """
    if z.shape == x.shape:
        equal = at_kink * (z == x)
        return equal, equal
    xp = array_module(x)
    return at_kink * xp.isin(x, z), 1.0 * xp.isin(z, x[at_kink > 0])


def _moving(
    asked: Question, names: tuple[str, str], lines: tuple[Array, Array], apart: Array
) -> Moved:
    """The forward as a function of one input while another moves with it, each along a line.

    apart: how far the entries of the first are moved to part ties; the other's move as far.
    """
    inputs, (name, other), (u, w) = asked.pair.inputs, names, lines
    x, z, rng = inputs[name], inputs[other], np.random.default_rng([asked.seed, 5])

    def at(moved: Array) -> Forward:
        far = float(apart.max()) * bool(moved.any())
        parted = z + far * (w != 0) * array_module(z).asarray(rng.standard_normal(z.shape))

        def f(new: Array) -> Array:
            length = ((new - x) * u).sum() / (u * u).sum()
            return asked.along({**inputs, name: new + moved}, other)(parted + length * w)

        return f

    return at
