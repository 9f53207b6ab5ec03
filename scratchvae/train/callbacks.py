"""What is called after an epoch or within one: early stopping, frames of the latent space, and the
timer of checkpoints."""

import re
import time
from collections.abc import Callable, Mapping
from math import isnan
from typing import Any, Self

import numpy as np

from ..data.batches import are_images, image_side
from ..errors import InputError, whole_number
from .protocol import Record, TrainableModel

UNITS = {"s": 1, "m": 60, "h": 3600}  # seconds
MAX_FRAMES = 60  # of a longer run, every second epoch is kept, or every fourth, ...
POINTS = 48  # latent points in a frame, about, which bounds the size of the file
FRAME_SIDE = 400  # pixels that the images in a row of a frame may take together


def is_best(record: Record, history: list[Record]) -> bool:
    """Whether no test loss of the history is smaller; the record's is one of them."""
    return record["test_loss"] == min(r["test_loss"] for r in history)


class EarlyStopping:
    """A callback that ends the run when the test loss has not improved for `patience` epochs."""

    def __init__(self, patience: int) -> None:
        self.patience = whole_number(patience, "patience")

    def __call__(self, trainer: Any, record: Record) -> bool:
        if isnan(record["test_loss"]):
            raise InputError("early stopping needs a test split to look at: pass X_test")
        series = [r["test_loss"] for r in trainer.model.history_]
        return len(series) - 1 - int(np.argmin(series)) >= self.patience


class LatentFrames:
    """A callback that decodes the same latent points after each epoch, for an animation.

    epochs    of training before each frame
    frames    (n,D) each, the n decoded points as bytes

    A checkpoint holds the frames, so a resumed run still has the earlier ones.
    """

    def __init__(self, model: TrainableModel) -> None:
        self.columns = frame_columns(model)
        self.n = self.columns * max(2, min(self.columns, POINTS // self.columns))
        self._frames: list[tuple[int, np.ndarray]] = []
        self._before_last = self._frames
        self.add(model)

    @property
    def epochs(self) -> list[int]:
        return [epoch for epoch, _ in self._frames]

    @property
    def frames(self) -> list[np.ndarray]:
        return [frame for _, frame in self._frames]

    @classmethod
    def of(cls, model: TrainableModel) -> Self | None:
        """Frames of a model whose rows are square images, else None."""
        return cls(model) if are_images(model.n_features_) else None

    def add(self, model: TrainableModel) -> None:
        """Add the next frame, and keep those earlier ones that lie a whole number of strides back.

        An epoch that was interrupted is replaced.
        """
        epoch, stride = len(model.history_), 1
        if self._frames and self._frames[-1][0] >= epoch:
            self._frames = self._before_last
        while epoch > (MAX_FRAMES - 2) * stride:
            stride *= 2
        earlier = [(e, frame) for e, frame in self._frames if e % stride == 0]
        image = np.rint(255 * np.clip(model.sample(self.n), 0, 1)).astype(np.uint8)
        self._before_last, self._frames = self._frames, [*earlier, (epoch, image)]

    def __call__(self, trainer: Any, record: Any) -> None:
        self.add(trainer.model)

    def arrays(self, epoch: int) -> dict[str, np.ndarray]:
        """The frames up to that epoch, for a checkpoint: epochs (F,) and frames (F,n,D)"""
        kept = self._frames if self._frames[-1][0] <= epoch else self._before_last
        epochs, frames = ([frame[i] for frame in kept] for i in range(2))
        return {"film_epochs": np.array(epochs), "film": np.array(frames)}

    def resume(self, arrays: Mapping[str, Any]) -> None:
        """Take over the frames of a checkpoint, where it has any that fit."""
        epochs, frames = arrays.get("film_epochs"), arrays.get("film")
        if epochs is not None and frames is not None and len(epochs) == len(frames) > 0:
            same = frames.shape[1:] == self.frames[-1].shape and frames.dtype == np.uint8
            if same and epochs[-1] == self.epochs[-1]:
                self._frames = list(zip(epochs.tolist(), frames, strict=True))


def frame_columns(model: TrainableModel) -> int:
    """Points in a row of a frame; classes take turns, so each has columns of its own."""
    limit = max(2, min(8, FRAME_SIDE // (image_side(model.n_features_) + 2)))
    classes = len(getattr(model, "classes_", ()))
    return classes * max(1, limit // classes) if 0 < classes <= 10 else limit


class CheckpointTimer:
    """Says when a checkpoint is due: every so many steps, or every so often ("90s", "10m", "1h").

    Raises InputError for any other interval.
    """

    def __init__(self, every: int | str, checkpoint: Callable[[Any], Any] | None = None) -> None:
        self.checkpoint = checkpoint
        self.steps = self.seconds = 0
        text = re.fullmatch(r"([0-9]{1,9})([smh]?)", str(every))
        if not text or int(text[1]) == 0:
            raise InputError(
                "checkpoint_every must be a number of steps (500) or a time (90s, 10m, 1h), got "
                f"{every!r}"
            )
        if text[2]:
            self.seconds = int(text[1]) * UNITS[text[2]]
        else:
            self.steps = int(text[1])
        self.restart()

    def restart(self) -> None:
        """A checkpoint was just written, elsewhere."""
        self._started = time.monotonic()

    def write(self, trainer: Any) -> None:
        """Write a checkpoint of the run as it is."""
        if self.checkpoint is not None:
            self.checkpoint(trainer)
        self.restart()

    def due_by_step(self, step: int) -> bool:
        return self.steps > 0 and step % self.steps == 0

    def due_by_time(self) -> bool:
        return 0 < self.seconds <= time.monotonic() - self._started
