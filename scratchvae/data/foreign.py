"""Arrays of MATLAB and HDF5 files, through SciPy and h5py, which are imported on use.

What a file claims is checked before memory is taken for it.
"""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files.reading import (
    DEFLATE,
    UnreadableFile,
    check_expansion,
    installed,
    open_at_once,
    regular,
)
from .arrays import Arrays

HDF5 = (".h5", ".hdf5", ".hdf")
MATLAB = ".mat"
NUMBERS = {
    "double", "single", "logical", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64",
}  # fmt: skip
MAX_DATASETS = 10_000
HDF5_MARK = b"\x89HDF\r\n\x1a\n"


def of_matlab(path: Path) -> Arrays:
    """The numeric arrays of a .mat file; a file of MATLAB 7.3 is one of HDF5."""
    with open_at_once(path) as f:
        size = regular(f)
        f.seek(512)
        if f.read(len(HDF5_MARK)) == HDF5_MARK:
            return of_hdf5(path, transposed=True)
    (matlab,) = installed("scipy.io.matlab")
    with _opened(path, matlab) as f:
        listed = {name: shape for name, shape, kind in matlab.whosmat(f) if kind in NUMBERS}

    def read(wanted: Collection[str]) -> dict[str, np.ndarray]:
        # MATLAB stores whole numbers in one byte each, and then compresses them
        check_expansion(size, 8 * sum(prod(listed[name]) for name in wanted), ratio=8 * DEFLATE)
        with _opened(path, matlab) as f:
            content = matlab.loadmat(f, variable_names=list(wanted))
        return {name: _whole(content[name]) for name in wanted}

    return Arrays(list(listed), read)


@contextmanager
def _opened(path: Path, matlab: Any) -> Iterator[IO[bytes]]:
    """The open file; errors of SciPy's become UnreadableFile, and its warnings are not shown."""
    with open_at_once(path) as f, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield f
        except (matlab.MatReadError, IndexError, ArithmeticError, UnboundLocalError):
            raise UnreadableFile("is damaged, or another kind of file: get it again") from None


def _whole(a: np.ndarray) -> np.ndarray:
    """A column or row of whole numbers, which MATLAB keeps as floating point, as int64."""
    whole = a.dtype.kind == "f" and a.size == max(a.shape, default=0) and (a == np.rint(a)).all()
    return a.astype(np.int64) if whole else a


def of_hdf5(path: Path, transposed: bool = False) -> Arrays:
    """The arrays of an HDF5 file, those in groups by their paths.

    transposed: the file is MATLAB's, whose axes stand in reversed order.
    """
    (h5py,) = installed("h5py")
    names: list[str] = []

    def add(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset) and not name.startswith("#"):  # "#": MATLAB's own
            names.append(name)
        return True if len(names) > MAX_DATASETS else None  # True ends the visit

    def read(wanted: Collection[str]) -> dict[str, np.ndarray]:
        with open_at_once(path) as f, h5py.File(f, "r") as content:
            found = {name: _dataset(name, content[name]) for name in wanted}
        return {name: a.T if transposed else a for name, a in found.items()}

    with open_at_once(path) as f:
        regular(f)
        with h5py.File(f, "r") as content:
            content.visititems(add)
    if len(names) > MAX_DATASETS:
        raise UnreadableFile(f"has more than {MAX_DATASETS:,} arrays, the most that are read")
    return Arrays(names, read)


def _dataset(name: str, data: Any) -> np.ndarray:
    if data.shape is None or data.dtype.kind not in "biufS":
        raise UnreadableFile(
            f"holds {name!r}, an array of dtype {data.dtype}, but only numbers and text of fixed "
            "length are read: convert it by .astype(float), or .astype('S') for names, and save it "
            "again"
        )
    if data.external or data.is_virtual:
        raise UnreadableFile(f"keeps {name!r} in another file: copy the array into one file")
    check_expansion(data.id.get_storage_size(), prod(data.shape) * data.dtype.itemsize)
    a: np.ndarray = data[()]
    return np.char.decode(a, "utf-8") if a.dtype.kind == "S" else a


def rows_first(X: np.ndarray, y: np.ndarray | None) -> np.ndarray:
    """MATLAB's data, whose last axis may count the examples, as the labels tell."""
    if y is not None and X.ndim > 1 and len(X) != y.size == X.shape[-1]:
        return np.moveaxis(X, -1, 0)
    return X
