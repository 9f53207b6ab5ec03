"""The command line: files, output and errors."""

import argparse
import contextlib
import importlib
import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from support.command_line import refused
from support.idx_files import write_set
from support.interruptions import training_process
from support.run_folders import contents, metrics

import scratchvae
import scratchvae.cli.parser
from scratchvae import cli, load_model
from scratchvae.cli.settings import DEFAULTS, TRAINING, model_config
from scratchvae.models import MODELS
from scratchvae.pictures import gallery
from scratchvae.train import COLUMNS, Trainer

pytestmark = pytest.mark.usefixtures("no_pictures")
LEAVE = gallery.leave


@pytest.fixture
def pictures(monkeypatch, no_pictures):
    """Runs leave them after all."""
    monkeypatch.setattr(gallery, "leave", LEAVE)


@pytest.fixture
def images(tmp_path):
    """A file of 60 images of 4 x 4 pixels, with labels."""
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, X=rng.integers(0, 256, (60, 4, 4)).astype(np.uint8), y=rng.integers(0, 3, 60))
    return path


@pytest.fixture
def train(images, tmp_path):
    """Train a small model by the command line; returns the exit code and the folder."""

    def run(*options, out="run"):
        folder = tmp_path / out
        small = ("--latent-dim", "2", "--hidden", "8", "--epochs", "2", "--batch-size", "16")
        return cli.main(
            ["train", "--data", str(images), *small, "--out", str(folder), *options]
        ), folder

    return run


def test_train_leaves_a_run_in_its_folder(train, pictures, capsys):
    code, folder = train()
    assert code == 0
    assert set(contents(folder)) == {
        *("checkpoint.npz", "checkpoint-00000004.npz", "best.npz"),
        *("metrics.csv", "config.json", "index.html", "training.gif"),
        *("loss.png", "reconstructions.png", "samples.png", "unit_kl.png", "latent.png"),
        *("manifold.png", "interpolations.png"),  # and no traversals: no unit is active
    }
    rows = metrics(folder)
    assert tuple(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["step"] for row in rows] == ["4", "8"]
    for row in rows:
        assert float(row["test_loss"]) == pytest.approx(
            float(row["rec"]) + float(row["kl"]), abs=1e-5
        )
    kept = load_model(folder).history_[1]["test_loss"]
    assert float(rows[1]["test_loss"]) == pytest.approx(kept, abs=1e-6)
    config = json.loads((folder / "config.json").read_text())
    assert config["latent_dim"] == 2
    assert config["scratchvae"] == scratchvae.__version__
    out, _ = capsys.readouterr()
    assert "ELBO" in out
    assert "nats per example" in out
    assert str(folder) in out
    assert "samples.png" in out


def test_the_metrics_are_what_evaluate_says(train, capsys):
    _, folder = train("--beta", "2", "--binarize", "static")
    last = metrics(folder)[-1]
    loss = float(last["rec"]) + 2 * float(last["kl"])
    assert float(last["test_loss"]) == pytest.approx(loss, abs=1e-5)
    capsys.readouterr()
    assert cli.main(["evaluate", str(folder)]) == 0
    out, _ = capsys.readouterr()
    assert f"{float(last['rec']):.2f}" in out
    assert f"{-float(last['rec']) - float(last['kl']):.2f}" in out
    assert "6 examples" in out
    assert "binarised once" in out


def test_the_latent_plane_shows_the_means(train, pictures, monkeypatch):
    from scratchvae.data import load as data
    from scratchvae.pictures import plots

    shown = []
    original = plots.latent_plane
    monkeypatch.setattr(plots, "latent_plane", lambda z, *a: (shown.append(z), original(z, *a))[1])
    _, folder = train()
    config = json.loads((folder / "config.json").read_text())
    mu, _ = load_model(folder).encode(data.load_data(config["data"], "test")[0])
    np.testing.assert_array_equal(shown[0], mu)


def test_the_card_says_what_the_pixels_are(train, capsys):
    for options, said in (
        ((), "grey, in [0, 1]"),
        (("--binarize", "static"), "training also used one binary version"),
        (("--binarize", "dynamic"), "training used a new binary version each step"),
        (("--likelihood", "gaussian"), "real numbers"),
    ):
        _, folder = train(*options, "--overwrite")
        capsys.readouterr()
        cli.main(["evaluate", str(folder)])
        assert said in capsys.readouterr().out


def test_evaluate_remembers_where_the_data_lie(tmp_path, capsys):
    write_set(tmp_path / "set", n=20)
    write_set(tmp_path / "set", n=6, split="test")
    argv = ["train", "--data", "mnist", "--data-dir", str(tmp_path / "set"), "--epochs", "1"]
    assert (
        cli.main([*argv, "--latent-dim", "2", "--hidden", "4", "--out", str(tmp_path / "run")]) == 0
    )
    capsys.readouterr()
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0
    assert "6 examples" in capsys.readouterr().out
    write_set(tmp_path / "other", n=20)
    write_set(tmp_path / "other", n=5, split="test")
    other = ["--data-dir", str(tmp_path / "other")]
    assert cli.main(["evaluate", str(tmp_path / "run"), *other]) == 0
    assert "test split of mnist, 5 examples" in capsys.readouterr().out
    resumed = ["train", "--resume", "--epochs", "2", "--out", str(tmp_path / "run")]
    refused(capsys, [*resumed, *other], "trained on other data")
    assert cli.main(resumed) == 0


def test_quiet_prints_nothing(train, pictures, capsys):
    code, _ = train("--quiet")
    assert code == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


def test_a_folder_that_holds_a_run_is_not_touched(train, capsys, images):
    _, folder = train()
    before = contents(folder)
    refused(
        capsys, ["train", "--data", images, "--out", folder], "already holds a run", "--overwrite"
    )
    refused(capsys, ["train", "--data", "nothing.npy", "--out", folder, "--overwrite"], "no file")
    refused(
        capsys,
        ["train", "--data", images, "--out", folder, "--overwrite", "--latent-dim", "0"],
        "latent_dim",
    )
    refused(capsys, ["train", "--data", images, "--out", folder, "--resume", "--lr", "3"], "--lr")
    refused(
        capsys, ["train", "--data", images, "--out", folder, "--resume"], "pass a larger --epochs"
    )
    assert contents(folder) == before


def test_a_run_is_replaced_only_when_there_is_something_to_replace_it_with(train, capsys):
    _, folder = train()
    before = contents(folder)
    capsys.readouterr()
    code, _ = train("--overwrite", "--lr", "1e30", "--quiet")
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert contents(folder) == before


def test_a_run_that_fails_at_once_leaves_no_folder(train):
    code, folder = train("--lr", "1e30")
    assert code == 2
    assert not folder.exists()


def test_resume_names_the_data_and_finds_them_from_anywhere(train, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--data", "images.npz", "--epochs", "1", "--out", "run"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    argv = ["train", "--resume", "--epochs", "2", "--patience", "3", "--out", str(tmp_path / "run")]
    assert cli.main(argv) == 0
    out, _ = capsys.readouterr()
    assert "test examples of images" in out
    assert "test split of images" in out
    assert "strokes" not in out


def test_an_option_that_a_model_would_ignore_is_refused(train, capsys):
    capsys.readouterr()
    code, folder = train("--model", "ae", "--beta", "4")
    assert code == 2
    assert "--beta does not apply to --model ae" in capsys.readouterr().err
    assert not folder.exists()
    assert train("--model", "ae")[0] == 0


def test_overwrite_replaces_the_run_and_nothing_else(train, pictures):
    _, folder = train("--seed", "1")
    (folder / "notes.txt").write_text("mine")
    code, _ = train("--overwrite", "--seed", "2", "--latent-dim", "3")
    assert code == 0
    assert (folder / "notes.txt").read_text() == "mine"
    assert load_model(folder).seed == 2
    assert not (folder / "latent.png").exists(), "that picture was of the old run"


def test_resume_goes_on_to_the_same_end(train):
    _, straight = train("--epochs", "5", out="straight")
    train("--epochs", "2")
    code, folder = train("--epochs", "5", "--resume")
    assert code == 0
    a, b = load_model(straight), load_model(folder)
    np.testing.assert_array_equal(a.params_.array, b.params_.array)
    rows = [metrics(f) for f in (straight, folder)]
    for one, two in zip(*rows, strict=True):
        assert {**one, "seconds": ""} == {**two, "seconds": ""}


def test_resume_refuses_other_data_and_no_run(train, capsys, tmp_path):
    _, folder = train()
    refused(capsys, ["train", "--resume", "--out", tmp_path / "none"], "no checkpoint to resume")
    np.savez(tmp_path / "images.npz", X=np.zeros((70, 16), dtype=np.uint8))
    before = contents(folder)
    refused(
        capsys,
        ["train", "--resume", "--out", folder, "--epochs", "9"],
        "54 examples",
        "now hold 63",
    )
    assert contents(folder) == before


def test_patience_ends_a_run_early(train):
    _, folder = train("--epochs", "200", "--patience", "2", "--lr", "0.1")
    losses = [float(r["test_loss"]) for r in metrics(folder)]
    assert len(losses) < 200
    assert min(losses) == losses[-3]


def test_sample_and_reconstruct_write_pictures_and_numbers(train, pictures, tmp_path, capsys):
    _, folder = train()
    vae = load_model(folder)
    for path in (tmp_path / "s.npy", tmp_path / "s.png", tmp_path / "s.svg"):
        assert cli.main(["sample", str(folder), "-n", "5", "--seed", "3", "-o", str(path)]) == 0
        assert path.stat().st_size > 100
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), vae.sample(5, seed=3))
    assert cli.main(["reconstruct", str(folder), "-n", "3", "-o", str(tmp_path / "r.npy")]) == 0
    assert np.load(tmp_path / "r.npy").shape == (3, 16)
    (folder / "samples.png").unlink()
    assert cli.main(["sample", str(folder)]) == 0
    assert (folder / "samples.png").exists()
    refused(capsys, ["sample", folder, "-o", tmp_path / "s.doc"], "must end in .png")
    refused(capsys, ["sample", folder, "-n", "0"], "whole number")


def test_a_bare_model_file_works_where_a_run_does(train, tmp_path, images, capsys):
    _, folder = train()
    load_model(folder).save(tmp_path / "m.npz")
    assert cli.main(["evaluate", str(tmp_path / "m.npz"), "--data", str(images)]) == 0
    refused(capsys, ["evaluate", tmp_path / "m.npz"], "name it with --data")
    refused(capsys, ["evaluate", tmp_path / "m.npz", "--data", "strokes"], "(4, 4)", "(28, 28)")


def test_evaluate_with_samples_gives_a_tighter_bound(train, capsys):
    _, folder = train()
    capsys.readouterr()
    assert cli.main(["evaluate", str(folder), "--samples", "50"]) == 0
    out, _ = capsys.readouterr()
    elbo, bound = (float(line.split("nats")[0].split()[-1]) for line in out.splitlines()[:1] * 2)
    bound = float(out.splitlines()[1].split(">=")[1].split()[0])
    assert bound > elbo
    assert "50 samples" in out


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "nist"], ["unknown data set 'nist'", "strokes"]),
        (["--data", "mnist", "--data-dir", "/nonexistent"], ["/nonexistent", "--data strokes"]),
        (["--model", "gan"], ["invalid choice: 'gan'", "vae"]),
        (["--device", "tpu"], ["unknown device 'tpu'", "cpu, cuda"]),
        (["--epochs", "many"], ["--epochs", "whole number", "'many'"]),
        (["--epochs", "0"], ["--epochs", ">= 1"]),
        (["--latent-dim", "9" * 23], ["latent_dim", "<= 2147483647"]),
        (["--data", ""], ["the name of the data set is empty"]),
        (["--lr", "x"], ["--lr", "a number is needed"]),
        (["--lr", "-1"], ["lr must be a finite number > 0"]),
        (["--hidden", "40x"], ["--hidden", "40x"]),
        (["--hidden", "0"], ["each layer width"]),
        (["--batch-size", "0"], ["batch_size"]),
        (["--patience", "0"], ["patience"]),
        (["--seed", "-1"], ["seed"]),
        (["--resume", "--overwrite"], ["not allowed with"]),
        (["--likelihood", "gaussian", "--binarize", "static"], ["binarize"]),
        (["--tint", "red"], ["unrecognized arguments: --tint red (see scratchvae train --help)"]),
        (["--learning-rate=1"], ["--learning-rate=1; did you mean --lr?"]),
        (["--num_epochs", "3"], ["--num_epochs 3; did you mean --epochs?"]),
        (["--latnt-dim", "3"], ["--latnt-dim 3; did you mean --latent-dim?"]),
        (["a.npy"], ["unrecognized arguments: a.npy; did you mean --data a.npy? (see"]),
        (["MNIST"], ["unrecognized arguments: MNIST; did you mean --data MNIST? (see"]),
        (["--size", "24", "32"], ["unrecognized arguments: 32 (see scratchvae train --help)"]),
        (["--lr", "1", "0.5"], ["unrecognized arguments: 0.5 (see scratchvae train --help)"]),
    ],
)
def test_unusable_options_write_nothing(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(capsys, ["train", *options], *words)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_command_is_guessed(capsys):
    hint = "unknown command 'trian'; did you mean train? (see scratchvae --help)"
    refused(capsys, ["trian", "--epochs", "3"], hint)
    refused(capsys, ["gan"], "invalid choice: 'gan'", "train")


def bad(a):
    return lambda path: np.save(path, a)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (bad(np.full((20, 4), np.nan)), ["NaN at row 0"]),
        (
            bad(np.arange(80.0).reshape(20, 2, 2) / [[1], [np.nan]]),
            ["NaN at row 0, position (1, 0)"],
        ),
        (
            bad(np.where(np.arange(80) == 77, np.nan, 0.5).reshape(20, 4)),
            ["NaN at row 19, column 1"],
        ),
        (bad(np.full((20, 4), 2.0)), ["[0, 1]", "2"]),
        (bad(np.zeros((20, 0))), ["0 feature(s)"]),
        (bad(np.zeros((1, 4))), ["at least two rows"]),
        (bad(np.zeros(7)), ["should hold rows"]),
        (bad(np.array(["a", "b"])), ["should hold rows"]),
        (lambda path: path.write_bytes(b"x" * 50), ["is damaged, or another kind"]),
        (lambda path: path.mkdir(), ["no file train-images-idx3-ubyte"]),
    ],
)
def test_unusable_data_write_nothing(write, words, tmp_path, capsys):
    path = tmp_path / "x.npy"
    write(path)
    out = tmp_path / "run"
    refused(capsys, ["train", "--data", path, "--out", out], *words)
    assert not out.exists()


def test_a_gpu_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    out = tmp_path / "run"
    refused(capsys, ["train", "--device", "cuda", "--out", out], "pip install 'scratchvae[cuda12]'")
    assert not out.exists()


def test_sizes_that_no_memory_holds(tmp_path, capsys, images):
    argv = ["train", "--data", images, "--latent-dim", "2000000000", "--out", tmp_path / "run"]
    refused(capsys, [*argv, "--hidden", "100000"], "not enough memory", "choose smaller sizes")
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_gpu_is_used_on_the_cpu(images, tmp_path, monkeypatch, capsys, double):
    argv = [
        "--data",
        str(images),
        "--latent-dim",
        "2",
        "--hidden",
        "4",
        "--out",
        str(tmp_path / "run"),
    ]
    assert cli.main(["train", *argv, "--epochs", "1", "--device", "cuda"]) == 0
    monkeypatch.setitem(sys.modules, "cupy", None)
    run = str(tmp_path / "run")
    refused(capsys, ["evaluate", run], "CuPy")
    assert cli.main(["evaluate", run, "--device", "cpu"]) == 0
    resumed = ["train", "--resume", "--out", run, "--epochs", "2"]
    refused(capsys, resumed, "CuPy")
    assert cli.main([*resumed, "--device", "cpu"]) == 0
    assert load_model(run).device == "cpu"


def test_missing_and_damaged_runs(tmp_path, capsys, train):
    for command in ("evaluate", "sample", "reconstruct"):
        refused(capsys, [command, tmp_path / "none"], "there is no run or saved model")
    _, folder = train()
    capsys.readouterr()
    path = folder / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:1000])
    assert cli.main(["evaluate", str(folder)]) == 0
    _, err = capsys.readouterr()
    assert err.startswith(f"scratchvae: warning: {path} is damaged")
    assert err.endswith("checkpoint-00000004.npz is used instead\n")
    for path in folder.glob("*.npz"):
        path.unlink()
        path.write_bytes(b"PK")
    for command in ("evaluate", "sample", "reconstruct"):
        refused(capsys, [command, folder], "checkpoint.npz is damaged, or another kind of file")


def test_an_output_that_cannot_be_written(tmp_path, capsys, images, train):
    _, folder = train()
    (tmp_path / "file").write_text("")
    refused(capsys, ["train", "--data", images, "--out", tmp_path / "file"], "is a file")
    refused(capsys, ["train", "--data", images, "--out", tmp_path / "file" / "x"], "file")
    refused(capsys, ["sample", folder, "-o", tmp_path / "file" / "x.png"], "file")


def test_a_nan_stops_the_run_and_keeps_the_last_checkpoint(train, capsys, monkeypatch):
    from scratchvae import ops

    original = ops.gaussian_kl
    calls = []

    def breaks_in_epoch_3(mu, logvar, *, out=None):
        calls.append(1)
        kl = original(mu, logvar, out=out)
        if len(calls) > 2 * (4 + 1) + 1:
            kl[0] = np.nan
        return kl

    monkeypatch.setattr(ops, "gaussian_kl", breaks_in_epoch_3)
    capsys.readouterr()
    code, folder = train("--epochs", "5", "--quiet")
    assert code == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "epoch 3, step " in err
    assert "kl is the first tensor" in err
    assert err.endswith("checkpoint.npz is the last good checkpoint, of step 8\n")
    assert load_model(folder).history_[-1]["epoch"] == 2
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3


def test_ctrl_c_keeps_what_was_learned(tmp_path, images):
    """A real process and a real signal; then --resume goes on."""
    folder = tmp_path / "run"
    process = training_process(images, folder)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue with --resume" in err
    assert "Traceback" not in err
    epochs = len(load_model(folder).history_)
    assert epochs >= 3
    assert len((folder / "metrics.csv").read_text().splitlines()) == epochs + 1
    resumed = cli.main(["train", "--resume", "--out", str(folder), "--epochs", str(epochs + 2)])
    assert resumed == 0
    assert len(load_model(folder).history_) == epochs + 2


def on_a_terminal(argv, stdout=True, **environment):
    """What a process writes to a terminal of 120 columns, on stderr and, if asked, on stdout.

    Returns the exit code, what the terminal got, and what stdout got where it is a pipe.
    """
    import pty
    import termios

    terminal, other_end = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | environment
    process = subprocess.Popen(
        [sys.executable, "-m", "scratchvae", *map(str, argv)],
        stdout=other_end if stdout else subprocess.PIPE, stderr=other_end, env=env,
    )  # fmt: skip
    os.close(other_end)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end was closed
        while piece := os.read(terminal, 1000):
            shown += piece
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    return process.returncode, shown.decode(), (out or b"").decode()


EVERY = {"TQDM_MININTERVAL": "0"}  # show each state of the running line, however soon it changes
COLOUR = re.compile("\x1b\\[[0-9;]*m")
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # all but the end of a line


@pytest.fixture
def training(images):
    return ["train", "--data", images, "--epochs", "6", "--hidden", "8", "--latent-dim", "3"]


def test_a_terminal_shows_a_line_that_is_written_over(training, tmp_path):
    argv = [*training, "--out", tmp_path / "a"]
    code, shown, out = on_a_terminal(argv, stdout=False, **EVERY)
    assert code == 0
    running = [line for line in shown.split("\r") if line.startswith("epoch ")]
    numbers = r"loss \d+\.\d  rec \d+\.\d  kl \d+\.\d"
    assert re.match(rf"epoch 1  {numbers}  \d+ images/s  ", running[0])
    assert re.match(rf"epoch 6  {numbers}  active \d  \d+ images/s  ", running[-1])
    assert "100% |" in running[-1]
    assert "\n" not in shown, "it stays one line"
    assert all(len(line) <= 120 for line in running)
    assert not CONTROL.search(out), "stdout was a pipe"
    last = re.findall(
        r"epoch +6/6  train +\S+  test +\S+  active +\d  rec +\S+  kl +\S+  +\S+ s  \d+ images/s\n",
        out,
    )
    assert len(last) == 1


def test_a_file_gets_no_control_characters(training, tmp_path):
    argv = [sys.executable, "-m", "scratchvae", *map(str, training), "--out", str(tmp_path / "b")]
    plain = subprocess.run(argv, capture_output=True, check=True, text=True)
    assert plain.stderr == ""
    assert "images/s" in plain.stdout
    assert not CONTROL.search(plain.stdout)


def test_colours_are_for_a_terminal_that_wants_them(training, tmp_path):
    _, shown, _ = on_a_terminal([*training, "--out", tmp_path / "a"])
    assert re.search("\x1b\\[32mtest +[0-9.]+\x1b\\[0m", shown), "the best loss so far"
    refused = [*training, "--out", tmp_path / "a"]  # at once, in red where there are colours
    for plain in ({"NO_COLOR": "1"}, {"NO_COLOR": "no"}, {"TERM": "dumb"}):
        _, shown, _ = on_a_terminal(refused, **plain)
        assert "already holds a run" in shown
        assert not COLOUR.search(shown), plain
    _, shown, _ = on_a_terminal(refused, NO_COLOR="")
    assert COLOUR.search(shown), "the variable counts where it is not empty"
    _, shown, _ = on_a_terminal([*training, "--out", tmp_path / "b"], NO_COLOR="1")
    assert "images/s" in shown
    assert not COLOUR.search(shown)


def test_quiet_is_quiet_on_a_terminal_too(training, tmp_path):
    assert on_a_terminal([*training, "--out", tmp_path / "a", "--quiet"]) == (0, "", "")
    code, shown, _ = on_a_terminal([*training, "--out", tmp_path / "a", "--quiet"])
    assert code == 2
    assert shown.startswith("scratchvae: \x1b[31merror:\x1b[0m ")
    assert shown.count("\n") == 1


def test_verdicts_are_coloured_on_a_terminal(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n"
        "def inputs_f(): return {'x': np.linspace(-1, 2, 5)}\n"
        "def f(x): return x * x\n"
        "def f_backward(dy, x): return dy * x\n"
    )
    code, shown, _ = on_a_terminal(["verify", path])
    assert code == 1
    assert "f: \x1b[31mFAIL\x1b[0m" in shown
    _, shown, _ = on_a_terminal(["verify", path], NO_COLOR="1")
    assert "f: FAIL" in shown


def test_every_help_ends_with_an_example_that_can_be_called(capsys):
    assert len(commands()) >= 9
    for name, parser in {"": cli.parser.parser(), **commands()}.items():
        text = parser.format_help().split("example: ")[-1]
        words = shlex.split(text)
        assert words[0] == "scratchvae"
        assert not name or words[1] == name
        cli.parser.parser().parse_args(words[1:])


def commands():
    """The parser of each command, by name."""
    top = cli.parser.parser()
    return next(action.choices for action in top._actions if isinstance(action.choices, dict))


def test_every_command_is_a_function_of_the_module_that_is_named_beside_it():
    for name, parser in commands().items():
        module = importlib.import_module(f"scratchvae.cli.{parser.get_default('module')}")
        assert getattr(module, name).__module__ == module.__name__


def test_every_setting_is_an_option_that_shows_its_default():
    options = {action.dest: action for action in commands()["train"]._actions}
    unset = {name for name, a in options.items() if a.default == argparse.SUPPRESS} - {"help"}
    assert unset == set(DEFAULTS) - {"init_steps"}  # which is read from the run of --init-from
    for name, shown in {"hidden": "400", "lr": "0.001", "alpha": "50", "seed": "0"}.items():
        assert options[name].help.endswith(f"default {shown}")
    for parser in commands().values():
        assert "{default}" not in parser.format_help()


@pytest.mark.parametrize("kind", MODELS)
def test_the_defaults_are_those_of_the_models_and_of_the_trainer(kind):
    own = inspect.signature(MODELS[kind]).parameters
    expected = {n: p.default for n, p in own.items() if n != "dtype"} | {"epochs": 20}
    assert expected == model_config(DEFAULTS | {"model": kind})
    own = inspect.signature(Trainer).parameters
    assert all(DEFAULTS[name] == own[name].default for name in TRAINING)
    # config.json says 0.0
    assert type(DEFAULTS["kl_warmup"]) is type(DEFAULTS["kl_cycle"]) is float


def test_tab_completes_where_argcomplete_is_installed(tmp_path):
    pytest.importorskip("argcomplete", reason="argcomplete is not installed")

    def completed(line):
        found = tmp_path / "found"
        env = os.environ | {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line}
        env |= {"COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(found)}
        subprocess.run([sys.executable, "-m", "scratchvae"], env=env, check=True)
        return found.read_text().split()

    assert completed("scratchvae tr") == ["train", "traverse"]
    assert completed("scratchvae train --kl-w") == ["--kl-warmup"]
    assert set(completed("scratchvae train --model ")) >= {"ae", "vae", "iwae", "cvae", "m2"}


def test_the_module_runs_and_has_a_version():
    for argv in (["--version"], ["--help"], ["train", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "scratchvae", *argv], capture_output=True, text=True, check=True
        )
        assert done.stdout
        assert done.stderr == ""
    assert "example: scratchvae train" in done.stdout


def test_a_reader_that_goes_away_is_no_error(train):
    code = "import sys; from scratchvae.cli import main; sys.exit(main(['verify']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 128 + signal.SIGPIPE


def test_training_goes_on_when_nobody_reads_its_output(images, tmp_path):
    argv = [sys.executable, "-m", "scratchvae", "train", "--data", str(images), "--epochs", "200"]
    process = subprocess.Popen(
        [*argv, "--hidden", "8", "--latent-dim", "3", "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == b""
    assert len(load_model(tmp_path / "run").history_) == 200
