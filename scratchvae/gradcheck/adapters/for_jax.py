"""`check_jax`: functions of JAX, with their custom_vjp and custom_jvp rules."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import trees
from ..checker import check
from ..report import Report
from .arguments import mapped, named, stand_in


def check_jax(f: Callable[..., Any], arguments: Any, **options: Any) -> Report:
    """Check the gradients that JAX gives of a function, by whatever rules it has for them.

    64-bit numbers are enabled for the check alone, and float32 arguments are widened. Arguments may
    be nested dicts, lists and tuples; the output may be any pytree. Complex gradients follow the
    convention of JAX.

    arguments  arrays: a tuple, a single one, or a dict by name
    options    of `check`
    """
    import jax

    def widened(a: Any) -> Any:
        if not isinstance(a, (jax.Array, np.ndarray)):
            return a
        a = np.asarray(a)
        return a.astype({"f": "float64", "c": "complex128"}.get(a.dtype.kind, a.dtype))

    start = mapped(widened, named(f, arguments))

    def run(by_name: Mapping[str, Any]) -> Any:
        return f(**by_name) if isinstance(arguments, Mapping) else f(*by_name.values())

    def device_array(a: Any) -> Any:
        return jax.numpy.asarray(a) if isinstance(a, np.ndarray) else a

    def forward(**by_name: Any) -> Any:
        y = run(mapped(device_array, by_name))
        found = [np.asarray(a) for a in jax.tree.leaves(y)]
        return found[0] if jax.tree.structure(y).num_nodes == 1 else found

    def backward(dy: Any, **by_name: Any) -> Any:
        given = mapped(device_array, by_name)
        moved = {
            p: a for p, a in trees.walk(given) if getattr(a, "dtype", np.dtype(int)).kind in "fc"
        }
        y, pull_back = jax.vjp(lambda moved: run(trees.rebuild(given, moved)), moved)
        parts = dy if isinstance(dy, list) else [dy]
        upstream = [
            np.zeros(np.shape(a), jax.dtypes.float0) if d is None else jax.numpy.asarray(d, a.dtype)
            for a, d in zip(jax.tree.leaves(y), parts, strict=True)
        ]
        (found,) = pull_back(jax.tree.unflatten(jax.tree.structure(y), upstream))
        gradients = {path: np.asarray(g) for path, g in found.items()}
        return trees.rebuild(
            by_name, {path: gradients.get(path) for path, _ in trees.walk(by_name)}
        )

    name, theirs = getattr(f, "__name__", "f"), getattr(f, "fun", f)
    stand_in(forward, name, theirs)
    stand_in(backward, f"the gradient of {name}", getattr(f, "bwd", None) or theirs)
    with jax.enable_x64(True):
        return check(
            forward, backward, start, **{"name": name, "complex_gradients": "jax", **options}
        )
