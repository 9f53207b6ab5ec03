"""Checkpoints: (meta, arrays) in one NumPy .npz file, without pickle, written atomically.

meta is JSON: the description of the model, read by `models/load.py`, and for a run its settings
and history. It holds no durations, so the same run writes the same bytes.

version 1    the history has the seconds of each epoch, and a run has no hash of its data
version 2    a run's settings repeat the hyper-parameters of its model
version 3    they no longer do
version 4    the model has the format of its rows: shape, columns and scale
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..errors import CheckpointError, DamagedError, InputError
from .atomic import write_atomically
from .npz import read_npz
from .reading import DAMAGE, refusing

VERSION = 4
READABLE = (1, 2, 3, 4)


def write(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write one file. Raises InputError if the path is a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it")
    members = {name: to_numpy(a) for name, a in arrays.items()}
    text = np.array(json.dumps({"version": VERSION, **meta}, default=lambda scalar: scalar.item()))
    write_atomically(path, lambda f: np.savez(f, meta=text, **members))


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read meta and arrays of a file.

    Raises DamagedError, or CheckpointError for a version that is not READABLE.
    """
    with refusing(path, DamagedError):
        arrays = read_npz(path, compressed=False)
    try:
        meta = json.loads(str(arrays.pop("meta")[()]))
        if not isinstance(meta, dict):
            raise TypeError
    except DAMAGE:
        raise DamagedError(
            f"{path} is not a readable checkpoint: it is damaged or was not written by scratchvae"
        ) from None
    version = meta.get("version")
    if version not in READABLE:
        *versions, newest = map(str, READABLE)
        raise CheckpointError(
            f"{path} has checkpoint version {version!r}, but this scratchvae reads "
            f"{', '.join(versions)} and {newest}: use the scratchvae that wrote it, or train again"
        )
    return meta, arrays
