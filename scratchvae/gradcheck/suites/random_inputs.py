"""Random inputs from shapes and domains, and the decorator that attaches them to a forward."""

import re
from collections.abc import Callable, Mapping
from string import ascii_uppercase
from typing import Any

import numpy as np

from ...errors import InputError

# the size that each letter stands for; all differ, so that a wrong transpose does not fit
SIZES = {"B": 4, "I": 6, "O": 3, "D": 7, "H": 5, "Z": 2, "C": 8, "K": 9, "1": 1}


def inputs(*gradients: str, **specs: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give the shapes and domains of a forward's inputs, such as x="BI", W="IO", p="BD in (0,1)".

    A letter is a size, the same wherever it appears; B is the batch. `gradients` names the inputs
    whose gradients backward must return; without it, whatever backward returns is checked. The
    function itself is returned, with attributes that `scratchvae verify FILE.py` reads.
    """

    def remember(f: Callable[..., Any]) -> Callable[..., Any]:
        f.gradcheck_inputs = specs  # type: ignore[attr-defined]
        f.gradcheck_gradients = gradients  # type: ignore[attr-defined]
        return f

    return remember


def draw(
    specs: Mapping[str, str], seed: int = 0, sizes: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Random float64 arrays for shapes and domains such as "BD in [0,1]"."""
    rng = np.random.default_rng(seed)
    other = {letter: 10 + i for i, letter in enumerate(ascii_uppercase)}
    sizes = {**other, **SIZES, **(sizes or {})}
    return {key: _draw(rng, spec, sizes) for key, spec in specs.items()}


def _draw(rng: "np.random.Generator", spec: str, sizes: Mapping[str, int]) -> np.ndarray:
    letters, _, domain = spec.partition(" ")
    if unknown := set(letters) - sizes.keys():
        raise InputError(f"{spec!r}: a size is a capital letter or 1, not {sorted(unknown)}")
    shape = tuple(sizes[letter] for letter in letters)
    if not domain:
        return rng.standard_normal(shape)
    if domain == "away from 0":
        return rng.choice([-1.0, 1.0], shape) * (0.1 + rng.random(shape))
    bounds = re.fullmatch(r"in [\[(]([-\d.]+),([-\d.]+)[\])]", domain)
    if bounds is None:
        raise InputError(f"unknown domain {domain!r} in {spec!r}")
    low, high = map(float, bounds.groups())
    return low + (high - low) * (0.05 + 0.9 * rng.random(shape))
