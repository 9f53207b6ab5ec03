"""`check_layer`: objects with a forward, a backward, and parameters with gradients."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError
from .. import trees
from ..checker import check
from ..pair import Raised, called
from ..report import Report
from .arguments import stand_in

FORWARD = ("forward", "forward_pass", "fprop", "__call__")
BACKWARD = ("backward", "backward_pass", "bprop", "backprop")
RESET = ("zero_grad", "zero_grads", "zerograds", "cleargrads", "flush_gradients")
TOGETHER = (  # attributes that hold all parameters, and those that hold their gradients
    ("params", "grads"),
    ("parameters", "gradients"),
    ("parameters", "grads"),
    ("params", "gradients"),
)
APART = ("d{}", "d_{}", "{}_grad", "grad_{}", "g{}", "{}_gradient", "{}grad", "grad{}")

Place = tuple[Any, ...]  # an attribute, and a key within it
Slots = dict[str, tuple[Place, Place]]  # where a parameter and its gradient are kept


def check_layer(
    layer: Any,
    x: Any,
    *,
    params: Iterable[str] | None = None,
    grads: Iterable[str] | None = None,
    **options: Any,
) -> Report:
    """Check a layer object, in float64: the gradients of its inputs and of its parameters.

    layer.forward(x) returns the output, layer.backward(dy) the gradient of x, or a tuple for
    several inputs. Parameters are looked for in `params` and `grads`, dicts or lists, and in
    attributes such as W with dW, W_grad or grad_W. The layer itself is left as it is.

    x        an array, a tuple of several, or a dict by name
    params   attributes that hold parameters, where they have other names, and
    grads    those that hold their gradients, in the same order
    options  of `check`
    """
    name = type(layer).__name__
    # whatever refers to one of these arrays refers to its copy afterwards
    copies = {id(a): a.astype(float) for _, a in _arrays(layer)}
    try:
        layer = called(f"copying {name}", deepcopy, layer, copies)
    except Raised as error:
        return Report(name, raised=str(error))
    forward, backward = _method(layer, FORWARD), _method(layer, BACKWARD)
    values = {f"x{k}": a for k, a in enumerate(x)} if isinstance(x, tuple) else x
    values = values if isinstance(values, Mapping) else {"x": x}
    inputs = {n: _double(a) for n, a in values.items()}
    slots: Slots = {}
    reset = next((getattr(layer, r) for r in RESET if hasattr(layer, r)), None)

    def f(**by_name: Any) -> Any:
        if reset:
            reset()
        for slot, (place, _) in slots.items():
            _put(layer, place, by_name[slot])
        return forward(*(by_name[n] for n in inputs))

    def f_backward(dy: Any, **by_name: Any) -> dict[str, Any]:
        f(**by_name)
        dx = backward(dy)
        dxs = dx if isinstance(dx, tuple) else (dx,)
        found = {} if dx is None else dict(zip(inputs, dxs, strict=True))
        return found | {slot: _get(layer, place) for slot, (_, place) in slots.items()}

    stand_in(f, f"{name}.{forward.__name__}", forward)
    stand_in(f_backward, f"{name}.{backward.__name__}", backward)
    held = [path for path, _ in _arrays(layer)]
    try:  # once, as some layers make their parameters when they see the first input
        y = called(f.__name__, f, **inputs)
        before = {path: a.copy() for path, a in _arrays(layer) if a.any()}
        called(f_backward.__name__, backward, np.ones_like(y))
    except Raised as error:
        return Report(name, raised=str(error))
    slots |= _found(layer) if params is None else _given(params, grads)
    gradients = {".".join(map(str, place)) for _, place in slots.values()}
    after = dict(_arrays(layer))
    for path, a in before.items():
        if path not in gradients and path in after and not np.array_equal(a, after[path]):
            return Report(name, violations=(f"backward changes {path}",))
    if clash := slots.keys() & inputs.keys():
        raise InputError(f"{name} has a parameter {min(clash)}: give the input another name")
    parameters = {slot: _get(layer, place) for slot, (place, _) in slots.items()}
    report = check(f, f_backward, inputs | parameters, **{"name": name, **options})
    if held and not slots:
        text = f"no parameter with a gradient was found among {', '.join(held)}: name them by "
        report = replace(report, notes=(*report.notes, text + "params=[...], grads=[...]"))
    return report


def _attributes(layer: Any) -> dict[str, Any]:
    return getattr(layer, "__dict__", {})


def _arrays(layer: Any) -> Iterator[tuple[str, Any]]:
    """The floating-point arrays that a layer holds."""
    for path, a in trees.walk(_attributes(layer)):
        if isinstance(a, np.ndarray) and a.dtype.kind == "f":
            yield path, a


def _double(a: Any) -> Any:
    return a.astype(float) if getattr(a, "dtype", np.dtype(int)).kind == "f" else a


def _method(layer: Any, names: Iterable[str]) -> Callable[..., Any]:
    for name in names:
        if callable(method := getattr(layer, name, None)):
            return method
    what = f"{type(layer).__name__} has no method {' or '.join(names)}"
    raise InputError(f"{what}: wrap it in a pair of functions, for check")


def _get(layer: Any, place: Place) -> Any:
    value = getattr(layer, place[0])
    return value if len(place) == 1 else value[place[1]]


def _put(layer: Any, place: Place, value: Any) -> None:
    """Write a parameter, in place, as others may refer to the same array."""
    now = _get(layer, place)
    if isinstance(now, np.ndarray):
        now[...] = value
    elif len(place) == 1:
        setattr(layer, place[0], value)
    else:
        getattr(layer, place[0])[place[1]] = value


def _given(params: Iterable[str], grads: Iterable[str] | None) -> Slots:
    if grads is None or isinstance(params, str) or isinstance(grads, str):
        raise InputError("params and grads are lists of attributes, each parameter with a gradient")
    return {p: ((p,), (g,)) for p, g in zip(params, grads, strict=True)}


def _found(layer: Any) -> Slots:
    """Parameters with gradients, by the usual names."""
    found: Slots = {}
    for together, apart in TOGETHER:
        values, gradients = getattr(layer, together, None), getattr(layer, apart, None)
        if isinstance(values, Mapping) and isinstance(gradients, Mapping):
            for key, value in values.items():
                for name in (key, f"d{key}"):
                    if _alike(value, gradients.get(name)):
                        found[key] = (together, key), (apart, name)
        elif isinstance(values, list) and isinstance(gradients, list):
            for k, pair in enumerate(zip(values, gradients, strict=False)):
                if _alike(*pair):
                    name = next(
                        (n for n, a in _attributes(layer).items() if a is pair[0]), f"{together}{k}"
                    )
                    found[name] = (together, k), (apart, k)
    if found:
        return found
    for name, value in _attributes(layer).items():
        for pattern in APART:
            if _alike(value, getattr(layer, pattern.format(name), None)):
                found[name] = (name,), (pattern.format(name),)
    return found


def _alike(value: Any, gradient: Any) -> bool:
    """True for a floating-point array, or a number, and another of its shape."""
    if not isinstance(value, (np.ndarray, float)) or gradient is None:
        return False
    return np.asarray(value).dtype.kind == "f" and np.shape(value) == np.shape(gradient)
