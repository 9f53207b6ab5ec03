"""Fetches the four files of MNIST or Fashion-MNIST, when asked to, and keeps only the right ones.

A server is never believed: not how long its answer is, nor what is in it, nor where it sends us,
nor that it will ever end. `load_data` imports this module only where a download was asked for.
"""

import hashlib
import http.client
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib import request
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit

from .. import __version__
from ..errors import DataError
from ..files.atomic import sweep, write_atomically
from . import idx
from .mirrors import SOURCES, Archive


class Limits(NamedTuple):
    """How patient a download is."""

    seconds: float = 20.0  # for a connection and its first answer, and then for each piece
    piece: int = 1 << 18  # bytes: a slower server than 13 kB/s is given up
    attempts: int = 3  # at each mirror
    pause: float = 1.0  # seconds between them
    redirects: int = 4


LIMITS = Limits()


def fetch_missing(name: str, folder: Path, *, verbose: bool = True) -> None:
    """Put what is missing of a data set into its folder; a file that cannot be read is replaced.

    Raises DataError, one sentence, where a file cannot be had or kept.
    """
    source = SOURCES[name]
    missing = [file for file in source.archives if not _reads(folder, file)]
    mirrors = list(source.mirrors)
    sweep(folder, [name for file in missing for name in (file, f"{file}.gz")], older=3600)
    for file in missing:
        try:
            got = _from_mirrors(f"{file}.gz", source.archives[file], mirrors, verbose)
            _keep(folder, file, got)
        except _Failure as failure:
            raise DataError(
                f"{name} could not be downloaded ({file}.gz: {failure}): try again later, put "
                f"{', '.join(f'{f}.gz' for f in source.archives)} into {folder} by hand, or use "
                "strokes, the data set that is embedded"
            ) from None
        except OSError as error:
            raise DataError(
                f"{name} was downloaded, but {file}.gz cannot be kept in {folder} "
                f"({error.strerror or error}): make that possible, name another folder with "
                "--data-dir (data_dir=), or use strokes, the data set that is embedded"
            ) from None


def _reads(folder: Path, file: str) -> bool:
    try:
        idx.read_idx(idx.find(folder, file), 3 if "idx3" in file else 1)
    except (OSError, DataError):
        return False
    return True


class Unpacked(NamedTuple):
    """An archive that was found right, and what is in it."""

    archive: bytes
    content: bytes


def _keep(folder: Path, file: str, got: Unpacked) -> None:
    """Write the archive, or its content where an unpacked file stands that cannot be read."""
    path = folder / f"{file}.gz"
    with suppress(FileNotFoundError):
        path = idx.find(folder, file)
    data = got.archive if path.suffix == ".gz" else got.content
    write_atomically(path, lambda f: f.write(data))


def _from_mirrors(file: str, wanted: Archive, mirrors: list[str], verbose: bool) -> Unpacked:
    """The right archive, or _Failure, which says what was wrong with each mirror.

    The mirror that had it goes to the front: the next file is asked of it first.
    """
    wrong = {}
    for mirror in list(mirrors):
        for attempt in range(LIMITS.attempts):
            if attempt:
                time.sleep(LIMITS.pause)
            try:
                archive = _get(mirror + file, wanted.length, verbose)
                got = Unpacked(archive, _unpack(archive, wanted))
            except _Failure as failure:
                wrong[mirror] = f"{urlsplit(mirror).hostname} {failure}"
                if not failure.passing:
                    break
            else:
                mirrors.remove(mirror)
                mirrors.insert(0, mirror)
                return got
    raise _Failure(", ".join(wrong.values()))


class _Failure(Exception):
    """Words that follow the name of a mirror; passing: whether it may go better next time."""

    def __init__(self, words: str, passing: bool = False) -> None:
        super().__init__(words)
        self.passing = passing


def _unpack(archive: bytes, wanted: Archive) -> bytes:
    """The content of the right archive; the hash comes first, and then nothing is inflated
    beyond the length that is known."""
    if hashlib.sha256(archive).hexdigest() != wanted.sha256:
        raise _Failure("sent another file (its SHA-256 is wrong)")
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(archive, wanted.content + 1)
    except zlib.error:
        raise _Failure("has a file that is no gzip archive") from None
    if len(content) != wanted.content or not unpacker.eof or unpacker.unused_data:
        raise _Failure(f"has an archive that does not hold {wanted.content} bytes")
    return content


def _get(url: str, length: int, verbose: bool) -> bytes:
    """The body behind an address, if it is that long; never more than a byte beyond it is read."""
    from tqdm import tqdm

    watch = _Watch(LIMITS.seconds)
    body = bytearray()
    try:
        with (
            _follow(url, watch) as response,
            tqdm(
                total=length, desc=url.rpartition("/")[2], unit="B", unit_scale=True, leave=False,
                dynamic_ncols=True, disable=None if verbose else True,  # None: only on a terminal
            ) as bar,
        ):  # fmt: skip
            if response.status != 200:
                passing = response.status in (408, 429) or response.status >= 500
                raise _Failure(f"answers with HTTP status {response.status}", passing)
            if response.headers.get("Content-Length") not in (None, str(length)):
                raise _Failure(f"announces another length than {length} bytes")
            while len(body) <= length:
                with watch.step():
                    piece = response.read(min(LIMITS.piece, length + 1 - len(body)))
                if not piece:
                    break
                body += piece
                bar.update(len(piece))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failure(_words(error, watch), passing=True) from None
    if len(body) > length:
        raise _Failure(f"sends more than {length} bytes")
    if len(body) < length:
        words = "is too slow" if watch.over else f"stopped after {len(body)} of {length} bytes"
        raise _Failure(words, passing=True)
    return bytes(body)


def _follow(url: str, watch: "_Watch") -> Any:
    """The response to an address, or to that to which it leads, never from https to elsewhere."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(), request.UnknownHandler(), _Http(watch), _Https(watch)
    ):  # fmt: skip
        opener.add_handler(handler)
    allowed = ("https",) if urlsplit(url).scheme == "https" else ("https", "http")
    for _ in range(1 + LIMITS.redirects):
        asked = request.Request(url, headers={"User-Agent": f"scratchvae/{__version__}"})
        with watch.step():
            response: Any = opener.open(asked, timeout=watch.seconds)
        if response.status not in (301, 302, 303, 307, 308):
            return response
        response.close()  # the body of a redirect may have no end, and nobody needs it
        url = urljoin(url, response.headers.get("Location", ""))
        if urlsplit(url).scheme not in allowed:
            raise _Failure(f"redirects to an address that is not {' or '.join(allowed)}")
    raise _Failure("redirects without end")


def _words(error: Exception, watch: "_Watch") -> str:
    """What went wrong, in our words: those of a server may be anything."""
    reason = error.reason if isinstance(error, URLError) else error
    if watch.over or isinstance(reason, TimeoutError):
        return "is too slow"
    if isinstance(reason, OSError) and reason.strerror:
        return f"fails ({reason.strerror})"
    if isinstance(reason, (OSError, http.client.IncompleteRead)):
        return "closes the connection"
    return "does not speak HTTP"


class _Watch:
    """Ends the connections of an attempt if a step of it takes too long.

    The time-out of a socket begins anew with each byte, so a server that sends one now and then
    could hold us for days.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self.sockets: list[socket.socket] = []

    @contextmanager
    def step(self) -> Iterator[None]:
        timer = threading.Timer(self.seconds, self.end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def add(self, sock: socket.socket) -> None:
        self.sockets.append(sock)
        if self.over:
            self.end()

    def end(self) -> None:
        self.over = True
        for sock in self.sockets:
            with suppress(OSError):  # closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which would wait


class _Watched(http.client.HTTPConnection):
    def __init__(self, watch: _Watch, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watch = watch

    def connect(self) -> None:
        super().connect()
        self.watch.add(self.sock)


class _WatchedTLS(_Watched, http.client.HTTPSConnection):
    pass


class _Http(request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def http_open(self, req: request.Request) -> Any:
        return self.do_open(partial(_Watched, self.watch), req)


class _Https(request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def https_open(self, req: request.Request) -> Any:
        return self.do_open(partial(_WatchedTLS, self.watch), req)
