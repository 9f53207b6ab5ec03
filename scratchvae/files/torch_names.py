"""Convert weights to and from the names and layout of a PyTorch module.

The module has a plain `encoder = Sequential(Flatten, Linear, ReLU, ...)`, heads such as `fc_mu`,
and a `decoder = Sequential(Linear, ReLU, ..., Linear)`. Its weights are (out, in), ours (in, out).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..backend import array_module, to_numpy
from ..backend.memory import Flat, Shapes
from ..errors import InputError

Layer = tuple[str, str, slice]  # own prefix, PyTorch's prefix, columns of the own tensor
Kinds = Mapping[str, tuple[str, tuple[int, ...]]]  # dtype and shape of each tensor


def layers(n_hidden: int, heads: tuple[str, ...], latent_dim: int) -> Iterator[Layer]:
    """The layers from input to output; the heads are columns of one own tensor."""
    for i in range(n_hidden):
        yield f"enc{i}", f"encoder.{1 + 2 * i}", slice(None)
    for i, head in enumerate(heads):
        yield "head", head, slice(i * latent_dim, (i + 1) * latent_dim)
    for i in range(n_hidden):
        yield f"dec{i}", f"decoder.{2 * i}", slice(None)
    yield "out", f"decoder.{2 * n_hidden}", slice(None)


def to_torch(layers: list[Layer], own: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Own tensors, or their gradients, under PyTorch's names: copies, on the host."""
    return {
        theirs: np.array(to_numpy(own[name])[..., columns].T, order="C")
        for theirs, name, columns in _tensors(layers, own)
    }


def shapes(layers: list[Layer], own: Shapes) -> Shapes:
    """The shapes of `to_torch`'s tensors, from the shapes of the own tensors."""
    state = {}
    for theirs, name, columns in _tensors(layers, own):
        *fan_in, width = own[name]
        state[theirs] = (len(range(width)[columns]), *fan_in)
    return state


def _tensors(layers: list[Layer], own: Iterable[str]) -> Iterator[tuple[str, str, slice]]:
    """PyTorch's name of each tensor, the own tensor that holds its transpose, and the columns."""
    layered = set()
    for prefix, theirs, columns in layers:
        yield f"{theirs}.weight", f"{prefix}_W", columns
        yield f"{theirs}.bias", f"{prefix}_b", columns
        layered |= {f"{prefix}_W", f"{prefix}_b"}
    for name in own:
        if name not in layered:
            yield name, name, slice(None)


def width(layer: str, arrays: Mapping[str, np.ndarray]) -> int:
    """The input width of a layer. Raises InputError if the state does not hold the layer."""
    name = f"{layer}.weight"
    if name not in arrays or arrays[name].ndim != 2:
        raise InputError(f"the state holds no matrix {name!r}; it holds {sorted(arrays)}")
    return arrays[name].shape[1]


def misfit(found: Kinds, wanted: Shapes, dtype: str | None = None) -> str:
    """How tensors differ from the wanted names, shapes and dtype (None: any); "" if they match."""
    if odd := sorted(found.keys() ^ wanted.keys()):
        more = ", ..." if len(odd) > 3 else ""
        return f"tensors missing or unexpected: {', '.join(odd[:3])}{more}"
    for name, shape in wanted.items():
        kind, got = found[name]
        if got != shape or dtype not in (None, kind):
            return f"{name} is {kind} of shape {got}, but the model has {dtype or kind} of {shape}"
    return ""


def from_torch(layers: list[Layer], arrays: Mapping[str, np.ndarray], own: Flat) -> None:
    """Write arrays under PyTorch's names into own tensors.

    Raises InputError, and writes nothing, if they do not fit or hold a value that is not finite.
    """
    found = {name: (str(a.dtype), a.shape) for name, a in arrays.items()}
    if reason := misfit(found, shapes(layers, own.shapes)):
        raise InputError(reason)
    for name, a in arrays.items():
        if a.dtype.kind not in "biuf" or not np.isfinite(a).all():
            raise InputError(f"{name} must hold finite numbers")
    write(layers, arrays.__getitem__, own)


def write(layers: list[Layer], read: Callable[[str], np.ndarray], own: Flat) -> None:
    """Read the tensors under PyTorch's names, one at a time, into own tensors that fit."""
    for theirs, name, columns in _tensors(layers, own):
        own[name][..., columns] = array_module(own[name]).asarray(read(theirs).T)
