"""The table of bugs, and the decorator that enters one by the name of its function."""

from collections.abc import Callable
from contextlib import AbstractContextManager

BUGS: dict[str, Callable[[], AbstractContextManager]] = {}


def bug(switch: Callable[[], AbstractContextManager]) -> Callable[[], AbstractContextManager]:
    BUGS[switch.__name__.replace("_", " ")] = switch
    return switch
