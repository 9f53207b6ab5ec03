"""The ops of this package by name: their random inputs and their checks."""

import numpy as np

from ..backend.registry import OPS
from ..errors import InputError
from ..gradcheck.checker import check
from ..gradcheck.report import Report
from ..gradcheck.suites.random_inputs import draw
from ..models import load  # noqa: F401  (imports every module that registers an op)


def draw_inputs(
    name: str, seed: int = 0, sizes: dict[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Random float64 inputs for an op, with the registered shapes and domains."""
    return draw(OPS[name].inputs, seed, sizes)


def check_op(name: str, *, seed: int = 0, sizes: dict[str, int] | None = None) -> Report:
    """Check every gradient of a registered op, such as "linear", at random inputs."""
    if name not in OPS:
        raise InputError(f"unknown op {name!r}: choose one of {', '.join(OPS)}")
    op = OPS[name]
    batch = [key for key, spec in op.inputs.items() if spec.startswith("B")]
    inputs = draw_inputs(name, seed, sizes)

    return check(
        op.forward, op.backward, inputs, wrt=op.gradients, seed=seed, batch=batch, strict=True
    )
