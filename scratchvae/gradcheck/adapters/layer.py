"""`check_layer`: objects with a forward, a backward, and parameters with gradients."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError, hidden
from .. import trees
from ..checker import check
from ..pair import Raised, called
from ..report import Report
from .arguments import stand_in

__tracebackhide__ = hidden

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
BOXED = (("data", "grad"), ("value", "grad"), ("value", "gradient"))  # a parameter as an object


class Place(NamedTuple):
    """An attribute of an object, or an item of that attribute."""

    holder: Any
    attribute: str
    key: Any = None

    def get(self) -> Any:
        value = getattr(self.holder, self.attribute, None)
        if self.key is None or value is None:
            return value
        return value.get(self.key) if isinstance(value, Mapping) else value[self.key]

    def put(self, value: Any) -> None:
        """In place, as others may refer to the same array."""
        self.get()[...] = value


Slots = dict[str, tuple[Place, Place]]  # where each parameter and its gradient are kept


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
    several inputs, which may omit those without a gradient, such as labels. Parameters are found in
    `params` and `grads`, dicts or lists; in attributes such as W with dW, W_grad or grad_W; in
    objects with data and grad; and in nested layers. Arrays without a gradient are listed in a
    note. The layer itself is not modified.

    x        an array, a tuple of several, or a dict by name
    params   attributes that hold the parameters, if named otherwise
    grads    attributes that hold their gradients, in the same order
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
    moved = [n for n, a in inputs.items() if trees.under([n], _floats(inputs))]
    slots: Slots = {}
    reset = next((getattr(layer, r) for r in RESET if hasattr(layer, r)), None)

    def f(**by_name: Any) -> Any:
        if reset:
            reset()
        for slot, (place, _) in slots.items():
            place.put(by_name[slot])
        return forward(*(by_name[n] for n in inputs))

    def f_backward(dy: Any, /, **by_name: Any) -> dict[str, Any]:
        f(**by_name)
        dx = backward(dy)
        dxs = dx if isinstance(dx, tuple) else () if dx is None else (dx,)
        found = dict(zip(inputs if len(dxs) > len(moved) else moved, dxs, strict=False))
        return found | {slot: place.get() for slot, (_, place) in slots.items()}

    stand_in(f, f"{name}.{forward.__name__}", forward)
    stand_in(f_backward, f"{name}.{backward.__name__}", backward)
    held = dict(_arrays(layer))
    try:  # once, as some layers make their parameters when they see the first input
        y = called(f.__name__, f, **inputs)
        before = {path: a.copy() for path, a in _arrays(layer) if a.any()}
        called(f_backward.__name__, backward, np.ones_like(y))
    except Raised as error:
        return Report(name, raised=str(error))
    caches = [a for a in inputs.values() if isinstance(a, np.ndarray)]
    slots |= _given(layer, params, grads) if params is not None else _found(layer, caches)
    missing = [slot for slot, (_, gradient) in slots.items() if gradient.get() is None]
    after = dict(_arrays(layer))
    gradients = [id(place.get()) for _, place in slots.values()]
    for path, a in before.items():
        if (
            path in after
            and id(after[path]) not in gradients
            and not np.array_equal(a, after[path])
        ):
            return Report(name, violations=(f"backward modifies {path}",))
    if clash := slots.keys() & inputs.keys():
        raise InputError(f"{name} has a parameter {min(clash)}: give the input another name")
    taken = [id(place.get()) for place, _ in slots.values()] + gradients
    unknown = [path for path in held if path in after and id(after[path]) not in taken]
    slots = {slot: places for slot, places in slots.items() if slot not in missing}
    parameters = {slot: place.get() for slot, (place, _) in slots.items()}
    report = check(f, f_backward, inputs | parameters, **{"name": name, **options})
    notes, violations = list(report.notes), list(report.violations)
    if missing:
        violations.append(f"backward sets no gradient for {', '.join(missing)}")
    if unknown and params is None:
        text = f"no gradient was found for {', '.join(unknown)}: if they are parameters, pass "
        notes.append(text + "params=[...], grads=[...]")
    return replace(report, notes=tuple(notes), violations=tuple(violations))


def _double(a: Any) -> Any:
    return a.astype(float) if getattr(a, "dtype", np.dtype(int)).kind == "f" else a


def _floats(inputs: Mapping[str, Any]) -> list[str]:
    return [path for path, a in trees.arrays(inputs).items() if a.dtype.kind == "f"]


def _method(layer: Any, names: Iterable[str]) -> Callable[..., Any]:
    for name in names:
        if callable(method := getattr(layer, name, None)):
            return method
    what = f"{type(layer).__name__} has no method {' or '.join(names)}"
    raise InputError(f"{what}: wrap it in a pair of functions and use check")


def _attributes(thing: Any) -> dict[str, Any]:
    """The attributes of an object, __slots__ included."""
    names = [
        n for c in type(thing).__mro__ for n in getattr(c, "__slots__", ()) if hasattr(thing, n)
    ]
    return {n: getattr(thing, n) for n in names} | getattr(thing, "__dict__", {})


def _arrays(layer: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The floating-point arrays in a layer and its nested objects, each once."""
    seen: set[int] = set()
    for prefix, thing in _parts(layer):
        for path, a in trees.walk(_attributes(thing)):
            if isinstance(a, np.ndarray) and a.dtype.kind == "f" and id(a) not in seen:
                seen.add(id(a))
                yield prefix + path, a


def _parts(layer: Any) -> Iterator[tuple[str, Any]]:
    """A layer, and the layers and parameters within it, each with its path."""
    seen, todo = {id(layer)}, [("", layer)]
    while todo:
        prefix, thing = todo.pop(0)
        yield prefix, thing
        for path, part in trees.walk(_attributes(thing)):
            is_layer = any(callable(getattr(part, name, None)) for name in BACKWARD)
            if (is_layer or _box(part)) and id(part) not in seen:
                seen.add(id(part))
                todo.append((f"{prefix}{path}.", part))


def _box(thing: Any) -> tuple[str, str] | None:
    """The attributes of a parameter that is an object: its array, and its gradient."""
    if isinstance(thing, np.ndarray):
        return None
    held = _attributes(thing)
    return next((pair for pair in BOXED if _is_float(held.get(pair[0])) and pair[1] in held), None)


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _given(layer: Any, params: Iterable[str], grads: Iterable[str] | None) -> Slots:
    if grads is None or isinstance(params, str) or isinstance(grads, str):
        raise InputError("params and grads must be lists of attributes, a gradient per parameter")
    params, grads = list(params), list(grads)
    if len(params) != len(grads):
        raise InputError(f"params names {len(params)} attributes, grads {len(grads)}")
    if unknown := [name for name in params if not _is_float(getattr(layer, name, None))]:
        raise InputError(f"{type(layer).__name__} has no array {unknown[0]}")
    return {p: (Place(layer, p), Place(layer, g)) for p, g in zip(params, grads, strict=True)}


def _found(layer: Any, caches: list[np.ndarray]) -> Slots:
    """Parameters with gradients, by the usual names, in a layer and its nested layers.

    caches: arrays that a layer keeps from its forward, which are not parameters.
    """
    found: Slots = {}
    seen: set[int] = set()

    def add(name: str, place: Place, gradient: Place) -> None:
        value = place.get()
        if id(value) not in seen and not any(np.array_equal(value, cache) for cache in caches):
            seen.add(id(value))
            found[name] = place, gradient

    for prefix, thing in _parts(layer):
        held = _attributes(thing)
        if box := _box(thing):
            add(prefix[:-1], Place(thing, box[0]), Place(thing, box[1]))
            continue
        for together, apart in TOGETHER:
            values, gradients = held.get(together), held.get(apart)
            if isinstance(values, dict) and isinstance(gradients, dict):
                for key, value in values.items():
                    if _is_float(value):
                        of = f"d{key}" if f"d{key}" in gradients else key
                        add(f"{prefix}{key}", Place(thing, together, key), Place(thing, apart, of))
            elif isinstance(values, list) and isinstance(gradients, list):
                for k, value in enumerate(values):
                    if _is_float(value):
                        name = next((n for n, a in held.items() if a is value), f"{together}{k}")
                        here = Place(thing, apart, k) if k < len(gradients) else Place(thing, "")
                        add(f"{prefix}{name}", Place(thing, together, k), here)
        for name, value in held.items():
            for pattern in APART if _is_float(value) else ():
                if _is_float(held.get(pattern.format(name))):
                    add(f"{prefix}{name}", Place(thing, name), Place(thing, pattern.format(name)))
                    break
    return found
