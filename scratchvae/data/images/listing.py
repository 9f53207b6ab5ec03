"""Find the pictures in a folder, with their classes and splits."""

import os
import re
from collections.abc import Iterator
from math import inf
from pathlib import Path

import numpy as np

from ...errors import DataError, warn
from ...files.reading import is_text, refusing

SUFFIXES = set(".png .jpg .jpeg .gif .bmp .tif .tiff .webp .ppm .pgm .pbm".split())
UNREAD = {".heic", ".heif"}  # as phones save photos
# made by operating systems and file servers; names with a leading dot are hidden too
HIDDEN = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}
TRAIN = ("train", "training")
# the first that exists
TEST = ("test", "testing", "val", "valid", "validation", "validate", "eval", "dev")

Listing = tuple[list[str], np.ndarray | None]  # paths, and the class of each


def holds_images(folder: Path, unread: bool = False) -> bool:
    """Whether the folder, or a sub-folder down to split/class, holds a file named like a picture.

    unread: whether HEIC counts, so that messages can say that it is not read.
    """
    others: list[str] = []
    if next(_pictures(folder, others, depth=2), None) is not None:
        return True
    return unread and any(map(_is_unread, others))


def has_splits(folder: Path) -> bool:
    """Whether the folder has sub-folders for training and for test, as `read_images` names them."""
    return bool(_splits(folder)[0])


def listings(folder: Path, split: str, verbose: bool) -> dict[str, Listing]:
    """The pictures of each split, or of "all"; a warning counts skipped files.

    The folder may be one picture.
    """
    if folder.is_file() and split == "all":
        return {"all": ([str(folder)], None)}
    splits, unread = _splits(folder)
    if split != "all" and split not in splits:
        raise DataError(f"{folder} has no split {split!r}: make sub-folders train/ and test/ in it")
    skipped: list[str] = []
    if splits:
        if loose := next(_pictures(folder, skipped, depth=0), None):
            raise _mixed(folder, loose, f"{splits['train']}/")
        found = {name: _listed(folder / splits[name], skipped) for name in splits}
        if verbose and unread:
            warn(f"{folder}: only {' and '.join(splits.values())} are read, not {unread[0]!r}")
    else:
        for name in (name for name in unread if name.lower() in TRAIN + TEST):
            if any("/" in path for path in _pictures(folder / name, [], depth=1)):
                raise DataError(
                    f"{folder} has {name}/ with sub-folders, but no other split: call the other "
                    f"one {'test' if name.lower() in TRAIN else 'train'}/, or name "
                    f"this one: --data {folder / name}"
                )
        found = {"all": _listed(folder, skipped)}
    if verbose and skipped:
        named = f"{len(skipped):,}, such as {min(skipped)!r}{_to_convert(skipped)}"
        warn(f"{folder}: skipped files that are not pictures: {named}")
    return found


def _listed(folder: Path, skipped: list[str]) -> Listing:
    others: list[str] = []
    names = list(_pictures(folder, others))
    if not names:
        seen = f" (other files: {len(others):,}, such as {min(others)})" if others else ""
        raise DataError(
            f"{folder} holds no pictures{seen}: PNG, JPEG, GIF, BMP, TIFF, WebP and PPM are read"
            f"{_to_convert(others)}"
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


def _is_unread(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in UNREAD


def _to_convert(names: list[str]) -> str:
    """The rest of a sentence, about unread photos among these files; "" if there are none."""
    n = sum(map(_is_unread, names))
    return f"; convert HEIC to JPEG: {n:,}" if n else ""


def _mixed(folder: Path, loose: str, deeper: str) -> DataError:
    return DataError(
        f"{folder} holds pictures directly ({loose}) and in sub-folders ({deeper}): put all into "
        "sub-folders, one per class, or none"
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
