"""The commands that show what a model learned, draw it, or write it for other programs."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..data import data_set, known_name, shown_name
from ..data.labels import known_labels, labels_named
from ..errors import InputError
from ..evaluate import compare
from ..evaluate.units import Data, means, need_labels, units_of, with_labels
from ..files import run_folder as runs
from ..files import safetensors
from ..files.atomic import write_atomically
from ..models import MODELS, Labelled, Model, load_model
from ..pictures import ROWS, SHOWN, explorer, gallery
from ..pictures.playground import TITLE as PLAYGROUND
from ..pictures.playground import page as playground_page
from ..train.measure import ACTIVE
from .parser import STEPS, STEPS_OF_GIF
from .settings import DEFAULTS, flag, model_config, reading, refuse_what_does_not_apply
from .shared import (
    DRAWN,
    check_picture,
    collapse,
    data_of,
    label_name,
    measure,
    naming_rows,
    open_run,
    output,
    save_picture,
    write,
)
from .tables import SUFFIXES, Table, check_table, decoded_rows, write_table


def evaluate(a: argparse.Namespace) -> None:
    if a.workers is not None and a.samples is None:
        raise InputError("--workers applies to --samples K only: add that, or leave --workers out")
    model, settings = open_run(a)
    data = data_of(a, model, settings)
    found = measure(model, data, settings, k=a.samples, examples=a.examples, workers=a.workers or 1)
    compared = "" if a.compare is None else compare(found, a.compare)  # refuses first
    print(found)
    if compared:
        print(f"\n{compared}")
    print(collapse(model, data, settings))


def sample(a: argparse.Namespace) -> None:
    model, settings = open_run(a)
    label = {} if a.label is None else _label(model, a.label)
    path = output(a, runs.SAMPLES_OF_LABEL if label else None)
    picture = gallery.samples(model, a.n, a.seed, label, draw=a.draw)
    y = None
    if isinstance(model, Labelled):
        y = np.resize([label["y"]] if label else model.classes_, a.n)  # in turn
    write(path, picture, decoded_rows(model, picture.numbers, y, label=label_name(settings)))


def _label(model: Model, text: str | None) -> dict[str, Any]:
    """The argument y= for a label as text: the first label if None; {} for other models."""
    if isinstance(model, Labelled):
        return {"y": model.classes_[0] if text is None else labels_named([text], model.classes_)[0]}
    if text is not None:
        raise InputError(
            f"--label does not apply to a {type(model).__name__}, which has no labels: leave it out"
        )
    return {}


def _need_images(model: Model, path: Path) -> None:
    """Raises InputError if the path is a picture, but the rows are not images."""
    if path.suffix.lower() in (*DRAWN, ".gif") and model.rows_.image_shape is None:
        raise InputError(
            f"rows of {model.n_features_} features are not images and cannot be drawn: "
            "write the numbers with -o FILE.npy"
        )


def reconstruct(a: argparse.Namespace) -> None:
    model, settings = open_run(a)
    path = output(a)
    data = data_of(a, model, settings)
    X, y, name, *_ = data
    all_rows = path.suffix.lower() in SUFFIXES
    n = a.n or (len(X) if all_rows else SHOWN if model.rows_.image_shape else ROWS)
    X, y = X[:n], None if y is None else y[:n]
    with naming_rows(data):
        picture = gallery.reconstructions(model, X, with_labels(model, X, y, name))
    write(path, picture, decoded_rows(model, picture.numbers, y, **_about(data, n)))


def _about(data: Data, n: int | None = None) -> dict[str, Any]:
    """The files, numbers and label name of the first n rows, for a table."""
    files, numbers = data.files and data.files[:n], data.row_numbers[:n]
    return {"files": files, "numbers": numbers, "label": data.label}


def encode(a: argparse.Namespace) -> None:
    """Write mu and logvar of q(z|x), or the codes of a model without noise."""
    model, settings = open_run(a)
    path = output(a)
    check_table(path)
    data = data_of(a, model, settings)
    X, y, name, *_ = data
    with naming_rows(data):
        mu, logvar = means(model, X, with_labels(model, X, y, name))
    codes = {"mu": mu} if logvar is None else {"mu": mu, "logvar": logvar}
    columns = [f"{part}{i}" for part in codes for i in range(model.latent_dim)]
    write_table(path, Table(codes, columns, y, **_about(data)))
    print(path)


def interpolate(a: argparse.Namespace) -> None:
    model, settings = open_run(a)
    data = data_of(a, model, settings)
    X, y, name, split, *_ = data
    labels = with_labels(model, X, y, name)
    path = output(a)
    _need_images(model, path)
    steps = a.steps or (STEPS_OF_GIF if path.suffix.lower() == ".gif" else STEPS)
    pairs = gallery.pairs(a.n, X, labels)
    if len(pairs) == 0:
        kind = " of the same label" if labels else ""
        raise InputError(f"interpolation needs two examples{kind} in the {split} of {name}")
    with naming_rows(data, pairs.ravel()):
        picture = gallery.interpolations(model, X, labels, pairs, steps, a.slerp)
    write(path, picture)


def traverse(a: argparse.Namespace) -> None:
    model, settings = open_run(a)
    _need_images(model, output(a))
    found = units_of(model, data_of(a, model, settings), settings)
    if a.row >= len(found.mu):
        raise InputError(f"--row {a.row} is out of range: there are {len(found.mu)} examples")
    if not found.active.any():
        raise InputError(
            f"no unit is active (variance of its codes > {ACTIVE:g}), so there is nothing to move: "
            "train longer, or reduce the weight of the KL"
        )
    write(output(a), gallery.traversals(model, found, a.row, a.n, a.steps))


def manifold(a: argparse.Namespace) -> None:
    model, settings = open_run(a)
    Z = model.latent_dim
    if Z < 2:
        raise InputError("a manifold is drawn over two latent units, but this model has one")
    _need_images(model, output(a))
    label, units, mu = _label(model, a.label), a.units, None
    if units is None and Z == 2:
        units = (0, 1)
    if units is not None and (max(units) >= Z or units[0] == units[1]):
        given = " ".join(map(str, units))
        raise InputError(f"--units {given}: name two different units from 0 to {Z - 1}")
    if units is None or not model.noisy:
        found = units_of(model, data_of(a, model, settings), settings)
        mu, units = found.mu, units or found.order[:2].tolist()
    picture = gallery.manifold(model, tuple(units), mu, a.n, label)
    write(output(a), picture)
    print(picture.words)


def _check_html(path: Path) -> None:
    if path.suffix.lower() != ".html":
        raise InputError(f"{path} must end in .html: it is a page for a browser")


def explore(a: argparse.Namespace) -> None:
    """Write a page for exploring the latent space in a browser, offline."""
    model, settings = open_run(a)
    path = output(a)
    _check_html(path)
    explorer.check(model)
    data = data_of(a, model, settings)
    folder = Path(a.run_folder)
    in_run = path.parent.resolve() == folder.resolve() and (folder / runs.INDEX).exists()
    text = explorer.page(model, units_of(model, data, settings), data, in_run)
    write_atomically(path, lambda f: f.write(text.encode()))
    if in_run and path.name == runs.EXPLORER:
        gallery.link_explorer(folder)
    print(path)


def playground(a: argparse.Namespace) -> None:
    """Write a page in which a small VAE learns; an earlier one is replaced, another file is not."""
    path = a.output or Path(a.result)
    _check_html(path)
    if path.is_file() and f"<title>{PLAYGROUND}</title>".encode() not in path.read_bytes():
        raise InputError(f"{path} exists and is not a playground: choose another -o")
    text = playground_page()
    write_atomically(path, lambda f: f.write(text.encode()))
    print(path)


def export(a: argparse.Namespace) -> None:
    source = Path(a.run_folder)
    beside = source / a.result if source.is_dir() else source.with_suffix(safetensors.SUFFIX)
    path = a.output or beside
    if path.suffix != safetensors.SUFFIX:
        raise InputError(f"{path} must end in {safetensors.SUFFIX}")
    if path.resolve() == source.resolve():
        raise InputError(f"{path} would overwrite the model to export: choose another -o")
    safetensors.package()  # before the model is read, which takes longer
    load_model(source, "cpu").save(path)
    print(path)


def diagram(a: argparse.Namespace) -> None:
    """Draw the model of a run, or the one that `train` would start with."""
    given = {name: getattr(a, name) for name in DEFAULTS if hasattr(a, name)}
    if given and a.run_folder is not None:
        names = ", ".join(map(flag, given))
        raise InputError(f"{a.run_folder} defines its own model: leave out {names} or the run")
    path = output(a)
    check_picture(path)
    model = _untrained(given) if a.run_folder is None else open_run(a)[0]
    from ..pictures import diagram as drawing  # lazily: matplotlib is slow to import

    save_picture(drawing.diagram(model), path)


def _untrained(given: dict[str, Any]) -> Model:
    """The model that `train` would start with, given these options."""
    settings = DEFAULTS | given
    refuse_what_does_not_apply(settings["model"], given)
    kind = MODELS[settings["model"]]
    model = kind(**model_config(settings))
    model.check_config()
    name, width = settings["data"], 28 * 28
    classes: Any = 10
    if known_name(name) in (None, "shapes"):  # the digits have one size: no file need be read
        X, y, *_ = data_set(name, "train", settings["data_dir"], reading(settings))
        width, classes = X[0].size, None if y is None else known_labels(y)
    if not isinstance(model, Labelled):
        return model.build(width)
    need_labels(kind, classes, shown_name(name))
    return model.build(width, classes)
