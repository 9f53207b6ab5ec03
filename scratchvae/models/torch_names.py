"""Convert weights to and from the names and layout of a PyTorch module.

The module has a plain `encoder = Sequential(Flatten, Linear, ReLU, ...)`, heads such as `fc_mu`,
and a `decoder = Sequential(Linear, ReLU, ..., Linear)`. Its weights are (out, in); ours are (in,
out).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..backend import array_module, to_numpy
from ..errors import InputError

Layer = tuple[str, str, slice]  # own prefix, PyTorch's prefix, columns of the own tensor


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
    own = {name: np.array(to_numpy(a)) for name, a in own.items()}
    state = {}
    for prefix, theirs, columns in layers:
        state[f"{theirs}.weight"] = np.ascontiguousarray(own[f"{prefix}_W"][:, columns].T)
        state[f"{theirs}.bias"] = own[f"{prefix}_b"][columns].copy()
    return state | {name: own[name] for name in _others(layers, own)}


def shapes(layers: list[Layer], own: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of `to_torch`'s tensors, from the shapes of the own tensors."""
    state: dict[str, tuple[int, ...]] = {}
    for prefix, theirs, columns in layers:
        fan_in, width = own[f"{prefix}_W"]
        width = len(range(width)[columns])
        state[f"{theirs}.weight"], state[f"{theirs}.bias"] = (width, fan_in), (width,)
    return state | {name: own[name] for name in _others(layers, own)}


def _others(layers: list[Layer], own: Mapping[str, Any]) -> list[str]:
    """Own tensors outside the layers, which keep their names."""
    layered = {f"{prefix}_{kind}" for prefix, _, _ in layers for kind in "Wb"}
    return [name for name in own if name not in layered]


def read_state(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state's values, any array-likes, as NumPy arrays."""
    return {name: np.asarray(to_numpy(a)) for name, a in state.items()}


def width(layer: str, arrays: Mapping[str, np.ndarray]) -> int:
    """The input width of a layer. Raises InputError if the state does not hold it."""
    name = f"{layer}.weight"
    if name not in arrays or arrays[name].ndim != 2:
        raise InputError(f"the state holds no matrix {name!r}; it holds {sorted(arrays)}")
    return arrays[name].shape[1]


def misfit(
    found: Mapping[str, tuple[str, tuple[int, ...]]],
    wanted: Mapping[str, tuple[int, ...]],
    dtype: str | None = None,
) -> str:
    """How tensors differ from the wanted names, shapes and dtype (None: any); "" if they match.

    found: dtype and shape of each tensor.
    """
    if odd := sorted(found.keys() ^ wanted.keys()):
        more = ", ..." if len(odd) > 3 else ""
        return f"tensors missing or unexpected: {', '.join(odd[:3])}{more}"
    for name, shape in wanted.items():
        kind, got = found[name]
        if got != shape or dtype not in (None, kind):
            return f"{name} is {kind} of shape {got}, but the model has {dtype or kind} of {shape}"
    return ""


def from_torch(
    layers: list[Layer], arrays: Mapping[str, np.ndarray], own: Mapping[str, Any]
) -> None:
    """Write arrays under PyTorch's names into own tensors.

    Raises InputError, and writes nothing, if they do not fit or hold a value that is not finite.
    """
    found = {name: (str(a.dtype), a.shape) for name, a in arrays.items()}
    wanted = shapes(layers, {name: a.shape for name, a in own.items()})
    if reason := misfit(found, wanted):
        raise InputError(reason)
    for name, a in arrays.items():
        if a.dtype.kind not in "biuf" or not np.isfinite(a).all():
            raise InputError(f"{name} must hold finite numbers")
    write(layers, arrays.__getitem__, own)


def write(layers: list[Layer], read: Callable[[str], np.ndarray], own: Mapping[str, Any]) -> None:
    """Read the tensors under PyTorch's names, one at a time, into own tensors of fitting shapes."""
    for prefix, theirs, columns in layers:
        W, b = own[f"{prefix}_W"], own[f"{prefix}_b"]
        W[:, columns] = _like(W, read(f"{theirs}.weight").T)
        b[columns] = _like(b, read(f"{theirs}.bias"))
    for name in _others(layers, own):
        own[name][...] = _like(own[name], read(name))


def _like(tensor: Any, a: np.ndarray) -> Any:
    return array_module(tensor).asarray(a)
