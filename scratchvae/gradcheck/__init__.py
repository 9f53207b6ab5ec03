"""Gradients against finite differences: of this package's ops and models, and of anybody's pair.

`check(f, f_backward, inputs)` needs no tolerance: it measures how fine an error it could see, and
says so with its verdict. `check_op` checks an op of the registry, `check_model` a model's training
loss.
"""

from .core import check
from .files import check_file, inputs
from .model import check_model
from .mutants import MutationScore, mutation_score
from .report import GradientError, Leaf, Report
from .subjects import check_op, draw_inputs

__all__ = [
    "GradientError",
    "Leaf",
    "MutationScore",
    "Report",
    "check",
    "check_file",
    "check_model",
    "check_op",
    "draw_inputs",
    "inputs",
    "mutation_score",
]
