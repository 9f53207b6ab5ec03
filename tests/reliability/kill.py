"""Kills training runs by SIGKILL at random moments, resumes them, and compares the final bytes.

Half of the kills come at a random time, half at a random call that changes the disk, a write being
broken off in its middle. After each, every checkpoint in the folder must be sound, and none of the
steps that were kept may be lost. At the end of a chain of kills, the checkpoint must have the bytes
of that of a run which nothing stopped, metrics.csv its rows, and no temporary file may be left.
"""

import itertools
import os
import random
import signal
import sys
import time

import common
from calls import NAMES, Calls, die

from scratchvae import cli
from scratchvae.models.load import load

KILLS, IN_SHORT = 1000, 14
LONGEST = 12  # kills of one run
EPOCHS = 4
LINE = ("--checkpoint-every", "1")


def at_a_time(rng, longest):
    """Starts a run and kills it after a random time; None as exit code if it had ended."""

    def run(line, errors):
        pid = common.start(line, errors)
        time.sleep(rng.random() * longest / 2)
        os.kill(pid, signal.SIGKILL)
        return common.ended(pid)

    return run


def at_a_call(rng, most):
    """Starts a run that kills itself at a random call."""

    def run(line, errors):
        n = rng.randint(1, most // 2)
        return common.finished(line, errors, lambda: Calls(die, n, only=NAMES).__enter__())[0]

    return run


def steps_kept(folder):
    """The step of the newest checkpoint, -1 if there is none; all that are there are read."""
    steps = [-1]
    for path in folder.glob("*.npz"):
        step = load(path).run["step"]
        if path.name == "checkpoint.npz":
            steps.append(step)
    return max(steps)


def chain(counts, place, data, wanted, kinds, kills):
    """A run, killed until it ends by itself or `kills` are spent; returns how many there were."""
    folder, errors = place / "run", place / "errors"
    line = common.train_line(data, folder, EPOCHS, *LINE)
    kept, done = -1, 0
    while True:
        more = ["--resume"] if kept >= 0 else ["--overwrite"]
        if done == kills:
            code, what = common.finished([*line, *more], errors)[0], ""
        else:
            what, run = kinds[done % len(kinds)]
            code = run([*line, *more], errors)
        if code == 0 or (code == 2 and common.was_whole(errors.read_text())):
            break
        if code != -signal.SIGKILL:
            counts.add("a run that goes on", f"exit code {code}: {errors.read_text()[-500:]}")
            return max(done, 1)
        done += 1
        lost = ""
        try:
            now = steps_kept(folder) if folder.exists() else -1
            if now < kept:
                lost = f"step {kept} was kept, but step {now} is the last"
            kept = max(kept, now)
        except ValueError as error:
            lost = str(error)
        counts.add(what, lost)
        if lost:
            return done
    counts.add("a run that was killed, at its end", common.compared(folder, wanted))
    return done


def main():
    options = common.options(__doc__, ("--kills", {"type": int, "help": f"default {KILLS}"}))
    counts = common.Counts("kill", options)
    common.without_pictures()
    rng = random.Random(options.seed)
    kills = options.kills or (IN_SHORT if options.short else KILLS)
    with common.scratch_folder(memory=options.short) as place:
        data = common.small_data(place / "data.npz", options.seed)
        line = common.train_line(data, place / "whole", EPOCHS, *LINE, "--overwrite")
        with Calls(die, sys.maxsize) as calls:
            cli.main(line)
        start = time.perf_counter()
        common.finished(line, place / "errors")
        seconds = time.perf_counter() - start
        wanted = common.result(place / "whole")
        kinds = [
            ("kill -9 at a random time", at_a_time(rng, seconds)),
            ("kill -9 at a random call of a save", at_a_call(rng, calls.count)),
        ]
        for number in itertools.count():
            if kills <= 0:
                break
            own = common.folder(place / f"chain{number}")
            kills -= chain(counts, own, data, wanted, kinds, min(kills, LONGEST))
    counts.note(f"a run makes {calls.count} calls that change the disk, in {seconds:.2f} s")
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
