"""The gradient checker: any pair of forward and backward against finite differences.

`check(f, f_backward, inputs)` takes no tolerance: it measures how small an error it could detect,
and reports that with its verdict. This folder imports `backend` and `errors` and nothing else of
the package, and knows no op and no model: `check_op`, `check_model` and `draw_inputs` are defined
in `verify` and passed to `provide`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters.for_jax import check_jax
    from .adapters.for_torch import check_torch
    from .adapters.functions import check_hvp, check_jvp, check_vjp
    from .adapters.layer import check_layer
    from .adapters.loss import check_loss
    from .checker import check
    from .report import GradientError, Leaf, Report
    from .suites.files import check_file
    from .suites.mutants import MutationScore, mutation_score
    from .suites.random_inputs import inputs

    # what `provide` adds, for type checkers
    def check_model(
        model: Any, x: Any, eps: Any = None, y: Any = None, *, seed: int = 0, steps: int = 20
    ) -> Report: ...
    def check_op(name: str, *, seed: int = 0, sizes: dict[str, int] | None = None) -> Report: ...
    def draw_inputs(
        name: str, seed: int = 0, sizes: dict[str, int] | None = None
    ) -> dict[str, Any]: ...


__all__ = [
    "GradientError",
    "Leaf",
    "MutationScore",
    "Report",
    "check",
    "check_file",
    "check_hvp",
    "check_jax",
    "check_jvp",
    "check_layer",
    "check_loss",
    "check_torch",
    "check_vjp",
    "inputs",
    "mutation_score",
]

_HOMES = {  # public name: the module that defines it, imported when the name is first asked for
    "GradientError": ".report",
    "Leaf": ".report",
    "MutationScore": ".suites.mutants",
    "Report": ".report",
    "check": ".checker",
    "check_file": ".suites.files",
    "check_hvp": ".adapters.functions",
    "check_jax": ".adapters.for_jax",
    "check_jvp": ".adapters.functions",
    "check_layer": ".adapters.layer",
    "check_loss": ".adapters.loss",
    "check_torch": ".adapters.for_torch",
    "check_vjp": ".adapters.functions",
    "inputs": ".suites.random_inputs",
    "mutation_score": ".suites.mutants",
}


def provide(**homes: str) -> None:
    """Add public names to this package, as `name="the.module.that.defines.it"`.

    A package that builds on the checker thus adds checks of its own ops and models without being
    imported from here. A module is imported when its name is first asked for.
    """
    _HOMES.update(homes)
    __all__.extend(name for name in homes if name not in __all__)


if not TYPE_CHECKING:  # a type checker would take any name for a public one

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
