"""The command line. Every error of a user is one line on stderr and exit code 2."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from .. import __version__
from ..errors import RED, CheckpointWarning, InputError, NonFiniteError, tinted, warn
from ..evaluate.published import PUBLISHED
from ..files import run_folder as runs
from ..pictures import SHOWN
from .arguments import Parser, names, number_of
from .options import model_options, train_options

PROG = "scratchvae"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        top = parser()
        if "_ARGCOMPLETE" in os.environ and find_spec("argcomplete"):  # asked by Tab
            import argcomplete

            argcomplete.autocomplete(top)
        arguments = top.parse_args(argv)
        from . import commands  # on use: --help need not wait for them

        with warnings.catch_warnings():
            warnings.simplefilter("always", CheckpointWarning)
            warnings.showwarning = lambda message, *where, **more: warn(str(message))
            code: int = getattr(commands, arguments.run)(arguments) or 0
        try:
            sys.stdout.flush()
        except OSError as error:  # what cannot be said is an error
            raise OSError(error.errno, error.strerror, "standard output") from None
        return code
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
    error_in_red = tinted("error:", RED, sys.stderr)
    print(f"{PROG}: {error_in_red} {' '.join(message.split())}", file=sys.stderr)
    return 2


def parser() -> Parser:
    top = Parser(
        prog=PROG,
        description="A variational autoencoder with hand-written, proven gradients.",
        epilog=f"example: {PROG} train --epochs 30 --out runs/first",
    )
    top.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: str, text: str, example: str) -> Parser:
        sub: Parser = subparsers.add_parser(
            name, help=text, description=text, epilog=f"example: {example}"
        )
        sub.set_defaults(run=run)
        return sub

    t = command(
        "train",
        "train",
        "Train a model and keep it, its metrics and its pictures in a folder.",
        f"{PROG} train --data mnist --data-dir ~/mnist --latent-dim 20 --out runs/mnist",
    )
    train_options(t)

    def on_run(name: str, run: str, text: str, example: str) -> Parser:
        sub = command(name, run, text, f"{PROG} {name} {example}")
        sub.add_argument("run_folder", metavar="RUN", help="folder of a run, or a saved model")
        sub.add_argument("--device", help="cpu or cuda, default that of the run")
        return sub

    def with_data(sub: Parser) -> None:
        sub.add_argument(
            "--data", metavar="NAME|PATH",
            help="other data than the run's: their test split, or all of a file without splits",
        )  # fmt: skip
        sub.add_argument("--data-dir", metavar="DIR", help="where the files of mnist lie")

    def with_output(
        sub: Parser, n: int, picture: str, what: str = "how many", gif: str = ""
    ) -> None:
        sub.add_argument("-n", type=number_of(int, 1), default=n, help=f"{what}, default {n}")
        sub.add_argument(
            *("-o", "--output"), type=Path, metavar="FILE",
            help=f".png, .svg, .pdf{gif} or .npy; default RUN/{picture}",
        )  # fmt: skip

    e = on_run(
        "evaluate",
        "evaluate_run",
        "Print the ELBO of the test split, what it consists of, and how it was measured.",
        "runs/mnist --samples 100",
    )
    with_data(e)
    e.add_argument(
        "--samples",
        type=number_of(int, 1),
        metavar="K",
        help="also the bound of log p(x) by K importance samples; time grows with K",
    )
    e.add_argument(
        "--examples",
        type=number_of(int, 1),
        metavar="N",
        help="measure N of them, drawn by the seed",
    )
    e.add_argument(
        "--compare",
        choices=tuple(PUBLISHED),
        help="put this published number beside it, or say why that cannot be",
    )
    s = on_run("sample", "sample", "Decode new examples.", "runs/mnist -o new.png")
    with_output(s, 100, "samples.png")
    s.add_argument("--seed", type=number_of(int, 0), help="default that of the run")
    s.add_argument("--label", help="cvae, m2: of this label; default each label in turn")
    r = on_run("reconstruct", "reconstruct", "Encode and decode test examples.", "runs/mnist")
    with_data(r)
    with_output(r, SHOWN, "reconstructions.png")
    i = on_run(
        "interpolate",
        "interpolate",
        "Decode the codes between pairs of test examples; of one label each, for cvae and m2.",
        "runs/mnist --steps 10",
    )
    with_data(i)
    with_output(i, 8, "interpolations.png", "how many pairs", ", .gif (animated)")
    i.add_argument(
        "--steps", type=number_of(int, 2), metavar="S",
        help="images a row, both ends among them, default 12, or 24 in a .gif",
    )  # fmt: skip
    i.add_argument("--slerp", action="store_true", help="along an arc, not a straight line")
    t = on_run(
        "traverse",
        "traverse",
        "Move each active unit alone around the code of a test example.",
        "runs/mnist --row 7",
    )
    with_data(t)
    with_output(t, 10, "traversals.png", "at most so many units")
    t.add_argument(
        "--steps", type=number_of(int, 2), default=11, metavar="S",
        help="images a row, both ends among them, default 11",
    )  # fmt: skip
    t.add_argument(
        "--row", type=number_of(int, 0), default=0, help="of the test example, default 0"
    )
    m = on_run(
        "manifold",
        "manifold",
        "Decode a grid over two latent units, at the quantiles of the prior.",
        "runs/mnist --units 3 7",
    )
    with_data(m)
    with_output(m, 20, "manifold.png", "images a side")
    m.add_argument(
        "--units", type=number_of(int, 0), nargs=2, metavar=("A", "B"),
        help="default the two that say most",
    )  # fmt: skip
    m.add_argument("--label", help="cvae, m2: of this label; default the first")
    x = on_run(
        "explore",
        "explore",
        "Write a page for the browser: a latent plane to drag in, and a gradient in numbers.",
        "runs/mnist",
    )
    with_data(x)
    x.add_argument(
        *("-o", "--output"), type=Path, metavar="FILE",
        help=f".html; default RUN/{runs.EXPLORER}",
    )  # fmt: skip
    y = on_run(
        "anomaly",
        "anomaly",
        "Score test examples by how unlikely they are, and draw the extremes.",
        "runs/mnist --anomalous 3",
    )
    with_data(y)
    y.add_argument("-n", type=number_of(int, 1), default=24, help="how many drawn, default 24")
    y.add_argument(
        *("-o", "--output"), type=Path, metavar="FILE",
        help=f".csv, the picture beside it as .png; default RUN/{runs.SCORES}",
    )  # fmt: skip
    y.add_argument(
        "--samples", type=number_of(int, 1), metavar="K", help="score by the K-sample bound"
    )
    y.add_argument(
        "--anomalous", type=names, metavar="LABEL[,LABEL...]",
        help="labels that count as anomalous, default those that train left out",
    )  # fmt: skip

    o = command(
        "export",
        "export",
        "Write the model as a safetensors file, which PyTorch and others read.",
        f"{PROG} export runs/mnist -o mnist.safetensors",
    )
    o.add_argument("run_folder", metavar="RUN", help="folder of a run, or a saved model")
    o.add_argument(
        *("-o", "--output"), type=Path, metavar="FILE",
        help=f".safetensors; default RUN/{runs.EXPORT}, or beside a saved model",
    )  # fmt: skip

    v = command(
        "verify",
        "verify",
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
        "--seed", type=number_of(int, 0), default=0, help="of the random inputs, default 0"
    )
    v.add_argument(
        *("-o", "--output"), type=Path, metavar="FILE",
        help="also draw the error of every gradient: .png, .svg or .pdf",
    )  # fmt: skip

    d = command(
        "diagram",
        "draw_diagram",
        "Draw a model with its shapes, its loss and every gradient.",
        f"{PROG} diagram --hidden 400,200 --latent-dim 10 -o vae.svg",
    )
    d.add_argument(
        "run_folder", metavar="RUN", nargs="?",
        help="folder of a run, or a saved model; without it, the model that train would begin with",
    )  # fmt: skip
    d.add_argument(
        *("-o", "--output"), type=Path, metavar="FILE",
        help=".svg, .png or .pdf; default diagram.svg, in the folder of the run",
    )  # fmt: skip
    d.argument_default = argparse.SUPPRESS
    d.add_argument("--data", metavar="NAME|PATH", help="whose width to draw, default strokes")
    d.add_argument("--data-dir", metavar="DIR", help="where the files of mnist lie")
    model_options(d)
    return top
