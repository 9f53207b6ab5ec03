"""The package checks itself: its ops, its models, and the checks themselves on known bugs.

`ops.py` and `model.py` apply the gradient checker, `meaning.py` tests what finite differences
cannot see, `known_bugs.py` holds bugs that the checks must find, and `table.py` prints the results.
Checks of users' functions belong in `gradcheck`; nothing here is needed by a model.
"""

from typing import TYPE_CHECKING

from ..startup import importer

if TYPE_CHECKING:
    from .known_bugs import BUGS

__all__ = ["BUGS"]


if not TYPE_CHECKING:  # a type checker would take any name for a public one
    __getattr__ = importer(__name__, {"BUGS": ".known_bugs"})
