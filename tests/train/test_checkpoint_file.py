"""A run from Python that keeps its state in a file: killed anywhere, it ends in the same bytes."""

import errno

import numpy as np
import pytest
from support.interruptions import STEPS, Killed, hook, interrupt

from scratchvae import (
    IWAE,
    VAE,
    CheckpointError,
    ConditionalVAE,
    InputError,
    SemiSupervisedVAE,
    load_model,
)
from scratchvae.backend import to_numpy
from scratchvae.files import atomic, checkpoint
from scratchvae.train import Trainer
from scratchvae.train.parallel import ParallelTrainer

EPOCHS = 4
SETTINGS = {"epochs": EPOCHS, "batch_size": 8, "binarize": "dynamic", "kl_warmup": 2}


@pytest.fixture
def X(rng):
    return rng.random((54, 9))  # STEPS steps an epoch


@pytest.fixture
def y(rng):
    return rng.integers(0, 3, 54)


def small(cls=VAE, **config):
    return cls(**{"latent_dim": 3, "hidden": (7,)} | config)


def state(model):
    """What a model has learned, and its history without the seconds."""
    history = [{n: v for n, v in r.items() if n != "seconds"} for r in model.history_]
    return to_numpy(model.params_.array).tobytes(), repr(history)


def lr(epoch):
    return 0.01 * 0.5**epoch


@pytest.mark.parametrize("step", [1, STEPS, 2 * STEPS + 3])
@pytest.mark.parametrize("cls", [VAE, IWAE, ConditionalVAE, SemiSupervisedVAE])
def test_a_killed_fit_ends_in_the_same_bytes(X, y, tmp_path, monkeypatch, cls, step):
    labels = () if cls in (VAE, IWAE) else (y,)
    more = {"X_test": X[:9], "y_test": y[:9] if labels else None, **SETTINGS, "lr": lr}
    if not cls.scheduled:
        more |= {"kl_warmup": 0}
    straight = small(cls).fit(X, *labels, **more, checkpoint_file=tmp_path / "a.npz")
    assert state(straight) == state(small(cls).fit(X, *labels, **more))
    interrupt(monkeypatch, step, Killed())
    with pytest.raises(Killed):
        small(cls).fit(X, *labels, **more, checkpoint_file=tmp_path / "b.npz")
    assert len(load_model(tmp_path / "b.npz").history_) == step // STEPS
    again = small(cls).fit(X, *labels, **more, checkpoint_file=tmp_path / "b.npz")
    assert state(again) == state(straight)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_killed_while_the_file_is_written(X, tmp_path, monkeypatch, nth):
    straight = small().fit(X, **SETTINGS)
    with monkeypatch.context() as patch:
        hook(patch, atomic.os, "replace", Killed(), nth)
        with pytest.raises(Killed):
            small().fit(X, **SETTINGS, checkpoint_file=tmp_path / "b.npz")
    again = small().fit(X, **SETTINGS, checkpoint_file=tmp_path / "b.npz")
    assert state(again) == state(straight)


def test_a_run_that_is_over_is_not_trained_again_and_may_get_longer(X, tmp_path, monkeypatch):
    file = tmp_path / "run.npz"
    first = small().fit(X, **SETTINGS, checkpoint_file=str(file))
    with monkeypatch.context() as patch:
        hook(patch, Trainer, "take_step", AssertionError("a step was taken"))
        assert state(small().fit(X, **SETTINGS, checkpoint_file=file)) == state(first)
    longer = SETTINGS | {"epochs": EPOCHS + 2}
    straight = small().fit(X, **longer)
    assert state(small().fit(X, **longer, checkpoint_file=file)) == state(straight)


def test_epochs_of_the_model_may_differ_too(X, tmp_path):
    file = tmp_path / "run.npz"
    small(epochs=2).fit(X, checkpoint_file=file)
    again = small(epochs=3).fit(X, checkpoint_file=file)
    assert state(again) == state(small(epochs=3).fit(X))


def test_within_an_epoch_too(X, tmp_path, monkeypatch):
    straight = small().build_from(X)
    Trainer(straight, X, batch_size=8).run(2)
    file = tmp_path / "run.npz"
    interrupt(monkeypatch, 5, Killed())
    trainer = Trainer(small().build_from(X), X, batch_size=8, checkpoint_file=file)
    with pytest.raises(Killed):
        trainer.run(2, checkpoint_every=2)
    model = small().build_from(X)
    trainer = Trainer(model, X, batch_size=8, checkpoint_file=file)
    assert (trainer.step, trainer.epoch) == (4, 0)
    trainer.run(2)
    assert state(model) == state(straight)


def test_a_model_that_was_trained_before(X, tmp_path, monkeypatch):
    """The epochs of the run do not count the earlier ones, in a run that goes on neither."""
    earlier = small().fit(X, epochs=3, batch_size=8)
    earlier.save(tmp_path / "earlier.npz")

    def go(**options):
        model = load_model(tmp_path / "earlier.npz")
        trainer = Trainer(model, X, batch_size=8, **options)
        trainer.run(2)
        return model

    straight = go()
    assert len(straight.history_) == 5
    interrupt(monkeypatch, STEPS + 3, Killed())
    with pytest.raises(Killed):
        go(checkpoint_file=tmp_path / "run.npz")
    assert state(go(checkpoint_file=tmp_path / "run.npz")) == state(straight)


@pytest.mark.parametrize(
    ("config", "settings", "said"),
    [
        ({"latent_dim": 4}, {}, "latent_dim 3, not 4"),
        ({"hidden": (7, 7)}, {}, r"hidden \[7\], not \[7, 7\]"),
        ({"seed": 1}, {}, "seed 0, not 1"),
        ({}, {"batch_size": 9}, "batch_size 8, not 9"),
        ({}, {"binarize": "none"}, "binarize 'dynamic', not 'none'"),
        ({}, {"kl_warmup": 0}, "kl_warmup 2, not 0"),
        ({}, {"adam": {"beta1": 0.99}}, "beta1 0.9, not 0.99"),
        ({}, {"adam": {"v0": 0.25}}, "v0 0.0, not 0.25"),
        ({"beta": 2.0}, {}, "beta 1.0, not 2.0"),
        ({}, {"lr": 0.01}, "lr 0.001, not 0.01"),
        ({}, {"clip_norm": 5.0}, "clip_norm None, not 5.0"),
        ({}, {"lr": lr}, "lr 0.001, not 'a function'"),
    ],
)
def test_a_file_of_another_run_is_refused(X, tmp_path, config, settings, said):
    file = tmp_path / "run.npz"
    small().fit(X, **SETTINGS, checkpoint_file=file)
    before = file.read_bytes()
    model = small(**config)
    with pytest.raises(InputError, match=f"run.npz: the run in it has {said}"):
        model.fit(X, **SETTINGS | settings, checkpoint_file=file)
    assert file.read_bytes() == before
    assert not hasattr(model, "params_"), "fit raises before the model changes"


@pytest.mark.parametrize(
    ("cls", "config", "settings", "said"),
    [
        (IWAE, {"k": 3}, {}, "k 5, not 3"),
        (SemiSupervisedVAE, {"alpha": 7.0}, {}, r"alpha [\d.]+, not 7.0"),
        (VAE, {}, {"kl_cycle": 3}, "kl_cycle 0, not 3"),
    ],
)
def test_a_file_of_the_same_model_with_another_setting_is_refused(
    X, y, tmp_path, cls, config, settings, said
):
    file = tmp_path / "run.npz"
    small(cls).fit(X, y, epochs=1, checkpoint_file=file)
    with pytest.raises(InputError, match=f"run.npz: the run in it has {said}"):
        small(cls, **config).fit(X, y, epochs=1, **settings, checkpoint_file=file)


def test_a_step_size_that_is_a_function_is_no_number(X, tmp_path):
    """Of a function the file has only that it is one, so it is not held against another."""
    file = tmp_path / "run.npz"
    small().fit(X, epochs=1, lr=lr, checkpoint_file=file)
    with pytest.raises(InputError, match=r"has lr 'a function', not 0.001: continue with the same"):
        small().fit(X, epochs=2, lr=1e-3, checkpoint_file=file)
    small().fit(X, epochs=2, lr=lambda epoch: 0.01, checkpoint_file=file)


@pytest.mark.parametrize(("then", "other"), [(lr, 1e-3), (1e-3, lr)])
def test_a_file_of_an_earlier_version(X, tmp_path, then, other):
    """It has no v0, and no step size where that was a function."""
    file = tmp_path / "run.npz"
    small().fit(X, epochs=1, lr=then, checkpoint_file=file)
    meta, arrays = checkpoint.read(file)
    meta.pop("version")
    del meta["run"]["training"]["v0"]
    if callable(then):
        del meta["run"]["training"]["lr"]
    checkpoint.write(file, meta, arrays)
    with pytest.raises(InputError, match="the run in it has lr"):
        small().fit(X, epochs=2, lr=other, checkpoint_file=file)
    again = small().fit(X, epochs=2, lr=then, checkpoint_file=file)
    assert state(again) == state(small().fit(X, epochs=2, lr=then))


def test_other_data_or_another_model_is_refused(X, tmp_path):
    file = tmp_path / "run.npz"
    small().fit(X, **SETTINGS, checkpoint_file=file)
    with pytest.raises(InputError, match="trained on other data"):
        small().fit(X[::-1], **SETTINGS, checkpoint_file=file)
    with pytest.raises(InputError, match="model 'vae', not 'iwae'"):
        small(IWAE).fit(X, **SETTINGS | {"kl_warmup": 0}, checkpoint_file=file)


def test_files_that_are_no_checkpoint_of_a_run(X, tmp_path):
    file = tmp_path / "run.npz"
    file.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"run.npz is damaged|cannot be read|not a readable"):
        small().fit(X, **SETTINGS, checkpoint_file=file)
    assert file.read_bytes() == b"PK"
    file.unlink()
    small().fit(X, epochs=1).save(file)
    for run, kind in (({}, "a saved model"), ({"step": 7}, "a checkpoint of the command train")):
        small().fit(X, epochs=1).save(file, run=run)
        said = f"run.npz is {kind}, not the state of a run from Python: name another file$"
        with pytest.raises(CheckpointError, match=said):
            small().fit(X, epochs=1, checkpoint_file=file)
    with pytest.raises(InputError, match=r"the checkpoint file .*run.pt must end in .npz"):
        small().fit(X, checkpoint_file=tmp_path / "run.pt")
    with pytest.raises(InputError, match="a function cannot be saved as the hyper-parameter lr"):
        small(lr=lr).fit(X, checkpoint_file=tmp_path / "other.npz")


def damage(meta, arrays, part):
    """Damage the last array, or a number, or leave an array out, or change the history."""
    if part == "step":
        meta["run"]["step"] = 99
    elif part == "history":
        meta["history"][-1]["rec"] = "x"
    elif part == "absent":
        del arrays["param/head_W"]
    else:
        arrays[part] = np.full_like(arrays[part], np.nan)


@pytest.mark.parametrize(
    "part", [None, "step", "history", "absent", "adam_m", "adam_v", "sums", "param/head_W"]
)
def test_a_refused_file_changes_nothing(X, tmp_path, part):
    """A model that was trained before keeps what it learned, and its history."""
    file = tmp_path / "run.npz"
    Trainer(small().build_from(X), X, checkpoint_file=file).run(2)
    meta, arrays = checkpoint.read(file)
    meta.pop("version")
    if part:
        damage(meta, arrays, part)
        checkpoint.write(file, meta, arrays)
    fitted = small().fit(X, epochs=3)
    learned, history = state(fitted), fitted.history_
    with pytest.raises(InputError, match=r"run\.npz") as refused:
        Trainer(fitted, X if part else X[::-1], checkpoint_file=file)
    assert ("trained on other data" in str(refused.value)) == (part is None)
    assert state(fitted) == learned
    assert fitted.history_ is history


def test_no_array_is_loaded_unless_all_fit(X):
    trainer = Trainer(small().build_from(X), X)
    own = trainer.state()[1]
    arrays = {name: np.ones_like(a) for name, a in own.items()} | {"sums": np.full(4, np.nan)}
    with pytest.raises(InputError, match="no valid sums"):
        trainer.resume({"rows": len(X), "step": 0}, arrays)
    assert not any(a.any() for a in own.values())


def test_python_users_are_told_of_no_option_of_the_command(X, tmp_path):
    file = tmp_path / "run.npz"
    small().fit(X, epochs=1, checkpoint_file=file)
    with pytest.raises(InputError, match="trained on 54 examples, but the data now hold 53") as e:
        small().fit(X[1:], epochs=1, checkpoint_file=file)
    assert "--" not in str(e.value)


def test_a_full_disk_does_not_end_the_run(X, tmp_path, monkeypatch, capsys):
    """A warning for the first write that fails; the run ends as if nothing had been."""
    straight = small().fit(X, **SETTINGS)
    file, saved, original = tmp_path / "run.npz", [], atomic.os.fsync
    full = OSError(errno.ENOSPC, "No space left on device")

    def fsync(handle):
        if len(saved) == 2:  # the first write, and that of the first epoch
            raise full
        return original(handle)

    def count(trainer, record):
        saved.append(load_model(file).history_)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    model = small().fit(X, **SETTINGS | {"epochs": 3}, callbacks=count, checkpoint_file=file)
    assert [len(history) for history in saved] == [0, 1, 1]
    assert len(load_model(file).history_) == 3, "there is space again"
    err = capsys.readouterr().err
    step = 2 * STEPS
    assert err == (
        f"scratchvae: warning: step {step} cannot be saved (No space left on device): {file} is "
        f"the last good checkpoint, of step {STEPS}; the run continues\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]
    again = small().fit(X, **SETTINGS, checkpoint_file=file)
    assert len(model.history_) == 3
    assert state(again) == state(straight)


def test_a_disk_that_is_full_again_is_told_again(X, tmp_path, monkeypatch, capsys):
    """A file that is older than the run is never left without a word."""
    file, told = tmp_path / "run.npz", []
    trainer = Trainer(small().build_from(X), X, checkpoint_file=file)
    full = OSError(errno.ENOSPC, "No space left on device")
    for nth in (1, 9, 1):  # of the writes: the first one fails, or none
        with monkeypatch.context() as patch:
            hook(patch, atomic.os, "replace", full, nth)
            trainer.run(trainer.epoch + 1)
        told.append("cannot be saved" in capsys.readouterr().err)
    assert told == [True, False, True]


def test_a_disk_that_stays_full_is_told_once(X, tmp_path, monkeypatch, capsys):
    file = tmp_path / "run.npz"
    small().fit(X, **SETTINGS | {"epochs": 1}, checkpoint_file=file)
    before = file.read_bytes()

    def fsync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    model = small().fit(X, **SETTINGS, checkpoint_file=file)
    assert len(model.history_) == EPOCHS
    (line,) = capsys.readouterr().err.splitlines()
    assert f"step {2 * STEPS} cannot be saved" in line
    assert f"of step {STEPS};" in line
    assert file.read_bytes() == before
    with pytest.raises(OSError, match="No space left on device"):
        small().fit(X, **SETTINGS, checkpoint_file=tmp_path / "new.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("name", ["adam_m", "sums", "param/head_W"])
def test_a_damaged_array_is_refused(X, tmp_path, name):
    file = tmp_path / "run.npz"
    small().fit(X, **SETTINGS, checkpoint_file=file)
    meta, arrays = checkpoint.read(file)
    meta.pop("version")
    assert name in arrays
    checkpoint.write(file, meta, arrays | {name: np.full_like(arrays[name], np.nan)})
    with pytest.raises(CheckpointError, match=f"run.npz: the checkpoint holds no valid {name}"):
        small().fit(X, **SETTINGS, checkpoint_file=file)


def test_a_forged_number_is_refused(X, tmp_path):
    file = tmp_path / "run.npz"
    small().fit(X, **SETTINGS, checkpoint_file=file)
    meta, arrays = checkpoint.read(file)
    meta.pop("version")
    for key, value in (
        ("earlier", -1),
        ("earlier", 2),
        ("step", 3),
        ("step", "x"),
        ("training", 3),
    ):
        checkpoint.write(file, meta | {"run": meta["run"] | {key: value}}, arrays)
        with pytest.raises(CheckpointError, match=r"run\.npz"):
            small().fit(X, **SETTINGS, checkpoint_file=file)


def test_it_may_move_to_another_device(X, tmp_path):
    """The device is no setting of the run; here the file says another one than the model."""
    file = tmp_path / "run.npz"
    straight = small().fit(X, **SETTINGS, checkpoint_file=file)
    meta, arrays = checkpoint.read(file)
    meta.pop("version")
    checkpoint.write(file, meta | {"config": meta["config"] | {"device": "cuda"}}, arrays)
    assert state(small().fit(X, **SETTINGS, checkpoint_file=file)) == state(straight)


def test_on_every_device(xp, X, tmp_path, monkeypatch):
    config = {"device": "cpu" if xp is np else "cuda"}
    settings = SETTINGS | {"cuda_graphs": False}  # the steps of a graph cannot be interrupted here
    straight = small(**config).fit(X, **settings)
    for step in (STEPS + 2, 2 * STEPS + 3):
        interrupt(monkeypatch, step, Killed())
        with pytest.raises(Killed):
            small(**config).fit(X, **settings, checkpoint_file=tmp_path / "run.npz")
    again = small(**config).fit(X, **settings, checkpoint_file=tmp_path / "run.npz")
    assert state(again) == state(straight)


def test_several_processes_are_refused(X, tmp_path):
    """Each would write the file."""
    with pytest.raises(InputError, match="checkpoint_file is for one process"):
        ParallelTrainer(None, small().build_from(X), X, checkpoint_file=tmp_path / "run.npz")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_written_last(X, tmp_path):
    """So what a callback keeps of an epoch is there before the epoch counts as complete."""
    file, seen = tmp_path / "run.npz", []

    def look(trainer, record):
        seen.append((record["epoch"], len(load_model(file).history_)))

    small().fit(X, **SETTINGS, checkpoint_file=file, callbacks=look)
    assert seen == [(n, n - 1) for n in range(1, EPOCHS + 1)]
