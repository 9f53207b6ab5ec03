"""A variational autoencoder from scratch: every gradient is hand-written and checked.

Reading order:

1. `ops.py`                       every op of the VAE and its gradient
2. `nets.py`                      a stack of layers
3. `models/losses.py`, first part the losses that a VAE needs
4. `models/vae.py`                the VAE, forward and backward
5. `train/trainer.py`             `Trainer.take_step`, one step of training
"""

from typing import TYPE_CHECKING

from . import gradcheck
from .startup import importer
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .data.load import load_data
    from .errors import CheckpointError, CheckpointWarning, DataError, InputError, NonFiniteError
    from .evaluate.outliers import AnomalyDetector
    from .models import IWAE, VAE, Autoencoder, ConditionalVAE, SemiSupervisedVAE, load_model

__all__ = ["IWAE", "VAE", "Autoencoder", "ConditionalVAE", "SemiSupervisedVAE", "load_model"]
__all__ += ["CheckpointError", "CheckpointWarning", "DataError", "InputError", "NonFiniteError"]
__all__ += ["AnomalyDetector", "load_data"]

# public name: the module that defines it, imported on first access
_HOMES = {n: ".errors" if n.endswith(("Error", "Warning")) else ".models" for n in __all__}
_HOMES |= {"AnomalyDetector": ".evaluate.outliers", "load_data": ".data.load"}
_ROOMS = ("backend", "data", "errors", "evaluate", "files", "models", "nets", "ops", "train")

gradcheck.provide(
    check_model="scratchvae.verify.model",
    check_op="scratchvae.verify.ops",
    draw_inputs="scratchvae.verify.ops",
)


if not TYPE_CHECKING:  # otherwise a type checker accepts any name
    __getattr__ = importer(__name__, _HOMES, _ROOMS)


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS, "gradcheck"})
