"""Functions shared by the commands: load a run and its data, evaluate, and write results."""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..data import NAMED, Options, both_splits, data_set, shown_name
from ..data.arrays import partners
from ..data.batches import check_columns
from ..data.images import SUFFIXES as SUFFIXES_OF_PICTURES
from ..data.images import holds_images
from ..data.labels import keep_labels, leave_out
from ..data.sources import KINDS_OF, DataSet, find_source
from ..errors import DataWarning, InputError, RowWarning, warn
from ..evaluate import Evaluation, evaluate
from ..evaluate.collapse import MIN_ROWS, NONE, collapse_report
from ..evaluate.units import Data, need_labels, pixels, with_labels
from ..files.atomic import write_atomically
from ..files.run_folder import CHECKPOINTS, CONFIG, METRICS, earlier_checkpoints
from ..models import MODELS, Labelled, Model
from ..models.load import load
from ..pictures.gallery import Picture
from ..train.measure import prepare
from ..train.snapshot import data_hash
from .settings import check_that_data_exist, of_run, reading
from .tables import SUFFIXES, Table, write_table

SPLITS = {"test": "test split", "train": "training split", "all": "rows"}  # in words

FILES_OF_TRAINING = (*CHECKPOINTS, METRICS, CONFIG)
DRAWN = (".png", ".svg", ".pdf")  # suffixes of pictures


def open_run(a: argparse.Namespace) -> tuple[Model, dict[str, Any]]:
    """The model, and the settings of its run ({} for a model without a run).

    Raises InputError if --output is a file that is read: the data, or part of the run.
    """
    loaded = load(a.run_folder, getattr(a, "device", "cpu"))
    settings = of_run(a.run_folder, loaded)
    a.hashes = {name: loaded.run.get(name) for name in ("data", "test_data")}  # of the run's data
    if path := getattr(a, "output", None):
        _refuse_to_replace(path, a, settings)
        if a.command == "anomaly":  # which also writes a picture
            _refuse_to_replace(path.with_suffix(".png"), a, settings)
    return loaded.model, settings or {"binarize": loaded.model.binarize}


def _refuse_to_replace(path: Path, a: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Raises InputError if the path is a file of the data or of the run, or would be one."""
    run = Path(a.run_folder)
    files = [run / name for name in FILES_OF_TRAINING] if run.is_dir() else [run]
    files += earlier_checkpoints(run).values()
    data = [getattr(a, "data", None), getattr(a, "training_data", None), settings.get("data")]
    sources = [Path(name) for name in data if name not in (None, *NAMED)]
    files += [
        *sources,
        *(part for file in sources if file.is_file() for part in partners(file).values()),
    ]
    for file in filter(Path.exists, files):
        own = file.is_dir() and path.resolve().is_relative_to(file.resolve())
        if path.is_file() and (own or file.samefile(path)):
            raise InputError(
                f"{path} is a file of the data or the run and would be overwritten: choose another "
                "-o"
            )
    if path.suffix.lower() in SUFFIXES_OF_PICTURES:
        for source in sources:
            check_not_among_pictures(path, source, "-o")


def check_not_among_pictures(path: Path, data: Path, flag: str) -> None:
    """Raises InputError if a picture, or a folder of some, would be read as part of the data."""
    within = data.is_dir() and path.resolve().is_relative_to(data.resolve())
    if within and holds_images(data):
        raise InputError(
            f"{path} is in {data}, where a new picture would be read as data: choose another {flag}"
        )


def output(a: argparse.Namespace, name: str | None = None) -> Path:
    """The path for a result: --output, or in the run's folder, beside the model file, or here."""
    path, name = Path(a.run_folder or "."), name or a.result
    beside = path / name if path.is_dir() else path.with_name(f"{path.stem}-{name}")
    return a.output or beside


def data_of(a: argparse.Namespace, model: Model, settings: dict[str, Any]) -> Data:
    """The test split of the run's data or of --data; all rows of another file without splits.

    A command with --split takes that split, or all rows if --data is a file without splits.
    """
    own = settings.get("data")
    name = a.data or own
    if name is None:
        raise InputError(f"{a.run_folder} does not name its data: name it with --data")
    if a.data is None:
        check_that_data_exist(settings, a.run_folder)
    other = own is None or (name != own and Path(name).resolve() != Path(own))
    data_dir = a.data_dir or settings.get("data_dir")
    source = find_source(name, data_dir, _reading(a, model, settings, None, other))
    if other:
        _check_kind(model, source.kind, shown_name(name), own)
    split = getattr(a, "split", None)
    if split is None:
        whole = other or ("split" in a and a.data is not None)
        split = "all" if whole and not source.splits else "test"
    options = _reading(a, model, settings, source.kind, other)
    rows = data_set(name, split, data_dir, options)
    check_columns(model.rows_.columns, rows.columns, type(model).__name__)
    if source.kind == "table" and model.rows_.columns and rows.columns is None:
        names = ", ".join(model.rows_.columns[:5]) + ", ..." * (len(model.rows_.columns) > 5)
        warn(f"{shown_name(name)} has no column names: they are assumed to be {names}, in order")
    check_size(model, rows)
    if not len(rows.X):
        raise InputError(f"{shown_name(name)} holds no examples: at least one row is needed")
    gaps = not complete_rows(rows.X).all()  # which no model was trained on
    if split == "test" and not other and not gaps and (known := a.hashes["test_data"]) is not None:
        if data_hash(as_trained(model, settings, rows, test=True)) != known:
            warn(f"{shown_name(name)} has changed: this is not the test split of {a.run_folder}")
    if split == "train" and not other and (known := a.hashes["data"]) is not None:
        if _hash_of_splits(model, settings | {"data_dir": data_dir}) != known:
            warn(f"{shown_name(name)} has changed: {a.run_folder} was trained on other rows")
    label = rows.label or label_name(settings)
    about = rows.files, rows.numbers, label, rows.lines, rows.place
    return Data(rows.X, rows.y, shown_name(name), SPLITS[split], *about)


def _check_kind(model: Model, kind: str, name: str, own: str | None) -> None:
    """Raises InputError for pictures if the model was trained on a table, or the reverse."""
    form = model.rows_
    if kind == "pictures" and form.columns and not form.image_shape:
        names = ", ".join(form.columns[:5]) + ", ..." * (len(form.columns) > 5)
        raise InputError(
            f"{name} holds pictures, but the run was trained on a table with the columns {names}: "
            "name such a table"
        )
    if kind == "table" and own and own not in NAMED and Path(own).is_dir():
        if holds_images(Path(own)):
            raise InputError(
                f"{name} is a table, but the run was trained on the pictures of {own}: name a "
                "picture, or a folder of pictures"
            )


@contextmanager
def naming_rows(data: Data, chosen: np.ndarray | None = None) -> Iterator[None]:
    """Within it, warnings name rows as their file does; chosen: the rows given to the model."""
    show = warnings.showwarning

    def named(message: Warning | str, *where: Any, **more: Any) -> None:
        if isinstance(message, RowWarning):
            i = message.row if chosen is None else chosen[message.row]
            message = DataWarning(message.text.replace("{}", data.called(i), 1))
        show(message, *where, **more)

    with warnings.catch_warnings():
        warnings.showwarning = named
        yield


def label_name(settings: dict[str, Any]) -> str | None:
    """The label column named by --label-column; None without one, or if it is a number."""
    name = settings.get("label_column") or ""
    return None if name.isdecimal() else name or None


def check_size(model: Model, rows: DataSet) -> None:
    """Raises InputError if these are pictures of another size than the images of the model."""
    known, size = model.rows_.image_shape, rows.X.shape[1:3]
    if rows.files is not None and known and size != known[:2]:
        raise InputError(
            f"{type(model).__name__} was fitted on images of {known[0]} x {known[1]} pixels (height"
            f" x width), but these have {size[0]} x {size[1]}: resize them with --size "
            f"{_size(known)}"
        )


def _size(shape: tuple[int, ...]) -> str:
    """The size of images of this shape, as written for --size."""
    return f"{shape[0]}x{shape[1]}"


def _hash_of_splits(model: Model, settings: dict[str, Any]) -> str | None:
    """The hash of both splits, as the checkpoint of the run keeps it; None if they do not fit."""
    try:
        rows, test = data_splits(settings)
        splits = [(rows, False), (test, True)]
        return data_hash(*(as_trained(model, settings, part, test=t) for part, t in splits))
    except InputError:  # labels that are gone, or gaps
        return None


def data_splits(chosen: dict[str, Any], verbose: bool = False) -> tuple[DataSet, Data]:
    """The training split, without what settings exclude, and the test split."""
    y: Any
    name = shown_name(chosen["data"])
    train, test = both_splits(chosen["data"], chosen["data_dir"], reading(chosen), verbose)
    X, y = train.X, train.y
    kind = MODELS[chosen["model"]]
    if issubclass(kind, Labelled):
        need_labels(kind, y, name)
    if chosen["leave_out"] is not None:
        if y is None:
            raise InputError(f"{name} has no labels, so --leave-out has no effect: leave it out")
        kept, y = leave_out(np.arange(len(X)), y, chosen["leave_out"])
        X, numbers, lines = X[kept], train.numbers, train.lines
        train = train._replace(
            numbers=kept if numbers is None else numbers[kept],
            lines=None if lines is None else lines[kept],
        )
    if chosen["labels"] is not None:
        y = keep_labels(y, chosen["labels"], chosen["seed"])
    return train._replace(X=X, y=y), Data(test.X, test.y, name, "test split")


def complete_rows(X: np.ndarray) -> np.ndarray:
    """Whether each row is without missing and infinite values: (N,)."""
    if X.dtype.kind != "f":
        return np.ones(len(X), dtype=bool)
    return np.isfinite(X).reshape(len(X), -1).all(axis=1)


def as_trained(model: Model, settings: dict[str, Any], data: Any, *, test: bool) -> np.ndarray:
    """The rows of a split as the trainer of the run holds them, for their hash."""
    binarize = settings["binarize"]
    if not test:
        y = data.y if model.needs_labels or model.kind == "m2" else None
        return prepare(model, data.X, y, "static" if binarize == "static" else "none")
    return prepare(model, data.X, data.y if model.needs_labels else None, binarize)


def _reading(
    a: argparse.Namespace, model: Model, settings: dict[str, Any], kind: str | None, other: bool
) -> Options:
    """How to read data of this kind (None: any): by the options, else as the run's own data."""
    told = {name: getattr(a, name) for name in KINDS_OF if hasattr(a, name)}
    if told.get("missing") == "skip" and kind in ("array", "arrays"):
        del told["missing"]  # arrays are read with their gaps
    form = model.rows_
    examples = {(model.n_features_,), form.shape or form.image_shape or ()}
    own = {
        name: settings[name]
        for name, kinds in KINDS_OF.items()
        if name in settings and (kind is None or kind in kinds)
    }
    if kind == "pictures" and (shape := form.image_shape):
        own["remedy"] = _size(shape)
        if own.get("grey") is None:
            own["grey"] = len(shape) == 2
    also_drop = own.pop("drop", None) if other else None
    rows = own.get("array")
    new = other or told.get("array", rows) != rows
    if own.get("label_column") in told.get("drop", ()):
        own["label_column"] = ""
    return Options(
        **own | told,
        array_required="array" in told or not other,
        label_required="label_column" in told or not new,
        sheet_required="sheet" in told or not other,
        labelled=rows,
        also_drop=also_drop,
        means=form.means or None,
        skips=a.command == "anomaly",
        learned=form.columns or (None,) * model.n_features_,
        examples=tuple(examples) if other else (),
    )


def measure(model: Model, data: Data, settings: dict[str, Any], **options: Any) -> Evaluation:
    """Evaluate the model on the data, with the pixels of the run's training."""
    if model.needs_labels:
        need_labels(type(model), data.y, data.name)
    with naming_rows(data):
        return evaluate(
            model, data.X, data.y, binarize=settings.get("binarize", "none"), data=data.name,
            split=data.split, left_out=", ".join(settings.get("leave_out") or ()),
            numbers=data.row_numbers, **options,
        )  # fmt: skip


@np.errstate(over="ignore", invalid="ignore")  # of rows far from the training data
def collapse(model: Model, data: Data, settings: dict[str, Any], *quiet: str) -> str:
    """The report on dead units; "" if there are none, or if its verdict is one of `quiet`."""
    if not model.noisy or len(data.X) < MIN_ROWS:
        return ""
    labels = with_labels(model, *data[:3])
    found = collapse_report(model, pixels(model, data.X, labels, settings), **labels)
    return "" if found.verdict in (NONE, *quiet) else f"\n{found}"


def write(path: Path, picture: Picture, table: Table | None = None) -> None:
    """Write a picture, its numbers (.npy), its animation (.gif) or its table; print the path."""
    suffix = path.suffix.lower()
    if table is not None and suffix in SUFFIXES:
        write_table(path, table)
    elif suffix == ".npy":
        write_atomically(path, lambda f: np.save(f, picture.numbers))
    elif suffix == ".gif" and picture.animation is not None:
        from ..pictures import animation  # lazily: matplotlib is slow to import

        animation.save_animation(picture.animation(animation), path)
    else:
        others = "" if picture.animation is None else ", .gif (an animation)"
        numbers = " or .npy" if table is None else ", .csv, .npy or .npz"
        check_picture(path, f"{others}{numbers} (the numbers)")
        from ..pictures import plots

        plots.save_figure(picture.figure(plots), path)
    print(path)


def check_picture(path: Path, others: str = "") -> None:
    """Raises InputError unless the path has a picture's suffix; others: further suffixes, named."""
    if path.suffix.lower() not in DRAWN:
        kinds = "" if others else "or "
        raise InputError(f"{path} must end in .png, .svg, {kinds}.pdf (a picture){others}")


def save_picture(figure: Any, path: Path) -> None:
    """Write a figure, and print its path."""
    from ..pictures.plots import save_figure  # lazily: matplotlib is slow to import

    save_figure(figure, path)
    print(path)
