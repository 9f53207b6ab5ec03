"""Checks every pair `f` / `f_backward` in a file: what `scratchvae verify FILE.py` does.

The inputs of a pair come from a function `inputs_f()` beside it, which returns a dict of name to
array, or from shapes given to the decorator `inputs`. A function `hints_f(wrong)`, of the set of
names whose gradients are wrong, may add a sentence of the teacher's. The file is run like a script;
nothing else is executed.
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
from ..checker import check
from ..pair import Raised, called
from ..report import GOOD, Report
from .random_inputs import draw


class Refused(InputError):
    """Some pairs of a file cannot be checked: their names, and why."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(reasons.values()))
        self.reasons = reasons


def check_file(path: str | Path, *, seed: int = 0, only: str = "") -> Iterator[Report]:
    """A report for each pair in the file, in the order in which the forwards stand there.

    only: part of the names of the pairs to check. Raises InputError where the file cannot be run or
    holds no such pair, and, after the reports of all the others, where a pair cannot be checked.
    """
    path = Path(os.path.expanduser(path))
    functions = _functions(path)
    names = [name for name in functions if f"{name}_backward" in functions]
    if not names:
        raise InputError(
            f"{path} holds no pair f, f_backward: name each backward after its forward"
        )
    wanted = [name for name in names if only in name]
    if not wanted:
        raise InputError(f"no pair of {path} has {only!r} in its name: {', '.join(names)}")
    refused = {}
    for name in wanted:
        try:
            yield _check(functions, name, path, seed)
        except Raised as error:
            yield Report(name, raised=str(error))
        except InputError as error:
            refused[name] = str(error)
    if refused:
        raise Refused(refused)


def _check(functions: Mapping[str, Callable[..., Any]], name: str, path: Path, seed: int) -> Report:
    f, f_backward = functions[name], functions[f"{name}_backward"]
    if f"inputs_{name}" in functions:
        drawn, batch = called(f"inputs_{name}", functions[f"inputs_{name}"]), []
    elif specs := getattr(f, "gradcheck_inputs", None):
        drawn = draw(specs, seed)
        batch = [key for key, spec in specs.items() if spec.startswith("B")]
    else:
        raise InputError(
            f"{path}: {name} has no inputs: add a function inputs_{name}() that returns a dict "
            "of arrays, or the decorator scratchvae.gradcheck.inputs with their shapes"
        )
    wrt = getattr(f, "gradcheck_gradients", None) or None
    report = check(f, f_backward, drawn, wrt=wrt, seed=seed, batch=batch)
    wrong = {leaf.name for leaf in report.leaves if leaf.verdict not in GOOD}
    if wrong and f"hints_{name}" in functions:
        hint = f"hint: {called(f'hints_{name}', functions[f'hints_{name}'], wrong)}"
        report = replace(report, notes=(*report.notes, hint))
    return report


def _functions(path: Path) -> dict[str, Callable[..., Any]]:
    """The functions that the file itself defines, in its order."""
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"{path} is no Python file: check the path")
    # as for a script, so that it finds its neighbours
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        found = called(path.name, run_path, str(path.absolute()), run_name=path.stem)
    except SystemExit:
        raise InputError(f"{path} ends by itself (sys.exit) before its pairs are checked") from None
    except Raised as error:
        raise InputError(f"{path} does not run: {error.what}") from None
    finally:
        sys.path.pop(0)
    own = {name: f for name, f in found.items() if inspect.isfunction(f)}
    return {name: f for name, f in own.items() if f.__module__ == path.stem}
