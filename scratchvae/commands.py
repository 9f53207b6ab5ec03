"""What each command of the command line does. `cli.py` has the options; `runs.py` has the files."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, runs
from .checkpoint import load, save_model, write_atomically
from .data import load_data
from .data.batches import check_images
from .errors import InputError, NonFiniteError, whole_number
from .evaluate import evaluate
from .models import MODELS, Model
from .noise import check_seed
from .progress import say
from .train import EarlyStopping, Record, Trainer

MODEL_SETTINGS = ("latent_dim", "hidden", "activation", "likelihood", "beta", "device", "seed")
TRAINER_SETTINGS = ("batch_size", "lr", "kl_warmup", "binarize")
DEFAULTS: dict[str, Any] = {
    "model": "vae",
    "data": "strokes",
    "data_dir": None,
    "latent_dim": 32,
    "hidden": (400,),
    "activation": "relu",
    "likelihood": "bernoulli",
    "beta": 1.0,
    "epochs": 20,
    "batch_size": 128,
    "lr": 1e-3,
    "kl_warmup": 0.0,
    "binarize": "none",
    "patience": None,
    "seed": 0,
    "device": "cpu",
}
FREE_ON_RESUME = ("data_dir", "epochs", "patience", "device")


def train(a: argparse.Namespace) -> int:
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
        _refuse_what_does_not_apply(settings["model"], given)
    data_name = Path(settings["data"]).stem
    whole_number(settings["epochs"], "--epochs")
    callbacks: list[Any] = (
        [] if settings["patience"] is None else [EarlyStopping(settings["patience"])]
    )

    X, _ = load_data(settings["data"], "train", settings["data_dir"])
    X_test, y_test = load_data(settings["data"], "test", settings["data_dir"])
    if resumed is None:
        model = MODELS[settings["model"]](**_model_config(settings))
        model.check_config()
        model.build(check_images(X, unit_interval=model.likelihood == "bernoulli").shape[1])
        trainer = Trainer(model, X, X_test, **{name: settings[name] for name in TRAINER_SETTINGS})
    else:
        model, run, arrays = resumed
        trainer = Trainer(model, X, X_test, **{name: settings[name] for name in TRAINER_SETTINGS})
        trainer.resume(run, arrays)

    runs.open_folder(folder)
    begun = a.resume

    def save(trainer: Trainer, record: Record | None = None) -> None:
        nonlocal begun
        if not begun:  # until now, a run that is to be replaced was left alone
            runs.clear(folder)
            begun = True
        runs.write_config(folder, {"scratchvae": __version__} | settings)
        numbers, arrays = trainer.state()
        save_model(model, folder / runs.CHECKPOINT, {"settings": settings} | numbers, arrays)
        runs.write_metrics(folder, model.history_)

    tell = (lambda text: None) if a.quiet else say
    tell(f"{model!r}\n{len(X):,} training and {len(X_test):,} test examples of {data_name}")
    try:
        trainer.run(settings["epochs"], verbose=not a.quiet, callbacks=[save, *callbacks])
    except KeyboardInterrupt:
        save(trainer)
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
        runs.remove_if_empty(folder)
        raise NonFiniteError(f"{error}; {kept}") from None
    pictures = runs.draw(model, X_test, y_test, folder)
    result = evaluate(
        model, X_test, binarize=settings["binarize"], data=data_name, split="test split"
    )
    tell(f"\n{result}\n\nin {folder}: {', '.join(path.name for path in pictures)}")
    return 0


def _refuse_what_does_not_apply(model: str, given: dict[str, Any]) -> None:
    """InputError for an option that this model would ignore."""
    for name in given.keys() & set(MODEL_SETTINGS) - MODELS[model]().get_params().keys():
        raise InputError(
            f"--{name.replace('_', '-')} means nothing for --model {model}: leave it out"
        )


def _model_config(settings: dict[str, Any]) -> dict[str, Any]:
    names = MODELS[settings["model"]]().get_params()
    return {name: settings[name] for name in MODEL_SETTINGS if name in names}


def _settings_to_resume(folder: Path, given: dict[str, Any]) -> Any:
    """A run's own settings, with what may change, and what `load` found in its checkpoint."""
    if not (folder / runs.CHECKPOINT).exists():
        raise InputError(
            f"{folder} holds no checkpoint to resume: leave --resume out to begin there"
        )
    model, run, arrays = load(folder, given.get("device"))
    if not run:
        raise InputError(
            f"{folder / runs.CHECKPOINT} holds a model, not a run: it cannot be resumed"
        )
    settings = DEFAULTS | run["settings"]
    settings["hidden"] = tuple(settings["hidden"])
    for name, value in given.items():
        if name not in FREE_ON_RESUME and value != settings[name]:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{folder} was made with {flag} {settings[name]}, so it cannot go on with {value}: "
                f"leave {flag} out, or begin anew with another --out"
            )
    settings |= given
    if len(model.history_) >= settings["epochs"]:
        raise InputError(
            f"{folder} has its {len(model.history_)} epochs already: ask for more with --epochs"
        )
    return settings, (model, run, arrays)


def _load_run(a: argparse.Namespace) -> tuple[Model, dict[str, Any], Path]:
    """A model, the settings of its run ({} for a bare file), and the folder for its pictures."""
    model, run, _ = load(a.run_folder, a.device)
    path = Path(a.run_folder)
    return model, run.get("settings", {}), path if path.is_dir() else path.parent


def _test_data(a: argparse.Namespace, settings: dict[str, Any]) -> tuple[Any, str]:
    name = a.data or settings.get("data")
    if name is None:
        raise InputError(f"{a.run_folder} does not say on which data: name it with --data")
    X, _ = load_data(name, "test", a.data_dir or settings.get("data_dir"))
    return X, Path(name).stem


def evaluate_run(a: argparse.Namespace) -> int:
    model, settings, _ = _load_run(a)
    X, name = _test_data(a, settings)
    binarize = settings.get("binarize", "none")
    print(evaluate(model, X, k=a.samples, binarize=binarize, data=name, split="test split"))
    return 0


def sample(a: argparse.Namespace) -> int:
    model, _, folder = _load_run(a)
    images = model.sample(a.n, seed=a.seed)
    return _write(a.output or folder / "samples.png", images, lambda plots: plots.samples(images))


def reconstruct(a: argparse.Namespace) -> int:
    model, settings, folder = _load_run(a)
    X, _ = _test_data(a, settings)
    originals, decoded = runs.first_rows(model, X, a.n), model.reconstruct(X[: a.n])
    path = a.output or folder / "reconstructions.png"
    return _write(path, decoded, lambda plots: plots.reconstructions(originals, decoded))


def _write(path: Path, array: np.ndarray, figure: Any) -> int:
    """Write a picture or, for .npy, the numbers; and say so."""
    if path.suffix == ".npy":
        write_atomically(path, lambda f: np.save(f, array))
    elif path.suffix in (".png", ".svg", ".pdf"):
        from . import plots  # on use: matplotlib is slow to import

        runs.save_figure(figure(plots), path)
    else:
        raise InputError(f"{path} must end in .png, .svg, .pdf (a picture) or .npy (the numbers)")
    print(path)
    return 0


def verify(a: argparse.Namespace) -> int:
    check_seed(a.seed)
    if a.file is not None and a.teeth:
        raise InputError("--teeth is about the checks of this package: leave the file out")
    if a.file is not None:
        return _verify_file(a.file, a.seed)
    from . import teeth, verify  # on use: they stand above the checker and every model

    return (teeth if a.teeth else verify).show(a.seed)


def _verify_file(path: Path, seed: int) -> int:
    from .gradcheck import check_file
    from .gradcheck.report import GOOD, folded

    reports = []
    for report in check_file(path, seed=seed):
        for line in str(report).split("\n"):
            print(folded(line, 29))
        print(flush=True)
        reports.append(report)
    good = sum(report.verdict in GOOD for report in reports)
    print(f"{good} of {len(reports)} pairs passed")
    return 0 if good == len(reports) else 1
