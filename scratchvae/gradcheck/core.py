"""`check`: a function pair in, a report out."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..errors import InputError
from . import contract
from .diagnose import explain, table
from .numerics import FIRST, RATIO, Probe, confirm, direction, entry, probe, size
from .pair import Pair
from .report import FAIL, INCONCLUSIVE, KINK, PASS, Leaf, Report

ENOUGH = 1e-3  # PASS only if a relative error of this size would have been seen
FINER = FIRST * RATIO**-9  # the largest step of a second attempt
NUDGE = 1e-2  # how far beside a kink the gradient is looked at again, relative to the size of x
ENTRIES = 2000  # of a failing gradient are compared one by one; fewer where the arrays are large
WORK = 40_000_000  # numbers that such a comparison may compute


def check(
    f: Callable[..., Array],
    f_backward: Callable[..., Any],
    inputs: Mapping[str, Array],
    *,
    wrt: Iterable[str] | None = None,
    seed: int = 0,
    batch: Iterable[str] = (),
    upstream: float = 1.0,
    name: str = "",
) -> Report:
    """Check a hand-written backward against differences of its forward; no tolerance is needed.

    f(**inputs) returns one array y. f_backward(dy, ...) is called with the inputs, and `y`, that
    its signature names. It returns one gradient, a tuple in the order of its keyword-only `d*`
    arguments (else of the forward's floating-point inputs), or a dict by input name.

    inputs    arrays by name, NumPy's or CuPy's; integers are passed on, but have no gradient
    wrt       inputs whose gradients are checked: by default all that backward returns
    seed      of the upstream gradient and the directions, which also depend on each input's name
    upstream  the size of the random upstream gradient
    batch     inputs whose first axis counts examples: batches of one and of none are tried too

    The mathematics is decided in float64. Where inputs are float32, the float32 gradient is then
    held against the float64 one. Raises InputError where there is nothing to check.
    """
    pair = Pair(f, f_backward, inputs, name)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # steps reach where the forward overflows; it shows in the result
        return _check(pair, wrt, tuple(batch), seed, upstream)


def _check(
    pair: Pair, wrt: Iterable[str] | None, batch: tuple[str, ...], seed: int, upstream: float
) -> Report:
    y = pair.forward(pair.inputs)
    if not np.array_equal(to_numpy(y), to_numpy(pair.forward(pair.inputs)), equal_nan=True):
        text = "the forward gives other values when called again: pass the noise as an argument"
        return Report(pair.name, random=text)
    if not bool(array_module(y).isfinite(y).all()):
        raise InputError(f"{pair.name} gives NaN or infinity at these inputs: choose others")
    dy = upstream * _upstream(y, seed)
    gradients, violations = _contract(pair, dy, y)
    if not gradients and not violations:
        raise InputError(f"{pair.back} returns no gradient: is its return missing?")
    if not gradients:
        return Report(pair.name, violations=tuple(violations))
    wrt = tuple(gradients if wrt is None else wrt)
    if odd := [n for n in wrt if n not in gradients] or not wrt:
        what = f"for {', '.join(odd)}" if isinstance(odd, list) else "to check"
        raise InputError(f"{pair.name}: backward returns no gradient {what}")
    leaves = tuple(_leaf(pair, leaf, dy, gradients, seed) for leaf in wrt)
    violations += _batches(pair, wrt, batch, seed)
    unchecked = [n for n in pair.floats if n not in wrt]
    notes = (f"not checked: {', '.join(unchecked)}",) if unchecked else ()
    return Report(pair.name, leaves, tuple(violations), notes=notes)


def _upstream(y: Array, seed: int) -> Array:
    """A random normal upstream gradient: a constant one would let errors cancel."""
    xp = array_module(y)
    return xp.asarray(np.random.default_rng([seed, 1]).standard_normal(y.shape), dtype=y.dtype)


def _contract(pair: Pair, dy: Array, y: Array) -> tuple[dict[str, Array], list[str]]:
    """Gradients by name, in float64, and violations; no gradients if they cannot be compared."""
    low = pair.given
    low_y = pair.forward(low)
    low_dy = dy.astype(low_y.dtype)
    _, wrote = contract.locked(lambda: pair.forward(low), low, "the forward")
    given = {**low, "y": low_y, "dy": low_dy}
    gradients, wrote_too = contract.locked(
        lambda: pair.backward(low_dy, low, low_y), given, "the backward"
    )
    violations = [text for text in (wrote, wrote_too) if text]
    if gradients is None:
        return {}, violations
    if broken := list(contract.shapes(gradients, low)):
        return {}, violations + broken
    violations += contract.aliases(gradients, given)
    violations += contract.behaviour(pair, low, low_dy, gradients)
    y = pair.forward(pair.inputs)
    return pair.backward(dy, pair.inputs, y), violations


def _batches(pair: Pair, wrt: tuple[str, ...], batch: tuple[str, ...], seed: int) -> list[str]:
    """Violations with one example and with none, of a backward that may be right for several."""
    violations = []
    for B, what in ((1, "a batch of one"), (0, "an empty batch")) if batch else ():
        inputs = {n: x[:B] if n in batch else x for n, x in pair.inputs.items()}
        try:
            y = pair.forward(inputs)
            dy = _upstream(y, seed)
            gradients = pair.backward(dy, inputs, y)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            violations.append(f"fails for {what}: {error}")
            continue
        violations += [f"{text}, for {what}" for text in contract.shapes(gradients, inputs)]
        for name in wrt if not violations else ():
            x, g = inputs[name], gradients[name]
            if x.size == 0:
                continue
            seen = probe(_along(pair, inputs, name), dy, x, g, direction(x, name, seed))
            if seen.wrong and not seen.kink:
                violations.append(f"d{name} is wrong for {what}")
    return violations


def _leaf(pair: Pair, name: str, dy: Array, gradients: Mapping[str, Array], seed: int) -> Leaf:
    x, g = pair.inputs[name], gradients[name]
    if x.size == 0:
        return Leaf(name, PASS, resolution=0.0, message="it has no entries")
    if not bool(array_module(g).isfinite(g).all()):
        return _failed(pair, name, dy, g, np.inf, 0.0)
    probes = _probes(pair, pair.inputs, name, dy, g, seed)
    resolution = min(p.resolution for p in probes)
    if any(p.wrong or p.kink for p in probes):
        return _second_look(pair, name, dy, g, seed, probes)
    if not resolution <= ENOUGH:
        reason = next((p.reason for p in probes if p.reason), "")
        reason = reason or f"round-off hides errors below {resolution:.1g} of its size"
        return Leaf(name, INCONCLUSIVE, resolution=resolution, message=reason)
    if message := pair.low_precision(name, dy, g, seed):
        return Leaf(name, FAIL, np.inf, resolution, message)
    best = min(probes, key=lambda p: p.resolution)
    return Leaf(name, PASS, best.relative, resolution)


def _along(pair: Pair, inputs: Mapping[str, Array], name: str) -> Callable[[Array], Array]:
    """The forward as a function of one of its inputs."""
    return lambda z: pair.forward({**inputs, name: z})


def _probes(pair: Pair, inputs: Any, name: str, dy: Array, g: Array, seed: int) -> list[Probe]:
    f = _along(pair, inputs, name)
    x = inputs[name]
    first = probe(f, dy, x, g, direction(x, name, seed))
    relative = bool(first.reason)
    if relative:  # steps of each entry's own size stay in more domains
        first = probe(f, dy, x, g, direction(x, name, seed, relative))
    vague = not (first.reason or first.wrong or first.kink) and first.resolution > ENOUGH
    if vague:  # f may vary faster than x is large
        finer = probe(f, dy, x, g, direction(x, name, seed, relative), FINER)
        first = min(first, finer, key=lambda p: p.resolution)
    if first.reason or first.wrong or first.kink or first.resolution > ENOUGH:
        return [first]
    return [first, confirm(f, dy, x, g, direction(x, f"{name}, again", seed, relative), first)]


def _second_look(
    pair: Pair, name: str, dy: Array, g: Array, seed: int, probes: list[Probe]
) -> Leaf:
    """x may lie at a kink: then the gradient must be possible there, and right beside it."""
    x = pair.inputs[name]
    error = max(p.relative for p in probes)
    resolution = min(p.resolution for p in probes)
    beside = {**pair.inputs, name: x + NUDGE * direction(x, f"{name} beside", seed)}
    y = pair.forward(beside)
    again = _probes(pair, beside, name, dy, pair.backward(dy, beside, y)[name], seed)
    if any(p.wrong or p.kink or p.reason for p in again):
        return _failed(pair, name, dy, g, error, resolution, again[0])
    entries = _entries(pair, name, dy, g)
    possible = all(p.bracketed for _, p in entries)
    kinks = sum(p.kink for _, p in entries)
    if possible and kinks:
        text = f"at a kink in {kinks} of {len(entries)} entries, the gradient is a possible one"
        return Leaf(
            name, KINK, 0.0, min(p.resolution for p in again), f"{text}, and right beside it"
        )
    message = "right beside a kink, but at it none of those that are possible" if kinks else ""
    return _failed(pair, name, dy, g, error, resolution, probes[0], message)


def _entries(
    pair: Pair, name: str, dy: Array, g: Array, first: Probe | None = None
) -> list[tuple[tuple[int, ...], Probe]]:
    """What differences along single entries say: of all entries, or of as many as WORK allows.

    first: a probe whose rungs will do; without it each entry is looked at as closely as can be.
    """
    x = pair.inputs[name]
    cost = (30 if first is None else 6) * (sum(a.size for a in pair.inputs.values()) + dy.size)
    count = min(x.size, ENTRIES, max(16, WORK // cost))
    step = max(1, x.size // count)

    f = _along(pair, pair.inputs, name)
    found = []
    for flat in range(0, x.size, step):
        index = tuple(int(i) for i in np.unravel_index(flat, x.shape))
        u = entry(x, index)
        found.append(
            (index, probe(f, dy, x, g, u) if first is None else confirm(f, dy, x, g, u, first))
        )
    return found


def _failed(
    pair: Pair,
    name: str,
    dy: Array,
    g: Array,
    error: float,
    resolution: float,
    first: Probe | None = None,
    message: str = "",
) -> Leaf:
    """The leaf, with the name of the bug where one fits, and the worst entries."""
    analytic = to_numpy(g)
    clean = np.nan_to_num(analytic, posinf=0.0, neginf=0.0)
    first = None if first is None or first.reason else first
    entries = _entries(pair, name, dy, array_module(g).asarray(clean), first)
    picked = [index for index, _ in entries]
    numeric = np.array([clean[i] + p.residual / size(pair.inputs[name]) for i, p in entries])
    whole = len(picked) == analytic.size
    a = np.array([analytic[i] for i in picked])
    if message:
        pass
    elif whole:
        message = explain(
            a.reshape(analytic.shape),
            numeric.reshape(analytic.shape),
            {n: to_numpy(x) for n, x in pair.inputs.items() if x.dtype.kind == "f"}
            | {"y": to_numpy(pair.forward(pair.inputs))},
            lambda: {o: _numeric(pair, o, dy, first) for o in pair.floats if o != name},
            lambda v: _numeric(pair, name, array_module(dy).asarray(v), first),
            to_numpy(dy),
        )
    else:
        message = explain(a, numeric, {}, dict, lambda v: np.full(a.shape, np.inf), np.ones(()))
        message += (
            f"{'; ' if message else ''}{len(picked)} of {analytic.size} entries were compared"
        )
    return Leaf(name, FAIL, error, resolution, message, table(picked, a, numeric))


def _numeric(pair: Pair, name: str, dy: Array, first: Probe | None) -> np.ndarray:
    """The numeric gradient of one input, entry by entry."""
    x = pair.inputs[name]
    zero = array_module(x).zeros_like(x)
    entries = _entries(pair, name, dy, zero, first)
    if len(entries) < x.size:
        return np.full(x.shape, np.inf)
    return np.array([p.residual for _, p in entries]).reshape(x.shape) / size(x)
