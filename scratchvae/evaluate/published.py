"""Published numbers, each with its protocol, and the refusal to compare what cannot be compared.

The numbers were read in the sources that stand beside them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from .evaluation import Evaluation


@dataclass(frozen=True)
class Row:
    """A published number, in nats per example, smaller is better."""

    value: float
    pixels: str  # "none": grey; "static": one binary file; "dynamic": binary at random
    k: int | None  # importance samples of a log-likelihood; None: a negative ELBO
    model: str
    source: str


BURDA = "Burda et al., arXiv:1509.00519, table 1, one stochastic layer"
PYTHAE = "pythae, examples/scripts/reproducibility/vae.py"
ALTOSAAR = "github.com/altosaar/variational-autoencoder"
PUBLISHED = {
    "pytorch-example": Row(
        106.66, "none", None, "VAE 784-400-20, seven epochs", "pytorch/examples, pull request 1416"
    ),
    "iwae-k1": Row(86.76, "dynamic", 5000, "IWAE 784-200-200-50, k = 1", BURDA),
    "iwae-k5": Row(85.54, "dynamic", 5000, "IWAE 784-200-200-50, k = 5", BURDA),
    "iwae-k50": Row(84.78, "dynamic", 5000, "IWAE 784-200-200-50, k = 50", BURDA),
    "vae-k5": Row(86.47, "dynamic", 5000, "VAE 784-200-200-50, k = 5", BURDA),
    "vae-k50": Row(86.35, "dynamic", 5000, "VAE 784-200-200-50, k = 50", BURDA),
    "pythae-vae": Row(89.78, "static", 200, "VAE 784-400-40", PYTHAE),
    "altosaar-elbo": Row(103.31, "static", None, "VAE 784-256-256-128", ALTOSAAR),
    "altosaar-nll": Row(97.10, "static", 128, "VAE 784-256-256-128", ALTOSAAR),
}
ENOUGH = 1000  # examples that stand for all
PIXELS = {
    "none": "grey pixels",
    "static": "images made binary once, for training too",
    "dynamic": "images made binary at random, anew at each step of training",
}


def comparable(found: "Evaluation", row: Row) -> str:
    """ "" if the two numbers measure the same thing, or the reason why not."""
    if found.model == "Autoencoder":
        return "it is about a bound of log p(x), and an autoencoder has none"
    if found.data != "mnist":
        return f"it is about the data set mnist, and these data are {found.data}"
    if "test split" not in found.split:
        return f"it is about the test split, and this about: {found.split}"
    if found.left_out:
        return f"it is about all digits, and this model never saw label {found.left_out}"
    if found.likelihood != "bernoulli":
        return f"it has a Bernoulli likelihood, and this model a {found.likelihood} one"
    if found.given_labels:
        return "it is about p(x), and this bound about p(x|y) or p(x, y)"
    if found.pixels != row.pixels:
        return f"it is about {PIXELS[row.pixels]}, and this about {PIXELS[found.pixels]}"
    if row.k and not found.k:
        return f"it is a log-likelihood by {row.k} importance samples, and this an ELBO: give k"
    if found.n < ENOUGH:
        return f"it is about 10,000 images, and this about {found.n}: measure {ENOUGH:,} or more"
    return ""


def compare(found: "Evaluation", name: str) -> str:
    """One sentence that puts a number beside a published one; InputError if they do not compare."""
    if name not in PUBLISHED:
        raise InputError(f"no published row {name!r}: choose one of {', '.join(PUBLISHED)}")
    row = PUBLISHED[name]
    if reason := comparable(found, row):
        raise InputError(f"{name} ({row.value}, {row.source}) cannot be compared: {reason}")
    ours, error = -found.elbo, found.elbo_error
    if row.k is not None and found.log_likelihood is not None:
        ours, error = -found.log_likelihood, found.standard_error
    text = (
        f"{ours:.2f} +- {error:.2f} nats here ({found.model} {found.widths}, {found.epochs} epochs)"
        f", {row.value:.2f} published ({row.model}; {row.source}); smaller is better"
    )
    if row.k and found.k and found.k < row.k:
        text += f"; with {row.k} samples instead of {found.k}, this bound would be no looser"
    if row.pixels == "static":
        text += "; the binary images are our own draw, not the file of Larochelle & Murray"
    return text
