"""The contract of a backward, beyond correct gradients: checked by calling it several times.

Gradients have the shape, dtype and device of their inputs. A backward does not write to its
arguments. The same call returns the same bits, and the result is linear in the upstream gradient
and does not depend on the memory layout of the arguments. What is not wrong but worth knowing is a
note: gradients that share memory with an argument or with one another (a violation if the check is
strict), and calls that a function refuses.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, array_module, share_memory, to_numpy
from ..errors import hidden
from .pair import Changed, Pair, Raised
from .rounding import DRAWS, SPREAD, WIDER

__tracebackhide__ = hidden

VIOLATION, NOTE = "violation", "note"
ADDS_UP = "a violation after which gradients cannot be compared"
WRITES = ("output array is read-only", "assignment destination is read-only")  # NumPy's words
IN_PLACE = "if one is changed in place, both change"
SMALL = 1e-6  # relative to the gradient: what a solver may add to a linear function
SHRINKS = 1e-2  # of a difference: what a wider precision may leave of it, if it is rounding
SEVERAL = 8.0  # roundings of the backward by which two memory layouts may differ

Gradients = Mapping[str, Array]
Rounded = Callable[[str], Array]  # the rounding error of each entry of a gradient, by its name
Arrange = Callable[[Array], Array]
LAYOUTS: dict[str, Arrange] = {  # of an array that has axes
    "Fortran-ordered": lambda a: array_module(a).asfortranarray(a),
    "strided": lambda a: array_module(a).repeat(a, 2, axis=-1)[..., ::2],
}


def names(leaves: Iterable[str]) -> str:
    return ", ".join(f"d{name}" for name in leaves)


def shapes(gradients: Gradients, inputs: Mapping[str, Array]) -> Iterator[str]:
    """Wrong types, shapes or devices: such gradients cannot be compared."""
    for name, g in gradients.items():
        x = inputs[name]
        if not hasattr(g, "shape") or not hasattr(g, "dtype"):
            yield f"d{name} is a {type(g).__name__}, not an array"
        elif g.shape != x.shape:
            yield f"d{name} has shape {g.shape}, but {name} has {x.shape}"
        elif array_module(g) is not array_module(x):
            yield f"d{name} and {name} are on different devices"
        elif g.dtype.kind != "f":
            yield f"d{name} is {g.dtype}, but {name} is {x.dtype}"


def dtypes(gradients: Gradients, inputs: Mapping[str, Array]) -> Iterator[str]:
    """Gradients whose dtype differs from that of the input; they can still be compared."""
    for name, g in gradients.items():
        if g.dtype != inputs[name].dtype:
            yield f"d{name} is {g.dtype}, but {name} is {inputs[name].dtype}"


class Locked(NamedTuple):
    """What a call with read-only arguments returned, and what it did wrong."""

    result: Any = None
    violation: str = ""
    note: str = ""


def locked(call: Callable[[], Any], arrays: Mapping[str, Array], who: str) -> Locked:
    """Call a function of these arrays, and find out whether it writes into them, and where.

    NumPy arrays are made read-only, so that the line that writes raises. If the call raises, it is
    repeated with writable arrays: a function that leaves those unchanged only refuses read-only
    memory. The bits are always compared: other arrays cannot be made read-only, and the function
    may handle the error.
    """
    before = {name: a.copy() for name, a in arrays.items()}
    numpys = [a for a in arrays.values() if isinstance(a, np.ndarray)]

    def changed() -> str:
        same = {
            n: to_numpy(a).tobytes() == to_numpy(before[n]).tobytes() for n, a in arrays.items()
        }
        return ", ".join(n for n in same if not same[n])

    refused = None
    try:
        for a in numpys:
            a.flags.writeable = False
        result = call()
    except Raised as error:
        refused = error
    finally:
        for a in numpys:
            a.flags.writeable = True
    if refused is None:
        if not (what := changed()):
            return Locked(result)
        for name in what.split(", "):
            arrays[name][...] = before[name]
        return Locked(result, f"{who} writes into its arguments: {what}")
    result = call()
    if not changed() and not any(refused.what.endswith(words) for words in WRITES):
        return Locked(result, note=f"{who} refuses read-only arguments: {refused.what}")
    for name, a in arrays.items():
        a[...] = before[name]
    return Locked(violation=f"{who} writes into its arguments, {refused.where}")


def aliases(gradients: Gradients, given: Mapping[str, Array]) -> Iterator[str]:
    """Gradients that share memory with what was passed in, or with one another."""
    for name, g in gradients.items():
        for other, a in given.items():
            if share_memory(g, a):
                yield f"d{name} shares memory with {other}: {IN_PLACE}"
    for (one, a), (two, b) in combinations(gradients.items(), 2):
        if share_memory(a, b):
            yield f"d{one} and d{two} share memory: {IN_PLACE}"


def other_bits(a: Gradients, b: Gradients, factor: float = 1.0) -> list[str]:
    """Names of the gradients in which b is not factor times a, bit for bit.

    Numbers so small that they have lost bits to underflow are ignored.
    """
    bad = []
    for name in a:
        one, two = to_numpy(a[name]) * a[name].dtype.type(factor), to_numpy(b[name])
        small = 4 * np.finfo(one.dtype).tiny
        lost = (np.abs(one) < small) & (np.abs(two) < small)
        if not np.array_equal(np.where(lost, 0, one), np.where(lost, 0, two), equal_nan=True):
            bad.append(name)
    return bad


def adds_up(pair: Pair, inputs: Mapping[str, Array], dy: Array) -> list[str]:
    """Names of the gradients to which each call adds the same again."""
    first, second, third = (pair.backward(dy, inputs) for _ in range(3))
    grown = {n: second[n] - first[n] for n in first}
    steady = _far({n: third[n] - second[n] for n in first}, grown, lambda n: 0 * first[n])
    return [n for n, g in grown.items() if n not in steady and bool((g != 0).any())]


def behaviour(
    pair: Pair, inputs: Mapping[str, Array], dy: Array, gradients: Gradients, rounded: Rounded,
    accuracy: float,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """What shows only when backward is called again: violations and notes, each with its kind.

    accuracy: relative, of an approximation; a solver's gradients are linear to its accuracy.
    """
    f, backward = pair.forward, pair.backward
    if bad := other_bits(gradients, backward(dy, inputs)):
        if more := adds_up(pair, inputs, dy):
            yield ADDS_UP, f"each call adds to {names(more)}: backward accumulates"
        else:
            yield VIOLATION, f"two calls with the same arguments return different {names(bad)}"
        return
    twice = backward(2 * dy, inputs)
    half = {n: g / 2 for n, g in twice.items()}
    bad = other_bits(gradients, twice, 2.0)
    if accuracy:
        bad = _far(gradients, half, lambda n: accuracy * abs(gradients[n]))
    if bad:
        once = other_bits(gradients, backward(2 * dy, inputs))
        text = f"backward is not linear in dy: 2 dy does not double {names(bad)}"
        if len(once) < len(gradients) and not set(bad) & set(once):
            text = f"backward ignores the upstream gradient: 2 dy gives the same {names(bad)}"
        elif not _far(gradients, half, lambda n: SMALL * abs(gradients[n])):
            text += ", but nearly: for a solver, pass its accuracy as forward_accuracy="
        yield VIOLATION, text
    if not all(np.isfinite(to_numpy(g)).all() for g in gradients.values()):
        return  # the comparisons below would fail on NaN
    zero = backward(0 * dy, inputs)
    if bad := [n for n, g in zero.items() if bool((g != 0).any())]:
        yield VIOLATION, f"an upstream gradient of 0 gives a nonzero {names(bad)}"
    near = {n: 0.99 * x if x.dtype.kind == "f" else x for n, x in inputs.items()}
    for call, what in ((lambda: f(near), "forward"), (lambda: backward(dy, near), "backward")):
        try:
            call()
        except Raised:
            pass  # outside its domain; what it has kept until then counts
        if not (bad := other_bits(gradients, backward(dy, inputs))):
            continue
        text = f"calling {what} in between changes {names(bad)}: backward depends on hidden state"
        yield VIOLATION, text
        return
    for how, arrange in LAYOUTS.items():

        def arranged(a: Array, arrange: Arrange = arrange) -> Array:
            return arrange(a) if a.ndim else a

        what = f"{how} arguments"
        yield from _elsewhere(pair, what, gradients, rounded, dy, inputs, arranged, arranged)
    xp = array_module(dy)
    flat = xp.full_like(dy, 0.5)
    yield from _elsewhere(
        pair, "a broadcast upstream gradient", backward(flat, inputs), rounded, flat, inputs,
        lambda a: xp.broadcast_to(xp.asarray(0.5, dtype=a.dtype), a.shape), lambda a: a,
    )  # fmt: skip


def _elsewhere(
    pair: Pair, what: str, gradients: Gradients, rounded: Rounded, dy: Array,
    inputs: Mapping[str, Array], of_dy: Arrange, of_input: Arrange,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Compare the gradients with those of the same numbers in another memory layout."""
    try:
        found = pair.backward(of_dy(dy), {n: of_input(x) for n, x in inputs.items()})
    except Changed as error:
        yield VIOLATION, f"for {what}, {error}"
        return
    except Raised as error:
        yield NOTE, f"not checked for {what}: {error}"
        return
    bad = _far(gradients, found, rounded)
    if bad and (wide := _wider(pair, dy, inputs)) is not None:
        unsure = _beyond(pair, gradients, found, dy, inputs, bad)
        # what is lost by adding up in another order hardly shows in a wider precision
        dy, inputs = wide
        try:
            one = pair.backward(dy, inputs)
            two = pair.backward(of_dy(dy), {n: of_input(x) for n, x in inputs.items()})
        except Raised:
            one = two = found
        bad = [
            n
            for n in bad
            if one[n].dtype == found[n].dtype
            or not _off(one[n], two[n]) <= SHRINKS * _off(gradients[n], found[n])
        ]
        bad += [n for n in unsure if n not in bad]
    if bad:
        yield VIOLATION, f"backward returns a different {names(bad)} for {what}"


def _beyond(
    pair: Pair, a: Gradients, b: Gradients, dy: Array, inputs: Mapping[str, Array], some: list[str]
) -> list[str]:
    """Those of some gradients that differ by more than a last bit of the arguments explains.

    In a wider precision the code may take another path, so that alone does not prove rounding.
    """
    spread = dict.fromkeys(some, 0.0)
    rng = np.random.default_rng(0)

    def nudged(x: Array) -> Array:
        eps = np.finfo(x.dtype).eps
        off = array_module(x).asarray(eps * rng.standard_normal(x.shape))
        return (x * (1 + off)).astype(x.dtype)

    for _ in range(DRAWS):
        there = {n: nudged(x) if n in pair.floats else x for n, x in inputs.items()}
        moved = pair.backward(nudged(dy), there)
        spread = {n: max(spread[n], _off(a[n], moved[n])) for n in some}
    return [n for n in some if not _off(a[n], b[n]) <= SPREAD * spread[n]]


def _wider(
    pair: Pair, dy: Array, inputs: Mapping[str, Array]
) -> tuple[Array, dict[str, Array]] | None:
    """dy and the inputs in the next wider precision, if there is one."""
    if dy.dtype == "float64" and (array_module(dy) is not np or not WIDER):
        return None
    wide = np.longdouble if dy.dtype == "float64" else np.float64
    moved = {n: x.astype(wide) if n in pair.floats else x for n, x in inputs.items()}
    return dy.astype(wide), moved


def _off(a: Array, b: Array) -> float:
    return float(abs(to_numpy(a) - to_numpy(b)).max(initial=0))


def _far(a: Gradients, b: Gradients, rounded: Rounded) -> list[str]:
    """Names of the gradients that differ by more than rounding explains, in another order."""
    bad = []
    for name, g in a.items():
        one, two = to_numpy(g), to_numpy(b[name])
        off = np.abs(one - two).max(initial=0)
        if not off <= 1e3 * np.finfo(one.dtype).eps * np.abs(one).max(initial=0):
            if not off <= SEVERAL * float(np.max(to_numpy(rounded(name)), initial=0)):
                bad.append(name)
    return bad
