"""What this package proves of itself: the checks of its ops and models, and bugs for them to find.

`ops.py` and `model.py` apply the gradient checker, `meaning.py` tests what differences cannot see,
`known_bugs.py` holds bugs that the checks must find, and `table.py` prints all of it. No checker
of other people's functions belongs here (that is `gradcheck`), and nothing that a model needs.
"""

from typing import TYPE_CHECKING

from ..startup import importer

if TYPE_CHECKING:
    from .known_bugs import BUGS

__all__ = ["BUGS"]


if not TYPE_CHECKING:  # a type checker would take any name for a public one
    __getattr__ = importer(__name__, {"BUGS": ".known_bugs"})
