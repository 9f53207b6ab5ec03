"""Ways to stop a run at a chosen point, as a kill, a signal or a failing disk would."""

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
