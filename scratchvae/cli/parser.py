"""The commands and their options.

Each command is registered with the module of this folder that defines a function of its name.
"""

import argparse
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

from ..data.batches import BINARIZE
from ..errors import InputError
from ..evaluate.published import PUBLISHED
from ..files import run_folder as runs
from ..models import MODELS
from ..models.iwae import OBJECTIVES
from ..models.losses import LIKELIHOODS
from ..models.parameters import INITS
from ..nets import ACTIVATIONS
from ..pictures import SHOWN
from ..train import Trainer
from ..version import __version__
from .settings import DEFAULTS, TYPES, flag

PROG = "scratchvae"
STEPS, STEPS_OF_GIF = 12, 24  # images of an interpolation
RUN = "folder of a run, or a saved model"
DATA_DIR = "folder of the mnist or fashion-mnist files"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # the top-level parser reports an unknown option, but its help does not list the options
        which = " COMMAND" if self._subparsers and message.startswith("unrecognized") else ""
        raise InputError(f"{message} (see {self.prog}{which} --help)")


# ----------------------------------------------------------------------------- types of arguments


def number_of(kind: type, least: float | None = None) -> Any:
    """An argparse type with a specific error message."""

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
    """ "3" or "3,5": labels, as text."""
    labels = tuple(part.strip() for part in text.split(","))
    if not all(labels):
        raise argparse.ArgumentTypeError(f"labels such as 3 or 3,5; got {text!r}")
    return labels


FROM_TEXT = {
    int: number_of(int),
    float: number_of(float),
    str: str,
    Sequence[int]: widths,
    Sequence[str]: names,
}
count = number_of(int, 1)
index = number_of(int, 0)

# ---------------------------------------------------------------------------- kinds of options


def option(to: Any, *flags: str, help: str, **more: Any) -> None:
    """Add an option; {default} in its help is replaced by its default."""
    to.add_argument(*flags, help=help.format(default=_written(more.get("default"))), **more)


def setting(to: Any, name: str, text: str, **more: Any) -> None:
    """Add the option of a setting; {default} in the text of its help is replaced by its default.

    An option that is not given sets no attribute, so that --resume knows which were given.
    """
    if TYPES[name] is bool:
        more["action"] = "store_true"
    else:
        more = {"type": FROM_TEXT[TYPES[name]]} | more
    help = text.format(default=_written(DEFAULTS[name]))
    to.add_argument(flag(name), default=argparse.SUPPRESS, help=help, **more)


def _written(default: Any) -> str:
    """A default in the syntax of the command line."""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def result(to: Any, kinds: str, name: str, default: str | None = None) -> None:
    """Add --output; `result` is the file name without it."""
    text = f"{kinds}; default {default or f'RUN/{name}'}"
    option(to, "-o", "--output", type=Path, metavar="FILE", help=text)
    to.set_defaults(result=name)


def picture(
    to: Any, n: int, name: str, text: str = "how many, default {default}", gif: str = ""
) -> None:
    """Add -n and --output."""
    option(to, "-n", type=count, default=n, help=text)
    result(to, f".png, .svg, .pdf{gif} or .npy", name)


def data(to: Any) -> None:
    text = "other data than the run's: their test split, or all of a file without splits"
    option(to, "--data", metavar="NAME|PATH", help=text)
    option(to, "--data-dir", metavar="DIR", help=DATA_DIR)


# ------------------------------------------------------------------------------ options of train


def train_options(t: Parser) -> None:
    g = t.add_argument_group("data")
    text = "default {default}; PATH: .npy, .npz (X, y), or a folder of IDX files"
    setting(g, "data", text, metavar="strokes|mnist|fashion-mnist|PATH")
    setting(g, "data_dir", DATA_DIR, metavar="DIR")
    text = "first download the missing files of mnist or fashion-mnist, and verify them"
    option(g, "--download", action="store_true", help=text)
    setting(g, "binarize", "make grey pixels binary", choices=BINARIZE)
    text = "m2: keep N labels of the training split, equally many per class; default all"
    setting(g, "labels", text, type=count, metavar="N")
    text = "train without these labels (not cvae); the test split keeps them (see anomaly)"
    setting(g, "leave_out", text, metavar="LABEL[,LABEL...]")

    model_options(t)

    g = t.add_argument_group("run")
    setting(g, "epochs", "default {default}", metavar="N")
    setting(g, "batch_size", "default {default}", metavar="B")
    setting(g, "lr", "Adam's step size, default {default}")
    setting(g, "clip_norm", "scale larger gradients to this norm", metavar="C")
    setting(g, "patience", "stop after P epochs without a better test loss", metavar="P")
    every = signature(Trainer.run).parameters["checkpoint_every"].default
    text = "also save within an epoch: every N steps, or every 90s, 10m, 1h; default {default}, "
    text += "with --resume too"
    option(g, "--checkpoint-every", default=every, metavar="N|TIME", help=text)
    text = "keep the last K checkpoints, and the best one; default {default}, with --resume too"
    option(g, "--keep", type=count, default=2, metavar="K", help=text)
    text = "check the output of every op, to find where a NaN comes from; slow"
    option(g, "--detect-anomaly", action="store_true", help=text)
    setting(g, "seed", "seed of all random numbers, default {default}")
    setting(g, "device", "cpu or cuda, default {default}")
    option(g, "--out", metavar="DIR", help="folder of the run, default runs/MODEL-DATA")
    either = g.add_mutually_exclusive_group()
    option(either, "--resume", action="store_true", help="continue the run in the folder")
    option(either, "--overwrite", action="store_true", help="replace the run in the folder")
    text = "split each mini-batch over the ranks of mpiexec"
    option(g, "--mpi", action="store_true", help=text)
    option(g, "--quiet", action="store_true", help="print nothing but errors")


def model_options(t: Parser) -> None:
    """The hyper-parameters of a model, and the schedule of its KL weight."""
    g = t.add_argument_group("model")
    setting(g, "model", "default {default}", choices=tuple(MODELS))
    setting(g, "latent_dim", "number of latent units, default {default}", metavar="Z")
    text = "widths of the encoder's hidden layers, or none; default {default}"
    setting(g, "hidden", text, metavar="H[,H...]")
    setting(g, "activation", "default {default}", choices=tuple(ACTIVATIONS))
    setting(g, "likelihood", "pixel likelihood, default {default}", choices=LIKELIHOODS)
    text = "fixed variance of the gaussian likelihood; default: learned"
    setting(g, "x_variance", text, metavar="V")
    setting(g, "init", "initial weights, default {default}", choices=INITS)
    setting(g, "bias_from_data", "start the output bias at the mean pixel")

    g = t.add_argument_group("loss")
    setting(g, "beta", "weight of the KL term, default {default}")
    setting(g, "free_bits", "penalise a unit's KL only above this", metavar="NATS")
    setting(g, "capacity", "penalise the KL's distance from this target", metavar="NATS")
    setting(g, "kl_warmup", "epochs over which the KL weight ramps up", metavar="E")
    setting(g, "kl_cycle", "instead, restart the ramp every E epochs", metavar="E")
    setting(g, "k", "iwae: samples of z, default {default}", metavar="K")
    text = "iwae: the bound of K samples (iwae), or the mean bound of one (vae)"
    setting(g, "objective", text, choices=OBJECTIVES)
    setting(g, "dreg", "iwae: doubly reparameterized gradient, which has less variance")
    setting(g, "alpha", "m2: weight of the classifier's loss, default {default}")


# ---------------------------------------------------------------------------------- all commands


def parser() -> Parser:
    top = Parser(
        prog=PROG,
        description="A variational autoencoder with hand-written, proven gradients.",
        epilog=f"example: {PROG} train --epochs 30 --out runs/first",
    )
    top.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )

    def command(module: str, name: str, example: str, text: str) -> Parser:
        epilog = f"example: {PROG} {name} {example}"
        sub: Parser = commands.add_parser(name, help=text, description=text, epilog=epilog)
        sub.set_defaults(module=module)
        return sub

    def on_run(module: str, name: str, example: str, text: str) -> Parser:
        sub = command(module, name, example, text)
        option(sub, "run_folder", metavar="RUN", help=RUN)
        option(sub, "--device", help="cpu or cuda, default that of the run")
        return sub

    example = "--data mnist --data-dir ~/mnist --latent-dim 20 --out runs/mnist"
    text = "Train a model, and save it with its metrics and pictures in a folder."
    train_options(command("train", "train", example, text))

    text = "Print the ELBO of the test split, its terms, and the protocol of its measurement."
    e = on_run("look", "evaluate", "runs/mnist --samples 100", text)
    data(e)
    text = "also the importance-weighted bound of log p(x) of K samples; time grows with K"
    option(e, "--samples", type=count, metavar="K", help=text)
    text = "evaluate N random examples, drawn by the seed"
    option(e, "--examples", type=count, metavar="N", help=text)
    text = "compare with this published number, or explain why that is not possible"
    option(e, "--compare", choices=tuple(PUBLISHED), help=text)

    s = on_run("look", "sample", "runs/mnist -o new.png", "Decode new examples.")
    picture(s, 100, "samples.png")
    option(s, "--seed", type=index, help="default that of the run")
    text = "cvae, m2: samples of this label; default each label in turn"
    option(s, "--label", help=text)

    r = on_run("look", "reconstruct", "runs/mnist", "Encode and decode test examples.")
    data(r)
    picture(r, SHOWN, "reconstructions.png")

    text = "Decode the codes between pairs of test examples; of one label each, for cvae and m2."
    i = on_run("look", "interpolate", "runs/mnist --steps 10", text)
    data(i)
    text = "how many pairs, default {default}"
    picture(i, 8, "interpolations.png", text, ", .gif (animated)")
    text = f"images per row, both ends included, default {STEPS}, or {STEPS_OF_GIF} in a .gif"
    option(i, "--steps", type=number_of(int, 2), metavar="S", help=text)
    option(i, "--slerp", action="store_true", help="along an arc, not a straight line")

    text = "Move each active unit alone around the code of a test example."
    t = on_run("look", "traverse", "runs/mnist --row 7", text)
    data(t)
    picture(t, 10, "traversals.png", "at most this many units, default {default}")
    text = "images per row, both ends included, default {default}"
    option(t, "--steps", type=number_of(int, 2), default=11, metavar="S", help=text)
    option(t, "--row", type=index, default=0, help="row of the test example, default {default}")

    text = "Decode a grid over two latent units, at the quantiles of the prior."
    m = on_run("look", "manifold", "runs/mnist --units 3 7", text)
    data(m)
    picture(m, 20, "manifold.png", "images per side, default {default}")
    text = "default the two most informative"
    option(m, "--units", type=index, nargs=2, metavar=("A", "B"), help=text)
    option(m, "--label", help="cvae, m2: of this label; default the first")

    text = "Write a page for the browser: a latent plane to drag in, and a gradient in numbers."
    x = on_run("look", "explore", "runs/mnist", text)
    data(x)
    result(x, ".html", runs.EXPLORER)

    text = "Score test examples by how unlikely they are, and draw the extremes."
    a = on_run("anomaly", "anomaly", "runs/mnist --anomalous 3", text)
    data(a)
    option(a, "-n", type=count, default=24, help="examples in the picture, default {default}")
    result(a, ".csv, the picture beside it as .png", runs.SCORES)
    option(a, "--samples", type=count, metavar="K", help="score by the K-sample bound")
    text = "labels that count as anomalous, default those left out of training"
    option(a, "--anomalous", type=names, metavar="LABEL[,LABEL...]", help=text)

    text = "Write the model as a safetensors file, which PyTorch and others read."
    o = command("look", "export", "runs/mnist -o mnist.safetensors", text)
    option(o, "run_folder", metavar="RUN", help=RUN)
    result(o, ".safetensors", runs.EXPORT, f"RUN/{runs.EXPORT}, or beside a saved model")

    text = "Check every gradient of this package, or of your file, by finite differences."
    v = command("verify", "verify", "my_layers.py", text)
    text = "check each pair f, f_backward in it; inputs from inputs_f() or a decorator"
    option(v, "file", type=Path, nargs="?", metavar="FILE.py", help=text)
    text = "instead, plant bugs in every gradient, and report whether the checks detect them"
    option(v, "--teeth", action="store_true", help=text)
    option(v, "--seed", type=index, default=0, help="seed of the random inputs, default {default}")
    text = "also draw the error of every gradient: .png, .svg or .pdf"
    option(v, "-o", "--output", type=Path, metavar="FILE", help=text)

    text = "Draw a model with its shapes, its loss and every gradient."
    d = command("look", "diagram", "--hidden 400,200 --latent-dim 10 -o vae.svg", text)
    text = f"{RUN}; without it, the model that train would begin with"
    option(d, "run_folder", metavar="RUN", nargs="?", help=text)
    name = "diagram.svg"
    result(d, ".svg, .png or .pdf", name, f"{name}, in the folder of the run")
    setting(d, "data", "data set for the input width, default {default}", metavar="NAME|PATH")
    setting(d, "data_dir", DATA_DIR, metavar="DIR")
    model_options(d)
    return top
