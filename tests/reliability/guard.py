"""Asserts that reading a file runs no code, writes nothing and opens no connection.

Python reports such events to audit hooks, which cannot be removed; so this is for scripts, and
recording is switched on around a read.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

LIBRARIES = tuple({sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[2])})
NEVER = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod",
    "os.chown", "os.truncate", "pickle.find_class", "shutil.", "tempfile.", "ctypes.dlopen",
    "code.__new__", "urllib.Request", "webbrowser.open",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_seen = None  # where to record, while anything is


def _hook(event, arguments):
    if _seen is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if (mode and set(mode) & set("wxa+")) or (flags or 0) & WRITING:
            _seen.append(f"opens {path} to write")
    elif event == "exec":
        source = getattr(arguments[0], "co_filename", "<string>")
        if not source.startswith(LIBRARIES) and not source.startswith("<frozen"):
            _seen.append(f"runs code of {source}")
    elif event.startswith(NEVER):
        _seen.append(f"{event} {arguments}")


sys.addaudithook(_hook)


@contextmanager
def watched():
    """A list that receives what happened inside and should not have."""
    global _seen
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None
