"""What the commands share: a run, its data and labels, and the file that a result goes to."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.load import has_splits, load_data, shown_name
from ..errors import InputError
from ..evaluate import Evaluation, evaluate
from ..evaluate.collapse import MIN_ROWS, NONE, collapse_report
from ..evaluate.units import Data, need_labels, pixels
from ..files.atomic import write_atomically
from ..models import Model
from ..models.load import load
from .settings import of_run

if TYPE_CHECKING:
    from ..pictures.gallery import Picture


def open_run(a: argparse.Namespace) -> tuple[Model, dict[str, Any]]:
    """A model, and the settings of its run ({} for a bare file)."""
    loaded = load(a.run_folder, a.device)
    return loaded.model, of_run(a.run_folder, loaded)


def output(a: argparse.Namespace, name: str) -> Path:
    """The file for a result: the one asked for, else in the run's folder, or beside the model."""
    path = Path(a.run_folder)
    beside = path / name if path.is_dir() else path.with_name(f"{path.stem}-{name}")
    return a.output or beside


def data_of(a: argparse.Namespace, settings: dict[str, Any]) -> Data:
    """The test split of the run's data, or of those named; of another file without splits, all."""
    own = settings.get("data")
    name = a.data or own
    if name is None:
        raise InputError(f"{a.run_folder} does not say on which data: name it with --data")
    other = own is None or (name != own and Path(name).resolve() != Path(own))
    split = "all" if other and not has_splits(name) else "test"
    X, y = load_data(name, split, a.data_dir or settings.get("data_dir"))
    return Data(X, y, shown_name(name), "rows" if split == "all" else "test split")


def measure(model: Model, data: Data, settings: dict[str, Any], **options: Any) -> Evaluation:
    """The data, measured as the run was trained; labels as `evaluate` takes them."""
    if model.needs_labels:
        need_labels(type(model), data.y, data.name)
    return evaluate(
        model, data.X, data.y, binarize=settings.get("binarize", "none"), data=data.name,
        split=data.split, left_out=", ".join(settings.get("leave_out") or ()), **options,
    )  # fmt: skip


def collapse(
    model: Model, X: Any, labels: dict[str, Any], settings: dict[str, Any], *quiet: str
) -> str:
    """What there is to say of units that tell nothing: "" where there are none, or as quiet says.

    quiet: verdicts of `collapse.py` that need no words.
    """
    if not model.noisy or len(X) < MIN_ROWS:
        return ""
    found = collapse_report(model, pixels(model, X, labels, settings), **labels)
    return "" if found.verdict in (NONE, *quiet) else f"\n{found}"


def write(path: Path, picture: "Picture") -> int:
    """Write a picture, or for .npy its numbers, or for .gif its animation; and say so."""
    if path.suffix == ".npy":
        write_atomically(path, lambda f: np.save(f, picture.numbers))
        print(path)
    elif path.suffix == ".gif" and picture.animation is not None:
        from ..pictures import animation  # on use: matplotlib is slow to import

        animation.save_animation(picture.animation(animation), path)
        print(path)
    else:
        others = "" if picture.animation is None else ", .gif (an animation)"
        check_picture(path, f"{others} or .npy (the numbers)")
        from ..pictures import plots

        save_picture(picture.figure(plots), path)
    return 0


PICTURES = (".png", ".svg", ".pdf")


def check_picture(path: Path, others: str = "") -> None:
    """InputError unless the name is that of a picture; others: what else is written there."""
    if path.suffix not in PICTURES:
        kinds = "" if others else "or "
        raise InputError(f"{path} must end in .png, .svg, {kinds}.pdf (a picture){others}")


def save_picture(figure: Any, path: Path) -> None:
    """Write a figure, and say so."""
    from ..pictures.plots import save_figure  # on use: matplotlib is slow to import

    save_figure(figure, path)
    print(path)
