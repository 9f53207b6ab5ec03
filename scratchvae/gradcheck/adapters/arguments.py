"""What the adapters share: arguments by name, and functions that stand in for the user's."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import trees

SAME = 1e-5  # relative: float32 may round otherwise


def named(f: Callable[..., Any], arguments: Any, skip: int = 0) -> dict[str, Any]:
    """Arguments by the names of f's parameters.

    arguments: a tuple, a single one, or a dict by name; a dict whose keys are not parameters of f
    is a single argument. skip: the number of parameters of f before them.
    """
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # of some functions in C
        parameters = []
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in positional][skip:]
    if isinstance(arguments, Mapping):
        if not _fits(f, arguments, skip) and len(names) == 1:
            return {names[0]: arguments}
        return dict(arguments)
    values = arguments if isinstance(arguments, tuple) else (arguments,)
    if len(names) < len(values):
        names = [f"x{k}" for k in range(len(values))] if len(values) > 1 else ["x"]
    return dict(zip(names, values, strict=False))


def _fits(f: Callable[..., Any], arguments: Mapping[str, Any], skip: int) -> bool:
    try:
        inspect.signature(f).bind(*range(skip), **arguments)
    except (TypeError, ValueError):
        return False
    return True


def by_position(f: Callable[..., Any], arguments: Any) -> Callable[..., Any]:
    """A function of named arguments that passes them to f by name or by position, as given."""
    if isinstance(arguments, Mapping) and named(f, arguments).keys() == arguments.keys():
        return f
    return lambda **by_name: f(*by_name.values())


def stand_in(function: Any, name: str, theirs: Callable[..., Any]) -> None:
    """Name this function in reports, and quote lines of the user's function in its place."""
    function.__name__, function.under_test = name, theirs


def same_output(a: Any, b: Any) -> bool:
    """Whether two outputs, arrays or nested, are equal up to rounding."""
    one, two = trees.arrays(a), trees.arrays(b)
    return one.keys() == two.keys() and all(
        x.shape == two[path].shape
        and np.allclose(x, two[path], SAME, SAME * float(abs(x).max(initial=0)))
        for path, x in one.items()
    )


def mapped(change: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with each leaf changed."""
    return trees.rebuild(tree, {path: change(leaf) for path, leaf in trees.walk(tree)})
