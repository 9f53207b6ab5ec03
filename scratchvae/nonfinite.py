"""Which tensor was the first that was no number: asked when a loss is found to be none."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from .backend import Array, array_module


def first_bad(acts: Any, *mappings: Mapping[str, Array]) -> str | None:
    """The name of the first tensor with a NaN or an infinity, in the order of computation.

    acts: what a model's forward returns, or None; mappings: its gradients, and its parameters.
    """

    def tensors() -> Iterator[tuple[str, Array]]:
        for field in fields(acts) if acts else ():
            value = getattr(acts, field.name)
            if isinstance(value, list):
                yield from ((f"{field.name}[{i}]", a) for i, a in enumerate(value))
            elif value is not None:
                yield field.name, value
        for kind, mapping in zip(("gradient", "parameter"), mappings, strict=False):
            yield from ((f"the {kind} {name}", a) for name, a in reversed(list(mapping.items())))

    return next(
        (name for name, a in tensors() if not bool(array_module(a).isfinite(a).all())), None
    )
