"""Open untrusted files: without blocking, with size limits, and with one-sentence errors.

Whatever a reader raises becomes one error of this package.
"""

import errno
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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


def limit(size: int) -> int:
    """The maximal decompressed size of a compressed file of this size, in bytes."""
    return 100 * size + (1 << 20)


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


def is_text(text: str) -> bool:
    """Whether JSON text can be encoded: no unpaired surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
