"""The models, one file each with its forward and backward, and the methods that they share.

Read `vae.py` first. `model.py` has the public methods, `losses.py` the loss terms. Nothing here
knows the command line, pictures or published numbers. Only the modules that take data or return
results may use NumPy: `model.py`, `labelled.py`, `load.py`, `bounds.py` and
`scores/__init__.py`.
"""

from typing import TYPE_CHECKING

from ..startup import importer

if TYPE_CHECKING:
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

_HOMES = {  # a script that uses one model imports no other
    "IWAE": ".iwae",
    "MODELS": ".load",
    "VAE": ".vae",
    "Autoencoder": ".autoencoder",
    "ConditionalVAE": ".cvae",
    "Labelled": ".labelled",
    "Model": ".model",
    "SemiSupervisedVAE": ".m2",
    "load_model": ".load",
}
_MODULES = (
    *("autoencoder", "bounds", "cvae", "estimator", "iwae", "labelled", "load", "losses", "m2"),
    *("model", "parameters", "scores", "vae"),
)

if not TYPE_CHECKING:  # a type checker would take any name for a public one
    __getattr__ = importer(__name__, _HOMES, _MODULES)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
