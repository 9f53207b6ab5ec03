"""The model of `examples/vae_from_scratch.py`, one file of plain NumPy, is the package's VAE."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE
from scratchvae.train.optim import Adam

FILE = Path(__file__).parents[2] / "examples" / "vae_from_scratch.py"
B, D, H, Z = 7, 11, 6, 3
NAMES = {"enc0": "1", "dec0": "2", "out": "3"}  # the package's layers, and the file's


@pytest.fixture(scope="module")
def file():
    return runpy.run_path(str(FILE))  # without training


def put(values, arrays):
    """Write the arrays of the file into the package's, where mu and logvar share one product."""
    for ours, theirs in NAMES.items():
        for kind in "Wb":
            arrays[f"{ours}_{kind}"][...] = values[f"{kind}{theirs}"]
    for kind in "Wb":
        arrays[f"head_{kind}"][...] = np.concatenate(
            [values[f"{kind}m"], values[f"{kind}v"]], axis=-1
        )


def assert_equal(values, expected):
    """To 1e-12 of the largest entry of each array."""
    assert len(values) == 10
    same = {name: np.full_like(array, np.nan) for name, array in expected.items()}
    put(values, same)
    for name, array in expected.items():
        size = np.abs(array).max()
        assert size > 0
        np.testing.assert_allclose(same[name], array, rtol=0, atol=1e-12 * size, err_msg=name)


def test_loss_gradients_and_adam_are_the_package_s(file):
    rng = np.random.default_rng(1)
    p = file["init"](D, H, Z, rng)
    m, v = ({i: np.zeros_like(p[i]) for i in p} for _ in range(2))
    vae = VAE(latent_dim=Z, hidden=(H,), dtype="float64").build(D)
    put(p, vae.params_)
    adam = Adam(vae.params_.array)
    first = None
    for t in range(1, 6):
        x, eps = rng.random((B, D)), rng.standard_normal((B, Z))
        expected, grads = vae.loss_and_grad(x, eps)
        assert file["loss"](p, x, eps) == pytest.approx(expected, rel=1e-12)
        rec, kl, acts = file["forward"](p, x, eps)
        assert rec.shape == kl.shape == (B,)
        g = file["backward"](p, acts)
        assert_equal(g, grads)
        first = first or g
        assert t == 1 or np.abs(g["W1"] - first["W1"]).max() > 1e-3, "another batch, other weights"
        file["adam"](p, g, m, v, t)
        adam.step(vae.params_.array, np.concatenate([grads[i].ravel() for i in vae.params_]))
        assert_equal(p, vae.params_)


def test_its_weights_begin_as_the_package_s(file):
    p = file["init"](D, H, Z, np.random.default_rng(0))
    vae = VAE(latent_dim=Z, hidden=(H,), dtype="float64", seed=0).build(D)
    same = vae.params_.like(np)
    same.array.fill(np.nan)
    put(p, same)
    assert np.isfinite(same.array).all()
    for layer, inputs in (("enc0", D), ("head", H), ("dec0", Z), ("out", H)):
        for start in (same, vae.params_):
            weights = np.concatenate([start[f"{layer}_{kind}"].ravel() for kind in "Wb"])
            assert 0.7 < np.abs(weights).max() * inputs**0.5 <= 1


def test_its_own_check_finds_a_wrong_gradient(file, monkeypatch):
    """The file compares its gradient with differences before it trains."""
    rng = np.random.default_rng(0)
    p = file["init"](D, H, Z, rng)
    batch = rng.random((B, D)), rng.standard_normal((B, Z))
    assert file["check"](p, *batch, rng) < 1e-7
    right = file["backward"]

    def wrong(p, acts):
        return right(p, acts) | {"bv": right(p, acts)["bv"] * 1.01}

    monkeypatch.setitem(file["check"].__globals__, "backward", wrong)
    assert file["check"](p, *batch, rng) > 1e-5
