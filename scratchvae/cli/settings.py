"""The settings of a run: defaults and types, which model reads which, and what may change.

`to_resume` and `to_begin_from` say what a run that continues another may change.

They come from the command line, or from a checkpoint, which is not trusted.
"""

import os
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from ..data import NAMED
from ..data.sources import KINDS_OF, Options
from ..errors import CheckpointError, DataError, InputError, whole_number
from ..files.reading import is_text
from ..files.run_folder import candidates
from ..models import MODELS, Model
from ..models.load import Loaded, load_newest
from ..train.optim import TRAINING


def _declared(call: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The default and the annotation of each parameter."""
    parameters = signature(call, eval_str=True).parameters
    return {name: (p.default, p.annotation) for name, p in parameters.items()}


# a name has the same default in each model
_of_models = {k: v for model in MODELS.values() for k, v in _declared(model).items()}
del _of_models["dtype"]  # the command line has no option for it
_training = {name: _of_models.pop(name) for name in ("epochs", *TRAINING)}
_last = {name: _of_models.pop(name) for name in ("seed", "device")}

MODEL_SETTINGS = (*_of_models, *_training, *_last)
_declarations: dict[str, tuple[Any, Any]] = {  # in the order of config.json
    "model": ("vae", str),
    "data": ("strokes", str),
    "data_dir": (None, str | None),
    "size": (None, str | None),
    "grey": (None, bool | None),
    "array": (None, str | None),
    "label_column": (None, str | None),
    "drop": (None, Sequence[str] | None),
    "missing": (None, str | None),
    "header": (None, bool | None),
    "sheet": (None, str | None),
    "transpose": (False, bool),
    **_of_models,
    "labels": (None, int | None),
    "leave_out": (None, Sequence[str] | None),
    **_training,
    "epochs": (20, int),
    "patience": (None, int | None),
    "init_from": (None, str | None),
    "init_steps": (None, int | None),  # of that run; no option
    **_last,
}
# the first type of a union: None is allowed where it is the default
TYPES: dict[str, Any] = {
    name: get_args(hint)[0] if isinstance(hint, UnionType) else hint
    for name, (_, hint) in _declarations.items()
}
DEFAULTS: dict[str, Any] = {
    name: float(default) if TYPES[name] is float and default is not None else default
    for name, (default, _) in _declarations.items()
}

# new values of "data" must name the same data, which their hash shows
FREE_ON_RESUME = ("data", "data_dir", "epochs", "patience", "device")
# what the parameters depend on; --init-from may change all other settings
KEPT_BY_INIT_FROM = (
    *("model", "latent_dim", "hidden", "activation", "likelihood", "x_variance", "init"),
    *("bias_from_data", "scale"),
)
_scheduled = tuple(name for name, model in MODELS.items() if model.scheduled)
# settings that are not hyper-parameters and that only some models read
ONLY = {
    "kl_warmup": _scheduled,
    "kl_cycle": _scheduled,
    "labels": ("m2",),
    # a model that needs labels cannot score an example whose label it never saw
    "leave_out": tuple(name for name, model in MODELS.items() if not model.needs_labels),
}


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def is_ignored(model: str, name: str) -> bool:
    """Whether a model of this kind would ignore the setting."""
    own = signature(MODELS[model]).parameters
    return (name in MODEL_SETTINGS and name not in own) or model not in ONLY.get(name, (model,))


def refuse_what_does_not_apply(model: str, given: dict[str, Any]) -> None:
    """Raises InputError for an option that this model would ignore."""
    for name in given:
        if is_ignored(model, name):
            raise InputError(f"{flag(name)} does not apply to --model {model}: leave it out")


def refuse_binary_pixels_that_are_not(settings: dict[str, Any]) -> None:
    """Raises InputError if --binarize would make the likelihood unbounded."""
    if settings["likelihood"] == "continuous_bernoulli" and settings["binarize"] != "none":
        raise InputError(
            f"--binarize {settings['binarize']} makes all pixels 0 or 1, where the density of "
            "--likelihood continuous_bernoulli is unbounded: use --likelihood bernoulli"
        )


def model_config(settings: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of the model, by name."""
    names = signature(MODELS[settings["model"]]).parameters
    return {name: settings[name] for name in MODEL_SETTINGS if name in names}


def reading(settings: dict[str, Any]) -> Options:
    """How to read the data of the run."""
    return Options(**{name: settings[name] for name in KINDS_OF})


def of_checkpoint(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint holds besides its model: all except the hyper-parameters."""
    return {name: settings[name] for name in DEFAULTS if name not in ("model", *MODEL_SETTINGS)}


def of_run(path: Path | str, loaded: Loaded) -> dict[str, Any]:
    """The settings of a run, from its checkpoint; {} for a model without a run.

    Raises CheckpointError if one is unknown, of the wrong type, or not read by its model.
    """
    model, run = loaded.model, loaded.run
    if not run:
        return {}
    found = run.get("settings")
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} lacks the settings of its run: it is damaged")
    known = of_checkpoint(DEFAULTS)
    for name, value in found.items():
        ignored = name in known and value != known[name] and is_ignored(model.kind, name)
        if name not in known or not _fits(name, value) or ignored:
            raise CheckpointError(f"{path} holds an invalid setting {name!r}: it is damaged")
    settings = _of_model(model) | found
    # JSON has lists, but no tuples
    return {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}


def _of_model(model: Model) -> dict[str, Any]:
    """The hyper-parameters of a model, and the defaults of all other settings."""
    own = {name: v for name, v in model.get_params().items() if name in DEFAULTS}
    own["scale"] = model.rows_.scale  # fit may have been told another
    return DEFAULTS | own | {"model": model.kind}


def _fits(name: str, value: Any) -> bool:
    """Whether a value that was read from JSON has the type of the setting."""
    return DEFAULTS[name] is None if value is None else _is_a(TYPES[name], value)


def _is_a(kind: Any, value: Any) -> bool:
    if get_origin(kind) is Sequence:
        return isinstance(value, list) and all(_is_a(get_args(kind)[0], item) for item in value)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind and (kind is not str or is_text(value))


def to_resume(folder: Path, given: dict[str, Any]) -> tuple[Path, dict[str, Any], Loaded]:
    """The newest intact checkpoint: its path, its settings updated by `given`, its content."""
    if not candidates(folder):
        raise InputError(f"{folder} has no checkpoint to resume: start without --resume")
    path, loaded = load_newest(folder, given.get("device"))
    settings = of_run(path, loaded)
    if not settings:
        raise InputError(f"{path} holds a model, not a run: it cannot be resumed")
    refuse_what_does_not_apply(given.get("model", settings["model"]), given)
    for name, value in given.items():
        if name not in FREE_ON_RESUME and value != settings[name]:
            old = settings[name]
            trained = f"without {flag(name)}" if old is None else f"with {flag(name)} {old}"
            raise InputError(
                f"{folder} was trained {trained}, so it cannot resume with {value}: leave "
                f"{flag(name)} out, or start a new run with another --out"
            )
    return path, settings | given, loaded


def check_data_of_resumed(path: Path, loaded: Loaded, chosen: dict[str, Any]) -> None:
    """Raises InputError if the data are gone or cannot be verified against the checkpoint."""
    if loaded.run["version"] < 4 and chosen["binarize"] != "none":
        raise InputError(
            f"{path} is from an earlier version, which drew the pixels of --binarize "
            f"{chosen['binarize']} differently: finish this run with that version, or train again"
        )
    if chosen["data"] != of_run(path, loaded)["data"] and "data" not in loaded.run:
        raise InputError(
            f"{path} is from the first version, which kept no hash of the data, so "
            f"{chosen['data']} cannot be verified: leave --data out"
        )
    check_that_data_exist(chosen, path.parent, chosen["data"] != of_run(path, loaded)["data"])


def to_begin_from(path: str, loaded: Loaded, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a new run with the parameters of a run or model: its own, and `given`."""
    own = of_run(path, loaded) or _of_model(loaded.model)
    for name in KEPT_BY_INIT_FROM:
        if given.get(name, own[name]) != own[name]:
            raise InputError(
                f"--init-from {path} was trained with {flag(name)} {own[name]}, so the new "
                f"run cannot use {given[name]}: leave out {flag(name)} or --init-from"
            )
    history = loaded.model.history_
    steps = loaded.run.get("step", history[-1]["step"] if history else None)
    if steps is not None:
        whole_number(steps, f"the step of {path}", least=0)
    chosen = own | given | {"init_steps": steps}
    check_that_data_exist(chosen, path, "data" in given)
    return chosen


def check_that_data_exist(settings: dict[str, Any], run: Path | str, given: bool = False) -> None:
    """Raises DataError if the data, the run's own or `given` ones, are a path that is gone."""
    data = settings["data"]
    if data not in NAMED and not os.path.exists(data):
        if given:
            raise DataError(f"there is no file or folder {data}: check the path")
        raise DataError(
            f"{run} was trained on {data}, which is gone: if it moved, add --data and its new path"
        )
