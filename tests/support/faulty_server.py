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
from scratchvae.data.download import Limits
from scratchvae.data.mirrors import SOURCES, Archive, Source

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


def table(mirrors, archives=ARCHIVES):
    """An entry of SOURCES with these mirrors."""
    known = {
        name: Archive(len(a), hashlib.sha256(a).hexdigest(), len(CONTENTS[name]))
        for name, a in archives.items()
    }
    return Source(tuple(mirrors), known)


@contextlib.contextmanager
def instead(mirrors, archives=ARCHIVES, **limits):
    """Meanwhile, mnist is this small set at these mirrors, without a proxy between them and us."""
    before = SOURCES["mnist"], download.LIMITS, os.environ.get("no_proxy")
    SOURCES["mnist"] = table(mirrors, archives)
    download.LIMITS = Limits(**{"seconds": 10.0, "attempts": 2, "pause": 0.0} | limits)
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        SOURCES["mnist"], download.LIMITS, no_proxy = before
        if no_proxy is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = no_proxy


class Server(http.server.ThreadingHTTPServer):
    """asked: the paths so far; archives: what is right; context: for https."""

    def __init__(self, archives=ARCHIVES, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.archives, self.asked, self.over = archives, [], threading.Event()
        self.together = threading.Barrier(2, timeout=60)
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def mirror(self, fault, scheme=None):
        return f"{scheme or self.scheme}://127.0.0.1:{self.server_port}/{fault}/"

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
        body = self.server.archives[file.removesuffix(".gz")]
        self.close_connection = True
        with contextlib.suppress(OSError):
            (BENIGN | FAULTS | ENDLESS)[fault][0](self, body)

    def log_message(self, format, *args):
        pass

    def head(self, *lines, status="200 OK"):
        self.wfile.write("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1"))

    def right(self, body):
        self.head(f"Content-Length: {len(body)}")
        self.wfile.write(body)

    def drip(self, data):
        """Byte by byte, again and again, until the client has gone."""
        while not self.server.over.wait(0.02):
            self.wfile.write(data[:1])
            data = data[1:] + data[:1]

    def flood(self, data=b"\x5a" * 65536):
        while not self.server.over.is_set():
            self.wfile.write(data)

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
    h.right(body)


@answer(BENIGN, None)
def in_pieces(h, body):
    h.head(f"Content-Length: {len(body)}")
    for i in range(0, len(body), 20):
        h.wfile.write(body[i : i + 20])
        time.sleep(0.003)


@answer(BENIGN, None)
def of_no_length(h, body):
    h.head("Connection: close")
    h.wfile.write(body)


@answer(BENIGN, None)
def chunked(h, body):
    h.head("Transfer-Encoding: chunked")
    for i in range(0, len(body), 7):
        piece = body[i : i + 7]
        h.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    h.wfile.write(b"0\r\n\r\n")


@answer(BENIGN, None)
def redirects_once(h, body):
    h.head(f"Location: {h.path.replace('redirects_once', 'right')}", status="302 Found")


@answer(BENIGN, None)
def redirects_with_an_endless_body(h, body):
    right = h.path.replace("redirects_with_an_endless_body", "right")
    h.head(f"Location: {right}", status="302 Found")
    h.flood()


@answer(BENIGN, None)
def fails_once(h, body):
    if h.times_asked() == 1:
        h.head("Content-Length: 0", status="500 Internal Server Error")
    else:
        h.right(body)


@answer(BENIGN, None)
def hangs_up_once(h, body):
    if h.times_asked() > 1:
        h.right(body)


@answer(BENIGN, None)
def together(h, body):
    """Answers two clients at once."""
    h.server.together.wait()
    h.right(body)


# ------------------------------------------------------------------------- what must be refused


@answer(FAULTS, "stopped after 10 of")
def is_cut_short(h, body):
    h.head(f"Content-Length: {len(body)}")
    h.wfile.write(body[:10])


@answer(FAULTS, "stopped after 10 of")
def is_cut_short_with_no_length(h, body):
    h.head("Connection: close")
    h.wfile.write(body[:10])


@answer(FAULTS, "closes the connection|stopped after")
def is_cut_short_in_a_chunk(h, body):
    h.head("Transfer-Encoding: chunked")
    h.wfile.write(b"%x\r\n" % len(body) + body[:10])


@answer(FAULTS, "announces another length")
def announces_too_much(h, body):
    h.head(f"Content-Length: {len(body) + 1}")
    h.wfile.write(body)


@answer(FAULTS, "announces another length")
def announces_too_little(h, body):
    h.head(f"Content-Length: {len(body) - 1}")
    h.wfile.write(body)


@answer(FAULTS, "announces another length")
def announces_nonsense(h, body):
    h.head("Content-Length: -1")
    h.wfile.write(body)


@answer(FAULTS, "sends more than")
def is_a_byte_longer(h, body):
    h.head("Connection: close")
    h.wfile.write(body + b"\0")


@answer(FAULTS, "SHA-256 is wrong")
def is_another_file(h, body):
    h.right(bytes(len(body)))


@answer(FAULTS, "SHA-256 is wrong")
def is_a_bit_off(h, body):
    h.right(bytes((body[0] ^ 1,)) + body[1:])


@answer(FAULTS, "announces another length")
def is_a_page(h, body):
    h.right(b"<html>Please log in to this network.</html>")


@answer(FAULTS, "sends more than")
def is_endless(h, body):
    h.head("Connection: close")
    h.flood()


@answer(FAULTS, "sends more than")
def is_endless_in_chunks(h, body):
    h.head("Transfer-Encoding: chunked")
    h.flood(b"10000\r\n" + b"\x5a" * 65536 + b"\r\n")


@answer(FAULTS, "does not speak HTTP")
def has_a_head_without_end(h, body):
    h.wfile.write(b"HTTP/1.1 200 OK\r\n")
    h.flood(b"X-Filler: 1\r\n" * 100)


@answer(FAULTS, "does not speak HTTP")
def has_an_endless_line(h, body):
    h.wfile.write(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    h.flood()


@answer(FAULTS, "does not speak HTTP")
def is_no_http(h, body):
    h.wfile.write(b"220 \x1b[31mwelcome\x1b[0m to this FTP server\r\n" + body)


@answer(FAULTS, "closes the connection")
def has_broken_chunks(h, body):
    h.head("Transfer-Encoding: chunked")
    h.wfile.write(b"not a number\r\n" + body)


@answer(FAULTS, "closes the connection|fails")
def hangs_up(h, body):
    pass


@answer(FAULTS, "redirects without end")
def redirects_in_a_circle(h, body):
    h.head(f"Location: {h.path}", "Content-Length: 0", status="302 Found")


@answer(FAULTS, "redirects to an address that is not https or http")
def redirects_to_a_file(h, body):
    h.head("Location: file:///etc/hostname", "Content-Length: 0", status="301 Moved Permanently")


@answer(FAULTS, "redirects to an address that is not https or http")
def redirects_to_ftp(h, body):
    h.head("Location: ftp://127.0.0.1/a.gz", "Content-Length: 0", status="307 Temporary Redirect")


@answer(FAULTS, "redirects without end")
def redirects_to_nowhere(h, body):
    h.head("Content-Length: 0", status="302 Found")


@answer(FAULTS, "does not speak HTTP")
def redirects_to_no_address(h, body):
    h.head("Location: http://[::1/\x80", "Content-Length: 0", status="302 Found")


@answer(FAULTS, "HTTP status 403")
def forbids(h, body):
    h.head("Content-Length: 0", status="403 \x1b[31mForbidden")


@answer(FAULTS, "HTTP status 404")
def has_nothing(h, body):
    h.head("Content-Length: 0", status="404 Not Found")


@answer(FAULTS, "HTTP status 206")
def has_a_part(h, body):
    h.head(f"Content-Length: {len(body)}", status="206 Partial Content")
    h.wfile.write(body)


@answer(FAULTS, "HTTP status 503")
def is_busy(h, body):
    h.head("Content-Length: 0", status="503 Service Unavailable")


# ------------------------------------------- what would never end, if nobody looked at the clock


@answer(ENDLESS, "is too slow")
def stalls(h, body):
    h.server.over.wait()


@answer(ENDLESS, "is too slow")
def stalls_in_the_body(h, body):
    h.head(f"Content-Length: {len(body)}")
    h.wfile.write(body[:10])
    h.server.over.wait()


@answer(ENDLESS, "is too slow")
def drips_a_head(h, body):
    h.wfile.write(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    h.drip(b"1")


@answer(ENDLESS, "is too slow")
def drips_a_body(h, body):
    h.head("Connection: close")
    h.drip(body)


@answer(ENDLESS, "is too slow")
def drips_the_length_of_a_chunk(h, body):
    h.head("Transfer-Encoding: chunked")
    h.drip(b"0")


@answer(ENDLESS, "is too slow")
def says_continue_for_ever(h, body):
    while not h.server.over.wait(0.001):
        h.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def right_files(folder):
    """How many of the four right archives the folder holds, or None if it holds anything else."""
    if not Path(folder).is_dir():
        return 0
    there = {p.name: p.read_bytes() for p in Path(folder).iterdir()}
    right = {f"{name}.gz": a for name, a in ARCHIVES.items()}
    return len(there) if there.items() <= right.items() else None
