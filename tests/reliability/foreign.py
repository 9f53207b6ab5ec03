"""Random damage to files of other programs: MATLAB, HDF5, Excel and Parquet.

    python tests/reliability/foreign.py --reader MATLAB --examples 1000

Child processes read them, because a damaged file can end a process inside a library that is written
in C: that is counted in a row of its own, and the next child goes on with the next file. A loss is
another exception than DataError, or a file that takes longer than 20 seconds. The formats have no
checksum that all readers test, so what is read is not compared. A kind of file whose packages are
not installed is left out.
"""

import faulthandler
import os
import signal
import sys
import warnings
from importlib.util import find_spec

import common
import made
import numpy as np

from scratchvae import DataError, load_data

EXAMPLES, IN_SHORT = 100_000, 40
PATIENCE = 20  # seconds, for one file
READ, REFUSED, LOST = b"r", b"f", b"L"
X = np.random.default_rng(0).random((6, 4))
LABELS = np.arange(6) % 3


def matlab(path):
    from scipy.io import savemat

    labels = np.array([f"kind {i}" for i in LABELS], dtype=object)  # cells of text
    savemat(path, {"X": X, "labels": labels}, do_compression=path.stem == "packed")


def hdf5(path):
    import h5py

    with h5py.File(path, "w") as f:
        f.create_dataset("X", data=X, compression="gzip")
        f["y"] = LABELS


def excel(path):
    import pandas

    pandas.DataFrame(X, columns=list("abcd")).to_excel(path, index=False)


def parquet(path):
    import pandas

    pandas.DataFrame(X, columns=list("abcd")).to_parquet(path)


READERS = {  # what writes a valid file, its name, and the packages that it takes
    "MATLAB": (matlab, "plain.mat", ["scipy"]),
    "MATLAB, compressed": (matlab, "packed.mat", ["scipy"]),
    "HDF5": (hdf5, "file.h5", ["h5py"]),
    "Excel": (excel, "file.xlsx", ["pandas", "openpyxl"]),
    "Parquet": (parquet, "file.parquet", ["pandas", "pyarrow"]),
}


def damaged(good, key):
    rng = np.random.default_rng(key)
    edits = [
        (*map(int, rng.integers(0, [8, 1 << 20, 1 << 20])), rng.bytes(rng.integers(1, 9)))
        for _ in range(rng.integers(1, 5))
    ]
    return made.damaged(good, edits)


def outcome(path):
    """One byte: what became of the file; a loss is followed by its words."""
    signal.alarm(PATIENCE)
    try:
        load_data(path, "all")
    except DataError:
        return REFUSED
    except BaseException as error:
        return LOST + f"{type(error).__name__}: {str(error)[:200]}".encode()
    finally:
        signal.alarm(0)
    return READ


def child(path, good, seed, start, stop, pipe):
    """Read the files from start to stop, and write what became of each, one line a file."""
    faulthandler.disable()
    os.close(2)  # what a library prints as it ends
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("too slow")))
    warnings.simplefilter("ignore")
    common.bound_memory()
    for i in range(start, stop):
        path.write_bytes(damaged(good, (seed, i)))
        os.write(pipe, outcome(path).replace(b"\n", b" ") + b"\n")


def fuzz(name, path, examples, seed, counts):
    make, _, _ = READERS[name]
    make(path)
    good, done = path.read_bytes(), 0
    load_data(path, "all")
    while (start := done) < examples:
        read_end, write_end = os.pipe()
        if not (process := os.fork()):
            try:
                child(path, good, seed, done, examples, write_end)
            finally:
                os._exit(0)  # not into the parent's code
        os.close(write_end)
        with os.fdopen(read_end, "rb") as lines:
            for line in lines:
                done += 1
                what = {READ: "read", REFUSED: "refused"}.get(line.strip(), "neither")
                lost = line[1:].decode().strip() if what == "neither" else ""
                counts.add(f"{name}: {what}", lost and f"{lost}, file {done - 1}")
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            done += 1
            counts.add(f"{name}, unseen: the library ended the process")
        if done == start:
            raise RuntimeError(f"a child that reads {name} files ended without reading one")


def main():
    options = common.options(
        __doc__,
        ("--reader", {"choices": READERS, "help": "only this one"}),
        ("--examples", {"type": int, "help": f"for each reader, default {EXAMPLES:,}"}),
    )
    counts = common.Counts("foreign", options)
    examples = options.examples or (IN_SHORT if options.short else EXAMPLES)
    with common.scratch_folder(memory=True) as folder:
        for name, (_, file, packages) in READERS.items():
            if options.reader not in (None, name):
                continue
            if missing := [package for package in packages if not find_spec(package)]:
                counts.add(f"{name}: left out, {missing[0]} is not installed", n=0)
                continue
            fuzz(name, folder / file, examples, options.seed, counts)
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
