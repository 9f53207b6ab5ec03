"""Gradients against finite differences: of this package's ops and models, and of anybody's pair.

`check(f, f_backward, inputs)` needs no tolerance: it measures how fine an error it could see, and
says so with its verdict. `check_op` checks an op of the registry, `check_model` a model's training
loss.
"""

from ..verify.model import check_model
from .checker import check
from .files import check_file, inputs
from .mutants import MutationScore, mutation_score
from .random_inputs import check_op, draw_inputs
from .report import GradientError, Leaf, Report

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
