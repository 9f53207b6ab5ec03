"""Files that lie about what they hold: refused, in little memory, and nothing of them runs.

Each is read under a bound of memory, with a hook that sees whether code runs, a file is written or
the network is asked. The bound is 16 MiB and four times the file; where a format is compressed,
and four times what a file may become, which is set to a mebibyte.
"""

import gzip
import io
import os
import resource
import shutil
import signal
import sys
import tracemalloc
from contextlib import redirect_stderr, redirect_stdout
from functools import cache

import common
import guard
import lies
from subjects import READERS

from scratchvae import DataError, cli
from scratchvae.cli import parser
from scratchvae.files.reading import LIMIT as VARIABLE

BASE, TIMES = 16 << 20, 4
LIMIT = 1 << 20
SECONDS = 30  # after which a read counts as one that never ends
# of a checkpoint: some other settings are as good as those that it had
EITHER = ("a setting of another kind", "a setting left out")
FEW = 60  # of those, in the short version


def cases(reader, good, marker, short):
    """(what, content, whether it may be read all the same)"""
    n = 20_000 if short else 1_000_000
    if reader.suffix == ".npy":
        yield from ((what, content, False) for what, content in lies.arrays(marker, n // 10))
    elif reader.suffix == ".safetensors":
        yield from ((what, content, False) for what, content in lies.tensors(good, n // 10))
    elif reader.suffix == ".npz":
        # of data, a member that nobody asks for may hold anything
        data = reader.error is DataError
        yield from ((what, content, data) for what, content in lies.archives(good, marker, n))
    else:
        gzipped = reader.suffix.endswith(".gz")
        for what, content in lies.images():
            yield what, gzip.compress(content) if gzipped else content, False
        if gzipped:
            yield from (
                (what, content, False) for what, content in lies.packed(8 if short else 256)
            )
    if "checkpoint" in reader.name:
        yield from settings(good, n, short)


def settings(good, n, short):
    """The cases of a checkpoint's own content."""
    texts = list(lies.texts(good, n))
    changed = [case for case in texts if case[0] in EITHER]
    some = changed[:: len(changed) // FEW + 1] if short else changed
    yield from ((*case, True) for case in some)
    yield from ((*case, False) for case in texts if case[0] not in EITHER)
    yield from ((*case, False) for case in lies.parameters(good))


class Endless(BaseException):
    """What no reader catches."""


def endless(*_):
    raise Endless(f"no answer after {SECONDS} s")


def tried(reader, path, content, may_be_read, wanted):
    """What went wrong in reading the file; "" if it was refused, or read as the good one is."""
    path.write_bytes(content)
    before = sorted(path.parent.iterdir())
    bound = BASE + TIMES * len(content)
    if reader.packed:
        bound += TIMES * LIMIT
    wrong = ""
    signal.alarm(SECONDS)
    tracemalloc.start()
    with guard.watched() as seen:
        try:
            got = reader.read(path)
            wrong = "" if may_be_read or got == wanted else "it was read"
        except reader.error:
            pass
        except BaseException as error:  # whatever it is, it is none that was promised
            wrong = f"{type(error).__name__}: {error}"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    signal.alarm(0)
    if peak > bound:
        wrong += f" {peak >> 20} MiB of memory for a file of {len(content):,} bytes"
    if seen:
        wrong += f" {seen[:3]}"
    if sorted(path.parent.iterdir()) != before:
        wrong += " the folder holds something new"
    return wrong[:300]


def not_files(counts, reader, folder):
    """What stands where a file should: nothing of it is waited for."""
    path = folder / f"file{reader.suffix}"
    makers = {
        "a folder": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "an endless device": lambda: path.symlink_to("/dev/zero"),
        "a link to nothing": lambda: path.symlink_to("nothing"),
        "nothing": lambda: None,
    }
    for what, make in makers.items():
        make()
        signal.alarm(SECONDS)
        wrong = ""
        try:
            reader.read(path)
            wrong = "it was read"
        except reader.error:
            pass
        except BaseException as error:
            wrong = f"{what}: {type(error).__name__}: {error}"
        signal.alarm(0)
        counts.add(f"{reader.name}: no file at all", wrong)
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def by_the_command(counts, place, short):
    """Runs whose checkpoint lies: `evaluate` and `train --resume` use it, or say why not."""
    data = common.small_data(place / "data.npz")
    folder = place / "run"
    parser.parser = cache(parser.parser)  # making it takes longer than to refuse a file
    cli.main(common.train_line(data, folder, 1))
    good = (folder / "checkpoint.npz").read_bytes()
    commands = {
        "evaluate": ["evaluate", str(folder)],
        "train --resume": common.train_line(data, folder, 2, "--resume"),
    }
    for what, content, _ in settings(good, 1000 if short else 100_000, short):
        for command, line in commands.items():
            shutil.rmtree(folder)
            common.folder(folder)
            (folder / "checkpoint.npz").write_bytes(content)
            errors = io.StringIO()
            signal.alarm(SECONDS)
            try:
                with redirect_stdout(io.StringIO()), redirect_stderr(errors):
                    code = cli.main(line)
                said = errors.getvalue()
                wrong = "" if code == 0 or (code == 2 and common.one_sentence(said)) else said
            except BaseException as error:
                wrong = f"{type(error).__name__}: {error}"
            signal.alarm(0)
            counts.add(f"{command}: {what}", wrong[-300:])


def main():
    options = common.options(__doc__)
    counts = common.Counts("forged", options)
    signal.signal(signal.SIGALRM, endless)
    os.environ[VARIABLE] = str(LIMIT)
    common.without_pictures()
    common.bound_memory()  # should a reader believe a size after all
    with common.scratch_folder(memory=True) as folder:
        marker = folder / "made-by-a-pickle"
        for reader in READERS:
            path = folder / f"file{reader.suffix}"
            reader.make(path)
            good = path.read_bytes()
            wanted = reader.read(path)  # and what is imported on use is here now
            for what, content, may_be_read in cases(reader, good, marker, options.short):
                lost = tried(reader, path, content, may_be_read, wanted)
                counts.add(f"{reader.name}: {what}", lost)
            path.unlink()
            not_files(counts, reader, folder)
        by_the_command(counts, common.folder(folder / "command"), options.short)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    counts.note(f"most memory that the process had, the makers of the files included: {peak} MiB")
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
