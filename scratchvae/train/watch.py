"""A look at everything that ops compute, to find where a NaN or an infinity comes from.

`first_bad` says which tensor was the first, once a loss has gone wrong; this says which op made
it, out of what. Each look waits for the device: it is for finding a fault, not for training.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from math import log, sqrt
from types import FunctionType
from typing import Any

import numpy as np

from .. import nets
from ..backend import Array, array_module, to_numpy
from ..backend.registry import OPS, keyword_only, positional
from ..errors import NonFiniteError


class BadOp(NonFiniteError):
    """The sentence names the op."""


Function = Callable[..., Any]
PACKAGE = __name__.partition(".")[0]
_inside: ContextVar[bool] = ContextVar("inside", default=False)  # whether an op is at work


@contextmanager
def watching() -> Iterator[None]:
    """Within, BadOp at the first op, forward or backward, that returns a bad number.

        with watching():
            model.loss_and_grad(x, eps)

    The message names the op and its output, and says what its inputs looked like. An op that a
    registered op calls is part of it. All threads are watched. It cannot be used in the capture of
    a CUDA graph, which waits for nothing (`Trainer(cuda_graphs=False)`).
    """
    watched: dict[Function, Function] = {}
    for op in OPS.values():
        watched[op.forward] = _watched(op.forward, ["y"])
        watched[op.backward] = _watched(op.backward, keyword_only(op.backward))
    try:
        _exchange(watched)
        yield
    finally:  # a module that was first imported meanwhile has the watched ones too
        _exchange({new: old for old, new in watched.items()})


def _exchange(functions: Mapping[Function, Function]) -> None:
    """Puts functions in the place of others, wherever this package holds them by name."""
    homes = {PACKAGE, *(f.__module__ for f in functions)}
    for name, module in list(sys.modules.items()):
        if name in homes or name.startswith(f"{PACKAGE}."):
            for key, value in list(vars(module).items()):
                if isinstance(value, FunctionType) and value in functions:
                    setattr(module, key, functions[value])
    for key, (f, f_backward) in nets.ACTIVATIONS.items():
        nets.ACTIVATIONS[key] = functions.get(f, f), functions.get(f_backward, f_backward)


def _watched(f: Function, outputs: list[str]) -> Function:
    """f, with a look at what it returns: arrays by the names of outputs, None where skipped."""
    names, targets = positional(f), keyword_only(f)

    @wraps(f)
    def watched(*args: Any, **named: Any) -> Any:
        if _inside.get():
            return f(*args, **named)
        given = dict(zip(names, args, strict=False)) | named
        into = [given.pop(name) for name in targets if name in given]
        # what is overwritten is kept, to be shown
        inputs = {n: a.copy() if any(_overlap(a, b) for b in into) else a for n, a in given.items()}
        token = _inside.set(True)
        try:
            with np.errstate(all="ignore"):  # the error says more than a warning
                result = f(*args, **named)
        finally:
            _inside.reset(token)
        values = result if isinstance(result, tuple) else (result,)
        for name, a in zip(outputs, values, strict=True):
            if a is not None and not bool(array_module(a).isfinite(a).all()):
                raise BadOp(_story(f.__name__, name, a, inputs))
        return result

    return watched


def _overlap(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.may_share_memory(a, b)
    return a is b


def _story(op: str, output: str, a: Array, inputs: Mapping[str, Any]) -> str:
    """What went wrong, from what, and why, where that is plain."""
    arrays = {name: np.asarray(to_numpy(x)) for name, x in inputs.items()}
    looks = ", ".join(f"{name} {_look(x)}" for name, x in arrays.items())
    return f"{op}: {output} {_look(to_numpy(a))}; from {looks}{_hint(arrays)}"


def _look(a: np.ndarray) -> str:
    """Shape, dtype, range, and which entries are bad: "(4, 3) float32 in [-1, 2]"."""
    text, fine = f"{a.shape} {a.dtype}", np.isfinite(a)
    if not fine.all():
        index = np.argwhere(~fine)[0].tolist()
        text += f" with {(~fine).sum()} of {a.size} entries not finite, the first {a[*index]} at "
        text += f"{index}, the others"
    return f"{text} in [{a[fine].min():.4g}, {a[fine].max():.4g}]" if fine.any() else f"{text} none"


def _hint(arrays: Mapping[str, np.ndarray]) -> str:
    if bad := [name for name, a in arrays.items() if not np.isfinite(a).all()]:
        return f". The fault lies before this op: {' and '.join(bad)} came so"
    for name, a in arrays.items():
        if a.dtype.kind == "f" and a.size:
            size, most = float(np.abs(a).max()), float(np.finfo(a.dtype).max)
            if "logvar" in name and size > log(most):
                return f". exp({log(most):.1f}) is the end of {a.dtype}: look at {name}"
            if size > sqrt(most):
                return f". {sqrt(most):.1e} squared is the end of {a.dtype}: look at {name}"
    return ""
