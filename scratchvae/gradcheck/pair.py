"""`Pair`: a forward and its backward, and one way to call them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..backend.registry import keyword_only, positional
from ..errors import InputError

SPREAD = 32.0  # float32 may differ by so many times the effect of rounding the inputs


class Pair:
    """f and f_backward with the inputs at which they are checked.

    given     the inputs as they were, copied
    inputs    the same with floating-point arrays in float64
    floats    names of the floating-point inputs
    """

    def __init__(
        self,
        f: Callable[..., Array],
        f_backward: Callable[..., Any],
        inputs: Mapping[str, Array],
        name: str,
    ) -> None:
        self.f, self.f_backward = f, f_backward
        self.name = name or getattr(f, "__name__", "the forward")
        if not isinstance(inputs, Mapping) or not inputs:
            raise InputError(f"{self.name}: inputs must be a dict of name to array, and not empty")
        self.given: dict[str, Array] = {}
        for key, a in inputs.items():
            xp = array_module(a)
            self.given[key] = (a if hasattr(a, "dtype") else np.asarray(a)).copy()
            if self.given[key].dtype.kind == "f" and not bool(xp.isfinite(self.given[key]).all()):
                raise InputError(f"{self.name}: the input {key} holds a NaN or an infinity")
        self.floats = tuple(n for n, a in self.given.items() if a.dtype.kind == "f")
        if not self.floats:
            raise InputError(f"{self.name}: no input is floating point, so there is no gradient")
        self.inputs = {
            n: a.astype("float64") if n in self.floats else a for n, a in self.given.items()
        }
        try:
            inspect.signature(f).bind(**inputs)
        except TypeError as error:
            hint = "; wrap it in a lambda" if "positional only" in str(error) else ""
            names = ", ".join(inputs)
            raise InputError(f"{self.name} cannot be called with {names}: {error}{hint}") from None
        parameters = list(inspect.signature(f_backward).parameters.values())
        if any(p.kind is p.VAR_POSITIONAL for p in parameters) or not parameters:
            raise InputError(f"{self.back} must name its arguments: dy, then inputs of the forward")
        known = {*inputs, "y"}
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            self.needs = list(inputs)
        else:
            self.needs = [n for n in positional(f_backward)[1:] if n in known]
        missing = [
            p.name
            for p in parameters[1:]
            if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty and p.name not in known
        ]
        if missing:
            names = ", ".join(sorted(known))
            raise InputError(
                f"{self.back} asks for {', '.join(missing)}, but after the upstream gradient, its "
                f"first argument, there are only {names}"
            )

    @property
    def back(self) -> str:
        return getattr(self.f_backward, "__name__", "the backward")

    def forward(self, inputs: Mapping[str, Array]) -> Array:
        y = self.f(**inputs)
        if isinstance(y, (tuple, list)):
            raise InputError(
                f"{self.name} returns a {type(y).__name__} of {len(y)}, not one array: "
                "pass a function that drops the cache"
            )
        if array_module(y) is np:
            y = np.asanyarray(y)
        if y.dtype.kind != "f":
            raise InputError(f"{self.name} should return a floating-point array, got {y.dtype}")
        return y.copy()  # forward may use the same memory again

    def backward(
        self, dy: Array, inputs: Mapping[str, Array], y: Array | None = None
    ) -> dict[str, Array]:
        """Gradients by input name, without those that are None."""
        if y is None and "y" in self.needs:
            y = self.forward(inputs)
        arguments = {"y": y, **inputs}
        named = self.named(self.f_backward(dy, **{n: arguments[n] for n in self.needs}))
        if odd := [n for n in named if n not in self.floats]:
            what = ", ".join(map(str, odd))
            raise InputError(f"{self.back} returns a gradient of {what}, no floating-point input")
        return {
            n: np.asarray(g) if isinstance(g, (float, int)) else g
            for n, g in named.items()
            if g is not None
        }

    def named(self, out: Any) -> dict[str, Any]:
        """What backward returned, by input name; a tuple is in the order of the `d*` arguments."""
        if out is None:
            raise InputError(f"{self.back} returns no gradient: is its return missing?")
        if isinstance(out, Mapping):
            by_d = {f"d{n}": n for n in self.floats if f"d{n}" not in self.given}
            return {by_d.get(str(n), str(n)): g for n, g in out.items()}
        names = [name[1:] for name in keyword_only(self.f_backward) if name[0] == "d"]
        names = names or list(self.floats)
        values = out if isinstance(out, (tuple, list)) else (out,)
        if len(values) != len(names):
            raise InputError(
                f"{self.back} returned {len(values)} gradients, but there should be "
                f"{len(names)}: {', '.join(names)}"
            )
        return dict(zip(names, values, strict=True))

    def low_precision(self, name: str, dy: Array, exact: Array, seed: int) -> tuple[str, bool]:
        """Compare a float32 or float16 gradient with the float64 one: a message, and True if wrong.

        They may differ by SPREAD times the effect of rounding inputs, output and upstream.
        """
        dtype = self.given[name].dtype
        if dtype == np.float64:
            return "", False
        rng = np.random.default_rng([seed, 2])
        eps = float(np.finfo(dtype).eps)
        exact = to_numpy(exact)
        largest = float(np.abs(exact).max(initial=0))
        # backward may compute the output again, and round it
        spread = eps * max(largest, float(np.abs(to_numpy(dy)).max(initial=0)))

        def nudged(a: Array) -> Array:
            return a + eps * a * array_module(a).asarray(rng.standard_normal(a.shape))

        for _ in range(3):
            moved = {n: nudged(a) if n in self.floats else a for n, a in self.inputs.items()}
            y = nudged(self.forward(moved))
            off = to_numpy(self.backward(nudged(dy), moved, y)[name]) - exact
            spread = max(spread, np.abs(off).max(initial=0))
        y_type = self.forward(self.given).dtype
        low = to_numpy(self.backward(dy.astype(y_type), self.given)[name])
        off = np.abs(low - exact).max(initial=0)
        if off <= SPREAD * spread:
            seen = SPREAD * spread / largest if largest else 0.0
            return f"in {dtype}, an error above {seen:.1e} of the largest entry", False
        found = f"off by up to {off:.2g}, where rounding explains {spread:.2g}"
        return f"right in float64, but its {dtype} values are {found}", True
