"""A run that continues another: on data that moved, by --resume auto, or by --init-from."""

import json
from functools import wraps

import numpy as np
import pytest
from support.command_line import go_on, refused
from support.interruptions import Killed, interrupt, killed
from support.run_folders import contents, forge, metrics, same

from scratchvae import VAE, cli, load_model
from scratchvae.cli import train as training
from scratchvae.cli.settings import KEPT_BY_INIT_FROM, of_run
from scratchvae.files import run_folder as runs
from scratchvae.files.atomic import alone_in
from scratchvae.models.load import load

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL = ("--latent-dim", "2", "--hidden", "8", "--batch-size", "8")


def said(capsys):
    """What was printed since the last call."""
    out, err = capsys.readouterr()
    assert err == ""
    return out


# -------------------------------------------------------------------------------- data that moved


@pytest.fixture
def moved(train_run, image_file, tmp_path, monkeypatch, capsys):
    """A run that was stopped, whose data file is in another folder now."""
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train_run("moved")
    (tmp_path / "elsewhere").mkdir()
    capsys.readouterr()
    return folder, image_file, image_file.rename(tmp_path / "elsewhere" / "renamed.npz")


def test_a_run_says_that_its_data_are_gone(moved, capsys):
    folder, old, _ = moved
    before = contents(folder)
    words = f"was trained on {old}, which is gone: if it moved, add --data and its new path"
    refused(capsys, ["train", "--resume", "--out", folder], words)
    for command in ("evaluate", "anomaly", "reconstruct"):
        refused(capsys, [command, folder], words)
    assert contents(folder) == before


def test_it_goes_on_with_the_data_in_their_new_place(moved, train_run, capsys):
    folder, old, new = moved
    argv = ["train", "--resume", "--out", str(folder), "--data", str(new)]
    assert cli.main(argv) == 0
    assert f"{new} holds the data of the run (same SHA-256)" in said(capsys)
    assert json.loads((folder / "config.json").read_text())["data"] == str(new)
    assert of_run(folder, load(folder))["data"] == str(new)
    assert cli.main(["evaluate", str(folder)]) == 0
    assert "test split of renamed.npz" in said(capsys)
    new.rename(old)
    straight = train_run("straight")[1]
    np.testing.assert_array_equal(
        load_model(straight).params_.array, load_model(folder).params_.array
    )
    assert go_on(folder, "--epochs", "4", "--data", str(old)) == 0, "and back again"


def test_nothing_is_said_of_data_that_did_not_move(train_run, image_file, monkeypatch, capsys):
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train_run("a")
    capsys.readouterr()
    assert cli.main(["train", "--resume", "--out", str(folder), "--data", str(image_file)]) == 0
    assert "the data of the run" not in said(capsys)


def test_other_data_are_refused(moved, capsys):
    folder, _, new = moved
    before = contents(folder)
    with np.load(new) as content:
        X, y = content["X"], content["y"]
    hash_of_run = load(folder).run["data"][:12]
    argv = ["train", "--resume", "--out", folder, "--data", new]
    for X_now, words in (
        (X[::-1], ("other data", f"SHA-256 '{hash_of_run}'...", "not '", "same data")),
        (X[:50], ("trained on 54 examples", "now hold 45", "--init-from")),
        (X[:, :3], ("rows of shape (4, 4)", "(3, 4)")),
    ):
        np.savez(new, X=X_now, y=y[: len(X_now)])
        refused(capsys, argv, *words)
    refused(capsys, [*argv[:-1], "strokes"], "(4, 4)", "(28, 28)")
    refused(
        capsys,
        [*argv[:-1], folder / "none.npz"],
        "there is no file or folder",
        "none.npz: check the path",
    )
    assert contents(folder) == before


def test_the_first_format_cannot_show_that_data_are_the_same(moved, capsys):
    folder, _, new = moved

    def older(meta):
        meta["version"] = 1
        del meta["run"]["data"]

    forge(folder / runs.NEWEST, older)
    argv = ["train", "--resume", "--out", folder, "--data", new]
    refused(capsys, argv, "kept no hash of the data", "leave --data out")


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_binary_pixels_of_an_earlier_format_were_others(binarize, train_run, monkeypatch, capsys):
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    _, folder = train_run("a", "--binarize", binarize)
    path = folder / runs.NEWEST
    today = path.read_bytes()

    def older(meta):
        meta["version"] = 3
        meta["run"]["settings"]["binarize"] = binarize

    forge(path, older)
    before = contents(folder)
    words = f"{path} is from an earlier version, which drew the pixels of --binarize {binarize}"
    refused(capsys, ["train", "--resume", "--out", folder], words, "or train again")
    assert contents(folder) == before
    assert cli.main(["sample", str(folder), "-o", str(folder / "s.npy")]) == 0, "it is still read"
    path.write_bytes(today)
    assert go_on(folder) == 0


# ----------------------------------------------------------------------------------- --resume auto


def test_auto_begins_goes_on_and_stops(train_run, monkeypatch, capsys):
    _, straight = train_run("straight")
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    capsys.readouterr()
    assert train_run("night", "--resume", "auto")[0] == 130
    code, folder = train_run("night", "--resume", "auto")
    assert code == 0
    same(straight, folder)
    assert "resuming" not in capsys.readouterr().out, "of --quiet"
    before = contents(folder)
    assert train_run("night", "--resume=auto")[0] == 0
    assert contents(folder) == before
    assert said(capsys) == ""
    assert cli.main(["train", "--out", str(folder), "--resume", "auto"]) == 0
    assert said(capsys) == f"{folder} is finished: nothing is left to do\n"
    refused(capsys, ["train", "--out", folder, "--resume"], "already finished 3 epochs")
    assert contents(folder) == before
    assert cli.main(["train", "--out", str(folder), "--resume", "auto", "--epochs", "4"]) == 0
    assert f"resuming from {folder}" in said(capsys)
    assert len(metrics(folder)) == 4


def test_auto_refuses_other_data_of_a_finished_run(train_run, image_file, capsys):
    """A job that went on saying "finished" would never learn from data that grew."""
    _, folder = train_run("a")
    argv = ["train", "--out", folder, "--resume", "auto"]
    with np.load(image_file) as content:
        X, y = content["X"], content["y"]
    np.savez(image_file, X=np.concatenate((X, X)), y=np.concatenate((y, y)))
    refused(capsys, argv, "trained on 54 examples", "now hold 108", "--init-from")
    image_file.write_bytes(b"half written")
    refused(capsys, argv, "damaged")
    image_file.unlink()
    refused(capsys, argv, "which is gone")


def test_auto_knows_that_early_stopping_has_ended_a_run(train_run, capsys):
    options = ("--patience", "1", "--epochs", "200", "--lr", "0.3")
    _, folder = train_run("a", *options)
    epochs, before = len(metrics(folder)), contents(folder)
    assert epochs < 200
    assert cli.main(["train", "--out", str(folder), "--resume", "auto"]) == 0
    assert said(capsys) == f"{folder} is finished: nothing is left to do\n"
    assert contents(folder) == before
    assert train_run("a", *options, "--resume", "auto", "--patience", str(epochs))[0] == 0
    assert len(metrics(folder)) > epochs
    refused(capsys, ["train", "--out", folder, "--resume", "auto", "--patience", "0"], "patience")


def test_within_an_epoch_early_stopping_has_not_ended_a_run(train_run, tmp_path, monkeypatch):
    interrupt(monkeypatch, 13, Killed())
    killed(train_run, "--checkpoint-every", "2")
    folder = tmp_path / "b"
    loaded = load(folder)
    assert loaded.run["step"] > loaded.model.history_[-1]["step"]
    loaded.model.history_.append(loaded.model.history_[-1] | {"test_loss": 1e9})
    assert not training._is_over(loaded, {"epochs": 3, "patience": 1})
    loaded.model.history_[-1]["step"] = loaded.run["step"]
    assert training._is_over(loaded, {"epochs": 3, "patience": 1})
    assert not training._is_over(loaded, {"epochs": 3, "patience": None})


def test_auto_draws_what_is_missing(train_run, capsys):
    _, folder = train_run("a")
    (folder / runs.INDEX).unlink()
    assert train_run("a", "--resume", "auto")[0] == 0
    assert (folder / runs.INDEX).exists()


def test_auto_replaces_nothing(train_run, tmp_path, capsys):
    _, folder = train_run("a")
    before = contents(folder)
    assert train_run("a", "--resume", "auto", "--seed", "5")[0] == 2
    assert "was trained with --seed 0" in capsys.readouterr().err
    with alone_in(folder):
        argv = ["train", "--out", folder, "--resume", "auto", "--epochs", "9"]
        refused(capsys, argv, "another process is training in")
    assert contents(folder) == before
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.csv").write_text("mine")
    assert train_run("b", "--resume", "auto")[0] == 2
    assert "already holds files that a run would replace" in capsys.readouterr().err
    assert contents(tmp_path / "b") == {"metrics.csv": b"mine"}
    refused(capsys, ["train", "--resume", "always"], "--resume", "invalid choice: 'always'")
    refused(capsys, ["train", "--resume", "auto", "--overwrite"], "not allowed with")
    for name in ("checkpoint.npz", "best.npz"):
        (folder / name).write_bytes(b"")
    for path in folder.glob("checkpoint-*"):
        path.write_bytes(b"")
    before = contents(folder)
    assert train_run("a", "--resume", "auto")[0] == 2
    assert "start again with --overwrite" in capsys.readouterr().err
    assert contents(folder) == before


# ------------------------------------------------------------------------------------- --init-from


def test_a_warm_start_begins_with_the_parameters_of_another_run(
    train_run, image_file, tmp_path, monkeypatch, capsys
):
    _, first = train_run("first", "--beta", "2")
    kept = contents(first)
    with np.load(image_file) as content:
        X, y = content["X"], content["y"]
    np.savez(tmp_path / "grown.npz", X=np.concatenate((X, X[::2] // 2)), y=np.append(y, y[::2]))
    second = tmp_path / "second"
    began = []
    run = training.Trainer.run

    @wraps(run)
    def watched(trainer, *args, **named):
        began.append((trainer.model.params_.array.copy(), trainer.step, trainer.epoch))
        run(trainer, *args, **named)

    monkeypatch.setattr(training.Trainer, "run", watched)
    argv = ["train", "--init-from", str(first), "--out", str(second), "--epochs", "2"]
    assert cli.main([*argv, "--data", str(tmp_path / "grown.npz"), "--lr", "0.01"]) == 0
    ((parameters, step, epoch),) = began
    np.testing.assert_array_equal(parameters, load_model(first).params_.array)
    assert (step, epoch) == (0, 0)
    assert contents(first) == kept
    steps = load(first).run["step"]
    assert f"starting from the parameters of {first} after step {steps}\n" in said(capsys)
    settings = of_run(second, load(second))
    model = load_model(second)
    assert (model.beta, model.latent_dim, model.lr, len(model.history_)) == (2, 2, 0.01, 2)
    page = (second / "index.html").read_text()
    for about in (settings, json.loads((second / "config.json").read_text())):
        assert (about["init_from"], about["init_steps"]) == (str(first), steps)
        assert about["data"] == str(tmp_path / "grown.npz")
    assert f"<td>{first}</td>" in page
    assert f">init_steps</th><td>{steps}</td>" in page
    assert load(first).run["rows"] < load(second).run["rows"]


def test_a_warm_start_goes_on_to_the_same_end(train_run, tmp_path, monkeypatch, capsys):
    _, first = train_run("first")
    monkeypatch.chdir(tmp_path)
    again = ("--init-from", "first", "--seed", "1")
    _, straight = train_run("straight", *again)
    interrupt(monkeypatch, 9, KeyboardInterrupt())
    assert train_run("night", *again, "--resume", "auto")[0] == 130
    first.rename(tmp_path / "gone")
    code, folder = train_run("night", *again, "--resume", "auto")
    assert code == 0
    same(straight, folder)
    capsys.readouterr()
    assert train_run("night", *again[:1], "other", "--resume", "auto", "--epochs", "9")[0] == 2
    assert f"was trained with --init-from {first}, so it cannot resume" in capsys.readouterr().err
    assert train_run("gone", "--init-from", "other", "--resume", "auto", "--epochs", "9")[0] == 2
    assert "was trained without --init-from, so it cannot" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
def test_a_warm_start_from_a_saved_model(name, image_file, tmp_path, rng, capsys):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    vae = VAE(latent_dim=2, hidden=(8,), beta=3, seed=4).fit(rng.random((20, 16)), epochs=2)
    vae.save(tmp_path / name)
    argv = ["train", "--data", str(image_file), "--init-from", str(tmp_path / name)]
    assert cli.main([*argv, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert f"the parameters of {tmp_path / name}" in said(capsys)
    settings = of_run(tmp_path / "run", load(tmp_path / "run"))
    steps = 2 if name == "m.npz" else None
    assert (settings["init_steps"], settings["beta"], settings["seed"]) == (steps, 3, 4)


def test_a_warm_start_keeps_the_scale_of_its_parameters(tmp_path):
    rng = np.random.default_rng(0)
    vae = VAE(latent_dim=1, hidden=(4,), likelihood="gaussian", scale="standard")
    X = 5 + 3 * rng.standard_normal((40, 6))
    vae.fit(X, epochs=1).save(tmp_path / "m.npz")
    np.save(tmp_path / "grown.npy", np.concatenate((X, X + 100)))
    argv = ["train", "--data", str(tmp_path / "grown.npy"), "--init-from", str(tmp_path / "m.npz")]
    assert cli.main([*argv, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert load_model(tmp_path / "run").rows_ == vae.rows_


def test_the_objective_of_a_warm_start_may_change(train_run, tmp_path):
    _, first = train_run("first", "--model", "iwae", "--k", "3")
    options = ("--model", "iwae", "--k", "5", "--dreg", "--batch-size", "9")
    code, second = train_run("second", *options, "--init-from", str(first))
    assert code == 0
    assert (load_model(second).k, load_model(second).dreg) == (5, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--latent-dim 3", ["was trained with --latent-dim 2", "cannot use 3"]),
        ("--hidden 8,4", ["--hidden (8,)", "cannot use (8, 4)", "leave out --hidden"]),
        ("--model m2", ["--model vae", "cannot use m2"]),
        ("--model ae --beta 1", ["--model vae"]),
        ("--activation tanh", ["--activation relu"]),
        ("--likelihood gaussian", ["--likelihood bernoulli"]),
        ("--init glorot", ["--init uniform"]),
        ("--bias-from-data", ["--bias-from-data False"]),
        ("--k 3", ["--k does not apply to --model vae"]),
        ("--beta -1", ["beta"]),
        ("--epochs 0", ["--epochs"]),
        ("--data strokes", ["(4, 4)", "(28, 28)"]),
    ],
)
def test_a_warm_start_that_does_not_fit_writes_nothing(options, words, train_run, tmp_path, capsys):
    _, first = train_run("first")
    before = contents(first)
    argv = ["train", "--init-from", first, "--out", tmp_path / "second", *options.split()]
    refused(capsys, argv, *words)
    assert contents(first) == before
    assert not (tmp_path / "second").exists()


def test_a_warm_start_refuses_what_is_not_there(train_run, image_file, tmp_path, capsys):
    _, first = train_run("first")
    before = contents(first)
    refused(capsys, ["train", "--init-from", first], "name its folder with --out")
    refused(capsys, ["train", "--init-from", first, "--out", first], "already holds a run")
    argv = ["train", "--out", tmp_path / "second", "--init-from"]
    refused(capsys, [*argv, tmp_path / "none"], "there is no run or saved model")
    refused(capsys, [*argv, image_file], "not a readable checkpoint")
    image_file.unlink()
    refused(capsys, [*argv, first], f"{first} was trained on", "which is gone")
    forge(first / runs.NEWEST, lambda meta: meta["run"].update(step="x"))
    refused(capsys, [*argv, first], "the step of", "got 'x'")
    assert contents(first) | {runs.NEWEST: 0} == before | {runs.NEWEST: 0}
    assert not (tmp_path / "second").exists()


def test_every_setting_of_the_parameters_is_one_of_the_models():
    assert {"model", *VAE().get_params()} >= set(KEPT_BY_INIT_FROM)
