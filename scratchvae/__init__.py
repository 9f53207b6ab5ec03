"""A variational autoencoder from scratch: every gradient by hand, every gradient proved."""

from .data.load import load_data
from .errors import CheckpointError, CheckpointWarning, DataError, InputError, NonFiniteError
from .files.checkpoint import load_model
from .models import IWAE, VAE, Autoencoder, ConditionalVAE, SemiSupervisedVAE

__version__ = "0.1.0"

__all__ = [
    "IWAE",
    "VAE",
    "Autoencoder",
    "CheckpointError",
    "CheckpointWarning",
    "ConditionalVAE",
    "DataError",
    "InputError",
    "NonFiniteError",
    "SemiSupervisedVAE",
    "load_data",
    "load_model",
]
