"""The registry of ops: each forward with its backward and a description of its inputs.

The gradient checker, `scratchvae verify` and the generic tests loop over `OPS`, so every registered
op is checked. The test suite fails if a public function of `ops.py` is not registered.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple


class _Skip:
    def __repr__(self) -> str:
        return "SKIP"


# passed as d*=: do not compute this gradient, return None for it
SKIP: Any = _Skip()


class Op(NamedTuple):
    """A forward, its backward, and the shape and domain of each input, such as "BD in [0,1]".

    Letters are dimensions. The same letter means the same size; different letters get different
    sizes, so that a wrongly transposed gradient has the wrong shape. The domain is `in [a,b]`,
    `in (a,b)`, `away from 0`, or omitted.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: dict[str, str]

    @property
    def gradients(self) -> list[str]:
        """The inputs that have a gradient, in the order in which backward returns them."""
        return [name[1:] for name in keyword_only(self.backward)]


OPS: dict[str, Op] = {}


def keyword_only(f: Callable[..., Any]) -> list[str]:
    return [p.name for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY]


def positional(f: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(f).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def backward_of(forward: Callable[..., Any], **inputs: str) -> Callable[..., Any]:
    """Decorator: register the function as the backward of `forward`, and return it unchanged."""

    name, wanted = forward.__name__, positional(forward)
    if list(inputs) != wanted:
        raise TypeError(f"{name}: describe its inputs {wanted}, in order; got {list(inputs)}")

    def register(backward: Callable[..., Any]) -> Callable[..., Any]:
        unknown = set(positional(backward)) - {"dy", "y", *wanted}
        unknown |= {d for d in keyword_only(backward) if d[0] != "d" or d[1:] not in wanted}
        if backward.__name__ != f"{name}_backward" or unknown:
            raise TypeError(
                f"{backward.__name__}: not a backward of {name} (it names {sorted(unknown)})"
            )
        OPS[name] = Op(name, forward, backward, inputs)
        return backward

    return register
