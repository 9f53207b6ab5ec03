"""The models, one file each with its forward and backward, and the methods that they share.

Read `vae.py` first. `model.py` has the public methods, `losses.py` the loss terms. Nothing here
knows the command line, a picture or a published number. Only the modules that take data or return
results may use NumPy: `model.py`, `labelled.py`, `load.py` and `bounds.py`.
"""

from .autoencoder import Autoencoder
from .cvae import ConditionalVAE
from .iwae import IWAE
from .labelled import Labelled
from .load import MODELS, load_model
from .m2 import SemiSupervisedVAE
from .model import Model
from .vae import VAE

__all__ = [
    "IWAE",
    "MODELS",
    "VAE",
    "Autoencoder",
    "ConditionalVAE",
    "Labelled",
    "Model",
    "SemiSupervisedVAE",
    "load_model",
]
