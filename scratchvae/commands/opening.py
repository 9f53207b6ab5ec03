"""What the commands share: a run, its data and labels, and the file that a result goes to."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .. import runs
from ..checkpoint import load, write_atomically
from ..collapse import LEAST, NONE, collapse_report
from ..data import load_data
from ..errors import InputError
from ..evaluate import Evaluation, evaluate, prepare
from ..models import Labelled, Model, SemiSupervisedVAE


def open_run(a: argparse.Namespace) -> tuple[Model, dict[str, Any], Path]:
    """A model, the settings of its run ({} for a bare file), and the folder for its pictures."""
    model, run, _ = load(a.run_folder, a.device)
    path = Path(a.run_folder)
    return model, run.get("settings", {}), path if path.is_dir() else path.parent


def test_data(
    a: argparse.Namespace, settings: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """The test split of the run's data, or of those named: X, y and the name."""
    name = a.data or settings.get("data")
    if name is None:
        raise InputError(f"{a.run_folder} does not say on which data: name it with --data")
    X, y = load_data(name, "test", a.data_dir or settings.get("data_dir"))
    return X, y, Path(name).stem


def is_told_labels(model: Model | type[Model]) -> bool:
    """Whether the model is one of p(x|y), which measures rows together with their labels."""
    return bool(getattr(model, "needs_labels", False))


def need_labels(model: type[Model], y: Any, name: str) -> None:
    """InputError where the model cannot do without labels and the data have none."""
    if y is None:
        raise InputError(
            f"{name} has no labels, and a {model.__name__} needs them: use data that have, "
            "such as a .npz file with X and y"
        )


def with_labels(model: Model, X: Any, y: Any, name: str) -> dict[str, Any]:
    """The argument y= of a model with labels, {} for others.

    A SemiSupervisedVAE that does not know a row's label is told the one that it would predict.
    """
    if not isinstance(model, Labelled):
        return {}
    if isinstance(model, SemiSupervisedVAE):
        predicted = model.predict(X)
        y = predicted if y is None else np.where(np.isin(y, model.classes_), y, predicted)
    need_labels(type(model), y, name)
    return {"y": y}


def means(model: Model, X: Any, labels: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """The code that stands for each row, and the logvar beside it, if the model has one."""
    codes = model.encode(X, **labels)
    return codes if isinstance(codes, tuple) else (codes, None)


def pixels(model: Model, X: Any, labels: dict[str, Any], settings: dict[str, Any]) -> np.ndarray:
    """The rows as `evaluate` measures them: binary where the run made them so."""
    rows = prepare(model, X, labels.get("y"), settings.get("binarize", "none"), step=1)
    return rows[:, : model.n_features_]


def measure(
    model: Model, X: Any, y: Any, settings: dict[str, Any], name: str, **options: Any
) -> Evaluation:
    """The test split, measured as the run was trained; labels as `evaluate` takes them."""
    if is_told_labels(model):
        need_labels(type(model), y, name)
    binarize = settings.get("binarize", "none")
    return evaluate(model, X, y, binarize=binarize, data=name, split="test split", **options)


def collapse(
    model: Model, X: Any, labels: dict[str, Any], settings: dict[str, Any], *quiet: str
) -> str:
    """What there is to say of units that tell nothing: "" where there are none, or as quiet says.

    quiet: verdicts of `collapse.py` that need no words.
    """
    if not model.noisy or len(X) < LEAST:
        return ""
    found = collapse_report(model, pixels(model, X, labels, settings), **labels)
    return "" if found.verdict in (NONE, *quiet) else f"\n{found}"


def write(path: Path, array: np.ndarray, figure: Any) -> int:
    """Write a picture or, for .npy, the numbers; and say so."""
    if path.suffix == ".npy":
        write_atomically(path, lambda f: np.save(f, array))
    elif path.suffix in (".png", ".svg", ".pdf"):
        from .. import plots  # on use: matplotlib is slow to import

        runs.save_figure(figure(plots), path)
    else:
        raise InputError(f"{path} must end in .png, .svg, .pdf (a picture) or .npy (the numbers)")
    print(path)
    return 0
