"""Extreme values: logits of +-1e4, logvar of +-80, probabilities of 0 and 1, in every op.

What an op promises: the value that a textbook's formula gives, within rounding, and no warning on
the way, even where that formula overflows. Where the value itself is beyond the dtype, it is an
infinity of the right sign, and NumPy may say so; it is never NaN. Underflow is no fault: exp(-80)
squared is 0 in float32.

The textbook's formulas below are computed as they stand: in the extended precision of x86, where
exp(1e4) is a number.
"""

from itertools import product

import numpy as np
import pytest
from support.op_calls import call

from scratchvae.backend import to_numpy
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck.suites.random_inputs import SIZES
from scratchvae.models import losses

L = np.longdouble
if np.finfo(L).maxexp < 16384:
    pytest.skip("exp(1e4) needs a longer double than this machine has", allow_module_level=True)

VALUES = {
    "number": lambda dtype: (-1e4, -20, 0, 1e-3, 20, 1e4),
    "weight": lambda dtype: (-1e4, 0, 1e4),
    "logvar": lambda dtype: (-80, 0, 80),
    "noise": lambda dtype: (-6, 0, 6),
    "target": lambda dtype: (0, 0.3, 1),
    "probability": lambda dtype: [
        *(0, np.nextafter(dtype(0), dtype(1)), np.finfo(dtype).tiny, 0.3),
        *(np.nextafter(dtype(1), dtype(0)), 1),
    ],
}
N, W, LV, EPS, T = "number", "weight", "logvar", "noise", "target"
EXTREMES = {
    "linear": {"x": N, "W": W, "b": W},
    **{name: {"x": N} for name in ("relu", "sigmoid", "tanh", "softplus", "log_mean_exp")},
    "reparameterize": {"mu": N, "logvar": LV, "eps": EPS},
    "gaussian_kl": {"mu": N, "logvar": LV},
    "bce": {"p": "probability", "t": T},
    "bce_with_logits": {"logits": N, "t": T},
    "squared_error": {"x": N, "t": N},
    "gaussian_nll": {"mu": N, "logvar": LV, "t": N},
    "softmax_cross_entropy": {"logits": N, "t": T},
    "continuous_bernoulli": {"logits": N, "t": T},
    "log_prior_ratio": {"z": N, "logvar": LV, "eps": EPS},
    "linear_each_class": {"x": W, "W": W, "V": W, "b": W, "t": T},
    "unknown_class": {"logits": N, "cost": N},
}


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def clamped_log(p):
    return np.maximum(np.log(np.maximum(p, np.exp(L(-100)))), -100)


def cb_mean(x):
    near = np.where(x == 0, 1, x)
    return np.where(abs(x) < 0.1, 0.5 + x / 12 - x**3 / 720, 1 / (1 - np.exp(-near)) - 1 / near)


def cb_constant(x):
    near = np.where(x == 0, 1, x)
    return np.where(x == 0, 0, np.log(np.expm1(near) / near))


def row(dy):
    return dy[:, None]


# The summands of the output and of each gradient: axes behind the output's are summed over. Their
# absolute values say how far rounding may go.
TEXTBOOK = {
    "linear": (
        lambda x, W, b: [x[:, None] * W.T, b],
        lambda dy, x, W, b: [[dy[:, None] * W], [x.T[:, None] * dy.T], [dy.T]],
    ),
    "relu": (lambda x: [np.maximum(x, 0)], lambda dy, x: [[dy * (x > 0)]]),
    "sigmoid": (
        lambda x: [sigmoid(x)],
        lambda dy, x: [[dy * sigmoid(x) * sigmoid(-x)]],
    ),
    "tanh": (lambda x: [np.tanh(x)], lambda dy, x: [[dy * (1 - np.tanh(x) ** 2)]]),
    "softplus": (lambda x: [np.log1p(np.exp(x))], lambda dy, x: [[dy * sigmoid(x)]]),
    "log_mean_exp": (
        lambda x: [np.log(np.exp(x).mean(axis=1)), abs(x).max(axis=1), -abs(x).max(axis=1)],
        lambda dy, x: [[row(dy) * softmax(x)]],
    ),
    "reparameterize": (
        lambda mu, logvar, eps: [mu, np.exp(logvar / 2) * eps],
        lambda dy, mu, logvar, eps: [[dy], [dy * np.exp(logvar / 2) * eps / 2]],
    ),
    "gaussian_kl": (
        lambda mu, logvar: [mu**2 / 2, np.expm1(logvar) / 2, -logvar / 2],
        lambda dy, mu, logvar: [[row(dy) * mu], [row(dy) * np.expm1(logvar) / 2]],
    ),
    "bce": (
        lambda p, t: [-t * clamped_log(p), (t - 1) * clamped_log(1 - p)],
        lambda dy, p, t: [[row(dy) * (p - t) / np.maximum(p * (1 - p), 1e-12)]],
    ),
    "bce_with_logits": (
        lambda logits, t: [t * np.log1p(np.exp(-logits)), (1 - t) * np.log1p(np.exp(logits))],
        lambda dy, logits, t: [[row(dy) * sigmoid(logits), -row(dy) * t]],
    ),
    "squared_error": (lambda x, t: [(x - t) ** 2], lambda dy, x, t: [[2 * row(dy) * (x - t)]]),
    "gaussian_nll": (
        lambda mu, logvar, t: [
            np.exp(-logvar) * (t - mu) ** 2 / 2,
            np.broadcast_to(logvar / 2, mu.shape),
            np.full(mu.shape, np.log(2 * L(np.pi)) / 2),
        ],
        lambda dy, mu, logvar, t: [
            [row(dy) * np.exp(-logvar) * (mu - t)],
            [
                row(dy)[None] * L(0.5) * np.ones_like(mu),
                -row(dy)[None] * np.exp(-logvar) * (mu - t) ** 2 / 2,
            ],
        ],
    ),
    "softmax_cross_entropy": (
        lambda logits, t: [-t * log_softmax(logits)],
        lambda dy, logits, t: [
            [row(dy) * softmax(logits) * t.sum(axis=1, keepdims=True), -row(dy) * t]
        ],
    ),
    "continuous_bernoulli": (
        lambda logits, t: [cb_constant(logits), -logits * t],
        lambda dy, logits, t: [[row(dy) * cb_mean(logits), -row(dy) * t]],
    ),
    "log_prior_ratio": (
        lambda z, logvar, eps: [eps**2 / 2, logvar / 2, -(z**2) / 2],
        lambda dy, z, logvar, eps: [[-row(dy) * z], [row(dy) * np.full_like(z, 0.5)]],
    ),
    "linear_each_class": (
        lambda x, W, V, b, t: [x[:, None, None] * W.T, t[:, :, None] * V.T, b],
        lambda dy, x, W, V, b, t: [
            [dy.sum(axis=1)[:, None] * W],
            [x.T[:, None, :, None] * dy.transpose(2, 0, 1)],
            [t.transpose(2, 0, 1)[:, None] * dy.transpose(2, 0, 1)],
            [dy.transpose(2, 0, 1)],
        ],
    ),
    "unknown_class": (
        lambda logits, cost: [softmax(logits) * cost, softmax(logits) * log_softmax(logits)],
        lambda dy, logits, cost: [
            [
                row(dy) * softmax(logits) * (cost + log_softmax(logits)),
                -dy[:, None, None]
                * softmax(logits)[:, :, None]
                * (softmax(logits) * (cost + log_softmax(logits)))[:, None],
            ],
            [row(dy) * softmax(logits)],
        ],
    ),
}


def extremes(name, dtype, B):
    """Inputs: every combination of constant arrays, then mixed ones."""
    kinds, sizes = EXTREMES[name], {**SIZES, "B": B}
    shapes = {n: tuple(sizes[c] for c in spec.split()[0]) for n, spec in OPS[name].inputs.items()}
    choices = [np.array(VALUES[kind](dtype), dtype) for kind in kinds.values()]
    for combination in product(*choices):
        yield {n: np.full(shapes[n], v) for n, v in zip(kinds, combination, strict=True)}
    rng = np.random.default_rng(0)
    for _ in range(40):
        yield {n: rng.choice(v, shapes[n]) for n, v in zip(kinds, choices, strict=True)}


def upstreams(shape, dtype):
    yield from (np.full(shape, v, dtype) for v in (-1, 0, 1))
    yield np.random.default_rng(1).choice(np.array([-1, 0, 1], dtype), shape)


def added(terms, shape):
    """What the summands give, and the sum of their absolute values."""
    value, size = np.zeros(shape, L), np.zeros(shape, L)
    for term in terms:
        behind = tuple(range(len(shape), term.ndim))
        value += term.sum(axis=behind)
        size += abs(term).sum(axis=behind)
    return value, size


# Where an op promises less than that each of its summands is right to its own digits: the rounding
# of so much. A sigmoid or a tanh near 1, and a difference of 1 and such a one, are right to the
# rounding of 1, and so is the logarithm of a sum near 1.
OF_ONE = {
    "sigmoid": {"y": 1, "dx": 1},
    "tanh": {"dx": 1},
    "bce_with_logits": {"dlogits": 1},
    "softmax_cross_entropy": {"y": SIZES["C"]},
    "continuous_bernoulli": {"y": SIZES["D"]},
    "unknown_class": {"y": SIZES["C"], "dlogits": 1, "dcost": 1},
}


def agree(got, terms, of_one):
    """Whether a value lies beyond the dtype; AssertionError where the textbook says another."""
    value, size = added(terms, got.shape)
    info = np.finfo(got.dtype)
    beyond = abs(value) > info.max
    assert not np.isnan(got).any()
    np.testing.assert_array_equal(got[beyond], np.copysign(np.inf, value[beyond]))
    error = abs(got[~beyond] - value[~beyond])
    assert (error <= 16 * info.eps * (size[~beyond] + of_one) + info.tiny).all()
    return bool(beyond.any())


def test_every_op_has_its_extremes_and_its_textbook():
    assert {name: set(op.inputs) for name, op in OPS.items()} == {
        name: set(kinds) for name, kinds in EXTREMES.items()
    }
    assert set(TEXTBOOK) == set(OPS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPS)
def test_extreme_inputs_give_what_a_textbook_says(name, dtype, xp):
    op, (forward, backward), of_one = OPS[name], TEXTBOOK[name], OF_ONE.get(name, {})
    names, faults = ["y", *(f"d{n}" for n in op.gradients)], []
    for inputs in (case for B in (0, 1, 3) for case in extremes(name, dtype, B)):
        exact = {n: a.astype(L) for n, a in inputs.items()}
        device = {n: xp.asarray(a) for n, a in inputs.items()}
        with np.errstate(all="ignore"):
            shape = op.forward(**inputs).shape
        for dy in upstreams(shape, dtype):
            faults.clear()
            with np.errstate(all="call", under="ignore", call=lambda kind, _: faults.append(kind)):
                y, gradients = call(op, device, xp.asarray(dy))
            terms = [forward(**exact), *backward(dy.astype(L), **exact)]
            beyond = [
                agree(to_numpy(got), summands, of_one.get(what, 0))
                for what, got, summands in zip(names, (y, *gradients), terms, strict=True)
            ]
            assert {*faults} <= ({"overflow"} if any(beyond) else set()), inputs


def test_only_the_gaussian_cost_leaves_float32_and_nothing_leaves_float64():
    """exp(80) (1e4 - -1e4)^2 is 2e43, and its slopes are 1e39 and 1e43."""
    for name, op in OPS.items():
        for dtype in (np.float32, np.float64):
            finite = []
            for inputs in extremes(name, dtype, 3):
                with np.errstate(all="ignore"):
                    y, gradients = call(op, inputs, np.ones_like(op.forward(**inputs)))
                finite.append(all(np.isfinite(a).all() for a in (y, *gradients)))
            assert all(finite) == ((name, dtype) != ("gaussian_nll", np.float32))


def test_samples_that_weigh_nothing_are_no_nan(xp):
    """log w = -inf: where all are, so is the logarithm of their mean, and there is no gradient."""
    x = xp.asarray(np.array([[-np.inf, -np.inf], [-np.inf, 3], [1e4, 1e4]], dtype=np.float32))
    with np.errstate(all="raise"):
        y = losses.log_mean_exp(x)
        dx = losses.log_mean_exp_backward(xp.ones(3, dtype="float32"), x)
    np.testing.assert_allclose(to_numpy(y), [-np.inf, 3 - np.log(2), 1e4], rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(dx), [[0, 0], [0, 1], [0.5, 0.5]])
