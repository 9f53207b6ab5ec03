"""Family 4: bugs that finite differences cannot detect: exact gradients of the wrong loss."""

import numpy as np
import pytest

from scratchvae import VAE, Autoencoder, ops
from scratchvae.backend import noise
from scratchvae.evaluate import evaluate
from scratchvae.models import losses as densities
from scratchvae.train import Trainer
from scratchvae.train.measure import losses
from scratchvae.train.optim import Adam


def normals(n, width, seed=0):
    return noise.normal(n, width, seed=seed, stream=noise.SAMPLE, dtype="float64")


def test_the_std_of_samples_is_exp_of_half_logvar():
    n = 200_000
    mu, logvar = np.array([0.5, -2.0, 0.0]), np.array([-3.0, 0.0, 2.5])
    z = ops.reparameterize(*(np.broadcast_to(a, (n, 3)) for a in (mu, logvar)), normals(n, 3))
    std = np.exp(logvar / 2)
    # five standard errors of the sample mean and of the sample standard deviation
    np.testing.assert_array_less(np.abs(z.mean(axis=0) - mu), 5 * std / np.sqrt(n))
    np.testing.assert_array_less(np.abs(z.std(axis=0) - std), 5 * std / np.sqrt(2 * n))


def test_the_kl_is_the_mean_of_log_q_minus_log_p_over_the_models_own_samples():
    n = 100_000
    mu, logvar = np.array([[0.7, -0.3]]), np.array([[-1.0, 0.4]])
    eps = normals(n, 2)
    z = ops.reparameterize(mu, logvar, eps, out=np.empty((n, 2)))
    log_q = -0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi))
    log_p = -0.5 * (z**2 + np.log(2 * np.pi))
    draws = (log_q - log_p).sum(axis=1)
    assert abs(draws.mean() - ops.gaussian_kl(mu, logvar)[0]) < 5 * draws.std() / np.sqrt(n)


def test_the_models_samples_have_the_spread_that_its_kl_assumes(tiny):
    """The sampler and the KL of the model itself, not of the ops."""
    vae, x, _ = tiny
    n = 20_000
    acts = vae.forward(np.repeat(x[:1], n, axis=0), normals(n, 3))
    mu, logvar = (a[0] for a in vae.encode(x[:1]))
    np.testing.assert_allclose(acts.z.mean(axis=0), mu, atol=5 * np.exp(logvar / 2).max() / n**0.5)
    np.testing.assert_allclose(acts.z.var(axis=0), np.exp(logvar), rtol=5 * (2 / n) ** 0.5)


def test_the_gaussian_likelihood_is_a_density():
    t = np.linspace(-40, 40, 200_001)
    density = np.exp(
        -densities.gaussian_nll(np.full((len(t), 1), 1.5), np.array([0.8]), t[:, None])
    )
    assert np.trapezoid(density, t) == pytest.approx(1, abs=1e-9)


def test_the_bernoulli_likelihood_sums_to_one():
    logits = np.array([[0.3, -2.0, 4.0]])
    outcomes = np.array([[a, b, c] for a in (0.0, 1.0) for b in (0.0, 1.0) for c in (0.0, 1.0)])
    costs = ops.bce_with_logits(np.repeat(logits, 8, axis=0), outcomes)
    assert np.exp(-costs).sum() == pytest.approx(1, abs=1e-12)


def test_beta_changes_the_loss_by_exactly_the_kl(tiny):
    vae, x, eps = tiny
    kl = vae.forward(x, eps).kl.mean()
    losses, grads = zip(*[_at_beta(vae, beta, x, eps) for beta in (0.0, 1.0, 2.0)], strict=True)
    assert kl > 0.01
    assert losses[1] - losses[0] == pytest.approx(kl, rel=1e-12)
    assert losses[2] - losses[1] == pytest.approx(kl, rel=1e-12)
    step1, step2 = (
        np.concatenate([(b[name] - a[name]).ravel() for name in a])
        for a, b in ((grads[0], grads[1]), (grads[1], grads[2]))
    )
    assert np.abs(step1).max() > 1e-3, "the gradient of the KL is not 0"
    np.testing.assert_allclose(step1, step2, atol=1e-14)


def _at_beta(vae, beta, x, eps):
    vae.beta = beta
    return vae.loss_and_grad(x, eps)


def test_duplicating_a_batch_changes_nothing(tiny):
    vae, x, eps = tiny
    once = vae.loss_and_grad(x, eps)
    twice = vae.loss_and_grad(np.repeat(x, 2, axis=0), np.repeat(eps, 2, axis=0))
    assert once[0] == pytest.approx(twice[0], rel=1e-14)
    for name in once[1]:
        np.testing.assert_allclose(once[1][name], twice[1][name], rtol=1e-12, atol=1e-15)


def test_the_order_of_a_batch_changes_nothing(tiny):
    vae, x, eps = tiny
    loss, _ = vae.loss_and_grad(x, eps)
    assert vae.loss_and_grad(x[::-1], eps[::-1])[0] == pytest.approx(loss, rel=1e-14)


def test_adam_is_the_papers_algorithm():
    """Algorithm 1 of arXiv:1412.6980, one number at a time."""
    rng = np.random.default_rng(0)
    p, lr, b1, b2, eps = rng.standard_normal(5), 0.1, 0.9, 0.999, 1e-3
    expected, m, v = list(p), [0.0] * 5, [0.0] * 5
    adam = Adam(p, lr, b1, b2, eps)
    for t in range(1, 8):
        g = rng.standard_normal(5)
        adam.step(p, g)
        for i in range(5):
            m[i] = b1 * m[i] + (1 - b1) * g[i]
            v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2
            m_hat, v_hat = m[i] / (1 - b1**t), v[i] / (1 - b2**t)
            expected[i] -= lr * m_hat / (v_hat**0.5 + eps)
        np.testing.assert_allclose(p, expected, rtol=1e-13)


def test_adam_treats_every_part_of_a_long_vector_alike():
    """The update walks a long vector in pieces: they must join without a seam."""
    n = 150_001
    p, g = np.zeros(n), np.full(n, 0.3)
    adam = Adam(p, 0.1)
    for _ in range(3):
        adam.step(p, g)
    assert len(np.unique(p)) == 1
    assert p[0] != 0


def test_the_mean_step_of_the_loss_is_per_example_and_not_per_pixel():
    """At p = 1/2 an example of D pixels costs D log 2 nats: a sum of pixels, a mean of examples."""
    vae = VAE(latent_dim=2, hidden=(3,), dtype="float64").build(10)
    vae.params_.array[...] = 0
    loss, grads = vae.loss_and_grad(np.full((6, 10), 0.25), np.zeros((6, 2)))
    assert loss == pytest.approx(10 * np.log(2), rel=1e-12)
    np.testing.assert_allclose(grads["out_b"], 0.5 - 0.25, rtol=1e-12)


# ------------------------------------------------- a model whose likelihood is known in closed form


def ppca_data(n=200, D=6, Z=2, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((Z, D)) * np.array([[2.0], [1.0]])
    return (
        rng.standard_normal((n, Z)) @ W + 0.5 * rng.standard_normal((n, D)) + rng.standard_normal(D)
    )


def gaussian_log_density(X, mean, covariance):
    d = X - mean
    _, logdet = np.linalg.slogdet(covariance)
    quadratic = np.einsum("nd,de,ne->n", d, np.linalg.inv(covariance), d)
    return -0.5 * (X.shape[1] * np.log(2 * np.pi) + logdet + quadratic)


def ppca_log_likelihood(X, Z):
    """Log-likelihood per example at the maximum, Tipping & Bishop 1999, in closed form."""
    values = np.sort(np.linalg.eigvalsh(np.cov(X.T, bias=True)))[::-1]
    D, noise_level = len(values), values[Z:].mean()
    logdet = np.log(values[:Z]).sum() + (D - Z) * np.log(noise_level)
    return -0.5 * (D * np.log(2 * np.pi) + logdet + D)


@pytest.fixture(scope="module")
def linear_vae():
    """A linear Gaussian VAE at the optimum of its exact ELBO, with its data.

    -log p(x|z) of a linear decoder is quadratic in z, so its mean over eps ~ N(0, 1) is its mean
    over the 2 Z points +-sqrt(Z) e_i: with those as noise the loss is the exact ELBO, not a sample.
    """
    X, Z = ppca_data(), 2
    vae = VAE(latent_dim=Z, hidden=(), likelihood="gaussian", dtype="float64").build(X.shape[1])
    points = np.sqrt(Z) * np.concatenate([np.eye(Z), -np.eye(Z)])
    x = np.repeat(X, len(points), axis=0)
    eps = np.tile(points, (len(X), 1))
    p, g = vae.params_.array, vae.gradients.array
    adam, steps = Adam(p), 4000
    for step in range(steps):
        adam.lr = 0.03 * (1 - step / steps)
        vae.backward(vae.gradients, vae.forward(x, eps), 1.0)
        adam.step(p, g)
    acts = vae.forward(x, eps)
    return vae, X, -(acts.rec + acts.kl).mean()


def exact_log_likelihood(vae, X):
    """log p(x) of a linear Gaussian decoder: x is Gaussian with covariance W^T W + s I."""
    W, b = vae.params_.out_W, vae.params_.out_b
    covariance = W.T @ W + np.exp(vae.params_.x_logvar[0]) * np.eye(X.shape[1])
    return gaussian_log_density(X, b, covariance)


def test_a_linear_vae_reaches_the_exact_likelihood_of_probabilistic_pca(linear_vae):
    _, X, elbo = linear_vae
    best = ppca_log_likelihood(X, 2)
    assert best - 0.01 < elbo <= best + 1e-9


def test_bounds_are_in_order(linear_vae):
    """ELBO <= L_5 <= L_50 <= log p(x), at a poor encoder, so that the gaps are wide."""
    trained, X, _ = linear_vae
    vae = VAE(**trained.get_params()).load_state_dict(trained.state_dict())
    vae.params_.head_b[2:] += 1.5  # logvar: too wide a posterior
    vae.params_.head_W[:, 0] *= 0.8
    exact = exact_log_likelihood(vae, X).mean()
    elbo, *bounds = (vae.score_samples(X, k).mean() for k in (None, 5, 50, 2000))
    assert elbo + 0.1 < bounds[0]
    assert bounds[0] + 0.05 < bounds[1]
    assert bounds[1] < bounds[2] < exact + 0.01
    assert bounds[2] == pytest.approx(exact, abs=0.02)


def test_the_bound_of_one_sample_is_the_elbo_on_average(tiny):
    vae, x, _ = tiny
    draws = range(1000)  # equal rows have equal noise, so the seed must differ
    one = np.array([vae.score_samples(x[:1], 1, seed=seed)[0] for seed in draws])
    elbo = np.array([vae.score_samples(x[:1], seed=1000 + seed)[0] for seed in draws])
    error = np.hypot(one.std(), elbo.std()) / len(draws) ** 0.5
    assert abs(one.mean() - elbo.mean()) < 5 * error


# --------------------------------------------------------------------------- what training does


def two_kinds(rng):
    """Examples of twelve pixels that are nearly all on or nearly all off."""
    on = rng.random((400, 1)) < 0.5
    return (rng.random((400, 12)) < np.where(on, 0.95, 0.05)).astype(float)


def test_training_lowers_the_loss_and_uses_the_latent_units(rng):
    vae = VAE(latent_dim=2, hidden=(16,), seed=0)
    X = two_kinds(rng)
    vae.fit(X, X_test=X, epochs=30, batch_size=40, lr=0.01)
    first, last = vae.history_[0], vae.history_[-1]
    assert last["test_loss"] < first["test_loss"] - 1
    assert last["kl"] > 0.5
    assert last["active_units"] >= 1
    assert evaluate(vae, X).elbo == pytest.approx(-last["test_loss"], rel=1e-6)


def test_a_large_beta_switches_the_latent_units_off(rng):
    X = two_kinds(rng)
    vae = VAE(latent_dim=2, hidden=(16,), beta=50.0).fit(
        X, X_test=X, epochs=30, batch_size=40, lr=0.01
    )
    assert vae.history_[-1]["active_units"] == 0
    assert vae.history_[-1]["kl"] < 0.05


def test_active_units_are_those_whose_codes_vary(rng):
    """A standard deviation of 0.11 is above the threshold of variance 0.01, one of 0.09 below; a
    code that is far from 0, but constant, is not active."""
    vae = VAE(latent_dim=4, hidden=(), dtype="float64").build(4)
    X = rng.random((4000, 4))
    X = (X - X.mean(axis=0)) / X.std(axis=0) / 10 + 0.5
    vae.params_.array[...] = 0
    vae.params_.head_W[:, :4] = np.diag([1.1, 0.9, 5.0, 0.0])
    vae.params_.head_b[3] = 7.0
    assert losses(vae, X)["active_units"] == 2


def test_an_autoencoder_has_no_noise_and_no_prior(rng):
    X = rng.random((6, 9))
    ae = Autoencoder(latent_dim=3, hidden=(5,), dtype="float64")
    loss, _ = ae.loss_and_grad(X)
    assert loss == ae.loss_and_grad(X)[0]
    assert loss == pytest.approx(-ae.score_samples(X).mean(), rel=1e-12)
    np.testing.assert_array_equal(ae.reconstruct(X), ae.decode(ae.encode(X)))


def test_evaluation_of_dynamic_binarisation_is_on_binary_pixels(rng):
    vae = VAE(latent_dim=2, hidden=(3,), dtype="float64").build(4)
    X = rng.random((50, 4))
    dynamic, static, grey = (
        evaluate(vae, X, binarize=b).rec for b in ("dynamic", "static", "none")
    )
    assert dynamic == static != grey


def test_dynamic_binarisation_draws_with_the_pixels_probability():
    vae = VAE(latent_dim=2, hidden=(3,), dtype="float64").build(4)
    X = np.tile([0.0, 0.25, 0.9, 1.0], (20_000, 1))
    trainer = Trainer(vae, X, batch_size=20_000, binarize="dynamic")
    acts, _ = trainer.take_step(np.arange(20_000))
    assert set(np.unique(acts.x)) == {0.0, 1.0}
    mean = acts.x.mean(axis=0)
    assert mean[0] == 0
    assert mean[3] == 1
    np.testing.assert_allclose(mean, X[0], atol=5 * 0.5 / 20_000**0.5)
    first = acts.x.copy()
    acts, _ = trainer.take_step(np.arange(20_000))
    assert (acts.x != first).any(), "each step draws anew"
