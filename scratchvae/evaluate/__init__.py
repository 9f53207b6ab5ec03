"""Numbers."""

from .evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
