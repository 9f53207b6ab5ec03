"""What float64 loses in a forward and a backward, measured by running the same code again.

A backward may cancel: p - 1 has few correct digits for a confident prediction, and differences of
the forward cannot show that. In extended precision the same code loses fewer digits, so the two
results differ by what float64 lost. Without extended precision (some platforms, CuPy, code that
insists on float64), second differences of the gradient at tiny steps show its rounding: less
sharply, but of the same order.
"""

from collections.abc import Callable, Mapping

import numpy as np

from ..backend import Array, array_module, to_numpy
from .pair import Pair, Raised

DRAWS = 3  # of moved arguments
SPREAD = 32.0  # float32 may differ by so many times the effect of rounding
EPS = float(np.finfo(np.float64).eps)
WIDER = bool(np.finfo(np.longdouble).eps < EPS)
NEAR = EPS**0.5  # of the inputs: a step whose square is below rounding
NEARER = (0.75, 0.5)  # of the inputs, at which a gradient that has rounded to 0 is measured
AROUND = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4)  # distances, relative to the inputs
JUMP = 1e-8  # relative to dy or to the gradient: a larger change is none that rounding makes


def rounding(
    pair: Pair, inputs: Mapping[str, Array], name: str, dy: Array, g: Array, seed: int
) -> tuple[Array, float]:
    """The absolute rounding error of each entry of the gradient g, and that of <dy, y>."""
    xp = array_module(g)
    most = JUMP * max(float(xp.abs(dy).max()), float(xp.abs(g).max())) if dy.size else 0.0
    if (found := _extended(pair, inputs, name, dy, most)) is not None:
        worst, output = found
        # an output that is small beside 1 may be what is left of that, as in 1 - p
        small = bool((abs(pair.forward(inputs)) < EPS).all())
        for part in NEARER if small or not g.all() else ():
            # what has rounded to 0 shows its error where it is larger
            there = {n: part * a if n in pair.floats else a for n, a in inputs.items()}
            found = _extended(pair, there, name, dy, most)
            if found is not None:
                worst = np.where(g == 0, np.maximum(worst, found[0]), worst)
                output = max(output, found[1]) if small else output
        return worst, output
    rng, worst = np.random.default_rng([seed, 2]), xp.zeros_like(g)
    for _ in range(DRAWS):
        # a second difference: so near, the gradient is linear but for its rounding
        steps = {n: NEAR * rng.standard_normal(inputs[n].shape) for n in pair.floats}
        bent = -2 * g
        for sign in (1, -1):
            near = {n: inputs[n] * (1 + xp.asarray(sign * step)) for n, step in steps.items()}
            bent += pair.backward(dy, {**inputs, **near})[name]
        off = xp.abs(bent)
        worst = xp.maximum(worst, xp.where(off <= most, off, 0.0))
    return worst, 0.0


def _extended(
    pair: Pair, inputs: Mapping[str, Array], name: str, dy: Array, most: float
) -> tuple[Array, float] | None:
    """The difference that extended precision makes; None if it is unavailable or unused."""
    if array_module(dy) is not np or not WIDER:
        return None
    wide = {n: a.astype(np.longdouble) if n in pair.floats else a for n, a in inputs.items()}
    try:
        y, exact = pair.forward(wide), pair.backward(dy.astype(np.longdouble), wide)[name]
        off = np.abs(exact - pair.backward(dy, inputs)[name])
        output = _erratic(pair, inputs, dy, y)
    except Raised:
        return None
    if not exact.dtype == y.dtype == np.longdouble:
        return None
    return np.where(off <= most, off, 0.0).astype(dy.dtype), output


def _erratic(pair: Pair, inputs: Mapping[str, Array], dy: Array, y: Array) -> float:
    """The rounding of <dy, y>, by the output y in extended precision.

    A forward with constants that depend on the dtype is another function there, but not because of
    rounding: the difference is as large near the inputs, or changes along with them. What exceeds
    the last bits of numbers around 1 counts only as far as it does neither.
    """

    def lost(there: Mapping[str, Array], exact: Array | None = None) -> float:
        if exact is None:
            exact = pair.forward(
                {n: a.astype(np.longdouble) if n in pair.floats else a for n, a in there.items()}
            )
        return float((dy * (exact - pair.forward(there))).sum())

    here = lost(inputs, y)
    bits = 4 * EPS * float((abs(dy) * np.maximum(abs(y), 1)).sum())
    if not abs(here) > bits:
        return abs(here)
    rng, worst = np.random.default_rng([0, 6]), bits
    for part in AROUND:
        step = {
            n: part * a * rng.uniform(0.5, 1, a.shape)
            for n, a in inputs.items()
            if n in pair.floats
        }
        one, two = (
            lost({**inputs, **{n: inputs[n] + s * d for n, d in step.items()}}) for s in (1, -1)
        )
        worst = max(worst, abs(one - 2 * here + two))
    return min(abs(here), worst)


def reads_less(f: Callable[[Array], Array], x: Array, seed: int) -> str:
    """The dtype to which f rounds x, if it is narrower than float32; else ""."""
    rng, dtype = np.random.default_rng([seed, 4]), "float16"
    for _ in range(2 * DRAWS):
        step = np.finfo(dtype).eps * rng.uniform(-4, 4, x.shape)
        there = x * (1 + array_module(x).asarray(step))
        low = there.astype(dtype).astype(x.dtype)
        y = f(there)
        # between two numbers of that dtype nothing changes, but from one to the next
        if not bool((y == f(low)).all()) or not bool((y != f(x)).any()):
            return ""
    return dtype


def nudged(
    pair: Pair, inputs: Mapping[str, Array], dy: Array, eps: float, rng: "np.random.Generator"
) -> tuple[Array, dict[str, Array], Array]:
    """dy, the inputs, and the output there, each number moved by a random rounding error."""

    def moved(a: Array) -> Array:
        return a + eps * a * array_module(a).asarray(rng.standard_normal(a.shape))

    there = {n: moved(a) if n in pair.floats else a for n, a in inputs.items()}
    return moved(dy), there, moved(pair.forward(there))


def low_precision(pair: Pair, name: str, dy: Array, exact: Array, seed: int) -> tuple[str, bool]:
    """Compare a float32 or float16 gradient with the float64 one: a message, and True if wrong.

    They may differ by SPREAD times the effect of rounding inputs, output and upstream, or of the
    backward's own rounding.
    """
    dtype = pair.given[name].dtype
    if dtype == np.float64:
        return "", False
    rng, eps = np.random.default_rng([seed, 2]), float(np.finfo(dtype).eps)
    right = to_numpy(exact)
    largest = float(np.abs(right).max(initial=0))
    # backward may compute the output again, and round it
    spread = eps * max(largest, float(np.abs(to_numpy(dy)).max(initial=0)))
    for _ in range(DRAWS):
        off = to_numpy(pair.backward(*nudged(pair, pair.inputs, dy, eps, rng))[name]) - right
        spread = max(spread, float(np.abs(off).max(initial=0)))
    low_dy = dy.astype(pair.forward(pair.given).dtype)
    off = np.abs(to_numpy(pair.backward(low_dy, pair.given)[name]) - right).max(initial=0)
    if off > SPREAD * spread:
        lost, _ = rounding(pair, pair.inputs, name, dy, exact, seed)
        spread = max(spread, eps / EPS * float(to_numpy(lost).max(initial=0)))
    if off <= SPREAD * spread:
        seen = SPREAD * spread / largest if largest else 0.0
        return f"in {dtype}, errors above {seen:.1e} of the largest entry", False
    found = f"off by up to {off:.2g}; rounding explains only {spread:.2g}"
    return f"right in float64, but its {dtype} values are {found}", True
