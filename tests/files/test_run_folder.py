"""The run folder: retention of checkpoints, failing disks, and concurrent processes."""

import csv
import errno
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from support.command_line import go_on
from support.idx_files import write_set
from support.interruptions import STEPS, Killed, hook, interrupt, killed, training_process
from support.run_folders import contents, forge, metrics_but_seconds, same

from scratchvae import VAE, CheckpointError, cli, load_model
from scratchvae.cli.settings import of_run
from scratchvae.files import run_folder as runs
from scratchvae.files.atomic import alone_in, link_or_copy, sweep, write_atomically
from scratchvae.files.retention import Retention
from scratchvae.files.run_folder import candidates
from scratchvae.models.load import load
from scratchvae.pictures import gallery
from scratchvae.train import Trainer
from scratchvae.train.signals import interruptible, signals_ignored

# ------------------------------------------------------------------------- which one, and how many


def test_the_best_is_kept(train_run, monkeypatch):
    _, folder = train_run("a", "--epochs", "8", "--lr", "0.1", "--keep", "9")
    test = [r["test_loss"] for r in load_model(folder).history_]
    best = load_model(folder / "best.npz").history_
    assert len(best) == 1 + int(np.argmin(test)) < 8, "the last is not the best of these"
    step = STEPS * len(best)
    assert (folder / "best.npz").read_bytes() == (folder / f"checkpoint-{step:08}.npz").read_bytes()


def test_early_stopping_says_where_the_best_is(image_file, tmp_path, capsys):
    argv = ["train", "--data", image_file, "--hidden", "8", "--lr", "0.3", "--patience", "1"]
    assert cli.main([str(a) for a in [*argv, "--epochs", "50", "--out", tmp_path / "run"]]) == 0
    said = capsys.readouterr().out
    assert f"no better test loss for 1 epochs; the best epoch is saved as {tmp_path}" in said


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:99] + b[100:]])
def test_a_damaged_one_is_passed_over(train_run, monkeypatch, capsys, damage):
    _, straight = train_run("a")
    interrupt(monkeypatch, 2 * STEPS + 4, Killed())
    with pytest.raises(Killed):
        train_run("b", "--checkpoint-every", "3")
    folder = straight.parent / "b"
    newest = folder / "checkpoint.npz"
    newest.write_bytes(damage(newest.read_bytes()))
    capsys.readouterr()
    assert cli.main(["train", "--resume", "--out", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"scratchvae: warning: {newest}")
    assert "checkpoint-00000015.npz is used instead" in err
    assert f"resuming from {folder / 'checkpoint-00000015.npz'}: 2 epochs complete, step 15" in out
    same(straight, folder)


def test_all_are_damaged(train_run, capsys):
    _, folder = train_run("a")
    for path in candidates(folder):
        path.unlink()
        path.write_bytes(b"no")
    capsys.readouterr()
    assert go_on(folder, "--epochs", "9") == 2
    err = capsys.readouterr().err
    assert f"{folder / 'checkpoint.npz'} is damaged" in err
    assert "and so are the 2 others there: start again with --overwrite" in err
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(folder)


def test_a_complete_run_whose_newest_is_damaged_is_mended(train_run, capsys):
    _, folder = train_run("a")
    before = (folder / "checkpoint.npz").read_bytes()
    (folder / "checkpoint.npz").unlink()
    (folder / "checkpoint.npz").write_bytes(before[:-1])
    assert go_on(folder) == 0
    assert (folder / "checkpoint.npz").read_bytes() == before
    assert go_on(folder) == 2
    assert "has already finished 3 epochs" in capsys.readouterr().err


def test_another_version_is_no_damage(train_run):
    """An older checkpoint must not be taken for a newer program's."""
    _, folder = train_run("a")
    forge(folder / "checkpoint.npz", lambda meta: meta.update(version=9))
    with pytest.raises(CheckpointError, match="version 9, but this scratchvae reads 1, 2, 3 and 4"):
        load_model(folder)


def test_other_data_of_the_same_size(train_run, image_file, monkeypatch, capsys):
    _, straight = train_run("a")
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train_run("b")
    kept, before = image_file.read_bytes(), {p.name: p.read_bytes() for p in folder.iterdir()}
    with np.load(image_file) as content:
        np.savez(image_file, X=content["X"][::-1], y=content["y"])
    capsys.readouterr()
    assert go_on(folder) == 2
    assert "the run was trained on other data" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    image_file.write_bytes(kept)
    assert go_on(folder) == 0
    same(straight, folder)


def test_the_first_format_goes_on(train_run, monkeypatch):
    """It had seconds in its history, no hash of the data, no format of the rows, and the
    hyper-parameters of training among the settings of the run.
    """
    _, straight = train_run("a")
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train_run("b")

    def older(meta):
        meta["version"] = 1
        del meta["run"]["data"], meta["rows"], meta["config"]["scale"], meta["config"]["clip_norm"]
        for name in ("epochs", "batch_size", "lr", "kl_warmup", "kl_cycle", "binarize"):
            meta["run"]["settings"][name] = meta["config"].pop(name)
        meta["run"]["seconds"] = 0.5
        meta["history"] = [{**record, "seconds": 1.5} for record in meta["history"]]

    forge(folder / "checkpoint.npz", older)
    assert go_on(folder) == 0
    for path in (straight, folder):
        for name in ("checkpoint.npz", "best.npz"):
            # the old run did not know the shape of its rows
            forge(path / name, lambda meta: meta.pop("rows"))
    same(straight, folder)


def test_the_seconds_of_earlier_epochs_stay(train_run, monkeypatch):
    interrupt(monkeypatch, 16, KeyboardInterrupt())
    _, folder = train_run("a")

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


def test_a_full_disk_is_a_warning_until_the_end(train_run, monkeypatch, capsys):
    _, straight = train_run("a")
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
    code, folder = train_run("b")
    assert code == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "step 7 cannot be saved (No space left on device): the run has no checkpoint" in err
    same(straight, folder)


def test_rows_that_could_not_be_written_are_written_at_the_end(train_run, monkeypatch, capsys):
    _, straight = train_run("a")
    original, refused = runs.write_metrics, []

    def write_metrics(folder, history):
        if len(history) == 3 and not refused:
            refused.append(history)
            raise OSError(errno.ENOSPC, "No space left on device")
        original(folder, history)

    monkeypatch.setattr(runs, "write_metrics", write_metrics)
    code, folder = train_run("b")
    assert code == 0
    assert refused
    assert "the run continues" in capsys.readouterr().err
    same(straight, folder)


def test_ctrl_c_while_it_draws(train_run, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        train_run("z")  # the pictures are left out from here on
        hook(patch, gallery, "leave", KeyboardInterrupt())
        capsys.readouterr()
        assert cli.main(["train", "--resume", "--epochs", "4", "--out", str(tmp_path / "z")]) == 130
    err = capsys.readouterr().err
    assert "stopped while drawing: all 4 epochs are saved" in err
    assert "use --resume to draw the rest" in err


def test_a_disk_that_stays_full_ends_the_run_and_keeps_what_there_was(
    train_run, monkeypatch, capsys
):
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train_run("a")
    before = (folder / "checkpoint.npz").read_bytes()
    monkeypatch.setattr(
        np, "savez", lambda *a, **b: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
    )
    capsys.readouterr()
    assert go_on(folder) == 2
    err = capsys.readouterr().err.splitlines()
    assert "step 14 cannot be saved" in err[0]
    assert "checkpoint.npz is the last good checkpoint, of step 7" in err[0]
    assert err[-1].startswith("scratchvae: error: ")
    assert "No space left" in err[-1]
    assert (folder / "checkpoint.npz").read_bytes() == before
    assert not list(folder.glob(".*"))


# -------------------------------------------------------------------------------- overwriting


def test_what_is_to_be_replaced_stays_until_there_is_something_in_its_place(
    train_run, monkeypatch, capsys
):
    _, folder = train_run("a")
    before = contents(folder)
    with monkeypatch.context() as patch:
        interrupt(patch, 0, KeyboardInterrupt())
        assert train_run("a", "--overwrite")[0] == 130
    assert "before the first step" in capsys.readouterr().err
    assert contents(folder) == before
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(full))
        assert train_run("a", "--overwrite", "--seed", "1")[0] == 2
    assert "the run has no checkpoint" in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.parametrize("owner", [(runs, "clear"), (Retention, "save"), (Retention, "prune")])
def test_killed_while_it_replaces_a_run(train_run, tmp_path, monkeypatch, owner):
    _, straight = train_run("a")
    train_run("b", "--seed", "1")
    with monkeypatch.context() as patch:
        hook(patch, *owner, Killed())
        killed(train_run, "--overwrite")
    assert go_on(tmp_path / "b", "--epochs", "4") == 0
    old = load(tmp_path / "b").model.seed == 1
    assert old == (owner == (runs, "clear")), "the old run, or the new one"
    assert go_on(tmp_path / "b", "--epochs", "5") == 0
    assert not (tmp_path / "b" / "incoming.npz").exists()
    if not old:
        assert load(straight).model.params_.array.tobytes() != b""
        assert metrics_but_seconds(straight) == metrics_but_seconds(tmp_path / "b")[:3]


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_killed_while_it_removes_the_old_run(train_run, tmp_path, monkeypatch, nth):
    """The old one is whole until the new one has its place."""
    train_run("b", "--seed", "1")
    with monkeypatch.context() as patch:
        hook(patch, Path, "unlink", Killed(), nth)
        killed(train_run, "--overwrite")
    assert load(tmp_path / "b").run["step"] == 3 * STEPS
    assert go_on(tmp_path / "b", "--epochs", "4") == 0
    assert load(tmp_path / "b").model.seed == 1
    assert not (tmp_path / "b" / "incoming.npz").exists()


def test_a_folder_where_a_file_should_be(train_run, tmp_path, capsys):
    (tmp_path / "a" / "best.npz").mkdir(parents=True)
    for options in ((), ("--overwrite",)):
        assert train_run("a", *options)[0] == 2
        assert "is a folder, not a file of a run" in capsys.readouterr().err


# --------------------------------------------------------------------------------- processes


def test_sigterm_stops_as_ctrl_c_does(image_file, tmp_path):
    folder = tmp_path / "run"
    process = training_process(image_file, folder)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)  # and an impatient Ctrl-C after it
    _, err = process.communicate(timeout=60)
    assert process.returncode in (143, 130), "whichever came first"
    assert "continue with --resume" in err
    assert "Traceback" not in err
    assert len(load_model(folder).history_) >= 3


def test_a_second_signal_soon_after_is_the_same():
    def stopped():
        with interruptible():
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

    with interruptible():
        for now in (0.0, 5.0):
            monkeypatch.setattr(time, "monotonic", lambda now=now: now)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(time, "monotonic", lambda now=now: now + 3)
            with signals_ignored():
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


def test_one_training_at_a_time(train_run, tmp_path, capsys):
    _, folder = train_run("a")
    before = (folder / "checkpoint.npz").read_bytes()
    capsys.readouterr()
    with alone_in(folder):
        assert go_on(folder, "--epochs", "9") == 2
        assert "another process is training in" in capsys.readouterr().err
        assert train_run("a", "--overwrite")[0] == 2
    assert (folder / "checkpoint.npz").read_bytes() == before
    assert go_on(folder, "--epochs", "4") == 0


# ------------------------------------------------------------------------------ odd surroundings


def test_a_log_on_a_full_disk_ends_nothing(image_file, tmp_path, monkeypatch):
    class Full:
        def __getattr__(self, name):
            return getattr(sys.__stdout__, name)

        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            pass

    monkeypatch.setattr(gallery, "leave", lambda *a: ({}, {}))
    monkeypatch.setattr(sys, "stdout", Full())
    argv = ["train", "--data", str(image_file), "--hidden", "4", "--epochs", "2", "--out"]
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
    monkeypatch.setattr(gallery, "leave", lambda *a: ({}, {}))
    argv = ["train", "--data", "strokes", "--hidden", "2", "--epochs", "1", "--batch-size", "2000"]
    assert cli.main([*argv, "--out", "run", "--quiet"]) == 0
    assert of_run("run", load("run"))["data"] == "strokes"


# ------------------------------------------------------------------------------------- files


def test_what_a_killed_process_left_is_swept(train_run):
    _, folder = train_run("a")
    left = [".checkpoint.npz.0123abcd.tmp", ".checkpoint-00000014.npz.0123abcd.tmp"]
    left += [".metrics.csv.ffffffff.tmp", ".index.html.01234567.tmp", ".loss.png.0123abcd.tmp"]
    left += [".manifold.png.00000000.tmp"]
    other = [".notes.txt.0123abcd.tmp", ".checkpoint.npz.mine.tmp", "notes.tmp"]
    other += [".samples.png.0123abcd.tmp"]  # that another command may be drawing now
    for name in left + other:
        (folder / name).write_text("half")
    os.utime(folder / ".manifold.png.00000000.tmp", (0, 0))
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
        link_or_copy(path, other)
        assert other.read_bytes() == b"new"
        assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}
    write_atomically(path, lambda f: f.write(b"newer"))
    assert other.read_bytes() == b"new", "the file of that name is its own"

    def no_links(*a):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    link_or_copy(path, other)
    assert other.read_bytes() == b"newer"
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}
    sweep(tmp_path, ["a"])
    assert path.read_bytes() == b"newer"


def test_a_best_epoch_that_could_not_be_kept_is_told_of(train_run, monkeypatch, capsys):
    options = ("--epochs", "8", "--lr", "0.1")
    _, straight = train_run("a", *options)
    best = len(load_model(straight / "best.npz").history_)
    assert 1 < best < 8
    hook(monkeypatch, Retention, "save", OSError(errno.ENOSPC, "No space left on device"), best - 1)
    capsys.readouterr()
    code, folder = train_run("b", *options)
    assert code == 0
    assert capsys.readouterr().err.endswith(
        "best.npz is outdated: the best epoch could not be saved\n"
    )
    assert len(load_model(folder / "best.npz").history_) < best


def test_a_damaged_best_one_is_removed(train_run, capsys):
    _, folder = train_run("a", "--epochs", "7", "--lr", "0.1")
    (folder / "best.npz").write_bytes(b"PK")
    capsys.readouterr()
    assert go_on(folder, "--epochs", "8") == 0
    assert "best.npz is damaged, or another kind of file; removed" in (capsys.readouterr().err)
    assert not (folder / "best.npz").exists()


def test_one_that_cannot_be_read_now_does_not_hide_the_others(train_run, monkeypatch, capsys):
    import scratchvae.files.npz

    _, folder = train_run("a", "--keep", "3")
    (folder / "checkpoint.npz").unlink()
    (folder / "checkpoint.npz").write_bytes(b"PK")
    original = scratchvae.files.npz.open_at_once

    def unreadable(path):
        if path.name == "checkpoint-00000007.npz":
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(path)

    monkeypatch.setattr(scratchvae.files.npz, "open_at_once", unreadable)
    assert go_on(folder, "--epochs", "4") == 0


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_data_folder_of_the_name_of_a_data_set_is_found_from_anywhere(
    tmp_path, monkeypatch, capsys
):
    write_set(tmp_path / "mnist", n=20)
    write_set(tmp_path / "mnist", n=6, split="test")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gallery, "leave", lambda *a: ({}, {}))
    argv = ["train", "--data", "mnist", "--data-dir", "mnist", "--hidden", "2", "--epochs", "1"]
    assert cli.main([*argv, "--out", "run", "--quiet"]) == 0
    assert of_run("run", load("run"))["data_dir"] == str(tmp_path / "mnist")
