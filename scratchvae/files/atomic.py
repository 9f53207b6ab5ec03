"""How files come to the disk: whole or not at all, and by one process at a time.

A file is written under another name beside it, brought to the disk, and renamed, which a file
system does at once; so after a power cut there is the old file or the new one. What a killed
process left under such a name is swept by the next one that has the folder to itself.
"""

import errno
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
    """Write a file through a temporary one beside it: afterwards it is the old or the new."""
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        move(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno is None or str(error.filename) not in ("None", str(temporary)):
            raise
        # name the file that was asked for, not the one that nobody knows
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def move(path: Path, other: Path) -> None:
    """Rename a file in its folder, with its name on the disk."""
    os.replace(path, other)
    _sync_folder(other.parent)


def link_or_copy(path: Path, other: Path) -> None:
    """Give a file a second name, in its folder; a copy, where the file system knows no links."""
    temporary = _temporary(other)
    try:
        os.link(path, temporary)
        move(temporary, other)
    except OSError:
        with open(path, "rb") as source:
            write_atomically(other, lambda f: shutil.copyfileobj(source, f))
    finally:  # where both were names of one file already, the renaming did nothing
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """The folder, and those above it, with their names on the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def sweep(folder: Path, patterns: Iterable[str], older: float = 0) -> None:
    """Remove what killed processes left of files whose names match these patterns.

    older: seconds since something was written to it; where others may write, they must be given.
    """
    for pattern in patterns:
        for left in folder.glob(f".{pattern}.{'[0-9a-f]' * 8}.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime >= older:
                    left.unlink()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """The folder is this process's; InputError if another has it. It ends with the process."""
    if fcntl is None:
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another training writes in {folder} now: let it end, or choose another --out"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(lock)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if os.name == "nt":  # there a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems know no such thing for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
