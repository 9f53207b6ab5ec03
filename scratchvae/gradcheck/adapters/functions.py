"""`check_vjp`, `check_jvp` and `check_hvp`: checks of derivatives given as functions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError, hidden
from .. import trees
from ..checker import check
from ..pair import Raised, called
from ..report import Report
from .arguments import by_position, named, same_output, stand_in

__tracebackhide__ = hidden

LINEAR = 1e-6  # relative error of a sum of derivatives
LARGEST = 3000  # entries of the inputs of a jvp, which is called once for each


def check_vjp(
    f: Callable[..., Any], vjp: Callable[..., Any], arguments: Any, **options: Any
) -> Report:
    """Check a vector-Jacobian product that returns a pull-back.

    vjp(*arguments) returns (y, pullback), with y = f(*arguments); pullback(dy) returns the
    gradients, in any form that `check` accepts.

    arguments  of f: a tuple, a single one, or a dict by name
    options    of `check`
    """
    call, start = by_position(vjp, arguments), named(f, arguments)
    name = getattr(vjp, "__name__", "vjp")
    try:
        out = called(name, call, **start)
    except Raised as error:
        return Report(name, raised=str(error))
    if not isinstance(out, tuple) or len(out) != 2 or not callable(out[1]):
        raise InputError(f"{name} must return (y, pullback), where pullback is a function")

    def backward(dy: Any, /, **by_name: Any) -> Any:
        return call(**by_name)[1](dy)

    report = _check(f, backward, vjp, arguments, options)
    if report.leaves and not same_output(out[0], by_position(f, arguments)(**start)):
        text = f"{name} returns a different output from {getattr(f, '__name__', 'f')}"
        report = replace(report, violations=(*report.violations, text))
    return report


def check_jvp(
    f: Callable[..., Any], jvp: Callable[..., Any], arguments: Any, *, seed: int = 0, **options: Any
) -> Report:
    """Check a Jacobian-vector product, a forward-mode derivative.

    jvp(arguments, tangents) takes two tuples and returns (y, dy) or dy: the derivative of f along
    the tangents, which must be linear in them. It is called once for each entry of the arguments,
    which gives the gradient that is checked.

    arguments  arrays: a tuple or a single one
    options    of `check`
    """
    start = named(f, arguments)
    arrays = trees.arrays(start)
    if any(np.iscomplexobj(leaf) for _, leaf in trees.walk(start)):
        raise InputError("check_jvp takes only real arguments")
    if (entries := sum(a.size for a in arrays.values())) > LARGEST:
        raise InputError(f"jvp is called for each of {entries} entries: pass fewer than {LARGEST}")

    name, call = getattr(jvp, "__name__", "jvp"), by_position(f, arguments)
    draw = np.random.default_rng([seed, 3]).standard_normal
    u, v = ({n: draw(a.shape) * (a.dtype.kind == "f") for n, a in arrays.items()} for _ in "uv")
    tangents = [trees.rebuild(start, t) for t in (u, v, {n: u[n] - 2 * v[n] for n in u})]
    try:
        y = called(getattr(f, "__name__", "f"), call, **start)
        out = called(name, jvp, tuple(start.values()), tuple(tangents[0].values()))
    except Raised as error:
        return Report(name, raised=str(error))
    # a tuple of two may be the derivative of two outputs
    is_pair = isinstance(out, tuple) and len(out) == 2
    with_output = is_pair and not (isinstance(y, tuple) and not isinstance(out[0], tuple))

    def derivative(values: dict[str, Any], tangents: dict[str, Any]) -> Any:
        out = jvp(tuple(values.values()), tuple(tangents.values()))
        return _vector(out[1] if with_output else out)

    def backward(dy: Any, /, **by_name: Any) -> dict[str, Any]:
        flat = _vector(dy)
        here = trees.arrays(by_name)
        zero = {path: np.zeros_like(a) for path, a in here.items()}
        gradient = {path: np.zeros_like(a) for path, a in here.items() if a.dtype.kind == "f"}
        for path, g in gradient.items():
            for index in np.ndindex(g.shape):
                unit = zero[path].copy()
                unit[index] = 1.0
                tangents = trees.rebuild(by_name, {**zero, path: unit})
                g[index] = (flat * derivative(by_name, tangents)).sum()
        return gradient

    shapes = [np.shape(_vector(a)) for a in (out[1] if with_output else out, y)]
    if shapes[0] != shapes[1]:
        text = f"{name} returns a derivative of shape {shapes[0]}, but the output has {shapes[1]}"
        return Report(name, violations=(text,))
    report = _check(f, backward, jvp, arguments, {"seed": seed, **options})
    if report.leaves and with_output and not same_output(out[0], y):
        text = f"{name} returns a different output from {getattr(f, '__name__', 'f')}"
        report = replace(report, violations=(*report.violations, text))
    return _linear(report, name, lambda t: derivative(start, t), tangents)


def check_hvp(
    gradient: Callable[..., Any], hvp: Callable[..., Any], arguments: Any, **options: Any
) -> Report:
    """Check a Hessian-vector product against differences of the gradient.

    gradient(x, ...) returns the gradient of a scalar function, and hvp(x, v, ...) its Hessian times
    v, in the order of SciPy's `hessp`. A Hessian is symmetric, so hvp is also the backward of the
    gradient. If x is nested, gradients and v have the same structure.

    arguments  x, or a tuple of x and constants, or a dict by name
    options    of `check`
    """

    def backward(dy: Any, /, **by_name: Any) -> dict[str, Any]:
        (first, x), *others = by_name.items()
        return {first: hvp(x, dy, *(value for _, value in others))}

    report = _check(gradient, backward, hvp, arguments, options)
    start = named(gradient, arguments)
    first, *others = start.values()
    draw = np.random.default_rng([options.get("seed", 0), 3]).standard_normal
    u, v = ({n: draw(a.shape) for n, a in trees.arrays(first).items()} for _ in "uv")
    vectors = [trees.rebuild(first, t) for t in (u, v, {n: u[n] - 2 * v[n] for n in u})]
    name = getattr(hvp, "__name__", "hvp")
    return _linear(report, name, lambda v: _vector(hvp(first, v, *others)), vectors)


def _vector(a: Any) -> Any:
    return trees.joined(a) if trees.is_tree(a) else np.asarray(a)


def _linear(
    report: Report, name: str, derivative: Callable[[Any], Any], tangents: list[Any]
) -> Report:
    """The report, with a violation if a derivative is not linear: the last tangent is u - 2 v."""
    if not report.leaves:
        return report
    try:
        along_u, along_v, together = (called(name, derivative, t) for t in tangents)
    except Raised as error:
        return replace(report, raised=str(error))
    apart = along_u - 2 * along_v
    if np.allclose(together, apart, LINEAR, LINEAR * float(abs(apart).max(initial=0))):
        return report
    text = f"{name} is not linear in the tangents"
    return replace(report, violations=(*report.violations, text))


def _check(
    f: Callable[..., Any], backward: Callable[..., Any], theirs: Callable[..., Any], arguments: Any,
    options: dict[str, Any],
) -> Report:  # fmt: skip
    call = by_position(f, arguments)

    def forward(**by_name: Any) -> Any:
        return call(**by_name)

    stand_in(forward, getattr(f, "__name__", "f"), f)
    stand_in(backward, getattr(theirs, "__name__", "the derivative"), theirs)
    return check(forward, backward, named(f, arguments), **options)
