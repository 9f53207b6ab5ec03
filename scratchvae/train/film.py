"""What becomes of a few latent points while a model learns: kept epoch by epoch, for an animation.

The frames lie in the checkpoint too, so a resumed run shows its earlier epochs. `animation.py`
draws them.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any, Self

import numpy as np

from ..models import Labelled, Model

MOST = 60  # frames: of a longer run, every second epoch is kept, or every fourth, ...
POINTS = 48  # about so many, for the size of the file
PANEL = 400  # pixels that a side of the pictures may take together


def columns(model: Model) -> int:
    """Points in a row; with labels, which take turns, each has columns of its own."""
    most = max(2, min(8, PANEL // (isqrt(model.n_features_) + 2)))
    if isinstance(model, Labelled) and len(model.classes_) <= 10:
        return len(model.classes_) * max(1, most // len(model.classes_))
    return most


class Film:
    """A callback of `Trainer.run`. Its frames are `model.sample` of the same points each time.

    epochs    how many each frame has behind it
    frames    (n,D) each, the n decoded points as bytes
    """

    def __init__(self, model: Model) -> None:
        self.columns = columns(model)
        self.n = self.columns * max(2, min(self.columns, POINTS // self.columns))
        self._shots: list[tuple[int, np.ndarray]] = []
        self._before = self._shots  # without the last one
        self.take(model)

    @property
    def epochs(self) -> list[int]:
        return [epoch for epoch, _ in self._shots]

    @property
    def frames(self) -> list[np.ndarray]:
        return [frame for _, frame in self._shots]

    @classmethod
    def of(cls, model: Model) -> Self | None:
        """A film of a model whose rows are images, else None."""
        return cls(model) if isqrt(model.n_features_) ** 2 == model.n_features_ else None

    def take(self, model: Model) -> None:
        """The next frame; of the earlier ones, those stay that are a whole number of strides on.

        An epoch that was interrupted is taken again.
        """
        epoch, stride = len(model.history_), 1
        if self._shots and self._shots[-1][0] >= epoch:
            self._shots = self._before
        while epoch > (MOST - 2) * stride:
            stride *= 2
        kept = [(e, frame) for e, frame in self._shots if e % stride == 0]
        image = np.rint(255 * np.clip(model.sample(self.n), 0, 1)).astype(np.uint8)
        self._before, self._shots = self._shots, [*kept, (epoch, image)]

    def __call__(self, trainer: Any, record: Any) -> None:
        self.take(trainer.model)

    def arrays(self, epoch: int) -> dict[str, np.ndarray]:
        """What a checkpoint keeps, of the frames up to that epoch: (F,) and (F,n,D)"""
        shots = self._shots if self._shots[-1][0] <= epoch else self._before
        epochs, frames = ([shot[i] for shot in shots] for i in range(2))
        return {"film_epochs": np.array(epochs), "film": np.array(frames)}

    def resume(self, arrays: Mapping[str, Any]) -> None:
        """Go on from what `arrays` gave; from the present epoch, where a checkpoint has no film."""
        epochs, frames = arrays.get("film_epochs"), arrays.get("film")
        if epochs is not None and frames is not None and len(epochs) == len(frames) > 0:
            same = frames.shape[1:] == self.frames[-1].shape and frames.dtype == np.uint8
            if same and epochs[-1] == self.epochs[-1]:
                self._shots = list(zip(epochs.tolist(), frames, strict=True))
