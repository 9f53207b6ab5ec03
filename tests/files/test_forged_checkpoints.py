"""Forged checkpoints: refused in one sentence, before memory is allocated."""

import os
import tracemalloc
import warnings

import numpy as np
import pytest
from support.command_line import go_on
from support.run_folders import forge, metrics_but_seconds

from scratchvae import VAE, CheckpointError, ConditionalVAE, DataError, cli, load_data, load_model
from scratchvae.cli.settings import of_run
from scratchvae.models.load import load


@pytest.fixture
def run(train_run):
    return train_run("a")[1] / "checkpoint.npz"


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
        ("data", "\ud800"), ("leave_out", ["\ud800"]),
    ],
)  # fmt: skip
def test_forged_settings(run, capsys, name, value):
    forge(run, lambda m: m["run"]["settings"].update({name: value}))
    with pytest.raises(CheckpointError, match=f"an invalid setting '{name}'"):
        of_run(run, load(run))
    for argv in (["evaluate", run.parent], ["train", "--resume", "--out", run.parent]):
        assert cli.main([str(a) for a in argv]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m["run"].update(step=2),
            "is inconsistent: 2 steps do not fit 3 complete epochs",
        ),
        (
            lambda m: m["run"].update(step=29),
            "is inconsistent: 29 steps do not fit 3 complete epochs",
        ),
        (lambda m: m["run"].update(step="x"), "must be a whole number"),
        (lambda m: m["run"].pop("step"), "must be a whole number"),
        (lambda m: m["run"].update(data="0"), "trained on other data"),
        (lambda m: m["run"].pop("settings"), "lacks the settings"),
        (lambda m: m["run"]["settings"].update(batch_size=0), "batch_size"),
        (lambda m: m["run"]["settings"].update(data="/nonexistent.npz"), "npz, which is gone"),
        (lambda m: m["run"]["settings"].update(data="/\x1b.npz"), "/\\x1b.npz, which is gone"),
        (lambda m: m["run"].update(version="x", data="0"), "trained on other data"),
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
    with pytest.raises(CheckpointError, match="holds an unknown array other"):
        load(run)
    np.savez_compressed(run, **arrays)
    with pytest.raises(CheckpointError, match="compressed"):
        load(run)


def test_a_warning_is_a_warning_in_python(run):
    run.unlink()
    run.write_bytes(b"PK")
    with pytest.warns(UserWarning, match=r"damaged.*best.npz is used instead") as told:
        assert len(load_model(run.parent).history_) == 3
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(run.parent / "best.npz")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = VAE(latent_dim=2, hidden=(3,)).fit(np.random.default_rng(0).random((20, 9)), epochs=2)
    for name in "ab":
        model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


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
    with pytest.raises(CheckpointError, match=f"{name} has the wrong dtype or number of dim"):
        load(run)


def test_what_is_called_metrics_may_be_a_pipe(train_run, tmp_path):
    _, folder = train_run("a")
    (folder / "metrics.csv").unlink()
    os.mkfifo(folder / "metrics.csv")
    assert go_on(folder, "--epochs", "4") == 0
    assert len(metrics_but_seconds(folder)) == 4


def test_a_stranger_s_words_are_shown_and_not_obeyed(run, tmp_path):
    with np.load(run) as content:
        arrays = dict(content)
    run.unlink()
    many = {f"\x1b[31m{'x' * 200}{i}\n": np.zeros(1) for i in range(100)}
    np.savez(run, **arrays, **many)
    with pytest.raises(CheckpointError, match=r"holds an unknown array \\x1b\[31mx") as error:
        load(run)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000
    path = tmp_path / "m.npz"
    ConditionalVAE(latent_dim=2, hidden=(3,)).build(9, ["a", "b"]).save(path)
    forge(path, lambda m: m.update(classes=["a", "\ud800"]))
    with pytest.raises(CheckpointError, match="not valid Unicode"):
        load_model(path)
    with pytest.raises(DataError, match=r"there is no file .*\\x1b"):
        load_data(tmp_path / "\x1b.npz")
