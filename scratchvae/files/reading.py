"""Open untrusted files: without blocking, with size limits, and with one-sentence errors.

Whatever a reader raises becomes one error of this package.
"""

import errno
import gzip
import os
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any

from ..errors import CheckpointError, DataError, InputError

# exceptions that a damaged file of NumPy arrays or JSON can raise
DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, SyntaxError),
    *(OverflowError, struct.error, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
# Possibly transient OS errors: not damage. A damaged file can raise any other.
TRANSIENT = (
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
)

DEFLATE = 1032  # bytes that one byte of .gz or .zip can expand to, at most
LIMIT = "SCRATCHVAE_MAX_BYTES"  # an environment variable
DEFAULT_LIMIT = 1 << 33  # bytes: 8 GiB
PIECE = 1 << 20  # bytes

_lock, _filters, _readers = Lock(), ExitStack(), 0  # of `without_warnings`


class UnreadableFile(ValueError):
    """A file is invalid. The message continues a sentence that begins with the file's name."""


@contextmanager
def refusing(path: Path, error: type[InputError], *more: type[Exception]) -> Iterator[None]:
    """Context manager: convert exceptions of reading the file into `error`, with one sentence.

    more: exceptions of the reading library, besides those in DAMAGE.
    """
    try:
        yield
    except (CheckpointError, DataError):
        raise
    except FileNotFoundError:
        raise error(f"there is no file {path}: check the path") from None
    except UnreadableFile as reason:
        raise error(f"{path} {reason}") from None
    except InputError as reason:
        raise error(f"{path}: {reason}") from None
    except DAMAGE + more as damage:
        if isinstance(damage, OSError) and damage.strerror:
            if damage.errno in TRANSIENT and issubclass(error, CheckpointError):
                error = CheckpointError  # not DamagedError
            raise error(f"{path} cannot be read: {damage.strerror}") from None
        again = "" if issubclass(error, CheckpointError) else ": get it again"
        raise error(f"{path} is damaged, or another kind of file{again}") from None


def max_bytes() -> int:
    """The bytes that a compressed file may expand to: SCRATCHVAE_MAX_BYTES.

    Default: 8 GiB, or half of the machine's memory if that is less. Raises InputError if the
    variable is not a whole number.
    """
    if text := os.environ.get(LIMIT):
        if not text.isdecimal():
            raise InputError(f"{LIMIT} must be a number of bytes, such as 8000000000, got {text!r}")
        return int(text)
    memory = 2 * DEFAULT_LIMIT
    with suppress(AttributeError, ValueError, OSError):  # not on every system
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(DEFAULT_LIMIT, memory // 2)


def check_expansion(size: int, expanded: int, ratio: int = DEFLATE) -> None:
    """Raises UnreadableFile unless a compressed file of `size` bytes may expand to `expanded`.

    ratio: the highest possible compression.
    """
    if expanded > ratio * size:
        raise UnreadableFile(
            f"claims to expand from {size:,} to {expanded:,} bytes, which is impossible: get the "
            "file again"
        )
    check_memory(expanded)


def check_memory(expanded: int) -> None:
    """Raises UnreadableFile if the content of a file exceeds the limit."""
    if expanded > max_bytes():
        raise UnreadableFile(
            f"expands to {expanded:,} bytes, more than the limit of {max_bytes():,}: to read it, "
            f"set the environment variable {LIMIT}={expanded}"
        )


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes] | gzip.GzipFile, int, bool]]:
    """Open a file that may be gzipped: its content, its size on the disk, whether it is gzipped."""
    with open_at_once(path) as raw:
        size = regular(raw)
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.open(raw) if gzipped else nullcontext(raw) as f:
            yield f, size, gzipped


@contextmanager
def without_warnings() -> Iterator[None]:
    """Context manager: silence the libraries that read a file.

    All threads share Python's warning filters: the first reader that enters sets them, and the last
    one that leaves restores them. Otherwise one reader could restore another's filters.
    """
    global _readers
    with _lock:
        if not _readers:
            _filters.enter_context(warnings.catch_warnings(action="ignore"))
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _filters.close()


def read_bytes(f: IO[bytes] | gzip.GzipFile, size: int) -> bytearray:
    """The remaining bytes, which must be `size`; memory is allocated as they arrive.

    Raises UnreadableFile if there are fewer or more.
    """
    data = bytearray()
    while len(data) <= size and (piece := f.read(min(PIECE, size + 1 - len(data)))):
        data += piece
    if len(data) != size:
        state = "shorter" if len(data) < size else "longer"
        raise UnreadableFile(f"is {state} than it claims: get the file again")
    return data


def open_at_once(path: Path) -> IO[bytes]:
    """Open a file for reading; a pipe is opened without waiting for a writer."""
    at_once = getattr(os, "O_NONBLOCK", 0)
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | at_once))


def regular(f: IO[bytes]) -> int:
    """The size of an open file. Raises UnreadableFile for a pipe, a device or a folder."""
    status = os.fstat(f.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile("is not a regular file")
    return status.st_size


def installed(*modules: str) -> list[Any]:
    """Import optional packages by the names of their modules.

    Raises UnreadableFile, with the command that installs them, if one is missing.
    """
    try:
        return [import_module(name) for name in modules]
    except ImportError:
        raise not_installed(*modules) from None


def not_installed(*modules: str) -> UnreadableFile:
    """The error if the packages of these modules are missing or too old."""
    packages = list(dict.fromkeys(name.partition(".")[0] for name in modules))
    return UnreadableFile(
        f"needs {' and '.join(packages)}: pip install --upgrade {' '.join(packages)}"
    )


def is_text(text: str) -> bool:
    """Whether JSON text can be encoded: no unpaired surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
