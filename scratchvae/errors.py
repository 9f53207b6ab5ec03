"""The ways in which a run is refused or stopped; the command line prints each as one line."""

import struct
import tokenize
import zipfile
import zlib
from math import inf
from operator import index
from typing import Any

LONGEST = 500  # letters of a sentence that quotes a file


class InputError(ValueError):
    """What was given cannot be used. The message says what was wrong and what to do."""


class _FileError(InputError):
    """Its sentence may quote a stranger: a terminal must neither obey nor be flooded."""

    def __init__(self, sentence: str) -> None:
        shown = sentence if len(sentence) <= LONGEST else f"{sentence[:LONGEST]} ..."
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown))


class DataError(_FileError):
    """A data file is missing, damaged, or not what it says it is."""


class CheckpointError(_FileError):
    """A checkpoint is missing, damaged, of another version, or of another shape."""


class DamagedError(CheckpointError):
    """A checkpoint whose bytes are not what was written: one before it may do."""


class CheckpointWarning(UserWarning):
    """A checkpoint was damaged, and another was taken in its place."""


class NonFiniteError(ArithmeticError):
    """Training met a NaN or an infinity. The message names epoch, step and first tensor."""


# what reading a damaged file of NumPy arrays, or of JSON in one, may raise
DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, SyntaxError),
    *(OverflowError, struct.error, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)

MOST = 2**31 - 1  # of anything that is counted here


def whole_number(value: Any, name: str, least: int = 1) -> int:
    """The value as an int, or InputError unless it is a whole number from `least` to MOST."""
    try:
        number = least - 1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= MOST:
        limit = f" and <= {MOST}" if number > MOST else ""
        raise InputError(f"{name} must be a whole number >= {least}{limit}, got {value!r}")
    return number


def finite_number(value: Any, name: str, *, above: float | None = None) -> float:
    """The value as a float, or InputError unless it is finite and >= 0 (or > `above`)."""
    try:
        number = -inf if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = -inf
    if not (number < inf and (number >= 0 if above is None else number > above)):
        wanted = ">= 0" if above is None else f"> {above:g}"
        raise InputError(f"{name} must be a finite number {wanted}, got {value!r}")
    return number
