"""Weights by the names and in the layout of a PyTorch module, both ways.

The module is a plain `encoder = Sequential(Flatten, Linear, ReLU, ...)`, heads such as `fc_mu`, and
a `decoder = Sequential(Linear, ReLU, ..., Linear)`; its weights are (out, in), where ours are (in,
out).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .backend import array_module, to_numpy
from .errors import InputError

Layer = tuple[str, str, slice]  # own prefix, PyTorch's prefix, columns of the own tensor


def layers(n_hidden: int, heads: tuple[str, ...], latent_dim: int) -> Iterator[Layer]:
    """Each layer, the first one first; the heads are columns of one own tensor."""
    for i in range(n_hidden):
        yield f"enc{i}", f"encoder.{1 + 2 * i}", slice(None)
    for i, head in enumerate(heads):
        yield "head", head, slice(i * latent_dim, (i + 1) * latent_dim)
    for i in range(n_hidden):
        yield f"dec{i}", f"decoder.{2 * i}", slice(None)
    yield "out", f"decoder.{2 * n_hidden}", slice(None)


def to_torch(layers: list[Layer], own: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Own tensors, or their gradients, by PyTorch's names: copies, on the host."""
    own = {name: np.array(to_numpy(a)) for name, a in own.items()}
    state = {}
    for prefix, theirs, columns in layers:
        state[f"{theirs}.weight"] = np.ascontiguousarray(own[f"{prefix}_W"][:, columns].T)
        state[f"{theirs}.bias"] = own[f"{prefix}_b"][columns].copy()
    layered = {f"{prefix}_{kind}" for prefix, _, _ in layers for kind in "Wb"}
    return state | {name: a for name, a in own.items() if name not in layered}


def read_state(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state's values as arrays, whatever NumPy can read them from."""
    return {name: np.asarray(to_numpy(a)) for name, a in state.items()}


def width(layer: str, arrays: Mapping[str, np.ndarray]) -> int:
    """The number of columns that a layer takes, or InputError if it is not there."""
    name = f"{layer}.weight"
    if name not in arrays or arrays[name].ndim != 2:
        raise InputError(f"the state holds no matrix {name!r}; it holds {sorted(arrays)}")
    return arrays[name].shape[1]


def from_torch(
    layers: list[Layer], arrays: Mapping[str, np.ndarray], own: Mapping[str, Any]
) -> None:
    """Write arrays by PyTorch's names into own tensors; InputError, and no change, if unfit."""
    expected = to_torch(layers, own)
    if odd := sorted(expected.keys() ^ arrays.keys()):
        raise InputError(f"the state and the model do not both have {', '.join(odd)}")
    for name, a in arrays.items():
        shape = expected[name].shape
        if a.shape != shape or a.dtype.kind not in "biuf" or not np.isfinite(a).all():
            got = f"{a.dtype} of shape {a.shape}"
            raise InputError(f"{name} must be finite numbers of shape {shape}, got {got}")
    rest = dict(arrays)
    for prefix, theirs, columns in layers:
        own[f"{prefix}_W"][:, columns] = _like(own[f"{prefix}_W"], rest.pop(f"{theirs}.weight").T)
        own[f"{prefix}_b"][columns] = _like(own[f"{prefix}_b"], rest.pop(f"{theirs}.bias"))
    for name, a in rest.items():
        own[name][...] = _like(own[name], a)


def _like(tensor: Any, a: np.ndarray) -> Any:
    return array_module(tensor).asarray(a)
