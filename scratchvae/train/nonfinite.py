"""What is said of a NaN or an infinity, and which tensor was the first that held one."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ..backend import Array, array_module
from ..errors import NonFiniteError


def stopped_at(epoch: int, step: int, what: str) -> NonFiniteError:
    """The error of a run that stops there."""
    return NonFiniteError(
        f"epoch {epoch}, step {step}: {what}; the model keeps its parameters from before: try a "
        "smaller lr, clip the norm of the gradient, and look at the scale of the data and at beta"
    )


def first_bad(acts: Any, *mappings: Mapping[str, Array]) -> str | None:
    """The name of the first tensor with a NaN or an infinity, in the order of computation.

    acts: what a model's forward returns, or None; mappings: its gradients, its parameters, and the
    moments of Adam.
    """

    def tensors() -> Iterator[tuple[str, Array]]:
        for field in fields(acts) if acts else ():
            value = getattr(acts, field.name)
            if isinstance(value, list):
                yield from ((f"{field.name}[{i}]", a) for i, a in enumerate(value))
            elif value is not None:
                yield field.name, value
        for kind, mapping in zip(("gradient", "parameter", "moment"), mappings, strict=False):
            yield from ((f"the {kind} {name}", a) for name, a in reversed(list(mapping.items())))

    return next(
        (name for name, a in tensors() if not bool(array_module(a).isfinite(a).all())), None
    )
