"""Code shared by recipes: options of long runs, the best epoch, the line with the numbers.

    parser = argparse.ArgumentParser()
    add_run_options(parser)                              # --device, --checkpoint
    best = BestEpoch(a.checkpoint)
    VAE(device=a.device).fit(X, X_test=X_test, checkpoint_file=a.checkpoint, callbacks=best)
    print_result(nll=(value, standard_error))

After a kill, the same command with --checkpoint continues the run, which then gives the same
numbers as an uninterrupted one.
"""

import argparse
import json
from pathlib import Path

from scratchvae.train import Record, TrainableModel, Trainer


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """--device, and --checkpoint: for `checkpoint_file` of fit and of the Trainer."""
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE.npz",
        help="save the run in this file, and continue from it if it exists",
    )  # fmt: skip


class BestEpoch:
    """A callback that keeps the parameters of the epoch with the lowest test loss so far.

    With a checkpoint, they are also saved in a file beside it, for a continued run.
    """

    def __init__(self, checkpoint: Path | None) -> None:
        self.file = checkpoint and checkpoint.with_name(f"{checkpoint.stem}_best.npz")
        self.state: dict | None = None

    def __call__(self, trainer: Trainer, record: Record) -> None:
        if record is not self.epoch_of(trainer.model):
            return
        self.state = trainer.model.state_dict()
        if self.file:
            trainer.model.save(self.file)

    def epoch_of(self, model: TrainableModel) -> Record:
        """The record of the best epoch."""
        return min(model.history_, key=lambda record: record["test_loss"])

    def restore(self, model: TrainableModel) -> Record:
        """Load the parameters of the best epoch into the model, and return its record."""
        from scratchvae import load_model  # lazily: it loads every model

        record = self.epoch_of(model)
        model.load_state_dict(self.state or load_model(self.file, "cpu").state_dict())
        return record


def print_result(**numbers: tuple[float, float | None]) -> None:
    """The line that `make results` reads: each number with its standard error, or None."""
    pairs = {name: [float(v), None if e is None else float(e)] for name, (v, e) in numbers.items()}
    print(f"result {json.dumps(pairs)}")
