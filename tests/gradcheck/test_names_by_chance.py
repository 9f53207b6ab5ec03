# ruff: noqa: E501 (a table of one bug a line)
"""What fits a wrong gradient by chance, or fits many bugs alike, is no name of a bug."""

import inspect
import re

import numpy as np
import pytest

from scratchvae.gradcheck import check
from scratchvae.gradcheck.report import FAIL


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def said(f, f_backward, inputs, name="x", seed=0):
    report = check(f, f_backward, inputs, seed=seed)
    (leaf,) = (leaf for leaf in report.leaves if leaf.name == name)
    assert leaf.verdict == FAIL, report
    return leaf.message


POSITIVE = {"x": 0.2 + np.abs(normal(3, 4))}
PASSED_ON = r"^dy is passed on unchanged: the derivative of the forward is missing$"
TERM = r"^the error is (a )?{} along axis {}: such a term is missing or extra$"
ROWS = {"x": normal(6, 7), "s": normal(7, seed=1)}
IMAGES = {"x": normal(3, 4, 5), "s": normal(4, seed=1)}
SQUARE = {"x": normal(3, 3), "s": normal(3, seed=1)}


def centred(x):
    return x - x.mean(axis=1, keepdims=True)


# forward, the wrong gradient of x, inputs, what is said of it
BUGS = {
    "a square": (lambda x: x * x, lambda dy, x: dy, POSITIVE, r"^a factor 2 x is missing$"),
    "a product": (lambda x, w: x * w, lambda dy, x, w: dy, {**POSITIVE, "w": normal(3, 4, seed=1)}, r"^a factor w is missing$"),
    "a logarithm": (lambda x: np.log(x), lambda dy, x: dy, POSITIVE, r"^a factor 1/x is missing$"),
    "a matrix product": (lambda x, w: x @ w, lambda dy, x, w: dy, {**POSITIVE, "w": normal(4, 4, seed=1)}, PASSED_ON),
    "a mean that is subtracted": (centred, lambda dy, x: dy, POSITIVE, PASSED_ON),
    "a mean, both signs": (centred, lambda dy, x: dy, {"x": normal(3, 7)}, PASSED_ON),
    "a running sum": (lambda x: x.cumsum(axis=1), lambda dy, x: dy, POSITIVE, r"^only the diagonal of the Jacobian is used"),
    "leaky relu": (lambda x: np.where(x > 0, x, 0.1 * x), lambda dy, x: dy * (x > 0), {"x": normal(6, 7)}, r"^it is 0 where x is negative, and is right elsewhere$"),
    "a scaled tanh": (lambda x, s: np.tanh(x) * s, lambda dy, x, s: dy * (1 - np.tanh(x) ** 2), ROWS, r"^a factor s is missing$"),
    "another function all the same": (lambda x: x / (1 + abs(x)), lambda dy, x: dy * (1 - np.tanh(x) ** 2), {"x": normal(6, 7)}, r"^it is the gradient of tanh, not of the forward$"),
    "a scale of columns": (lambda x, s: x * s, lambda dy, x, s: dy, ROWS, r"^a factor s is missing$"),
    "a scale of columns that counts twice": (lambda x, s: x * s, lambda dy, x, s: dy * s * s, ROWS, r"^an extra factor s$"),
    "a scale of rows": (lambda x, s: x * s, lambda dy, x, s: dy, {"x": normal(6, 7), "s": normal(6, 1, seed=1)}, r"^a factor s is missing$"),
    "a scale of channels": (lambda x, s: np.sin(x) * s[:, None], lambda dy, x, s: dy * np.cos(x), IMAGES, r"^a factor s is missing$"),
    "a scale along one of two axes": (lambda x, s: np.sin(x) * s[:, None], lambda dy, x, s: dy * np.cos(x), SQUARE, r"^a factor s along axis 0 is missing$"),
    "a variance of rows": (lambda x, s: np.sin(x) * np.exp(s / 2), lambda dy, x, s: dy * np.cos(x), ROWS, r"^a factor exp\(s/2\) is missing$"),
    "the gradient of a bias": (lambda x, s: 2 * x + s, lambda dy, x, s: 2 * dy + dy.sum(0), ROWS, TERM.format("constant", 0)),
    "a mean of dy": (lambda x, s: 2 * x + s, lambda dy, x, s: 2 * dy + dy.mean(1, keepdims=True), ROWS, TERM.format("constant", 1)),
    "a bias": (lambda x, s: 2 * x + s, lambda dy, x, s: 2 * dy + s, ROWS, TERM.format("constant", 0)),
    "the output times a mean": (lambda x: 3 * x, lambda dy, x: 3 * dy + x * dy.mean(1, keepdims=True), {"x": normal(6, 7)}, TERM.format("multiple of the output", 1)),
    "a norm, held constant": (lambda x: x / np.linalg.norm(x, axis=1, keepdims=True), lambda dy, x: dy / np.linalg.norm(x, axis=1, keepdims=True), {"x": normal(6, 7)}, r"along axis 1: a sum, a norm or a variance over it was held constant"),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_factors_and_terms_have_no_other_bugs_names(name):
    f, wrong, inputs, words = BUGS[name]

    def f_backward(*args, **given):
        return {"x": wrong(*args, **given)}

    f_backward.__signature__ = inspect.signature(wrong)
    assert re.search(words, said(f, f_backward, inputs))


def wave(x, w, b=0.0):
    return np.sin(x * w) + b


def wave_backward(dy, x, w):
    return dy * w * np.cos(x * w)


def dense(x, w, b=0.0):
    return np.tanh(x) @ w


def dense_backward(dy, x, w):
    return dy @ w.T * (1 - np.tanh(x) ** 2)


STATISTIC = r"held constant|a mean|a norm|variance|epsilon"
PAIRS = {"wave": (wave, wave_backward, (8, 6)), "dense": (dense, dense_backward, (6, 6))}


@pytest.mark.parametrize("kind", ["factor", "term", "term by dy"])
@pytest.mark.parametrize("shape", [(1, 6), (8, 1)])
@pytest.mark.parametrize("pair", PAIRS)
def test_random_rows_and_columns_are_no_statistics(pair, shape, kind):
    f, right, of_w = PAIRS[pair]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        inputs, e = (
            {"x": rng.normal(size=(8, 6)), "w": rng.normal(size=of_w)},
            rng.normal(size=shape),
        )
        wrong = {
            "factor": lambda dy, x, w, e=e: {"x": right(dy, x, w) * (1 + e)},
            "term": lambda dy, x, w, e=e: {"x": right(dy, x, w) + e * dy.std()},
            "term by dy": lambda dy, x, w, e=e: {"x": right(dy, x, w) + e * dy.mean()},
        }[kind]
        assert not re.search(STATISTIC, said(f, wrong, inputs, seed=seed))


def test_two_entries_of_six_have_no_value_in_common():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        inputs = dict(zip("xwb", rng.standard_normal((3, 6)), strict=True))
        off = np.zeros(6)
        off[rng.choice(6, 2, replace=False)] = 0.3, 0.5
        wrong = lambda dy, x, w, b, off=off: {"x": wave_backward(dy, x, w) + off}  # noqa: E731
        assert not re.search("where|drawn", said(wave, wrong, inputs, seed=seed))


def test_factors_of_entries_are_no_noise():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        inputs, e = (
            dict(zip("xw", rng.standard_normal((2, 2, 3)), strict=True)),
            rng.normal(size=(2, 3)),
        )
        wrong = lambda dy, x, w, e=e: {"x": wave_backward(dy, x, w) * (1 + e)}  # noqa: E731
        assert "drawn" not in said(wave, wrong, inputs, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_noise_that_is_drawn_again_has_its_name(seed):
    inputs = {"x": normal(3, 4, seed=seed), "noise": normal(3, 4, seed=seed + 10)}
    wrong = lambda dy, x: {"x": dy * np.exp(x) * normal(3, 4, seed=seed + 20)}  # noqa: E731
    words = said(lambda x, noise: np.exp(x) * noise, wrong, inputs, seed=seed)
    assert words.startswith("perhaps backward redraws noise")


@pytest.mark.parametrize("axis", [0, 1])
def test_one_slice_that_is_wrong_is_singular(axis):
    """Rows that are read twice, of which one is written and not added."""
    rows = np.array([0, 1, 2, 2, 3])

    def f(x):
        return x.take(rows, axis=axis)

    def f_backward(dy, x):
        dx = np.zeros_like(x)
        np.moveaxis(dx, axis, 0)[rows] = np.moveaxis(dy, axis, 0)
        return dx

    words = said(f, f_backward, {"x": normal(4, 4)})
    assert words.startswith(f"slice 2 along axis {axis} is used by several outputs, but gets ")
