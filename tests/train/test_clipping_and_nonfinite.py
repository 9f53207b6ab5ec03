"""Gradient clipping, and numbers that are not finite."""

import numpy as np
import pytest
from support.run_folders import same

from scratchvae import VAE, InputError, NonFiniteError, ops
from scratchvae.backend.registry import OPS
from scratchvae.models.load import load
from scratchvae.train import Trainer
from scratchvae.train.optim import clip


def test_clipping():
    rng = np.random.default_rng(0)
    g = rng.standard_normal(50).astype("f4")
    small = g.copy()
    clip(small, 100.0)
    np.testing.assert_array_equal(small, g)
    large = 3e30 * g  # whose squares float32 does not hold
    clip(large, 2.0)
    assert np.linalg.norm(large) == pytest.approx(2, rel=1e-6)
    np.testing.assert_allclose(large, 2 * g / np.linalg.norm(g), rtol=1e-5)
    double = np.array([1e200, 3e200])
    clip(double, 1.0)
    np.testing.assert_allclose(double, [0.1**0.5, 0.9**0.5])
    for most in (1e39, 1e-46):  # beyond both ends of float32
        g = np.ones(3, "f4")
        clip(g, most)
        assert np.isfinite(g).all()
    nothing = np.zeros(3, "f4")
    clip(nothing, 1e-46)
    np.testing.assert_array_equal(nothing, 0)


def test_clipping_in_training(double):
    X = np.random.default_rng(0).random((30, 9))

    def weights(device="cpu", **settings):
        vae = VAE(latent_dim=2, hidden=(5,), dtype="float64", device=device).build(9)
        trainer = Trainer(vae, X, batch_size=8, **settings)
        trainer.run(2)
        return vae.state_dict()["fc_mu.weight"], trainer

    plain, _ = weights()
    clipped, trainer = weights(clip_norm=0.1)
    assert np.linalg.norm(trainer.model.gradients.array) == pytest.approx(0.1)
    assert not np.array_equal(plain, clipped)
    np.testing.assert_array_equal(weights(clip_norm=1e9)[0], plain)
    replayed, trainer = weights("cuda", clip_norm=0.1)
    assert trainer._graphs is not None
    np.testing.assert_allclose(replayed, clipped, rtol=1e-9)
    trainer.clip_norm = 1e-3  # a graph knows what it was captured with
    trainer.run(3)
    assert np.linalg.norm(trainer.model.gradients.array.get()) == pytest.approx(1e-3)
    with pytest.raises(InputError, match="clip_norm must be a finite number > 0"):
        Trainer(VAE().build(9), X, clip_norm=0)


def test_detect_anomaly_names_the_op(train_run, monkeypatch, capsys):
    original = ops.gaussian_kl_backward
    calls = []

    def gaussian_kl_backward(dy, mu, logvar, *, dmu=None, dlogvar=None):
        dmu, dlogvar = original(dy, mu, logvar, dmu=dmu, dlogvar=dlogvar)
        calls.append(1)
        if len(calls) == 9:
            dlogvar[1, 0] = np.inf
        return dmu, dlogvar

    broken = OPS["gaussian_kl"]._replace(backward=gaussian_kl_backward)
    monkeypatch.setitem(OPS, "gaussian_kl", broken)
    monkeypatch.setattr(ops, "gaussian_kl_backward", gaussian_kl_backward)
    assert train_run("a", "--detect-anomaly")[0] == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "epoch 2, step 9: gaussian_kl_backward: dlogvar (8, 2) float32 with 1 of 16" in err
    assert "the last good checkpoint, of step 7" in err


@pytest.mark.parametrize("options", [(), ("--detect-anomaly",)])
def test_a_moment_that_overflows_is_named_in_the_step_in_which_it_does(train_run, capsys, options):
    gaussian = ("--likelihood", "gaussian", "--x-variance", "1e-24")
    assert train_run("a", *gaussian, *options)[0] == 2
    assert "epoch 1, step 1: the moment v is the first tensor" in capsys.readouterr().err


def test_detect_anomaly_changes_nothing(train_run):
    same(train_run("a")[1], train_run("b", "--detect-anomaly")[1])


def test_a_nan_is_not_kept(train_run, monkeypatch):
    """Neither at the end of an epoch nor within one."""
    original = Trainer.update

    def update(self, dials):
        if self.step == 9:
            self.model.gradients.array[3] = np.nan
        original(self, dials)

    monkeypatch.setattr(Trainer, "update", update)
    code, folder = train_run("a", "--checkpoint-every", "1")
    assert code == 2
    assert load(folder).run["step"] == 9
    with pytest.raises(NonFiniteError, match="epoch 2, step 10"):
        Trainer(VAE(latent_dim=2, hidden=(8,)).build(16), np.ones((54, 16)), batch_size=8).run(2)
