"""Wraps the calls that change a disk: the n-th of them triggers a fault.

Python's files get a raw layer of this module, so that a write here is a write of the system, and
one that is broken off leaves half of its bytes.
"""

import builtins
import errno
import io
import os
import signal

NAMES = ("open", "write", "mkdir", "fsync", "replace", "rename", "link", "unlink", "remove")
REAL = {name: getattr(os, name) for name in NAMES}
REAL_OPEN = io.open


class Calls:
    """Counts the calls; `act(name)` is called at the n-th, and does not return or raises.

    lasting: at each later one too, as on a disk that stays full.
    only: the names that count; the others pass.
    """

    def __init__(self, act, n, lasting=False, only=NAMES):
        self.act, self.n, self.lasting, self.only = act, n, lasting, only
        self.count = 0
        self.last = ""

    def _comes(self, name):
        if name not in self.only:
            return False
        self.count += 1
        now = self.count >= self.n if self.lasting else self.count == self.n
        if now:
            self.last = name
        return now

    def __enter__(self):
        for name in NAMES:
            setattr(os, name, self._double(name))
        builtins.open = io.open = self._open
        return self

    def __exit__(self, *_):
        for name in NAMES:
            setattr(os, name, REAL[name])
        builtins.open = io.open = REAL_OPEN

    def _double(self, name):
        def call(*arguments, **settings):
            if self._comes(name):
                self.act(name)
            return REAL[name](*arguments, **settings)

        return call

    def _open(
        self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None,
        closefd=True, opener=None,
    ):  # fmt: skip
        if not set(mode) & set("wxa+"):
            return REAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int) and self._comes("open"):
            self.act("open")
        raw = Raw(self, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)


class Raw(io.FileIO):
    """A file whose writes count."""

    def __init__(self, calls, *arguments):
        self._calls = calls
        super().__init__(*arguments)

    def write(self, data):
        if self._calls._comes("write"):
            super().write(bytes(data)[: len(data) // 2])
            self._calls.act("write")
        return super().write(data)


def die(name):
    """As if the power failed: no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def full(name):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken(name):
    raise OSError(errno.EIO, os.strerror(errno.EIO))
