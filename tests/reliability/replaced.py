"""A data file is replaced during training: the run is unaffected.

In one write over the old bytes, and by another file that takes its name; at the first step, in the
middle, and between two epochs. A run that was stopped goes on only with the data that it began
with: with others of the same size, it is refused in one sentence, and nothing in its folder
changes; with the old ones back, it comes to the bytes of the run that nothing stopped.
"""

import gzip
import os
import signal
import struct
import sys

import common
import numpy as np

from scratchvae.data.idx import FILES
from scratchvae.train import Trainer

EPOCHS = 3
LINE = ("--checkpoint-every", "3")
STEPS = (1, 6, 9)  # before which a file is replaced; an epoch has 4


def npz(folder, seed):
    return common.small_data(folder / "data.npz", seed)


def npy(folder, seed):
    path = folder / "data.npy"
    np.save(path, np.random.default_rng(seed).random((common.ROWS, common.WIDTH)))
    return path


def idx(folder, seed, pack=lambda content: content, suffix=""):
    """The four files; returns their folder."""
    rng = np.random.default_rng(seed)
    for names, n in zip(FILES.values(), (108, 12), strict=True):
        pixels = rng.integers(0, 256, (n, 4, 4), dtype=np.uint8).tobytes()
        labels = rng.integers(0, 10, n, dtype=np.uint8).tobytes()
        heads = struct.pack(">4B3I", 0, 0, 8, 3, n, 4, 4), struct.pack(">4BI", 0, 0, 8, 1, n)
        for name, content in zip(names, (heads[0] + pixels, heads[1] + labels), strict=True):
            (folder / f"{name}{suffix}").write_bytes(pack(content))
    return folder


def gzipped(folder, seed):
    return idx(folder, seed, lambda content: gzip.compress(content, mtime=0), ".gz")


KINDS = {"npz": npz, "npy": npy, "IDX": idx, "IDX, gzipped": gzipped}


def renamed(new, old):
    os.replace(new, old)


def written_over(new, old):
    with open(old, "r+b") as f:
        f.write(new.read_bytes())
        f.truncate()


def before_step(n, act):
    """Calls `act` before the n-th step of a run in this process."""
    real, calls = Trainer.take_step, 0

    def take_step(self, rows):
        nonlocal calls
        calls += 1
        if calls == n:
            act()
        return real(self, rows)

    Trainer.take_step = take_step


def put(make, place, target, how, seed):
    """Data of a seed take the place of those that lie at `target`."""
    fresh = common.folder(place / f"fresh-{len(list(place.iterdir()))}")
    make(fresh, seed)
    for new in list(fresh.iterdir()):
        how(new, target / new.name)


def tried(counts, place, kind, how, step):
    make = KINDS[kind]
    place.mkdir(parents=True)
    errors, target = place / "errors", common.folder(place / "data")
    data = make(target, 0)

    def line(name, *more):
        return common.train_line(data, place / name, EPOCHS, *LINE, *more)

    def content():
        return {p.name: p.read_bytes() for p in (place / "stopped").iterdir()}

    common.finished(line("whole"), errors)
    wanted = common.result(place / "whole")
    code, said = common.finished(
        line("replaced"), errors,
        lambda: before_step(step, lambda: put(make, place, target, how, 1)),
    )  # fmt: skip
    lost = f"{code}: {said}" if code else common.compared(place / "replaced", wanted)
    what = f"{kind} {how.__name__.replace('_', ' ')}"
    counts.add(f"{what}, while a run trains", lost)

    put(make, place, target, how, 0)
    code, said = common.finished(
        line("stopped", "--checkpoint-every", "1"), errors,
        lambda: before_step(step + 1, lambda: os.kill(os.getpid(), signal.SIGINT)),
    )  # fmt: skip
    put(make, place, target, how, 1)
    before = content()
    after, said = common.finished(line("stopped", "--resume"), errors)
    lost = ""
    if code != 130 or after != 2 or not common.one_sentence(said):
        lost = f"{code}, then {after}: {said[-500:]}"
    elif content() != before:
        lost = "the folder has changed"
    counts.add(f"{what}, and resumed with it", lost)

    put(make, place, target, how, 0)
    code, said = common.finished(line("stopped", "--resume"), errors)
    lost = f"{code}: {said[-500:]}" if code else common.compared(place / "stopped", wanted)
    counts.add(f"{what}, and resumed with the old one back", lost)


def main():
    options = common.options(__doc__)
    counts = common.Counts("replaced", options)
    common.without_pictures()
    with common.scratch_folder(memory=options.short) as place:
        for kind in ("npz", "IDX") if options.short else KINDS:
            for how in (renamed, written_over):
                for step in STEPS[1:2] if options.short else STEPS:
                    tried(counts, place / f"{kind} {how.__name__} {step}", kind, how, step)
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
