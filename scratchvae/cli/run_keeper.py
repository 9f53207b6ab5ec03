"""What a training run leaves in its folder while it goes on, and what happens on a full disk."""

import sys
from collections.abc import Callable
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
    """Writes checkpoints, metrics.csv and config.json; limit: checkpoints, the best not counted."""

    def __init__(
        self, folder: Path, settings: dict[str, Any], frames: LatentFrames | None, limit: int
    ) -> None:
        self.folder, self.settings, self.frames = folder, settings, frames
        self.retention = Retention(folder, limit)
        self.started = False  # whether the folder holds this run, and not one that it replaces
        self.complete = True  # whether the last save came to its end
        self.best_is_saved = True
        self.config_is_written = False

    def resume(self, source: Path, trainer: Trainer) -> None:
        """Take over the run in the folder, which was read from this file."""
        seconds = run_folder.seconds_of_epochs(self.folder)
        for record in trainer.model.history_:
            record["seconds"] = seconds.get(int(record["epoch"]), record["seconds"])
        self.started = True

        def take_over() -> None:
            run_folder.sweep_up(self.folder)
            _remove_if_damaged(self.folder / BEST)
            self.retention.resume(source, trainer.step, _at_its_best(trainer))
            self._write_the_rest(trainer)

        self._try(trainer, take_over)

    def __call__(self, trainer: Trainer, record: Record | None = None) -> None:
        """Save the run: a callback for the end of an epoch, and for checkpoints within one."""
        self._try(trainer, lambda: self.save(trainer))

    def _try(self, trainer: Trainer, action: Callable[[], None]) -> None:
        """A full disk may have room again before the run ends: until then, warn."""
        self.complete = False
        try:
            action()
            self.complete = True
        except OSError as error:
            warn(f"{self._failure(trainer, error)}; the run goes on")

    def save(self, trainer: Trainer) -> None:
        """Write the run as it is; OSError where that fails."""
        model = trainer.model
        numbers, arrays = trainer.state()
        if self.frames is not None:
            arrays |= self.frames.arrays(len(model.history_))
        run = {"settings": of_checkpoint(self.settings)} | numbers

        def write(path: Path) -> None:
            model.save(path, run=run, arrays=arrays)

        best = _at_its_best(trainer)
        self.best_is_saved = self.best_is_saved and not best
        # the checkpoint first: it alone is needed to resume
        if self.started:
            self.retention.save(trainer.step, write)
        else:  # until now, a run that is to be replaced was left alone
            self.retention.replace(trainer.step, write, lambda: run_folder.clear(self.folder))
            self.started = True
        if best:
            self.retention.mark_best()
            self.best_is_saved = True
        self.retention.prune()
        self._write_the_rest(trainer)

    def _write_the_rest(self, trainer: Trainer) -> None:
        """The files that no run is resumed from."""
        (self.folder / INCOMING).unlink(missing_ok=True)
        if not self.config_is_written:  # it does not change while the run goes on
            run_folder.write_config(self.folder, {"scratchvae": __version__} | self.settings)
            self.config_is_written = True
        run_folder.write_metrics(self.folder, trainer.model.history_)

    def stop(self, trainer: Trainer) -> None:
        """Save a run that was asked to stop, and say so; OSError where that fails."""
        if trainer.step == 0:
            print("\nstopped before anything was learned: nothing is kept", file=sys.stderr)
            run_folder.remove_if_empty(self.folder)
            return
        self._save_or_explain(trainer)
        print(
            f"\nstopped after step {trainer.step}, {epochs(trainer)} complete, which is kept in "
            f"{self.folder}: go on with --resume",
            file=sys.stderr,
        )

    def _save_or_explain(self, trainer: Trainer) -> None:
        """Save the run; where that fails, say which checkpoint is left before the error ends it."""
        try:
            self.save(trainer)
        except OSError as error:
            warn(self._failure(trainer, error))
            raise

    def finish(self, trainer: Trainer) -> None:
        """At the end, what could not be written before must be."""
        if self.retention.step != trainer.step or not self.complete:
            self._save_or_explain(trainer)
        if not self.best_is_saved:
            warn(f"{self.folder / BEST} is not of the best epoch, which could not be kept")

    def _failure(self, trainer: Trainer, error: OSError) -> str:
        """A sentence on an error of the disk, and on the checkpoint that is left."""
        what = "is kept, but not all beside it"
        if self.retention.step != trainer.step:
            what = "cannot be kept"
        return f"step {trainer.step} {what} ({error.strerror or error}): {self.last_good()}"

    def last_good(self) -> str:
        """Which checkpoint is left of a run that ends with an error, in words."""
        found = candidates(self.folder) if self.started else []
        if not found:
            return "nothing of it is kept"
        step = "" if self.retention.step is None else f", of step {self.retention.step}"
        return f"{found[0]} is the last good one{step}"


def epochs(trainer: Trainer) -> str:
    return f"{trainer.epoch} epoch{'s' * (trainer.epoch != 1)}"


def _remove_if_damaged(path: Path) -> None:
    try:
        if path.exists():
            load(path, "cpu")
    except DamagedError as error:
        warn(f"{error}; it is removed")
        path.unlink()


def _at_its_best(trainer: Trainer) -> bool:
    """Whether the run stands at the end of an epoch that none before it equalled."""
    history = trainer.model.history_
    ended = trainer.step == trainer.epoch * trainer.steps_per_epoch
    return ended and bool(history) and is_best(history[-1], history)
