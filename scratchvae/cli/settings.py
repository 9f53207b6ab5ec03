"""The settings of a run: what the options begin with, which model reads which, and what --resume
may change. They come from the command line, or from a checkpoint, which is a stranger's word.
"""

from pathlib import Path
from typing import Any

from ..errors import CheckpointError, InputError
from ..files.reading import is_text
from ..files.run_folder import candidates
from ..models import MODELS
from ..models.saved import Loaded, load_newest

MODEL_SETTINGS = (
    *("latent_dim", "hidden", "activation", "likelihood", "x_variance", "init", "bias_from_data"),
    *("beta", "free_bits", "capacity", "k", "objective", "dreg", "alpha", "device", "seed"),
)
TRAINER_SETTINGS = ("batch_size", "lr", "kl_warmup", "kl_cycle", "binarize", "clip_norm")
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
    "clip_norm": None,
    "patience": None,
    "seed": 0,
    "device": "cpu",
}
# of those that begin as None
KINDS: dict[str, Any] = {
    "data_dir": str,
    "x_variance": (int, float),
    "capacity": (int, float),
    "labels": int,
    "leave_out": list,
    "clip_norm": (int, float),
    "patience": int,
}
FREE_ON_RESUME = ("data_dir", "epochs", "patience", "device")
# what only some models read, besides their hyper-parameters
ONLY = {
    "kl_warmup": ("vae", "cvae", "m2"),
    "kl_cycle": ("vae", "cvae", "m2"),
    "labels": ("m2",),
    "leave_out": ("ae", "vae", "iwae", "m2"),  # a cvae could not say of a new label how likely
}


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def is_ignored(model: str, name: str) -> bool:
    """Whether a model of this kind would ignore the setting."""
    own = MODELS[model]().get_params()
    return (name in MODEL_SETTINGS and name not in own) or model not in ONLY.get(name, (model,))


def refuse_what_does_not_apply(model: str, given: dict[str, Any]) -> None:
    """InputError for an option that this model would ignore."""
    for name in given:
        if is_ignored(model, name):
            raise InputError(f"{flag(name)} means nothing for --model {model}: leave it out")


def refuse_binary_pixels_that_are_not(settings: dict[str, Any]) -> None:
    if settings["likelihood"] == "continuous_bernoulli" and settings["binarize"] != "none":
        raise InputError(
            f"--binarize {settings['binarize']} makes all pixels 0 or 1, where the density of "
            "--likelihood continuous_bernoulli has no bound: use --likelihood bernoulli"
        )


def model_config(settings: dict[str, Any]) -> dict[str, Any]:
    names = MODELS[settings["model"]]().get_params()
    return {name: settings[name] for name in MODEL_SETTINGS if name in names}


def of_checkpoint(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint holds beside its model: all but the hyper-parameters."""
    return {name: settings[name] for name in DEFAULTS if name not in ("model", *MODEL_SETTINGS)}


def of_run(path: Path | str, loaded: Loaded) -> dict[str, Any]:
    """The settings of the run in a checkpoint, {} of a bare model.

    Raises CheckpointError where one is unknown, or not of the kind that it has to be.
    """
    model, run = loaded.model, loaded.run
    if not run:
        return {}
    found = run.get("settings")
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no settings of its run: it is damaged")
    own = {name: v for name, v in model.get_params().items() if name in DEFAULTS}
    settings = DEFAULTS | own | {"model": model.kind} | found
    known = of_checkpoint(DEFAULTS)
    for name, value in found.items():
        if name not in known or not _fits(name, value) or is_ignored_here(settings, name):
            raise CheckpointError(f"{path} holds a setting {name!r} that cannot be: it is damaged")
    if settings["leave_out"] is not None:  # JSON knows lists only
        settings["leave_out"] = tuple(settings["leave_out"])
    return settings


def _fits(name: str, value: Any) -> bool:
    default = DEFAULTS[name]
    texts = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]
    if not all(map(is_text, texts)):
        return False
    if name == "leave_out" and isinstance(value, list):
        return all(isinstance(label, str) for label in value)
    if default is None:
        return value is None or (type(value) is not bool and isinstance(value, KINDS[name]))
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is (list if isinstance(default, tuple) else type(default))


def is_ignored_here(settings: dict[str, Any], name: str) -> bool:
    """Whether no run of this model can have been given the setting."""
    return settings[name] != DEFAULTS[name] and is_ignored(settings["model"], name)


def to_resume(folder: Path, given: dict[str, Any]) -> tuple[Path, dict[str, Any], Loaded]:
    """Of the newest sound checkpoint: its file, the settings with what may change, and the rest."""
    if not candidates(folder):
        raise InputError(f"{folder} holds no checkpoint to resume: begin there without --resume")
    path, loaded = load_newest(folder, given.get("device"))
    settings = of_run(path, loaded)
    if not settings:
        raise InputError(f"{path} holds a model, not a run: it cannot be resumed")
    refuse_what_does_not_apply(given.get("model", settings["model"]), given)
    for name, value in given.items():
        if name not in FREE_ON_RESUME and value != settings[name]:
            raise InputError(
                f"{folder} was made with {flag(name)} {settings[name]}, so it cannot go on with "
                f"{value}: leave {flag(name)} out, or begin anew with another --out"
            )
    return path, settings | given, loaded
