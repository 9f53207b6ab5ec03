"""The contract of a backward, apart from right gradients: checked by calling it several times.

Gradients have the shape, dtype and device of their inputs. A backward neither writes to its
arguments nor returns their memory. The same call returns the same bits, and the result is linear in
the upstream gradient and does not depend on the memory layout of the arguments.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ..backend import Array, array_module, share_memory, to_numpy
from .pair import Pair

Gradients = Mapping[str, Array]
LAYOUTS: dict[str, Callable[[Array], Array]] = {  # of an array that has axes
    "Fortran-ordered": lambda a: array_module(a).asfortranarray(a),
    "strided": lambda a: array_module(a).repeat(a, 2, axis=-1)[..., ::2],
}


def names(leaves: Iterable[str]) -> str:
    return ", ".join(f"d{name}" for name in leaves)


def shapes(gradients: Gradients, inputs: Mapping[str, Array]) -> Iterator[str]:
    """Wrong types, shapes, dtypes or devices: such gradients cannot be compared."""
    for name, g in gradients.items():
        x = inputs[name]
        if not hasattr(g, "shape") or not hasattr(g, "dtype"):
            yield f"d{name} is a {type(g).__name__}, not an array"
        elif g.shape != x.shape:
            yield f"d{name} has shape {g.shape}, but {name} has {x.shape}"
        elif g.dtype != x.dtype:
            yield f"d{name} is {g.dtype}, but {name} is {x.dtype}"
        elif array_module(g) is not array_module(x):
            yield f"d{name} is on another device than {name}"


def locked(call: Callable[[], Any], arrays: Mapping[str, Array], who: str) -> tuple[Any, str]:
    """What call() returns, and a violation if it writes into one of the arrays, with the line.

    NumPy arrays are made read-only, so that the line that writes raises. The bits are compared too:
    other arrays cannot be made read-only, and call() may catch the error.
    """
    before = {name: to_numpy(a).tobytes() for name, a in arrays.items()}
    numpys = [a for a in arrays.values() if isinstance(a, np.ndarray)]
    try:
        for a in numpys:
            a.flags.writeable = False
        result = call()
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        from traceback import extract_tb  # lazily: it is slow to import

        frame = extract_tb(error.__traceback__)[-1]
        return None, f"{who} writes into what it was given, in line {frame.lineno}: {frame.line}"
    finally:
        for a in numpys:
            a.flags.writeable = True
    changed = [name for name, a in arrays.items() if to_numpy(a).tobytes() != before[name]]
    return result, f"{who} changes {', '.join(changed)}, which it was given" if changed else ""


def aliases(gradients: Gradients, given: Mapping[str, Array]) -> Iterator[str]:
    """Gradients that share memory with what was passed in, or with one another."""
    for name, g in gradients.items():
        for other, a in given.items():
            if share_memory(g, a):
                yield f"d{name} shares memory with {other}: return a copy, or both change at once"
    for (one, a), (two, b) in combinations(gradients.items(), 2):
        if share_memory(a, b):
            yield f"d{one} and d{two} share memory: return a copy of one"


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


def behaviour(
    pair: Pair, inputs: Mapping[str, Array], dy: Array, gradients: Gradients
) -> Iterator[str]:
    """Violations that show only when backward is called again, with other arguments."""
    f, backward = pair.forward, pair.backward
    if bad := other_bits(gradients, backward(dy, inputs)):
        yield f"{names(bad)} differs between two calls with the same arguments"
        return
    if bad := other_bits(gradients, backward(2 * dy, inputs), 2.0):
        once = other_bits(gradients, backward(2 * dy, inputs))
        if len(once) < len(gradients) and not set(bad) & set(once):
            yield f"{names(bad)} ignores the upstream gradient: twice dy gives the same"
        else:
            yield f"{names(bad)} is not linear in the upstream gradient: 2 dy does not give twice"
    if not all(np.isfinite(to_numpy(g)).all() for g in gradients.values()):
        return  # the comparisons below would fail on NaN
    zero = backward(0 * dy, inputs)
    if bad := [n for n, g in zero.items() if bool((g != 0).any())]:
        yield f"{names(bad)} is not 0 for an upstream gradient of 0"
    f({n: 0.99 * x if x.dtype.kind == "f" else x for n, x in inputs.items()})
    if bad := other_bits(gradients, backward(dy, inputs)):
        yield f"{names(bad)} changes if forward is called in between: it depends on hidden state"
        return
    for how, arrange in LAYOUTS.items():
        other = {n: arrange(x) if x.ndim else x for n, x in inputs.items()}
        if bad := _far(gradients, backward(arrange(dy) if dy.ndim else dy, other)):
            yield f"{names(bad)} is another one for {how} arguments"
    xp = array_module(dy)
    flat = xp.broadcast_to(xp.asarray(0.5, dtype=dy.dtype), dy.shape)
    if bad := _far(backward(flat.copy(), inputs), backward(flat, inputs)):
        yield f"{names(bad)} is another one for a broadcast upstream gradient"


def _far(a: Gradients, b: Gradients) -> list[str]:
    """Names of the gradients that differ by more than the order of summation explains."""
    bad = []
    for name, g in a.items():
        one, two = to_numpy(g), to_numpy(b[name])
        bound = 1e3 * np.finfo(one.dtype).eps * np.abs(one).max(initial=0)
        if one.shape != two.shape or not np.abs(one - two).max(initial=0) <= bound:
            bad.append(name)
    return bad
