"""The door: what users call, the same for every model.

Arrays are checked here, once, with a sentence that says what is wrong; they go to the device and come back as
NumPy copies. Behind it stand a model's `forward` and `backward`, which trust what they get.
"""

from collections.abc import Callable, Iterator
from typing import Any, Self, get_args

import numpy as np

from .. import noise
from ..backend import Array, namespace, to_numpy
from ..data.batches import check_images, chunks, to_float
from ..errors import InputError
from ..memory import Flat, Shapes, Workspace
from ..nets import ACTIVATIONS

LIKELIHOODS = ("bernoulli", "gaussian")
DTYPES = ("float32", "float64")
CHUNK = 500  # rows at a time where a whole data set passes through


class Model:
    """What all models share. A subclass is its hyper-parameters, its shapes, and calls of its two functions.

    Learned attributes end in an underscore: `n_features_` (width of the data), `params_` (named parameters, on the
    device), `history_` (one dict an epoch: the columns of metrics.csv).
    """

    latent_dim: int
    hidden: tuple[int, ...]
    activation: str
    likelihood: str
    beta: float
    dtype: str
    device: str
    seed: int

    n_features_: int
    params_: Flat
    history_: list[dict[str, float]]

    # ------------------------------------------------------------------------- what a subclass provides

    def _shapes(self, n_features: int) -> Shapes:
        """Names and shapes of the parameters, (fan in, fan out)."""
        raise NotImplementedError

    def _forward(self, x: Array, eps: Array, ws: Workspace) -> Any:
        """Activations, with the per-example losses `rec` and `kl`, both (B,)."""
        raise NotImplementedError

    def _backward(self, g: Flat, acts: Any, ws: Workspace, beta: float) -> None:
        """Writes the gradient of mean(rec + beta kl) into g."""
        raise NotImplementedError

    def _decode(self, z: Array, ws: Workspace) -> Array:
        """Pixel means (B,D) of p(x|z)."""
        raise NotImplementedError

    def _code(self, x: Array, ws: Workspace) -> Array:
        """The code (B,Z) that stands for x: a posterior mean, or what the encoder says."""
        raise NotImplementedError

    def _torch_names(self) -> Iterator[tuple[str, str, slice]]:
        """(own prefix, PyTorch prefix, columns of the own tensor) of every linear layer."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------- life and memory

    def get_config(self) -> dict[str, Any]:
        """The hyper-parameters by name: `type(model)(**model.get_config())` is its untrained twin."""
        names = type(self).__init__.__code__.co_varnames[1 : type(self).__init__.__code__.co_argcount]
        return {name: getattr(self, name) for name in names}
