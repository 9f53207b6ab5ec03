"""Checks every gradient in a file: what `scratchvae verify FILE.py` does.

These are pairs `f` and `f_backward` (or `f_vjp`, `f_jvp`, `f_hvp`), and anything else with inputs:
layer objects and classes, functions that return a loss with its gradient, PyTorch functions and
modules, and JAX functions. The inputs come from a function `inputs_f()` in the file, which returns
a dict of name to array, or from shapes given to the decorator `inputs`. A teacher's function
`hints_f(wrong)` may return a hint, given the set of names whose gradients are wrong. The file is
run like a script; nothing else is executed.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from typing import Any

from ...errors import InputError
from .. import trees
from ..adapters.arguments import named
from ..adapters.for_jax import check_jax
from ..adapters.for_torch import check_torch
from ..adapters.functions import check_hvp, check_jvp, check_vjp
from ..adapters.layer import check_layer
from ..adapters.loss import check_loss
from ..checker import check
from ..pair import COMPILED, Raised, called
from ..report import GOOD, Report
from .random_inputs import draw

DERIVATIVES: dict[str, Callable[..., Report]] = {  # by the ends of their names
    "backward": check,
    "vjp": check_vjp,
    "jvp": check_jvp,
    "hvp": check_hvp,
}


class NothingToCheck(InputError):
    """A file runs, but has no subject."""


class Refused(InputError):
    """Some pairs of a file cannot be checked: their names, and why."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(reasons.values()))
        self.reasons = reasons


def check_file(path: str | Path, *, seed: int = 0, only: str = "") -> Iterator[Report]:
    """A report for each subject in the file, in file order.

    only: part of the names of those to check. Raises InputError if the file cannot be run or has
    nothing to check, and, after the reports of all others, if a subject cannot be checked.
    """
    path = Path(os.path.expanduser(path))
    found = _run(path)
    subjects = [(name, suffix) for name in found for suffix in _forms(found, name)]
    misspelt = dict(_without_a_forward(found))
    if not subjects and misspelt:
        raise Refused(misspelt)
    if not subjects:
        raise NothingToCheck(
            f"{path} contains nothing to check: no function f with an f_backward, and no "
            "inputs_f(): name each backward after its forward, or add a function inputs_f() for a "
            "layer, a loss, or a PyTorch or JAX function named f"
        )
    names = {subject: _title(*subject, subjects) for subject in subjects}
    wanted = [subject for subject in subjects if only in names[subject]]
    if not wanted:
        raise InputError(f"no pair in {path} has {only!r} in its name: {', '.join(names.values())}")
    refused = {} if only else misspelt
    for subject in wanted:
        try:
            yield _check(found, *subject, names[subject], path, seed)
        except Raised as error:
            yield Report(names[subject], raised=str(error))
        except InputError as error:
            refused[names[subject]] = str(error)
    if refused:
        raise Refused(refused)


def _forms(found: Mapping[str, Any], name: str) -> list[str]:
    """The suffixes of a function's derivatives; "" for what computes its own gradient."""
    forms = [suffix for suffix in DERIVATIVES if f"{name}_{suffix}" in found]
    alone = f"inputs_{name}" in found or hasattr(found[name], "gradcheck_inputs")
    return forms or [""] * alone


def _title(name: str, suffix: str, subjects: list[tuple[str, str]]) -> str:
    """The name of a function, with the derivative's suffix if it has several."""
    several = sum(other == name for other, _ in subjects) > 1
    return f"{name}_{suffix}" if several else name


def _without_a_forward(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Backwards and inputs of functions that do not exist: probably misspelt."""
    for name in found:
        f = name.removesuffix("_backward")
        if f != name and f not in found:
            yield name, f"{name} has no {f} beside it"
        f = name.removeprefix("inputs_")
        if f != name and f not in found:
            yield name, f"there is no {f} for {name}"


def _check(
    found: Mapping[str, Any], name: str, suffix: str, title: str, path: Path, seed: int
) -> Report:
    f, options = found[name], {"seed": seed, "name": title}
    if f"inputs_{name}" in found:
        drawn = called(f"inputs_{name}", found[f"inputs_{name}"])
    elif specs := getattr(f, "gradcheck_inputs", None):
        drawn = draw(specs, seed)
        options["batch"] = [key for key, spec in specs.items() if spec.startswith("B")]
        options["wrt"] = getattr(f, "gradcheck_gradients", None) or None
    else:
        raise InputError(
            f"{path}: {name} has no inputs: add a function inputs_{name}() that returns a dict "
            "of arrays, or the decorator scratchvae.gradcheck.inputs with their shapes"
        )
    if suffix:
        if suffix == "backward" and not isinstance(drawn, Mapping):
            drawn = named(f, drawn)
        report = DERIVATIVES[suffix](f, found[f"{name}_{suffix}"], drawn, **options)
    else:
        report = _alone(f, drawn, options)
    wrong = {leaf.name for leaf in report.leaves if leaf.verdict not in GOOD}
    if wrong and f"hints_{name}" in found:
        try:
            hint = f"hint: {called(f'hints_{name}', found[f'hints_{name}'], wrong)}"
        except Raised as error:
            hint = str(error)
        report = replace(report, notes=(*report.notes, hint))
    return report


def _alone(f: Any, drawn: Any, options: dict[str, Any]) -> Report:
    """Check a subject that computes its own gradient."""
    frameworks = _frameworks(f, drawn)
    if frameworks & {"jax", "jaxlib"}:
        return check_jax(f, drawn, **options)
    if "torch" in frameworks:
        return check_torch(f, drawn, **options)
    layer = _made(f, options["name"]) if isinstance(f, type) else f
    if hasattr(layer, "backward"):
        return check_layer(layer, drawn, **options)
    if not inspect.isfunction(f):
        raise InputError(f"{options['name']} is not a function and has no method backward")
    try:
        return check_loss(f, drawn, **options)
    except InputError as error:
        name = options["name"]
        raise InputError(
            f"{name} has no {name}_backward beside it, and {error}; for a PyTorch or JAX function, "
            f"return its kind of arrays from inputs_{name}()"
        ) from None


def _made(layer: type, name: str) -> Any:
    try:
        return called(f"{name}()", layer)
    except Raised as error:
        if isinstance(error.__cause__, TypeError) and error.where == COMPILED:
            text = f"{name} cannot be constructed without arguments: {error.__cause__}"
            raise Raised(f"{text}; check an object of it") from None
        raise


def _frameworks(f: Any, drawn: Any) -> set[str]:
    """The packages of a subject, of its inputs and of its output."""
    known = [f, *(leaf for _, leaf in trees.walk(drawn))]
    if inspect.isfunction(f) and isinstance(drawn, Mapping):
        known.append(called(f.__name__, f, **drawn))
    return {type(it).__module__.partition(".")[0] for it in known}


def _run(path: Path) -> dict[str, Any]:
    """What the file itself defines, in file order."""
    if not path.exists():
        raise InputError(f"there is no file or folder {path}: check the path")
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"{path} is not a Python file: check the path")
    # as for a script, so that it finds its neighbours
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        found = called(path.name, run_path, str(path.absolute()), run_name=path.stem)
    except Raised as error:
        if isinstance(error.__cause__, SystemExit):
            text = f"{path} calls sys.exit before its pairs are checked"
            raise InputError(text) from None
        raise InputError(f"{path} does not run: {error.what}") from None
    finally:
        sys.path.pop(0)
    return {
        name: value
        for name, value in found.items()
        if getattr(value, "__module__", None) == path.stem or f"inputs_{name}" in found
    }
