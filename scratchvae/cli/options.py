"""The names of the commands, the class of their parsers, and the kinds and types of their options.

Importing it does not import NumPy: `scratchvae --help` needs no more than this, and `--threads` is
read before NumPy is imported.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn, get_origin

from ..errors import InputError
from ..files.home import expanded
from ..startup import AUTO
from ..version import __version__

PROG = "scratchvae"
COMMANDS = {  # name: the module that defines the function of that name, and a line of help
    "train": ("train", "Train a model, and save it with its metrics and pictures in a folder."),
    "evaluate": (
        "look",
        "Print the ELBO of the test split, its terms, and how it was measured.",
    ),
    "sample": ("look", "Decode new examples."),
    "reconstruct": ("look", "Encode and decode test examples."),
    "encode": ("look", "Write the code of each row: mu and logvar of q(z|x)."),
    "interpolate": (
        "look",
        "Decode points between the codes of two test examples (cvae, m2: of the same label).",
    ),
    "traverse": ("look", "Vary one active unit at a time around the code of a test example."),
    "manifold": ("look", "Decode a grid over two latent units, at the quantiles of the prior."),
    "explore": (
        "look",
        "Write a web page to explore the latent plane, and one gradient in numbers.",
    ),
    "playground": (
        "look",
        "Write a page for the browser: a small VAE that learns, and bugs to switch on.",
    ),
    "anomaly": ("anomaly", "Score examples by how unlikely they are, and draw the extremes."),
    "export": ("look", "Write the model as a safetensors file for PyTorch and others."),
    "verify": (
        "verify",
        "Check every gradient of this package, or of your files, by finite differences.",
    ),
    "diagram": ("look", "Draw a model with its shapes, its loss and every gradient."),
}
LISTS = ("--drop", "--hidden", "--leave-out", "--anomalous")  # options of several values


class Parser(argparse.ArgumentParser):
    """Raises InputError for what it cannot parse, and suggests the nearest command or option."""

    def error(self, message: str) -> NoReturn:
        word = re.match("argument COMMAND: invalid choice: '(.*?)'", message)
        if word and (near := get_close_matches(word[1], COMMANDS, 1)):
            message = f"unknown command '{word[1]}'; did you mean {near[0]}?"
        raise InputError(f"{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            text = " ".join(unknown)
            hint = self._nearest(unknown[0], self._before(unknown[0], args))
            self.error(f"unrecognized arguments: {text}{hint}")
        return namespace, unknown

    def _before(self, unknown: str, args: Any) -> str:
        """The word two places before an unknown argument: perhaps the option that it belongs to."""
        args = list(sys.argv[1:] if args is None else args)
        at = args.index(unknown) if unknown in args else 0
        return str(args[at - 2]) if at > 1 else ""

    def _nearest(self, unknown: str, before: str) -> str:
        known = re.findall(r"--([a-z][-a-z0-9]*)", self.format_help())
        if not unknown.startswith("-"):
            if before in LISTS and "data" in known:
                return f", separate values by commas, as in {before} A,{unknown}"
            if before == "--data":
                return ": put the files in a folder, and name that"
            fits = "data" in known and _is_data(unknown)
            return f"; did you mean --data {unknown}?" if fits else ""
        from ..models.estimator import OTHER_NAMES  # lazily: it imports NumPy

        name = unknown.partition("=")[0].strip("-").replace("-", "_")
        meant = OTHER_NAMES.get(name, name).replace("_", "-")
        near = [meant] if meant in known else get_close_matches(meant, known, 1, 0.8)
        return f"; did you mean --{near[0]}?" if near else ""


def _is_data(word: str) -> bool:
    """Whether the word names a data set, a file or a folder, or looks like the name of a file."""
    from ..data import known_name  # lazily: it imports NumPy

    return bool(known_name(word) or re.search(r"\.[A-Za-z]\w*$", word) or Path(word).exists())


def without_options() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the command line, and those of its commands, still without options."""
    top = Parser(
        prog=PROG,
        description="A variational autoencoder with hand-written, checked gradients.",
        epilog=f"example: {PROG} train --epochs 30 --out runs/first",
    )
    top.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for name, (module, text) in COMMANDS.items():
        commands.add_parser(name, help=text, description=text).set_defaults(module=module)
    return top, commands.choices


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


count = number_of(int, 1)
index = number_of(int, 0)


def processes(text: str) -> int | str:
    """ "4", or "auto": as many as there are usable cores."""
    if text == AUTO:
        return text
    with suppress(argparse.ArgumentTypeError):
        return int(count(text))
    raise argparse.ArgumentTypeError(f"a whole number >= 1 or {AUTO} is needed, got {text!r}")


FROM_TEXT = {
    int: number_of(int),
    float: number_of(float),
    str: str,
    Sequence[int]: widths,
    Sequence[str]: names,
}


class Extend(argparse.Action):
    """Append the values of a repeated option to the earlier ones, as a tuple."""

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
    from .settings import DEFAULTS, TYPES  # lazily: those of the models, which import NumPy

    name = usage.split()[0].removeprefix("--").replace("-", "_")
    kind = TYPES[name]
    own: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": FROM_TEXT[kind]}
    if get_origin(kind) is Sequence:
        own["action"] = Extend
    text = text.format(default=_written(DEFAULTS[name]))
    option(to, usage, text, default=argparse.SUPPRESS, **own | more)


def _written(default: Any) -> str:
    """A default, as written on the command line."""
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
    from ..data.load import SPLITS  # lazily: it imports NumPy

    text = "rows to take, default test, or all if --data is a file without splits"
    option(to, "--split", text, choices=tuple(SPLITS))
