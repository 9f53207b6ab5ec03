"""The scores beside the bound: known answers, the gradient of the refinement, one row one score."""

import zlib

import numpy as np
import pytest

from scratchvae import VAE, Autoencoder, ConditionalVAE, InputError
from scratchvae.backend import noise
from scratchvae.gradcheck import check
from scratchvae.models import MODELS, Labelled, scores
from scratchvae.models.losses import LIKELIHOODS
from scratchvae.models.scores import KINDS, regret
from scratchvae.models.scores.regret import start_of

NOISY = [kind for kind, model in MODELS.items() if model.noisy]


def built(kind, D=20, **settings):
    """A model with larger parameters than those it begins with, and biases."""
    model = MODELS[kind](**{"latent_dim": 3, "hidden": (8,)} | settings)
    model.build(D, 3) if isinstance(model, Labelled) else model.build(D)
    p = model.params_.array
    p += noise.normal(1, p.size, seed=1, stream=0, dtype=model.dtype, xp=model.xp)[0] / 5
    return model


def labels(model, n):
    return {"y": np.arange(n) % 3} if isinstance(model, Labelled) else {}


def arguments(model, kind):
    return {"kind": kind, **({"normal": -12.5} if kind == "typicality" else {})}


def refinement(model, rng, n=4, k=2):
    """The arguments of `regret.forward` for n rows."""
    rows = model.check(rng.random((n, model.n_features_)), **labels(model, n))
    eps = noise.normal(k * n, model.latent_dim, seed=3, stream=0, dtype=model.dtype)
    return *start_of(model, model.to_device(rows, "x").copy(), k), eps


# ------------------------------------------------------------------------------ likelihood regret


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    ("kind", "hidden"), [("vae", ()), ("vae", (9, 7)), *((kind, (8,)) for kind in NOISY)]
)
def test_the_gradient_of_the_refinement(kind, hidden, likelihood, rng):
    settings = {"likelihood": likelihood, "hidden": hidden, "activation": "tanh"}
    model = built(kind, dtype="float64", **settings)
    x, t, mu, logvar, eps = refinement(model, rng, k=3)

    def cost(mu, logvar):
        return regret.forward(model, x, t, mu, logvar, eps).cost

    def cost_backward(dy, mu, logvar):
        return regret.backward(model, dy, regret.forward(model, x, t, mu, logvar, eps))

    check(cost, cost_backward, {"mu": mu, "logvar": logvar}).raise_if_failed()


@pytest.mark.parametrize("kind", NOISY)
def test_before_it_is_refined_the_cost_is_the_negative_elbo(kind, rng):
    model = built(kind, dtype="float64")
    x, t, mu, logvar, eps = refinement(model, rng, k=1)
    acts = model.forward(np.hstack((x, t)), eps)
    found = regret.forward(model, x, t, mu, logvar, eps).cost
    prior = np.log(3) if kind == "m2" else 0  # of the label
    np.testing.assert_allclose(found, acts.rec + acts.kl - prior, rtol=1e-12)


def linear(D=12, Z=3, variance=0.3):
    """A linear Gaussian VAE whose posterior has independent units, and log p(x) in closed form."""
    settings = {"likelihood": "gaussian", "x_variance": variance, "dtype": "float64"}
    model = built("vae", D, latent_dim=Z, hidden=(), **settings)
    scales = np.arange(1.0, Z + 1)[:, None]
    W = model.params_.out_W
    W[...] = np.linalg.qr(W.T)[0].T * scales
    C = W.T @ W + variance * np.eye(D)

    def log_p(X):
        d = X - model.params_.out_b
        sizes = np.einsum("nd,nd->n", d @ np.linalg.inv(C), d)
        return -(sizes + np.linalg.slogdet(2 * np.pi * C)[1]) / 2

    return model, log_p


def test_a_linear_model_is_refined_to_its_exact_likelihood(rng):
    """Where q can be the posterior, the regret is log p(x) - ELBO.

    The points +-sqrt(Z) e_j have the moments of N(0, 1) up to the third, so that the mean of the
    quadratic -log p(x|z) over them is exact.
    """
    model, log_p = linear()
    (n, Z), X = (6, 3), 2 * rng.normal(size=(6, 12))
    points = np.sqrt(Z) * np.vstack((np.eye(Z), -np.eye(Z)))
    start, least = regret.refine(model, *start_of(model, X, 2 * Z), points.repeat(n, 0), steps=600)
    np.testing.assert_allclose(least, -log_p(X), atol=1e-4)
    elbo = [model.score_samples(X, seed=seed) for seed in range(1000)]
    error = np.std(elbo, axis=0) / 1000**0.5
    assert (np.abs(np.mean(elbo, axis=0) + start) < 5 * error).all()


def test_a_posterior_that_is_exact_has_no_regret(rng):
    """The encoder of the linear model, in closed form: mu = v W (x - b) / s, v = 1 / (1 + w^2/s)"""
    model, _ = linear(variance=0.3)
    p, Z = model.params_, 3
    v = 1 / (1 + np.arange(1.0, Z + 1) ** 2 / 0.3)
    p.head_W[:, :Z], p.head_W[:, Z:] = p.out_W.T * v / 0.3, 0
    p.head_b[:Z], p.head_b[Z:] = -p.out_b @ p.head_W[:, :Z], np.log(v)
    X = model.sample(30, draw=True)
    exact = -model.score_samples(X, 200, kind="regret")
    assert (exact >= 0).all()
    assert exact.max() < 0.1
    p.head_b[0] += 0.5  # now mu is off by half a unit: (1 + w^2/s) 0.5^2 / 2 nats
    off = -model.score_samples(X, 200, kind="regret")
    np.testing.assert_allclose(off - exact, 0.125 / v[0], atol=0.1)


def test_samples_whose_memory_is_in_use_at_once_are_limited(rng):
    with pytest.raises(InputError, match="kind='regret' takes at most 200 samples of z, got 201"):
        built("vae").score_samples(rng.random((2, 20)), 201, kind="regret")


def test_steps_that_go_too_far_are_not_taken(rng, monkeypatch):
    monkeypatch.setattr(regret, "RATES", (50.0, 50.0))
    model = built("vae", dtype="float64")
    start, least = regret.refine(model, *refinement(model, rng))
    np.testing.assert_array_equal(start, least)


def test_refining_never_costs(rng):
    for kind in NOISY:
        model = built(kind)
        X = rng.random((30, 20))
        for k in (None, 1, 3):
            found = model.score_samples(X, k, kind="regret", **labels(model, 30))
            assert (found <= 0).all()
            assert (found < 0).any()


# ---------------------------------------------------------------------------------- the others


def test_complexity_adds_exactly_the_bytes(rng):
    vae = built("vae", 784)
    X = np.zeros((3, 784), np.uint8)
    X[1, 100:300], X[2] = 255, rng.integers(0, 256, 784)
    gained = vae.score_samples(X, kind="complexity") - vae.score_samples(X)
    sizes = [len(zlib.compress(x.tobytes(), 9)) for x in X]
    np.testing.assert_allclose(gained, 8 * np.log(2) * np.array(sizes), rtol=1e-5)
    assert sizes[0] < sizes[1] < sizes[2]
    for same in (X / 255, (X / 255).astype("f4")):
        np.testing.assert_array_equal(scores.compressed(vae, same), scores.compressed(vae, X))
    gained = vae.score_samples(X, 3, kind="complexity") - vae.score_samples(X, 3)
    np.testing.assert_allclose(gained, 8 * np.log(2) * np.array(sizes), rtol=1e-5)


def test_of_a_table_the_bytes_are_steps_of_1_in_255(rng):
    model = built("vae", 300, likelihood="gaussian", dtype="float64")
    X = rng.integers(-400, 400, (1, 300)) / 255
    X[0, :2] = 1e6, -1e6
    steps = [2**15 - 1, -(2**15), *np.rint(X[0, 2:] * 255).astype(int).tolist()]
    row = bytes(n & 255 for n in steps) + bytes(n >> 8 & 255 for n in steps)
    wanted = 8 * np.log(2) * len(zlib.compress(row, 9))
    np.testing.assert_allclose(scores.compressed(model, X), wanted)


def test_labels_are_no_bytes_of_a_row(rng):
    model, X = built("cvae"), rng.random((4, 20))
    rows = model.check(X, [0, 1, 2, 0])
    np.testing.assert_array_equal(scores.compressed(model, rows), scores.compressed(model, X))


def test_typicality_is_the_distance_to_the_mean(rng):
    vae, X = built("vae"), rng.random((6, 20))
    elbo = vae.score_samples(X)
    at_the_mean = vae.score_samples(X, kind="typicality", normal=elbo[2])
    assert at_the_mean[2] == 0
    np.testing.assert_allclose(at_the_mean, -abs(elbo - elbo[2]))
    assert (at_the_mean[elbo != elbo[2]] < 0).all(), "too cheap is odd, too"
    groups = ["a", "b", "a", "a", "b", "c"]
    found = vae.score_samples(X, kind="typicality", normal=-14.0, groups=groups)
    for rows in ([0, 2, 3], [1, 4], [5]):
        np.testing.assert_allclose(found[rows], -abs(elbo[rows].mean() + 14), rtol=1e-5)
    every = vae.score_samples(X, kind="typicality", normal=elbo.mean(), groups=np.zeros(6))
    np.testing.assert_allclose(every, 0, atol=1e-5)
    tight = vae.score_samples(X, 5)
    found = vae.score_samples(X, 5, kind="typicality", normal=-14)
    np.testing.assert_allclose(found, -abs(tight + 14), rtol=1e-6)


@pytest.mark.parametrize("kind", NOISY)
def test_the_reconstruction_is_the_mean_over_samples(kind, rng):
    model = built(kind, dtype="float64")
    X, y = rng.random((5, 20)), labels(model, 5)
    rows = model.check(X, **y)
    key = {"seed": 7, "stream": noise.SCORE, "row": noise.row_keys(X)}
    one = model.forward(rows, model.draw_noise(5, **key)).rec
    found = model.score_samples(X, kind="reconstruction", seed=7, **y)
    np.testing.assert_allclose(found, -one, rtol=1e-12)
    each = [model.forward(rows, model.draw_noise(5, 3, step=j, **key)).rec.copy() for j in range(4)]
    found = model.score_samples(X, 4, kind="reconstruction", seed=7, **y)
    np.testing.assert_allclose(found, -np.mean(each, axis=0), rtol=1e-12)


def test_an_autoencoder_has_but_one_cost(rng):
    model, X = built("ae"), rng.random((5, 20))
    np.testing.assert_array_equal(
        model.score_samples(X, kind="reconstruction"), model.score_samples(X)
    )


# ------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("score", KINDS[1:])
@pytest.mark.parametrize("kind", MODELS)
def test_alone_as_in_the_batch(kind, score, rng):
    model = built(kind)
    if score == "regret" and not model.noisy:
        return
    n, more = 150, arguments(model, score)
    X, y = rng.random((n, 20)), labels(model, n)
    for k in (None, 3) if model.noisy else (None,):
        found = model.score_samples(X, k, **more, **y)
        assert found.shape == (n,)
        for i in (0, 130, n - 1):
            one = {name: a[i : i + 1] for name, a in y.items()}
            assert model.score_samples(X[i : i + 1], k, **more, **one) == found[i]
        assert model.score_samples(X[:0], k, **more, **{name: a[:0] for name, a in y.items()}).shape


@pytest.mark.parametrize("score", KINDS)
@pytest.mark.parametrize("kind", MODELS)
def test_on_a_gpu_as_on_the_cpu(kind, score, double, rng):
    here, there = (built(kind, dtype="float64", device=device) for device in ("cpu", "cuda"))
    if score == "regret" and not here.noisy:
        return
    X, y = rng.random((20, 20)), labels(here, 20)
    more = arguments(here, score) | y
    np.testing.assert_allclose(
        there.score_samples(X, **more), here.score_samples(X, **more), rtol=1e-6
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("score", KINDS)
@pytest.mark.parametrize("kind", NOISY)
def test_a_row_that_overflows_is_the_least_normal(kind, score, rng):
    model = built(kind, likelihood="gaussian")
    X = rng.normal(size=(4, 20))
    X[1] = 1e30
    found = model.score_samples(X, **arguments(model, score), **labels(model, 4))
    assert found.argmin() == 1
    assert found[1] == -np.inf
    assert np.isfinite(np.delete(found, 1)).all()


class Darker(VAE):
    def decoder(self, z):
        return super().decoder(z) - 1


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        (VAE, {"kind": "likelihood"}, "kind must be one of elbo, reconstruction, regret, compl"),
        (Autoencoder, {"kind": "regret"}, "Autoencoder has no q.z.x. to refine, so it has no like"),
        (Autoencoder, {"kind": "complexity", "k": 3}, "Autoencoder draws no samples of z"),
        (Darker, {"kind": "regret"}, "not that of Darker: choose another kind"),
        (VAE, {"kind": "regret", "k": 0}, "k must be a whole number >= 1, got 0"),
        (VAE, {"kind": "typicality"}, "'typicality' needs normal, the finite mean of.*; got None"),
        (VAE, {"kind": "typicality", "normal": np.nan}, "the finite mean of.*; got nan"),
        (VAE, {"kind": "typicality", "normal": np.ones(4)}, "the finite mean of.*; got array"),
        (VAE, {"kind": "typicality", "normal": 1, "groups": [1]}, r"per row, \(4,\), got \(1,\)"),
        (VAE, {"normal": 1.0}, "normal and groups are for kind='typicality', not 'elbo'"),
        (VAE, {"kind": "regret", "groups": [1, 1, 1, 1]}, "normal and groups are for"),
        (ConditionalVAE, {"kind": "regret"}, "ConditionalVAE needs the label of each row: pass y"),
    ],
)
def test_what_is_wrong_is_one_sentence(model, more, message, rng):
    model = model(3, (8,)).build(20)
    with pytest.raises(InputError, match=message) as error:
        model.score_samples(rng.random((4, 20)), **more)
    assert "\n" not in str(error.value)


def test_a_broken_model_gives_no_scores(rng):
    model = built("vae")
    model.params_["out_b"][0] = np.nan
    for score in KINDS:
        with pytest.raises(InputError, match="a parameter of the model is NaN or infinite"):
            model.score_samples(rng.random((4, 20)), **arguments(model, score))
