"""Load data sets by name or from files: `load_data` returns the rows and labels of one split."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import noise
from ..errors import DataError, InputError
from ..files.reading import installed, refusing
from . import idx, tables
from .batches import check_columns, check_rows
from .labels import whole
from .sources import (
    IDX_SETS,
    DataSet,
    Options,
    Source,
    known_name,
    shown_name,
    source_of,
)

SPLITS = ("train", "test", "all")


def load_data(
    name: str | Path,
    split: str = "train",
    data_dir: str | Path | None = None,
    *,
    download: bool = False,
    size: int | tuple[int, int] | str | None = None,
    grey: bool | None = None,
    array: str | None = None,
    label_column: str | int | None = None,
    drop: str | int | Sequence[str | int] | None = None,
    missing: str | Sequence[float] | np.ndarray | Mapping[str, float] | None = None,
    header: bool | None = None,
    sheet: str | int | None = None,
    as_frame: bool = False,
    transpose: bool = False,
    verbose: bool = False,
) -> tuple[Any, np.ndarray | None]:
    """X (N,...) and labels y (N,), or None, of the "train" or "test" split, or of "all" rows.

    name is one of
      "strokes", "shapes"         the embedded data sets, digits and geometric shapes: nothing to
                                  download (`strokes.generate` and `shapes.generate` also return
                                  the true factors)
      "mnist", "fashion-mnist"    the four IDX files, plain or .gz, in `data_dir`, else in the
                                  folder that the variable SCRATCHVAE_DATA names, else in the user's
                                  cache: directly, in a folder named like the data set, or in
                                  torchvision's MNIST/raw or FashionMNIST/raw. "MNIST" and
                                  "fashion_mnist" mean the same
      a folder of pictures        or one: PNG, JPEG, GIF, BMP, TIFF, WebP, PPM; X is (N,H,W), or
                                  (N,H,W,3) with colour, uint8
      a folder of IDX files       or MNIST/raw below it, or one of the files: X (N,D) uint8, or
                                  (N,H,W) if the images are not square; y is None if there are no
                                  label files. A file with another name, my-idx3-ubyte or my.idx,
                                  also .gz, is a data set by itself, without splits or labels
      a table                     .csv, .tsv, .amat, also .gz; .parquet, .xlsx (pandas): X (N,D)
      a .npz, .mat or HDF5 file   (.h5, .hdf5; by SciPy or h5py): x_train, x_test, y_train, y_test,
                                  or X and y; other common names are known, and a single array can
                                  have any name. Labels in a .mat file can be a cell array of
                                  strings, or a matrix of char
      a .npy or .npy.gz file      one array (N,D), (N,H,W) or (N,H,W,3)
      a folder of such files      train.csv and test.csv, or X_train.npy, y_train.npy, ...

    A folder of pictures can have sub-folders train/ and test/, and below them, or without them,
    one sub-folder per class. Validation data, val/ or x_val, are the test split if there is
    no test split, and ignored otherwise. If there are no splits, a fixed random tenth of the rows
    is "test" and the rest "train"; "all" returns all rows in order. Labels that are whole numbers,
    unsigned or in floating point, become int64; labels (N,1) become (N,), and one-hot labels
    (N,C) become classes.

    Options, each for one kind of data:
      size          pictures: resize all to 32 x 32 (32), or height 32 and width 48 ((32, 48),
                    "32x48")
      grey          pictures: True for grey, False for colour; default: colour if any has colour
      array         named arrays: the one that holds the rows, such as "spectrograms" or, in a group
                    of an HDF5 file, "recordings/spectrograms"; then there are no splits
      label_column  tables: the label column, by name or number; default: the one named label,
                    labels, class, target or y; "": none. Named arrays: the array of labels, by
                    name; default: the one with a common name; "": none
      drop          tables: columns to leave out, by name or number (from 0)
      missing       tables: "mean" fills missing values with the mean of their column in this file,
                    or in the training split if there are splits; D numbers are the fill values of
                    the columns, such as `model.rows_.means`, the means of the table that
                    the model was fitted on; a pandas Series or a dict has them by column name;
                    default: refuse them
      header        tables: whether the first row holds the column names; default: detected, with
                    a warning if numbers could be names, such as years
      sheet         Excel files: the sheet to read, by name or number (from 0); default: the first,
                    with a warning that names the others, if any has content
      as_frame      tables: X as a pandas DataFrame with the column names
      transpose     IDX files: transpose each image, as EMNIST needs

    verbose: report what was skipped or assumed, with a progress bar for many pictures.

    download=True (pip install 'scratchvae[download]') first downloads missing files of mnist or
    fashion-mnist and verifies their checksums. They go to a folder named like the data set in
    `data_dir`, else in SCRATCHVAE_DATA, else in the cache. Without download=True the
    network is not used.

    Raises DataError (an InputError) if a file is missing, damaged, inconsistent, too large when
    decompressed (the variable SCRATCHVAE_MAX_BYTES; default 8 GiB, or half of the machine's memory
    if that is less) or cannot be downloaded, or if a package that reads it is not installed;
    InputError for an unknown name, an option that does not apply to these data, a name that cannot
    be downloaded, or without pooch.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if download:
        fetch(name, data_dir)
    missing, means = _filling(missing)
    drop = () if drop is None else drop
    one = isinstance(drop, str) or not isinstance(drop, Iterable)
    dropped: Any = (drop,) if one else tuple(drop)  # type: ignore[arg-type]
    options = Options(
        size, grey, array, label_column, dropped or None, missing, header, sheet, transpose,
        means=means,
    )  # fmt: skip
    source = source_of(name, data_dir, options)
    if as_frame and source.kind != "table":
        raise InputError(
            f"as_frame=True does not apply to {shown_name(name)}, which is not a table: "
            "leave it out"
        )
    X, y, columns, *_ = _split(source, split, name, verbose)
    if isinstance(means, tuple) and len(means) != X.shape[1]:
        raise InputError(
            f"missing= has {len(means)} numbers, but {shown_name(name)} has {X.shape[1]} columns: "
            "give one per column"
        )
    # square images become rows, as always; the shape of others could not be restored
    if source.kind in ("embedded", "idx") and X.ndim == 3 and X.shape[1] == X.shape[2]:
        X = X.reshape(len(X), -1)
    if as_frame:
        with refusing(Path(name), DataError):
            (pandas,) = installed("pandas")
        return pandas.DataFrame(X, columns=columns), y
    return X, y


def _filling(missing: Any) -> tuple[str | None, tables.Means | None]:
    """Parse `missing=` of load_data: "mean" or None, and the numbers to fill gaps with."""
    if missing is None or isinstance(missing, str):
        if missing == "skip":
            raise InputError("missing='skip' is for the command anomaly only: leave it out")
        return missing, None
    named = dict(missing.items()) if hasattr(missing, "items") else None  # a Series too
    if named is not None and np.ndim(missing) < 2 and len(named) < len(missing):
        raise InputError("missing= has two numbers for one column: give one per column")
    try:
        numbers = np.asarray(missing if named is None else [*named.values()], np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(())
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or named == {}:
        got = repr(missing) if named is None else f"a {type(missing).__name__} of other values"
        raise InputError(f"missing= must be 'mean' or one finite number per column, got {got}")
    values = numbers.tolist()
    return "mean", tuple(values) if named is None else dict(zip(named, values, strict=True))


def data_set(
    name: str | Path, split: str, data_dir: str | Path | None, options: Options
) -> DataSet:
    """A split as it is stored, images as images, with the names of its columns.

    For a folder of pictures, reports skipped files, with a progress bar for many pictures.
    """
    source = source_of(name, data_dir, options)
    return _split(source, split, name, source.kind == "pictures")


def both_splits(
    name: str | Path, data_dir: str | Path | None, options: Options, verbose: bool = False
) -> tuple[DataSet, DataSet]:
    """The training and the test split as they are stored; data without splits are read once."""
    source = source_of(name, data_dir, options)
    if source.splits:
        train, test = source.read("train", verbose), source.read("test", False)
        check_columns(train.columns, test.columns, "the training split")
        return _signed(train), _signed(test)
    rows = source.read("all", verbose)
    check_rows(rows.X)  # so that messages have the row numbers of the file
    return _signed(_part(rows, "train", name)), _signed(_part(rows, "test", name))


def fetch(name: str | Path, data_dir: str | Path | None = None, *, verbose: bool = True) -> None:
    """Download missing files, as `load_data` does. verbose: show progress on a terminal."""
    known = known_name(name)
    if known not in IDX_SETS:
        raise InputError(
            f"--download (download=True) does not apply to {name}: only {' and '.join(IDX_SETS)} "
            "can be downloaded, so leave it out"
        )
    from .download import fetch_missing  # lazily: nothing else may reach the network

    # into a folder of its own: the files of both data sets have the same names
    fetch_missing(known, idx.named_folders(known, data_dir)[0], verbose=verbose)


def _split(source: Source, split: str, name: str | Path, verbose: bool) -> DataSet:
    if not source.splits:
        rows = source.read("all", verbose)
        return _signed(rows if split == "all" else _part(rows, split, name))
    if split != "all":
        return _signed(source.read(split, verbose))
    return _signed(_joined(name, source.read("train", verbose), source.read("test", False)))


def _joined(name: str | Path, train: DataSet, test: DataSet) -> DataSet:
    rows = [split.X.shape[1:] for split in (train, test)]
    if rows[0] != rows[1]:
        raise DataError(f"{name}: rows of the splits differ, {rows[0]} and {rows[1]}")
    check_columns(train.columns, test.columns, "the training split")
    y = None if train.y is None or test.y is None else np.concatenate((train.y, test.y))
    files = None if train.files is None or test.files is None else train.files + test.files
    return train._replace(X=np.concatenate((train.X, test.X)), y=y, files=files, lines=None)


def _part(rows: DataSet, split: str, name: str | Path) -> DataSet:
    """The fixed random tenth for "test", or the rest."""
    X, y, files = rows.X, rows.y, rows.files
    if len(X) < 2:
        raise DataError(
            f"{name} should hold at least two rows, one of them for the test split; it has {len(X)}"
        )
    order = noise.permutation(len(X), seed=0, epoch=0)
    n_test = -(-len(X) // 10)
    chosen = np.sort(order[:n_test] if split == "test" else order[n_test:])
    return rows._replace(
        X=X[chosen],
        y=None if y is None else y[chosen],
        files=None if files is None else tuple(files[i] for i in chosen),
        numbers=chosen,
        lines=None if rows.lines is None else rows.lines[chosen],
    )


def _signed(data: DataSet) -> DataSet:
    """The data set with whole-number labels as signed ones."""
    return data if data.y is None else data._replace(y=whole(data.y))
