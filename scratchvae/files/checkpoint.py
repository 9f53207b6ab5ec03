"""One file holds a model, or a whole run: NumPy's .npz, without pickle, written all or nothing.

It holds a JSON text (`meta`: format version, kind of model, hyper-parameters, and for a run its
settings and its history), each parameter by name, and for a run the optimiser's moments and the
sums of the epoch. How long an epoch took is no part of it: the same run gives the same bytes.

A file is read as a stranger's. What it describes is compared with what it holds before a model is
built, so that nothing larger than the file is asked for.
"""

import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from ..errors import (
    DAMAGE,
    CheckpointError,
    CheckpointWarning,
    DamagedError,
    InputError,
    whole_number,
)
from ..models import Model
from ..models.saved import describe, planned
from .atomic import write_atomically
from .kept import NEWEST, candidates
from .npz import Refused, read_npz, refusing

VERSION = 2
READ = (1, 2)  # version 1 had the seconds of each epoch in its history, and no hash of the data
RECORD = ("epoch", "step", "train_loss", "test_loss", "rec", "kl", "active_units")
RUN_ARRAYS = {  # kind of dtype, and dimensions
    **{"adam_m": ("f", 1), "adam_v": ("f", 1), "sums": ("f", 1)},
    **{"film_epochs": ("i", 1), "film": ("u", 3)},
}


class Loaded(NamedTuple):
    """What a file holds; of a bare model, `run` and `arrays` are empty."""

    model: Model
    run: dict[str, Any]  # the run's part of the JSON text
    arrays: dict[str, Any]  # and its arrays


def save_model(
    model: Model,
    path: str | Path,
    run: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Any] | None = None,
) -> None:
    """Parameters, hyper-parameters and history in one file; of a run, `Trainer.state` too."""
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder: name a file in it")
    meta = {
        "version": VERSION,
        **describe(model),
        "history": [{name: r[name] for name in r if name != "seconds"} for r in model.history_],
        "run": dict(run or {}),
    }
    members = {f"param/{name}": a for name, a in model.params_.items()} | dict(arrays or {})
    members = {name: to_numpy(a) for name, a in members.items()}
    text = np.array(json.dumps(meta, default=lambda scalar: scalar.item()))
    write_atomically(Path(path), lambda f: np.savez(f, meta=text, **members))


def load_model(path: str | Path, device: str | None = None) -> Model:
    """The model in a file that `save` wrote, or in a run's folder. device: as it was, if None.

    Of a folder whose newest checkpoint is damaged it is the one before, and a warning. Of a
    `.safetensors` file it may be the `VAE` whose plain PyTorch weights it holds. Raises
    CheckpointError where the file is missing, damaged, of another version, or inconsistent.
    """
    return load(path, device).model


def load(path: str | Path, device: str | None = None) -> Loaded:
    """As `load_model`, with what the file holds of a run."""
    return load_newest(Path(path), device)[1]


def load_newest(path: Path, device: str | None = None) -> tuple[Path, Loaded]:
    """The file itself, or of a folder the newest that is sound; and what it holds."""
    if not path.is_dir():
        return path, _load(path, device)
    paths = candidates(path)
    if not paths:
        raise CheckpointError(f"{path} holds no run: it has no {NEWEST}")
    try:
        return paths[0], _load(paths[0], device)
    except DamagedError as error:
        damage = error
    found: tuple[Path, Loaded] | None = None
    for file in paths[1:]:
        with suppress(CheckpointError):
            loaded = _load(file, device)
            if found is None or steps(loaded) > steps(found[1]):
                found = file, loaded
    if found is None:
        others = f", and so are the {len(paths) - 1} others there" if paths[1:] else ""
        raise DamagedError(f"{damage}{others}: begin anew with --overwrite, or another --out")
    # told of the line that called `load_model`
    warnings.warn(f"{damage}; {found[0].name} is taken in its place", CheckpointWarning, 4)
    return found


def steps(loaded: Loaded) -> int:
    """How far the run had come."""
    step = loaded.run.get("step")
    return step if isinstance(step, int) else -1


def _load(path: Path, device: str | None) -> Loaded:
    if not path.exists():
        raise CheckpointError(f"there is no run or saved model {path}: check the path")
    if path.suffix == ".safetensors":
        from . import safetensors as interchange  # on use: few read such files

        return Loaded(interchange.load(path, device), {}, {})
    meta, arrays = _read(path)
    version = meta.get("version")
    if version not in READ:
        raise CheckpointError(
            f"{path} has checkpoint version {version!r}, but this scratchvae reads "
            f"{' and '.join(map(str, READ))}: use the scratchvae that wrote it, or train again"
        )
    with refusing(path, DamagedError):
        own = {
            name.removeprefix("param/"): arrays.pop(name)
            for name in [*arrays]
            if name.startswith("param/")
        }
        model = _model(path, meta, own, device)
        model.history_ = _history(meta["history"])
        run = dict(meta["run"])
    for name, a in arrays.items():
        if name not in RUN_ARRAYS:
            raise DamagedError(f"{path} holds {name}, which no checkpoint has")
        kind, ndim = RUN_ARRAYS[name]
        if a.dtype.kind != kind or a.ndim != ndim or not np.isfinite(a).all():
            raise DamagedError(f"{path}: {name} is none, or holds a NaN or an infinity")
    return Loaded(model, run, arrays)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The JSON text and the arrays of a file."""
    with refusing(path, DamagedError):
        arrays = read_npz(path, compressed=False)
    try:
        meta = json.loads(str(arrays.pop("meta")[()]))
        if not isinstance(meta, dict):
            raise TypeError
    except DAMAGE:
        raise DamagedError(
            f"{path} is not a readable checkpoint: it is damaged, or was not written by scratchvae"
        ) from None
    return meta, arrays


def _model(
    path: Path, meta: dict[str, Any], own: dict[str, np.ndarray], device: str | None
) -> Model:
    """The model that `meta` describes, with its own parameters."""
    try:
        model = planned(meta, len(own), device)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from None
    fit(path, own, model._shapes(), model.dtype)
    model._allocate()
    for name, a in own.items():
        model.params_[name][...] = model.xp.asarray(a)
    return model


def fit(
    path: Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], dtype: str
) -> None:
    """DamagedError unless the arrays of a file are the finite parameters of these shapes."""
    if odd := sorted(arrays.keys() ^ shapes.keys()):
        raise DamagedError(f"{path} lacks what it describes, or the reverse: {', '.join(odd)}")
    for name, a in arrays.items():
        if a.shape != shapes[name] or a.dtype != dtype:
            raise DamagedError(
                f"{path}: {name} is {a.dtype} of shape {a.shape}, but the model that the file "
                f"describes has {dtype} of shape {shapes[name]}"
            )
        if not np.isfinite(a).all():
            raise DamagedError(f"{path}: {name} holds a NaN or an infinity: train again")


def _history(records: Any) -> list[dict[str, float]]:
    """One record an epoch, as `Trainer` made them; the seconds of each are unknown."""
    history = []
    for record in records:
        counts = {name: whole_number(record[name], name) for name in RECORD[:2]}
        means = {name: record[name] for name in RECORD[2:]}
        if not all(type(v) is float or (type(v) is int and abs(v) < 2**53) for v in means.values()):
            raise Refused("has a history whose losses are no numbers")
        history.append({**counts, **means, "seconds": nan})
    return history
