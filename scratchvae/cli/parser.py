"""The options of each command that `options.COMMANDS` lists.

Their choices and defaults come from the models, so importing this imports NumPy.
"""

import argparse
from inspect import signature
from typing import Any

from ..data.batches import BINARIZE
from ..data.rows import SCALES
from ..evaluate.published import PUBLISHED
from ..files import run_folder as runs
from ..models import MODELS
from ..models.iwae import OBJECTIVES
from ..models.losses import LIKELIHOODS
from ..models.parameters import INITS
from ..models.scores import KINDS as SCORES
from ..nets import ACTIVATIONS
from ..pictures import ROWS, SHOWN
from ..startup import AUTO
from ..train import Trainer
from .options import (
    PROG,
    Extend,
    Parser,
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
    without_options,
)  # fmt: skip

STEPS, STEPS_OF_GIF = 12, 24  # images of an interpolation
KINDS = ".png, .svg, .pdf, .csv, .npy or .npz"
RUN = "folder of a run, or a saved model"
DATA_KINDS = (
    "a folder of pictures, a table (.csv, .parquet, ...), .npz, .npy, .mat, .h5, or IDX files"
)
DATA_DIR = "folder of the mnist or fashion-mnist files"
# read by `threads.limit` before this module is imported
THREADS = "BLAS threads of each worker; default: all cores / workers"


# ------------------------------------------------------------------------------ options of train


def train_options(t: Parser) -> None:
    g = t.add_argument_group("data")
    text = f"default {{default}}; PATH: {DATA_KINDS}"
    setting(g, "--data strokes|shapes|mnist|fashion-mnist|PATH", text, type=place)
    setting(g, "--data-dir DIR", DATA_DIR, type=place)
    reading_options(g)
    text = "first download the missing files of mnist or fashion-mnist, and verify them"
    switch(g, "--download", text)
    setting(g, "--binarize", "make grey pixels binary", choices=BINARIZE)
    text = "m2: keep N training labels, the same number of each class; default all"
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
    option(g, "--checkpoint-every N|TIME", f"{text}also with --resume", default=every)
    text = "keep the last K checkpoints and the best one; default {default}, also with --resume"
    option(g, "--keep K", text, type=count, default=2)
    text = "check the output of every op, to find where a NaN arises; slow"
    switch(g, "--detect-anomaly", text)
    setting(g, "--seed", "seed of all random numbers, default {default}")
    setting(g, "--device", "cpu or cuda, default {default}")
    option(g, "--threads N", THREADS, type=count)
    option(g, "--out DIR", "folder of the run, default runs/MODEL-DATA", type=place)
    text = "start with the parameters and settings of this run or saved model"
    setting(g, "--init-from RUN", text, type=place)
    either = g.add_mutually_exclusive_group()
    text = "continue the run in the folder; auto: start it if new, exit 0 if finished"
    option(either, "--resume auto", text, nargs="?", const=True, default=False, choices=(AUTO,))
    switch(either, "--overwrite", "replace the run in the folder")
    either = g.add_mutually_exclusive_group()
    text = "train on N processes of this machine, or auto: one per core; needs mpi4py and mpich"
    option(either, "--workers N|auto", text, type=processes)
    switch(either, "--mpi", "split each mini-batch over the ranks of mpiexec")
    switch(g, "--quiet", "print nothing but errors")


def reading_options(to: Any, *, skips: bool = False) -> None:
    """How to read the data; each option applies to one kind. skips: also --missing skip."""
    setting(to, "--size HxW", "pictures: resize all, such as 32 (32 x 32) or 32x48 (height 32)")
    either = to.add_mutually_exclusive_group()
    setting(either, "--grey", "pictures: read as grey; default: in colour if any has colour")
    text = "pictures: read in colour"
    option(either, "--colour", text, action="store_false", dest="grey", default=argparse.SUPPRESS)
    text = ".npz, .mat, HDF5: the array that holds the rows; default: X, images, data, ..."
    setting(to, "--array NAME", text)
    text = "the labels: a name, or for tables a number from 0; default: label, y, ..."
    setting(to, "--label-column NAME|N", text)
    text = "tables: ignore these columns, by name or number from 0"
    setting(to, "--drop NAME|N[,...]", text)
    text = "tables: fill missing values with the mean of their column"
    if skips:
        text += " (mean); any: leave the scores of incomplete or infinite rows empty (skip)"
    choices = ("mean", "skip") if skips else ("mean",)
    setting(to, "--missing", f"{text}; default: refuse them", choices=choices)
    either = to.add_mutually_exclusive_group()
    text = "tables: the first row holds the column names; default: detected"
    setting(either, "--header", text)
    text = "tables: the first row is data"
    option(
        either, "--no-header", text, action="store_false", dest="header", default=argparse.SUPPRESS
    )
    text = "Excel files: the sheet to read, by name or number from 0; default: the first"
    setting(to, "--sheet NAME|N", text)
    setting(to, "--transpose", "IDX files: transpose the images, as EMNIST needs")


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
    text = "iwae: the K-sample bound (iwae), or the mean one-sample bound (vae)"
    setting(g, "--objective", text, choices=OBJECTIVES)
    setting(g, "--dreg", "iwae: doubly reparameterized gradient (lower variance)")
    setting(g, "--alpha", "m2: weight of the classifier's loss, default {default}")
    setting(g, "--top N", "m2: sum over the N most likely classes of unlabelled rows")


# ---------------------------------------------------------------------------------- all commands


def parser() -> Parser:
    top, commands = without_options()

    def command(name: str, example: str) -> Parser:
        commands[name].epilog = f"example: {PROG} {name} {example}"
        return commands[name]

    def on_run(name: str, example: str, data: bool = True) -> Parser:
        sub = command(name, example)
        option(sub, "run_folder RUN", RUN, type=place)
        option(sub, "--device", "cpu or cuda; default: as in the run")
        option(sub, "--threads N", THREADS, type=count)
        if data:
            text = "data other than the run's: their test split, or all rows if they have none"
            option(sub, "--data NAME|PATH", text, type=place)
            option(sub, "--data-dir DIR", DATA_DIR, type=place)
            reading_options(sub, skips=name == "anomaly")
        return sub

    example = "--data mnist --data-dir ~/mnist --latent-dim 20 --out runs/mnist"
    train_options(command("train", example))

    e = on_run("evaluate", "runs/mnist --samples 100")
    text = "also the K-sample importance-weighted bound on log p(x); time grows with K"
    option(e, "--samples K", text, type=count)
    text = "compute the bound of --samples in N processes; auto: one per usable core"
    option(e, "--workers N|auto", text, type=processes)
    option(e, "--examples N", "evaluate N random examples, drawn by the seed", type=count)
    text = "compare with this published number, or explain why it is not comparable"
    option(e, "--compare", text, choices=tuple(PUBLISHED))

    s = on_run("sample", "runs/mnist -o new.png", data=False)
    picture(s, 100, "samples.png", kinds=KINDS)
    option(s, "--seed", "default: as in the run", type=index)
    option(s, "--label", "cvae, m2: samples of this label; default each label in turn")
    switch(s, "--draw", "draw from p(x|z) instead of taking its mean")

    r = on_run("reconstruct", "runs/mnist")
    text = f"how many, default {SHOWN}, {ROWS} of a table, or all for a .csv, .npy or .npz"
    picture(r, None, "reconstructions.png", text, KINDS)
    split(r)

    c = on_run("encode", "runs/mnist --split train -o codes.npz")
    result(c, ".csv, .npy or .npz", runs.CODES)
    split(c)

    i = on_run("interpolate", "runs/mnist --steps 10")
    option(i, "-n", "how many pairs, default {default}", type=count, default=8)
    result(i, ".png, .svg, .pdf, .gif (animated) or .npy", "interpolations.png")
    text = f"images per row, both ends included, default {STEPS}, or {STEPS_OF_GIF} in a .gif"
    option(i, "--steps S", text, type=number_of(int, 2))
    switch(i, "--slerp", "along an arc, not a straight line")

    t = on_run("traverse", "runs/mnist --row 7")
    picture(t, 10, "traversals.png", "at most this many units, default {default}")
    text = "images per row, both ends included, default {default}"
    option(t, "--steps S", text, type=number_of(int, 2), default=11)
    option(t, "--row", "row of the test example, default {default}", type=index, default=0)

    m = on_run("manifold", "runs/mnist --units 3 7")
    picture(m, 20, "manifold.png", "images per side, default {default}")
    text = "default the two most informative"
    option(m, "--units", text, type=index, nargs=2, metavar=("A", "B"))
    option(m, "--label", "cvae, m2: decode this label; default the first")

    result(on_run("explore", "runs/mnist"), ".html", runs.EXPLORER)

    g = command("playground", "-o playground.html")
    name = "playground.html"
    result(g, ".html", name, f"{name}, here")

    a = on_run("anomaly", "runs/mnist --anomalous 3")
    option(a, "-n", "examples in the picture, default {default}", type=count, default=24)
    result(a, ".csv, the picture beside it as .png", runs.SCORES)
    split(a)
    text = "what makes an example anomalous, default {default}; typicality reads the training data"
    option(a, "--score", text, choices=SCORES, default="elbo")
    text = "typicality: score N consecutive rows together, default {default}"
    option(a, "--group N", text, type=count, default=1)
    option(a, "--samples K", "score by the K-sample bound, or with K samples of z", type=count)
    marked = a.add_mutually_exclusive_group()
    text = "mark scores above the 1 - C quantile of the training scores"
    option(marked, "--contamination C", text, type=fraction)
    text = "mark scores above this value"
    option(marked, "--threshold NATS", text, type=finite)
    text = "split for --contamination: train (default), or test, which the model never saw"
    option(a, "--threshold-from", text, choices=("train", "test"))
    text = "path of the training data, if they have moved"
    option(a, "--training-data PATH", text, type=place)
    text = "labels that count as anomalous, default those left out of training"
    option(a, "--anomalous LABEL[,LABEL...]", text, type=names, action=Extend)

    o = command("export", "runs/mnist -o mnist.safetensors")
    option(o, "run_folder RUN", RUN, type=place)
    result(o, ".safetensors", runs.EXPORT, f"RUN/{runs.EXPORT}, or beside a saved model")

    v = command("verify", "my_layers.py")
    text = "check each pair f, f_backward in it; inputs from inputs_f() or a decorator; for a "
    text += "folder: grade each Python file, one line per file"
    option(v, "file FILE.py|FOLDER", text, type=file, nargs="?")
    text = "instead, plant bugs in every gradient, and report whether the checks detect them"
    switch(v, "--teeth", text)
    text = "print every gradient of every model, and every report"
    option(v, "-v/--verbose", text, action="store_true")
    text = "check the pairs whose name contains TEXT"
    option(v, "-k/--only TEXT", text, default="")
    switch(v, "--json", "print the reports on FILE.py as JSON instead")
    option(v, "--junit FILE.xml", "also write the reports on FILE.py for a CI server", type=file)
    option(v, "--csv GRADES.csv", "also write the grades of FOLDER as CSV", type=file)
    option(v, "--seed", "seed of the random inputs, default {default}", type=index, default=0)
    option(v, "--threads N", THREADS, type=count)
    text = "also draw the error of every gradient: .png, .svg or .pdf"
    option(v, "-o/--output FILE", text, type=file)

    d = command("diagram", "--hidden 400,200 --latent-dim 10 -o vae.svg")
    text = f"{RUN}; default: the model that train would start with"
    option(d, "run_folder RUN", text, type=place, nargs="?")
    name = "diagram.svg"
    result(d, ".svg, .png or .pdf", name, f"{name}, in the folder of the run")
    setting(d, "--data NAME|PATH", "data set for the input width, default {default}", type=place)
    setting(d, "--data-dir DIR", DATA_DIR, type=place)
    reading_options(d)
    model_options(d)
    return top
