"""One file a model; `base.py` is the face that they share."""

from .autoencoder import Autoencoder
from .cvae import ConditionalVAE
from .iwae import IWAE
from .labelled import Labelled
from .m2 import SemiSupervisedVAE
from .model import Model
from .vae import VAE

MODELS: dict[str, type[Model]] = {
    "ae": Autoencoder,
    "vae": VAE,
    "iwae": IWAE,
    "cvae": ConditionalVAE,
    "m2": SemiSupervisedVAE,
}

__all__ = [
    "IWAE",
    "MODELS",
    "VAE",
    "Autoencoder",
    "ConditionalVAE",
    "Labelled",
    "Model",
    "SemiSupervisedVAE",
]
