"""What the tests of runs that are stopped share: ways to stop them, and what must be the same."""

import csv
import json

import numpy as np
import pytest

from scratchvae import cli
from scratchvae.train import Trainer

STEPS = 7  # of an epoch: 54 training examples in batches of 8


class Killed(BaseException):
    """As far as a process in the same interpreter can be."""


def go_on(folder, *options):
    return cli.main(["train", "--resume", "--quiet", "--out", str(folder), *options])


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


def metrics(folder):
    with (folder / "metrics.csv").open() as f:
        return [{**row, "seconds": ""} for row in csv.DictReader(f)]


def same(a, b):
    """Both runs ended alike, to the last byte."""
    for name in ("checkpoint.npz", "best.npz"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    assert metrics(a) == metrics(b)
    assert [row["epoch"] for row in metrics(b)] == ["1", "2", "3"]
    assert not list(b.glob(".*")), "nothing is left half written"


def hook(monkeypatch, owner, name, error, nth=1):
    """Let the nth call of a function raise the error instead."""
    original, calls = getattr(owner, name), []

    def function(*a, **named):
        calls.append(1)
        if len(calls) == nth:
            raise error
        return original(*a, **named)

    monkeypatch.setattr(owner, name, function)


def killed(train, *options):
    with pytest.raises(Killed):
        train("b", *options)


def tree(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def forge(path, change):
    """The same checkpoint with another `meta`."""
    with np.load(path) as content:
        arrays = dict(content)
    meta = json.loads(str(arrays.pop("meta")))
    text = meta if isinstance(change, str) else change(meta)
    text = change if isinstance(change, str) else json.dumps(meta)
    path.unlink()  # not through another name of the file
    np.savez(path, meta=np.array(text), **arrays)
