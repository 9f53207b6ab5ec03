"""The command line. Every error of a user is one line on stderr and exit code 2."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import __version__, commands, runs
from .data.batches import BINARIZE
from .errors import InputError, NonFiniteError
from .likelihoods import LIKELIHOODS
from .models import MODELS
from .nets import ACTIVATIONS

PROG = "scratchvae"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        arguments = parser().parse_args(argv)
        return arguments.run(arguments) or 0
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (InputError, NonFiniteError) as error:
        message = str(error)
    except MemoryError as error:
        message = f"not enough memory ({error}): choose smaller sizes, or fewer examples"
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}: check the path, its permissions and the disk"
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    print(f"{PROG}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _number(kind: type, least: float | None = None) -> Any:
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


def _widths(text: str) -> tuple[int, ...]:
    """ "400" or "512,256": layer widths; "none": no hidden layer."""
    if text == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"widths such as 400 or 512,256, or none; got {text!r}"
        ) from None


def parser() -> Parser:
    top = Parser(
        prog=PROG, description="A variational autoencoder with hand-written, proven gradients."
    )
    top.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Any, text: str, example: str) -> Parser:
        sub: Parser = subparsers.add_parser(
            name, help=text, description=text, epilog=f"example: {example}"
        )
        sub.set_defaults(run=run)
        return sub

    t = command(
        "train",
        commands.train,
        "Train a model and keep it, its metrics and its pictures in a folder.",
        f"{PROG} train --data mnist --data-dir ~/mnist --latent-dim 20 --out runs/mnist",
    )
    t.argument_default = argparse.SUPPRESS  # so that --resume knows which options were given
    t.add_argument("--model", choices=tuple(MODELS), help="default vae")
    t.add_argument("--data", metavar="strokes|mnist|fashion-mnist|PATH", help="default strokes")
    t.add_argument("--data-dir", metavar="DIR", help="where the files of mnist lie")
    t.add_argument("--latent-dim", type=_number(int), metavar="Z", help="default 32")
    t.add_argument("--hidden", type=_widths, metavar="H[,H...]", help="default 400")
    t.add_argument("--activation", choices=tuple(ACTIVATIONS), help="default relu")
    t.add_argument("--likelihood", choices=LIKELIHOODS, help="default bernoulli")
    t.add_argument("--beta", type=_number(float), help="weight of the KL term, default 1")
    t.add_argument("--epochs", type=_number(int), metavar="N", help="default 20")
    t.add_argument("--batch-size", type=_number(int), metavar="B", help="default 128")
    t.add_argument("--lr", type=_number(float), help="Adam's step size, default 1e-3")
    t.add_argument(
        "--kl-warmup",
        type=_number(float),
        metavar="E",
        help="epochs until beta is reached",
    )
    t.add_argument("--binarize", choices=BINARIZE, help="make grey pixels binary")
    t.add_argument(
        "--patience",
        type=_number(int),
        metavar="P",
        help="stop after P epochs without gain",
    )
    t.add_argument("--seed", type=_number(int), help="key of all randomness, default 0")
    t.add_argument("--device", help="cpu (the default) or cuda")
    t.add_argument(
        "--out", metavar="DIR", default=None, help="folder of the run, default runs/MODEL-DATA"
    )
    either = t.add_mutually_exclusive_group()
    either.add_argument(
        "--resume", action="store_true", default=False, help="go on with the run in the folder"
    )
    either.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the run in the folder"
    )
    t.add_argument("--quiet", action="store_true", default=False, help="print nothing but errors")

    def on_run(name: str, run: Any, text: str, example: str) -> Parser:
        sub = command(name, run, text, example)
        sub.add_argument("run_folder", metavar="RUN", help="folder of a run, or a saved model")
        sub.add_argument("--device", help="cpu or cuda, default that of the run")
        return sub

    def with_data(sub: Parser) -> None:
        sub.add_argument("--data", help="other data than those of the run")
        sub.add_argument("--data-dir", metavar="DIR", help="where the files of mnist lie")

    def with_output(sub: Parser, n: int, picture: str) -> None:
        sub.add_argument("-n", type=_number(int, 1), default=n, help=f"how many, default {n}")
        sub.add_argument(
            *("-o", "--output"), type=Path, metavar="FILE",
            help=f".png, .svg, .pdf or .npy; default RUN/{picture}",
        )  # fmt: skip

    e = on_run(
        "evaluate", commands.evaluate_run, "Print the test ELBO.", f"{PROG} evaluate runs/mnist"
    )
    with_data(e)
    e.add_argument(
        "--samples", type=_number(int, 1), metavar="K", help="also the K-sample bound of log p(x)"
    )
    s = on_run(
        "sample", commands.sample, "Decode new examples.", f"{PROG} sample runs/mnist -o new.png"
    )
    with_output(s, 100, "samples.png")
    s.add_argument("--seed", type=_number(int, 0), help="default that of the run")
    r = on_run(
        "reconstruct",
        commands.reconstruct,
        "Encode and decode test examples.",
        f"{PROG} reconstruct runs/mnist",
    )
    with_data(r)
    with_output(r, runs.SHOWN, "reconstructions.png")

    v = command(
        "verify",
        commands.verify,
        "Check every gradient of this package, or of your own file, against differences.",
        f"{PROG} verify my_layers.py",
    )
    v.add_argument(
        "file", type=Path, nargs="?", metavar="FILE.py",
        help="check each pair f, f_backward in it; inputs from inputs_f() or a decorator",
    )  # fmt: skip
    v.add_argument(
        "--teeth", action="store_true",
        help="instead, break every gradient in every way, and see whether the checks notice",
    )  # fmt: skip
    v.add_argument(
        "--seed", type=_number(int, 0), default=0, help="of the random inputs, default 0"
    )
    return top
