"""Half an hour of training, saving, loading, resuming and evaluating, in constant memory.

Each round takes all five models through it, and now and then a whole run of the command line and
a picture. Resident memory (of /proc/self/statm) and the number of Python's objects are compared
between the end of a warm-up, a sixth of the time, and the end: medians of ten rounds each.
"""

import gc
import os
import resource
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median

import common
import numpy as np

from scratchvae import cli, load_model
from scratchvae.models import MODELS, Labelled
from scratchvae.models.load import load
from scratchvae.train import Trainer

MINUTES, SECONDS_IN_SHORT = 30, 6
ROWS, WIDTH = 192, 16
GROWTH = 4 << 20  # bytes of resident memory that are no leak: what malloc keeps in pieces
OBJECTS = 500  # and of Python's objects: caches of a few keys
COMMAND_EVERY, PICTURE_EVERY = 5, 25  # rounds
COMPARED = 10  # rounds at either end


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Soak:
    """The rounds, and how often each thing was done."""

    def __init__(self, place, seed):
        rng = np.random.default_rng(seed)
        self.place = place
        self.X = rng.random((ROWS, WIDTH), dtype=np.float32)
        self.y = rng.integers(0, 3, ROWS)
        self.data = common.small_data(place / "data.npz", seed)
        self.done = dict.fromkeys(("steps", "saves", "loads", "commands", "pictures"), 0)

    def trainer(self, model):
        y = self.y if isinstance(model, Labelled) else None
        y_test = self.y[:20] if model.needs_labels else None
        return Trainer(model, self.X, self.X[:20], y=y, y_test=y_test, batch_size=32)

    def fresh(self, kind, number):
        dtype = ("float32", "float64")[number % 2]
        model = MODELS[kind](latent_dim=3, hidden=(16,), dtype=dtype, seed=number)
        return self.trainer(model.build_from(self.X, self.y))

    def of_a_model(self, kind, number):
        """Train straight on, and with a save, a load and another training; what differs."""
        path = self.place / f"{kind}.npz"
        straight, first = self.fresh(kind, number), self.fresh(kind, number)
        straight.run(3)
        first.run(1)
        numbers, arrays = first.state()
        first.model.save(path, run={"settings": {}} | numbers, arrays=arrays)
        model, run, arrays = load(path)
        second = self.trainer(model)
        second.resume(run, arrays)
        second.run(3)
        model.save(path)
        y = {"y": self.y} if model.needs_labels else {}
        load_model(path).score_samples(self.X, **y)
        self.done["steps"] += straight.step + second.step
        self.done["saves"] += 2
        self.done["loads"] += 2
        if np.array_equal(model.params_.array, straight.model.params_.array):
            return ""
        return f"{kind}, round {number}: other parameters after a save and a load"

    def of_the_command(self):
        """A run, and more epochs of it."""
        folder = self.place / "run"
        codes = [
            cli.main(common.train_line(self.data, folder, 1, "--overwrite")),
            cli.main(common.train_line(self.data, folder, 2, "--resume")),
            cli.main(["sample", str(folder), "-o", str(self.place / "sample.npy")]),
        ]
        self.done["commands"] += len(codes)
        return "" if codes == [0, 0, 0] else f"exit codes {codes}"

    def picture(self):
        self.done["pictures"] += 1
        code = cli.main(["sample", str(self.place / "run"), "-o", str(self.place / "sample.png")])
        return f"exit code {code}" if code else ""


def main():
    options = common.options(
        __doc__, ("--minutes", {"type": float, "help": f"default {MINUTES}", "default": MINUTES})
    )
    counts = common.Counts("soak", options)
    common.without_pictures()
    seconds = SECONDS_IN_SHORT if options.short else 60 * options.minutes
    sizes, objects, begun = [], [], None
    start = time.perf_counter()
    with common.scratch_folder() as place, open(os.devnull, "w") as nowhere:
        soak = Soak(place, options.seed)
        while (passed := time.perf_counter() - start) < seconds:
            number = len(sizes)
            for kind in MODELS:
                counts.add("saved, loaded and resumed", soak.of_a_model(kind, number))
            with redirect_stdout(nowhere):
                if number % COMMAND_EVERY == 0:
                    counts.add("by the command line", soak.of_the_command())
                if number % PICTURE_EVERY == 0:
                    counts.add("drawn", soak.picture())
            gc.collect()
            sizes.append(resident())
            objects.append(len(gc.get_objects()))
            if begun is None and passed > seconds / 6:
                begun = number
    n = min(COMPARED, (len(sizes) - begun) // 2)
    before, after = median(sizes[begun:][:n]), median(sizes[-n:])
    more = median(objects[-n:]) - median(objects[begun:][:n])
    x = np.arange(len(sizes) - begun)
    slope = np.polyfit(x, sizes[begun:], 1)[0] * 1000 / 1024
    counts.add(
        f"memory grows by less than {GROWTH >> 20} MiB",
        f"{before / 2**20:.1f} MiB became {after / 2**20:.1f}" if after - before > GROWTH else "",
    )
    counts.add(
        f"Python's objects grow by less than {OBJECTS}",
        f"by {more:,.0f}" if more > OBJECTS else "",
    )
    counts.note(
        f"{passed / 60:.1f} minutes, {len(sizes)} rounds: "
        + ", ".join(f"{n:,} {what}" for what, n in soak.done.items())
    )
    counts.note(
        f"resident memory after the warm-up {before / 2**20:.1f} MiB, at the end "
        f"{after / 2**20:.1f} MiB; slope {slope:+.1f} KiB in 1,000 rounds; objects {more:+,.0f}"
    )
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
