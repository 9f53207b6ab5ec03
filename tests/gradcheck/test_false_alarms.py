# ruff: noqa: E501 (a table of one case a line)
"""Correct gradients that cause false alarms: forwards that round, have kinks, or vary fast."""

import numpy as np
import pytest

from scratchvae.gradcheck import check
from scratchvae.gradcheck.report import FAIL, GOOD, INCONCLUSIVE


def normal(rng, n):
    return rng.standard_normal(n)


def zeros_among(rng, n):
    return rng.standard_normal(n) * (rng.random(n) > 0.4)


def near_one(rng, n):
    """On both sides of 1, as far as 0.1 and as near as 1e-9."""
    return 1 + rng.choice([-1, 1], n) * 10.0 ** -rng.uniform(1, 9, n)


def of_all_sizes(rng, n):
    return 10.0 ** rng.uniform(-9, 3, n)


HARD = {
    "offset 1e2": (lambda x: (x + 1e2) - 1e2, lambda dy, x: dy * 1, normal),
    "offset 1e4": (lambda x: (x + 1e4) - 1e4, lambda dy, x: dy * 1, normal),
    "offset 1e6": (lambda x: (x + 1e6) - 1e6, lambda dy, x: dy * 1, normal),
    "float32 inside": (lambda x: (x.astype("f4") ** 2).astype("f8"), lambda dy, x: 2 * x * dy, normal),
    "a mean that cancels": (
        lambda x: np.asarray(((x + 1e4) ** 2 - 1e8).mean()), lambda dy, x: dy * 2 * (x + 1e4) / len(x), normal,
    ),
    "sin of 1e6": (lambda x: np.sin(1e6 + x), lambda dy, x: dy * np.cos(1e6 + x), normal),
    "a thousand waves": (lambda x: np.sin(1e3 * x), lambda dy, x: dy * 1e3 * np.cos(1e3 * x), normal),
    "exp of 30 x": (lambda x: np.exp(30 * x), lambda dy, x: dy * 30 * np.exp(30 * x), normal),
    "kink nearby": (lambda x: np.maximum(x - 1, 0), lambda dy, x: dy * (x > 1), near_one),
    "abs with zeros": (lambda x: np.abs(x), lambda dy, x: dy * np.sign(x), zeros_among),
    "log of all sizes": (lambda x: np.log(x), lambda dy, x: dy / x, of_all_sizes),
    "x log x with zeros": (
        lambda x: np.abs(x) * np.log(np.abs(x) + 1e-6),
        lambda dy, x: dy * np.sign(x) * (np.log(np.abs(x) + 1e-6) + np.abs(x) / (np.abs(x) + 1e-6)),
        zeros_among,
    ),
}  # fmt: skip


@pytest.mark.parametrize("n", [1, 3, 30])
@pytest.mark.parametrize("name", HARD)
def test_no_false_alarm_and_no_false_pass(name, n):
    f, f_backward, draw = HARD[name]
    passed = 0
    for seed in range(20):
        x = {"x": draw(np.random.default_rng([seed, n]), n)}
        right = check(f, f_backward, x, seed=seed)
        assert right.verdict in (*GOOD, INCONCLUSIVE), right
        passed += right.verdict in GOOD
        wrong = check(f, lambda dy, x: 1.05 * f_backward(dy, x), x, seed=seed)
        gradient = f_backward(np.ones_like(f(**x)), **x)
        if right.verdict in GOOD and gradient.any():
            assert wrong.verdict == FAIL, (seed, wrong)
    assert passed >= 18


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, z):
    p = softmax(z)
    return p * (dy - (dy * p).sum(axis=-1, keepdims=True))


def entropy(z):
    p = softmax(z)
    return -(p * np.log(p)).sum(axis=-1)


def entropy_backward(dy, z):
    p = softmax(z)
    return -dy[:, None] * p * (np.log(p) + entropy(z)[:, None])


def logits(rng, gap):
    z = rng.standard_normal((6, 5))
    z[np.arange(6), rng.integers(0, 5, 6)] += gap
    return z


def saturated(rng, gap):
    return gap + rng.standard_normal(20)


CONFIDENT = {
    "tanh": (lambda z: np.tanh(z), lambda dy, z: dy * (1 - np.tanh(z) ** 2), saturated),
    "1 - tanh": (lambda z: 1 - np.tanh(z), lambda dy, z: -dy / np.cosh(z) ** 2, saturated),
    "log cosh": (lambda z: np.log(np.cosh(z)), lambda dy, z: dy * np.tanh(z), saturated),
    "sigmoid": (sigmoid, lambda dy, z: dy * sigmoid(z) * (1 - sigmoid(z)), saturated),
    "1 - sigmoid": (lambda z: 1 - sigmoid(z), lambda dy, z: -dy * sigmoid(z) * (1 - sigmoid(z)), saturated),
    "log sigmoid": (lambda z: np.log(sigmoid(z)), lambda dy, z: dy * (1 - sigmoid(z)), saturated),
    "softplus(z) - z": (lambda z: np.logaddexp(0, z) - z, lambda dy, z: dy * (sigmoid(z) - 1), saturated),
    "a squared error": (
        lambda z: ((sigmoid(z) - 1) ** 2).sum(), lambda dy, z: 2 * dy * (sigmoid(z) - 1) * sigmoid(z) * (1 - sigmoid(z)), saturated,
    ),
    "softmax": (softmax, softmax_backward, logits),
    "log softmax": (lambda z: np.log(softmax(z)), lambda dy, z: dy - softmax(z) * dy.sum(axis=-1, keepdims=True), logits),
    "entropy": (entropy, entropy_backward, logits),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("gap", [5, 10, 15, 20, 30, 40, 50])
@pytest.mark.parametrize("name", CONFIDENT)
def test_confident_predictions(name, gap, dtype):
    f, f_backward, draw = CONFIDENT[name]
    for seed in range(4):
        scale = 1 if dtype == "float64" else 0.4  # exp of what is larger is lost in float32
        z = {"z": draw(np.random.default_rng([seed, gap]), gap * scale).astype(dtype)}
        right = check(f, f_backward, z, seed=seed)
        assert right.verdict in (*GOOD, INCONCLUSIVE), right
        assert right.verdict in GOOD or gap > 10, right

        def wrong(dy, z):
            return 1.05 * f_backward(dy, z)

        if right.verdict in GOOD and f_backward(np.ones_like(f(**z)), **z).any():
            assert check(f, wrong, z, seed=seed).verdict == FAIL
