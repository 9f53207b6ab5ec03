"""The command that draws a model: one that a run holds, or one as `train` would begin it."""

import argparse
from pathlib import Path
from typing import Any

from ..data.labels import known_labels
from ..data.load import NAMED, load_data, shown_name
from ..errors import InputError
from ..evaluate.units import need_labels
from ..models import MODELS, Labelled, Model, load_model
from .settings import DEFAULTS, model_config, refuse_what_does_not_apply
from .shared import check_picture, output, save_picture


def draw_diagram(a: argparse.Namespace) -> int:
    given = {name: getattr(a, name) for name in DEFAULTS if hasattr(a, name)}
    if a.run_folder is not None and given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{a.run_folder} says what its model is: leave {names} out, or the run")
    path = a.output or Path("diagram.svg")
    if a.run_folder is not None:
        path = output(a, "diagram.svg")
    check_picture(path)
    model = load_model(a.run_folder, "cpu") if a.run_folder is not None else _begun(given)
    from ..pictures.diagram import diagram  # on use: matplotlib is slow to import

    save_picture(diagram(model), path)
    return 0


def _begun(given: dict[str, Any]) -> Model:
    """The model that `train` would begin with, given these options."""
    settings = DEFAULTS | given
    refuse_what_does_not_apply(settings["model"], given)
    kind = MODELS[settings["model"]]
    model = kind(**model_config(settings))
    model.check_config()
    width, classes = _sizes(settings["data"], settings["data_dir"])
    if not isinstance(model, Labelled):
        return model.build(width)
    need_labels(kind, classes, shown_name(settings["data"]))
    return model.build(width, classes)


def _sizes(name: str, data_dir: str | None) -> tuple[int, Any]:
    """How many features the data have, and their classes, or how many; None without labels."""
    if name in NAMED:
        return 28 * 28, 10  # of each of them: there is no need to read the files
    X, y = load_data(name, "train", data_dir)
    return X[0].size, None if y is None else known_labels(y)
