"""Ways to stop a run at a chosen point, as a kill, a signal or a failing disk would."""

import subprocess
import sys

import pytest

from scratchvae.train import Trainer

STEPS = 7  # of an epoch: 54 training examples in batches of 8


class Killed(BaseException):
    """As far as a process in the same interpreter can be."""


def interrupt(monkeypatch, step, error, before=False):
    """Let the step after so many raise the error, once."""
    original = Trainer.take_step

    def take_step(self, rows):
        if self.step == step:
            monkeypatch.setattr(Trainer, "take_step", original)
            if not before:
                original(self, rows)
            raise error
        return original(self, rows)

    monkeypatch.setattr(Trainer, "take_step", take_step)


def hook(monkeypatch, owner, name, error, nth=1):
    """Let the nth call of a function raise the error instead."""
    original, calls = getattr(owner, name), []

    def function(*a, **named):
        calls.append(1)
        if len(calls) == nth:
            raise error
        return original(*a, **named)

    monkeypatch.setattr(owner, name, function)


def killed(train_run, *options):
    with pytest.raises(Killed):
        train_run("b", *options)


def training_process(data, folder, *options):
    """A process of the command line that trains without end, once its third epoch is printed."""
    argv = [sys.executable, "-m", "scratchvae", "train", "--data", str(data), "--hidden", "8"]
    argv += ["--epochs", "1000000", "--out", str(folder), *options]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch   3"):
            break
    return process
