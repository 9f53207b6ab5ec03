"""The kinds of options that commands have, and the types of their arguments."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, get_origin

from ..data.load import SPLITS
from ..errors import InputError
from ..files.home import expanded
from .settings import DEFAULTS, TYPES

# ----------------------------------------------------------------------------- types of arguments


def number_of(kind: type, least: float | None = None) -> Any:
    """An argparse type with a specific error message."""

    def convert(text: str) -> Any:
        with suppress(ValueError):
            number = kind(text)
            if least is None or number >= least:
                return number
        noun = "a whole number" if kind is int else "a number"
        bound = "" if least is None else f" >= {least:g}"
        raise argparse.ArgumentTypeError(f"{noun}{bound} is needed, got {text!r}")

    return convert


def widths(text: str) -> tuple[int, ...]:
    """ "400" or "512,256": layer widths; "none": no hidden layer."""
    with suppress(ValueError):
        return () if text == "none" else tuple(map(int, text.split(",")))
    raise argparse.ArgumentTypeError(f"widths such as 400 or 512,256, or none; got {text!r}")


def names(text: str) -> tuple[str, ...]:
    """ "3" or "3,5": labels or columns, as text."""
    found = tuple(part.strip() for part in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"names such as 3 or 3,5 are needed, got {text!r}")
    return found


def fraction(text: str) -> float:
    """ "0.01": a number between 0 and 1."""
    with suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"a number between 0 and 1 is needed, got {text!r}")


def finite(text: str) -> float:
    """ "12.5": a number that is not NaN or infinite."""
    with suppress(ValueError):
        if isfinite(float(text)):
            return float(text)
    raise argparse.ArgumentTypeError(f"a finite number is needed, got {text!r}")


def place(text: str) -> str:
    """A path, with `~` for the home folder; other names stay as they are."""
    try:
        return expanded(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def file(text: str) -> Path:
    return Path(place(text))


def processes(text: str) -> int | str:
    """ "4", or "auto": as many as there are usable cores."""
    return text if text == "auto" else int(count(text))


count = number_of(int, 1)
index = number_of(int, 0)
FROM_TEXT = {
    int: number_of(int),
    float: number_of(float),
    str: str,
    Sequence[int]: widths,
    Sequence[str]: names,
}


class Extend(argparse.Action):
    """Add the values of an option that is given again to those before it: a tuple."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        before = getattr(namespace, self.dest, None) or ()
        setattr(namespace, self.dest, (*before, *values))


# ---------------------------------------------------------------------------- kinds of options


def option(to: Any, usage: str, text: str, **more: Any) -> None:
    """Add an option, written as "-o/--output FILE"; {default} in its help text is filled in."""
    flags, _, metavar = usage.partition(" ")
    if metavar:
        more["metavar"] = metavar
    help = text.format(default=_written(more.get("default")))
    to.add_argument(*flags.split("/"), help=help, **more)


def switch(to: Any, flag: str, text: str) -> None:
    to.add_argument(flag, action="store_true", help=text)


def setting(to: Any, usage: str, text: str, **more: Any) -> None:
    """Add the option of a setting, with its type and default.

    An option that is not given sets no attribute, so that --resume knows which were given.
    """
    name = usage.split()[0].removeprefix("--").replace("-", "_")
    kind = TYPES[name]
    own: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": FROM_TEXT[kind]}
    if get_origin(kind) is Sequence:
        own["action"] = Extend
    text = text.format(default=_written(DEFAULTS[name]))
    option(to, usage, text, default=argparse.SUPPRESS, **own | more)


def _written(default: Any) -> str:
    """A default in the syntax of the command line."""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def result(to: Any, kinds: str, name: str, default: str | None = None) -> None:
    """Add --output; `result` is the file name without it."""
    option(to, "-o/--output FILE", f"{kinds}; default {default or f'RUN/{name}'}", type=file)
    to.set_defaults(result=name)


def picture(
    to: Any, n: int | None, name: str, text: str = "how many, default {default}",
    kinds: str = ".png, .svg, .pdf or .npy",
) -> None:  # fmt: skip
    """Add -n and --output."""
    option(to, "-n", text, type=count, default=n)
    result(to, kinds, name)


def split(to: Any) -> None:
    text = "rows to take, default test; all of a file in --data that has no splits"
    option(to, "--split", text, choices=tuple(SPLITS))
