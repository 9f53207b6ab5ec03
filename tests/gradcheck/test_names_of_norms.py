# ruff: noqa: E501 (a table of one bug a line)
"""Bugs of layer norm, batch norm and RMS norm, with the names that the report must give them."""

import numpy as np
import pytest

from scratchvae.gradcheck import check
from scratchvae.gradcheck.report import FAIL, PASS


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def norm(axes, eps=1e-5, ddof=0, centred=True, beside=False, shape=(-1,)):
    """gain (x - mean) / std + bias, and a function of its wrong gradients of x.

    beside: the epsilon is added to std, not to the variance.
    """

    def parts(x):
        c = x - centred * x.mean(axis=axes, keepdims=True)
        length = x.size // c.mean(axis=axes).size
        var = (c * c).sum(axis=axes, keepdims=True) / (length - ddof)
        return c, 1 / (np.sqrt(var) + eps if beside else np.sqrt(var + eps)), length

    def f(x, g, b):
        c, r, _ = parts(x)
        return g.reshape(shape) * c * r + b.reshape(shape)

    def gradient(dy, x, g, m=1.0, v=1.0, gain=True, after=False, power=1, over=axes):
        c, r, length = parts(x)
        h, d = c * r, dy * g.reshape(shape) if gain else dy
        mean = lambda z: z.mean(axis=over, keepdims=True)  # noqa: E731
        share = length / (length - ddof) * (1 / (1 - eps * r) if beside else 1.0)
        m, v = (length if z == "sum" else z for z in (m, v))
        out = d - m * centred * mean(d) - v * share * h * mean(d * h)
        return out * r**power * (g.reshape(shape) if after else 1)

    def f_backward(wrong, of_gain):
        def backward(dy, x, g, b):
            c, r, _ = parts(x)
            z = {"h": c * r, "c": c, "x": x, "y": f(x, g, b)}[of_gain]
            rest = tuple(i for i in range(x.ndim) if x.shape[i] != len(g))
            return {"x": gradient(dy, x, g, **wrong), "g": (dy * z).sum(rest), "b": dy.sum(rest)}

        return backward

    return f, f_backward


ROWS = {"x": normal(3, 5, 8), "g": normal(8, seed=1), "b": normal(8, seed=2)}
BATCH = {"x": normal(9, 5), "g": normal(5, seed=1), "b": normal(5, seed=2)}
IMAGES = {"x": normal(2, 3, 4, 5), "g": normal(3, seed=1), "b": normal(3, seed=2)}
LAYER, RMS, UNBIASED = norm(-1), norm(-1, centred=False), norm(-1, ddof=1)
BESIDE, OF_BATCH, OF_IMAGES = norm(-1, 0.1, beside=True), norm(0), norm((0, 2, 3), shape=(-1, 1, 1))

# the layer, its inputs, the wrong gradient of x, what the gradient of g reads, the name
BUGS = [
    (LAYER, ROWS, {"v": 0}, "h", "the normalisation over axis 2: the variance term is missing, as if it were constant"),
    (LAYER, ROWS, {"m": 0}, "h", "the normalisation over axis 2: the mean term is missing, as if it were constant"),
    (LAYER, ROWS, {"m": 0, "v": 0}, "h", "the normalisation over axis 2: the mean and variance terms are missing, as if both were constant"),
    (LAYER, ROWS, {"v": "sum"}, "h", "the normalisation over axis 2: the variance term is a sum, not a mean"),
    (LAYER, ROWS, {"m": "sum"}, "h", "the normalisation over axis 2: the mean term is a sum, not a mean"),
    (LAYER, ROWS, {"m": "sum", "v": "sum"}, "h", "the normalisation over axis 2: both terms are sums, not means"),
    (LAYER, ROWS, {"v": 8 / 7}, "h", "the normalisation over axis 2: the variance term is divided by 7, not by 8"),
    (LAYER, ROWS, {"v": -1}, "h", "the normalisation over axis 2: the variance term has the wrong sign"),
    (LAYER, ROWS, {"m": -1}, "h", "the normalisation over axis 2: the mean term has the wrong sign"),
    (LAYER, ROWS, {"gain": False}, "h", "the normalisation over axis 2: the gain g is missing"),
    (LAYER, ROWS, {"gain": False, "v": 0}, "h", "the normalisation over axis 2: the gain g and the variance term are missing"),
    (LAYER, ROWS, {"gain": False, "after": True}, "h", "the normalisation over axis 2: the gain g is applied after the means, not before"),
    (LAYER, ROWS, {"power": 0}, "h", "the normalisation over axis 2: the factor 1 / std is missing"),
    (LAYER, ROWS, {"power": 2}, "h", "the normalisation over axis 2: the factor 1 / std is applied twice"),
    (LAYER, ROWS, {"over": 1}, "h", "the normalisation over axis 2: backward takes means over axis 1"),
    (LAYER, ROWS, {}, "c", "x - mean is used in place of the normalised x"),
    (LAYER, ROWS, {}, "x", "x itself is used in place of the normalised x"),
    (LAYER, ROWS, {}, "y", "the output is used in place of the normalised x"),
    (RMS, ROWS, {"v": 0}, "h", "the normalisation over axis 2: the mean square term is missing, as if it were constant"),
    (RMS, ROWS, {"gain": False}, "h", "the normalisation over axis 2: the gain g is missing"),
    (UNBIASED, ROWS, {"v": 7 / 8}, "h", "the normalisation over axis 2: the variance term is divided by 8, not by 7"),
    (BESIDE, ROWS, {"m": 0}, "h", "the normalisation over axis 2: the mean term is missing, as if it were constant"),
    (OF_BATCH, BATCH, {"v": 0}, "h", "the normalisation over axis 0: the variance term is missing, as if it were constant"),
    (OF_BATCH, BATCH, {"over": 1}, "h", "the normalisation over axis 0: backward takes means over axis 1"),
    (OF_BATCH, BATCH, {}, "c", "x - mean is used in place of the normalised x"),
    (OF_IMAGES, IMAGES, {"v": 0}, "h", "the normalisation over axes 0, 2, 3: the variance term is missing, as if it were constant"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "inputs", "wrong", "of_gain", "words"), BUGS)
def test_the_bug_has_its_name(layer, inputs, wrong, of_gain, words):
    f, f_backward = layer
    at = "g" if of_gain != "h" else "x"
    for leaf in check(f, f_backward(wrong, of_gain), inputs).leaves:
        assert leaf.verdict == (FAIL if leaf.name == at else PASS), leaf
        assert leaf.message == (words if leaf.name == at else ""), leaf


@pytest.mark.parametrize("name", ["LAYER", "RMS", "UNBIASED", "BESIDE", "OF_BATCH", "OF_IMAGES"])
def test_the_same_layers_without_the_bug(name):
    f, f_backward = globals()[name]
    inputs = {"OF_BATCH": BATCH, "OF_IMAGES": IMAGES}.get(name, ROWS)
    assert check(f, f_backward({}, "h"), inputs).verdict == PASS


@pytest.mark.parametrize("off", [1e-2, 1e-4])
def test_a_gradient_that_is_nearly_that_of_a_bug_has_not_its_name(off):
    f, f_backward = LAYER
    for _, _, wrong, _, words in BUGS[:15]:
        g = f_backward(wrong, "h")
        spoilt = lambda dy, x, g_=g, **k: {"x": g_(dy, x, **k)["x"] * (1 + off * np.sin(9 * x))}  # noqa: E731
        assert check(f, spoilt, ROWS).leaves[0].message != words


def test_a_factor_of_each_row_is_no_epsilon():
    inputs = {"x": normal(4, 6), "s": normal(4, 1, seed=1)}
    f = lambda x, s: x**3 * np.cosh(s)  # noqa: E731
    leaf = check(f, lambda dy, x, s: {"x": 3 * dy * x * x}, inputs).leaves[0]
    assert leaf.message == (
        "along axis 1 each row is off by its own factor: a factor that depends "
        "on the other axes is missing or extra"
    )
