"""Read IDX files, the format of MNIST: a four-byte magic number, big-endian sizes, then the bytes.

Files may be plain or gzipped, detected by content. Any mismatch with the format is a DataError. No
memory is allocated for a claimed size before the bytes are read, and decompressed data are limited
to a multiple of the file's size.
"""

import gzip
from contextlib import nullcontext
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import DataError
from ..files.reading import UnreadableFile, limit, open_at_once, refusing, regular

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """The uint8 array of `ndim` dimensions in an IDX file."""
    with refusing(path, DataError), open_at_once(path) as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
        max_size = limit(regular(raw)) if gzipped else regular(raw)
        raw.seek(0)
        with gzip.open(raw) if gzipped else nullcontext(raw) as f:
            return _read(f, ndim, max_size)


def _read(f: IO[bytes] | gzip.GzipFile, ndim: int, max_size: int) -> np.ndarray:
    head = f.read(4)
    if head != bytes((0, 0, 8, ndim)):
        raise UnreadableFile(
            f"begins with {head.hex() or 'nothing'}, but the magic number of an IDX file of "
            f"{ndim}-dimensional bytes is 000008{ndim:02x}: is it another file?"
        )
    sizes = f.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise UnreadableFile("should hold its sizes, but is truncated: get the file again")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * ndim, 4))
    claim, size = " x ".join(map(str, shape)), prod(shape)
    if size > max_size:
        raise UnreadableFile(
            f"should hold {claim} bytes, but is truncated: the file is too small for them"
        )
    payload = bytearray()
    while len(payload) <= size and (piece := f.read(min(1 << 20, size + 1 - len(payload)))):
        payload += piece
    if len(payload) != size:
        state = "truncated" if len(payload) < size else "longer than that"
        raise UnreadableFile(f"should hold {claim} bytes, but is {state}: get the file again")
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)


def find(folder: Path, name: str) -> Path:
    """The file `name` or `name`.gz in the folder. Raises FileNotFoundError."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(name)


def read_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, height * width) and labels (N,) of "train" or "test" from four IDX files."""
    images_name, labels_name = FILES[split]
    images_path, labels_path = find(folder, images_name), find(folder, labels_name)
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels: "
            "the files do not belong together"
        )
    if images.size == 0:
        raise DataError(f"{images_path} holds no images: get the file again")
    return images.reshape(len(images), -1), labels
