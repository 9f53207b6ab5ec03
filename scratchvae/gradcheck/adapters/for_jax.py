"""`check_jax`: JAX functions, with their custom_vjp and custom_jvp rules."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import hidden
from ..checker import check
from ..pair import Raised, called
from ..report import Report
from .arguments import named, same_output, stand_in

__tracebackhide__ = hidden

WIDE = {"f": "float64", "c": "complex128"}


def check_jax(f: Callable[..., Any], arguments: Any, **options: Any) -> Report:
    """Check the gradients that JAX computes for a function, custom derivative rules included.

    64-bit numbers are enabled during the check only, and float32 arguments are widened. Arguments
    and output may be any pytree. The forward is compiled if possible. A rule that returns a
    different output from f violates the contract. Complex gradients follow JAX's convention.

    arguments  arrays: a tuple, a single one, or a dict by name
    options    of `check`
    """
    import jax

    start = named(f, arguments)
    by_name = isinstance(arguments, Mapping) and start.keys() == arguments.keys()
    paths, structure = jax.tree.flatten_with_path(start)
    leaves = {".".join(map(_key, path)): leaf for path, leaf in paths}
    inputs = {}
    for path, a in leaves.items():
        key = isinstance(a, jax.Array) and jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key)
        if isinstance(a, (jax.Array, np.ndarray, float, complex)) and not key:
            kind = "f" if jax.dtypes.issubdtype(np.asarray(a).dtype, np.floating) else ""
            a = np.asarray(a)
            inputs[path] = a.astype(WIDE.get(kind or a.dtype.kind, a.dtype))

    def run(moved: Mapping[str, Any]) -> Any:
        values = jax.tree.unflatten(structure, [moved.get(n, a) for n, a in leaves.items()])
        return f(**values) if by_name else f(*(values[n] for n in start))

    def in_jax(by_path: Mapping[str, Any]) -> dict[str, Any]:
        return {path: jax.numpy.asarray(a) for path, a in by_path.items()}

    def arrays(y: Any) -> Any:
        found = [np.asarray(a) for a in jax.tree.leaves(y)]
        return found[0] if jax.tree.structure(y).num_nodes == 1 else found

    def differentiated(by_path: Mapping[str, Any]) -> tuple[Any, Any]:
        """What the rules of f return: an output, and the pull-back."""
        given = in_jax(by_path)
        moved = {path: a for path, a in given.items() if a.dtype.kind in WIDE}
        return jax.vjp(lambda moved: run({**given, **moved}), moved)

    compiled = jax.jit(run)

    def forward(**by_path: Any) -> Any:
        return arrays(compiled(in_jax(by_path)))

    def backward(dy: Any, /, **by_path: Any) -> dict[str, Any]:
        y, pull_back = differentiated(by_path)
        upstream = [
            np.zeros(np.shape(a), jax.dtypes.float0) if d is None else jax.numpy.asarray(d, a.dtype)
            for a, d in zip(jax.tree.leaves(y), dy if isinstance(dy, list) else [dy], strict=True)
        ]
        (found,) = pull_back(jax.tree.unflatten(jax.tree.structure(y), upstream))
        return {path: np.asarray(g) for path, g in found.items()}

    name, theirs = getattr(f, "__name__", "f"), getattr(f, "fun", f)
    stand_in(forward, name, theirs)
    stand_in(backward, f"the gradient of {name}", getattr(f, "bwd", None) or theirs)
    options = {"name": name, "complex_gradients": "jax", **options}
    with jax.enable_x64(True):
        try:
            called(name, differentiated, inputs)
        except Raised:  # a number may be no argument that f can be differentiated by
            inputs = {n: a for n, a in inputs.items() if hasattr(leaves[n], "dtype")}
        try:
            called(name, forward, **inputs)
        except Raised:
            compiled = run  # Python that depends on values cannot be compiled
        report = check(forward, backward, inputs, **options)
        if report.leaves and not same_output(
            arrays(run(in_jax(inputs))), arrays(differentiated(inputs)[0])
        ):
            text = f"the derivative rule of {name} returns a different output from {name}"
            report = replace(report, violations=(*report.violations, text))
    if "Transpose rule" in report.raised:
        text = f"{report.raised}; is the rule not linear in the tangents?"
        report = replace(report, raised=text)
    return report


def _key(entry: Any) -> str:
    """A step on the path to a leaf: the key of a dict, an index, or the name of a field."""
    return str(next(getattr(entry, n) for n in ("key", "idx", "name") if hasattr(entry, n)))
