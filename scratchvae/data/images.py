"""Read a folder of pictures into one array, resized if asked, with sub-folders as classes.

Pillow decodes. Limits on pixels and on the bytes of the result are checked from the headers, before
a picture is decoded; the array is allocated once and filled picture by picture.
"""

import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf, prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import DataError, InputError, warn, whole_number
from ..files.reading import DAMAGE, UnreadableFile, is_text, open_at_once, refusing, regular

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = set(".png .jpg .jpeg .gif .bmp .tif .tiff .webp .ppm .pgm .pbm".split())
# made by operating systems and file servers; names with a leading dot are hidden too
HIDDEN = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")  # the first that exists

# Pillow's modes; 16-bit grey is "I" in some versions, where other formats hold 32 bits
GREY_16 = {"I;16", "I;16B", "I"}
GREY = {"1", "L", "LA", *GREY_16}
COLOUR = {"P", "PA", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr"}  # RGBX: older versions
IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION = 256, 257, 274  # tags of TIFF and EXIF
ROTATED = (5, 6, 7, 8)  # orientations that exchange height and width

MAX_BYTES = 1 << 33  # of the result
MAX_SIDE = 8192  # pixels, of `size`
MANY = 1000  # pictures: from here on, a progress bar


class Images(NamedTuple):
    """Pictures, and the class of each."""

    X: np.ndarray  # uint8, (N,H,W) grey or (N,H,W,3) colour
    y: np.ndarray | None  # (N,) names of sub-folders as text; None without sub-folders


def holds_images(folder: Path) -> bool:
    """Whether the folder, or a sub-folder down to split/class, holds a file named as a picture."""
    return next(_pictures(folder, [], depth=2), None) is not None


def has_splits(folder: Path) -> bool:
    """Whether the folder has sub-folders for training and for test, as `read_images` names them."""
    return bool(_splits(folder)[0])


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
) -> Images:
    """The pictures of a folder as X (N,H,W) or (N,H,W,3), uint8, and their classes y (N,), or None.

    Read are PNG, JPEG, GIF and TIFF (the first image of a file), BMP, WebP and PPM, of 1 to 8 bits
    a channel, or of 16, whose range 0 to 65535 becomes 0 to 255. Pictures are turned upright as
    EXIF says. Transparent ones are laid on white, as viewers show them; torchvision's ImageFolder
    drops transparency instead, and shows whatever colour is stored below it.

    Sub-folders are classes, as for ImageFolder: what is below photos/cat/, at any depth, is a
    "cat". Without sub-folders y is None. Sub-folders train/ (or training/) and test/ (testing/,
    else val/, valid/, validation/), in upper or lower case, are splits; `split` is "train", "test",
    or "all" for both, in this order. Size and colour are decided over both, so that shapes agree.
    Pictures are sorted by path, numbers by value (2.png before 10.png). Other files, hidden files
    and hidden folders are skipped; a folder that symbolic links reach twice is read once.

    size: (height, width) in pixels. Every picture is resized to it, by Pillow's Lanczos filter,
      which averages where it shrinks. Nothing is cropped: another aspect ratio is stretched. None:
      all pictures must have the same size.
    grey: whether to read grey or colour. None: colour if one picture is stored in colour or with a
      palette, even where it looks grey.
    verbose: count skipped files in a warning; show a progress bar on a terminal if there are many.

    Raises DataError, with the file or folder, for a damaged or missing file, more pixels than
    Pillow's limit (Image.MAX_IMAGE_PIXELS), a result of more than 8 GiB, pictures of different
    sizes without `size`, pictures both beside and in sub-folders, a split that is not there, or no
    pictures; InputError for an invalid size.
    """
    size = None if size is None else _checked_size(size)
    listings = _listings(folder, split, verbose)
    chosen = list(listings.values()) if split == "all" else [listings[split]]
    every = [path for paths, _ in listings.values() for path in paths]
    shape = _survey(_shown(every, "reading headers", verbose), size, grey)
    paths = [path for paths, _ in chosen for path in paths]
    total = len(paths) * prod(shape)
    try:
        if total > MAX_BYTES:
            raise MemoryError
        X = np.empty((len(paths), *shape), np.uint8)
    except MemoryError:
        raise DataError(
            f"{folder}: {len(paths):,} pictures of {_by(shape)} pixels take {total:,} bytes, and "
            f"memory or the limit of {MAX_BYTES:,} forbids it: choose a smaller --size (size=)"
        ) from None
    for row, path in zip(X, _shown(paths, "reading pictures", verbose), strict=True):
        pixels = _pixels(path, size, grey=len(shape) == 2)
        if pixels.shape != row.shape:
            raise DataError(
                f"{path} has {_by(pixels.shape)} pixels, but its header says {_by(row.shape)}: "
                "save it again, or resize all pictures with --size 32 (size=32)"
            )
        row[...] = pixels
    classes = [y for _, y in chosen if y is not None]
    return Images(X, np.concatenate(classes) if len(classes) == len(chosen) else None)


_Listing = tuple[list[str], np.ndarray | None]  # paths, and the class of each


def _listings(folder: Path, split: str, verbose: bool) -> dict[str, _Listing]:
    """The pictures of each split, or of "all"; what is skipped is counted in a warning."""
    splits, unread = _splits(folder)
    if split != "all" and split not in splits:
        raise DataError(f"{folder} has no split {split!r}: make sub-folders train/ and test/ in it")
    skipped: list[str] = []
    if splits:
        if loose := next(_pictures(folder, skipped, depth=0), None):
            raise _mixed(folder, loose, f"{splits['train']}/")
        listings = {name: _listed(folder / splits[name], skipped) for name in splits}
        if verbose and unread:
            warn(f"{folder}: only {' and '.join(splits.values())} are read, not {unread[0]!r}")
    else:
        listings = {"all": _listed(folder, skipped)}
    if verbose and skipped:
        named = f"{len(skipped):,}, such as {min(skipped)!r}"
        warn(f"{folder}: files that are no pictures were skipped: {named}")
    return listings


def _listed(folder: Path, skipped: list[str]) -> _Listing:
    others: list[str] = []
    names = list(_pictures(folder, others))
    if not names:
        seen = f" (other files: {len(others):,}, such as {min(others)})" if others else ""
        raise DataError(
            f"{folder} holds no pictures{seen}: PNG, JPEG, GIF, BMP, TIFF, WebP and PPM are read"
        )
    skipped += others
    names.sort(key=lambda name: (re.sub("[0-9]+", lambda n: n[0].zfill(20), name), name))
    classes = [name.partition("/")[0] for name in names if "/" in name]
    if classes and len(classes) < len(names):
        loose = next(name for name in names if "/" not in name)
        raise _mixed(folder, loose, f"{classes[0]}/")
    if bad := next((name for name in classes if not is_text(name)), None):
        raise DataError(f"{folder / bad}: the name of a class must be Unicode: rename it")
    return [os.path.join(folder, name) for name in names], np.array(classes) if classes else None


def _mixed(folder: Path, loose: str, deeper: str) -> DataError:
    return DataError(
        f"{folder} holds pictures directly ({loose}) and in sub-folders ({deeper}): put all into "
        "sub-folders, one a class, or none"
    )


def _splits(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The names of the sub-folders of "train" and "test", if both exist, and of all others."""
    with refusing(folder, DataError), os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if not _hidden(e.name) and _is_folder(e))
    named = {name.lower(): name for name in names}
    train, test = (next((named[n] for n in known if n in named), None) for known in (TRAIN, TEST))
    if train is None or test is None:
        return {}, names
    return {"train": train, "test": test}, [name for name in names if name not in (train, test)]


def _pictures(folder: Path, skipped: list[str], depth: float = inf) -> Iterator[str]:
    """The pictures in the folder and below, as paths with "/" from there, in no order.

    Names of other files are added to `skipped`. Sub-folders of depth 1 come before those of depth
    2, so that a symbolic link to a class does not take its place.
    """
    queue, seen = [""], set()
    for here in queue:
        place, deeper = folder / here, []
        with refusing(place, DataError):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    name = here + entry.name
                    if _hidden(entry.name):
                        continue
                    elif _is_folder(entry):
                        deeper.append(f"{name}/")
                    elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                        yield name
                    else:
                        skipped.append(name)
        if here.count("/") < depth:
            queue += sorted(deeper)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in HIDDEN


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # of a link to itself, DirEntry.is_dir raises OSError
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


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


@contextmanager
def _opened(path: str) -> "Iterator[ImageFile]":
    """The picture in a file, not decoded yet; whatever Pillow raises becomes a DataError."""
    from PIL import Image  # lazily: importing scratchvae stays cheap

    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    file = Path(path)
    # Pillow asserts that a picture of mode P has a palette
    refused = refusing(file, DataError, MemoryError, AssertionError)
    with refused, warnings.catch_warnings(), open_at_once(file) as f:
        warnings.simplefilter("ignore")  # about metadata, of which only EXIF's orientation is used
        warnings.simplefilter("error", bombs[0])
        regular(f)
        try:
            with Image.open(f, formats=FORMATS) as image:
                deep = image.mode == "I" and image.format not in ("PNG", "PPM")
                if deep or image.mode not in GREY | COLOUR:
                    raise UnreadableFile(
                        f"has pixels of Pillow's mode {image.mode}, which are not read: save it "
                        "as grey of 8 or 16 bits, or as RGB"
                    )
                yield image
        except bombs:
            raise UnreadableFile(
                f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels, the most that are read: make "
                "it smaller"
            ) from None


def _survey(
    paths: Iterable[str], size: tuple[int, int] | None, grey: bool | None
) -> tuple[int, ...]:
    """The shape that all pictures will have, (H,W) or (H,W,3), from their headers."""
    sizes: dict[tuple[int, int], str] = {}
    all_grey = True
    for path in paths:
        with _opened(path) as image:
            sizes.setdefault(_upright_size(image), path)
            all_grey = all_grey and image.mode in GREY
        if size is None and len(sizes) > 1:
            (one, first), (other, second) = sizes.items()
            raise DataError(
                f"{first} has {_by(one)} pixels (height x width), but {second} {_by(other)}: "
                "resize all with --size 32 (size=32)"
            )
    grey = all_grey if grey is None else grey
    return (*(size or next(iter(sizes))), *(() if grey else (3,)))


def _upright_size(image: "ImageFile") -> tuple[int, int]:
    """Height and width of a picture that is not decoded, once turned upright."""
    from PIL import Image

    width, height = image.size
    if tags := getattr(image, "tag_v2", None):  # TIFF: some versions of Pillow swap them at once
        width, height = tags[IMAGE_WIDTH], tags[IMAGE_LENGTH]
    with suppress(*DAMAGE):  # as in `_pixels`; image.getexif() would decode a PNG
        if Image.Image.getexif(image).get(ORIENTATION) in ROTATED:
            return width, height
    return height, width


def _pixels(path: str, size: tuple[int, int] | None, *, grey: bool) -> np.ndarray:
    """The decoded picture, upright: (H,W) or (H,W,3) uint8."""
    from PIL import Image, ImageOps

    with _opened(path) as image:
        if size:  # decode a JPEG at 1/2, 1/4 or 1/8 of its size, if that is 3 times what is wanted
            image.draft(None, (3 * max(size), 3 * max(size)))
        image.load()
        with suppress(*DAMAGE):  # damaged EXIF data: the picture stays as it is stored
            ImageOps.exif_transpose(image, in_place=True)
        flat: Image.Image = image
        if image.mode in GREY_16:
            values = np.asarray(image).astype(np.uint32)
            flat = Image.fromarray(((values + 128) // 257).astype(np.uint8))  # rounded
        elif image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            flat = Image.alpha_composite(white, image.convert("RGBA"))
        flat = flat.convert("L" if grey else "RGB")
        if size:
            flat = flat.resize(size[::-1], Image.Resampling.LANCZOS)
        return np.asarray(flat)
