"""Random inputs from shapes and domains, and the checker applied to the ops of this package."""

import re
from collections.abc import Mapping
from string import ascii_uppercase

import numpy as np

from ..backend.registry import OPS
from ..errors import InputError
from .checker import check
from .report import Report

# A size for each letter of the registry, all distinct: a wrong transpose cannot fit.
SIZES = {"B": 4, "I": 6, "O": 3, "D": 7, "H": 5, "Z": 2, "C": 8, "K": 9, "1": 1}


def draw_inputs(
    name: str, seed: int = 0, sizes: dict[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Random float64 inputs for an op, of the shapes and in the domains of its registration."""
    return draw(OPS[name].inputs, seed, sizes)


def draw(
    specs: Mapping[str, str], seed: int = 0, sizes: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Random float64 arrays for shapes and domains such as "BD in [0,1]"."""
    rng = np.random.default_rng(seed)
    other = {letter: 10 + i for i, letter in enumerate(ascii_uppercase)}
    sizes = {**other, **SIZES, **(sizes or {})}
    return {key: _draw(rng, spec, sizes) for key, spec in specs.items()}


def _draw(rng: np.random.Generator, spec: str, sizes: Mapping[str, int]) -> np.ndarray:
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


def check_op(name: str, *, seed: int = 0, sizes: dict[str, int] | None = None) -> Report:
    """Check every gradient of a registered op, such as "linear", at random inputs."""
    if name not in OPS:
        raise InputError(f"unknown op {name!r}: choose one of {', '.join(OPS)}")
    op = OPS[name]
    batch = [key for key, spec in op.inputs.items() if spec.startswith("B")]
    inputs = draw_inputs(name, seed, sizes)
    return check(op.forward, op.backward, inputs, wrt=op.gradients, seed=seed, batch=batch)
