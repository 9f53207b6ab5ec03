"""Gradients against finite differences: of this package's ops and models, and of anybody's pair.

`check(f, f_backward, inputs)` compares a hand-written backward with differences of its forward,
entry by entry, in float64. `check_op` does it for an op of the registry, `check_model` for a
model's training loss.
"""

from .core import GradientError, Leaf, Report, check
from .subjects import check_model, check_op, draw_inputs

__all__ = ["GradientError", "Leaf", "Report", "check", "check_model", "check_op", "draw_inputs"]
