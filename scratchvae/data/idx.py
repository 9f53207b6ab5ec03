"""Read IDX files, the format of MNIST: a four-byte magic number, big-endian sizes, then the bytes.

Files may be plain or gzipped, detected by content, and have the names of MNIST, of its copies, or
of EMNIST. Any mismatch with the format is a DataError. Memory is allocated as bytes arrive.
"""

import gzip
import os
import re
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import DataError, InputError
from ..files.home import expanded
from ..files.reading import UnreadableFile, check_expansion, opened, read_bytes, refusing

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# "train-images.idx3-ubyte" and "emnist-letters-train-images-idx3-ubyte.gz" are read too
NAME = re.compile(
    r"(?:(?P<set>.+)-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?"
)
SUFFIXES = ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")
OWN_NAME = re.compile(r".*([-.]idx[1-4]-ubyte|\.idx)(\.gz)?", re.IGNORECASE)  # of a file by itself
RAW = {name: f"{name}/raw" for name in ("MNIST", "FashionMNIST", "KMNIST", "EMNIST")}  # torchvision
RAW_OF = {"mnist": RAW["MNIST"], "fashion-mnist": RAW["FashionMNIST"]}
TRANSPOSED = "emnist"  # its images are stored transposed

Files = dict[tuple[str, str], Path]  # by split and "images" or "labels"


def named_folders(name: str, data_dir: str | Path | None) -> list[Path]:
    """The folders to search for a named data set; a download goes to the first."""
    if data_dir is None:
        data_dir = os.environ.get("SCRATCHVAE_DATA") or None
    if data_dir is not None:
        data_dir = Path(expanded(data_dir))
        return [data_dir / name, data_dir, data_dir / RAW_OF[name]]
    return [Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "scratchvae" / name]


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        remedy = "name a folder for the data with --data-dir (data_dir=)"
        raise InputError(f"the home folder is unknown: {remedy}") from None


def read_idx(path: Path, *ndims: int) -> np.ndarray:
    """The uint8 array in an IDX file, with one of these numbers of dimensions."""
    with refusing(path, DataError), opened(path) as (f, size, gzipped):
        return _read(f, ndims, size, gzipped)


def read_rows(path: Path) -> np.ndarray:
    """The rows in an IDX file: (N,D), (N,H,W) or (N,H,W,3)."""
    rows = read_idx(path, 2, 3, 4)
    if rows.size == 0:
        raise DataError(f"{path} holds no rows: get the file again")
    return rows


def _read(
    f: IO[bytes] | gzip.GzipFile, ndims: tuple[int, ...], on_disk: int, gzipped: bool
) -> np.ndarray:
    head = f.read(4)
    if head not in [bytes((0, 0, 8, ndim)) for ndim in ndims]:
        raise UnreadableFile(
            f"begins with {head.hex() or 'nothing'}, but the magic number of an IDX file of "
            f"{' or '.join(map(str, ndims))}-dimensional bytes is "
            f"{' or '.join(f'000008{ndim:02x}' for ndim in ndims)}: is it another file?"
        )
    ndim = head[3]
    sizes = f.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise UnreadableFile("ends before its sizes are complete: get the file again")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * ndim, 4))
    claim, size = " x ".join(map(str, shape)), prod(shape)
    if gzipped:
        check_expansion(on_disk, size)
    elif size > on_disk:
        raise UnreadableFile(f"should hold {claim} bytes, but is truncated: get the file again")
    return np.frombuffer(read_bytes(f, size), dtype=np.uint8).reshape(shape)


def find(folder: Path, name: str) -> Path:
    """The file `name` or `name`.gz in the folder. Raises FileNotFoundError."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(name)


def sets_in(folder: Path) -> dict[str, Files]:
    """The IDX files in a folder, by the name of their data set: "" for MNIST's own names.

    {} if there is no such folder. Plain files come before gzipped ones.
    """
    found: dict[str, Files] = {}
    if not folder.is_dir():
        return found
    with refusing(folder, DataError):
        matches = filter(None, map(NAME.fullmatch, os.listdir(folder)))
    for match in sorted(matches, key=lambda match: (match[0].endswith(".gz"), match[0])):
        path = folder / match[0]
        if path.is_file():  # some archives unpack to a folder of this name
            split = "train" if match["split"] == "train" else "test"
            found.setdefault(match["set"] or "", {}).setdefault((split, match["kind"]), path)
    return found


def read_split(
    files: Files, split: str, *, labels: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images (N,H,W) and labels (N,) of "train" or "test".

    labels: whether the set must have labels; otherwise y is None if no split has any. Raises
    FileNotFoundError, with MNIST's name for the file, if one is missing.
    """
    labelled = labels or any(kind == "labels" for _, kind in files)
    for kind, name in zip(("images", "labels")[: 1 + labelled], FILES[split], strict=False):
        if (split, kind) not in files:
            raise FileNotFoundError(name)
    images_path = files[split, "images"]
    images = read_idx(images_path, 3)
    y = read_idx(labels_path := files[split, "labels"], 1) if labelled else None
    if y is not None and len(images) != len(y):
        raise DataError(
            f"{images_path} holds {len(images)} images, but {labels_path} {len(y)} labels: "
            "the files do not belong together"
        )
    if images.size == 0:
        raise DataError(f"{images_path} holds no images: get the file again")
    return images, y
