"""What a training leaves in its folder while it goes on, and what it does where it cannot."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import DamagedError
from ..files import run_folder as runs
from ..files.checkpoint import load, save_model
from ..files.kept import BEST, INCOMING, Kept, candidates
from ..train.callbacks import Record, is_best
from ..train.film import Film
from ..train.progress import warn
from ..train.trainer import Trainer


class Keeper:
    """Keeps a run in its folder; keep: how many checkpoints, the best not counted."""

    def __init__(
        self, folder: Path, settings: dict[str, Any], film: Film | None, keep: int
    ) -> None:
        self.folder, self.settings, self.film = folder, settings, film
        self.kept = Kept(folder, keep)
        self.begun = False
        self.whole = True  # whether the last save came to its end
        self.best_is_kept = True
        self.config_is_written = False

    def go_on(self, source: Path, trainer: Trainer) -> None:
        """Go on with the run in the folder, which was read from this file."""
        seconds = runs.seconds_of_epochs(self.folder)
        for record in trainer.model.history_:
            record["seconds"] = seconds.get(int(record["epoch"]), record["seconds"])
        self.begun = True

        def take_over() -> None:
            runs.sweep_up(self.folder)
            _remove_if_damaged(self.folder / BEST)
            self.kept.go_on(source, trainer.step, _at_its_best(trainer))
            self._write_the_rest(trainer)

        self._try(trainer, take_over)

    def keep(self, trainer: Trainer, record: Record | None = None) -> None:
        """Keep a run as it goes: a callback for the end of an epoch, and for moments within one."""
        self._try(trainer, lambda: self.save(trainer))

    def _try(self, trainer: Trainer, keep: Callable[[], None]) -> None:
        """A disk that is full may have room again before the run ends: until then, say so."""
        self.whole = False
        try:
            keep()
            self.whole = True
        except OSError as error:
            warn(f"{self.what_failed(trainer, error)}; the run goes on")

    def save(self, trainer: Trainer) -> None:
        """Keep the run as it is; OSError where that cannot be."""
        model = trainer.model
        numbers, arrays = trainer.state()
        if self.film is not None:
            arrays |= self.film.arrays(len(model.history_))
        run = {"settings": self.settings} | numbers

        def write(path: Path) -> None:
            save_model(model, path, run, arrays)

        best = _at_its_best(trainer)
        self.best_is_kept = self.best_is_kept and not best
        # the checkpoint first: with it alone the run can go on
        if self.begun:
            self.kept.save(trainer.step, write)
        else:  # until now, a run that is to be replaced was left alone
            self.kept.replace(trainer.step, write, lambda: runs.clear(self.folder))
            self.begun = True
        if best:
            self.kept.keep_best()
            self.best_is_kept = True
        self.kept.prune()
        self._write_the_rest(trainer)

    def _write_the_rest(self, trainer: Trainer) -> None:
        """What is only to be read."""
        (self.folder / INCOMING).unlink(missing_ok=True)
        if not self.config_is_written:  # it does not change while the run goes on
            runs.write_config(self.folder, {"scratchvae": __version__} | self.settings)
            self.config_is_written = True
        runs.write_metrics(self.folder, trainer.model.history_)

    def stop(self, trainer: Trainer) -> None:
        """Keep a run that was asked to stop, and say so; OSError where that cannot be."""
        if trainer.step == 0:
            print("\nstopped before anything was learned: nothing is kept", file=sys.stderr)
            runs.remove_if_empty(self.folder)
            return
        self._must(trainer)
        print(
            f"\nstopped after step {trainer.step}, {epochs(trainer)} complete, which is kept in "
            f"{self.folder}: go on with --resume",
            file=sys.stderr,
        )

    def _must(self, trainer: Trainer) -> None:
        """Keep the run; where that cannot be, say what is kept before the error ends it."""
        try:
            self.save(trainer)
        except OSError as error:
            warn(self.what_failed(trainer, error))
            raise

    def finish(self, trainer: Trainer) -> None:
        """At the end, what could not be kept before has to be."""
        if self.kept.step != trainer.step or not self.whole:
            self._must(trainer)
        if not self.best_is_kept:
            warn(f"{self.folder / BEST} is not of the best epoch, which could not be kept")

    def what_failed(self, trainer: Trainer, error: OSError) -> str:
        """Words on an error, and on what is kept in spite of it."""
        what = "is kept, but not all beside it"
        if self.kept.step != trainer.step:
            what = "cannot be kept"
        return f"step {trainer.step} {what} ({error.strerror or error}): {self.what_is_kept()}"

    def what_is_kept(self) -> str:
        """Of a run that ends, for an error to say."""
        found = candidates(self.folder) if self.begun else []
        if not found:
            return "nothing of it is kept"
        step = "" if self.kept.step is None else f", of step {self.kept.step}"
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
