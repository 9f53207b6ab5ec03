"""Densities integrate to one, and the KL term of the loss follows the options."""

import numpy as np
import pytest

from scratchvae import IWAE, VAE, Autoencoder, InputError, ops
from scratchvae.models import losses as likelihoods
from scratchvae.train import Trainer

grid = np.linspace(0, 1, 20_001)


def integral(values):
    return np.trapezoid(values, grid)


@pytest.mark.parametrize("logit", [-30.0, -2.0, -0.11, -1e-3, 0.0, 1e-9, 0.09, 0.4, 5.0])
def test_the_continuous_bernoulli_is_a_density_with_the_mean_that_we_say(logit):
    logits = np.full((len(grid), 1), logit)
    density = np.exp(-likelihoods.continuous_bernoulli(logits, grid[:, None]))
    assert integral(density) == pytest.approx(1, abs=1e-6)
    mean = likelihoods.continuous_bernoulli_mean(np.array([[logit]]))[0, 0]
    assert integral(grid * density) == pytest.approx(mean, abs=1e-6)


def test_the_series_and_the_closed_form_of_the_mean_meet():
    below, above = likelihoods.continuous_bernoulli_mean(np.array([0.1 - 1e-12, 0.1 + 1e-12]))
    assert above - below == pytest.approx(2e-12 / 12, abs=2e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_logits_neither_overflow_nor_become_nan(dtype):
    logits = np.array([[-1e4, -88.0, -1e-30, 0.0, 88.0, 1e4]], dtype=dtype)
    t = np.array([[0.0, 1.0, 0.5, 0.5, 0.0, 1.0]], dtype=dtype)
    one = np.ones(1, dtype=dtype)
    assert np.isfinite(likelihoods.continuous_bernoulli(logits, t)).all()
    mean = likelihoods.continuous_bernoulli_mean(logits)
    assert mean.dtype == dtype
    assert ((mean >= 0) & (mean <= 1)).all()
    assert np.isfinite(likelihoods.continuous_bernoulli_backward(one, logits, t)).all()


def test_the_prior_ratio_is_the_difference_of_two_log_densities(rng):
    mu, logvar, eps = rng.standard_normal((3, 5, 4))
    z = ops.reparameterize(mu, logvar, eps)
    log_p = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
    log_q = -0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(likelihoods.log_prior_ratio(z, logvar, eps), log_p - log_q)


# ------------------------------------------------------------------------------- of the models


def parts(vae, x, eps):
    acts = vae.forward(vae.to_device(x, "x"), eps)
    units = (acts.mu**2 + np.exp(acts.logvar) - 1 - acts.logvar) / 2
    return acts.rec.mean(), units


def test_free_bits_are_for_each_unit_what_it_costs_at_least(tiny):
    vae, x, eps = tiny
    rec, units = parts(vae, x, eps)
    middle = float(np.median(units.mean(axis=0)))
    vae.free_bits, vae.beta = middle, 2.0
    wanted = rec + 2 * np.maximum(units.mean(axis=0), middle).sum()
    assert vae.loss_and_grad(x, eps)[0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("capacity", [0.0, 0.5, 40.0])
def test_the_capacity_is_what_the_kl_is_drawn_to(tiny, capacity):
    vae, x, eps = tiny
    rec, units = parts(vae, x, eps)
    vae.capacity, vae.beta = capacity, 3.0
    wanted = rec + 3 * abs(units.sum(axis=1).mean() - capacity)
    assert vae.loss_and_grad(x, eps)[0] == pytest.approx(wanted, rel=1e-12)


def test_a_warm_up_raises_the_capacity(tiny):
    """Half-way the KL is drawn to half the capacity: above it the gradient lowers it, and below
    the full capacity it does not."""
    vae, x, eps = tiny
    _, units = parts(vae, x, eps)
    vae.capacity = 1.5 * float(units.sum(axis=1).mean())
    acts = vae.forward(x, eps)
    vae.backward(vae.gradients, acts, 0.5)
    half = vae.gradients.array.copy()
    vae.backward(vae.gradients, acts, 1.0)
    full = vae.gradients.array.copy()
    vae.capacity = None
    vae.backward(vae.gradients, acts, 1.0)
    plain = vae.gradients.array.copy()
    np.testing.assert_array_equal(half, plain)
    assert not np.allclose(full, plain)


def test_a_warm_up_lowers_what_free_bits_charge(tiny):
    vae, x, eps = tiny
    vae.free_bits = float(np.median(parts(vae, x, eps)[1].mean(axis=0)))
    acts = vae.forward(x, eps)
    vae.backward(vae.gradients, acts, 0.5)
    half = vae.gradients.array.copy()
    vae.beta /= 2
    vae.backward(vae.gradients, acts)
    np.testing.assert_array_equal(half, vae.gradients.array)


def test_a_fixed_variance_is_no_parameter_and_stays(rng):
    X = rng.standard_normal((30, 9))
    vae = VAE(latent_dim=2, hidden=(5,), likelihood="gaussian", x_variance=0.25, dtype="float64")
    vae.fit(X, epochs=2)
    assert "x_logvar" not in vae.params_
    assert "x_logvar" not in vae.state_dict()
    acts = vae.forward(X, np.zeros((30, 2)))
    density = np.exp(-((X - acts.y) ** 2) / 0.5) / np.sqrt(2 * np.pi * 0.25)
    np.testing.assert_allclose(acts.rec, -np.log(density).sum(axis=1))


def test_what_is_decoded_is_the_mean_of_the_density():
    vae = VAE(latent_dim=2, hidden=(), likelihood="continuous_bernoulli", dtype="float64").build(3)
    vae.params_.array[...] = 0
    vae.params_.out_b[...] = logits = [-2.0, 0.05, 5.0]
    density = np.exp([np.multiply(logit, grid) for logit in logits])
    means = [integral(grid * d) / integral(d) for d in density]
    np.testing.assert_allclose(vae.decode(np.zeros((1, 2)))[0], means, rtol=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_the_output_bias_starts_at_the_mean_pixel(rng, likelihood):
    X = rng.random((50, 9)) * np.linspace(0, 1, 9)
    vae = VAE(latent_dim=2, hidden=(), likelihood=likelihood, bias_from_data=True).build_from(X)
    vae.params_.out_W[...] = 0
    mean = X.mean(axis=0)
    out = vae.decode(np.zeros((1, 2)))[0]
    expected = mean if likelihood == "gaussian" else np.clip(mean, 0.001, 0.999)
    np.testing.assert_allclose(out, expected, rtol=1e-4)


def test_the_output_bias_of_bytes_is_that_of_their_floats(rng):
    X = (rng.random((50, 9)) * 255).astype(np.uint8)
    biases = [
        VAE(latent_dim=2, hidden=(), bias_from_data=True).build_from(data).params_.out_b
        for data in (X, X / 255)
    ]
    np.testing.assert_allclose(*biases, rtol=1e-6)


def test_ways_to_begin():
    glorot = VAE(latent_dim=20, init="glorot").build(784)
    limit = (6 / (784 + 400)) ** 0.5
    assert 0.99 * limit < np.abs(glorot.params_.enc0_W).max() <= limit
    small = VAE(latent_dim=20, init="small").build(784)
    assert small.params_.enc0_W.std() == pytest.approx(0.001, rel=0.02)
    for vae in (glorot, small):
        assert all((a == 0).all() for name, a in vae.params_.items() if name.endswith("_b"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"free_bits": 0.1, "capacity": 3}, "free_bits and capacity exclude each other"),
        ({"free_bits": -1}, "free_bits must be a finite number >= 0"),
        ({"capacity": float("nan")}, "capacity must be a finite number >= 0"),
        ({"x_variance": 1.0}, "x_variance does not apply to likelihood='bernoulli'"),
        ({"likelihood": "continuous_bernoulli", "x_variance": 1.0}, "x_variance does not apply"),
        ({"likelihood": "gaussian", "x_variance": 0}, "x_variance must be a finite number > 0"),
        ({"init": "zeros"}, "init must be one of uniform, glorot, small"),
    ],
)
def test_unusable_options_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        VAE(**config).build(9)


def test_warm_up_and_cycles_exclude_each_other(tiny):
    vae, x, _ = tiny
    with pytest.raises(InputError, match="kl_warmup and kl_cycle exclude each other"):
        Trainer(vae, x, kl_warmup=2, kl_cycle=3)


@pytest.mark.parametrize("cls", [IWAE, Autoencoder])
def test_a_schedule_that_a_model_would_ignore_is_refused(cls, rng):
    for setting in ("kl_warmup", "kl_cycle"):
        with pytest.raises(InputError, match=f"{cls.__name__} has no KL term to schedule"):
            cls(latent_dim=2, hidden=(5,)).fit(rng.random((9, 9)), epochs=1, **{setting: 2})


def test_the_step_size_may_be_a_function_of_the_epoch(tiny):
    vae, x, _ = tiny
    asked = []

    def lr(epoch):
        asked.append(epoch)
        return 0.5 if epoch < 1 else 0.0

    trainer = Trainer(vae, np.repeat(x, 2, axis=0), batch_size=4, lr=lr)
    trainer.run(1)
    before = vae.params_.array.copy()
    trainer.run(3)
    assert asked == [0, 0.5, 1, 1.5, 2, 2.5]
    np.testing.assert_array_equal(vae.params_.array, before)


def test_adams_other_settings_reach_it(tiny):
    vae, x, _ = tiny
    adam = Trainer(vae, x, adam={"beta1": 0.99, "eps": 1e-4, "v0": 0.25}).adam
    assert (adam.beta1, adam.eps, adam.lr) == (0.99, 1e-4, 1e-3)
    assert (adam.v == 0.25).all()
