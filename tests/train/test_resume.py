"""A run that is interrupted anywhere and resumed ends in the same bytes."""

import errno
import os
import signal

import numpy as np
import pytest
from support.command_line import go_on
from support.interruptions import STEPS, Killed, hook, interrupt, killed
from support.run_folders import contents, metrics_but_seconds, same

from scratchvae import CheckpointError, load_model
from scratchvae.files import run_folder as runs
from scratchvae.files.retention import Retention
from scratchvae.files.run_folder import candidates
from scratchvae.models.load import load
from scratchvae.pictures import gallery
from scratchvae.train import Trainer
from scratchvae.train.callbacks import CheckpointTimer, LatentFrames

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
def test_a_killed_run_ends_in_the_same_bytes(train_run, monkeypatch, options, step):
    _, straight = train_run("a", *options.split())
    interrupt(monkeypatch, step, Killed())
    with pytest.raises(Killed):
        train_run("b", *options.split(), "--checkpoint-every", "2")
    if step == 1:  # before anything was kept
        assert not candidates(straight.parent / "b")
        code, folder = train_run("b", *options.split())
    else:
        code, folder = go_on(straight.parent / "b"), straight.parent / "b"
    assert code == 0
    same(straight, folder)


@pytest.mark.parametrize("when", ["step", "evaluation", "film", "saving", "metrics"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(signal.SIGTERM), Killed()])
def test_a_run_that_is_stopped_anywhere_ends_in_the_same_bytes(
    train_run, tmp_path, monkeypatch, when, error
):
    import scratchvae.train

    _, straight = train_run("a")
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
        "evaluation": (scratchvae.train.trainer, "losses"),
        "film": (LatentFrames, "add"),  # the first is taken at the start
        "saving": (os, "replace"),
        "metrics": (runs, "write_metrics"),
    }
    if when in hook:
        hooked(*hook[when])
    if isinstance(error, Killed):
        with pytest.raises(Killed):
            train_run("b", "--checkpoint-every", "5")
    else:
        assert train_run("b", "--checkpoint-every", "5")[0] == 143
    monkeypatch.undo()
    monkeypatch.setattr(gallery, "leave", lambda *a: ({}, {}))
    folder = tmp_path / "b"
    assert (go_on(folder) if candidates(folder) else train_run("b")[0]) == 0
    same(straight, folder)


def test_a_run_may_be_stopped_again_and_again(train_run, tmp_path, monkeypatch):
    _, straight = train_run("a")
    for step in (3, 5, 6, 8, 13, 14, 20):
        interrupt(monkeypatch, step, KeyboardInterrupt(), before=step % 2 == 0)
        code = go_on(tmp_path / "b") if candidates(tmp_path / "b") else train_run("b")[0]
        assert code == 130
    assert go_on(tmp_path / "b") == 0
    same(straight, tmp_path / "b")


def test_checkpoints_do_not_change_what_is_learned(train_run):
    _, a = train_run("a")
    _, b = train_run("b", "--checkpoint-every", "1", "--keep", "4")
    same(a, b)
    steps = [3 * STEPS - i for i in (1, 2, 3)]
    assert [p.name for p in candidates(b)] == [
        "checkpoint.npz", *(f"checkpoint-{n:08}.npz" for n in steps), "best.npz"
    ]  # fmt: skip
    assert load(b / f"checkpoint-{steps[0]:08}.npz").run["step"] == steps[0]


def test_after_so_much_time(train_run, monkeypatch):
    import time

    monkeypatch.setattr("scratchvae.train.trainer.CHECK", 2)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(taken)))
    taken, saved = [], []
    original = Trainer.take_step
    monkeypatch.setattr(
        Trainer, "take_step", lambda self, rows: (taken.append(1), original(self, rows))[1]
    )
    for name in ("replace", "save"):  # the first one and the others
        keep = getattr(Retention, name)
        monkeypatch.setattr(
            Retention,
            name,
            lambda self, step, *a, keep=keep: (saved.append(step), keep(self, step, *a)),
        )
    train_run("a", "--epochs", "2", "--checkpoint-every", "3s")  # a step takes a second
    assert saved == [4, STEPS, 11, 2 * STEPS]


@pytest.mark.parametrize("every", ["0", "-1", "x", "3d", "1.5", "", "9" * 12])
def test_no_such_interval(train_run, capsys, every):
    assert train_run("a", "--checkpoint-every", every)[0] == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "must be a number of steps" in err or "expected" in err


def test_intervals():
    assert (
        CheckpointTimer("90s").seconds,
        CheckpointTimer("10m").seconds,
        CheckpointTimer("2h").seconds,
    ) == (90, 600, 7200)
    assert CheckpointTimer(500).due_by_step(1000)
    assert not CheckpointTimer(500).due_by_step(999)
    assert not CheckpointTimer("1s").due_by_step(1)


# ------------------------------------------------------------------- a process that ends between


def test_a_run_that_had_enough_does_not_train_on(train_run, tmp_path, monkeypatch):
    options = ("--epochs", "60", "--lr", "1", "--patience", "2")
    _, straight = train_run("a", *options)
    epochs = len(load_model(straight).history_)
    assert epochs < 60
    with monkeypatch.context() as patch:
        hook(patch, gallery, "leave", Killed())
        killed(train_run, *options)
    assert go_on(tmp_path / "b") == 0
    for name in ("checkpoint.npz", "best.npz"):
        assert (straight / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert go_on(tmp_path / "b", "--patience", "50", "--epochs", str(epochs + 1)) == 0
    assert len(load_model(tmp_path / "b").history_) == epochs + 1


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_before_the_best_has_its_name(train_run, tmp_path, monkeypatch, nth):
    _, straight = train_run("a")
    with monkeypatch.context() as patch:
        hook(patch, Retention, "mark_best", Killed(), nth)
        killed(train_run)
    assert go_on(tmp_path / "b") == 0
    same(straight, tmp_path / "b")


@pytest.mark.parametrize("name", ["mark_best", "prune"])
@pytest.mark.parametrize("nth", [1, 3])
def test_what_fails_once_is_done_at_the_end(train_run, monkeypatch, capsys, name, nth):
    _, straight = train_run("a")
    hook(monkeypatch, Retention, name, OSError(errno.ENOSPC, "No space left on device"), nth)
    capsys.readouterr()
    code, folder = train_run("b")
    assert code == 0
    said = f"step {nth * STEPS} is saved, but not every other file (No space left on device)"
    assert said in capsys.readouterr().err
    same(straight, folder)


def test_the_film_of_a_long_run(train_run, tmp_path, monkeypatch):
    """Of which frames are dropped as it goes on."""
    _, straight = train_run("a", "--epochs", "64")
    with monkeypatch.context() as patch:
        hook(patch, Retention, "save", KeyboardInterrupt(), 61)  # of epoch 62
        assert train_run("b", "--epochs", "64")[0] == 130
    assert len(load_model(tmp_path / "b").history_) == 61
    assert go_on(tmp_path / "b") == 0
    assert (straight / "checkpoint.npz").read_bytes() == (
        tmp_path / "b" / "checkpoint.npz"
    ).read_bytes()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_each_is_of_the_step_in_its_name(train_run, tmp_path, monkeypatch, error):
    """Also where the renaming was done, and what came after it was not."""
    from scratchvae.files import checkpoint

    save, calls = checkpoint.write, []

    def then_fail(*a):
        save(*a)
        calls.append(1)
        if len(calls) % 4 == 0:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", then_fail)
        train_run("b", "--keep", "9", "--checkpoint-every", "2")
    if isinstance(error, KeyboardInterrupt):
        assert go_on(tmp_path / "b", "--keep", "9", "--checkpoint-every", "2") == 0
    earlier = [path for path in candidates(tmp_path / "b") if "-" in path.name]
    assert len(earlier) > 2
    for path in earlier:
        assert path.name == f"checkpoint-{load(path).run['step']:08}.npz"


def test_without_a_second_name_the_newest_is_kept_all_the_same(train_run, monkeypatch, capsys):
    import scratchvae.files.retention

    _, straight = train_run("a")
    keep = scratchvae.files.retention.link_or_copy

    def only_the_best(path, other):
        if other.name != "best.npz":
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(path, other)

    monkeypatch.setattr(scratchvae.files.retention, "link_or_copy", only_the_best)
    capsys.readouterr()
    same(straight, train_run("b")[1])
    assert capsys.readouterr().err == "", "nothing of weight is missing"


# ------------------------------------------------------------------------------- going on


def test_a_resumed_run_keeps_as_many_as_it_is_told(train_run):
    _, folder = train_run("a", "--keep", "3")
    assert len(candidates(folder)) == 4
    assert go_on(folder, "--epochs", "6", "--keep", "4") == 0
    assert [load(path).run["step"] for path in candidates(folder)[:4]] == [42, 35, 28, 21]
    assert go_on(folder, "--epochs", "7", "--keep", "1") == 0
    assert [p.name for p in candidates(folder)] == ["checkpoint.npz", "best.npz"]


def test_the_one_of_most_steps_is_taken_and_damaged_later_ones_go(train_run, capsys):
    _, straight = train_run("c", "--epochs", "4")
    _, folder = train_run("a", "--epochs", "4", "--keep", "4")
    best = (folder / "checkpoint-00000021.npz").read_bytes()
    for path in candidates(folder):
        path.unlink()
        if "14" not in path.name:
            path.write_bytes(b"PK")
    (folder / "best.npz").write_bytes(best)
    (folder / "checkpoint-00000014.npz").write_bytes(
        (straight / "checkpoint.npz").read_bytes()[:-1]
    )
    (folder / "checkpoint-00000024.npz").write_bytes(b"PK")
    capsys.readouterr()
    assert go_on(folder) == 0
    assert "best.npz is used instead" in capsys.readouterr().err
    assert (straight / "checkpoint.npz").read_bytes() == (folder / "checkpoint.npz").read_bytes()
    assert not (folder / "checkpoint-00000024.npz").exists()


def test_what_is_over_tomorrow_is_no_damage(train_run, monkeypatch):
    import scratchvae.files.npz

    _, folder = train_run("a")
    hook(
        monkeypatch,
        scratchvae.files.npz,
        "open_at_once",
        OSError(errno.ESTALE, "Stale file handle"),
    )
    with pytest.raises(CheckpointError, match=r"checkpoint.npz cannot be read: Stale") as error:
        load(folder)
    assert type(error.value) is CheckpointError, "an older one must not be taken for it"


def test_a_page_that_is_no_longer_the_run_s_goes(train_run, monkeypatch):
    _, folder = train_run("a")
    assert (folder / "index.html").exists()
    with monkeypatch.context() as patch:
        hook(patch, gallery, "leave", Killed())
        with pytest.raises(Killed):
            go_on(folder, "--epochs", "4")
    assert not (folder / "index.html").exists()
    assert go_on(folder) == 0
    assert (folder / "index.html").exists()


def test_going_on_with_a_full_disk_is_a_warning_too(train_run, monkeypatch, capsys):
    _, straight = train_run("a", "--epochs", "4")
    _, folder = train_run("b")
    with monkeypatch.context() as patch:
        hook(patch, runs, "write_config", OSError(errno.ENOSPC, "No space left on device"))
        capsys.readouterr()
        assert go_on(folder, "--epochs", "4") == 0
    assert "step 21 is saved, but not every other file" in capsys.readouterr().err
    assert contents(straight).keys() == contents(folder).keys()
    assert metrics_but_seconds(straight) == metrics_but_seconds(folder)


def test_a_moment_that_is_infinite_is_not_kept(train_run, capsys):
    """A squared gradient may overflow a step before the parameters know it."""
    options = ("--likelihood", "gaussian", "--x-variance", "1e-24", "--checkpoint-every", "1")
    code, folder = train_run("a", *options)
    assert code == 2
    assert "holds a NaN or an infinity" in capsys.readouterr().err
    for path in candidates(folder) if folder.exists() else ():
        assert np.isfinite(load(path).arrays["adam_v"]).all()
