"""The options of `train`, some of which `diagram` takes too."""

import argparse

from ..data.batches import BINARIZE
from ..models import MODELS
from ..models.iwae import OBJECTIVES
from ..models.losses import LIKELIHOODS
from ..models.parameters import INITS
from ..nets import ACTIVATIONS
from .arguments import Parser, names, number_of, widths


def train_options(t: Parser) -> None:
    """The options of train; those not given stay unset, so that --resume knows which were."""
    t.argument_default = argparse.SUPPRESS

    g = t.add_argument_group("data")
    g.add_argument(
        "--data", metavar="strokes|mnist|fashion-mnist|PATH",
        help="default strokes; PATH: .npy, .npz (X, y), or a folder of IDX files",
    )  # fmt: skip
    g.add_argument("--data-dir", metavar="DIR", help="where the files of mnist lie")
    g.add_argument(
        "--download", action="store_true", default=False,
        help="first fetch what is missing of mnist or fashion-mnist, and check it",
    )  # fmt: skip
    g.add_argument("--binarize", choices=BINARIZE, help="make grey pixels binary")
    g.add_argument(
        "--labels", type=number_of(int, 1), metavar="N",
        help="m2: keep N labels of the training split, as many of each class; default all",
    )  # fmt: skip
    g.add_argument(
        "--leave-out", type=names, metavar="LABEL[,LABEL...]",
        help="learn from the other labels only (not cvae); the test split keeps all (see anomaly)",
    )  # fmt: skip

    model_options(t)
    _run_options(t)


def model_options(t: Parser) -> None:
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
    g.add_argument(
        "--clip-norm", type=real, metavar="C", help="scale larger gradients to this norm"
    )
    g.add_argument("--patience", type=whole, metavar="P", help="stop after P epochs without gain")
    g.add_argument(
        "--checkpoint-every", default="10m", metavar="N|TIME",
        help="within an epoch too: after N steps, or 90s, 10m, 1h; default 10m, with --resume too",
    )  # fmt: skip
    g.add_argument(
        "--keep", type=number_of(int, 1), default=2, metavar="K",
        help="the last K checkpoints, and the best one; default 2, with --resume too",
    )  # fmt: skip
    g.add_argument(
        "--detect-anomaly", action="store_true", default=False,
        help="look at what every op returns, to find where a NaN comes from; slow",
    )  # fmt: skip
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
