"""The array backend: NumPy or CuPy, GPU kernels, the registry of ops, named memory, keyed noise.

`namespace(device)` selects the array module when memory is allocated; ops use `array_module`, the
module of their arguments. Only this file imports CuPy. No op, no model and no file belongs here.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import InputError

DEVICES = ("cpu", "cuda")
Array = Any  # a numpy.ndarray or a cupy.ndarray: the code is the same for both
_stand_in: ContextVar[Any] = ContextVar("stand_in", default=None)  # replaces CuPy for ops


def array_module(*arrays: Array) -> Any:
    """numpy or cupy: the module that the arrays belong to.

    CuPy is looked up in `sys.modules`: unless it is imported, no array can be CuPy's.
    """
    cupy = sys.modules.get("cupy")
    if cupy is not None and any(isinstance(a, cupy.ndarray) for a in arrays):
        return _stand_in.get() or cupy
    return np


@contextmanager
def standing_in(**functions: Any) -> Iterator[None]:
    """Context manager: in this thread, ops use these instead of CuPy's functions."""
    module = ModuleType("cupy")
    module.__dict__.update(vars(sys.modules["cupy"]), **functions)
    token = _stand_in.set(module)
    try:
        yield
    finally:
        _stand_in.reset(token)


def namespace(device: str) -> ModuleType:
    """The array module for "cpu" or "cuda". Raises InputError, with a remedy, if there is none."""
    if device == "cpu":
        return np
    if device != "cuda":
        raise InputError(f"unknown device {device!r}: choose one of {', '.join(DEVICES)}")
    pip = "pip install 'scratchvae[cuda12]' (or [cuda13], to match the driver)"
    try:
        import cupy
    except ImportError:
        raise InputError(
            f"device 'cuda' needs CuPy, which is not installed: {pip}, or use device 'cpu'"
        ) from None
    if not cupy.is_available():
        raise InputError(
            "device 'cuda' needs an NVIDIA GPU with a working driver, but CuPy finds none: check "
            f"that nvidia-smi runs, reinstall with {pip}, or use device 'cpu'"
        )
    return cupy


def share_memory(a: Array, b: Array) -> bool:
    """Whether two arrays share memory; for device arrays, whether they are the same object."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.shares_memory(a, b)
    return a is b


def to_numpy(a: Array) -> Any:
    """Convert to a NumPy array: the only function that copies data from the GPU."""
    return np.asarray(a) if array_module(a) is np else a.get()
