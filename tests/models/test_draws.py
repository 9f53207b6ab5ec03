"""`sample(draw=True)` draws from p(x|z): its distribution, its noise, and its units."""

import numpy as np
import pytest

from scratchvae import VAE, InputError
from scratchvae.backend import noise
from scratchvae.models import MODELS, Labelled, losses

ROWS = 300  # not a multiple of the block
SIGMAS = 5  # standard errors
LOGITS = [-1e4, -30.0, -2.0, -1e-3, -1e-9, 0.0, 1e-30, 0.4, 5.0, 1e4]


def variance(y, likelihood, x_variance=0.5):
    """The variance of p(x|z), from logits y."""
    if likelihood == "gaussian":
        return np.full(y.shape, x_variance)
    if likelihood == "bernoulli":
        p = 1 / (1 + np.exp(-y))
        return p * (1 - p)
    size = np.maximum(np.abs(y), 1e-2)  # A''(l) = 1/l^2 - 1/(2 sinh(l/2))^2, 1/12 at 0
    return 1 / size**2 - 1 / (2 * np.sinh(np.minimum(size, 1000) / 2)) ** 2


def has_moments(x, mean, var):
    """x, (N,D) or (N,), has this mean and variance, both to 5 standard errors, column by column."""
    r = (x - mean) / np.sqrt(var)
    n = len(r)
    fourth = (r**4).mean(axis=0)
    assert (np.abs(r.mean(axis=0)) < SIGMAS / n**0.5).all()
    assert (np.abs((r**2).mean(axis=0) - 1) < SIGMAS * np.sqrt(fourth / n)).all()


# ------------------------------------------------------------------------------- the densities


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_draw_of_the_continuous_bernoulli_is_its_inverse_distribution_function(dtype, xp):
    u = np.linspace(0, 1, 1001)[:-1]
    for logit in LOGITS:
        y = xp.full((1000, 1), logit, dtype=dtype)
        x = losses.likelihood_draw(
            None, y, xp.asarray(u[:, None].astype(dtype)), "continuous_bernoulli"
        )
        assert x.dtype == y.dtype
        x = (x if xp is np else x.get()).astype(float)[:, 0]
        assert x.min() >= 0
        assert x.max() <= 1
        assert (np.diff(x) * (-1 if logit > 0 else 1) >= 0).all()
        # of -|l|: the draw mirrors the density of l > 0
        x, size = 1 - x if logit > 0 else x, max(abs(logit), 1e-6)
        share = np.expm1(-size * x) / np.expm1(-size)
        if size < 100:  # beyond, 1 - x does not resolve x
            np.testing.assert_allclose(
                share, u, atol=2e-6 * max(size, 1) if dtype == "float32" else 1e-9
            )


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
@pytest.mark.parametrize("logit", [-20.0, -2.0, -1e-3, 0.0, 1e-9, 0.4, 5.0])
def test_a_draw_has_the_mean_and_the_variance_of_its_density(likelihood, logit):
    u = np.random.default_rng(1).random((200_000, 1))
    y = np.full(u.shape, logit)
    x = losses.likelihood_draw(None, y.copy(), u, likelihood)[:, 0]
    mean = losses.likelihood_mean(y.copy()[:1], likelihood)[0, 0]
    assert set(np.unique(x)) <= {0, 1} or likelihood != "bernoulli"
    if logit > -20 or likelihood != "bernoulli":
        has_moments(x, mean, variance(y[:1, 0], likelihood)[0])
    else:
        assert x.mean() < 1e-4


# --------------------------------------------------------------------------------- the models


CASES = [(kind, likelihood) for kind in MODELS for likelihood in losses.LIKELIHOODS]


def train(kind, likelihood, device="cpu"):
    """A model of 36 grey pixels, with four classes."""
    rng = np.random.default_rng(0)
    extra = {"x_variance": 0.5} if likelihood == "gaussian" else {}
    config = {"latent_dim": 3, "hidden": (16,), "lr": 0.01, "seed": 1, "device": device}
    model = MODELS[kind](**config, likelihood=likelihood, **extra)
    return model.fit(rng.random((ROWS, 36)), np.arange(ROWS) % 4, epochs=3)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def fitted(request):
    return train(*request.param)


def test_draws_scatter_around_the_means_of_the_same_codes(fitted):
    n, likelihood = 2000, fitted.likelihood
    mean = fitted.sample(n, seed=4).astype(float)
    x = fitted.sample(n, seed=4, draw=True)
    assert x.shape == mean.shape
    assert x.dtype == np.float32
    if likelihood == "bernoulli":
        assert set(np.unique(x)) == {0, 1}
    elif likelihood == "continuous_bernoulli":
        assert x.min() >= 0
        assert x.max() <= 1
    var = variance(losses.output_with_mean(mean, likelihood), likelihood)
    z = noise.normal(n, 3, seed=4, stream=noise.SAMPLE)
    residual = (x - mean)[:, :3]  # of the first pixels, where a stream used twice would show
    for i in range(3):
        assert abs(np.corrcoef(z[:, i], residual[:, i])[0, 1]) < SIGMAS / n**0.5
    some = (mean > 0.02) & (mean < 0.98) if likelihood != "gaussian" else mean < np.inf
    has_moments(x[some].astype(float), mean[some], var[some])


def test_a_draw_depends_on_the_seed_and_on_its_number_alone(fitted):
    x = fitted.sample(ROWS, draw=True)
    np.testing.assert_array_equal(x, fitted.sample(ROWS, draw=True, seed=1))  # the model's seed
    np.testing.assert_array_equal(x[:200], fitted.sample(200, draw=True))
    assert len(np.unique(x, axis=0)) == ROWS
    residual = x - fitted.sample(ROWS)
    assert np.abs(np.corrcoef(residual[:100].ravel(), residual[128:228].ravel())[0, 1]) < 0.1
    assert (x != fitted.sample(ROWS, draw=True, seed=2)).any()


@pytest.mark.parametrize("kind", [kind for kind in MODELS if issubclass(MODELS[kind], Labelled)])
def test_draws_of_a_label(kind):
    model = train(kind, "bernoulli")
    x = model.sample(6, draw=True)
    np.testing.assert_array_equal(x, model.sample(6, [0, 1, 2, 3, 0, 1], draw=True))
    np.testing.assert_array_equal(model.sample(4, 3, draw=True)[3], x[3])
    with pytest.raises(InputError, match="label 11 is not one of the learned classes"):
        model.sample(4, 11, draw=True)


@pytest.mark.parametrize(("kind", "likelihood"), CASES)
def test_draws_on_another_device(kind, likelihood, double):
    a, b = (train(kind, likelihood, device).sample(9, draw=True) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------ the units


@pytest.fixture
def table(rng):
    """Two factors and noise, columns of very different sizes."""
    X = rng.standard_normal((1000, 2)) @ rng.standard_normal((2, 5))
    return (X + rng.standard_normal(X.shape)) * [1, 1000, 0.01, 5, 1] + [0, -500, 3, 0, 1]


@pytest.mark.parametrize("x_variance", [None, 0.3])
def test_synthetic_rows_vary_as_the_data_do(table, x_variance):
    vae = VAE(
        latent_dim=2, hidden=(64,), likelihood="gaussian", scale="standard", x_variance=x_variance
    ).fit(table, epochs=60, batch_size=32)
    x = vae.sample(4000, draw=True)
    assert (np.abs(x.mean(axis=0) - table.mean(axis=0)) < 0.15 * table.std(axis=0)).all()
    np.testing.assert_allclose(x.std(axis=0), table.std(axis=0), rtol=0.15)
    means = vae.sample(4000)  # which vary less
    assert (means.std(axis=0) < 0.9 * table.std(axis=0)).all()
    residual = (x - means) / vae.rows_.factor
    var = np.exp(vae.params_["x_logvar"][0]) if x_variance is None else x_variance
    has_moments(residual.astype(float), 0, float(var))


@pytest.mark.parametrize(
    ("X", "scale", "values"),
    [
        (np.uint8([[0, 255]] * 9), "none", [0, 1]),
        (np.uint8([[0, 1], [1, 1]] * 9), "none", [0, 1]),
        (np.uint8([[0, 255]] * 9), "bytes", [0, 255]),
        (np.array([[2, 7.0]] * 4 + [[7, 2]]), "minmax", [2, 7]),
    ],
    ids=["bytes", "binary", "scaled bytes", "minmax"],
)
def test_pixels_are_drawn_in_the_units_that_decode_has(X, scale, values):
    vae = VAE(latent_dim=1, hidden=(3,)).fit(X, scale=scale, epochs=1)
    assert np.unique(vae.sample(50, draw=True)).tolist() == values


def test_an_untrained_model_has_nothing_to_draw():
    with pytest.raises(InputError, match="is not fitted yet"):
        VAE().sample(3, draw=True)
