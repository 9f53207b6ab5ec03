"""What the adapters of `wild.py` are made of: a pair, and ways to find foreign modules.

An adapter is a module of this folder with SOURCE, the folder or distribution that it adapts, and
`pairs(root)`, which yields pairs. It may say in NOTE what it had to put right before the code ran
under today's Python and NumPy. Nothing of the adapted code stands here: it is imported by path.
"""

import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Pair:
    """A function and its gradient, and what is known about them if the gradient is wrong.

    run(**inputs) returns the output and a function that takes the upstream gradient and returns a
    dict of gradients by input name.

    cause     of the error, found by reading the code; "" if none was found
    says      a regular expression that the right diagnosis matches
    breaks    a regular expression for a violation of the contract that is really there, or for the
              exception of a backward that fails
    """

    name: str
    run: Callable[..., tuple[Any, Callable[[np.ndarray], Mapping[str, Any]]]]
    inputs: Mapping[str, np.ndarray]
    cause: str = ""
    says: str = ""
    breaks: str = ""

    def f(self, **inputs):
        return self.run(**inputs)[0]

    def backward(self, dy, **inputs):
        return self.run(**inputs)[1](dy)


def draw(*shape, seed=0, low=None, high=None):
    """Standard normal numbers, or uniform ones between low and high."""
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape) if low is None else rng.uniform(low, high, shape)


def one_hot(rows, classes, seed=0):
    return np.eye(classes)[np.random.default_rng([seed, 7]).integers(classes, size=rows)]


def simplex(rows, classes, seed=0):
    """Rows of probabilities, none near 0."""
    p = draw(rows, classes, seed=seed, low=0.2, high=1.0)
    return p / p.sum(axis=1, keepdims=True)


def elementwise(name, f, derivative, x=None, **known):
    """A pair of y = f(x) and dy * derivative(x)."""

    def run(x):
        return f(x), lambda dy: {"x": dy * derivative(x)}

    return Pair(name, run, {"x": draw(3, 4) if x is None else x}, **known)


def seeded():
    """What a function draws with NumPy's global generator, it draws again in the next call."""
    np.random.seed(0)  # noqa: NPY002 - the code under test uses it


def on_path(*folders):
    """Let the modules of these folders be imported."""
    sys.path[:0] = map(str, folders)


def mended(name, path, *repairs):
    """A module whose text is changed as it is read, by (old, new): Python 2 has no other way."""
    text = path.read_text().expandtabs()
    for old, new in repairs:
        text = text.replace(old, new)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def empty_package(name, folder):
    """A package of which only the modules that are asked for are imported."""
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    return package


def stand_in(name, **members):
    """A module that the code imports and does not need here."""
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module
