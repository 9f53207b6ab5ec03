"""GPU kernels that fuse several array operations, compiled by CuPy.

A kernel is a formula of assignments, valid in both CUDA C and Python, so that tests without a GPU
can evaluate the text that a GPU compiles. `fused` attaches such a formula to an op. NumPy runs the
op's body, for a large batch in blocks of rows, and the formula must compute the same.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any

import numpy as np

from . import Array, array_module
from .registry import SKIP, keyword_only, positional

# `word` holds 32 random bits; `quotient` is integer division, which C and Python write differently
PREAMBLE = """
typedef unsigned long long word;
#define quotient(a, b) ((a) / (b))
"""


# On the CPU a large batch is computed in blocks of rows of about this size, so that the temporary
# arrays of an op stay in the cache, and the process keeps their memory.
IN_CACHE = 131_072  # numbers


# The caches are keyed by CuPy's kernel class; keyed by module, they would keep stand-ins alive.


@cache
def elementwise(kernel: Any, name: str, inputs: str, outputs: str, formula: str) -> Any:
    """CuPy's elementwise kernel of this formula; the arrays are broadcast."""
    return kernel(inputs, outputs, formula, name, preamble=PREAMBLE)


@cache
def _row_sum(kernel: Any, name: str, inputs: str, formula: str) -> Any:
    """CuPy's reduction kernel of "y = sum(term) rest", with a sum over each row."""
    match = re.fullmatch(r"y = sum\((.*)\)(.*?)", formula)
    if match is None:
        raise ValueError(f"{name}: no sum of a term: {formula}")
    term, rest = match.groups()
    return kernel(inputs, "T y", term, "a + b", f"y = a{rest}", "0", name)


def _in_blocks(op: Callable[..., Any], args: Any, named: Mapping[str, Array]) -> None:
    """Call op on one block of rows of all arrays after another."""
    n, blocks = len(args[0]), -(-max(a.size for a in args) // IN_CACHE)
    rows = -(-n // blocks)
    for block in (slice(start, start + rows) for start in range(0, n, rows)):
        op(*(a[block] for a in args), **{name: a[block] for name, a in named.items()})


def fused(formula: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: on a GPU the op runs as one kernel of this formula; `sum` is over each row.

    The formula uses the op's argument names, and `y` for the output of forward. If a gradient is
    not needed or dtypes are mixed, the GPU also runs the body.
    """

    def decorate(op: Callable[..., Any]) -> Callable[..., Any]:
        names, outs = positional(op), keyword_only(op)
        inputs = ", ".join(f"T {name}" for name in names)
        outputs = ", ".join(f"T {'y' if name == 'out' else name}" for name in outs)

        def fits(args: Any, named: Any) -> bool:
            """Whether all arrays have equally many rows, and all results have destinations."""
            arrays = [*args, *named.values()]
            whole = set(named) == set(outs) and not any(a is None or a is SKIP for a in arrays)
            return whole and len({len(a) for a in arrays}) == 1

        @wraps(op)
        def chosen(*args: Any, **named: Any) -> Any:
            xp = array_module(*args, *named.values())
            if xp is np:
                if max([a.size for a in args], default=0) <= IN_CACHE or not fits(args, named):
                    return op(*args, **named)
                _in_blocks(op, args, named)
                results = tuple(named[name] for name in outs)
                return results[0] if len(results) == 1 else results
            arrays = [*args, *(named[name] for name in names[len(args) :])]
            targets = [named.get(name) for name in outs]
            if any(a is SKIP for a in targets) or len({a.dtype for a in arrays}) > 1:
                return op(*args, **named)
            if formula.startswith("y = sum("):
                row_sum = _row_sum(xp.ReductionKernel, op.__name__, inputs, formula)
                return row_sum(*arrays, out=targets[0], axis=1)
            width = max(a.ndim for a in arrays)
            arrays = [a[:, None] if a.ndim < width else a for a in arrays]  # one value an example
            shape = np.broadcast_shapes(*(a.shape for a in arrays))
            targets = [xp.empty(shape, arrays[0].dtype) if a is None else a for a in targets]
            kernel = elementwise(xp.ElementwiseKernel, op.__name__, inputs, outputs, formula)
            kernel(*arrays, *targets)
            return targets[0] if len(targets) == 1 else tuple(targets)

        return chosen

    return decorate


# ------------------------------------------------------------------------------ random numbers

# Philox4x32-10, as in `noise.philox`: c0 to c3 become the random words of a row's `block`
_ROUND = """
p0 = c0 * 0xD2511F53; p1 = c2 * 0xCD9E8D57;
c0 = (p1 >> 32) ^ c1 ^ k0; c1 = p1 & 0xFFFFFFFF; c2 = (p0 >> 32) ^ c3 ^ k1; c3 = p0 & 0xFFFFFFFF;
k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF; k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF;
"""
_PHILOX = f"""
word c0 = block; word c1 = row + each * quotient(i, width); word c2 = step; word c3 = stream;
word k0 = key & 0xFFFFFFFF; word k1 = key >> 32; word p0 = 0; word p1 = 0;
{10 * _ROUND}
"""
_BITS = (
    "word column = i % width; word block = column % blocks; word part = quotient(column, blocks);"
    + _PHILOX
    + "word bits = (part == 0) * c0 + (part == 1) * c1 + (part == 2) * c2 + (part == 3) * c3;"
)
_NORMAL = (
    "word column = (i % width) % (2 * blocks); word block = column % blocks;"
    + _PHILOX
    + f"""
word first = column < blocks;
double radius = sqrt(-2.0 * log((first * c0 + (1 - first) * c1 + 1) * {2.0**-32!r}));
double angle = (first * c2 + (1 - first) * c3) * {2.0 * np.pi * 2.0**-32!r};
word left = i % width < 2 * blocks;
y = left * (radius * cos(angle)) + (1 - left) * (radius * sin(angle))
"""
)
_RANDOM = {
    "bits": ("uint64", f"{_BITS} y = bits"),
    "uniform": ("T", f"{_BITS} y = (bits >> 8) * {2.0**-24!r}"),
    "normal": ("T", _NORMAL),
}


def random(kind: str, y: Array, *, seed: int, stream: int, step: Any = 0, row: Any = 0) -> Array:
    """Fill y (n, width) as `noise.bits`, `uniform` or `normal`; step may be a 1-element array."""
    dtype, formula = _RANDOM[kind]
    inputs = "uint64 key, uint64 stream, uint64 step, uint64 row, uint64 each, "
    inputs += "uint64 width, uint64 blocks"
    xp = array_module(y)
    kernel = elementwise(xp.ElementwiseKernel, kind, inputs, f"{dtype} y", formula)
    width = y.shape[1]
    each = int(np.ndim(row) == 0)  # rows are numbered from `row`, or each has a key
    row = row if each else row[:, None]
    kernel(seed, stream, step, row, each, width, -(-width // 4), y)
    return y


# ------------------------------------------------------------------------------------- training

ADAM = "m += (g - m) * keep1; v += (g * g - v) * keep2; p -= m / (sqrt(v) + floor) * rate"


def adam(
    p: Array, m: Array, v: Array, g: Array, keep1: float, keep2: float, rate: Any, floor: Any
) -> None:
    """The update of `optim.Adam`; rate and floor are scalars or 1-element arrays."""
    inputs = "T g, T keep1, T keep2, T rate, T floor"
    xp, outputs = array_module(p), "T p, T m, T v"
    kernel = elementwise(xp.ElementwiseKernel, "adam", inputs, outputs, ADAM)
    kernel(g, keep1, keep2, rate, floor, p, m, v)
