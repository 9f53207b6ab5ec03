"""The family: one file a model with its own forward and backward, and the calls that they share.

`vae.py` is the one to read first; `model.py` is what users call, `losses.py` the densities. Nothing
here knows a command line, a picture or a published number, and only `model.py`, `labelled.py`,
`load.py`, `bounds.py` and `torch_names.py`, where data come in and results go out, may use NumPy.
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
