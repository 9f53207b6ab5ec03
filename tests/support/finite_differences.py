"""An oracle for the checker: central differences of every entry, one Richardson step, and a limit.

It is plain, slow, and shares no code with `scratchvae.gradcheck`.
"""

from typing import NamedTuple

import numpy as np
from support.op_calls import call

STEP = 2e-4  # relative to max(1, |x|): round-off eps/h and truncation h^4 are both far below LIMIT
LIMIT = 1e-7  # of the largest entry


class Compared(NamedTuple):
    name: str
    relative: float
    index: tuple
    analytic: float
    numeric: float

    def __str__(self):
        verdict = "PASS" if self.relative <= LIMIT else "FAIL"
        values = f"backward {self.analytic}, differences {self.numeric}"
        return f"{self.name} {self.relative:.1e} {verdict} at {self.index}: {values}"


def compare(name, phi, x, gradient):
    """The gradient of phi() by x, which phi reads; x is moved and put back, in place."""
    assert gradient.shape == x.shape
    numeric = numeric_gradient(phi, x)
    difference = np.abs(gradient - numeric)
    difference[np.isnan(difference)] = np.inf
    index = np.unravel_index(int(difference.argmax()), difference.shape)
    scale = max(np.abs(numeric).max(), np.nan_to_num(np.abs(gradient)).max())
    return Compared(name, difference[index] / scale, index, gradient[index], numeric[index])


def numeric_gradient(phi, x):
    out = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        value = float(x[index])
        h = STEP * max(1.0, abs(value))
        slopes = []
        for step in (h, 2 * h):
            x[index] = value + step
            up = phi()
            x[index] = value - step
            slopes.append((up - phi()) / (2 * step))
            x[index] = value
        out[index] = (4 * slopes[0] - slopes[1]) / 3
    return out


def compare_op(op, inputs, seed=0):
    """Every gradient of an op, every entry, against a random upstream gradient."""
    dy = np.random.default_rng((seed, 77)).standard_normal(op.forward(**inputs).shape)
    _, gradients = call(op, inputs, dy)
    return [
        compare(name, lambda: float((dy * op.forward(**inputs)).sum()), inputs[name], g)
        for name, g in zip(op.gradients, gradients, strict=True)
    ]
