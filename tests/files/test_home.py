"""`~` is the home folder wherever a path is taken or written, in Python and on the command line."""

import os

import numpy as np
import pytest
from support.command_line import refused

from scratchvae import VAE, InputError, cli, load_data, load_model
from scratchvae.data import shown_name
from scratchvae.files.home import expanded

SMALL = ("--latent-dim", "2", "--hidden", "4", "--epochs", "1", "--quiet")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, which is not the working directory."""
    folder, here = tmp_path / "home", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(here)
    yield folder
    assert not list(here.iterdir()), "nothing is called ~"


@pytest.fixture
def homeless(monkeypatch):
    """A user whose home folder nobody knows."""
    monkeypatch.setattr(os.path, "expanduser", os.fspath)


def test_only_a_leading_tilde_is_the_home_folder(home):
    assert expanded("~") == str(home)
    assert expanded("~/a/b.npz") == f"{home}/a/b.npz"
    assert expanded(home / "~" / "x") == f"{home}/~/x"
    for name in ("strokes", "./strokes", "", "a~", "~nobody-of-this-name/x"):
        assert expanded(name) == name


def test_an_unknown_home_folder_is_said(homeless, capsys, tmp_path):
    words = "~/m.npz starts in the home folder, which is unknown: write the full path"
    for call in (
        lambda: load_model("~/m.npz"),
        lambda: VAE(latent_dim=1, hidden=()).build(4).save("~/m.npz"),
        lambda: load_data("~/m.npz"),
        lambda: load_data("mnist", data_dir="~/m.npz"),
    ):
        with pytest.raises(InputError, match=words):
            call()
    refused(capsys, ["train", "--out", "~/m.npz"], "argument --out", words)
    refused(capsys, ["sample", "run", "-o", "~/m.npz"], "argument -o/--output", words)


def test_python_reads_and_writes_in_the_home_folder(home, rng):
    np.save(home / "x.npy", rng.random((20, 4)))
    assert len(load_data("~/x.npy", "all")[0]) == 20
    assert shown_name("~/x.npy") == "x.npy"
    assert shown_name("~") == "home/"
    vae = VAE(latent_dim=1, hidden=()).build(4)
    vae.save("~/models/m.npz")
    np.testing.assert_array_equal(load_model("~/models/m.npz").sample(2), vae.sample(2))


def test_the_folder_of_a_named_data_set(home, monkeypatch):
    for name in ("~/d", "~/elsewhere"):
        with pytest.raises(InputError, match=f"no file .* in {home}{name[1:]}/mnist or {home}"):
            load_data("mnist", data_dir=name)
    monkeypatch.setenv("SCRATCHVAE_DATA", "~/of_a_variable")
    with pytest.raises(InputError, match=f"in {home}/of_a_variable/mnist or {home}"):
        load_data("mnist")


def test_every_command_reads_and_writes_in_the_home_folder(home, rng, capsys):
    np.save(home / "x.npy", rng.random((40, 4)))
    (home / "layers.py").write_text(
        "def f(x):\n    return 2 * x\n"
        "def f_backward(dy, x):\n    return 2 * dy\n"
        "def inputs_f():\n    import numpy\n    return {'x': numpy.ones(3)}\n"
    )

    def call(*argv):
        assert cli.main(list(argv)) == 0, capsys.readouterr().err

    call("train", "--data", "~/x.npy", "--data-dir", "~", "--out=~/r", *SMALL)
    assert str(home / "x.npy") in (home / "r" / "config.json").read_text()
    for argv, name in (
        (["sample", "~/r"], "s.npy"),
        (["reconstruct", "~/r", "--data", "~/x.npy"], "r.png"),
        (["anomaly", "~/r", "--data-dir", "~"], "a.csv"),
        (["explore", "~/r"], "e.html"),
        (["diagram", "~/r"], "d.svg"),
        (["diagram", "--data", "~/x.npy"], "new.svg"),
        (["verify", "~/layers.py"], "v.png"),
    ):
        call(*argv, "-o", f"~/out/{name}")
        assert (home / "out" / name).stat().st_size > 0
    call("sample", "~/r")
    assert (home / "r" / "samples.png").exists()
