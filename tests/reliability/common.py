"""Helpers of the scripts in this folder: counts, small files to damage, processes to stop.

Each script tries one kind of fault many times and prints a table of what was tried and what was
lost; its last line is the same as JSON, and its exit code is 1 if anything was lost. All that is
random is keyed by the seed that it prints.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: the parent forks

import numpy as np

import scratchvae.cli.train  # noqa: F401 (a fork can import nothing more as another user)
from scratchvae import cli
from scratchvae.pictures import gallery

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 2  # losses of a row that are told in words
HEADROOM = 3 << 29  # bytes that a reader may claim beyond what the process has: 1.5 GiB


class Counts:
    """A table of what was tried, and what was lost."""

    def __init__(self, name, options):
        self.name, self.options, self.start = name, options, time.perf_counter()
        self.rows, self.notes = {}, []
        print(f"{name}: seed {options.seed}{', short' if options.short else ''}", flush=True)

    def add(self, what, lost="", n=1):
        """One trial more, or n; `lost` is a sentence where something was lost."""
        row = self.rows.setdefault(what, [0, 0])
        row[0] += n
        if lost:
            row[1] += 1
            if row[1] <= SHOWN:
                print(f"LOST: {what}: {lost}", flush=True)

    def note(self, text):
        """A measurement that is not a count."""
        self.notes.append(text)

    def finish(self):
        """Prints the table; returns the exit code."""
        width = max(map(len, self.rows), default=4)
        print(f"{'what':{width}}  {'tried':>8}  {'lost':>6}")
        for what, (tried, lost) in self.rows.items():
            print(f"{what:{width}}  {tried:8,}  {lost:6,}")
        for text in self.notes:
            print(text)
        print(
            json.dumps(
                {
                    "name": self.name,
                    "rows": [[what, *row] for what, row in self.rows.items()],
                    "notes": self.notes,
                    "seed": self.options.seed,
                    "seconds": round(time.perf_counter() - self.start, 1),
                }
            )
        )
        return int(any(lost for _, lost in self.rows.values()))


def options(text, *more):
    """The options that every script has, and more: (flag, settings) each."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's "&" may have ignored it
    parser = argparse.ArgumentParser(description=text.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="a fraction, for the test suite")
    parser.add_argument("--seed", type=int, default=0)
    for flag, settings in more:
        parser.add_argument(flag, **settings)
    return parser.parse_args()


@contextmanager
def scratch_folder(memory=False):
    """A folder that goes away; in memory, where that saves time."""
    inside = "/dev/shm" if memory and os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="scratchvae-", dir=inside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def folder(path):
    path.mkdir()
    return path


def mount(at, settings):
    """A file system in memory, there."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", settings, "tmpfs", at], check=True)


def may_mount(place):
    """Whether this process may do that."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    at = folder(place / "mounted")
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", at], capture_output=True).returncode
    if done == 0:
        subprocess.run(["umount", at], check=True)
    return done == 0


def bound_memory(extra=HEADROOM):
    """From now on, this process can claim so many bytes more than it has; then MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


# ------------------------------------------------------------------------------ a small run


ROWS, WIDTH = 120, 16  # of the data; with 108 rows to train on and batches of 27, 4 steps an epoch
SMALL = ("--hidden", "8", "--latent-dim", "2", "--batch-size", "27", "--quiet")


def small_data(path, seed=0, rows=ROWS):
    """A .npz file of a few rows, without labels."""
    rng = np.random.default_rng(seed)
    np.savez(path, X=rng.integers(0, 256, (rows, WIDTH), dtype=np.uint8))
    return path


def train_line(data, out, epochs, *more):
    """The arguments of a small run."""
    return ["train", "--data", str(data), "--out", str(out), "--epochs", str(epochs), *SMALL, *more]


def without_pictures():
    """Let `train` leave a page without pictures: they take most of the time of a small run."""
    gallery.leave = lambda *arguments: ({}, {})
    gallery.page_of = lambda *arguments: "no pictures"


def start(arguments, errors, prepare=None):
    """The command line in a fork, which has everything imported already; returns its process id.

    errors: the file that its stderr goes to. prepare: called in the fork before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        to = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        if prepare:
            prepare()
        code = cli.main(arguments)
    except SystemExit as stop:
        code = stop.code
    except BaseException:  # whatever it is, the parent shall see it, and nothing of it goes on here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid):
    """The exit code of a fork, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def finished(arguments, errors, prepare=None):
    """Exit code and stderr of the command line in a fork."""
    code = ended(start(arguments, errors, prepare))
    return code, Path(errors).read_text()


def one_sentence(text):
    """Whether it is an error as the command line promises it: one line, and no traceback."""
    lines = [line for line in text.splitlines() if "warning:" not in line]
    return len(lines) == 1 and "error:" in lines[0]


def was_whole(text):
    """Whether a run could not go on because it had come to its end before something failed."""
    return one_sentence(text) and "has already finished" in text


def own_process(code, *arguments, **settings):
    """A fresh Python, in a session of its own and without a terminal, with this folder on its path.

    code: what it runs, after which `arguments` stand in sys.argv[1:].
    """
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path} | settings.pop("env", {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **settings,
    )


# ----------------------------------------------------------------------- what a run has left


def history(folder):
    """The rows of metrics.csv without their seconds, which no two runs share."""
    lines = (Path(folder) / "metrics.csv").read_text().splitlines()
    return [line.rsplit(",", 1)[0] for line in lines]


def result(folder):
    """What a finished run is compared by: the bytes of its checkpoint, and its history."""
    return (Path(folder) / "checkpoint.npz").read_bytes(), history(folder)


def temporaries(folder):
    return sorted(p.name for p in Path(folder).iterdir() if p.name.endswith(".tmp"))


def compared(folder, wanted):
    """What is wrong with a run that should be as the one that nothing stopped; "" if nothing is."""
    checkpoint, rows = result(folder)
    if checkpoint != wanted[0]:
        return f"other bytes in the checkpoint of {folder}"
    if rows != wanted[1]:
        return f"other rows in metrics.csv: {rows} for {wanted[1]}"
    if temporaries(folder):
        return f"left over: {temporaries(folder)}"
    return ""


SIGNALS = {"SIGINT": (signal.SIGINT, 130), "SIGTERM": (signal.SIGTERM, 143)}  # and their exit codes
