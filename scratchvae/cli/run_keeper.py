"""Write the files of a training run while it trains, and handle a full disk."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DamagedError, warn
from ..files import run_folder
from ..files.retention import Retention
from ..files.run_folder import BEST, INCOMING, candidates
from ..models.load import load
from ..train import Record, Trainer
from ..train.callbacks import LatentFrames, is_best
from ..version import __version__
from .settings import of_checkpoint


class RunKeeper:
    """Writes checkpoints, metrics.csv and config.json; limit: checkpoints to keep, without best."""

    def __init__(
        self, folder: Path, settings: dict[str, Any], frames: LatentFrames | None, limit: int
    ) -> None:
        self.folder, self.settings, self.frames = folder, settings, frames
        self.retention = Retention(folder, limit)
        self.started = False  # False while the folder still holds the run to be replaced
        self.complete = True  # whether the last save succeeded entirely
        self.best_is_saved = True
        self.config_is_written = False

    def resume(self, source: Path, trainer: Trainer) -> None:
        """Continue the run in the folder, which was loaded from `source`."""
        seconds = run_folder.seconds_of_epochs(self.folder)
        for record in trainer.model.history_:
            record["seconds"] = seconds.get(int(record["epoch"]), record["seconds"])
        self.started = True
        with self._warning(trainer):
            run_folder.sweep_up(self.folder)
            _remove_if_damaged(self.folder / BEST)
            self.retention.resume(source, trainer.step, _at_its_best(trainer))
            self._write_the_rest(trainer)

    def __call__(self, trainer: Trainer, record: Record | None = None) -> None:
        """Save the run: a callback for the end of an epoch, and for checkpoints within one."""
        with self._warning(trainer):
            self.save(trainer)

    @contextmanager
    def _warning(self, trainer: Trainer) -> Iterator[None]:
        """Turn an OSError into a warning: a full disk may have space again later."""
        self.complete = False
        try:
            yield
            self.complete = True
        except OSError as error:
            warn(f"{self._failure(trainer, error)}; the run continues")

    def save(self, trainer: Trainer) -> None:
        """Write the current state of the run. Raises OSError."""
        model = trainer.model
        numbers, arrays = trainer.state()
        if self.frames is not None:
            arrays |= self.frames.arrays(len(model.history_))
        run = {"settings": of_checkpoint(self.settings)} | numbers

        def write(path: Path) -> None:
            model.save(path, run=run, arrays=arrays)

        best = _at_its_best(trainer)
        self.best_is_saved = self.best_is_saved and not best
        # the checkpoint first: resuming needs no other file
        if self.started:
            self.retention.save(trainer.step, write)
        else:  # now the files of a run to be replaced are removed
            self.retention.replace(trainer.step, write)
            self.started = True
        if best:
            self.retention.mark_best()
            self.best_is_saved = True
        self.retention.prune()
        self._write_the_rest(trainer)

    def _write_the_rest(self, trainer: Trainer) -> None:
        """Write the files that resuming does not need."""
        (self.folder / INCOMING).unlink(missing_ok=True)
        if not self.config_is_written:  # it is constant during a run
            run_folder.write_config(self.folder, {"scratchvae": __version__} | self.settings)
            self.config_is_written = True
        run_folder.write_metrics(self.folder, trainer.model.history_)

    def stop(self, trainer: Trainer) -> None:
        """Save an interrupted run, and report it. Raises OSError."""
        if trainer.step == 0:
            print("\nstopped before the first step: nothing is saved", file=sys.stderr)
            run_folder.remove_if_empty(self.folder)
            return
        self._save_or_explain(trainer)
        print(
            f"\nstopped after step {trainer.step}, {epochs_of(trainer)} complete; saved in "
            f"{self.folder}: continue with --resume",
            file=sys.stderr,
        )

    def _save_or_explain(self, trainer: Trainer) -> None:
        """Save the run. If that fails, warn, name the last good checkpoint, and raise OSError."""
        try:
            self.save(trainer)
        except OSError as error:
            warn(self._failure(trainer, error))
            raise

    def finish(self, trainer: Trainer) -> None:
        """Save the end of the run, if earlier saves failed. Raises OSError."""
        if self.retention.step != trainer.step or not self.complete:
            self._save_or_explain(trainer)
        if not self.best_is_saved:
            warn(f"{self.folder / BEST} is outdated: the best epoch could not be saved")

    def _failure(self, trainer: Trainer, error: OSError) -> str:
        """A sentence about a failed save and the last good checkpoint."""
        saved = self.retention.step == trainer.step
        what = "is saved, but not every other file" if saved else "cannot be saved"
        return f"step {trainer.step} {what} ({error.strerror or error}): {self.last_good()}"

    def last_good(self) -> str:
        """The last good checkpoint, in words."""
        found = candidates(self.folder) if self.started else []
        if not found:
            return "the run has no checkpoint"
        step = "" if self.retention.step is None else f", of step {self.retention.step}"
        return f"{found[0]} is the last good checkpoint{step}"


def epochs_of(trainer: Trainer) -> str:
    return f"{trainer.epoch} epoch{'s' * (trainer.epoch != 1)}"


def _remove_if_damaged(path: Path) -> None:
    try:
        if path.exists():
            load(path, "cpu")
    except DamagedError as error:
        warn(f"{error}; removed")
        path.unlink()


def _at_its_best(trainer: Trainer) -> bool:
    """Whether the run is at the end of an epoch with the lowest test loss so far."""
    history = trainer.model.history_
    ended = trainer.step == trainer.epoch * trainer.steps_per_epoch
    return ended and bool(history) and is_best(history[-1], history)
