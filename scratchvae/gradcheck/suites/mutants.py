"""Mutation testing of gradient tests: backwards made wrong on purpose.

A passing test means something only if it fails when a gradient is wrong. `mutation_score` makes one
gradient wrong after the other and counts how many of these mutants the test catches.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend import Array, array_module, to_numpy
from ...errors import InputError
from ..pair import Pair, Raised, called
from ..report import GOOD, Report

LEAST_CHANGE = 1e-9  # relative: a mutant that changes the gradient by less is left out


def _entry(g: Array, k: int) -> Array:
    """True at entry k, False elsewhere."""
    return (array_module(g).arange(g.size) == k).reshape(g.shape)


def _last_row_lost(g: Array, ones: Callable[[], Array]) -> Array:
    g = g.copy()
    g[-1:] = 0
    return g


# of the gradient g; ones() is the same for an upstream gradient of ones
MUTANTS: dict[str, Callable[[Array, Callable[[], Array]], Array]] = {
    "x 2": lambda g, ones: 2 * g,
    "/ 2": lambda g, ones: g / 2,
    "sign": lambda g, ones: -g,
    "+ 1 %": lambda g, ones: 1.01 * g,
    "+ 0.1 %": lambda g, ones: 1.001 * g,
    "x 1.0001": lambda g, ones: 1.0001 * g,
    "zero": lambda g, ones: 0 * g,
    "transposed": lambda g, ones: g.T.copy().reshape(g.shape),
    "one entry 10 % off": lambda g, ones: g * (1 + 0.1 * _entry(g, int(abs(g).argmax()))),
    "NaN in one entry": lambda g, ones: array_module(g).where(_entry(g, 0), np.nan, g),
    "mean for sum": lambda g, ones: g / 4,
    "rolled": lambda g, ones: array_module(g).roll(g, 1, axis=0) if g.ndim else g,
    "+ 1 % offset": lambda g, ones: g + 0.01 * array_module(g).sqrt((g * g).mean()),
    "last row lost": lambda g, ones: _last_row_lost(g, ones) if g.ndim else 0 * g,
    "upstream ignored": lambda g, ones: ones(),
}

Backward = Callable[..., Any]


def mutants(
    f: Callable[..., Array], f_backward: Backward, inputs: Mapping[str, Array], name: str = ""
) -> Iterator[tuple[str, str, Backward]]:
    """Name of the gradient, name of the mutant, and a backward called like the right one.

    Mutants that change nothing at these inputs are left out: a transpose of a symmetric matrix.
    """
    pair = Pair(f, f_backward, inputs, name)
    y = pair.forward(pair.given)
    dy = array_module(y).asarray(np.random.default_rng(0).standard_normal(y.shape), dtype=y.dtype)
    right = pair.backward(dy, pair.given, y)
    for leaf in right:
        for mutant in MUTANTS:
            wrong = _mutated(pair, leaf, mutant)
            with np.errstate(all="ignore"):
                mutated = Pair(f, wrong, inputs, name).backward(dy, pair.given, y)
            g, h = to_numpy(right[leaf]), to_numpy(mutated[leaf])
            if not np.linalg.norm(g - h) <= LEAST_CHANGE * np.linalg.norm(g):
                yield leaf, mutant, wrong


def _mutated(pair: Pair, leaf: str, mutant: str) -> Backward:
    change = MUTANTS[mutant]

    @functools.wraps(pair.f_backward)
    def wrong(dy: Array, *args: Any, **kwargs: Any) -> Any:
        def ones() -> Array:
            free = {n: a for n, a in kwargs.items() if n[:1] != "d" or n[1:] not in pair.floats}
            return pair.named(pair.f_backward(array_module(dy).ones_like(dy), *args, **free))[leaf]

        out = pair.f_backward(dy, *args, **kwargs)
        gradients = pair.named(out)
        g = gradients[leaf] if hasattr(gradients[leaf], "dtype") else np.asarray(gradients[leaf])
        changed = array_module(g).asarray(change(g, ones), dtype=g.dtype)
        if hasattr(kwargs.get(f"d{leaf}"), "dtype"):  # a destination: the gradient is written there
            g[...] = changed
        else:
            gradients[leaf] = changed
        if isinstance(out, Mapping):
            return gradients
        return tuple(gradients.values()) if isinstance(out, (tuple, list)) else gradients[leaf]

    return wrong


@dataclass(frozen=True)
class MutationScore:
    """How many wrong backwards a test caught, and which it let pass."""

    name: str
    killed: int
    survivors: tuple[str, ...]

    @property
    def total(self) -> int:
        return self.killed + len(self.survivors)

    @property
    def score(self) -> float:
        return self.killed / self.total

    def __str__(self) -> str:
        head = f"{self.name}: {self.killed} of {self.total} wrong gradients caught"
        return "\n  ".join([head, *(f"not caught: {text}" for text in self.survivors)])


def mutation_score(
    f: Callable[..., Array],
    f_backward: Backward,
    inputs: Mapping[str, Array],
    test: Callable[..., Any],
) -> MutationScore:
    """How many wrong backwards a test of yours catches, one gradient wrong at a time.

    test(f, f_backward, inputs) catches a backward by raising, or by returning False or a report
    whose verdict is not PASS, KINK or ACCEPTED, so `check` itself is such a test. Raises InputError
    if the test fails the unmodified backward.
    """
    pair = Pair(f, f_backward, inputs, "")
    if why := _failure(test, f, f_backward, inputs):
        what = f"the test fails the unmodified {pair.back}, so a mutation score means nothing"
        raise InputError(f"{pair.name}: {what} ({why})")
    killed, survivors = 0, []
    for leaf, mutant, wrong in mutants(f, f_backward, inputs):
        if _failure(test, f, wrong, inputs):
            killed += 1
        else:
            survivors.append(f"d{leaf} {mutant}")
    if not killed and not survivors:
        raise InputError(f"{pair.name} has no gradient that can be made wrong at these inputs")
    return MutationScore(pair.name, killed, tuple(survivors))


def _failure(
    test: Callable[..., Any], f: Callable[..., Array], f_backward: Backward, inputs: Any
) -> str:
    """How the test fails, or "" if it passes."""
    pytest: Any = sys.modules.get("pytest")  # whose fail and raises do not raise an Exception
    failures = (Raised, *([pytest.fail.Exception] if pytest else []))
    try:
        found = called("the test", test, f, f_backward, deepcopy(dict(inputs)))
        if isinstance(found, Report):
            passes = found.verdict in GOOD
        else:
            passes = found is None or bool(np.all(found))
    except failures as error:
        return error.what if isinstance(error, Raised) else f"{type(error).__name__}: {error}"
    return "" if passes else "it returns False, or a report that is not PASS"
