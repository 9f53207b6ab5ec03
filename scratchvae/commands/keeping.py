"""What a training leaves in its folder while it goes on, and what it does where it cannot."""

from pathlib import Path
from typing import Any

from .. import __version__, runs
from ..checkpoint import save_model
from ..film import Film
from ..kept import NEWEST, Kept
from ..progress import warn
from ..train import Record, Trainer, is_best


class Keeper:
    """Keeps a run in its folder; keep: how many checkpoints, the best not counted."""

    def __init__(
        self, folder: Path, settings: dict[str, Any], film: Film | None, keep: int
    ) -> None:
        self.folder, self.settings, self.film = folder, settings, film
        self.kept = Kept(folder, keep)
        self.begun = False

    def go_on(self, source: Path, trainer: Trainer) -> None:
        """Go on with the run in the folder, which was read from this file."""
        if source.name == NEWEST:
            self.kept.step = trainer.step
        seconds = runs.seconds_of_epochs(self.folder)
        for record in trainer.model.history_:
            record["seconds"] = seconds.get(int(record["epoch"]), record["seconds"])
        self.begun = True
        runs.sweep_up(self.folder)
        self._write_what_is_to_be_read(trainer)

    def _write_what_is_to_be_read(self, trainer: Trainer) -> None:
        runs.write_config(self.folder, {"scratchvae": __version__} | self.settings)
        runs.write_metrics(self.folder, trainer.model.history_)

    def after_epoch(self, trainer: Trainer, record: Record) -> None:
        """Keep a run that has completed one more epoch."""
        self._try(trainer, is_best(record, trainer.model.history_))

    def within_epoch(self, trainer: Trainer) -> None:
        """Keep a run that is in the middle of one."""
        self._try(trainer, best=False)

    def _try(self, trainer: Trainer, best: bool) -> None:
        """A disk that is full may have room again before the run ends: until then, say so."""
        try:
            self.save(trainer, best)
        except OSError as error:
            warn(
                f"step {trainer.step} cannot be kept ({error.strerror or error}): "
                f"{self.what_is_kept()}; the run goes on"
            )

    def save(self, trainer: Trainer, best: bool = False) -> None:
        """Keep the run as it is; OSError where that cannot be."""
        if not self.begun:  # until now, a run that is to be replaced was left alone
            runs.clear(self.folder)
            runs.sweep_up(self.folder)
            self.begun = True
        model = trainer.model
        numbers, arrays = trainer.state()
        if self.film is not None:
            arrays |= self.film.arrays(len(model.history_))
        run = {"settings": self.settings} | numbers
        # the checkpoint first: with it alone the run can go on
        self.kept.save(trainer.step, lambda path: save_model(model, path, run, arrays), best)
        self._write_what_is_to_be_read(trainer)

    def finish(self, trainer: Trainer) -> None:
        """At the end, what could not be kept before has to be."""
        if self.kept.step != trainer.step:
            self.save(trainer)

    def what_is_kept(self) -> str:
        """Of the run as it was before, for an error to say."""
        if self.kept.step is None:
            return "nothing of it is kept"
        return f"{self.folder / NEWEST} is the last good one, of step {self.kept.step}"
