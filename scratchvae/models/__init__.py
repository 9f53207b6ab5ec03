"""One file a model; `base.py` is the face that they share."""

from .autoencoder import Autoencoder
from .base import Model
from .vae import VAE

MODELS: dict[str, type[Model]] = {"ae": Autoencoder, "vae": VAE}

__all__ = ["MODELS", "VAE", "Autoencoder", "Model"]
