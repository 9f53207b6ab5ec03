"""Named memory: one flat vector for all parameters, and workspace buffers reused by each step.

With all tensors of a model in one vector, Adam, a norm, an all-reduce or a checkpoint is one
operation. Buffers are reused because allocating a large array costs more than computing in it.
"""

from collections.abc import Iterator, Mapping
from ctypes import addressof, c_char
from math import prod
from typing import Any

import numpy as np

from . import Array

Shapes = Mapping[str, tuple[int, ...]]
CACHE_LINE = 64  # bytes


def empty(xp: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """`xp.empty`, aligned to a cache line: loops over such memory can be twice as fast."""
    if xp is not np:
        return xp.empty(shape, dtype=dtype)
    dtype = np.dtype(dtype)
    memory = np.empty(prod(shape) * dtype.itemsize + CACHE_LINE, dtype=np.uint8)
    start = -addressof(c_char.from_buffer(memory)) % CACHE_LINE  # quicker than memory.ctypes.data
    return np.ndarray(shape, dtype, memory, start)


class Flat(Mapping[str, Any]):
    """Named views of one vector: `p.out_W` and `p["out_W"]` are the same slice of `p.array`."""

    array: Array
    shapes: Shapes
    constants: dict[str, Array]  # also `p.name`, but not in the mapping or the vector

    def __init__(self, shapes: Shapes, xp: Any, dtype: Any, array: Array | None = None) -> None:
        """array: memory for the tensors; by default, new zeros."""
        if array is None:
            array = empty(xp, (sum(map(prod, shapes.values())),), dtype)
            array.fill(0)
        self._name(shapes, array)

    def _name(self, shapes: Shapes, array: Array) -> None:
        views, start = {}, 0
        for name, shape in shapes.items():
            views[name] = array[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        self.__dict__.update({name: a for name, a in views.items() if not hasattr(Flat, name)})
        self.__dict__.update(array=array, shapes=dict(shapes), constants={}, _views=views)

    # the views of a copy belong to its own vector
    def __getstate__(self) -> Any:
        return self.shapes, self.array, self.constants

    def __setstate__(self, state: Any) -> None:
        shapes, array, constants = state
        self._name(shapes, array)
        self.constants.update(constants)

    def like(self, xp: Any, array: Array | None = None) -> "Flat":
        """A `Flat` with the same names, shapes and dtype: zeros, or views of the given array."""
        return Flat(self.shapes, xp, self.array.dtype, array)

    def move_to(self, array: Array) -> None:
        """Copy the vector to this memory, and use the copy from now on."""
        array[...] = self.array
        constants = self.constants
        self._name(self.shapes, array)
        self.constants.update(constants)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __getattr__(self, name: str) -> Array:
        constants = self.__dict__.get("constants", {})
        if name in constants:
            return constants[name]
        names = list(self.__dict__.get("shapes", ()))
        raise AttributeError(f"no tensor named {name!r} among {names}")

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not getattr(self, name):  # `p.b += 1` ends by binding the same view again
            raise AttributeError(
                f"assign to {name}[...]: a new array would not be part of the flat vector"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


class Workspace:
    """Named buffers: `ws("z", B, Z)` allocates on its first call and reuses that memory afterwards.

    A smaller first dimension (the last mini-batch of an epoch) is a view of the larger buffer.
    """

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.xp = xp
        self.dtype = dtype
        self.buffers: dict[str, Array] = {}

    def __call__(self, name: str, *shape: int) -> Array:
        buffer = self.buffers.get(name)
        if buffer is None or buffer.shape[1:] != shape[1:] or len(buffer) < shape[0]:
            buffer = self.buffers[name] = empty(self.xp, shape, self.dtype)
        return buffer[: shape[0]]

    def full(self, name: str, value: float, *shape: int) -> Array:
        """The buffer of that name, filled with one value."""
        buffer = self(name, *shape)
        buffer.fill(value)
        return buffer
