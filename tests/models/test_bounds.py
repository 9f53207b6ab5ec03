"""The importance-weighted bound: samples in passes, and the faster decoder, as one by one."""

import numpy as np
import pytest

from scratchvae import IWAE, VAE, ConditionalVAE
from scratchvae.backend import noise
from scratchvae.models import MODELS, Labelled, bounds

NOISY = [kind for kind, model in MODELS.items() if model.noisy]


def built(model, D=20):
    """The model with larger parameters than those it begins with, and biases."""
    model.build(D, 3) if isinstance(model, Labelled) else model.build(D)
    p = model.params_.array
    p += noise.normal(1, p.size, seed=1, stream=0, dtype=model.dtype, xp=model.xp)[0] / 10
    return model


def rows_of(model, n, rng, D=20):
    X = rng.random((n, D))
    return model.check(X, rng.integers(0, 3, n)) if isinstance(model, Labelled) else X


def one_by_one(model, rows, k, seed=0):
    """The bound by its definition: all rows at once, with one sample after another."""
    row = noise.row_keys(rows[:, : model.n_features_])
    key = {"seed": seed, "stream": noise.SCORE, "row": row}
    model = model.view()
    codes = tuple(a.copy() for a in model.encoder(rows))
    terms = [
        model.log_weight(rows, codes, model.draw_noise(len(rows), model.latent_dim, step=j, **key))
        for j in range(k)
    ]
    return np.logaddexp.reduce(terms, axis=0) - np.log(k)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
@pytest.mark.parametrize("kind", NOISY)
def test_the_bound_is_that_of_its_definition(kind, likelihood, rng):
    model = built(MODELS[kind](5, (8,), likelihood=likelihood, dtype="float64"))
    for n, k in ((1, 1), (1, 257), (3, 2), (3, 90), (130, 5)):
        rows = rows_of(model, n, rng)
        found = bounds.of_rows(model.view(), rows, k, 0)
        np.testing.assert_allclose(found, one_by_one(model, rows, k), rtol=1e-12)


@pytest.mark.parametrize("many", [2**6, 2**20])
def test_how_many_numbers_are_drawn_together_changes_nothing(monkeypatch, rng, many):
    model = built(VAE(5, (8,)))
    X = rng.random((40, 20))
    wanted = model.score_samples(X, 33)
    monkeypatch.setattr(bounds, "NUMBERS", many)
    np.testing.assert_array_equal(model.score_samples(X, 33), wanted)


COLUMNS = [
    VAE(3, ()),
    VAE(5, (30, 8), "tanh"),
    VAE(5, (8,), "softplus"),
    IWAE(5, (8,), k=2),
    ConditionalVAE(4, (9, 7)),
]


@pytest.mark.parametrize("D", [1, 7, 33, 784])
@pytest.mark.parametrize("model", COLUMNS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
def test_columns_as_log_weight(model, D, dtype, tolerance, rng):
    model = built(type(model)(**model.get_params() | {"dtype": dtype}), D).view()
    rows = rows_of(model, 50, rng, D).astype(dtype)
    codes = tuple(a.copy() for a in model.encoder(rows))
    columns = bounds.Columns(model, bounds.decoder_layers(model), rows, codes)
    assert bounds.has_columns(model)
    for seed in range(2):  # a buffer that is used again holds nothing of the last time
        eps = noise.normal(50, model.latent_dim, seed=seed, stream=0, dtype=dtype)
        found = columns.log_weight(eps)
        assert found.dtype == dtype
        wanted = model.log_weight(rows, codes, eps)
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def test_columns_of_large_logits():
    """Of logits of +-10,000, a right pixel costs nothing, exactly, and a wrong one 10,000 nats."""
    model = VAE(2, ()).build(100)
    x = (np.arange(100) % 2)[None].astype("float32")
    model.params_.array.fill(0)
    model.params_.out_b[:] = np.where(x[0] > 0, 1e4, -1e4)
    layers, codes = bounds.decoder_layers(model), (np.zeros((1, 2)), np.zeros((1, 2)))
    view, eps = model.view(), np.zeros((1, 2), "float32")
    assert bounds.Columns(view, layers, x, codes).log_weight(eps) == [0]
    assert bounds.Columns(view, layers, 1 - x, codes).log_weight(eps) == [-1e6]


class Darker(VAE):
    def decoder(self, z):
        return super().decoder(z) - 1


class Weighed(VAE):
    def log_weight(self, x, codes, eps):
        return super().log_weight(x, codes, eps) - 1


@pytest.mark.parametrize("kind", [Darker, Weighed])
def test_a_model_of_its_own_is_asked_itself(kind, rng):
    X, own, plain = rng.random((5, 20)), built(kind(5, (8,))), built(VAE(5, (8,)))
    np.testing.assert_allclose(own.score_samples(X, 4), one_by_one(own, X.astype("f4"), 4), 1e-5)
    assert (own.score_samples(X, 4) != plain.score_samples(X, 4)).all()


def test_one_score_at_the_default_size(rng):
    X = rng.random((200, 784))
    model = VAE().build(784)
    scores = model.score_samples(X, 3)
    for rows in (slice(0, 1), slice(7, 9), slice(60, 199)):
        np.testing.assert_array_equal(model.score_samples(X[rows], 3), scores[rows])


@pytest.mark.parametrize("kind", NOISY)
def test_on_a_gpu_as_on_the_cpu(kind, double, rng):
    here, there = (built(MODELS[kind](5, (8,), device=device)) for device in ("cpu", "cuda"))
    rows = rows_of(here, 600, rng)
    found = bounds.of_rows(there.view(), rows, 3, 0)
    np.testing.assert_allclose(found, bounds.of_rows(here.view(), rows, 3, 0), rtol=1e-5)
