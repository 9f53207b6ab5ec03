"""The long recipes on a few images: a run that is killed goes on to the same numbers."""

import hashlib
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from support.idx_files import idx_bytes
from support.interruptions import Killed, interrupt

from scratchvae import VAE, load_model
from scratchvae.data import idx
from scratchvae.train import Trainer

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
STEPS = 5  # of an epoch of 100 images in batches of 20, or of 500 in batches of 100


@pytest.fixture
def recipe(monkeypatch, tmp_path, capsys):
    """A function that runs a recipe on some images, and returns what it prints."""

    def run(name, n, *options, **replaced):
        folder = tmp_path / f"images-{n}"
        if not folder.exists():
            folder.mkdir()
            rng = np.random.default_rng(0)
            for split, rows in (("train", n), ("test", 12)):
                images = rng.integers(0, 256, (rows, 28, 28)).astype(np.uint8)
                for file, a in zip(idx.FILES[split], (images, images[:, 0, 0] % 10), strict=True):
                    (folder / file).write_bytes(idx_bytes(a))
        monkeypatch.syspath_prepend(RECIPES)
        options = [str(tmp_path / o) if o.endswith(".npz") else o for o in options]
        monkeypatch.setattr(sys, "argv", [name, str(folder), *options])
        spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(module, "compare", lambda *a: "too few images", raising=False)
        for attribute, value in replaced.items():
            monkeypatch.setattr(module, attribute, value)
        capsys.readouterr()
        module.main()
        out = capsys.readouterr().out
        return [line for line in out.splitlines() if line.startswith(("result", "protocol", "log"))]

    run.capsys = capsys
    return run


def refused(recipe, message, *options):
    """Run a recipe that ends with exit code 2 and this message."""
    with pytest.raises(SystemExit, match="2"):
        recipe(*options)
    assert re.search(message, recipe.capsys.readouterr().err)


@pytest.mark.parametrize("step", [3, STEPS, 3 * STEPS + 2])
@pytest.mark.parametrize("rate", [1e-4, 0.1])
def test_static_mnist_goes_on(recipe, tmp_path, monkeypatch, step, rate):
    options = ("static_mnist", 600, "--epochs", "4", "--hidden", "8")
    straight = recipe(*options, LR=rate)
    assert len(straight) == 3
    # at the high rate the best epoch is an earlier one, which the restart has to keep
    assert ("best on validation is epoch 4" in straight[0]) == (rate == 1e-4)
    interrupt(monkeypatch, step, Killed())
    with pytest.raises(Killed):
        recipe(*options, "--checkpoint", "run.npz", LR=rate)
    assert len(load_model(tmp_path / "run.npz").history_) == step // STEPS
    for _ in range(2):  # and again, when it is over
        assert recipe(*options, "--checkpoint", "run.npz", LR=rate) == straight


@pytest.mark.parametrize("from_file", [False, True])
def test_the_best_epoch_is_restored(tmp_path, monkeypatch, rng, from_file):
    """From memory; or, by a process that went on after that epoch, from the file beside the run."""
    monkeypatch.syspath_prepend(RECIPES)
    from recipe_tools import BestEpoch

    X, X_test, after = rng.random((60, 9)), rng.random((12, 9)), []
    vae, file = VAE(2, (8,)).build_from(X), tmp_path / "run.npz"
    best = BestEpoch(file if from_file else None)

    def lr(epoch):  # too large from the fourth epoch on
        return 1e-3 if epoch < 3 else 1.0

    def keep(trainer, record):
        after.append(trainer.model.params_.array.copy())

    Trainer(vae, X, X_test, lr=lr, batch_size=20).run(6, callbacks=[keep, best])
    losses = [record["test_loss"] for record in vae.history_]
    at = losses.index(min(losses))
    assert 0 < at < 5, "neither the first nor the last"
    record = (BestEpoch(file) if from_file else best).restore(vae)
    assert record["epoch"] == at + 1
    np.testing.assert_array_equal(vae.params_.array, after[at])
    assert (after[at] != after[-1]).any()
    trainer = Trainer(vae, X, X_test)
    assert trainer.measure(trainer.X_test)["loss"] == losses[at]


@pytest.mark.parametrize("step", [3, 2 * STEPS + 2])
def test_iwae_goes_on(recipe, tmp_path, monkeypatch, step):
    options = ("iwae", 100, "--stages", "2", "--examples", "12")
    straight = recipe(*options, "--out", "a.npz", SAMPLES=9)
    refused(recipe, r"a\.npz was trained with k = 1, not 5", *options, "--out", "a.npz", "--k", "5")
    cooled = recipe(*options, "--cool", "a.npz", "--out", "b.npz", COOL=3, SAMPLES=9)
    assert [line.split()[0] for line in cooled] == ["protocol", "log", "result"]
    for of, *more in ((straight,), (cooled, "--cool", "a.npz")):
        files = "--out", f"c{len(more)}.npz", "--checkpoint", f"run{len(more)}.npz"
        interrupt(monkeypatch, step, Killed())
        with pytest.raises(Killed):
            recipe(*options, *more, *files, COOL=3, SAMPLES=9)
        again = recipe(*options, *more, *files, COOL=3, SAMPLES=9)
        assert again[1:] == of[1:]


def test_m2_goes_on_in_the_stage_that_was_killed(recipe, tmp_path, monkeypatch):
    options = ("m2", 600, "--epochs", "2", "--seeds", "0", "--first", "2")
    curve = tmp_path / "a.csv"
    straight = recipe(*options, "--curve", str(curve))
    betas = [line.split(",")[2] for line in curve.read_text().splitlines()[1:]]
    assert betas == ["4.0"] * 2 + ["1.0"] * 2
    interrupt(monkeypatch, 9, Killed())  # 7 steps are an epoch
    with pytest.raises(Killed):
        recipe(*options, "--checkpoint", "run.npz")
    assert sorted(f.name for f in tmp_path.glob("run_*")) == ["run_0_0.npz", "run_0_1.npz"]
    assert recipe(*options, "--checkpoint", "run.npz") == straight
    with pytest.raises(SystemExit):
        recipe(*options, "--checkpoint", "run.npz", "--curve", str(curve))


def test_m2_in_the_batches_of_the_paper(recipe, tmp_path):
    curve = tmp_path / "a.csv"
    recipe("m2", 1000, "--plain", "--epochs", "2", "--seeds", "1", "--curve", str(curve))
    rows = [line.split(",") for line in curve.read_text().splitlines()]
    assert [row[:3] for row in rows[1:]] == [["1", "1", "1.0"], ["1", "2", "1.0"]]


def test_static_mnist_reads_the_original_images(recipe, tmp_path, monkeypatch, rng):
    monkeypatch.syspath_prepend(RECIPES)
    import static_mnist

    options = ("static_mnist", 600, "--original", "--epochs", "1", "--hidden", "8")
    refused(recipe, r"--original needs .*train\.amat: No such file", *options)
    folder, sums, images = tmp_path / "images-600", {}, {}
    for part in static_mnist.ORIGINAL:
        images[part] = rng.integers(0, 2, (20, 784))
        text = "".join(" ".join(map(str, row)) + "\n" for row in images[part]).encode()
        (folder / f"binarized_mnist_{part}.amat").write_bytes(text)
        sums[part] = hashlib.sha256(text).hexdigest()
    refused(recipe, r"train\.amat is not the original file: its SHA-256", *options)
    assert len(recipe(*options, ORIGINAL=sums)) == 3
    monkeypatch.setattr(static_mnist, "ORIGINAL", sums)
    for part in sums:
        np.testing.assert_array_equal(static_mnist.original(folder, part), 255 * images[part])


def test_the_peer_needs_its_package(recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "pythae", None)
    with pytest.raises(SystemExit, match=r"--peer needs pythae and PyTorch \(.*\): pip install py"):
        recipe("static_mnist", 600, "--peer")
