"""Extreme values in whole models: logits, means and codes of +-1e4, logvar of +-80.

Biases of that size give every row such outputs, whatever the weights are, and a logvar of 80 gives
codes z of 1e17. Nothing becomes NaN, and NumPy has nothing to warn of. The exception is a cost that
is beyond float32, such as exp(80) (1e4)^2 = 6e42: it is infinite there, as in
`ops/test_op_extreme_values.py`.
"""

from dataclasses import astuple
from itertools import product

import numpy as np
import pytest

from scratchvae import IWAE, VAE, Autoencoder, ConditionalVAE, NonFiniteError, SemiSupervisedVAE
from scratchvae.evaluate import collapse, evaluate, metrics
from scratchvae.models import losses as likelihoods
from scratchvae.pictures import gallery
from scratchvae.train.optim import Adam

MODELS = {
    "vae": lambda **more: VAE(3, (6,), **more),
    "beta": lambda **more: VAE(3, (6,), activation="tanh", beta=4.0, **more),
    "free bits": lambda **more: VAE(3, (6,), activation="softplus", free_bits=0.5, **more),
    "capacity": lambda **more: VAE(3, (6,), capacity=5.0, **more),
    "autoencoder": lambda **more: Autoencoder(3, (6,), **more),
    "iwae": lambda **more: IWAE(3, (6,), k=3, **more),
    "vae of 3 samples": lambda **more: IWAE(3, (6,), k=3, objective="vae", **more),
    "dreg": lambda **more: IWAE(3, (6,), k=3, dreg=True, **more),
    "cvae": lambda **more: ConditionalVAE(3, (6,), **more),
    "m2": lambda **more: SemiSupervisedVAE(3, (6,), **more),
}
X = np.random.default_rng(0).random((4, 7))
X[0], X[1] = 0, 1
Y = np.array([0, 1, 2, 0])
QUIET = {"all": "raise", "under": "ignore"}
MOST = float(np.finfo(np.float32).max)


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


def extreme_models(make, **settings):
    """The model with every combination of extreme outputs."""
    gaussian = settings["likelihood"] == "gaussian"
    for y, mu, logvar, x_logvar in product(
        (-1e4, 1e4), (-1e4, 1e4), (-80, 80), (-80, 80) if gaussian else (0,)
    ):
        model = make(**settings)
        model.build(7, *([3] if labelled(model) else []))
        p = model.params_
        p.out_b[...], p.head_b[:3], p.head_b[3:] = y, mu, logvar
        if gaussian:
            p.x_logvar[...] = x_logvar
        if "class_b" in p:
            p.class_b[...] = (y, 0, mu)
        yield model


def labelled(model):
    return isinstance(model, (ConditionalVAE, SemiSupervisedVAE))


def step(model, x, y):
    """The loss and the gradients of a batch."""
    eps = np.random.default_rng(1).standard_normal((len(x), model.noise_width))
    loss, gradients = model.loss_and_grad(x, eps, y)
    return np.array([loss]), list(gradients.values())


def scores(model, x, y):
    """What it says of rows, larger is likelier, one array a call."""
    known = {"y": y} if labelled(model) else {}
    yield model.score_samples(x, **known)
    if isinstance(model, SemiSupervisedVAE):
        yield model.score_samples(x)
        yield model.score_samples(x, k=3)
    if not isinstance(model, Autoencoder):
        yield model.score_samples(x, k=3, **known)
    card = evaluate(model, x, known.get("y"), k=None if isinstance(model, Autoencoder) else 2)
    yield np.array([-card.rec - card.kl, -card.loss, card.log_likelihood or 0])


def codes_and_pictures(model, x, y):
    known = [y] if labelled(model) else []
    codes = model.encode(x, *known)
    yield from codes if isinstance(codes, tuple) else [codes]
    yield from (model.reconstruct(x, *known), model.sample(3), model.transform(x, *known))
    yield model.decode(np.full((2, 3), 1e4), *([1] if known else []))
    if isinstance(model, SemiSupervisedVAE):
        yield model.predict_proba(x)


@pytest.mark.parametrize("B", [1, 4])
@pytest.mark.parametrize(
    ("likelihood", "dtype"),
    [
        *product(("bernoulli", "continuous_bernoulli"), ("float32", "float64")),
        ("gaussian", "float64"),
    ],
)
def test_nothing_overflows(make, likelihood, dtype, B):
    x, y = X[:B], Y[:B]
    for model in extreme_models(make, likelihood=likelihood, dtype=dtype):
        with np.errstate(**QUIET):
            loss, gradients = step(model, x, y)
            arrays = [loss, *gradients, *scores(model, x, y), *codes_and_pictures(model, x, y)]
            arrays += [np.array(v, dtype=float) for v in numbers(model, x)]
            if isinstance(model, SemiSupervisedVAE):
                arrays += step(model, x, np.full(B, -1))[1]
        assert all(np.isfinite(a).all() for a in arrays)


def numbers(model, x):
    """What the card of an evaluation holds, but for what it leaves out and what it says."""
    y = Y[: len(x)] if labelled(model) else None
    card = evaluate(model, x, y, k=None if isinstance(model, Autoencoder) else 2)
    return [v for v in astuple(card) if v is not None and not isinstance(v, str)]


@pytest.mark.parametrize("B", [1, 4])
def test_a_cost_beyond_float32_is_infinite_and_no_nan(make, B):
    """Where it is not beyond, it is as in float64. A gradient of an infinite cost may be anything:

    the trainer stops at such a cost.
    """
    x, y, beyond = X[:B], Y[:B], []
    both = (extreme_models(make, likelihood="gaussian", dtype=d) for d in ("float32", "float64"))
    for narrow, wide in zip(*both, strict=True):
        exact = [step(wide, x, y)[0], *scores(wide, x, y)]
        outside = max(abs(a).max() for a in exact) > MOST
        beyond.append(outside)
        faults = {"over": "ignore"} if outside else {}
        with np.errstate(**QUIET | faults):
            found = [*scores(narrow, x, y), *codes_and_pictures(narrow, x, y)]
            assert not any(np.isnan(v) for v in numbers(narrow, x) if isinstance(v, float))
        with np.errstate(**{"all": "ignore"} if outside else QUIET):
            loss, gradients = step(narrow, x, y)
        assert outside or all(np.isfinite(g).all() for g in gradients)
        for a, b in zip([loss, *found], exact, strict=False):
            with np.errstate(over="ignore"):
                np.testing.assert_allclose(a, b.astype(np.float32), rtol=1e-3)
    assert any(beyond)
    assert not all(beyond)


# ------------------------------------------------------------------------------------ other numbers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_takes_large_gradients_and_small_ones(dtype):
    p, largest = np.zeros(6, dtype=dtype), 1e19 if dtype == "float32" else 1e150
    adam, g = Adam(p, lr=0.1), np.array([-1e4, 1e4, 1e-30, 0, -largest, largest], dtype=dtype)
    with np.errstate(**QUIET):
        for _ in range(60):
            adam.step(p, g)
    np.testing.assert_allclose(p, [6, -6, 0, 0, 6, -6], rtol=1e-4, atol=1e-6)


def test_a_gradient_without_a_square_in_float32_is_noticed():
    p = np.zeros(2, dtype="float32")
    adam = Adam(p)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(2):
            adam.step(p, np.array([1e30, 1], dtype="float32"))
    np.testing.assert_array_equal(np.isnan(p), [True, False])

    vae = VAE(3, (6,), likelihood="gaussian", x_variance=1e-24)  # slopes of 1e24
    with pytest.raises(NonFiniteError, match=r"the moment v is the first tensor"):
        vae.fit(X, epochs=3, batch_size=4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_of_extreme_codes_and_scores(dtype):
    rng = np.random.default_rng(0)
    mu = rng.choice(np.array([-1e4, 0, 1e4], dtype=dtype), (50, 3))
    mu[:, 2] = 1e4
    labels = np.arange(50) % 2
    with np.errstate(**QUIET):
        for value in (-80, 0, 80):
            logvar = np.full_like(mu, value)
            z = mu + np.exp(logvar / 2) * rng.standard_normal(mu.shape).astype(dtype)
            told = metrics.mutual_information(mu, logvar, z)
            assert -1e-9 <= told <= np.log(50)
            expected = (mu.astype(float) ** 2).mean(axis=0) + np.expm1(float(value)) - value
            np.testing.assert_allclose(metrics.unit_kl(mu, logvar), expected / 2, rtol=1e-12)
        np.testing.assert_array_equal(metrics.active_units(mu), [True, True, False])
        for scores in (1e30 * labels, np.where(labels, np.inf, -np.inf), -1e4 + labels):
            assert metrics.roc_auc(scores.astype(dtype), labels) == 1
            assert metrics.average_precision(scores.astype(dtype), labels) == 1
        assert metrics.roc_auc(np.full(50, -np.inf), labels) == 0.5
        path = gallery.slerped(mu, -mu, 5)
        assert np.isfinite(path).all()
        np.testing.assert_allclose(gallery.slerped(mu, mu, 5)[:, 2], mu)


def test_output_biases_of_black_and_white_pixels():
    with np.errstate(**QUIET):
        for likelihood in likelihoods.LIKELIHOODS:
            y = likelihoods.output_with_mean(np.array([0.0, 1e-30, 0.5, 1.0]), likelihood)
            assert np.isfinite(y).all()


def test_the_mean_of_a_continuous_bernoulli_pixel_at_any_logit():
    with np.errstate(**QUIET):
        mean = likelihoods.continuous_bernoulli_mean(np.array([-1e30, 0, 1e30], dtype="float32"))
    np.testing.assert_allclose(mean, [1e-30, 0.5, 1], rtol=1e-6)  # -1 / logit, in the limit


def test_a_report_of_one_row_of_the_first_label():
    """Whose variance is 0, which nothing can be a share of."""
    rng = np.random.default_rng(0)
    cvae = ConditionalVAE(3, (6,)).build(7, 2)
    report = collapse.collapse_report(cvae, rng.random((20, 7)), np.arange(20) > 0)
    assert 0 < report.spread < np.inf
