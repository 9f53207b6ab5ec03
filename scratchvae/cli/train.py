"""The command `train`: start or resume a training run, and write its results to a folder."""

import argparse
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data import NAMED, fetch, known_name
from ..data.batches import check_columns
from ..data.labels import missing
from ..data.sources import DataSet
from ..errors import InputError, NonFiniteError, say, whole_number
from ..evaluate.collapse import SPARE
from ..evaluate.units import Data
from ..files import run_folder as runs
from ..files.atomic import alone_in
from ..files.reading import is_text
from ..models import MODELS, Labelled, Model
from ..models.load import Loaded, load
from ..pictures import gallery
from ..startup import AUTO
from ..train import EarlyStopping, Trainer
from ..train.callbacks import CheckpointTimer, LatentFrames
from ..train.optim import TRAINING
from ..train.signals import exit_code, interruptible, signals_ignored
from . import settings, workers
from .run_keeper import RunKeeper, epochs_of
from .shared import check_not_among_pictures, check_size, collapse, data_splits, measure


class Start(NamedTuple):
    """How a run starts: new, from its own checkpoint, or with the parameters of another run."""

    settings: dict[str, Any]
    folder: Path
    source: Path | None = None  # the checkpoint to resume from
    loaded: Loaded | None = None  # its content
    origin: Loaded | None = None  # the content of --init-from
    finished: bool = False  # whether nothing is left to do


def train(a: argparse.Namespace) -> int:
    is_worker = workers.is_worker()
    if a.workers not in (None, 1) and not is_worker:
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the run will warn of the same
            chosen, folder, *_ = _prepare(a, True, stack)
        n = workers.number_of_workers(a.workers, chosen)
        if n > 1:
            return workers.supervise(a.argv, n, folder)
    with ExitStack() as stack:
        if not a.mpi and not is_worker:
            return _train(a, Trainer, lambda make: make(), True, stack)
        from ..train.parallel import ParallelTrainer  # lazily: one process needs no MPI
        from ..train.ranks import Ranks, world

        ranks = Ranks(world())
        report = stack.enter_context(workers.attached(ranks.comm))
        make, writes = partial(ParallelTrainer, ranks), ranks.comm.rank == 0
        if not writes:
            warnings.simplefilter("ignore")  # rank 0 warns
        return report(ranks.run(lambda: _train(a, make, ranks.shared, writes, stack)))


def _train(
    a: argparse.Namespace, make_trainer: Callable[..., Trainer], shared: Callable[..., Any],
    writes: bool, stack: ExitStack,
) -> int:  # fmt: skip
    """Prepare, run, report.

    shared: calls a function for all processes of a machine; writes: whether this process writes the
    folder and prints.
    """
    tell = say if writes and not a.quiet else lambda text: None
    start = _prepare(a, writes, stack)
    chosen, folder, source, loaded, *_ = start
    rows, test = shared(partial(data_splits, chosen, writes and not a.quiet))
    X, y, model = rows.X, rows.y, _model(start, rows)
    trainer = make_trainer(
        model, X, test.X, y=y, y_test=test.y if model.needs_labels else None,
        detect_anomaly=a.detect_anomaly,
        **{name: chosen[name] for name in TRAINING},
    )  # fmt: skip
    frames = LatentFrames.of(model) if writes else None
    if loaded is not None:
        try:
            trainer.resume(loaded.run, loaded.arrays)
        except InputError as error:
            if loaded.run.get("rows") == len(trainer.X):
                raise
            raise InputError(f"{error} (--init-from)") from None
        if start.finished:
            tell(f"{folder} is finished: nothing is left to do")
            return 0
        if frames is not None:
            frames.resume(loaded.arrays)
    keeper = RunKeeper(folder, chosen, frames, a.keep) if writes else None
    stopping = None if chosen["patience"] is None else EarlyStopping(chosen["patience"])
    epochs, history = chosen["epochs"], model.history_
    if stopping and history and trainer.step == trainer.epoch * trainer.steps_per_epoch:
        if stopping(trainer, history[-1]):  # early stopping had already ended the run
            epochs = trainer.epoch
    if keeper:
        runs.open_folder(folder)
        if source is None or loaded is None:
            stack.enter_context(alone_in(folder))
            runs.refuse_if_taken(folder, a.overwrite)
        else:
            keeper.resume(source, trainer)
            tell(f"resuming from {source}: {epochs_of(trainer)} complete, step {trainer.step}")
            if chosen["data"] != settings.of_run(source, loaded)["data"]:
                tell(f"{chosen['data']} holds the data of the run (same SHA-256)")
            if trainer.epoch < epochs:  # the page and the explorer become outdated
                (folder / runs.INDEX).unlink(missing_ok=True)
                if (explorer := folder / runs.EXPLORER).exists():
                    explorer.unlink()
                    tell(f"removed {explorer}, which showed the earlier model: explore writes it")
    labelled = ""
    if isinstance(model, Labelled) and not model.needs_labels:
        labelled = f" ({(~missing(np.asarray(y))).sum():,} with a label)"
    sizes = f"{len(X):,} training{labelled} and {len(test.X):,} test examples of {test.name}"
    together = f", on {trainer.processes} processes" if trainer.processes > 1 else ""
    tell(f"{model!r}\n{sizes}{together}")
    if names := rows.columns:
        text = f"{len(names):,} column{'s' * (len(names) > 1)}: {', '.join(names[:200])}"
        room = shutil.get_terminal_size().columns
        tell(text if len(text) <= room and len(names) <= 200 else f"{text[: room - 4]} ...")
    if start.origin is not None:
        of = "" if chosen["init_steps"] is None else f" after step {chosen['init_steps']}"
        tell(f"starting from the parameters of {chosen['init_from']}{of}")
    callbacks = [*filter(None, [frames, keeper, stopping])]
    code = _run(a, trainer, epochs, callbacks, keeper)
    if code or not keeper:
        return code
    with signals_ignored():
        keeper.finish(trainer)
    if trainer.epoch < chosen["epochs"]:
        tell(
            f"stopped early: no better test loss for {chosen['patience']} epochs; the best epoch "
            f"is saved as {folder / runs.BEST}"
        )
    try:
        _report(model, test, chosen, folder, frames, tell)
    except KeyboardInterrupt:
        print(
            f"\nstopped while drawing: all {epochs_of(trainer)} are saved in {folder}; use "
            "--resume to draw the rest",
            file=sys.stderr,
        )
        return 130
    return 0


def _model(start: Start, rows: DataSet) -> Model:
    """The model of the run, with its initial parameters."""
    if begun := start.loaded or start.origin:
        check_columns(begun.model.rows_.columns, rows.columns, type(begun.model).__name__)
        check_size(begun.model, rows)
    if start.loaded is not None:
        return start.loaded.model.set_params(epochs=start.settings["epochs"])
    config = settings.model_config(start.settings)
    if start.origin is None:
        model = MODELS[start.settings["model"]](**config)
        model.check_config()
        about = Data(*rows[:2], "", "", numbers=rows.numbers, lines=rows.lines, place=rows.place)
        return model.build_from(
            rows.X, rows.y, columns=rows.columns, means=rows.means, where=about.called
        )
    model = start.origin.model.set_params(**config)
    model.check_config()
    model.history_ = []
    return model


def _prepare(a: argparse.Namespace, writes: bool, stack: ExitStack) -> Start:
    """How the run starts. Downloads its data if asked."""
    given = {name: getattr(a, name) for name in settings.DEFAULTS if hasattr(a, name)}
    if known := known_name(given.get("data", "")):
        given["data"] = known
    for name in ("data", "data_dir", "init_from", "out"):
        if not is_text(value := given.get(name) or getattr(a, name, None) or ""):
            raise InputError(f"the name {value!a} is not valid Unicode: rename it")
    for name in ("data", "data_dir"):
        value = given.get(name)
        if value and not (name == "data" and value in NAMED) and Path(value).exists():
            given[name] = str(Path(value).resolve())  # independent of the working directory
    if origin := given.get("init_from"):
        if not a.out:
            raise InputError("--init-from starts a new run: name its folder with --out")
        given["init_from"] = str(Path(origin).resolve())
    chosen = settings.DEFAULTS | given
    folder = Path(a.out or f"runs/{chosen['model']}-{Path(chosen['data']).stem}")
    CheckpointTimer(a.checkpoint_every)  # refuses an interval that it cannot read
    if a.resume and (a.resume != AUTO or runs.candidates(folder)):
        if writes and folder.is_dir():
            stack.enter_context(alone_in(folder))
        source, chosen, loaded = settings.to_resume(folder, given)
        # a run without its page was stopped while drawing, and drawing is resumed
        drawn = source.name == runs.NEWEST and (folder / runs.INDEX).exists()
        finished = drawn and a.resume == AUTO and _is_over(loaded, chosen)
        done = len(loaded.model.history_)
        if (drawn or done > chosen["epochs"]) and not finished and done >= chosen["epochs"]:
            raise InputError(
                f"{folder} has already finished {done} epochs: pass a larger --epochs to continue"
            )
        settings.check_data_of_resumed(source, loaded, chosen)
        start = Start(chosen, folder, source, loaded, finished=finished)
    else:
        runs.refuse_if_taken(folder, a.overwrite)
        if chosen["data"] not in NAMED:
            check_not_among_pictures(folder, Path(chosen["data"]), "--out")
        origin = None
        if path := chosen["init_from"]:
            origin = load(path, given.get("device"))
            chosen = settings.to_begin_from(path, origin, given)
        settings.refuse_what_does_not_apply(chosen["model"], given)
        settings.refuse_binary_pixels_that_are_not(chosen)
        start = Start(chosen, folder, origin=origin)
    whole_number(chosen["epochs"], "--epochs")
    if chosen["patience"] is not None:
        EarlyStopping(chosen["patience"])  # refuses it before data are fetched
    if a.download:
        fetch(chosen["data"], chosen["data_dir"], verbose=writes and not a.quiet)
        if chosen["data_dir"]:  # it may not have existed before
            chosen["data_dir"] = str(Path(chosen["data_dir"]).resolve())
    return start


def _is_over(loaded: Loaded, chosen: dict[str, Any]) -> bool:
    """Whether the run has all its epochs, or early stopping ended it."""
    history, patience = loaded.model.history_, chosen["patience"]
    if len(history) >= chosen["epochs"]:
        return True
    epoch_ended = bool(history) and history[-1]["step"] == loaded.run.get("step")
    return patience is not None and epoch_ended and EarlyStopping(patience).is_over(history)


def _run(
    a: argparse.Namespace, trainer: Trainer, epochs: int, callbacks: list[Any],
    keeper: RunKeeper | None,
) -> int:  # fmt: skip
    """Train until done. Returns the exit code: 0, or that of the signal that stopped it."""
    with interruptible():
        try:
            trainer.run(
                epochs, verbose=bool(keeper) and not a.quiet, callbacks=callbacks,
                checkpoint=keeper, checkpoint_every=a.checkpoint_every,
            )  # fmt: skip
        except KeyboardInterrupt as stop:
            if keeper:
                with signals_ignored():
                    keeper.stop(trainer)
            return exit_code(stop)
        except NonFiniteError as error:
            if not keeper:
                raise
            runs.remove_if_empty(keeper.folder)
            raise NonFiniteError(f"{error}; {keeper.last_good()}") from None
    return 0


def program() -> list[str]:
    """The words that call this program as the user called it, for commands to copy."""
    called, python = Path(sys.argv[0]), Path(sys.executable)
    if called.name == "__main__.py" and called.parent.name == "scratchvae":
        if shutil.which(python.name) == str(python):
            python = Path(python.name)
        elif python.is_relative_to(Path.cwd()):
            python = python.relative_to(Path.cwd())
        return [str(python), "-m", "scratchvae"]
    known = shutil.which("scratchvae") or "/"
    if called.stem == "scratchvae" and Path(known).parent != called.absolute().parent:
        return [str(called)]  # not on the PATH
    return ["scratchvae"]


def _report(
    model: Model, test: Data, chosen: dict[str, Any], folder: Path,
    frames: LatentFrames | None, tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Evaluate a finished run, draw its pictures and write its page."""
    found, report = measure(model, test, chosen), collapse(model, test, chosen, SPARE)
    text = f"{found}\n{report}"
    pictures, absent = gallery.leave(model, test, chosen, folder, frames)
    own = {n: v for n, v in chosen.items() if not settings.is_ignored(chosen["model"], n)}
    protocol = f"{found.protocol()}\n{report}".strip()
    page = gallery.page_of(
        model, found.numbers(), protocol, pictures, absent, own, settings.DEFAULTS, folder,
        test, program(),
    )  # fmt: skip
    gallery.write_page(folder, page)
    tell(f"\n{text}\nin {folder}: {', '.join([runs.INDEX, *pictures])}")
