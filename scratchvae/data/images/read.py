"""Read a folder of pictures into one array, resized if asked, with sub-folders as classes.

Pillow decodes. Limits on pixels and on the bytes of the result are checked from the headers, before
a picture is decoded; the array is allocated once and filled picture by picture.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError, InputError, whole_number
from ...files.reading import LIMIT, max_bytes
from .listing import listings
from .picture import GREY, decoded, opened, upright_size

MAX_SIDE = 8192  # pixels, of `size`
MANY = 1000  # pictures: from here on, a progress bar
FEW = 3  # names in a message


class Images(NamedTuple):
    """Pictures, and the class of each."""

    X: np.ndarray  # uint8, (N,H,W) grey or (N,H,W,3) colour
    y: np.ndarray | None  # (N,) names of sub-folders as text; None without sub-folders
    files: tuple[str, ...]  # (N,) their paths below the folder, with "/"


def parse_size(text: str) -> tuple[int, int]:
    """Height and width in pixels: "32" is (32, 32), "32x48" is height 32 and width 48.

    Raises InputError for any other text, and unless both are from 1 to 8192.
    """
    match = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text.strip().lower())
    if not match:
        raise InputError(
            "--size (size=) must be 32, for 32 x 32 pixels, or 32x48, for height 32 and width 48, "
            f"got {text!r}"
        )
    return _checked_size((int(match[1]), int(match[2] or match[1])))


def read_images(
    folder: Path,
    split: str = "all",
    *,
    size: tuple[int, int] | None = None,
    grey: bool | None = None,
    verbose: bool = False,
    remedy: str = "32",
) -> Images:
    """The pictures of a folder as X (N,H,W) or (N,H,W,3), uint8, and their classes y (N,), or None.

    folder may also be one picture.

    The formats are PNG, JPEG, GIF and TIFF (the first image of a file), BMP, WebP and PPM, of 1 to
    8 bits a channel, or of 16, whose range 0 to 65535 becomes 0 to 255. Pictures are turned upright
    by EXIF. Transparent ones are laid on white, as viewers show them; torchvision's ImageFolder
    drops transparency instead, and shows whatever colour is stored below it.

    Sub-folders are classes, as for ImageFolder: everything below photos/cat/, at any depth, is a
    "cat". Without sub-folders y is None. Sub-folders train/ (or training/) and test/ (testing/,
    else val/, valid/, validation/, validate/, eval/, dev/), in upper or lower case, are splits;
    `split` is "train", "test", or "all" for both, in this order. Size and colour are decided over
    both, so that shapes agree.
    Pictures are sorted by path, numbers by value (2.png before 10.png). Other files, hidden files
    and hidden folders are skipped; a folder that symbolic links reach twice is read once.

    size: (height, width) in pixels. Pillow's Lanczos filter resizes every picture to it, with
      averaging when it shrinks. Nothing is cropped: other aspect ratios are stretched. None:
      all pictures must have the same size.
    grey: whether to read grey or colour. None: colour if any picture is stored in colour or with a
      palette, even if it looks grey.
    verbose: count skipped files in a warning; show a progress bar on a terminal if there are many.
    remedy: the size to propose if pictures have different sizes.

    Raises DataError, with the file or folder, for a damaged or missing file, more pixels than
    Pillow's limit (Image.MAX_IMAGE_PIXELS), a result larger than the variable SCRATCHVAE_MAX_BYTES
    allows (8 GiB, or half of the machine's memory if that is less), pictures of different
    sizes without `size`, pictures both beside and in sub-folders, a split that is not there, or no
    pictures; InputError for an invalid size.
    """
    size = None if size is None else _checked_size(size)
    listed = listings(folder, split, verbose)
    chosen = list(listed.values()) if split == "all" else [listed[split]]
    every = [path for paths, _ in listed.values() for path in paths]
    broken: dict[str, DataError] = {}
    resize = f"--size {remedy} (size={remedy if remedy.isdecimal() else repr(remedy)})"
    shape = _survey(_shown(every, "reading headers", verbose), size, grey, broken, resize)
    paths = [path for paths, _ in chosen for path in paths]
    total = len(paths) * prod(shape)
    try:
        if total > max_bytes():
            raise MemoryError
        X = np.empty((len(paths), *shape), np.uint8)
    except MemoryError:
        raise DataError(
            f"{folder}: {len(paths):,} pictures of {_by(shape)} pixels take {total:,} bytes, more "
            f"than memory or the limit of {max_bytes():,} allows: choose a smaller --size (size=), "
            f"or set the environment variable {LIMIT}"
        ) from None
    for row, path in zip(X, _shown(paths, "reading pictures", verbose), strict=True):
        if path in broken:
            continue
        try:
            pixels = decoded(path, size, grey=len(shape) == 2)
        except DataError as error:
            broken[path] = error
            continue
        if pixels.shape != row.shape:
            raise DataError(
                f"{path} has {_by(pixels.shape)} pixels, but its header says {_by(row.shape)}: "
                f"save it again, or resize all pictures with {resize}"
            )
        row[...] = pixels
    _refuse(broken, folder)
    classes = [y for _, y in chosen if y is not None]
    y = np.concatenate(classes) if len(classes) == len(chosen) else None
    return Images(X, y, tuple(_below(folder, path) for path in paths))


def _refuse(broken: dict[str, DataError], folder: Path) -> None:
    """Raises DataError if pictures could not be read: the first error, and the other files."""
    first, *others = broken or ("",)
    if others:
        few = ", ".join(_below(folder, path)[-60:] for path in others[:FEW])
        more = f" and {len(others) - FEW:,} more" if len(others) > FEW else ""
        raise DataError(f"{broken[first]}; also unreadable: {few}{more}; {len(broken):,} in all")
    if broken and str(broken[first]).endswith("get it again") and folder.is_dir():
        raise DataError(f"{broken[first]}, or move it out of the folder")
    if broken:
        raise broken[first]


def _below(folder: Path, path: str) -> str:
    """The path of a picture within the folder; bytes that are not Unicode are escaped."""
    name = Path(path).relative_to(folder if folder.is_dir() else folder.parent).as_posix()
    return os.fsencode(name).decode(errors="backslashreplace")


def _shown(paths: list[str], text: str, verbose: bool) -> Iterable[str]:
    """The paths, with a progress bar if there are many and stderr is a terminal."""
    if not verbose or len(paths) < MANY or not sys.stderr.isatty():
        return paths
    from tqdm import tqdm  # lazily: importing scratchvae stays cheap

    return tqdm(paths, desc=text, leave=False, dynamic_ncols=True)


def _by(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if np.shape(size) != (2,):
        raise InputError(f"size must be (height, width) in pixels, got {size!r}")
    height, width = (whole_number(side, "--size (size=)") for side in size)
    if max(height, width) > MAX_SIDE:
        raise InputError(f"--size (size=) must be <= {MAX_SIDE} pixels, got {max(height, width)}")
    return height, width


def _survey(
    paths: Iterable[str],
    size: tuple[int, int] | None,
    grey: bool | None,
    broken: dict[str, DataError],
    resize: str,
) -> tuple[int, ...]:
    """The shape that all pictures will have, (H,W) or (H,W,3), from their headers.

    Pictures that cannot be read are added to `broken`; (0,0) or (0,0,3) if none can be.
    """
    sizes: dict[tuple[int, int], str] = {}
    all_grey = True
    for path in paths:
        try:
            with opened(path) as image:
                sizes.setdefault(upright_size(image), path)
                all_grey = all_grey and image.mode in GREY
        except DataError as error:
            broken[path] = error
        if size is None and len(sizes) > 1:
            (one, first), (other, second) = sizes.items()
            raise DataError(
                f"{first} has {_by(one)} pixels (height x width), but {second} {_by(other)}: "
                f"resize all with {resize}"
            )
    grey = all_grey if grey is None else grey
    return (*(size or next(iter(sizes), (0, 0))), *(() if grey else (3,)))
