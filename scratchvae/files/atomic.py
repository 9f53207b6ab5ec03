"""Atomic writing of files, and a lock on a folder.

A file is written under a temporary name in the same folder, flushed to the disk (fsync), and
renamed, which is atomic: after a power cut, either the old file or the new one exists.
Temporary files of a killed process are removed by the next process that holds the folder's lock.
"""

import csv
import errno
import io
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file atomically: after any failure, the old file is unchanged."""
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        move(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            if str(error.filename) in ("None", str(temporary)):  # name the requested file instead
                raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table of comma-separated values, atomically."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_atomically(path, lambda f: f.write(text.getvalue().encode()))


def move(path: Path, other: Path) -> None:
    """Rename a file within its folder, and flush the folder to the disk."""
    os.replace(path, other)
    _sync_folder(other.parent)


def link_or_copy(path: Path, other: Path) -> None:
    """Hard-link a file to another name in its folder; copy it if the file system has no links."""
    temporary = _temporary(other)
    try:
        os.link(path, temporary)
        move(temporary, other)
    except OSError:
        with open(path, "rb") as source:
            write_atomically(other, lambda f: shutil.copyfileobj(source, f))
    finally:  # renaming does nothing if both names are links to the same file already
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create the folder and its parents, and flush their names to the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def sweep(folder: Path, patterns: Iterable[str], older: float = 0) -> None:
    """Remove temporary files that killed processes left for file names matching the patterns.

    older: minimum age in seconds since the last write; required if other processes may be writing.
    """
    for pattern in patterns:
        for left in folder.glob(f".{pattern}.{'[0-9a-f]' * 8}.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime >= older:
                    left.unlink()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder, at most until the process ends. Raises InputError if it is locked."""
    if fcntl is None:
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is training in {folder}: wait for it to finish, or choose "
                "another --out"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(lock)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems do not support fsync for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
