"""One file holds a model, or a whole run: NumPy's .npz, without pickle, written all or nothing.

It holds a JSON text (`meta`: format version, kind of model, hyper-parameters, and for a run its
settings and its history), each parameter by name, and for a run the optimiser's moments and the
sums of the epoch.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from .backend import to_numpy
from .errors import DAMAGE, CheckpointError, InputError
from .models import MODELS, Labelled, Model

VERSION = 1


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file through a temporary one beside it: afterwards it is the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        # name the file that was asked for, not the one that nobody knows
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_model(
    model: Model,
    path: str | Path,
    run: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Any] | None = None,
) -> None:
    """Parameters, hyper-parameters and history in one file; of a run, `Trainer.state` too."""
    model._check_built()
    kinds = {cls: kind for kind, cls in MODELS.items()}
    if type(model) not in kinds:
        names = ", ".join(cls.__name__ for cls in kinds)
        raise InputError(
            f"a {type(model).__name__} cannot be saved, because only {names} are known"
        )
    meta = {
        "version": VERSION,
        "model": kinds[type(model)],
        "config": model.get_params(),
        "n_features": model.n_features_,
        "classes": model.classes_.tolist() if isinstance(model, Labelled) else None,
        "history": model.history_,
        "run": dict(run or {}),
    }
    members = {f"param/{name}": a for name, a in model.params_.items()} | dict(arrays or {})
    members = {name: to_numpy(a) for name, a in members.items()}
    text = np.array(json.dumps(meta, default=lambda scalar: scalar.item()))
    write_atomically(Path(path), lambda f: np.savez(f, meta=text, **members))


def load_model(path: str | Path, device: str | None = None) -> Model:
    """The model in a file that `save` wrote, or in a run's folder. device: as it was, if None.

    Of a `.safetensors` file, also the `VAE` whose plain PyTorch weights it holds.
    Raises CheckpointError where the file is missing, damaged, of another version, or inconsistent.
    """
    return load(path, device)[0]


def load(
    path: str | Path, device: str | None = None
) -> tuple[Model, dict[str, Any], dict[str, Any]]:
    """The model; the run's part of the JSON text and its arrays, both empty for a bare model."""
    path = Path(path)
    if path.is_dir():
        path = path / "checkpoint.npz"
        if not path.is_file():
            raise CheckpointError(f"{path.parent} holds no run: it has no {path.name}")
    if not path.is_file():
        raise CheckpointError(f"there is no run or saved model {path}: check the path")
    if path.suffix == ".safetensors":
        from . import interchange  # on use: few read such files

        return interchange.load(path, device), {}, {}
    try:
        with open(path, "rb") as f, np.load(f, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        meta = json.loads(str(arrays.pop("meta")))
        version = meta["version"]
    except DAMAGE:
        raise CheckpointError(
            f"{path} is not a readable checkpoint: it is damaged, or was not written by scratchvae"
        ) from None
    if version != VERSION:
        raise CheckpointError(
            f"{path} has checkpoint version {version!r}, but this scratchvae reads {VERSION}: "
            "use the scratchvae that wrote it, or train again"
        )
    try:
        config = meta["config"] | ({} if device is None else {"device": device})
        config["hidden"] = tuple(config["hidden"])
        model = MODELS[meta["model"]](**config)
        if isinstance(model, Labelled):
            model.build(meta["n_features"], list(meta["classes"]))
        else:
            model.build(meta["n_features"])
        run, history = dict(meta["run"]), list(meta["history"])
        own = {name: arrays.pop(f"param/{name}") for name in model.params_}
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} lacks what a checkpoint must have ({error}): it is damaged"
        ) from None
    for name, a in own.items():
        wanted = model.params_[name]
        if a.shape != wanted.shape or a.dtype != wanted.dtype:
            raise CheckpointError(
                f"{path}: {name} is {a.dtype} of shape {a.shape}, but the model that the file "
                f"describes has {wanted.dtype} of shape {wanted.shape}"
            )
        if not np.isfinite(a).all():
            raise CheckpointError(f"{path}: {name} holds a NaN or an infinity: train again")
        wanted[...] = model._ws.xp.asarray(a)
    model.history_ = history
    return model, run, arrays
