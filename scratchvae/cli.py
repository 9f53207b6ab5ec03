"""The command line. Every error of a user is one line on stderr and exit code 2."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from . import __version__, runs
from .arguments import Parser, names, number_of, widths
from .data.batches import BINARIZE
from .errors import InputError, NonFiniteError
from .likelihoods import LIKELIHOODS
from .models import MODELS
from .models.iwae import OBJECTIVES
from .models.parameters import INITS
from .nets import ACTIVATIONS
from .progress import RED, tinted
from .published import PUBLISHED

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

        return getattr(commands, arguments.run)(arguments) or 0
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


def _train_options(t: Parser) -> None:
    """The options of train; those not given stay unset, so that --resume knows which were."""
    t.argument_default = argparse.SUPPRESS

    g = t.add_argument_group("data")
    g.add_argument(
        "--data", metavar="strokes|mnist|fashion-mnist|PATH",
        help="default strokes; PATH: .npy, .npz (X, y), or a folder of IDX files",
    )  # fmt: skip
    g.add_argument("--data-dir", metavar="DIR", help="where the files of mnist lie")
    g.add_argument("--binarize", choices=BINARIZE, help="make grey pixels binary")
    g.add_argument(
        "--labels", type=number_of(int, 1), metavar="N",
        help="m2: keep N labels of the training split, as many of each class; default all",
    )  # fmt: skip
    g.add_argument(
        "--leave-out", type=names, metavar="LABEL[,LABEL...]",
        help="learn from the other labels only (not cvae); the test split keeps all (see anomaly)",
    )  # fmt: skip

    _model_options(t)
    _run_options(t)


def _model_options(t: Parser) -> None:
    """Which model, and what its loss charges."""
    whole, real = number_of(int), number_of(float)

    g = t.add_argument_group("model")
    g.add_argument("--model", choices=tuple(MODELS), help="default vae")
    g.add_argument("--latent-dim", type=whole, metavar="Z", help="default 32")
    g.add_argument("--hidden", type=widths, metavar="H[,H...]", help="default 400")
    g.add_argument("--activation", choices=tuple(ACTIVATIONS), help="default relu")
    g.add_argument("--likelihood", choices=LIKELIHOODS, help="of a pixel, default bernoulli")
    g.add_argument(
        "--x-variance", type=real, metavar="V", help="fix that of the gaussian; default: learned"
    )
    g.add_argument("--init", choices=INITS, help="weights to begin with, default uniform")
    g.add_argument(
        "--bias-from-data", action="store_true", help="begin the output bias at the mean pixel"
    )

    g = t.add_argument_group("loss")
    g.add_argument("--beta", type=real, help="weight of the KL term, default 1")
    g.add_argument(
        "--free-bits", type=real, metavar="NATS", help="charge a unit's KL only above this"
    )
    g.add_argument(
        "--capacity", type=real, metavar="NATS", help="charge how far the KL is from this"
    )
    g.add_argument(
        "--kl-warmup", type=real, metavar="E", help="epochs over which the KL term comes in"
    )
    g.add_argument(
        "--kl-cycle", type=real, metavar="E", help="instead, let it come in anew in each E epochs"
    )
    g.add_argument("--k", type=whole, metavar="K", help="iwae: samples of z, default 5")
    g.add_argument(
        "--objective",
        choices=OBJECTIVES,
        help="iwae: the bound of K samples (iwae), or the mean bound of one (vae)",
    )
    g.add_argument("--dreg", action="store_true", help="iwae: encoder's gradient with less noise")
    g.add_argument("--alpha", type=real, help="m2: weight of the classifier's cost, default 50")


def _run_options(t: Parser) -> None:
    """How long, how, and where."""
    whole, real = number_of(int), number_of(float)

    g = t.add_argument_group("run")
    g.add_argument("--epochs", type=whole, metavar="N", help="default 20")
    g.add_argument("--batch-size", type=whole, metavar="B", help="default 128")
    g.add_argument("--lr", type=real, help="Adam's step size, default 1e-3")
    g.add_argument("--patience", type=whole, metavar="P", help="stop after P epochs without gain")
    g.add_argument("--seed", type=whole, help="key of all randomness, default 0")
    g.add_argument("--device", help="cpu (the default) or cuda")
    g.add_argument(
        "--out", metavar="DIR", default=None, help="folder of the run, default runs/MODEL-DATA"
    )
    either = g.add_mutually_exclusive_group()
    either.add_argument(
        "--resume", action="store_true", default=False, help="go on with the run in the folder"
    )
    either.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the run in the folder"
    )
    g.add_argument(
        "--mpi", action="store_true", default=False,
        help="share each batch with the other ranks of an mpiexec",
    )  # fmt: skip
    g.add_argument("--quiet", action="store_true", default=False, help="print nothing but errors")


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
    _train_options(t)

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
    with_output(r, runs.SHOWN, "reconstructions.png")
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
    _model_options(d)
    return top
