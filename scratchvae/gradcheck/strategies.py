"""Hypothesis strategies that draw inputs for a gradient check; needs the package hypothesis.

    @given(inputs(x="BI", W="IO", b="O"))
    def test_linear(drawn):
        check(linear, linear_backward, drawn).raise_if_failed()

Sizes are drawn too, and a failure shrinks to the smallest sizes that fail: a bug that needs two
rows and three columns is shown with two rows and three columns.
"""

import sys
from typing import Any

from hypothesis import strategies as st

from ..backend.registry import OPS
from ..errors import InputError
from .suites.random_inputs import draw


def inputs(sizes: tuple[int, int] = (1, 5), /, **specs: str) -> st.SearchStrategy[Any]:
    """Dicts of name to float64 array, for shapes and domains such as x="BI", p="BD in (0,1)".

    Each letter is a size within the range `sizes`, the same wherever it appears. Values are
    standard normal, or uniform in the domain.
    """
    if not specs:
        raise InputError('inputs() needs the shape of each input, such as x="BI"')
    draw(specs)  # raises for an unknown shape or domain
    letters = sorted({letter for spec in specs.values() for letter in spec.split(" ")[0]} - {"1"})
    size = st.integers(*sizes)
    chosen = st.fixed_dictionaries(dict.fromkeys(letters, size))
    return st.builds(lambda sizes, seed: draw(specs, seed, sizes), chosen, st.integers(0, 2**16))


def inputs_of(f: Any, sizes: tuple[int, int] = (1, 5), /) -> st.SearchStrategy[Any]:
    """The same for a named op of this package, or a function with the decorator `inputs`."""
    specs = getattr(f, "gradcheck_inputs", None)
    if isinstance(f, str):
        getattr(sys.modules[__package__], "check_op", None)  # imports the ops: see `provide`
        specs = OPS[f].inputs if f in OPS else None
    if specs is None:
        raise InputError(f"{f!r} has no shapes: decorate it with scratchvae.gradcheck.inputs")
    return inputs(sizes, **specs)
