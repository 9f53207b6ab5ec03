"""Arrays of MATLAB and HDF5 files. SciPy reads those of MATLAB 4, and h5py those of HDF5 and of
MATLAB 7.3; both are imported on use.

A file's claims are checked before memory is allocated for them.
"""

from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...files.reading import (
    DEFLATE,
    UnreadableFile,
    check_expansion,
    installed,
    max_bytes,
    open_at_once,
    regular,
    without_warnings,
)
from ..arrays import Arrays, shown
from ..labels import MAX_LABEL
from . import matlab

HDF5 = (".h5", ".hdf5", ".hdf")
MATLAB = ".mat"
TEXTS = (matlab.CHAR, matlab.CELL)
NUMBERS = {"logical", *matlab.KINDS.values()} - {*TEXTS}
MAX_DATASETS = 10_000
HDF5_MARK = b"\x89HDF\r\n\x1a\n"


def of_matlab(path: Path) -> Arrays:
    """The arrays of numbers and of text in a .mat file; a file of MATLAB 7.3 is one of HDF5."""
    with open_at_once(path) as f:
        size = regular(f)
        for start in (0, 512):
            f.seek(start)
            if f.read(len(HDF5_MARK)) == HDF5_MARK:
                return _hdf5(path, transposed=start > 0)
        found = matlab.arrays_in(f)
    if found is None:
        return _of_matlab4(path)

    def read(wanted: Collection[str]) -> dict[str, np.ndarray]:
        # MATLAB stores whole numbers in one byte each, and then compresses them
        expanded = 8 * sum(prod(found[name].header.shape) for name in wanted)
        check_expansion(size, expanded, ratio=8 * DEFLATE)
        with open_at_once(path) as f:
            return {name: found[name].read(f) for name in wanted}

    texts = [name for name, array in found.items() if array.header.kind in TEXTS]
    counts = {
        name: array.header.shape[0]
        if array.header.kind == matlab.CHAR
        else prod(array.header.shape)
        for name, array in found.items()
    }
    return Arrays([name for name in found if name not in texts], read, texts, counts)


def _of_matlab4(path: Path) -> Arrays:
    (scipy,) = installed("scipy.io.matlab")

    def call(function: Any, **options: Any) -> Any:
        """SciPy's result; its errors become UnreadableFile, and its warnings are hidden."""
        with open_at_once(path) as f, without_warnings():
            if 0 not in f.read(4):  # its readers of later formats are not to be trusted
                raise UnreadableFile("is damaged, or another kind of file: get it again")
            try:
                return function(f, **options)
            except (scipy.MatReadError, IndexError, ArithmeticError, UnboundLocalError):
                raise UnreadableFile("is damaged, or another kind of file: get it again") from None

    kinds = {name: (kind, prod(shape)) for name, shape, kind in call(scipy.whosmat)}
    names = [name for name, (kind, _) in kinds.items() if kind in NUMBERS]
    texts = [name for name, (kind, _) in kinds.items() if kind == matlab.CHAR]

    def read(wanted: Collection[str]) -> dict[str, np.ndarray]:
        with open_at_once(path) as f:
            size = regular(f)
        check_expansion(size, 8 * sum(kinds[name][1] for name in wanted), ratio=8)
        content = call(scipy.loadmat, variable_names=list(wanted))
        return {
            name: matlab.labels_of_lines(name, content[name].ravel().tolist())
            if name in texts
            else content[name]
            for name in wanted
        }

    return Arrays(names, read, texts, {name: size for name, (_, size) in kinds.items()})


# ------------------------------------------------------------------------------------------ HDF5


def of_hdf5(path: Path) -> Arrays:
    """The arrays of an HDF5 file, those in groups by their paths."""
    return _hdf5(path, transposed=False)._replace(counts=None)


def _hdf5(path: Path, transposed: bool) -> Arrays:
    """transposed: the file is MATLAB's, whose axes are reversed."""
    (h5py,) = installed("h5py")
    names: list[str] = []
    texts: list[str] = []
    counts: dict[str, int] = {}

    def add(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset) and not name.startswith("#"):  # "#": MATLAB's own
            of_class, dtype = _matlab_class(item), item.id.get_type()
            is_text = isinstance(dtype, h5py.h5t.TypeStringID) and dtype.is_variable_str()
            (texts if is_text or of_class in TEXTS else names).append(name)
            shape = item.shape or ()
            counts[name] = shape[-1] if of_class == matlab.CHAR and shape else prod(shape)
        return True if len(names) + len(texts) > MAX_DATASETS else None  # True ends the visit

    def read(wanted: Collection[str]) -> dict[str, np.ndarray]:
        found = {}
        with open_at_once(path) as f, h5py.File(f, "r") as content:
            for name in wanted:
                data = content[name]
                if _matlab_class(data) in TEXTS:
                    found[name] = _labels_of_matlab(name, data, content)
                elif name in texts:  # each may be as long as the file
                    found[name] = _texts(name, data, at_once=max(1, max_bytes() // size))
                else:
                    reverse = transposed or _matlab_class(data)
                    found[name] = _dataset(name, data).T if reverse else _dataset(name, data)
        return found

    with open_at_once(path) as f:
        size = regular(f)
        with h5py.File(f, "r") as content:
            content.visititems(add)
    if len(names) + len(texts) > MAX_DATASETS:
        raise UnreadableFile(f"exceeds the limit of {MAX_DATASETS:,} arrays")
    return Arrays(names, read, texts, counts)


def _matlab_class(item: Any) -> str:
    """The class that MATLAB notes beside an array; "" for an array of another program."""
    if "MATLAB_class" not in item.attrs:
        return ""
    noted = item.attrs.get_id("MATLAB_class")
    if noted.shape != () or noted.dtype.kind != "S" or noted.dtype.itemsize > 64:
        return ""
    return bytes(item.attrs["MATLAB_class"]).decode("latin-1")


def _labels_of_matlab(name: str, data: Any, content: Any) -> np.ndarray:
    """The labels in MATLAB's matrix of letters, or in its cell array of texts or numbers."""
    if _matlab_class(data) == matlab.CHAR:
        return matlab.labels_of_lines(
            name, [_text(row) for row in np.atleast_2d(_dataset(name, data).T)]
        )
    matlab.check_vector(name, data.shape or ())
    if "ref" not in (data.dtype.metadata or {}):
        raise matlab.no_label(name, 0)
    _check_own(name, data, data.dtype.itemsize)
    return matlab.labels_of(
        name, [_of_reference(name, i, content[r]) for i, r in enumerate(data[()].flat)]
    )


def _of_reference(name: str, i: int, item: Any) -> Any:
    """The text or the number that a cell refers to."""
    of_class, size = _matlab_class(item), getattr(item, "size", None)
    if of_class == matlab.CHAR and "MATLAB_empty" in item.attrs:
        return ""
    if of_class == matlab.CHAR and size and size == item.shape[0] <= MAX_LABEL:  # reversed
        return _text(_dataset(name, item).ravel())
    if of_class in NUMBERS and size == 1 and "MATLAB_empty" not in item.attrs:
        return _dataset(name, item).ravel()[0].item()
    raise matlab.no_label(name, i)


def _texts(name: str, data: Any, at_once: int) -> np.ndarray:
    """Labels from texts of variable length, read in blocks."""
    n = prod(data.shape or ())
    if not data.shape or n != max(data.shape):
        raise UnreadableFile(
            f"has labels {shown([name])} of text in the shape {data.shape}: keep one text per row"
        )
    _check_own(name, data, data.dtype.itemsize)
    before = (0,) * data.shape.index(n)
    found: list[str] = []
    for i in range(0, n, at_once):
        found += [text.decode() for text in data[(*before, slice(i, i + at_once))].ravel()]
        if max(map(len, found[i:])) > MAX_LABEL:  # which is refused
            break
    return matlab.labels_of(name, found)


def _text(letters: np.ndarray) -> str:
    if letters.dtype.kind != "u":
        raise ValueError("no letters")
    return letters.astype("<u2").tobytes().decode("utf-16-le")


def _dataset(name: str, data: Any) -> np.ndarray:
    if data.shape is None or data.dtype.kind not in "biufS":
        if data.dtype is not None and data.dtype.kind == "V":
            raise UnreadableFile(
                f"holds {name!r}, a table of fields: save its numbers as one array, or as CSV, or "
                "name other rows with --array (array=)"
            )
        raise UnreadableFile(
            f"holds {name!r}, an array of dtype {data.dtype}, but only numbers and text "
            "are read: convert it with .astype(float), or .astype('S') for names, and save it "
            "again; or name other rows with --array, or other labels or '' with --label-column"
        )
    _check_own(name, data, data.dtype.itemsize)
    a: np.ndarray = data[()]
    return np.char.decode(a, "utf-8") if a.dtype.kind == "S" else a


def _check_own(name: str, data: Any, itemsize: int) -> None:
    """Raises UnreadableFile unless the file itself holds the array, and can hold that much."""
    if data.external or data.is_virtual:
        raise UnreadableFile(f"keeps {name!r} in another file: copy the array into one file")
    check_expansion(data.id.get_storage_size(), prod(data.shape) * itemsize)
