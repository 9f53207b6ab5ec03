"""Load data sets by name or from files: `load_data` returns images and labels of one split."""

import os
from pathlib import Path

import numpy as np

from ..backend import noise
from ..errors import DataError, InputError
from ..files.home import expanded
from ..files.npz import read_npy, read_npz
from ..files.reading import refusing
from . import idx, strokes

IDX_SETS = ("mnist", "fashion-mnist")  # each a folder of four IDX files
NAMED = ("strokes", *IDX_SETS)
OWN_SPLITS = {"x_train", "x_test"}  # arrays of a .npz file
SPLITS = ("train", "test", "all")


def load_data(
    name: str | Path,
    split: str = "train",
    data_dir: str | Path | None = None,
    *,
    download: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """X (N,D) and labels y (N,), or None, of the "train" or "test" split, or of "all" rows.

    name is one of
      "strokes"                   the embedded data set: nothing to download (`strokes.generate`
                                  also returns the true factors)
      "mnist", "fashion-mnist"    the four IDX files, plain or .gz, in `data_dir`, else in the
                                  folder that the variable SCRATCHVAE_DATA names, else in the user's
                                  cache; there directly or in a folder of the data set's name
      a folder                    with four such IDX files
      a .npy file                 one array (N,D) or (N, height, width)
      a .npz file                 x_train, x_test and optionally y_train, y_test; or X and
                                  optionally y

    If a file has no splits, a fixed random tenth of its rows is "test" and the rest "train"; "all"
    returns its rows in order. Unsigned labels become int64, so that -1 can mean unlabelled.

    download=True (pip install 'scratchvae[download]') first downloads the missing ones of the four
    files and verifies their checksums. They go to the folder of the data set's name in `data_dir`,
    else in SCRATCHVAE_DATA, else in the cache. Without download=True the network is not used.

    Raises DataError (an InputError) if a file is missing, damaged, inconsistent or cannot be
    downloaded, and InputError for an unknown name, a name that cannot be downloaded, or without
    pooch.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if not str(name):
        raise InputError("the name of the data set is empty: use strokes, or name one")
    if download:
        fetch(name, data_dir)
    if split == "all" and has_splits(name):
        return _joined(name, *(load_data(name, part, data_dir) for part in ("train", "test")))
    X, y = _load(name, split, data_dir)
    return X, y.astype(np.int64) if y is not None and y.dtype.kind == "u" else y


def fetch(name: str | Path, data_dir: str | Path | None = None, *, verbose: bool = True) -> None:
    """Download missing files, as `load_data` does. verbose: show progress on a terminal."""
    if name not in IDX_SETS:
        raise InputError(
            f"--download (download=True) means nothing for {name}: only {' and '.join(IDX_SETS)} "
            "can be downloaded, so leave it out"
        )
    from .download import fetch_missing  # lazily: nothing else may reach the network

    # into a folder of its own: the files of both data sets have the same names
    fetch_missing(str(name), _folders(str(name), data_dir)[0], verbose=verbose)


def has_splits(name: str | Path) -> bool:
    """Whether the data have a training and a test split; a file of one array has none."""
    path = Path(expanded(name))
    if path.suffix not in (".npy", ".npz") or path.is_dir():
        return True
    return OWN_SPLITS <= _arrays(path).keys()


def shown_name(name: str | Path) -> str:
    """The name of the data in messages; a file or folder named like a data set is distinguished."""
    if name in NAMED:
        return str(name)
    path = Path(expanded(name))
    return path.name + ("/" if path.is_dir() else "")


Split = tuple[np.ndarray, np.ndarray | None]


def _joined(name: str | Path, train: Split, test: Split) -> Split:
    rows = [split[0].shape[1:] for split in (train, test)]
    if rows[0] != rows[1]:
        raise DataError(f"{name}: rows of the splits differ, {rows[0]} and {rows[1]}")
    y = None if train[1] is None or test[1] is None else np.concatenate((train[1], test[1]))
    return np.concatenate((train[0], test[0])), y


def _load(name: str | Path, split: str, data_dir: str | Path | None) -> Split:
    if name == "strokes":
        X, y, _ = strokes.generate(split)
        return X, y
    if name in IDX_SETS:
        return _from_folders(_folders(str(name), data_dir), split, str(name))
    path = Path(expanded(name))
    if path.is_dir():
        return _from_folders([path], split, str(name))
    if path.suffix not in (".npy", ".npz"):
        raise InputError(
            f"unknown data set {str(name)!r}: choose one of {', '.join(NAMED)}, a folder of IDX "
            "files, or a .npy or .npz file (numpy.save writes one)"
        )
    return _from_numpy(path, split)


def _folders(name: str, data_dir: str | Path | None) -> list[Path]:
    """The folders to search for a named data set."""
    if data_dir is None:
        data_dir = os.environ.get("SCRATCHVAE_DATA") or None
    if data_dir is not None:
        data_dir = Path(expanded(data_dir))
        return [data_dir / name, data_dir]
    return [Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "scratchvae" / name]


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise InputError(
            "the home folder is unknown: name a folder for the data with --data-dir (data_dir=)"
        ) from None


def _from_folders(folders: list[Path], split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    for folder in folders:
        try:
            return idx.read_split(folder, split)
        except FileNotFoundError as error:
            missing = error
    remedy = "download them with train --download (download=True), " if name in IDX_SETS else ""
    places = " or ".join(map(str, folders))
    raise DataError(
        f"{name}: no file {missing}(.gz) in {places}: {remedy}put the four IDX files there, name "
        "their folder with --data-dir (data_dir=), or use --data strokes, which is embedded"
    ) from None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npy or .npz file, by lower-case name."""
    with refusing(path, DataError):
        arrays = {"x": read_npy(path)} if path.suffix == ".npy" else read_npz(path)
    named = {key.lower(): a for key, a in arrays.items()}
    if len(named) < len(arrays):
        raise DataError(f"{path} holds arrays whose names differ only in upper and lower case")
    return named


def _from_numpy(path: Path, split: str) -> Split:
    arrays = _arrays(path)
    own_splits = OWN_SPLITS <= arrays.keys()
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
    if own_splits or split == "all":
        return X, y
    if len(X) < 2:
        raise DataError(
            f"{path} should hold at least two rows, one of them for the test split; it has {len(X)}"
        )
    order = noise.permutation(len(X), seed=0, epoch=0)
    n_test = -(-len(X) // 10)
    rows = np.sort(order[:n_test] if split == "test" else order[n_test:])
    return X[rows], None if y is None else y[rows]
