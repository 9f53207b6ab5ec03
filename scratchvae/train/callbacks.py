"""Callbacks of the training loop: early stopping, latent-space frames, and the checkpoint timer."""

import json
import re
import time
from collections.abc import Callable, Mapping
from math import isnan
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import CheckpointError, InputError, warn, whole_number
from ..files import checkpoint
from ..files.home import expanded
from ..files.reading import UnreadableFile, refusing
from .optim import TRAINING
from .protocol import Record, TrainableModel
from .snapshot import check_arrays, history_of, load_arrays, resumed_step

UNITS = {"s": 1, "m": 60, "h": 3600}  # seconds
MAY_DIFFER = ("epochs", "device")  # in a resumed run: it may get longer, or move
FUNCTION = "a function"  # stored for a step size that is a function
MAX_FRAMES = 60  # a longer run keeps every second epoch, or every fourth, ...


def is_best(record: Record, history: list[Record]) -> bool:
    """Whether the record has the lowest test loss of the history, which contains it."""
    return record["test_loss"] == min(r["test_loss"] for r in history)


class EarlyStopping:
    """A callback that ends the run when the test loss has not improved for `patience` epochs."""

    def __init__(self, patience: int) -> None:
        self.patience = whole_number(patience, "patience")

    def __call__(self, trainer: Any, record: Record) -> bool:
        if isnan(record["test_loss"]):
            raise InputError("early stopping needs a test split: pass X_test")
        return self.is_over(trainer.model.history_)

    def is_over(self, history: list[Record]) -> bool:
        """Whether a run with this history has ended."""
        series = [r["test_loss"] for r in history]
        return len(series) - 1 - int(np.argmin(series)) >= self.patience


class RunFile:
    """A callback that writes the state of a run to a file; it resumes the run if the file exists.

    Raises InputError if the file is of a run with other data or settings, before anything changes.
    Two step sizes that are functions cannot be compared. Raises OSError if the first write fails;
    if a later one fails, the earlier file stays intact, and the run continues with a warning.
    """

    def __init__(self, path: str | Path, trainer: Any) -> None:
        self.path = Path(expanded(path))
        if self.path.suffix.lower() != ".npz":
            raise InputError(f"the checkpoint file {self.path} must end in .npz")
        self.failed = False  # whether the last write failed
        if self.path.exists():
            self.resume(trainer)
        else:
            self.write(trainer)
        self.step: int = trainer.step  # of the state in the file

    def __call__(self, trainer: Any, record: Record | None = None) -> None:
        try:
            self.write(trainer)
            self.failed, self.step = False, trainer.step
        except OSError as error:  # a full disk may have space again later
            if not self.failed:
                warn(
                    f"step {trainer.step} cannot be saved ({error.strerror or error}): {self.path} "
                    f"is the last good checkpoint, of step {self.step}; the run continues"
                )
            self.failed = True

    def write(self, trainer: Any) -> None:
        """Write the state of the run. Raises OSError, leaving an earlier file unchanged."""
        numbers, arrays = trainer.state()
        run = numbers | {"training": _settings(trainer)}
        trainer.model.save(self.path, run=run, arrays=arrays)

    def resume(self, trainer: Any) -> None:
        """Load the state in the file into the trainer and its model."""
        model, (meta, arrays) = trainer.model, checkpoint.read(self.path)
        with refusing(self.path, CheckpointError):
            run, settings = dict(meta["run"]), _settings(trainer)
            if "training" not in run:
                kind = "a checkpoint of the command train" if run else "a saved model"
                raise UnreadableFile(
                    f"is {kind}, not the state of a run from Python: name another file"
                )
            # files of earlier versions have neither v0 nor a step size that is a function
            training = {"lr": FUNCTION, "v0": settings["v0"]} | dict(run["training"])
            then = _flat({name: meta[name] for name in model.describe()}, training)
            now = _flat(model.describe(), settings)
            for name in now | then:  # the kind of model first
                if then.get(name) != now.get(name):
                    raise InputError(
                        f"the run in it has {name} {then.get(name)!r}, not {now.get(name)!r}: "
                        "continue with the same, or name another file"
                    )
            # all checks come before the first assignment
            history, (numbers, state) = history_of(meta["history"]), trainer.state()
            own = numbers["rows"], numbers["data"], len(history), trainer.steps_per_epoch
            resumed_step(run, *own)
            parameters = {f"param/{name}": a for name, a in model.params_.items()}
            check_arrays(parameters | state, arrays)
            model.history_ = history
            load_arrays(parameters, arrays)
            trainer.resume(run, arrays)


def _settings(trainer: Any) -> dict[str, Any]:
    """The settings of a run that change its result; a function is stored only as FUNCTION."""
    adam = {name: getattr(trainer.adam, name) for name in ("beta1", "beta2", "eps", "v0")}
    own = {name: getattr(trainer, name) for name in TRAINING}
    return adam | {name: FUNCTION if callable(value) else value for name, value in own.items()}


def _flat(about: dict[str, Any], training: Any) -> dict[str, Any]:
    """The settings of model and run by name, as JSON types; a run may change MAY_DIFFER."""
    named = about | dict(about["config"]) | dict(training)
    own = {name: value for name, value in named.items() if name not in ("config", *MAY_DIFFER)}
    found: dict[str, Any] = json.loads(json.dumps(own, default=lambda scalar: scalar.item()))
    return found


class LatentFrames:
    """A callback that decodes the same latent points after each epoch, for an animation.

    epochs    number of epochs trained before each frame
    frames    (n,H,W) or (n,H,W,3) each: the n decoded points, uint8

    Checkpoints hold the frames, so a resumed run has the earlier ones.
    """

    def __init__(self, model: TrainableModel) -> None:
        self.columns = frame_columns(model)
        # about 48 points a frame, which bounds the size of the file
        self.n = self.columns * max(2, min(self.columns, 48 // self.columns))
        self._frames: dict[int, np.ndarray] = {}
        self._before_last = self._frames
        self.add(model)

    @property
    def epochs(self) -> list[int]:
        return list(self._frames)

    @property
    def frames(self) -> list[np.ndarray]:
        return list(self._frames.values())

    @classmethod
    def of(cls, model: TrainableModel) -> Self | None:
        """Frames of a model whose rows are images, else None."""
        return cls(model) if model.rows_.image_shape else None

    def add(self, model: TrainableModel) -> None:
        """Add the next frame, and thin out the earlier ones to multiples of a stride.

        It replaces the frame of an interrupted epoch.
        """
        epoch, stride = len(model.history_), 1
        if self._frames and self.epochs[-1] >= epoch:
            self._frames = self._before_last
        while epoch > (MAX_FRAMES - 2) * stride:
            stride *= 2
        earlier = {e: frame for e, frame in self._frames.items() if e % stride == 0}
        images = np.rint(255 * model.rows_.images(model.sample(self.n))).astype(np.uint8)
        self._before_last, self._frames = self._frames, earlier | {epoch: images}

    def __call__(self, trainer: Any, record: Any) -> None:
        self.add(trainer.model)

    def arrays(self, epoch: int) -> dict[str, np.ndarray]:
        """The frames up to this epoch, for a checkpoint: epochs (F,) and frames (F,n,D)

        An image is stored as a row, with the colours of a pixel side by side.
        """
        kept = self._frames if self.epochs[-1] <= epoch else self._before_last
        film = np.array(list(kept.values())).reshape(len(kept), self.n, -1)
        return {"film_epochs": np.array(list(kept)), "film": film}

    def resume(self, arrays: Mapping[str, Any]) -> None:
        """Load the frames of a checkpoint, if it has any that fit."""
        epochs, frames = arrays.get("film_epochs"), arrays.get("film")
        if epochs is not None and frames is not None and len(epochs) == len(frames) > 0:
            now = self.frames[-1]
            same = frames.shape[1:] == (self.n, now[0].size) and frames.dtype == np.uint8
            if same and epochs[-1] == self.epochs[-1]:
                images = frames.reshape(-1, *now.shape)
                self._frames = dict(zip(epochs.tolist(), images, strict=True))


def frame_columns(model: TrainableModel) -> int:
    """Points per row of a frame: a multiple of the number of classes, so each has own columns."""
    longest = max(model.rows_.arranged(np.zeros(model.n_features_)).shape[:2])
    limit = max(2, min(8, 400 // (longest + 2)))  # 400 pixels wide and high
    classes = len(getattr(model, "classes_", ()))
    return classes * max(1, limit // classes) if 0 < classes <= 10 else limit


class CheckpointTimer:
    """Decides when a checkpoint is due: every n steps, or after a time such as "90s", "10m", "1h".

    Raises InputError for any other interval.
    """

    def __init__(self, every: int | str, checkpoint: Callable[[Any], Any] | None = None) -> None:
        self.checkpoint = checkpoint
        text = re.fullmatch(r"([0-9]{1,9})([smh]?)", str(every))
        if not text or int(text[1]) == 0:
            known = "a number of steps (500) or a time (90s, 10m, 1h)"
            raise InputError(f"checkpoint_every must be {known}, got {every!r}")
        number, unit = int(text[1]), text[2]
        self.steps = 0 if unit else number
        self.seconds = number * UNITS[unit] if unit else 0
        self.restart()

    def restart(self) -> None:
        """Restart the timer, because a checkpoint was just written elsewhere."""
        self._started = time.monotonic()

    def write(self, trainer: Any) -> None:
        """Write a checkpoint of the run now."""
        if self.checkpoint is not None:
            self.checkpoint(trainer)
        self.restart()

    def due_by_step(self, step: int) -> bool:
        return self.steps > 0 and step % self.steps == 0

    def due_by_time(self) -> bool:
        return 0 < self.seconds <= time.monotonic() - self._started
