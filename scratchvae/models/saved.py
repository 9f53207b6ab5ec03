"""What a file says of a model beside its numbers, and the model that this describes.

A description is JSON: the kind of model, its hyper-parameters, the width of its data, its classes.
A stranger's may ask for anything. So the model is made without memory for parameters, and what it
would need is held against what the file has before any is taken.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.labels import known_labels
from ..errors import InputError
from . import MODELS, Labelled, Model

MOST_LETTERS = 1 << 20  # of all labels together, each as long as the longest: an array's memory


def describe(model: Model) -> dict[str, Any]:
    """What `planned` needs; InputError where the model is not built, or no file can describe it."""
    model._check_built()
    kinds = {cls: kind for kind, cls in MODELS.items()}
    if type(model) not in kinds:
        names = ", ".join(cls.__name__ for cls in kinds)
        raise InputError(
            f"a {type(model).__name__} cannot be saved, because only {names} are known"
        )
    classes = None
    if isinstance(model, Labelled):
        classes = model.classes_.tolist()
        read_classes(classes)  # what could not be read is not written
    return {
        "model": kinds[type(model)],
        "config": model.get_params(),
        "n_features": model.n_features_,
        "classes": classes,
    }


def planned(about: Mapping[str, Any], tensors: int, device: str | None = None) -> Model:
    """The model of a description: all is checked, and `_allocate` would take the memory.

    tensors: how many the file holds, since no model has more layers than tensors. device: the
    described one, if None. `_shapes()` and `torch_names.shapes` say what the model needs. Raises
    InputError where there is no such model.
    """
    kind, config = about.get("model"), about.get("config")
    if not isinstance(kind, str) or kind not in MODELS:
        raise InputError(f"the model is of the kind {kind!r}, none of {', '.join(MODELS)}")
    if not isinstance(config, dict):
        raise InputError(f"the hyper-parameters are {config!r}, no names with values")
    if odd := sorted(config.keys() - set(MODELS[kind]._names())):
        raise InputError(f"a {MODELS[kind].__name__} has no hyper-parameter {', '.join(odd)}")
    hidden = config.get("hidden")
    if not isinstance(hidden, list) or len(hidden) > tensors:
        raise InputError("hidden is no list of layer widths, or of more layers than there are")
    config = config | {"hidden": tuple(hidden)} | ({} if device is None else {"device": device})
    model = MODELS[kind](**config)
    if isinstance(model, Labelled):
        model.classes_ = read_classes(about.get("classes"))
    width: Any = about.get("n_features")
    model._plan(width)
    return model


def is_text(text: str) -> bool:
    """Whether a text of JSON, which may hold half a letter, can be written anywhere."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def read_classes(classes: Any) -> np.ndarray:
    """`classes_` from a list of JSON; InputError unless it holds just the labels of a model."""
    words = "classes must be a list of labels, sorted and each of them once: numbers, or names"
    if not isinstance(classes, list) or not classes:
        raise InputError(words)
    if all(isinstance(label, str) for label in classes):
        if not all(map(is_text, classes)):
            raise InputError("the name of a class is no Unicode")
        if max(map(len, classes)) * len(classes) > MOST_LETTERS:
            raise InputError("the names of the classes are too long")
    elif not all(isinstance(label, int | float) for label in classes):
        raise InputError(words)
    known = known_labels(classes)
    if known.tolist() != classes:
        raise InputError(words)
    return known
