"""What the command line takes as an argument, and how it says what is wrong with one."""

import argparse
from typing import Any, NoReturn

from ..errors import InputError


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # what no command takes is found by the top parser, whose own help has no options
        which = " COMMAND" if self._subparsers and message.startswith("unrecognized") else ""
        raise InputError(f"{message} (see {self.prog}{which} --help)")


def number_of(kind: type, least: float | None = None) -> Any:
    """An argparse type that names what is wrong with the value."""

    def convert(text: str) -> Any:
        try:
            number = kind(text)
            if least is not None and number < least:
                raise ValueError
        except ValueError:
            noun = "a whole number" if kind is int else "a number"
            bound = "" if least is None else f" >= {least:g}"
            raise argparse.ArgumentTypeError(f"{noun}{bound} is needed, got {text!r}") from None
        return number

    return convert


def widths(text: str) -> tuple[int, ...]:
    """ "400" or "512,256": layer widths; "none": no hidden layer."""
    if text == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"widths such as 400 or 512,256, or none; got {text!r}"
        ) from None


def names(text: str) -> tuple[str, ...]:
    """ "3" or "3,5": labels as the user writes them."""
    labels = tuple(part.strip() for part in text.split(","))
    if not all(labels):
        raise argparse.ArgumentTypeError(f"labels such as 3 or 3,5; got {text!r}")
    return labels
