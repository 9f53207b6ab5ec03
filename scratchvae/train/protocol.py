"""The part of a model that the training loop, its callbacks and checkpoints use.

`Model` implements it. The loop does not import the models, and can train any object with these
attributes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..backend import Array
from ..backend.memory import Flat, Workspace
from ..data.rows import RowFormat

Record = dict[str, float]  # of an epoch: the columns of metrics.csv


class TrainableModel(Protocol):
    """A built model: its parameters, and the methods that a training step calls."""

    seed: int
    dtype: str
    likelihood: str
    latent_dim: int
    n_features_: int
    rows_: RowFormat
    params_: Flat
    history_: list[Record]  # one record per epoch
    gradients: Flat  # written by `backward`

    @property
    def scheduled(self) -> bool:
        """Whether `backward` reads the KL schedule."""

    @property
    def xp(self) -> Any:
        """The array module of the device."""

    @property
    def workspace(self) -> Workspace:
        """Named buffers."""

    def get_params(self) -> dict[str, Any]:
        """The hyper-parameters by name."""

    def check(self, X: Any, y: Any = None) -> np.ndarray:
        """The rows (N,D) for `forward`, on the host. Raises InputError if they do not fit."""

    def draw_noise(self, n: int, width: Any = None, draw: Any = ..., **key: Any) -> Array:
        """The noise of n rows by `noise.normal`, or draw, keyed by seed, stream, step and row."""

    def forward(self, x: Array, eps: Array) -> Any:
        """Activations, in the order of computation, with `mu` (B,Z), `rec` and `kl` (B,)."""

    def backward(self, g: Flat, acts: Any, ramp: float = 1.0) -> None:
        """Writes the gradient of the mean loss into g."""

    def example_losses(self, acts: Any) -> Array:
        """The loss of each example (B,), nats."""

    def describe(self) -> dict[str, Any]:
        """The metadata of a file: the kind of model, hyper-parameters, format of the rows."""

    def save(self, path: Path, *, run: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Write the checkpoint of a run."""

    def sample(self, n: int) -> np.ndarray:
        """n decoded points of the latent space (n,D), the same points at each call."""


class ChargesMeanKL(TrainableModel, Protocol):
    """A model that, with free_bits or a capacity, penalises the mean KL of a mini-batch."""

    def backward(self, g: Flat, acts: Any, ramp: float = 1.0, mean_kl: Array | None = None) -> None:
        """Like `TrainableModel.backward`; mean_kl: of the mini-batch that acts are a part of."""

    def mean_kl(self, acts: Any) -> Array:
        """The KL of each unit, averaged over the examples: (Z,), nats."""
