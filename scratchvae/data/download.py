"""Download the four files of MNIST or Fashion-MNIST with pooch, and verify their checksums.

`load_data` imports this module only for download=True. An archive stays in memory until its SHA-256
is verified, and is then written to the folder.
"""

import gzip
import hashlib
import http.client
import io
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import DataError, InputError
from ..files.atomic import sweep, write_atomically
from . import idx

TIMEOUT = 20.0  # seconds, for connecting and for each read
ROUNDS, PAUSE = 3, 1.0  # attempts at all mirrors, and the seconds between them


class Archive(NamedTuple):
    """A .gz file: its name without .gz, its length in bytes, and its SHA-256."""

    file: str
    length: int
    sha256: str


class Source(NamedTuple):
    """The mirrors of a data set, in the order of use, and its four archives."""

    mirrors: tuple[str, ...]
    archives: tuple[Archive, ...]


# lengths and SHA-256: tensorflow_datasets/url_checksums/mnist.txt and fashion_mnist.txt in
# github.com/tensorflow/datasets
# fmt: off
SOURCES = {
    "mnist": Source((
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ), (
        Archive("train-images-idx3-ubyte", 9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        Archive("train-labels-idx1-ubyte", 28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        Archive("t10k-images-idx3-ubyte", 1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        Archive("t10k-labels-idx1-ubyte", 4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )),
    "fashion-mnist": Source((
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ), (
        Archive("train-images-idx3-ubyte", 26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        Archive("train-labels-idx1-ubyte", 29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        Archive("t10k-images-idx3-ubyte", 4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        Archive("t10k-labels-idx1-ubyte", 5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    )),
}
# fmt: on


class _Failure(Exception):
    """The reason why a mirror, or every mirror, failed; final: asking it again cannot help."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def fetch_missing(name: str, folder: Path, *, verbose: bool = True) -> None:
    """Download the missing and the unreadable files of a data set into its folder.

    Raises DataError if a file cannot be downloaded or written, and InputError if pooch is needed
    but not installed.
    """
    source = SOURCES[name]
    missing = [archive for archive in source.archives if not _reads(folder, archive.file)]
    if not missing:
        return
    get, mirrors = _http_downloader(), list(source.mirrors)
    sweep(folder, [left for a in missing for left in (a.file, f"{a.file}.gz")], older=3600)
    for archive in missing:
        file = archive.file
        try:
            _keep(folder, file, _from_mirrors(get, mirrors, archive, verbose))
        except _Failure as failure:
            raise DataError(
                f"{name} could not be downloaded ({file}.gz: {failure}): try again later, put "
                f"{', '.join(f'{a.file}.gz' for a in source.archives)} into {folder} by hand, or "
                "use the embedded data set strokes"
            ) from None
        except OSError as error:
            raise DataError(
                f"{name} was downloaded, but {file}.gz cannot be written to {folder} "
                f"({error.strerror or error}): check the folder and the disk, name another folder "
                "with --data-dir (data_dir=), or use the embedded data set strokes"
            ) from None


def _reads(folder: Path, file: str) -> bool:
    with suppress(OSError, DataError):
        idx.read_idx(idx.find(folder, file), 3 if "idx3" in file else 1)
        return True
    return False


def _keep(folder: Path, file: str, archive: bytes) -> None:
    """Write the archive; replace an unreadable unpacked file by the archive's content."""
    path = folder / f"{file}.gz"
    with suppress(FileNotFoundError):
        path = idx.find(folder, file)
    data = archive if path.suffix == ".gz" else gzip.decompress(archive)
    write_atomically(path, lambda f: f.write(data))


def _http_downloader() -> Any:
    """A downloader of pooch. Raises InputError if pooch is not installed."""
    try:
        import pooch
    except ImportError:
        raise InputError(
            "--download (download=True) needs pooch, which is not installed: "
            "pip install 'scratchvae[download]'"
        ) from None

    def as_stored(response: Any, **_: Any) -> None:
        """Keep requests from unpacking a .gz file that is sent with an encoding of "gzip"."""
        response.raw.headers.pop("Content-Encoding", None)

    return pooch.HTTPDownloader(
        chunk_size=1 << 16,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": as_stored},
    )


def _from_mirrors(get: Any, mirrors: list[str], archive: Archive, verbose: bool) -> bytes:
    """Download from the first mirror that succeeds, and move it to the front of the list."""
    failures, asked = {}, list(mirrors)
    for n in range(ROUNDS):
        time.sleep(PAUSE if n and asked else 0)
        for mirror in list(asked):
            try:
                body = _download(get, mirror, archive, verbose)
            except _Failure as failure:
                failures[mirror] = f"{urlsplit(mirror).hostname} {failure}"
                if failure.final:
                    asked.remove(mirror)
            else:
                mirrors.sort(key=mirror.__ne__)
                return body
    raise _Failure(", ".join(failures.values()))


class _Body(io.BytesIO):
    """The body of a response: updates a progress bar, and refuses bytes beyond the bar's total."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self.bar = bar

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.bar.total:
            raise _Failure(f"sent more than {self.bar.total} bytes", final=True)
        self.bar.update(len(data))
        return super().write(data)


def _download(get: Any, mirror: str, archive: Archive, verbose: bool) -> bytes:
    """The verified archive. Raises _Failure."""
    from requests import RequestException
    from tqdm import tqdm

    handled = sys.exception()  # an exception that the caller handles, unrelated to this download
    with tqdm(
        total=archive.length, desc=f"{archive.file}.gz", unit="B", unit_scale=True, leave=False,
        dynamic_ncols=True, disable=None if verbose else True,  # None: only on a terminal
    ) as bar:  # fmt: skip
        body = _Body(bar)
        try:
            get(f"{mirror}{archive.file}.gz", body, None)
        except (RequestException, ValueError) as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            final = 400 <= status < 500 and status not in (408, 429)
            raise _Failure(_reason(error, handled), final) from None
    data = body.getvalue()
    if len(data) < archive.length:
        raise _Failure(f"stopped after {len(data)} of {archive.length} bytes")
    if hashlib.sha256(data).hexdigest() != archive.sha256:
        raise _Failure("sent a wrong file (its SHA-256 differs)", final=True)
    return data


def _reason(error: BaseException, handled: BaseException | None) -> str:
    """A fixed description of the error; the server's own text is not trusted."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"returned HTTP status {response.status_code}"
    cause: BaseException | None = error
    while cause is not None and cause is not handled:
        if isinstance(cause, TimeoutError):
            return "timed out"
        if isinstance(cause, (http.client.IncompleteRead, http.client.RemoteDisconnected)):
            return "closed the connection"
        if isinstance(cause, OSError) and cause.strerror:
            return f"failed ({cause.strerror})"
        cause = cause.__context__
    return f"gave no usable response ({type(error).__name__})"
