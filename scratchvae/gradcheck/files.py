"""Checks every pair `f` / `f_backward` in a file: what `scratchvae verify FILE.py` does.

The inputs of a pair come from a function `inputs_f()` beside it, which returns a dict of name to
array, or from shapes given to the decorator `inputs`. A function `hints_f(wrong)`, of the set of
names whose gradients are wrong, may add a sentence of the teacher's. The file is run like a script;
nothing else is executed.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from typing import Any

from ..errors import InputError
from .checker import check
from .random_inputs import draw
from .report import GOOD, Report

# what running a user's file may raise; KeyboardInterrupt and SystemExit pass through
USER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ExceptionGroup,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
)


def check_file(path: str | Path, *, seed: int = 0) -> Iterator[Report]:
    """A report for each pair in the file, in the order in which the forwards stand there.

    Raises InputError where the file cannot be run or holds no pair, and, after the reports of all
    the others, where a pair cannot be checked.
    """
    path = Path(os.path.expanduser(path))
    functions = _functions(path)
    names = [name for name in functions if f"{name}_backward" in functions]
    if not names:
        raise InputError(
            f"{path} holds no pair f, f_backward: name each backward after its forward"
        )
    refused = []
    for name in names:
        try:
            yield _check(functions, name, path, seed)
        except InputError as error:
            refused.append(str(error))
        except USER_ERRORS as error:
            yield Report(name, violations=(_crash(error, path),))
    if refused:
        raise InputError("; ".join(refused))


def _check(functions: Mapping[str, Callable[..., Any]], name: str, path: Path, seed: int) -> Report:
    f, f_backward = functions[name], functions[f"{name}_backward"]
    if f"inputs_{name}" in functions:
        drawn, batch = functions[f"inputs_{name}"](), []
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
        hint = f"hint: {functions[f'hints_{name}'](wrong)}"
        report = replace(report, notes=(*report.notes, hint))
    return report


def _crash(error: Exception, path: Path) -> str:
    """What a pair raised, and in which line of its file."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == path.resolve()]
    frame = (own or frames)[-1]
    if isinstance(error, NotImplementedError):
        return f"{frame.name} is not written yet: {str(error) or 'it raises NotImplementedError'}"
    kind = type(error).__name__
    return f"{frame.name} raises {kind} in line {frame.lineno}: {frame.line}: {error}"


def _functions(path: Path) -> dict[str, Callable[..., Any]]:
    """The functions that the file itself defines, in its order."""
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"{path} is no Python file: check the path")
    # as for a script, so that it finds its neighbours
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        found = run_path(str(path.absolute()), run_name=path.stem)
    except SystemExit:
        raise InputError(f"{path} ends by itself (sys.exit) before its pairs are checked") from None
    except USER_ERRORS as error:
        raise InputError(f"{path} does not run: {type(error).__name__}: {error}") from None
    finally:
        sys.path.pop(0)
    own = {name: f for name, f in found.items() if inspect.isfunction(f)}
    return {name: f for name, f in own.items() if f.__module__ == path.stem}
