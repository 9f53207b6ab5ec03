"""The importance-weighted autoencoder, held against its definition."""

import numpy as np
import pytest

from scratchvae import IWAE, VAE, InputError
from scratchvae.models.bounds import streaming_log_mean_exp


def build(**config):
    config = {"latent_dim": 3, "hidden": (7,), "dtype": "float64", "seed": 1, "k": 5, **config}
    model = IWAE(**config).build(9)
    model.params_.array[...] *= 3  # weights that differ from sample to sample
    return model


def log_weights(model, x, eps):
    """(B,K), density by density, from the public face of a model of the same parameters."""
    vae = VAE(latent_dim=3, hidden=(7,), dtype="float64").load_state_dict(model.state_dict())
    mu, logvar = vae.encode(x)
    rows = []
    for noise in eps.reshape(len(x), -1, 3).transpose(1, 0, 2):
        z = mu + np.exp(logvar / 2) * noise
        p = vae.decode(z)
        log_px = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
        log_pz = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
        log_q = -0.5 * (noise**2 + logvar + np.log(2 * np.pi)).sum(axis=1)
        rows.append(log_px + log_pz - log_q)
    return np.array(rows).T


@pytest.fixture
def batch(rng):
    return rng.random((4, 9)), rng.standard_normal((4, 15))


def test_the_loss_is_the_bound_of_k_samples(batch):
    x, eps = batch
    model = build()
    wanted = -np.log(np.exp(log_weights(model, x, eps)).mean(axis=1)).mean()
    assert model.loss_and_grad(x, eps)[0] == pytest.approx(wanted, rel=1e-10)


def test_the_other_objective_is_the_mean_of_single_bounds(batch):
    x, eps = batch
    model = build(objective="vae")
    wanted = -log_weights(model, x, eps).mean()
    assert model.loss_and_grad(x, eps)[0] == pytest.approx(wanted, rel=1e-10)


def test_with_one_sample_both_objectives_and_dreg_have_one_loss(batch):
    x, eps = batch
    losses = [
        build(k=1, **config).loss_and_grad(x, eps[:, :3])[0]
        for config in ({}, {"objective": "vae"}, {"dreg": True})
    ]
    assert losses[0] == losses[2]
    assert losses[1] == pytest.approx(losses[0], rel=1e-14)


def test_dreg_has_the_mean_of_the_gradient_and_less_noise(rng):
    """Where q is near the posterior, log w hardly moves with z: that is where DReG shines."""
    X = (rng.random((200, 9)) < np.where(rng.random((200, 1)) < 0.5, 0.9, 0.1)).astype(float)
    plain = build().fit(X, epochs=30, batch_size=20, lr=0.01)
    x, dreg = X[:2], build(dreg=True).load_state_dict(plain.state_dict())
    draws = [[], []]
    for _ in range(3000):
        eps = rng.standard_normal((2, 15))
        for model, found in zip((plain, dreg), draws, strict=True):
            found.append(model.loss_and_grad(x, eps)[1]["head_W"].ravel())
    a, b = (np.array(found) for found in draws)
    difference = (a - b).mean(axis=0)
    error = (a - b).std(axis=0) / len(a) ** 0.5
    assert (np.abs(difference) <= 5 * error).all()
    assert b.var(axis=0).sum() < 0.5 * a.var(axis=0).sum()


def test_dreg_leaves_the_decoders_gradient_alone(batch):
    x, eps = batch
    (_, a), (_, b) = (build(dreg=dreg).loss_and_grad(x, eps) for dreg in (False, True))
    for name in ("dec0_W", "dec0_b", "out_W", "out_b"):
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"k": 0}, "k must be a whole number >= 1, got 0"),
        ({"objective": "elbo"}, "objective must be one of iwae, vae, got 'elbo'"),
        (
            {"dreg": True, "objective": "vae"},
            "dreg estimates the gradient of objective='iwae' only",
        ),
    ],
)
def test_unusable_options_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        IWAE(**config).build(9)


def test_noise_of_another_number_of_samples_is_refused(batch):
    x, eps = batch
    with pytest.raises(InputError, match=r"eps must be finite numbers of shape \(4, 15\)"):
        build().loss_and_grad(x, eps[:, :3])


def test_more_samples_in_training_give_a_tighter_bound_on_the_same_data(rng):
    X = (rng.random((300, 12)) < np.where(rng.random((300, 1)) < 0.5, 0.9, 0.1)).astype(float)
    losses = [
        IWAE(k=k, latent_dim=2, hidden=(16,), seed=0)
        .fit(X, X_test=X, epochs=20, batch_size=30, lr=0.01)
        .history_[-1]["test_loss"]
        for k in (1, 20)
    ]
    assert losses[1] < losses[0] - 0.1


# ---------------------------------------------------------------------------- the streaming mean


def test_the_streaming_mean_is_the_log_mean_exp(rng):
    terms = 300 * rng.standard_normal((50, 7))
    found = streaming_log_mean_exp(iter(terms))
    top = terms.max(axis=0)
    np.testing.assert_allclose(found, top + np.log(np.exp(terms - top).mean(axis=0)), rtol=1e-12)


def test_the_streaming_mean_holds_one_term_at_a_time():
    alive = []

    class Term(np.ndarray):
        def __del__(self):
            alive.pop()

    def terms():
        for i in range(1000):
            alive.append(i)
            term = np.full(3, float(i)).view(Term)
            assert len(alive) < 10
            yield term
            del term

    streaming_log_mean_exp(np.asarray(t) for t in terms())


def test_float32_terms_are_summed_in_float64():
    terms = [np.zeros(1, dtype=np.float32)] + [np.full(1, -17, dtype=np.float32)] * 100_000
    found = streaming_log_mean_exp(iter(terms))[0]
    assert found == pytest.approx(np.log((1 + 1e5 * np.exp(-17.0)) / 100_001), rel=1e-9)
