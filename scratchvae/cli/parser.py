"""The commands and their options.

Each command is registered with the module of this folder that defines a function of its name.
"""

import argparse
import re
import sys
from difflib import get_close_matches
from inspect import signature
from typing import Any, NoReturn

from ..data.batches import BINARIZE
from ..data.rows import SCALES
from ..errors import InputError
from ..evaluate.published import PUBLISHED
from ..files import run_folder as runs
from ..models import MODELS
from ..models.estimator import OTHER_NAMES
from ..models.iwae import OBJECTIVES
from ..models.losses import LIKELIHOODS
from ..models.parameters import INITS
from ..nets import ACTIVATIONS
from ..pictures import ROWS, SHOWN
from ..train import Trainer
from ..version import __version__
from .options import (
    Extend,
    count,
    file,
    finite,
    fraction,
    index,
    names,
    number_of,
    option,
    picture,
    place,
    processes,
    result,
    setting,
    split,
    switch,
)  # fmt: skip

PROG = "scratchvae"
AUTO = "auto"  # of --resume
STEPS, STEPS_OF_GIF = 12, 24  # images of an interpolation
KINDS = ".png, .svg, .pdf, .csv, .npy or .npz"
RUN = "folder of a run, or a saved model"
DATA_KINDS = (
    "a folder of pictures, a table (.csv, .parquet, ...), .npz, .npy, .mat, .h5, or IDX files"
)
DATA_DIR = "folder of the mnist or fashion-mnist files"


LISTS = ("--drop", "--hidden", "--leave-out", "--anomalous")  # options of several values


class Parser(argparse.ArgumentParser):
    """Raises InputError for whatever it cannot parse; of an unknown option, names the nearest."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            text = " ".join(unknown)
            hint = self._nearest(unknown[0], self._before(unknown[0], args))
            self.error(f"unrecognized arguments: {text}{hint}")
        return namespace, unknown

    def _before(self, unknown: str, args: Any) -> str:
        """The option that was given two places before an unknown argument, if it was one."""
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
            return f", perhaps --data {unknown}" if "data" in known else ""
        name = unknown.partition("=")[0].strip("-").replace("-", "_")
        meant = OTHER_NAMES.get(name, name).replace("_", "-")
        near = [meant] if meant in known else get_close_matches(meant, known, 1, 0.8)
        return f", perhaps --{near[0]}" if near else ""


# ------------------------------------------------------------------------------ options of train


def train_options(t: Parser) -> None:
    g = t.add_argument_group("data")
    text = f"default {{default}}; PATH: {DATA_KINDS}"
    setting(g, "--data strokes|mnist|fashion-mnist|PATH", text, type=place)
    setting(g, "--data-dir DIR", DATA_DIR, type=place)
    reading_options(g)
    text = "first download the missing files of mnist or fashion-mnist, and verify them"
    switch(g, "--download", text)
    setting(g, "--binarize", "make grey pixels binary", choices=BINARIZE)
    text = "m2: keep N labels of the training split, equally many per class; default all"
    setting(g, "--labels N", text, type=count)
    text = "train without these labels (not cvae); the test split keeps them (see anomaly)"
    setting(g, "--leave-out LABEL[,LABEL...]", text)

    model_options(t)

    g = t.add_argument_group("run")
    setting(g, "--epochs N", "default {default}")
    setting(g, "--batch-size B", "default {default}")
    setting(g, "--lr", "Adam's step size, default {default}")
    setting(g, "--clip-norm C", "scale larger gradients to this norm")
    setting(g, "--patience P", "stop after P epochs without a better test loss")
    every = signature(Trainer.run).parameters["checkpoint_every"].default
    text = "also save within an epoch: every N steps, or every 90s, 10m, 1h; default {default}, "
    option(g, "--checkpoint-every N|TIME", f"{text}with --resume too", default=every)
    text = "keep the last K checkpoints, and the best one; default {default}, with --resume too"
    option(g, "--keep K", text, type=count, default=2)
    text = "check the output of every op, to find where a NaN comes from; slow"
    switch(g, "--detect-anomaly", text)
    setting(g, "--seed", "seed of all random numbers, default {default}")
    setting(g, "--device", "cpu or cuda, default {default}")
    option(g, "--out DIR", "folder of the run, default runs/MODEL-DATA", type=place)
    text = "a new run, with the parameters and settings of this run or saved model"
    setting(g, "--init-from RUN", text, type=place)
    either = g.add_mutually_exclusive_group()
    text = "continue the run in the folder; auto: or start it, and succeed if it is finished"
    option(either, "--resume auto", text, nargs="?", const=True, default=False, choices=(AUTO,))
    switch(either, "--overwrite", "replace the run in the folder")
    switch(g, "--mpi", "split each mini-batch over the ranks of mpiexec")
    switch(g, "--quiet", "print nothing but errors")


def reading_options(to: Any, *, skips: bool = False) -> None:
    """How to read the data; each option is for one kind of data. skips: also --missing skip."""
    setting(to, "--size HxW", "pictures: resize all, such as 32 (32 x 32) or 32x48 (height 32)")
    either = to.add_mutually_exclusive_group()
    setting(either, "--grey", "pictures: read as grey; default: in colour, if one has colour")
    text = "pictures: read in colour"
    option(either, "--colour", text, action="store_false", dest="grey", default=argparse.SUPPRESS)
    text = ".npz, .mat, HDF5: the array that holds the rows; default: X, images, data, ..."
    setting(to, "--array NAME", text)
    text = "tables: the labels, by name or number from 0; arrays: by name; default: label, y, ..."
    setting(to, "--label-column NAME|N", text)
    text = "tables: leave these columns out, by name or number from 0"
    setting(to, "--drop NAME|N[,...]", text)
    text = "tables: fill missing values with the mean of their column"
    if skips:
        text += " (mean); any: give rows with missing or infinite values no score (skip)"
    choices = ("mean", "skip") if skips else ("mean",)
    setting(to, "--missing", f"{text}; default: refuse them", choices=choices)
    either = to.add_mutually_exclusive_group()
    text = "tables: the first row has the names of the columns; default: by its content"
    setting(either, "--header", text)
    text = "tables: the first row is data"
    option(
        either, "--no-header", text, action="store_false", dest="header", default=argparse.SUPPRESS
    )
    text = "Excel files: the sheet to read, by name or number from 0; default: the first"
    setting(to, "--sheet NAME|N", text)
    setting(to, "--transpose", "IDX files: exchange rows and columns of images, as EMNIST needs")


def model_options(t: Parser) -> None:
    """The hyper-parameters of a model, and the schedule of its KL weight."""
    g = t.add_argument_group("model")
    setting(g, "--model", "default {default}", choices=tuple(MODELS))
    setting(g, "--latent-dim Z", "number of latent units, default {default}")
    text = "widths of the encoder's hidden layers, or none; default {default}"
    setting(g, "--hidden H[,H...]", text)
    setting(g, "--activation", "default {default}", choices=tuple(ACTIVATIONS))
    setting(g, "--likelihood", "pixel likelihood, default {default}", choices=LIKELIHOODS)
    text = "none, bytes (/ 255), minmax (to [0, 1]) or standard (mean 0, standard deviation 1)"
    setting(g, "--scale", f"{text}; default {{default}}", choices=SCALES)
    setting(g, "--x-variance V", "fixed variance of the gaussian likelihood; default: learned")
    setting(g, "--init", "initial weights, default {default}", choices=INITS)
    setting(g, "--bias-from-data", "start the output bias at the mean pixel")

    g = t.add_argument_group("loss")
    setting(g, "--beta", "weight of the KL term, default {default}")
    setting(g, "--free-bits NATS", "penalise a unit's KL only above this")
    setting(g, "--capacity NATS", "penalise the KL's distance from this target")
    setting(g, "--kl-warmup E", "epochs over which the KL weight ramps up")
    setting(g, "--kl-cycle E", "instead, restart the ramp every E epochs")
    setting(g, "--k K", "iwae: samples of z, default {default}")
    text = "iwae: the bound of K samples (iwae), or the mean bound of one (vae)"
    setting(g, "--objective", text, choices=OBJECTIVES)
    setting(g, "--dreg", "iwae: doubly reparameterized gradient, which has less variance")
    setting(g, "--alpha", "m2: weight of the classifier's loss, default {default}")


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

    def command(name: str, example: str, text: str, module: str = "look") -> Parser:
        epilog = f"example: {PROG} {name} {example}"
        sub: Parser = commands.add_parser(name, help=text, description=text, epilog=epilog)
        sub.set_defaults(module=module)
        return sub

    def on_run(
        name: str, example: str, text: str, module: str = "look", data: bool = True
    ) -> Parser:
        sub = command(name, example, text, module)
        option(sub, "run_folder RUN", RUN, type=place)
        option(sub, "--device", "cpu or cuda, default that of the run")
        if data:
            text = "other data than the run's: their test split, or all of a file without splits"
            option(sub, "--data NAME|PATH", text, type=place)
            option(sub, "--data-dir DIR", DATA_DIR, type=place)
            reading_options(sub, skips=name == "anomaly")
        return sub

    example = "--data mnist --data-dir ~/mnist --latent-dim 20 --out runs/mnist"
    text = "Train a model, and save it with its metrics and pictures in a folder."
    train_options(command("train", example, text, "train"))

    text = "Print the ELBO of the test split, its terms, and the protocol of its measurement."
    e = on_run("evaluate", "runs/mnist --samples 100", text)
    text = "also the importance-weighted bound of log p(x) of K samples; time grows with K"
    option(e, "--samples K", text, type=count)
    text = "share the bound of --samples among N processes; auto: one for each usable core"
    option(e, "--workers N|auto", text, type=processes)
    option(e, "--examples N", "evaluate N random examples, drawn by the seed", type=count)
    text = "compare with this published number, or explain why that is not possible"
    option(e, "--compare", text, choices=tuple(PUBLISHED))

    s = on_run("sample", "runs/mnist -o new.png", "Decode new examples.", data=False)
    picture(s, 100, "samples.png", kinds=KINDS)
    option(s, "--seed", "default that of the run", type=index)
    option(s, "--label", "cvae, m2: samples of this label; default each label in turn")
    switch(s, "--draw", "draw from p(x|z), rather than take its mean")

    r = on_run("reconstruct", "runs/mnist", "Encode and decode test examples.")
    text = f"how many, default {SHOWN}, of a table {ROWS}, or all in a .csv, .npy or .npz"
    picture(r, None, "reconstructions.png", text, KINDS)
    split(r)

    text = "Write the code of each row: mu and logvar of q(z|x)."
    c = on_run("encode", "runs/mnist --split train -o codes.npz", text)
    result(c, ".csv, .npy or .npz", runs.CODES)
    split(c)

    text = "Decode the codes between pairs of test examples; of one label each, for cvae and m2."
    i = on_run("interpolate", "runs/mnist --steps 10", text)
    option(i, "-n", "how many pairs, default {default}", type=count, default=8)
    result(i, ".png, .svg, .pdf, .gif (animated) or .npy", "interpolations.png")
    text = f"images per row, both ends included, default {STEPS}, or {STEPS_OF_GIF} in a .gif"
    option(i, "--steps S", text, type=number_of(int, 2))
    switch(i, "--slerp", "along an arc, not a straight line")

    text = "Move each active unit alone around the code of a test example."
    t = on_run("traverse", "runs/mnist --row 7", text)
    picture(t, 10, "traversals.png", "at most this many units, default {default}")
    text = "images per row, both ends included, default {default}"
    option(t, "--steps S", text, type=number_of(int, 2), default=11)
    option(t, "--row", "row of the test example, default {default}", type=index, default=0)

    text = "Decode a grid over two latent units, at the quantiles of the prior."
    m = on_run("manifold", "runs/mnist --units 3 7", text)
    picture(m, 20, "manifold.png", "images per side, default {default}")
    text = "default the two most informative"
    option(m, "--units", text, type=index, nargs=2, metavar=("A", "B"))
    option(m, "--label", "cvae, m2: of this label; default the first")

    text = "Write a page for the browser: a latent plane to drag in, and a gradient in numbers."
    result(on_run("explore", "runs/mnist", text), ".html", runs.EXPLORER)

    text = "Score examples by how unlikely they are, and draw the extremes."
    a = on_run("anomaly", "runs/mnist --anomalous 3", text, "anomaly")
    option(a, "-n", "examples in the picture, default {default}", type=count, default=24)
    result(a, ".csv, the picture beside it as .png", runs.SCORES)
    split(a)
    option(a, "--samples K", "score by the K-sample bound", type=count)
    marked = a.add_mutually_exclusive_group()
    text = "mark scores above the 1 - C quantile of those of the training data"
    option(marked, "--contamination C", text, type=fraction)
    text = "mark scores above this one, such as --contamination found"
    option(marked, "--threshold NATS", text, type=finite)
    text = "the data of --contamination: train (default), or the test split, new to the model"
    option(a, "--threshold-from", text, choices=("train", "test"))
    text = "where the training data of --contamination are now, if they have moved"
    option(a, "--training-data PATH", text, type=place)
    text = "labels that count as anomalous, default those left out of training"
    option(a, "--anomalous LABEL[,LABEL...]", text, type=names, action=Extend)

    text = "Write the model as a safetensors file, which PyTorch and others read."
    o = command("export", "runs/mnist -o mnist.safetensors", text)
    option(o, "run_folder RUN", RUN, type=place)
    result(o, ".safetensors", runs.EXPORT, f"RUN/{runs.EXPORT}, or beside a saved model")

    text = "Check every gradient of this package, or of your file, by finite differences."
    v = command("verify", "my_layers.py", text, "verify")
    text = "check each pair f, f_backward in it; inputs from inputs_f() or a decorator"
    option(v, "file FILE.py", text, type=file, nargs="?")
    text = "instead, plant bugs in every gradient, and report whether the checks detect them"
    switch(v, "--teeth", text)
    option(v, "-v/--verbose", "print every gradient of every model, too", action="store_true")
    text = "check the pairs whose name contains TEXT"
    option(v, "-k/--only TEXT", text, default="")
    switch(v, "--json", "print the reports on FILE.py as JSON instead")
    option(v, "--junit FILE.xml", "also write the reports on FILE.py for a CI server", type=file)
    option(v, "--seed", "seed of the random inputs, default {default}", type=index, default=0)
    text = "also draw the error of every gradient: .png, .svg or .pdf"
    option(v, "-o/--output FILE", text, type=file)

    text = "Draw a model with its shapes, its loss and every gradient."
    d = command("diagram", "--hidden 400,200 --latent-dim 10 -o vae.svg", text)
    text = f"{RUN}; without it, the model that train would begin with"
    option(d, "run_folder RUN", text, type=place, nargs="?")
    name = "diagram.svg"
    result(d, ".svg, .png or .pdf", name, f"{name}, in the folder of the run")
    setting(d, "--data NAME|PATH", "data set for the input width, default {default}", type=place)
    setting(d, "--data-dir DIR", DATA_DIR, type=place)
    reading_options(d)
    model_options(d)
    return top
