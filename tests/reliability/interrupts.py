"""Ctrl-C and SIGTERM at chosen moments of `train`: it stops, saves the run, and resumes.

Each is a process of its own, without a terminal, which sends the signal to itself when a function
is called for the n-th time, or receives it from here while it is still starting. Afterwards it
must have ended with 130 or 143 and in one sentence, and the run that goes on must come to the
bytes of the one that nothing stopped. Before and after the training itself, SIGTERM is left to
the system, which ends the process at once: a shell sees 143 then too.
"""

import sys
import time

import common

EPOCHS = 3
LINE = ("--checkpoint-every", "3")
# what happens then: the function that is called, for which time, and how many signals it gets
MOMENTS = {
    "while the data are read": ("scratchvae.cli.train:both_splits", 1, 1),
    "at the first step": ("scratchvae.train:Trainer.take_step", 1, 1),
    "in the first epoch": ("scratchvae.train:Trainer.take_step", 3, 1),
    "in the middle of an update": ("scratchvae.train.optim:Adam.update", 6, 1),
    "in an evaluation": ("scratchvae.train:losses", 2, 1),
    "in a save": ("os:fsync", 9, 1),
    "at the rename of a save": ("os:replace", 7, 1),
    "twice, in a save": ("os:fsync", 12, 2),
    "three times, at a step": ("scratchvae.train:Trainer.take_step", 7, 3),
    "while pictures are drawn": ("scratchvae.pictures.gallery:leave", 1, 1),
}
OUTSIDE = ("while the data are read", "while pictures are drawn")
STARTING = (0.02, 0.1, 0.2, 0.3, 0.4)  # seconds after the process began
IN_SHORT = ("in a save", "twice, in a save", "in the middle of an update")

# the process: where to send which signal, how often; whether to draw; then the command line
CODE = """
import sys
where, at, times, number, *line = sys.argv[1:]
import os
from importlib import import_module
from scratchvae import cli
import scratchvae.cli.train
module, _, path = where.partition(":")
holder = import_module(module)
*way, last = path.split(".")
for name in way:
    holder = getattr(holder, name)
real, calls = getattr(holder, last), 0
def double(*arguments, **settings):
    global calls
    calls += 1
    if calls == int(at):
        for _ in range(int(times)):
            os.kill(os.getpid(), int(number))
    return real(*arguments, **settings)
setattr(holder, last, double)
sys.exit(cli.main(line))
"""


def resumed(folder, data, errors, wanted):
    """Let the run go on, or begin if nothing had been kept; what is wrong with its end."""
    began = (folder / "checkpoint.npz").exists()
    line = common.train_line(data, folder, EPOCHS, *LINE, "--resume" if began else "--overwrite")
    code, said = common.finished(line, errors)
    return f"exit code {code}: {said[-300:]}" if code else common.compared(folder, wanted)


def tried(process, expected, folder):
    """What is wrong with how a process ended, which a signal should have stopped."""
    out, said = process.communicate(timeout=120)
    if process.returncode not in expected:
        return f"exit code {process.returncode}: {out}{said[-500:]}"
    if "Traceback" in said and process.returncode > 0:  # else Python itself ended, at its start
        return f"a traceback: {said[-500:]}"
    if folder.exists() and common.temporaries(folder):
        return f"left over: {common.temporaries(folder)}"
    return ""


def main():
    options = common.options(__doc__)
    counts = common.Counts("interrupts", options)
    common.without_pictures()
    with common.scratch_folder(memory=options.short) as place:
        errors = place / "errors"
        data = common.small_data(place / "data.npz", options.seed)
        common.finished(common.train_line(data, place / "whole", EPOCHS, *LINE), errors)
        wanted = common.result(place / "whole")
        for name, (number, code) in common.SIGNALS.items():
            for when, (where, n, times) in MOMENTS.items():
                if options.short and when not in IN_SHORT:
                    continue
                folder = place / f"{name} {when}"
                line = common.train_line(data, folder, EPOCHS, *LINE)
                process = common.own_process(CODE, where, n, times, int(number), *line)
                by_the_system = [-number] if when in OUTSIDE and name == "SIGTERM" else []
                lost = tried(process, [code, *by_the_system], folder) or resumed(
                    folder, data, errors, wanted
                )
                counts.add(f"{name} {when}", lost)
            for seconds in () if options.short else STARTING:
                folder = place / f"{name} {seconds}"
                line = common.train_line(data, folder, EPOCHS, *LINE)
                process = common.own_process(
                    "import sys; from scratchvae.__main__ import main; sys.exit(main())", *line
                )
                time.sleep(seconds)
                process.send_signal(number)
                # before the first line of ours, Python ends by the signal itself
                lost = tried(process, [code, -number], folder)
                counts.add(f"{name} while it starts", lost or resumed(folder, data, errors, wanted))
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
