"""Central differences with one Richardson step, entry by entry, against what a backward returns.

Along one entry, D(h) = [phi(x + h) - phi(x - h)] / 2h errs by c h^2 + O(h^4), so (4 D(h) - D(2h)) /
3 errs by O(h^4) only. phi is the forward's output against a random upstream gradient, so that no
entry of it can hide another; a constant upstream would let errors cancel.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..errors import InputError
from ..registry import keyword_only, positional

STEP = 2e-4  # relative to max(1, |x|): round-off eps/h and truncation h^4 are both far below LIMIT
LIMIT = 1e-7  # of the largest entry: an error above it is a failure


class GradientError(AssertionError):
    """A gradient is not the derivative of its forward."""


@dataclass(frozen=True)
class Leaf:
    """One gradient: its largest error and its largest entry, and where the error is."""

    name: str
    error: float  # largest |analytic - numeric|
    scale: float  # largest |numeric|, or |analytic| if that is larger
    index: tuple[int, ...]
    analytic: float
    numeric: float

    @property
    def relative(self) -> float:
        return self.error / self.scale if self.scale else 0.0

    @property
    def verdict(self) -> str:
        return "PASS" if self.relative <= LIMIT else "FAIL"

    def __str__(self) -> str:
        line = f"{self.name:12} {self.relative:8.1e}  {self.verdict}"
        if self.verdict == "PASS":
            return line
        at = ", ".join(map(str, self.index))
        values = f"backward {self.analytic:.10g}, differences {self.numeric:.10g}"
        return f"{line}  worst at [{at}]: {values}"


@dataclass(frozen=True)
class Report:
    """What was found for each gradient of one subject."""

    name: str
    leaves: tuple[Leaf, ...]

    @property
    def verdict(self) -> str:
        return "PASS" if all(leaf.verdict == "PASS" for leaf in self.leaves) else "FAIL"

    @property
    def error(self) -> float:
        """The largest error of any gradient, relative to that gradient's largest entry."""
        return max((leaf.relative for leaf in self.leaves), default=0.0)

    @property
    def resolution(self) -> float:
        """The smallest relative error that would have failed."""
        return LIMIT

    def __bool__(self) -> bool:
        raise TypeError("a report is not a bool: use report.verdict or report.raise_if_failed()")

    def __str__(self) -> str:
        return "\n".join([f"{self.name}: {self.verdict}", *(f"  {leaf}" for leaf in self.leaves)])

    def raise_if_failed(self) -> None:
        """Raise GradientError with the table if any gradient failed."""
        if self.verdict != "PASS":
            raise GradientError(str(self))


def check(
    f: Callable[..., Array],
    f_backward: Callable[..., Any],
    inputs: Mapping[str, Array],
    *,
    wrt: Iterable[str] | None = None,
    seed: int = 0,
) -> Report:
    """Compare f_backward with finite differences of y = f(**inputs).

    `inputs` maps names to float64 arrays. f_backward(dy, ...) is called with the inputs, and `y`,
    that its signature names. It returns one gradient, a tuple in the order of its keyword-only `d*`
    arguments (else of the inputs), or a dict by input. `wrt` names the inputs to check: by default
    those that have a gradient. Raises InputError where the inputs or the backward's answer cannot
    be used.
    """
    inputs = dict(inputs)
    for name, a in inputs.items():
        if getattr(a, "dtype", None) != np.float64:
            raise InputError(f"{name} must be a float64 array: differences need its precision")
    y = f(**inputs)
    xp = array_module(y)
    # a stream of its own: an upstream equal to an input would make products of the two symmetric
    dy = xp.asarray(np.random.default_rng((seed, 1)).standard_normal(y.shape))
    call = [name for name in positional(f_backward)[1:] if name in inputs or name == "y"]
    gradients = name_gradients(
        f_backward, f_backward(dy, *(inputs.get(n, y) for n in call)), inputs
    )
    wrt = list(gradients) if wrt is None else list(wrt)
    if not wrt:
        raise InputError(f"{f_backward.__name__} has no gradient to check")
    if missing := [name for name in wrt if gradients.get(name) is None]:
        raise InputError(f"{f_backward.__name__} returns no gradient for {', '.join(missing)}")

    def phi() -> float:
        return float((dy * f(**inputs)).sum())

    leaves = [compare(name, phi, inputs[name], gradients[name]) for name in wrt]
    return Report(f.__name__, tuple(leaves))


def name_gradients(
    f_backward: Callable[..., Any], out: Any, inputs: Mapping[str, Array]
) -> dict[str, Any]:
    """What a backward returned, as a dict by input name."""
    if isinstance(out, Mapping):
        return dict(out)
    names = [d[1:] for d in keyword_only(f_backward) if d[0] == "d"] or list(inputs)
    values = out if isinstance(out, tuple) else (out,)
    if len(values) != len(names):
        raise InputError(
            f"{f_backward.__name__} returned {len(values)} gradients, but there should be "
            f"{len(names)}: {', '.join(names)}"
        )
    return dict(zip(names, values, strict=True))


def compare(name: str, phi: Callable[[], float], x: Array, gradient: Array) -> Leaf:
    """The gradient of phi(x) against differences; x is moved and put back, in place."""
    analytic = to_numpy(gradient)
    if analytic.shape != x.shape:
        raise InputError(f"the gradient of {name} has shape {analytic.shape}, but {name} {x.shape}")
    numeric = numeric_gradient(phi, x)
    difference = np.abs(analytic - numeric)
    difference[np.isnan(difference)] = np.inf
    if difference.size == 0:
        return Leaf(name, 0.0, 0.0, (), 0.0, 0.0)
    index = np.unravel_index(int(difference.argmax()), difference.shape)
    scale = max(np.abs(numeric).max(), np.nan_to_num(np.abs(analytic)).max())
    return Leaf(
        name,
        float(difference[index]),
        float(scale),
        tuple(int(i) for i in index),
        float(analytic[index]),
        float(numeric[index]),
    )


def numeric_gradient(phi: Callable[[], float], x: Array) -> np.ndarray:
    """d phi / d x for a phi that reads x; x is moved and put back, in place."""
    out = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        value = float(x[index])
        h = STEP * max(1.0, abs(value))

        def slope(h: float, index: Any = index, value: float = value) -> float:
            x[index] = value + h
            up = phi()
            x[index] = value - h
            down = phi()
            x[index] = value
            return (up - down) / (2 * h)

        out[index] = (4 * slope(h) - slope(2 * h)) / 3
    return out
