"""`Pair`: a forward and its backward, and one way to call them.

Whatever the two functions raise becomes `Raised`, with one sentence that names the line.
"""

import inspect
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from pathlib import Path
from textwrap import shorten
from traceback import extract_tb
from typing import Any

import numpy as np

from ..backend import Array, array_module
from ..backend.registry import keyword_only
from ..errors import InputError, hidden
from . import trees

__tracebackhide__ = hidden

SIZES = ("shape", "size", "align", "broadcast", "dimension")  # of what an error message speaks
NO_FLOATS = "no input is floating point, so there is no gradient"
INSTALLED = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))
LIBRARIES = ("<", *INSTALLED, str(Path(__file__).parents[1]))
WIDTH = 100  # of a line of code that is quoted
COMPILED = "in compiled code"  # where an error is raised that has no line
NOT_WRITTEN = "is not written yet"  # a NotImplementedError of the function itself


class Raised(Exception):
    """A function under test raised. The message says what, and in which line of its file."""

    def __init__(self, text: str, what: str = "", where: str = "") -> None:
        super().__init__(text)
        self.what, self.where = what, where


class Changed(Raised):
    """A backward returned gradients of other inputs or shapes than on its first call."""


def called(who: str, f: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    """f(*arguments, **named). Raises Raised if f raises anything."""
    try:
        return f(*arguments, **named)
    except Raised:
        raise
    except (
        Exception,
        SystemExit,
    ) as error:  # f is not this package's: whatever it raises is a finding about it
        kind, text, where = type(error).__name__, " ".join(str(error).split()), _line(error, f)
        if (
            isinstance(error, NotImplementedError)
            and where.startswith("in line")
            and " of " not in where.split(":")[0]
        ):
            raise Raised(f"{who} {NOT_WRITTEN}" + f": {text}" * bool(text)) from error
        what = f"{kind}: {text}" if text else kind
        if any(word in text for word in SIZES):
            named = dict.fromkeys(["dy"], *arguments) | named if arguments else named
            shapes = [f"{n} {a.shape}" for n, a in named.items() if hasattr(a, "shape")]
            text += f"; it was called with {', '.join(shapes)}"
        raise Raised(
            f"{who} raises {kind} {where}" + f": {text}" * bool(text), what, where
        ) from error


def _line(error: BaseException, f: Callable[..., Any]) -> str:
    """The innermost line that a user wrote: in the file of f, or in one outside the libraries.

    f.under_test, if set, is the user's function that f calls.
    """
    f = getattr(f, "under_test", f)
    frames = extract_tb(error.__traceback__)[1:]  # without that of `called`
    file = getattr(getattr(f, "__code__", None), "co_filename", "")
    own = [x for x in frames if x.filename == file or not x.filename.startswith(LIBRARIES)]
    if not own:
        return "where it is called" if frames else COMPILED
    last = own[-1]
    of = "" if last.filename == file else f" of {Path(last.filename).name}"
    return f"in line {last.lineno}{of}: {shorten(last.line or '', WIDTH, placeholder=' ...')}"


class Pair:
    """f and f_backward with the inputs at which they are checked, as functions of arrays by path.

    tree      the inputs as given: nested, non-arrays included
    given     their arrays, copied, by path: the name of an input, or "layers.0.W" within one
    inputs    the same with floating-point arrays in float64
    floats    paths of the finite floating-point arrays
    endless   paths of those that contain NaN or infinity, which are held constant
    wrt       names of the inputs whose gradients are asked for; None: whatever is returned
    notes     what is worth knowing, but not wrong
    coarse    eps of gradients that are less precise than their inputs, by name
    nothing   names of the inputs for which backward returned None, which means zero
    """

    def __init__(
        self,
        f: Callable[..., Array],
        f_backward: Callable[..., Any],
        inputs: Mapping[str, Array],
        name: str,
        wrt: Iterable[str] | None = None,
        conjugate: bool = False,
    ) -> None:
        self.f, self.f_backward = f, f_backward
        self.name = name or getattr(f, "__name__", "the forward")
        self.back = getattr(f_backward, "__name__", "the backward")
        self.notes: list[str] = []
        self.coarse: dict[str, float] = {}
        self.nothing: set[str] = set()
        self.first: set[str] = set()  # names of the gradients that the first call returned
        self.changed: list[str] = []  # what the first call of backward wrote into
        self.writes = False  # whether backward writes into what it is given
        self.broken: set[str] = set()  # of gradients that cannot be compared
        if not isinstance(inputs, Mapping) or not inputs:
            raise InputError(f"{self.name}: inputs must be a non-empty dict of name to array")
        self.tree = dict(inputs)
        self.i = -1j if conjugate else 1j  # as it enters upstream gradients and gradients
        self.nested = False  # whether the output is, or is complex
        self.twofold = False  # whether there are two outputs
        self.has_complex = trees.has_complex(self.tree)
        self.given = trees.arrays(self.tree)
        floats = [n for n, a in self.given.items() if a.dtype.kind == "f"]
        finite = {
            n: bool(array_module(self.given[n]).isfinite(self.given[n]).all()) for n in floats
        }
        self.floats = tuple(n for n in floats if finite[n])
        self.endless = tuple(n for n in floats if not finite[n])  # constants: they cannot be moved
        if not self.floats:
            what = f"the input {floats[0]} contains NaN or infinity" if floats else NO_FLOATS
            raise InputError(f"{self.name}: {what}")
        self.wrt = None if wrt is None else trees.under(wrt, self.floats)
        self.heads = [n for n in self.tree if trees.under([n], self.floats)]
        self.numbers = {n for n in self.tree if trees.only_numbers(self.tree[n])}
        self.inputs = {
            n: a.astype("float64") if a.dtype.kind == "f" else a for n, a in self.given.items()
        }
        try:
            inspect.signature(f).bind(**inputs)
        except TypeError as error:
            hint = "; wrap it in a lambda" if "positional only" in str(error) else ""
            names = ", ".join(inputs)
            raise InputError(f"{self.name} cannot be called with {names}: {error}{hint}") from None
        self.needs = self._needs()
        if inspect.ismethod(f) and not isinstance(f.__self__, type):
            text = f"{self.name} is a method: check_layer also checks the parameters of its object"
            self.notes.append(text)

    def _needs(self) -> list[str]:
        """Names of what backward is called with, after the upstream gradient."""
        parameters = list(inspect.signature(self.f_backward).parameters.values())
        if any(p.kind is p.VAR_POSITIONAL for p in parameters) or not parameters:
            raise InputError(f"{self.back} must name its arguments: dy, then inputs of the forward")
        first, *others = parameters
        if first.name in {*self.tree, "y"} and first.name != "dy":
            what = "an input of the forward" if first.name in self.tree else "the output"
            raise InputError(
                f"the first argument of {self.back} must be the upstream gradient, but it is "
                f"{first.name}, {what}: add an argument dy before it"
            )
        known = {*self.tree, "y"}
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in others if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        required = [p.name for p in named if p.default is p.empty or p.name == "cache"]
        if missing := [name for name in required if name not in {*known, "cache"}]:
            names = ", ".join(sorted(known))
            raise InputError(
                f"{self.back} asks for {', '.join(missing)}, but after the upstream gradient there "
                f"are only {names} (and cache, if forward returns y, cache)"
            )
        # an argument y with a default is one of theirs, labels for example, and not the output
        asked = [p.name for p in named if p.name in self.tree or p.name in required]
        return list(dict.fromkeys([*asked, *self.tree])) if takes_all else asked

    def of(self, f: Callable[..., Any]) -> "Pair":
        """The same with another forward, which returns no cache."""
        other = copy(self)
        other.f, other.needs = f, []
        return other

    def _called(self, inputs: Mapping[str, Array]) -> tuple[Any, Any]:
        """What forward returns, and the cache of those that return one beside it."""
        out = called(self.name, self.f, **trees.rebuild(self.tree, inputs))
        if "cache" not in self.needs or "cache" in self.tree:
            return out, None
        if not isinstance(out, tuple) or len(out) != 2:
            raise InputError(f"{self.back} asks for cache, so {self.name} must return (y, cache)")
        return out

    def forward(self, inputs: Mapping[str, Array]) -> Array:
        """The output, copied: forward may use the same memory again. Nested ones are a vector."""
        y, _ = self._called(inputs)
        if trees.is_tree(y) or np.iscomplexobj(y):
            self.nested, self.twofold = True, isinstance(y, tuple) and len(y) == 2
            self.has_complex |= trees.has_complex(y)
            y = trees.joined(y)
        elif array_module(y) is np:
            y = np.asanyarray(y)
        if y is None or y.dtype.kind != "f":
            what = "none" if y is None else y.dtype
            raise InputError(f"{self.name} should return floating-point arrays, got {what}")
        return y.copy()

    def backward(
        self, dy: Array, inputs: Mapping[str, Array], y: Array | None = None
    ) -> dict[str, Array]:
        """Gradients by input name, copied: backward may use the same memory again.

        Raises Changed if their inputs or shapes differ from those of the first call.
        """
        if self.writes:
            dy, inputs = dy.copy(), {n: a.copy() for n, a in inputs.items()}
        found = self.returned(dy, inputs, y)
        if found.keys() != self.first:
            raise Changed(f"{self.back} returns gradients of other inputs than on its first call")
        if bad := [n for n, g in found.items() if g.shape != inputs[n].shape]:
            shape = found[bad[0]].shape
            raise Changed(f"d{bad[0]} has shape {shape}, but {bad[0]} has {inputs[bad[0]].shape}")
        return {n: g.copy() for n, g in found.items()}

    def returned(
        self, dy: Array, inputs: Mapping[str, Array], y: Array | None = None
    ) -> dict[str, Array]:
        """Gradients by input name, in the memory that backward returned; zeros for None."""
        cache = None
        if self.nested or "cache" in self.needs:
            y, cache = self._called(inputs)
        elif y is None and "y" in self.needs:
            y = self.forward(inputs)
        # the product of a 0-d array and a number is none
        dy = trees.split(y, dy, self.i) if self.nested else array_module(dy).asarray(dy)
        arguments = {"y": y, "cache": cache, **trees.rebuild(self.tree, inputs)}
        passed = {n: arguments[n] for n in self.needs}
        # what is nested or complex is handed on as a copy: who writes into that is found here
        copied = self.nested or self.has_complex or cache is not None
        watched = {"dy": dy, **passed} if copied and not self.first else {}
        before = {n: trees.bits(a) for n, a in watched.items()}
        out = called(self.back, self.f_backward, dy, **passed)
        self.changed += [n for n, a in watched.items() if trees.bits(a) != before[n]]
        named: dict[str, Any] = {}
        for name, g in self.named(out).items():
            inner = name in self.tree
            named |= trees.matched(self.tree[name], g, name, self.i) if inner else {name: g}
        known = {*self.floats, *self.endless}
        if odd := [n for n, g in named.items() if n not in known and g is not None]:
            what = ", ".join(map(str, odd))
            raise InputError(f"{self.back} returns a gradient of {what}, no floating-point input")
        named = {n: g for n, g in named.items() if n in self.floats and n not in self.broken}
        self.first = self.first or set(named)
        if all(g is None for g in named.values()):
            if hint := getattr(self.f_backward, "hint", ""):
                text = f"{self.back} returned None for {', '.join(named)}"
                raise InputError(f"{text}, which requires a gradient: {hint}")
            raise InputError(f"{self.back} returns no gradient: is its return missing?")
        self.nothing |= {n for n, g in named.items() if g is None}
        return {
            n: inputs[n] * 0 if g is None else np.asarray(g) if isinstance(g, (float, int)) else g
            for n, g in named.items()
        }

    def named(self, out: Any) -> dict[str, Any]:
        """What backward returned, by input name; a tuple is in the order of the `d*` arguments."""
        if out is None:
            raise InputError(f"{self.back} returns no gradient: is its return missing?")
        only = self.tree[self.heads[0]] if len(self.heads) == 1 else None
        if isinstance(out, Mapping):
            by_d = {f"d{n}": n for n in self.tree if f"d{n}" not in self.tree}
            by_name = {by_d.get(str(n), str(n)): g for n, g in out.items()}
            if len(by_name) < len(out):
                raise InputError(
                    f"{self.back} returns two gradients for one input: {', '.join(out)}"
                )
            if isinstance(only, Mapping) and not by_name.keys() & {*self.tree, *self.given}:
                return {self.heads[0]: out}
            return by_name
        names = [name[1:] for name in keyword_only(self.f_backward) if name[0] == "d"]
        names = names or self.heads
        values = out if isinstance(out, (tuple, list)) else (out,)
        if trees.is_tree(only) and not isinstance(only, Mapping) and len(values) == len(only or ()):
            return {self.heads[0]: out}
        fewer = (
            [n for n in names if trees.under([n], self.wrt or ())],
            [n for n in names if n not in self.numbers],
        )
        for some in (names, list(self.tree), *fewer):
            if len(values) == len(some):
                return dict(zip(some, values, strict=True))
        raise InputError(
            f"{self.back} returned {len(values)} gradients, but there should be {len(names)}: "
            f"{', '.join(names)}; if some are constants, return a dict of the others by name, or "
            "list the others in wrt"
        )
