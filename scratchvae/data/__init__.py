"""Data sets by name, or from own files: `load_data` gives images and labels of one split."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import noise
from ..errors import DAMAGE, DataError, InputError
from . import idx, strokes

IDX_SETS = ("mnist", "fashion-mnist")  # one folder of the four standard files each
SPLITS = ("train", "test")


def load_data(
    name: str | Path, split: str = "train", data_dir: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """X (N,D) and labels y (N,), or None where there are none, of the "train" or "test" split.

    name is one of
      "strokes"                   the embedded data set: nothing to download (`strokes.generate` has
                                  the true factors too)
      "mnist", "fashion-mnist"    the four IDX files, plain or .gz, in `data_dir`, else in the
                                  folder that the variable SCRATCHVAE_DATA names, else in the user's
                                  cache; there directly or in a folder of the data set's name
      a folder                    with four such IDX files
      a .npy file                 one array (N,D) or (N, height, width)
      a .npz file                 x_train, x_test and perhaps y_train, y_test; or X and perhaps y

    Of a file without splits, a fixed random tenth is "test" and the rest "train". Raises DataError
    (an InputError) where a file is missing, damaged or inconsistent, and InputError for an unknown
    name.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if name == "strokes":
        X, y, _ = strokes.generate(split)
        return X, y
    if not str(name):
        raise InputError("the name of the data set is empty: use strokes, or name one")
    if name in IDX_SETS:
        return _from_folders(_folders(str(name), data_dir), split, str(name))
    path = Path(name)
    if path.is_dir():
        return _from_folders([path], split, str(name))
    if path.suffix not in (".npy", ".npz"):
        raise InputError(
            f"unknown data set {str(name)!r}: choose one of strokes, {', '.join(IDX_SETS)}, a "
            "folder of IDX files, or a .npy or .npz file"
        )
    return _from_numpy(path, split)


def _folders(name: str, data_dir: str | Path | None) -> list[Path]:
    """Where the files of a named data set may lie."""
    if data_dir is not None:
        root = Path(data_dir)
    elif os.environ.get("SCRATCHVAE_DATA"):
        root = Path(os.environ["SCRATCHVAE_DATA"])
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scratchvae"
        return [root / name]
    return [root / name, root]


def _from_folders(folders: list[Path], split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    for folder in folders:
        try:
            return idx.read_split(folder, split)
        except FileNotFoundError as error:
            missing = error
    raise DataError(
        f"{name}: no file {missing}(.gz) in {' or '.join(map(str, folders))}: put the four IDX "
        "files there, name their folder with --data-dir (data_dir=), or use --data strokes, which "
        "is embedded"
    ) from None


def _from_numpy(path: Path, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with open(path, "rb") as f:
            content: Any = np.load(f, allow_pickle=False)
            arrays = {"X": content} if isinstance(content, np.ndarray) else dict(content)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}: check the path") from None
    except DAMAGE:
        raise DataError(
            f"{path} cannot be read: it is damaged, holds Python objects, or is no NumPy file"
        ) from None
    arrays = {key.lower(): a for key, a in arrays.items()}
    own_splits = {"x_train", "x_test"} <= arrays.keys()
    if own_splits:
        X, y = arrays[f"x_{split}"], arrays.get(f"y_{split}")
    elif not any(key.startswith("x_") for key in arrays) and ("x" in arrays or len(arrays) == 1):
        X, y = arrays.get("x", next(iter(arrays.values()))), arrays.get("y")
    else:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(f"{path} should hold X (and y), or x_train and x_test; it holds {found}")
    if X.ndim < 2:
        raise DataError(f"{path} should hold rows, (N,D), but its array has the shape {X.shape}")
    if y is not None and y.shape != (len(X),):
        raise DataError(f"{path} holds {len(X)} rows of data, but labels of shape {y.shape}")
    if own_splits:
        return X, y
    if len(X) < 2:
        raise DataError(
            f"{path} should hold two rows or more, one of them for testing; it has {len(X)}"
        )
    order = noise.permutation(len(X), seed=0, epoch=0)
    n_test = -(-len(X) // 10)
    rows = np.sort(order[:n_test] if split == "test" else order[n_test:])
    return X[rows], None if y is None else y[rows]
