"""`Wrong`: a wrong gradient, and what its forward and backward can be asked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

Arrays = Mapping[str, np.ndarray]
Candidates = Iterator[tuple[str, np.ndarray]]  # an explanation, and the gradient if it is true


@dataclass(frozen=True)
class Wrong:
    """A gradient that backward returned, and the numeric one.

    The defaults answer nothing: only a few entries of a large gradient are known, as a vector.

    name          of the input
    a, n          the gradient that backward returned, and the numeric one
    v             the upstream gradient
    arrays        the inputs and the output y by name
    masks         boolean inputs
    others        numeric gradients of other inputs
    numeric_for   n for another upstream gradient
    returned_for  a for another upstream gradient
    without       n with a constant input set to 0, by the name of that input
    changed       a and n for other values of that input, and those values
    jacobian      of the outputs (rows) by the entries of the input, unless it is large
    """

    name: str
    a: np.ndarray
    n: np.ndarray
    v: np.ndarray = field(default_factory=lambda: np.ones(()))
    arrays: Arrays = field(default_factory=dict)
    masks: Arrays = field(default_factory=dict)
    others: Callable[[], Candidates] = lambda: iter(())
    numeric_for: Callable[[np.ndarray], np.ndarray] = lambda v: np.full((), np.inf)
    returned_for: Callable[[np.ndarray], np.ndarray | None] = lambda v: None
    without: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    changed: Callable[[str], tuple[np.ndarray, ...]] = lambda other: 3 * (np.full((), np.inf),)
    jacobian: Callable[[], np.ndarray | None] = lambda: None

    @property
    def alike(self) -> Arrays:
        """The arrays of the gradient's shape."""
        return {name: x for name, x in self.arrays.items() if x.shape == self.a.shape}
