"""`check`: compare a hand-written backward with finite differences of its forward."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..errors import InputError, check_seed, finite_number
from . import contract
from .leaf import along, closely, leaf
from .numerics import direction
from .pair import Pair
from .report import GOOD, Report


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
    """Check a hand-written backward against finite differences; no tolerance is needed.

    f(**inputs) returns one array y. f_backward(dy, ...) is called with the inputs, and `y`, that
    its signature names. It returns one gradient, a tuple in the order of its keyword-only `d*`
    arguments (else of the forward's floating-point inputs), or a dict by input name.

    inputs    arrays by name, NumPy's or CuPy's; integers are passed on, but have no gradient
    wrt       inputs whose gradients are checked: by default all that backward returns
    seed      of the upstream gradient and the directions, which also depend on each input's name
    upstream  the size of the random upstream gradient
    batch     inputs whose first axis is the batch: batches of one and of none are checked too

    Whether a gradient is right is decided in float64. If inputs are float32, their float32 gradient
    is then compared with the float64 one. Raises InputError if there is nothing to check.
    """
    pair = Pair(f, f_backward, inputs, name)
    finite_number(upstream, "upstream", above=0)
    check_seed(seed)
    for what, names in (("batch", batch), ("wrt", wrt or ())):
        if isinstance(names, str) or not set(names) <= set(inputs):
            raise InputError(f"{what} must be a list of some of {', '.join(inputs)}, got {names!r}")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # large steps may overflow in the forward; the result shows it
        warnings.simplefilter("ignore")
        return _check(pair, wrt, tuple(batch), seed, upstream)


def _check(
    pair: Pair, wrt: Iterable[str] | None, batch: tuple[str, ...], seed: int, upstream: float
) -> Report:
    y, wrote = contract.locked(lambda: pair.forward(pair.inputs), pair.inputs, "the forward")
    if wrote:
        return Report(pair.name, violations=(wrote,))
    if not np.array_equal(to_numpy(y), to_numpy(pair.forward(pair.inputs)), equal_nan=True):
        text = "the forward gives other values when called again: pass the noise as an argument"
        return Report(pair.name, random=text)
    if not bool(array_module(y).isfinite(y).all()):
        raise InputError(f"{pair.name} gives NaN or infinity at these inputs: choose others")
    dy = upstream * _upstream(y, seed)
    gradients, violations = _contract(pair, dy)
    if not gradients:
        if not violations:
            raise InputError(f"{pair.back} returns no gradient: is its return missing?")
        return Report(pair.name, violations=tuple(violations))
    wrt = tuple(gradients if wrt is None else wrt)
    if not wrt:
        raise InputError(f"{pair.name}: wrt is empty, so there is nothing to check")
    if lost := contract.names(n for n in wrt if n not in gradients):
        violations.append(f"{pair.back} returns no {lost}")
    wrt = tuple(n for n in wrt if n in gradients)
    leaves = tuple(leaf(pair, n, dy, gradients[n], seed) for n in wrt)
    right = tuple(found.name for found in leaves if found.verdict in GOOD)
    violations += _batches(pair, right, batch, seed)
    unchecked = [n for n in pair.floats if n not in wrt]
    notes = (f"not checked: {', '.join(unchecked)}",) if unchecked else ()
    return Report(pair.name, leaves, tuple(violations), notes=notes)


def _upstream(y: Array, seed: int) -> Array:
    """A random normal upstream gradient: a constant one would let errors cancel."""
    xp = array_module(y)
    return xp.asarray(np.random.default_rng([seed, 1]).standard_normal(y.shape), dtype=y.dtype)


def _contract(pair: Pair, dy: Array) -> tuple[dict[str, Array], list[str]]:
    """Gradients by name, in float64, and violations; no gradients if they cannot be compared."""
    low = pair.given
    low_y = pair.forward(low)
    low_dy = dy.astype(low_y.dtype)
    # an input may be called y or dy itself
    given = {"y": low_y, "dy": low_dy, **low}
    given |= {f"the {n} of the call": a for n, a in (("y", low_y), ("dy", low_dy)) if n in low}
    gradients, wrote = contract.locked(
        lambda: pair.backward(low_dy, low, low_y), given, "the backward"
    )
    violations = [wrote] if wrote else []
    if gradients is None:
        return {}, violations
    if broken := list(contract.shapes(gradients, low)):
        return {}, violations + broken
    violations += contract.aliases(gradients, given)
    violations += contract.behaviour(pair, low, low_dy, gradients)
    return pair.backward(dy, pair.inputs, pair.forward(pair.inputs)), violations


def _batches(pair: Pair, wrt: tuple[str, ...], batch: tuple[str, ...], seed: int) -> list[str]:
    """Violations for a batch of one example and for an empty batch."""
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
            found = closely(along(pair, inputs, name), dy, x, g, direction(x, name, seed))
            if found.wrong and not found.kink:
                violations.append(f"d{name} is wrong for {what}")
    return violations
