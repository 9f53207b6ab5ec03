"""Published numbers, each with its protocol and its source.

`evaluation.py` compares a model with them if the protocols agree.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A published number, in nats per example; smaller is better."""

    value: float
    pixels: str  # "none": grey; "static": one binary file; "dynamic": binarised at random
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
MIN_EXAMPLES = 1000  # for a comparison; the published numbers use 10,000
PIXELS = {
    "none": "grey pixels",
    "static": "images binarised once, also for training",
    "dynamic": "images binarised at random, once per training step",
}
