"""Errors, warnings, and output to the terminal.

The command line prints each error as one line. Colours are used only on a terminal, so a file or a
pipe gets no control characters; the variable NO_COLOR (no-color.org) disables them.
"""

import os
import sys
import warnings
from math import inf
from numbers import Integral
from operator import index, methodcaller
from typing import Any, TextIO

MAX_MESSAGE = 500  # characters of a message that quotes a file
RED, GREEN, YELLOW = 31, 32, 33


class InputError(ValueError):
    """Invalid input. The message says what is wrong and what to do."""


# in a module's globals, hides its frames from pytest's tracebacks of an InputError
__tracebackhide__ = hidden = methodcaller("errisinstance", InputError)


class InputTypeError(InputError, TypeError):
    """Invalid input where Python raises TypeError: an unknown argument, or not a number."""


def printable(text: str) -> str:
    """A text of others as a terminal may show it: control characters and the like are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _FileError(InputError):
    """The message may quote a file: control characters are escaped, and a long text is cut."""

    def __init__(self, message: str) -> None:
        shown = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]} ..."
        super().__init__(printable(shown))


class DataError(_FileError):
    """A data file is missing, damaged, or of the wrong format."""


class CheckpointError(_FileError):
    """A checkpoint is missing, damaged, of another version, or of another shape."""


class DamagedError(CheckpointError):
    """A checkpoint is damaged; an older one may be intact."""


class DataWarning(UserWarning):
    """The data are valid, but a model would probably learn them badly."""


class RowWarning(DataWarning):
    """A DataWarning about the row of this number, from 0, whose name replaces {} in the text."""

    def __init__(self, text: str, row: int) -> None:
        super().__init__(text.replace("{}", f"row {row} (counted from 0)", 1))
        self.text, self.row = text, row


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged, and another one is used instead."""


class NonFiniteError(ArithmeticError):
    """A NaN or infinity in training. The message names the epoch, step and first tensor."""


MAX_COUNT = 2**31 - 1
MAX_SEED = 2**64 - 1


def whole_number(value: Any, name: str, least: int = 1) -> int:
    """The value as an int. Raises InputError unless it is a whole number in [least, MAX_COUNT]."""
    try:
        number = least - 1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= MAX_COUNT:
        limit = f" and <= {MAX_COUNT}" if number > MAX_COUNT else ""
        raise InputError(f"{name} must be a whole number >= {least}{limit}, got {value!r}")
    return number


def check_seed(seed: Any) -> int:
    """The seed as an int. Raises InputError unless it is a whole number from 0 to 2**64 - 1."""
    number = int(seed) if isinstance(seed, Integral) and not isinstance(seed, bool) else -1
    if not 0 <= number <= MAX_SEED:
        raise InputError(f"seed must be a whole number from 0 to 2**64 - 1, got {seed!r}")
    return number


def finite_number(value: Any, name: str, *, above: float | None = None) -> float:
    """The value as a float. Raises InputError unless it is finite and >= 0 (or > `above`)."""
    try:
        number = -inf if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = -inf
    if not (number < inf and (number >= 0 if above is None else number > above)):
        wanted = ">= 0" if above is None else f"> {above:g}"
        raise InputError(f"{name} must be a finite number {wanted}, got {value!r}")
    return number


def tinted(text: str, colour: int, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream (default: stdout) is a terminal with colours."""
    stream = stream or sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or os.name == "nt"
    return text if plain or not stream.isatty() else f"\x1b[{colour}m{text}\x1b[0m"


def warn_of_data(text: str, row: int | None = None) -> None:
    """A DataWarning, or for a row a RowWarning, at the line outside this package that led to it."""
    from inspect import currentframe  # lazily: slow to import, and rarely needed

    level, frame = 1, currentframe()
    while frame and frame.f_globals["__name__"].partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    message = DataWarning(text) if row is None else RowWarning(text, row)
    warnings.warn(message, stacklevel=level)


def warn(text: str) -> None:
    """Print a warning to stderr, as safely as `say`."""
    say(f"scratchvae: {tinted('warning:', YELLOW, sys.stderr)} {text}", sys.stderr)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line (default: to stdout). A closed pipe or a full disk does not stop training."""
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:  # the reading process ended (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:  # a full disk: the buffer is written once there is space
        pass
