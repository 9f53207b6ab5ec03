"""A server on loopback that misbehaves: /FAULT/FILE is answered in the way that FAULT names.

`tests/data/test_download.py` and `tests/reliability/downloads.py` share it. An answer is a function
of the request's handler and of the bytes that would be right.
"""

import contextlib
import gzip
import hashlib
import http.server
import os
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from scratchvae.data import download, idx
from scratchvae.data.download import SOURCES, Archive, Source

BENIGN, FAULTS, ENDLESS = {}, {}, {}


def _images_and_labels():
    rng = np.random.default_rng(0)
    contents = {}
    for (images, labels), n in zip(idx.FILES.values(), (5, 4), strict=True):
        head = bytes((0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 4, 0, 0, 0, 3))
        contents[images] = head + rng.bytes(12 * n)
        contents[labels] = bytes((0, 0, 8, 1, 0, 0, 0, n, *rng.integers(0, 10, n).tolist()))
    return contents


CONTENTS = _images_and_labels()
ARCHIVES = {name: gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}


@contextlib.contextmanager
def instead(mirrors, timeout=10.0, rounds=2):
    """Meanwhile, mnist is this small set at these mirrors, without a proxy between them and us."""
    known = (Archive(name, len(a), hashlib.sha256(a).hexdigest()) for name, a in ARCHIVES.items())
    before = SOURCES["mnist"], download.TIMEOUT, download.ROUNDS, download.PAUSE
    no_proxy = os.environ.get("no_proxy")
    SOURCES["mnist"] = Source(tuple(mirrors), tuple(known))
    download.TIMEOUT, download.ROUNDS, download.PAUSE = timeout, rounds, 0.0
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        SOURCES["mnist"], download.TIMEOUT, download.ROUNDS, download.PAUSE = before
        if no_proxy is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = no_proxy


def right_files(folder):
    """How many of the four right archives the folder holds, or None if it holds anything else."""
    if not Path(folder).is_dir():
        return 0
    there = {p.name: p.read_bytes() for p in Path(folder).iterdir()}
    right = {f"{name}.gz": a for name, a in ARCHIVES.items()}
    return len(there) if there.items() <= right.items() else None


class Server(http.server.ThreadingHTTPServer):
    """asked: the paths so far."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.over = [], threading.Event()
        self.together = threading.Barrier(2, timeout=60)

    def mirror(self, fault):
        return f"http://127.0.0.1:{self.server_port}/{fault}/"

    def handle_error(self, request, client_address):
        """A client that hangs up is what is wanted here."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = urlsplit(self.path).path
        _, fault, file = path.split("/")
        self.server.asked.append(path)
        self.close_connection = True
        with contextlib.suppress(OSError):
            (BENIGN | FAULTS | ENDLESS)[fault][0](self, ARCHIVES[file.removesuffix(".gz")])

    def log_message(self, format, *args):
        pass

    def head(self, *lines, status="200 OK"):
        lines = (f"HTTP/1.1 {status}", "Connection: close", *lines, "", "")
        self.wfile.write("\r\n".join(lines).encode("latin-1"))

    def send(self, body, length=None):
        self.head(f"Content-Length: {len(body) if length is None else length}")
        self.wfile.write(body)

    def times_asked(self):
        return self.server.asked.count(self.path)


def answer(group, says):
    """Register an answer under the name of its function; says: a pattern of the refusal."""

    def register(f):
        group[f.__name__] = f, says
        return f

    return register


# ------------------------------------------------------------------- what must still be fetched


@answer(BENIGN, None)
def right(h, body):
    h.send(body)


@answer(BENIGN, None)
def in_pieces(h, body):
    h.head(f"Content-Length: {len(body)}")
    for i in range(0, len(body), 20):
        h.wfile.write(body[i : i + 20])
        time.sleep(0.003)


@answer(BENIGN, None)
def calls_the_archive_an_encoding(h, body):
    h.head(f"Content-Length: {len(body)}", "Content-Encoding: gzip")
    h.wfile.write(body)


@answer(BENIGN, None)
def compresses_it_again_where_that_is_accepted(h, body):
    if "gzip" in h.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body)
    h.send(body)


@answer(BENIGN, None)
def fails_once(h, body):
    if h.times_asked() == 1:
        h.head("Content-Length: 0", status="500 Internal Server Error")
    else:
        h.send(body)


@answer(BENIGN, None)
def together(h, body):
    """Answers two clients at once."""
    h.server.together.wait()
    h.send(body)


# ------------------------------------------------------------------------- what must be refused


@answer(FAULTS, "closed the connection|stopped after 10 of")  # by the release of urllib3
def is_cut_short(h, body):
    h.send(body[:10], len(body))


@answer(FAULTS, "stopped after 10 of")
def is_cut_short_with_no_length(h, body):
    h.head()
    h.wfile.write(body[:10])


@answer(FAULTS, "sent more than")
def is_a_byte_longer(h, body):
    h.head()
    h.wfile.write(body + b"\0")


@answer(FAULTS, "sent more than")
def is_endless(h, body):
    h.head()
    while not h.server.over.is_set():
        h.wfile.write(b"\x5a" * 65536)


@answer(FAULTS, "its SHA-256 differs")
def is_a_bit_off(h, body):
    h.send(bytes((body[0] ^ 1,)) + body[1:])


@answer(FAULTS, r"gave no usable response \(ConnectionError\)")
def is_no_http(h, body):
    h.wfile.write(b"220 \x1b[31mwelcome\x1b[0m to this FTP server\r\n" + body)


@answer(FAULTS, "closed the connection|fails")
def hangs_up(h, body):
    pass


@answer(FAULTS, "gave no usable response")
def redirects_to_no_address(h, body):
    h.head("Location: http://[::1/\x80", "Content-Length: 0", status="302 Found")


@answer(FAULTS, "HTTP status 404")
def has_nothing(h, body):
    h.head("Content-Length: 0", status="404 \x1b[31mNot Found")


@answer(FAULTS, "HTTP status 503")
def is_busy(h, body):
    h.head("Content-Length: 0", status="503 Service Unavailable")


# --------------------------------------------------- what would never end without a time-out


@answer(ENDLESS, "timed out")
def stalls(h, body):
    h.server.over.wait()


@answer(ENDLESS, "timed out")
def stalls_in_the_body(h, body):
    h.head(f"Content-Length: {len(body)}")
    h.wfile.write(body[:10])
    h.server.over.wait()
