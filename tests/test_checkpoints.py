"""What is kept of a run: the same bytes as if it had never been stopped, and never nothing."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest

from scratchvae import (
    VAE,
    CheckpointError,
    ConditionalVAE,
    InputError,
    NonFiniteError,
    cli,
    load_model,
    ops,
    runs,
)
from scratchvae.checkpoint import load, save_model
from scratchvae.commands import gallery
from scratchvae.commands.settings import of_run
from scratchvae.files import alone_in, keep_as, sweep, write_atomically
from scratchvae.film import Film
from scratchvae.kept import Kept, candidates
from scratchvae.optim import clip
from scratchvae.registry import OPS
from scratchvae.state import Due
from scratchvae.stopping import stoppable, undisturbed
from scratchvae.train import Trainer

STEPS = 7  # of an epoch: 54 training examples in batches of 8


class Killed(BaseException):
    """As far as a process in the same interpreter can be."""


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, X=rng.integers(0, 256, (60, 4, 4)).astype(np.uint8), y=np.arange(60) % 3)
    return path


@pytest.fixture
def train(data, tmp_path, monkeypatch):
    """Train by the command line, without pictures; returns the exit code and the folder."""
    monkeypatch.setattr(gallery, "leave", lambda *a: {})

    def run(out, *options):
        folder = tmp_path / out
        small = ("--latent-dim", "2", "--hidden", "8", "--epochs", "3", "--batch-size", "8")
        argv = ["train", "--data", str(data), *small, "--quiet", "--out", str(folder), *options]
        return cli.main(argv), folder

    return run


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


# ------------------------------------------------------------------------------- exact resume


@pytest.mark.parametrize(
    "options",
    [
        "--kl-warmup 2 --binarize dynamic",
        "--model vae --free-bits 0.1 --clip-norm 3 --lr 0.01",
        "--model ae",
        "--model iwae --k 3",
        "--model cvae --kl-cycle 1",
        "--model m2 --labels 6",
    ],
)
@pytest.mark.parametrize("step", [1, STEPS, 2 * STEPS + 3])
def test_a_killed_run_ends_in_the_same_bytes(train, monkeypatch, options, step):
    _, straight = train("a", *options.split())
    interrupt(monkeypatch, step, Killed())
    with pytest.raises(Killed):
        train("b", *options.split(), "--checkpoint-every", "2")
    if step == 1:  # before anything was kept
        assert not candidates(straight.parent / "b")
        code, folder = train("b", *options.split())
    else:
        code, folder = go_on(straight.parent / "b"), straight.parent / "b"
    assert code == 0
    same(straight, folder)


@pytest.mark.parametrize("when", ["step", "evaluation", "film", "saving", "metrics"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(signal.SIGTERM), Killed()])
def test_a_run_that_is_stopped_anywhere_ends_in_the_same_bytes(
    train, tmp_path, monkeypatch, when, error
):
    import scratchvae.train

    _, straight = train("a")
    calls = []

    def third(*a, **named):
        calls.append(1)
        if len(calls) == 3:
            raise error

    def hooked(owner, name):
        original = getattr(owner, name)

        def function(*a, **named):
            third()
            return original(*a, **named)

        monkeypatch.setattr(owner, name, function)

    if when == "step":
        interrupt(monkeypatch, 9, error)
    hook = {
        "evaluation": (scratchvae.train, "losses"),
        "film": (Film, "take"),  # the first is taken at the start
        "saving": (os, "replace"),
        "metrics": (runs, "write_metrics"),
    }
    if when in hook:
        hooked(*hook[when])
    if isinstance(error, Killed):
        with pytest.raises(Killed):
            train("b", "--checkpoint-every", "5")
    else:
        assert train("b", "--checkpoint-every", "5")[0] == 143
    monkeypatch.undo()
    monkeypatch.setattr(gallery, "leave", lambda *a: {})
    folder = tmp_path / "b"
    assert (go_on(folder) if candidates(folder) else train("b")[0]) == 0
    same(straight, folder)


def test_a_run_may_be_stopped_again_and_again(train, tmp_path, monkeypatch):
    _, straight = train("a")
    for step in (3, 5, 6, 8, 13, 14, 20):
        interrupt(monkeypatch, step, KeyboardInterrupt(), before=step % 2 == 0)
        code = go_on(tmp_path / "b") if candidates(tmp_path / "b") else train("b")[0]
        assert code == 130
    assert go_on(tmp_path / "b") == 0
    same(straight, tmp_path / "b")


def test_checkpoints_do_not_change_what_is_learned(train):
    _, a = train("a")
    _, b = train("b", "--checkpoint-every", "1", "--keep", "4")
    same(a, b)
    steps = [3 * STEPS - i for i in (1, 2, 3)]
    assert [p.name for p in candidates(b)] == [
        "checkpoint.npz", *(f"checkpoint-{n:08}.npz" for n in steps), "best.npz"
    ]  # fmt: skip
    assert load(b / f"checkpoint-{steps[0]:08}.npz").run["step"] == steps[0]


def test_after_so_much_time(train, monkeypatch):
    import time

    monkeypatch.setattr("scratchvae.train.CHECK", 2)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(taken)))
    taken, saved = [], []
    original = Trainer.take_step
    monkeypatch.setattr(
        Trainer, "take_step", lambda self, rows: (taken.append(1), original(self, rows))[1]
    )
    keep = Kept.save
    monkeypatch.setattr(
        Kept, "save", lambda self, step, *a: (saved.append(step), keep(self, step, *a))
    )
    train("a", "--epochs", "2", "--checkpoint-every", "3s")  # a step takes a second
    assert saved == [4, STEPS, 11, 2 * STEPS]


@pytest.mark.parametrize("every", ["0", "-1", "x", "3d", "1.5", "", "9" * 12])
def test_no_such_interval(train, capsys, every):
    assert train("a", "--checkpoint-every", every)[0] == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "every so many steps" in err or "expected" in err


def test_intervals():
    assert (Due("90s").seconds, Due("10m").seconds, Due("2h").seconds) == (90, 600, 7200)
    assert Due(500).by_step(1000)
    assert not Due(500).by_step(999)
    assert not Due("1s").by_step(1)


# ------------------------------------------------------------------------- which one, and how many


def test_the_best_is_kept(train, monkeypatch):
    _, folder = train("a", "--epochs", "8", "--lr", "1", "--keep", "9")
    test = [r["test_loss"] for r in load_model(folder).history_]
    best = load_model(folder / "best.npz").history_
    assert len(best) == 1 + int(np.argmin(test)) < 8, "the last is not the best of these"
    step = STEPS * len(best)
    assert (folder / "best.npz").read_bytes() == (folder / f"checkpoint-{step:08}.npz").read_bytes()


def test_early_stopping_says_where_the_best_is(data, tmp_path, capsys):
    argv = ["train", "--data", data, "--hidden", "8", "--lr", "0.3", "--patience", "1"]
    assert cli.main([str(a) for a in [*argv, "--epochs", "50", "--out", tmp_path / "run"]]) == 0
    said = capsys.readouterr().out
    assert f"no better test loss for 1 epochs; the best one is kept as {tmp_path}" in said


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:99] + b[100:]])
def test_a_damaged_one_is_passed_over(train, monkeypatch, capsys, damage):
    _, straight = train("a")
    interrupt(monkeypatch, 2 * STEPS + 4, Killed())
    with pytest.raises(Killed):
        train("b", "--checkpoint-every", "3")
    folder = straight.parent / "b"
    newest = folder / "checkpoint.npz"
    newest.write_bytes(damage(newest.read_bytes()))
    capsys.readouterr()
    assert cli.main(["train", "--resume", "--out", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"scratchvae: warning: {newest}")
    assert "checkpoint-00000015.npz is taken in its place" in err
    assert f"going on from {folder / 'checkpoint-00000015.npz'}: 2 epochs complete, step 15" in out
    same(straight, folder)


def test_all_are_damaged(train, capsys):
    _, folder = train("a")
    for path in candidates(folder):
        path.unlink()
        path.write_bytes(b"no")
    capsys.readouterr()
    assert go_on(folder, "--epochs", "9") == 2
    assert f"{folder / 'checkpoint.npz'} is damaged" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(folder)


def test_another_version_is_no_damage(train):
    """An older checkpoint must not be taken for a newer program's."""
    _, folder = train("a")
    forge(folder / "checkpoint.npz", lambda meta: meta.update(version=9))
    with pytest.raises(CheckpointError, match="version 9, but this scratchvae reads 1 and 2"):
        load_model(folder)


def test_other_data_of_the_same_size(train, data, monkeypatch, capsys):
    _, straight = train("a")
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train("b")
    kept, before = data.read_bytes(), {p.name: p.read_bytes() for p in folder.iterdir()}
    with np.load(data) as content:
        np.savez(data, X=content["X"][::-1], y=content["y"])
    capsys.readouterr()
    assert go_on(folder) == 2
    assert "the data are not those that the run was trained on" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    data.write_bytes(kept)
    assert go_on(folder) == 0
    same(straight, folder)


def test_the_first_format_goes_on(train, monkeypatch):
    """It had seconds in its history, and no hash of the data."""
    _, straight = train("a")
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train("b")

    def older(meta):
        meta["version"] = 1
        del meta["run"]["data"], meta["run"]["settings"]["clip_norm"]
        meta["run"]["seconds"] = 0.5
        meta["history"] = [{**record, "seconds": 1.5} for record in meta["history"]]

    forge(folder / "checkpoint.npz", older)
    assert go_on(folder) == 0
    same(straight, folder)


def test_the_seconds_of_earlier_epochs_stay(train, monkeypatch):
    interrupt(monkeypatch, 16, KeyboardInterrupt())
    _, folder = train("a")

    def seconds():
        with (folder / "metrics.csv").open() as f:
            return [row["seconds"] for row in csv.DictReader(f)]

    before = seconds()
    assert all(float(s) > 0 for s in before)
    assert go_on(folder) == 0
    assert seconds()[:2] == before
    (folder / "metrics.csv").write_bytes(b"\xff\x00no")  # nobody's word counts on it
    assert go_on(folder, "--epochs", "4") == 0
    assert seconds()[:3] == ["", "", ""]


# ------------------------------------------------------------------------------- full disks


def test_a_full_disk_is_a_warning_until_the_end(train, monkeypatch, capsys):
    _, straight = train("a")
    full = [True]

    def fsync(handle):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    original = Trainer._epoch

    def epoch(self, *a):
        full[0] = self.epoch < 2
        return original(self, *a)

    monkeypatch.setattr(Trainer, "_epoch", epoch)
    capsys.readouterr()
    (straight.parent / "b").mkdir()
    code, folder = train("b")
    assert code == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "step 7 cannot be kept (No space left on device): nothing of it is kept" in err
    same(straight, folder)


def test_rows_that_could_not_be_written_are_written_at_the_end(train, monkeypatch, capsys):
    _, straight = train("a")
    original, refused = runs.write_metrics, []

    def write_metrics(folder, history):
        if len(history) == 3 and not refused:
            refused.append(history)
            raise OSError(errno.ENOSPC, "No space left on device")
        original(folder, history)

    monkeypatch.setattr(runs, "write_metrics", write_metrics)
    code, folder = train("b")
    assert code == 0
    assert refused
    assert "the run goes on" in capsys.readouterr().err
    same(straight, folder)


def test_a_disk_that_stays_full_ends_the_run_and_keeps_what_there_was(train, monkeypatch, capsys):
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train("a")
    before = (folder / "checkpoint.npz").read_bytes()
    monkeypatch.setattr(
        np, "savez", lambda *a, **b: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
    )
    capsys.readouterr()
    assert go_on(folder) == 2
    err = capsys.readouterr().err.splitlines()
    assert "step 14 cannot be kept" in err[0]
    assert "checkpoint.npz is the last good one, of step 7" in err[0]
    assert err[-1].startswith("scratchvae: error: ")
    assert "No space left" in err[-1]
    assert (folder / "checkpoint.npz").read_bytes() == before
    assert not list(folder.glob(".*"))


# ----------------------------------------------------------------------------------- the loop


def test_clipping():
    rng = np.random.default_rng(0)
    g = rng.standard_normal(50).astype("f4")
    small = g.copy()
    clip(small, 100.0)
    np.testing.assert_array_equal(small, g)
    large = 3e30 * g  # whose squares float32 does not hold
    clip(large, 2.0)
    assert np.linalg.norm(large) == pytest.approx(2, rel=1e-6)
    np.testing.assert_allclose(large, 2 * g / np.linalg.norm(g), rtol=1e-5)
    double = np.array([1e200, 3e200])
    clip(double, 1.0)
    np.testing.assert_allclose(double, [0.1**0.5, 0.9**0.5])
    nothing = np.zeros(3)
    clip(nothing, 1.0)
    np.testing.assert_array_equal(nothing, 0)


def test_clipping_in_training(double):
    X = np.random.default_rng(0).random((30, 9))

    def weights(device="cpu", **settings):
        vae = VAE(latent_dim=2, hidden=(5,), dtype="float64", device=device).build(9)
        trainer = Trainer(vae, X, batch_size=8, **settings)
        trainer.run(2)
        return vae.state_dict()["fc_mu.weight"], trainer

    plain, _ = weights()
    clipped, trainer = weights(clip_norm=0.1)
    assert np.linalg.norm(trainer.model._grads.array) == pytest.approx(0.1)
    assert not np.array_equal(plain, clipped)
    np.testing.assert_array_equal(weights(clip_norm=1e9)[0], plain)
    replayed, trainer = weights("cuda", clip_norm=0.1)
    assert trainer._graphs is not None
    np.testing.assert_allclose(replayed, clipped, rtol=1e-9)
    trainer.clip_norm = 1e-3  # a graph knows what it was captured with
    trainer.run(3)
    assert np.linalg.norm(trainer.model._grads.array.get()) == pytest.approx(1e-3)
    with pytest.raises(InputError, match="clip_norm must be a finite number > 0"):
        Trainer(VAE().build(9), X, clip_norm=0)


def test_detect_anomaly_names_the_op(train, monkeypatch, capsys):
    original = ops.gaussian_kl_backward
    calls = []

    def gaussian_kl_backward(dy, mu, logvar, *, dmu=None, dlogvar=None):
        dmu, dlogvar = original(dy, mu, logvar, dmu=dmu, dlogvar=dlogvar)
        calls.append(1)
        if len(calls) == 9:
            dlogvar[1, 0] = np.inf
        return dmu, dlogvar

    broken = OPS["gaussian_kl"]._replace(backward=gaussian_kl_backward)
    monkeypatch.setitem(OPS, "gaussian_kl", broken)
    monkeypatch.setattr(ops, "gaussian_kl_backward", gaussian_kl_backward)
    assert train("a", "--detect-anomaly")[0] == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "epoch 2, step 9: gaussian_kl_backward: dlogvar (8, 2) float32 with 1 of 16" in err
    assert "the last good one, of step 7" in err


def test_detect_anomaly_changes_nothing(train):
    same(train("a")[1], train("b", "--detect-anomaly")[1])


def test_a_nan_is_not_kept(train, monkeypatch):
    """Neither at the end of an epoch nor within one."""
    original = Trainer.update

    def update(self, dials):
        if self.step == 9:
            self.model._grads.array[3] = np.nan
        original(self, dials)

    monkeypatch.setattr(Trainer, "update", update)
    code, folder = train("a", "--checkpoint-every", "1")
    assert code == 2
    assert load(folder).run["step"] == 9
    with pytest.raises(NonFiniteError, match="epoch 2, step 10"):
        Trainer(VAE(latent_dim=2, hidden=(8,)).build(16), np.ones((54, 16)), batch_size=8).run(2)


# --------------------------------------------------------------------------------- processes


def test_sigterm_stops_as_ctrl_c_does(data, tmp_path):
    folder = tmp_path / "run"
    argv = [sys.executable, "-m", "scratchvae", "train", "--data", str(data), "--hidden", "8"]
    argv += ["--epochs", "1000000", "--out", str(folder)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch   3"):
            break
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)  # and an impatient Ctrl-C after it
    _, err = process.communicate(timeout=60)
    assert process.returncode in (143, 130), "whichever came first"
    assert "go on with --resume" in err
    assert "Traceback" not in err
    assert len(load_model(folder).history_) >= 3


def test_a_second_signal_soon_after_is_the_same():
    def stopped():
        with stoppable():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt) as stop:
        stopped()
    assert stop.value.args == (signal.SIGTERM,)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_was_lost_can_be_sent_again(monkeypatch):
    """An exception in a callback of the garbage collector stops nothing."""
    import time

    with stoppable():
        for now in (0.0, 5.0):
            monkeypatch.setattr(time, "monotonic", lambda now=now: now)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with undisturbed():
                signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_on_the_way_back(monkeypatch):
    X = np.random.default_rng(0).random((30, 9))
    straight = VAE(latent_dim=2, hidden=(5,)).build(9)
    Trainer(straight, X, batch_size=8).run(3)
    vae = VAE(latent_dim=2, hidden=(5,)).build(9)
    trainer = Trainer(vae, X, batch_size=8)
    arrays, calls = trainer.arrays, []

    class Once:
        """An array that is interrupted the first time that it is written."""

        def __init__(self, a):
            self.a = a

        def __setitem__(self, key, value):
            calls.append(1)
            if len(calls) == 1:
                raise KeyboardInterrupt
            self.a[key] = value

    interrupt(monkeypatch, 2, KeyboardInterrupt())
    p, m, *rest = arrays()
    monkeypatch.setattr(trainer, "arrays", lambda: (p, Once(m), *rest))
    with pytest.raises(KeyboardInterrupt):
        trainer.run(3)
    assert len(calls) == 2
    assert trainer.step == 0
    monkeypatch.undo()
    trainer.run(3)
    np.testing.assert_array_equal(vae.params_.array, straight.params_.array)


def test_one_training_at_a_time(train, tmp_path, capsys):
    _, folder = train("a")
    before = (folder / "checkpoint.npz").read_bytes()
    capsys.readouterr()
    with alone_in(folder):
        assert go_on(folder, "--epochs", "9") == 2
        assert "another training writes in" in capsys.readouterr().err
        assert train("a", "--overwrite")[0] == 2
    assert (folder / "checkpoint.npz").read_bytes() == before
    assert go_on(folder, "--epochs", "4") == 0


# ------------------------------------------------------------------------------------- files


def test_what_a_killed_process_left_is_swept(train):
    _, folder = train("a")
    left = [".checkpoint.npz.0123abcd.tmp", ".checkpoint-00000014.npz.0123abcd.tmp"]
    left += [".metrics.csv.ffffffff.tmp", ".loss.png.00000000.tmp"]
    other = [".notes.txt.0123abcd.tmp", ".checkpoint.npz.mine.tmp", "notes.tmp"]
    other += [".samples.png.0123abcd.tmp"]  # that another command may be drawing now
    for name in left + other:
        (folder / name).write_text("half")
    os.utime(folder / ".loss.png.00000000.tmp", (0, 0))
    assert go_on(folder, "--epochs", "4") == 0
    assert {p.name for p in folder.iterdir()} & {*left, *other} == {*other}


def test_a_file_and_its_name_are_on_the_disk(tmp_path, monkeypatch):
    calls = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append(os.fstat(handle).st_ino))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a)))
    write_atomically(tmp_path / "a", lambda f: f.write(b"x"))
    assert calls == [(tmp_path / "a").stat().st_ino, "replace", tmp_path.stat().st_ino]


def test_a_second_name(tmp_path, monkeypatch):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"new")
    other.write_bytes(b"old")
    for _ in range(2):  # also where it is a name of that very file already
        keep_as(path, other)
        assert other.read_bytes() == b"new"
        assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}
    write_atomically(path, lambda f: f.write(b"newer"))
    assert other.read_bytes() == b"new", "the file of that name is its own"

    def no_links(*a):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    keep_as(path, other)
    assert other.read_bytes() == b"newer"
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}
    sweep(tmp_path, ["a"])
    assert path.read_bytes() == b"newer"


# ------------------------------------------------------------------- a process that ends between


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


def test_a_run_that_had_enough_does_not_train_on(train, tmp_path, monkeypatch):
    options = ("--epochs", "60", "--lr", "1", "--patience", "2")
    _, straight = train("a", *options)
    epochs = len(load_model(straight).history_)
    assert epochs < 60
    with monkeypatch.context() as patch:
        hook(patch, gallery, "leave", Killed())
        killed(train, *options)
    assert go_on(tmp_path / "b") == 0
    for name in ("checkpoint.npz", "best.npz"):
        assert (straight / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert go_on(tmp_path / "b", "--patience", "50", "--epochs", str(epochs + 1)) == 0
    assert len(load_model(tmp_path / "b").history_) == epochs + 1


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_before_the_best_has_its_name(train, tmp_path, monkeypatch, nth):
    _, straight = train("a")
    with monkeypatch.context() as patch:
        hook(patch, Kept, "keep_best", Killed(), nth)
        killed(train)
    assert go_on(tmp_path / "b") == 0
    same(straight, tmp_path / "b")


@pytest.mark.parametrize("name", ["keep_best", "prune"])
@pytest.mark.parametrize("nth", [1, 3])
def test_what_fails_once_is_done_at_the_end(train, monkeypatch, capsys, name, nth):
    _, straight = train("a")
    hook(monkeypatch, Kept, name, OSError(errno.ENOSPC, "No space left on device"), nth)
    capsys.readouterr()
    code, folder = train("b")
    assert code == 0
    said = f"step {nth * STEPS} is kept, but not all beside it (No space left on device)"
    assert said in capsys.readouterr().err
    same(straight, folder)


def test_the_film_of_a_long_run(train, tmp_path, monkeypatch):
    """Of which frames are dropped as it goes on."""
    _, straight = train("a", "--epochs", "64")
    with monkeypatch.context() as patch:
        hook(patch, Kept, "save", KeyboardInterrupt(), 62)
        assert train("b", "--epochs", "64")[0] == 130
    assert len(load_model(tmp_path / "b").history_) == 61
    assert go_on(tmp_path / "b") == 0
    assert (straight / "checkpoint.npz").read_bytes() == (
        tmp_path / "b" / "checkpoint.npz"
    ).read_bytes()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_each_is_of_the_step_in_its_name(train, tmp_path, monkeypatch, error):
    """Also where the renaming was done, and what came after it was not."""
    import scratchvae.files

    with monkeypatch.context() as patch:
        for nth in (4, 9, 14, 22):
            hook(patch, scratchvae.files, "_sync_folder", error, nth)
        train("b", "--keep", "9", "--checkpoint-every", "2")
    if isinstance(error, KeyboardInterrupt):
        assert go_on(tmp_path / "b", "--keep", "9", "--checkpoint-every", "2") == 0
    steps = {load(path).run["step"]: path for path in candidates(tmp_path / "b")[1:-1]}
    assert len(steps) > 2
    for step, path in steps.items():
        assert path.name == f"checkpoint-{step:08}.npz"


def test_without_a_second_name_the_newest_is_kept_all_the_same(train, monkeypatch):
    import scratchvae.kept

    _, straight = train("a")
    keep = scratchvae.kept.keep_as

    def only_the_best(path, other):
        if other.name != "best.npz":
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(path, other)

    monkeypatch.setattr(scratchvae.kept, "keep_as", only_the_best)
    same(straight, train("b")[1])


# -------------------------------------------------------------------------------- overwriting


def tree(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_what_is_to_be_replaced_stays_until_there_is_something_in_its_place(
    train, monkeypatch, capsys
):
    _, folder = train("a")
    before = tree(folder)
    with monkeypatch.context() as patch:
        interrupt(patch, 0, KeyboardInterrupt())
        assert train("a", "--overwrite")[0] == 130
    assert "before anything was learned" in capsys.readouterr().err
    assert tree(folder) == before
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(full))
        assert train("a", "--overwrite", "--seed", "1")[0] == 2
    assert "nothing of it is kept" in capsys.readouterr().err
    assert tree(folder) == before


@pytest.mark.parametrize("owner", [(runs, "clear"), (Kept, "save"), (Kept, "prune")])
def test_killed_while_it_replaces_a_run(train, tmp_path, monkeypatch, owner):
    _, straight = train("a")
    train("b", "--seed", "1")
    with monkeypatch.context() as patch:
        hook(patch, *owner, Killed())
        killed(train, "--overwrite")
    assert go_on(tmp_path / "b", "--epochs", "4") == 0
    old = load(tmp_path / "b").run["settings"]["seed"] == 1
    assert old == (owner == (runs, "clear")), "the old run, or the new one"
    assert go_on(tmp_path / "b", "--epochs", "5") == 0
    assert not (tmp_path / "b" / "incoming.npz").exists()
    if not old:
        assert load(straight).model.params_.array.tobytes() != b""
        assert metrics(straight) == metrics(tmp_path / "b")[:3]


def test_a_folder_where_a_file_should_be(train, tmp_path, capsys):
    (tmp_path / "a" / "best.npz").mkdir(parents=True)
    for options in ((), ("--overwrite",)):
        assert train("a", *options)[0] == 2
        assert "is a folder, where a run has a file" in capsys.readouterr().err


# ------------------------------------------------------------------------------- going on


def test_a_resumed_run_keeps_as_many_as_there_were(train):
    _, folder = train("a", "--keep", "3")
    assert len(candidates(folder)) == 4
    assert go_on(folder, "--epochs", "6") == 0
    assert [load(path).run["step"] for path in candidates(folder)[:3]] == [42, 35, 28]
    assert go_on(folder, "--epochs", "7", "--keep", "1") == 0
    assert [p.name for p in candidates(folder)] == ["checkpoint.npz", "best.npz"]


def test_the_one_of_most_steps_is_taken_and_damaged_later_ones_go(train, capsys):
    _, straight = train("c", "--epochs", "4")
    _, folder = train("a", "--epochs", "4", "--keep", "4")
    best = (folder / "checkpoint-00000021.npz").read_bytes()
    for path in candidates(folder):
        path.unlink()
        if "14" not in path.name:
            path.write_bytes(b"PK")
    (folder / "best.npz").write_bytes(best)
    (folder / "checkpoint-00000014.npz").write_bytes(
        (straight / "checkpoint.npz").read_bytes()[:-1]
    )
    capsys.readouterr()
    assert go_on(folder) == 0
    assert "best.npz is taken in its place" in capsys.readouterr().err
    assert (straight / "checkpoint.npz").read_bytes() == (folder / "checkpoint.npz").read_bytes()
    assert not (folder / "checkpoint-00000028.npz").exists()


def test_what_is_over_tomorrow_is_no_damage(train, monkeypatch):
    import scratchvae.npz

    _, folder = train("a")
    hook(monkeypatch, scratchvae.npz, "open_at_once", OSError(errno.ESTALE, "Stale file handle"))
    with pytest.raises(CheckpointError, match=r"checkpoint.npz cannot be read: Stale") as error:
        load(folder)
    assert type(error.value) is CheckpointError, "an older one must not be taken for it"


def test_a_page_that_is_no_longer_the_run_s_goes(train, monkeypatch):
    _, folder = train("a")
    assert (folder / "index.html").exists()
    with monkeypatch.context() as patch:
        hook(patch, gallery, "leave", Killed())
        with pytest.raises(Killed):
            go_on(folder, "--epochs", "4")
    assert not (folder / "index.html").exists()
    assert go_on(folder) == 0
    assert (folder / "index.html").exists()


def test_going_on_with_a_full_disk_is_a_warning_too(train, monkeypatch, capsys):
    _, straight = train("a", "--epochs", "4")
    _, folder = train("b")
    with monkeypatch.context() as patch:
        hook(patch, runs, "write_config", OSError(errno.ENOSPC, "No space left on device"))
        capsys.readouterr()
        assert go_on(folder, "--epochs", "4") == 0
    assert "step 21 is kept, but not all beside it" in capsys.readouterr().err
    assert tree(straight).keys() == tree(folder).keys()
    assert metrics(straight) == metrics(folder)


def test_a_moment_that_is_infinite_is_not_kept(train, capsys):
    """A squared gradient may overflow a step before the parameters know it."""
    options = ("--likelihood", "gaussian", "--x-variance", "1e-24", "--checkpoint-every", "1")
    code, folder = train("a", *options)
    assert code == 2
    assert "holds a NaN or an infinity" in capsys.readouterr().err
    for path in candidates(folder) if folder.exists() else ():
        assert np.isfinite(load(path).arrays["adam_v"]).all()


@pytest.mark.parametrize(
    ("name", "a"),
    [
        ("adam_v", np.array([np.inf], "f4")),
        ("film_epochs", np.array(3)),
        ("film_epochs", np.zeros((1, 1), int)),
        ("film", np.zeros((1, 1))),
        ("sums", np.array(["x"])),
    ],
)
def test_forged_arrays_of_a_run(run, name, a):
    with np.load(run) as content:
        arrays = dict(content) | {name: a}
    run.unlink()
    np.savez(run, **arrays)
    with pytest.raises(CheckpointError, match=f"{name} is none, or holds a NaN"):
        load(run)


def test_what_is_called_metrics_may_be_a_pipe(train, tmp_path):
    _, folder = train("a")
    (folder / "metrics.csv").unlink()
    os.mkfifo(folder / "metrics.csv")
    assert go_on(folder, "--epochs", "4") == 0
    assert len(metrics(folder)) == 4


# ------------------------------------------------------------------------------ odd surroundings


def test_a_log_on_a_full_disk_ends_nothing(data, tmp_path, monkeypatch):
    class Full:
        def __getattr__(self, name):
            return getattr(sys.__stdout__, name)

        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            pass

    monkeypatch.setattr(gallery, "leave", lambda *a: {})
    monkeypatch.setattr(sys, "stdout", Full())
    argv = ["train", "--data", str(data), "--hidden", "4", "--epochs", "2", "--out"]
    assert cli.main([*argv, str(tmp_path / "run")]) == 0
    assert len(load_model(tmp_path / "run").history_) == 2


def test_a_file_system_that_cannot_sync_folders(tmp_path, monkeypatch):
    import stat

    fsync, synced = os.fsync, []

    def refuse(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        write_atomically(tmp_path / "x" / "a", lambda f: f.write(b"1"))
    assert (tmp_path / "x" / "a").read_bytes() == b"1"
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    write_atomically(tmp_path / "new" / "run" / "a", lambda f: f.write(b"1"))
    places = (tmp_path, tmp_path / "new", tmp_path / "new" / "run" / "a", tmp_path / "new" / "run")
    assert synced == [place.stat().st_ino for place in places]


def test_a_folder_of_the_name_of_a_data_set(tmp_path, monkeypatch, capsys):
    (tmp_path / "strokes").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gallery, "leave", lambda *a: {})
    argv = ["train", "--data", "strokes", "--hidden", "2", "--epochs", "1", "--batch-size", "2000"]
    assert cli.main([*argv, "--out", "run", "--quiet"]) == 0
    assert of_run("run", load("run").run)["data"] == "strokes"


# ------------------------------------------------------------------------------ hostile files


def forge(path, change):
    """The same checkpoint with another `meta`."""
    with np.load(path) as content:
        arrays = dict(content)
    meta = json.loads(str(arrays.pop("meta")))
    text = meta if isinstance(change, str) else change(meta)
    text = change if isinstance(change, str) else json.dumps(meta)
    path.unlink()  # not through another name of the file
    np.savez(path, meta=np.array(text), **arrays)


@pytest.fixture
def run(train):
    return train("a")[1] / "checkpoint.npz"


FORGED = {
    "an array": "[]",
    "deep": "[" * 100_000,
    "a number without end": '{"version": ' + "9" * 100_000 + "}",
    "units": lambda m: m["config"].update(latent_dim=10**9),
    "a width": lambda m: m["config"].update(hidden=[10**9]),
    "widths": lambda m: m["config"].update(hidden=[1] * 10**5),
    "no widths": lambda m: m["config"].update(hidden=3),
    "features": lambda m: m.update(n_features=10**9),
    "no features": lambda m: m.update(n_features="16"),
    "negative": lambda m: m.update(n_features=-16),
    "a list": lambda m: m.update(model=["vae"]),
    "a class": lambda m: m.update(model="__init__"),
    "a device": lambda m: m["config"].update(device="../cuda"),
    "a dtype": lambda m: m["config"].update(dtype="O"),
    "history": lambda m: m.update(history=[3]),
    "records": lambda m: m["history"][0].update(kl="x"),
    "huge records": lambda m: m["history"][0].update(kl=10**400),
    "true": lambda m: m["history"][0].update(kl=True),
    "half a record": lambda m: m["history"][0].pop("rec"),
    "a run": lambda m: m.update(run=7),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_forged_description_is_refused_before_memory_is_asked_for(run, change):
    forge(run, change)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as error:
            load_model(run)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert str(run) in str(error.value)
    assert peak < 12 * run.stat().st_size + 1_000_000


def test_classes_without_end(tmp_path):
    path = tmp_path / "m.npz"
    ConditionalVAE(latent_dim=2, hidden=(3,)).build(9, 3).save(path)
    for classes in ([[1, 2]], list(range(10**4)), [], "abc", None, [{}], [1, "a"]):
        forge(path, lambda m, classes=classes: m.update(classes=classes))
        with pytest.raises(CheckpointError):
            load_model(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", 3), ("data", None), ("data_dir", 7), ("model", "x"), ("epochs", 2.5),
        ("epochs", True), ("hidden", 8), ("lr", "1"), ("leave_out", "3"), ("labels", 1.5),
        ("patience", [1]), ("command", "rm"), ("dreg", 1), ("seed", None), ("clip_norm", "1"),
    ],
)  # fmt: skip
def test_forged_settings(run, capsys, name, value):
    forge(run, lambda m: m["run"]["settings"].update({name: value}))
    with pytest.raises(CheckpointError, match=f"a setting '{name}' that cannot be"):
        of_run(run, load(run).run)
    for argv in (["evaluate", run.parent], ["train", "--resume", "--out", run.parent]):
        assert cli.main([str(a) for a in argv]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["run"].update(step=2), "says that 2 steps were taken in 3 epochs"),
        (lambda m: m["run"].update(step=29), "says that 29 steps were taken in 3 epochs"),
        (lambda m: m["run"].update(step="x"), "must be a whole number"),
        (lambda m: m["run"].pop("step"), "must be a whole number"),
        (lambda m: m["run"].update(data="0"), "not those that the run was trained on"),
        (lambda m: m["run"].pop("settings"), "no settings"),
        (lambda m: m["run"]["settings"].update(batch_size=0), "batch_size"),
        (lambda m: m["run"]["settings"].update(data="/nonexistent.npz"), "no file"),
    ],
)
def test_a_forged_run_cannot_go_on(run, capsys, change, message):
    forge(run, change)
    before = run.read_bytes()
    assert go_on(run.parent, "--epochs", "9") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert run.read_bytes() == before


def test_what_no_checkpoint_has(run):
    with np.load(run) as content:
        arrays = dict(content)
    np.savez(run, **arrays, other=np.zeros(3))
    with pytest.raises(CheckpointError, match="holds other, which no checkpoint has"):
        load(run)
    np.savez_compressed(run, **arrays)
    with pytest.raises(CheckpointError, match="compressed"):
        load(run)


def test_a_warning_is_a_warning_in_python(run):
    run.unlink()
    run.write_bytes(b"PK")
    with pytest.warns(UserWarning, match=r"damaged.*best.npz is taken") as told:
        assert len(load_model(run.parent).history_) == 3
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(run.parent / "best.npz")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = VAE(latent_dim=2, hidden=(3,)).fit(np.random.default_rng(0).random((20, 9)), epochs=2)
    for name in "ab":
        save_model(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
