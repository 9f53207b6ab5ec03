"""Nested inputs, outputs and gradients as arrays by path, such as "layers.0.W".

A tree is a dict, list or tuple of trees; whatever else it holds is a leaf. Floating-point arrays
and numbers have gradients. A complex array z counts as two real ones, z.real and z.imag. Everything
else (an integer, a string, a function, an object) is passed through unchanged.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from copy import copy
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..errors import InputError, hidden

__tracebackhide__ = hidden

NUMBERS, FRACTIONS = (int, float, complex), (float, complex)
ADAPTERS = {"torch": "check_torch", "jax": "check_jax", "jaxlib": "check_jax"}


def is_tree(node: Any) -> bool:
    """True for a dict, a tuple, and a list that holds more than numbers."""
    return isinstance(node, (Mapping, tuple)) or (isinstance(node, list) and not _numbers(node))


def _numbers(node: Any) -> bool:
    return all(map(_numbers, node)) if isinstance(node, list) else isinstance(node, NUMBERS)


def _holds_a_fraction(node: Any) -> bool:
    return (
        any(map(_holds_a_fraction, node)) if isinstance(node, list) else isinstance(node, FRACTIONS)
    )


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    items: Iterable[tuple[Any, Any]] = (
        node.items()
        if isinstance(node, Mapping)
        else zip(getattr(node, "_fields", range(len(node))), node, strict=True)
    )
    return ((str(key), child) for key, child in items)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def walk(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves and their paths."""
    if not is_tree(node):
        yield path, node
        return
    for key, child in _children(node):
        yield from walk(child, _join(path, key))


def as_array(leaf: Any, path: str) -> Array | None:
    """The array that a leaf holds, or None. Raises InputError for arrays of a framework.

    A list of numbers is an array if any of them is a float; a list of integers stays a list.
    """
    framework = type(leaf).__module__.partition(".")[0]
    if framework in ADAPTERS and hasattr(leaf, "shape"):
        raise InputError(
            f"{path} is a {framework} array: check such functions with "
            f"scratchvae.gradcheck.{ADAPTERS[framework]}"
        )
    if array_module(leaf) is not np:
        return leaf
    if not isinstance(leaf, list):
        is_array = isinstance(leaf, FRACTIONS) or hasattr(leaf, "__array__")
        return (
            (np.asarray if isinstance(leaf, np.matrix) else np.asanyarray)(leaf)
            if is_array
            else None
        )
    if not _holds_a_fraction(leaf):
        return None  # whole numbers, such as a shape
    try:
        return np.asarray(leaf)
    except ValueError:
        raise InputError(f"{path} is a list of rows of different lengths") from None


def parts(array: Array, path: str) -> dict[str, Array]:
    """The array by its path, or its real and imaginary parts."""
    if array.dtype.kind != "c":
        return {path: array}
    return {f"{path}.real": array.real, f"{path}.imag": array.imag}


def arrays(tree: Any) -> dict[str, Array]:
    """Copies of all arrays, by path."""
    found: dict[str, Array] = {}
    for path, leaf in walk(tree):
        if (array := as_array(leaf, path)) is not None:
            if again := found.keys() & (here := parts(array, path)).keys():
                raise InputError(f"two inputs have the path {min(again)}: rename one")
            found |= {name: a.copy() for name, a in here.items()}
    return found


def has_complex(tree: Any) -> bool:
    found = (as_array(leaf, path) for path, leaf in walk(tree))
    return any(a is not None and a.dtype.kind == "c" for a in found)


def only_numbers(tree: Any) -> bool:
    """Whether a tree holds only numbers, so that it cannot be a trained parameter."""
    return all(isinstance(leaf, NUMBERS) for _, leaf in walk(tree))


def bits(tree: Any) -> list[bytes]:
    """The bytes of all arrays."""
    return [to_numpy(a).tobytes() for a in arrays({"": tree}).values()]


def rebuild(tree: Any, arrays: Mapping[str, Array], path: str = "", i: complex = 1j) -> Any:
    """The tree with these arrays in place of its own. i = -1j conjugates."""
    if is_tree(tree):
        values = [rebuild(child, arrays, _join(path, key), i) for key, child in _children(tree)]
        if isinstance(tree, Mapping):
            new: Any = copy(tree) if isinstance(tree, MutableMapping) else dict(tree)
            for key, value in zip(tree, values, strict=True):
                new[key] = value
            return new
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    if path in arrays:
        return arrays[path]
    if f"{path}.real" in arrays:
        return arrays[f"{path}.real"] + i * arrays[f"{path}.imag"]
    return tree


def joined(y: Any) -> Array | None:
    """All floating-point numbers of an output, in one vector; None if there are none."""
    found = [a.ravel() for a in arrays(y).values() if a.dtype.kind == "f"]
    return array_module(found[0]).concatenate(found) if found else None


def split(y: Any, vector: Array, i: complex = 1j) -> Any:
    """The numbers of such a vector in the structure of the output y, None for all else in it."""
    found, start = {}, 0
    for path, a in arrays(y).items():
        if a.dtype.kind == "f":
            found[path] = vector[start : start + a.size].reshape(a.shape)
            start += a.size
    empty = y if not is_tree(y) else rebuild(y, dict.fromkeys(dict(walk(y))))
    return rebuild(empty, found, i=i)


def matched(tree: Any, gradient: Any, path: str, i: complex = 1j) -> dict[str, Any]:
    """A gradient by the paths of the inputs; a None, for zero, stands at each path below it.

    Keys of dicts may be those of the inputs, with or without a leading d; missing ones are
    constants. Raises InputError if the structures differ.
    """
    if not is_tree(tree):
        array = as_array(tree, path)
        if array is None:
            return {} if gradient is None else {path: gradient}
        if array.dtype.kind != "c":
            return {path: gradient}
        names = [f"{path}.real", f"{path}.imag"]
        if gradient is None:
            return dict.fromkeys(names)
        gradient = gradient if hasattr(gradient, "imag") else np.asarray(gradient)
        return dict(zip(names, (gradient.real, gradient.imag * (1j / i).real), strict=True))
    children = dict(_children(tree))
    found: Iterable[tuple[str, Any]]
    if gradient is None:
        found = ((key, None) for key in children)
    elif isinstance(tree, Mapping):
        if not isinstance(gradient, Mapping):
            what = type(gradient).__name__
            raise InputError(f"the gradient of {path} must be a dict, like {path}, got {what}")
        plain = {f"d{key}": key for key in children if f"d{key}" not in children}
        found = ((plain.get(str(key), str(key)), g) for key, g in gradient.items())
    else:
        length = len(gradient) if isinstance(gradient, (list, tuple)) else None
        if length != len(children):
            what = type(gradient).__name__ if length is None else str(length)
            raise InputError(
                f"the gradient of {path} must have {len(children)} parts, like {path}, got {what}"
            )
        found = zip(children, gradient, strict=True)
    result: dict[str, Any] = {}
    for key, g in found:
        if key not in children:
            raise InputError(
                f"backward returns a gradient of {_join(path, key)}, which is not an input"
            )
        result |= matched(children[key], g, _join(path, key), i)
    return result


def under(names: Iterable[str], paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that equal one of these names or lie below it, in order."""
    names = tuple(names)
    return tuple(p for p in paths if any(p == n or p.startswith(f"{n}.") for n in names))
