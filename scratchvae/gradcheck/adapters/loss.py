"""`check_loss`: functions that return a loss together with its gradient."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError, hidden
from .. import trees
from ..checker import check
from ..pair import Raised, called
from ..report import Report
from .arguments import by_position, named, stand_in

__tracebackhide__ = hidden


def check_loss(f: Callable[..., Any], arguments: Any, **options: Any) -> Report:
    """Check a function that returns (loss, gradient), as for SciPy's `jac=True`.

    The loss is one number. The gradient is that of the first argument, in its structure, or a dict
    by argument name. If f returns (loss, gradient, hessian), as for XGBoost and LightGBM, the
    diagonal of the Hessian, an array of the shape of x, is checked under the name d2x. Rows of x
    must be independent of one another in the loss:

        check_loss(lambda x: (loss(x), *objective(x, labels)), scores)

    arguments  of f: a tuple, a single one, or a dict by name
    options    of `check`
    """
    start, call = named(f, arguments), by_position(f, arguments)
    first, name = next(iter(start)), getattr(f, "__name__", "the loss")

    def parts(**by_name: Any) -> Any:
        return call(**by_name)

    def loss(**by_name: Any) -> Any:
        return np.asarray(parts(**by_name)[0]).reshape(())

    def gradient(dy: Any, /, **by_name: Any) -> Any:
        g = parts(**by_name)[1]
        if not isinstance(g, Mapping) or isinstance(start[first], Mapping):
            g = {first: g}
        return trees.rebuild(g, {path: dy * a for path, a in trees.arrays(g).items()})

    for part in (parts, loss, gradient):
        stand_in(part, name, f)
    try:
        out = called(name, parts, **start)
    except Raised as error:
        return Report(name, raised=str(error))
    if not isinstance(out, tuple) or len(out) not in (2, 3) or np.size(out[0]) != 1:
        raise InputError(
            f"{name} must return (loss, gradient) or (loss, gradient, hessian), where the loss is "
            "one number: a sum or a mean"
        )
    if len(out) == 3 and (
        not hasattr(start[first], "shape") or np.shape(out[2]) != np.shape(start[first])
    ):
        raise InputError(
            f"the hessian of {name} must be its diagonal, an array of the shape of {first}"
        )
    report = check(loss, gradient, start, **options)
    if report.leaves and len(out) == 3:
        return _with_diagonal(report, parts, start, first, options)
    return report


def _with_diagonal(
    report: Report, parts: Callable[..., Any], start: dict[str, Any], first: str, options: Any
) -> Report:
    """The report, extended by the check of the Hessian's diagonal."""
    x0 = np.asarray(start[first], dtype=float)

    def of_each_column(which: int, x: Any) -> Any:
        """A result of f, each column computed with only that column of x moved."""
        out = np.empty_like(x)
        for column in np.ndindex(x.shape[1:]):
            at = (slice(None), *column)
            there = x0.astype(x.dtype)
            there[at] = x[at]
            out[at] = np.asarray(parts(**{**start, first: there})[which])[at]
        return out

    second = check(
        lambda x: of_each_column(1, x),
        lambda dy, x: dy * of_each_column(2, x),
        {"x": x0},
        seed=options.get("seed", 0),
        accept=options.get("accept", 0.0),
    )
    leaves = tuple(replace(leaf, name=f"2{first}") for leaf in second.leaves)
    return replace(
        report,
        leaves=(*report.leaves, *leaves),
        violations=(*report.violations, *second.violations),
        raised=report.raised or second.raised,
        random=report.random or second.random,
    )
