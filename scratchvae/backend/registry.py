"""One table that pairs every forward with its backward and describes the forward's inputs.

The gradient checker, `scratchvae verify` and the generic tests all loop over `OPS`: an op that is
registered is checked, and the test suite fails while a public function of `ops.py` is not
registered.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple


class _Skip:
    def __repr__(self) -> str:
        return "SKIP"


SKIP: Any = (
    _Skip()
)  # as a destination d*=: this gradient is not needed, do not compute it, return None


class Op(NamedTuple):
    """A forward, its backward, and the shape and domain of each input, such as "BD in [0,1]".

    Letters are dimensions: the same letter is the same size, different letters are different sizes,
    so that a gradient with a wrong transpose cannot fit. The domain is `in [a,b]`, `in (a,b)`,
    `away from 0`, or nothing.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: dict[str, str]

    @property
    def gradients(self) -> list[str]:
        """Names of the inputs that have a gradient, in the order in which backward returns them."""
        return [name[1:] for name in keyword_only(self.backward)]


OPS: dict[str, Op] = {}


def keyword_only(f: Callable[..., Any]) -> list[str]:
    return [p.name for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY]


def positional(f: Callable[..., Any]) -> list[str]:
    return [
        p.name
        for p in inspect.signature(f).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]


def backward_of(forward: Callable[..., Any], **inputs: str) -> Callable[..., Any]:
    """Register the decorated function as the backward of `forward`, and return it untouched."""

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
