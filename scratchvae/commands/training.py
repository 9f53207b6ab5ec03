"""The command that trains: from options to a run in its folder, and on from there."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, runs
from ..checkpoint import load, save_model
from ..collapse import SPARE
from ..data import fetch, load_data, shown_name
from ..data.labels import keep_labels, leave_out, missing
from ..errors import InputError, NonFiniteError, whole_number
from ..film import Film
from ..models import MODELS, Labelled, Model
from ..progress import say
from ..train import EarlyStopping, Record, Trainer
from . import gallery
from .opening import Data, collapse, measure, need_labels, with_labels

MODEL_SETTINGS = (
    *("latent_dim", "hidden", "activation", "likelihood", "x_variance", "init", "bias_from_data"),
    *("beta", "free_bits", "capacity", "k", "objective", "dreg", "alpha", "device", "seed"),
)
TRAINER_SETTINGS = ("batch_size", "lr", "kl_warmup", "kl_cycle", "binarize")
DEFAULTS: dict[str, Any] = {
    "model": "vae",
    "data": "strokes",
    "data_dir": None,
    "latent_dim": 32,
    "hidden": (400,),
    "activation": "relu",
    "likelihood": "bernoulli",
    "x_variance": None,
    "init": "uniform",
    "bias_from_data": False,
    "beta": 1.0,
    "free_bits": 0.0,
    "capacity": None,
    "k": 5,
    "objective": "iwae",
    "dreg": False,
    "alpha": 50.0,
    "labels": None,
    "leave_out": None,
    "epochs": 20,
    "batch_size": 128,
    "lr": 1e-3,
    "kl_warmup": 0.0,
    "kl_cycle": 0.0,
    "binarize": "none",
    "patience": None,
    "seed": 0,
    "device": "cpu",
}
FREE_ON_RESUME = ("data_dir", "epochs", "patience", "device")
# what only some models read, besides their hyper-parameters
ONLY = {
    "kl_warmup": ("vae", "cvae", "m2"),
    "kl_cycle": ("vae", "cvae", "m2"),
    "labels": ("m2",),
    "leave_out": ("ae", "vae", "iwae", "m2"),  # a cvae could not say of a new label how likely
}


def train(a: argparse.Namespace) -> int:
    if not a.mpi:
        return _train(a, Trainer, writes=True)
    from .. import parallel  # on use: MPI starts at its import

    ranks = parallel.Ranks(parallel.world())
    make = partial(parallel.ParallelTrainer, ranks)
    return ranks.run(lambda: _train(a, make, writes=ranks.comm.rank == 0))


def _train(a: argparse.Namespace, make_trainer: Callable[..., Trainer], writes: bool) -> int:
    """writes: whether this process keeps the run and says what happens."""
    given = {name: getattr(a, name) for name in DEFAULTS if hasattr(a, name)}
    for name in ("data", "data_dir"):
        if given.get(name) and Path(given[name]).exists():
            given[name] = str(Path(given[name]).resolve())  # to be found from anywhere
    settings = DEFAULTS | given
    folder = Path(a.out or f"runs/{settings['model']}-{Path(settings['data']).stem}")
    resumed = None
    if a.resume:
        settings, resumed = _settings_to_resume(folder, given)
    else:
        runs.refuse_if_taken(folder, a.overwrite)
        refuse_what_does_not_apply(settings["model"], given)
        _refuse_binary_pixels_that_are_not(settings)
    data_name = shown_name(settings["data"])
    whole_number(settings["epochs"], "--epochs")
    callbacks: list[Any] = []
    if settings["patience"] is not None:
        callbacks.append(EarlyStopping(settings["patience"]))

    if a.download:
        fetch(settings["data"], settings["data_dir"], verbose=writes and not a.quiet)
    X, y, X_test, y_test = _data(settings, data_name)
    if resumed is None:
        model = MODELS[settings["model"]](**model_config(settings))
        model.check_config()
        model._start(X, y)
    else:
        model, run, arrays = resumed
    trainer = make_trainer(
        model, X, X_test, y=y, y_test=y_test if model.needs_labels else None,
        **{name: settings[name] for name in TRAINER_SETTINGS},
    )  # fmt: skip
    film = Film.of(model) if writes else None
    if resumed is not None:
        trainer.resume(run, arrays)
        if film is not None:
            film.resume(arrays)

    if writes:
        runs.open_folder(folder)
    begun = a.resume

    def save(trainer: Trainer, record: Record | None = None) -> None:
        nonlocal begun
        if not writes:
            return
        if not begun:  # until now, a run that is to be replaced was left alone
            runs.clear(folder)
            begun = True
        runs.write_config(folder, {"scratchvae": __version__} | settings)
        numbers, arrays = trainer.state()
        if film is not None:
            arrays |= film.arrays()
        save_model(model, folder / runs.CHECKPOINT, {"settings": settings} | numbers, arrays)
        runs.write_metrics(folder, model.history_)

    tell = say if writes and not a.quiet else lambda text: None
    tell(f"{model!r}\n{_counts(model, X, y, X_test)} of {data_name}")
    try:
        trainer.run(
            settings["epochs"],
            verbose=writes and not a.quiet,
            callbacks=[*filter(None, [film]), save, *callbacks],
        )
    except KeyboardInterrupt:
        save(trainer)
        if not writes:
            return 130
        print(
            f"\nstopped after step {trainer.step}, {trainer.epoch} epochs complete; all of it "
            f"is kept in {folder}: go on with --resume",
            file=sys.stderr,
        )
        return 130
    except NonFiniteError as error:
        kept = "nothing was written"
        if begun:
            kept = f"{folder / runs.CHECKPOINT} is the last good one, after epoch {trainer.epoch}"
        if writes:
            runs.remove_if_empty(folder)
        raise NonFiniteError(f"{error}; {kept}") from None
    if not writes:
        return 0
    labels = with_labels(model, X_test, y_test, data_name)
    test = Data(X_test, y_test, data_name, "test split")
    text = f"{measure(model, test, settings)}\n"
    text += collapse(model, X_test, labels, settings, SPARE)
    pictures = gallery.leave(model, test, settings, folder, film)
    own = {n: v for n, v in settings.items() if not _ignored(settings["model"], n)}
    runs.write_page(folder, gallery.page_of(model, text, pictures, own, folder, data_name))
    tell(f"\n{text}\nin {folder}: {', '.join([runs.INDEX, *pictures])}")
    return 0


def _data(settings: dict[str, Any], name: str) -> tuple[Any, Any, Any, Any]:
    """Both splits, the training split as far as the settings let the model see it."""
    y: Any
    X, y = load_data(settings["data"], "train", settings["data_dir"])
    X_test, y_test = load_data(settings["data"], "test", settings["data_dir"])
    kind = MODELS[settings["model"]]
    if issubclass(kind, Labelled):
        need_labels(kind, y, name)
    if settings["leave_out"] is not None:
        if y is None:
            raise InputError(f"{name} has no labels, so --leave-out means nothing: leave it out")
        X, y = leave_out(X, y, settings["leave_out"])
    if settings["labels"] is not None:
        y = keep_labels(y, settings["labels"], settings["seed"])
    return X, y, X_test, y_test


def _counts(model: Model, X: np.ndarray, y: Any, X_test: np.ndarray) -> str:
    labelled = ""
    if isinstance(model, Labelled) and not model.needs_labels:
        labelled = f" ({(~missing(np.asarray(y))).sum():,} with a label)"
    return f"{len(X):,} training{labelled} and {len(X_test):,} test examples"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _ignored(model: str, name: str) -> bool:
    """Whether a model of this kind would ignore the setting."""
    own = MODELS[model]().get_params()
    return (name in MODEL_SETTINGS and name not in own) or model not in ONLY.get(name, (model,))


def refuse_what_does_not_apply(model: str, given: dict[str, Any]) -> None:
    """InputError for an option that this model would ignore."""
    for name in given:
        if _ignored(model, name):
            raise InputError(f"{_flag(name)} means nothing for --model {model}: leave it out")


def _refuse_binary_pixels_that_are_not(settings: dict[str, Any]) -> None:
    if settings["likelihood"] == "continuous_bernoulli" and settings["binarize"] != "none":
        raise InputError(
            f"--binarize {settings['binarize']} makes all pixels 0 or 1, where the density of "
            "--likelihood continuous_bernoulli has no bound: use --likelihood bernoulli"
        )


def model_config(settings: dict[str, Any]) -> dict[str, Any]:
    names = MODELS[settings["model"]]().get_params()
    return {name: settings[name] for name in MODEL_SETTINGS if name in names}


def _settings_to_resume(folder: Path, given: dict[str, Any]) -> Any:
    """A run's own settings, with what may change, and what `load` found in its checkpoint."""
    if not (folder / runs.CHECKPOINT).exists():
        raise InputError(f"{folder} holds no checkpoint to resume: begin there without --resume")
    model, run, arrays = load(folder, given.get("device"))
    if not run:
        raise InputError(
            f"{folder / runs.CHECKPOINT} holds a model, not a run: it cannot be resumed"
        )
    settings = DEFAULTS | run["settings"]
    for name in ("hidden", "leave_out"):
        if settings[name] is not None:  # JSON knows lists only
            settings[name] = tuple(settings[name])
    refuse_what_does_not_apply(given.get("model", settings["model"]), given)
    for name, value in given.items():
        if name not in FREE_ON_RESUME and value != settings[name]:
            raise InputError(
                f"{folder} was made with {_flag(name)} {settings[name]}, so it cannot go on with "
                f"{value}: leave {_flag(name)} out, or begin anew with another --out"
            )
    settings |= given
    # a run that was stopped while it drew has yet to leave its page
    if len(model.history_) >= settings["epochs"] and (folder / runs.INDEX).exists():
        raise InputError(
            f"{folder} has its {len(model.history_)} epochs already: ask for more with --epochs"
        )
    return settings, (model, run, arrays)
