"""Checkpoints written by earlier versions, from tests/data/checkpoints.

Each is a run of `scratchvae train --latent-dim 2 --hidden 3 --epochs 2 --batch-size 16` on the
images below, of a vae with `--free-bits 0.1 --kl-warmup 3` and of an m2 with `--labels 30`. Beside
each stand the parameters after another epoch, by the version that wrote it.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.run_folders import forge

from scratchvae import load_model
from scratchvae.cli import main
from scratchvae.cli.settings import DEFAULTS, of_run
from scratchvae.files import checkpoint
from scratchvae.models.load import load

FOLDER = Path(__file__).parents[1] / "data" / "checkpoints"
# the first numbers of `model.sample(2)`, as the version that wrote the file printed them
SAMPLES = {
    "vae": [0.2618159055709839, 0.5633329749107361, 0.39733076095581055],
    "m2": [0.27790170907974243, 0.5548881888389587, 0.394256591796875],
}
OWN = {"vae": {"free_bits": 0.1, "kl_warmup": 3.0}, "m2": {"labels": 30}}
FILES = [(kind, version) for kind in SAMPLES for version in (1, 2)]


@pytest.mark.parametrize(("kind", "version"), FILES)
def test_the_model_and_the_settings_are_those_that_were_saved(kind, version):
    path = FOLDER / f"{kind}-format{version}.npz"
    assert checkpoint.read(path)[0]["version"] == version
    loaded = load(path)
    np.testing.assert_allclose(loaded.model.sample(2).ravel()[:3], SAMPLES[kind], rtol=1e-6)
    assert [record["epoch"] for record in loaded.model.history_] == [1, 2]
    given = {"model": kind, "latent_dim": 2, "hidden": (3,), "epochs": 2, "batch_size": 16}
    given |= {"data": "/tmp/scratchvae/images.npz"} | OWN[kind]  # noqa: S108
    assert of_run(path, loaded) == DEFAULTS | given


@pytest.mark.parametrize(("kind", "version"), FILES)
def test_the_run_goes_on_as_the_code_that_wrote_it_went_on(kind, version, image_file, tmp_path):
    """To the parameters that the old code had after `train --resume --epochs 3`."""
    name = f"{kind}-format{version}"
    shutil.copy(FOLDER / f"{name}.npz", tmp_path / "checkpoint.npz")
    forge(
        tmp_path / "checkpoint.npz", lambda m: m["run"]["settings"].update(data=str(image_file))
    )  # which lay in another folder
    assert main(["train", "--resume", "--epochs", "3", "--quiet", "--out", str(tmp_path)]) == 0
    expected = np.load(FOLDER / f"{name}-epoch3.npy")
    found = load_model(tmp_path).params_.array
    assert np.abs(expected - load_model(FOLDER / f"{name}.npz").params_.array).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)  # another BLAS rounds otherwise


def test_a_file_of_today_holds_each_hyper_parameter_once(image_file, tmp_path):
    out = tmp_path / "run"
    argv = ["train", "--data", str(image_file), "--latent-dim", "2", "--hidden", "3"]
    argv += ["--epochs", "1"]
    assert main([*argv, "--free-bits", "0.1", "--quiet", "--out", str(out)]) == 0
    meta, _ = checkpoint.read(out / "checkpoint.npz")
    assert meta["version"] == checkpoint.VERSION == 4
    assert not meta["config"].keys() & meta["run"]["settings"].keys()
    assert meta["config"]["free_bits"] == 0.1
    assert load_model(out).free_bits == 0.1


def test_a_newer_format_is_refused_in_a_sentence(tmp_path, monkeypatch):
    from scratchvae import VAE, CheckpointError

    monkeypatch.setattr(checkpoint, "VERSION", 5)
    VAE(latent_dim=1, hidden=()).build(4).save(tmp_path / "m.npz")
    with pytest.raises(CheckpointError, match="version 5, but this scratchvae reads 1, 2, 3 and 4"):
        load(tmp_path / "m.npz")
