# ruff: noqa: E501 (a table of one bug a line)
"""Bugs of layers that people write by hand, each with the name that the report must give it."""

import re

import numpy as np
import pytest

from scratchvae.gradcheck import check
from scratchvae.gradcheck.report import FAIL, PASS

rng = np.random.default_rng(0)
X = rng.standard_normal((4, 7))
MASK, OTHER_MASK = rng.random((2, 4, 7)) > 0.3
IDS = np.array([1, 3, 1, 5, 3, 3])


def norm(x, axis=-1, eps=1e-5):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + eps)


def norm_backward(dy, x, axis=-1, eps=1e-5, mean=1.0, var=1.0, ddof=0):
    s = np.sqrt(x.var(axis, keepdims=True, ddof=ddof) + eps)
    h = (x - x.mean(axis, keepdims=True)) / s
    return (
        dy - mean * dy.mean(axis, keepdims=True) - var * h * (dy * h).mean(axis, keepdims=True)
    ) / s


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, x, axis=-1, sums=1.0):
    p = softmax(x)
    return p * (dy - sums * (dy * p).sum(axis=axis, keepdims=True))


def attention(q, k, v):
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def attention_backward(dy, q, k, v, scale=True):
    s = np.sqrt(q.shape[1])
    ds = softmax_backward(dy @ v.T, q @ k.T / s)
    return ds @ k / s, ds.T @ q / (s if scale else 1), softmax(q @ k.T / s).T @ dy


def embedding(W):
    return W[IDS]


def embedding_backward(dy, W, add=False):
    g = np.zeros_like(W)
    np.add.at(g, IDS, dy) if add else np.put_along_axis(g, IDS[:, None] + 0 * np.arange(4), dy, 0)
    return g


def pool(x):
    return np.array([x[i : i + 3].max() for i in range(len(x) - 2)])


def pool_backward(dy, x, add=False):
    g = np.zeros_like(x)
    for i, d in enumerate(dy):
        j = i + x[i : i + 3].argmax()
        g[j] = d + add * g[j]
    return g


def recurrent(x, W):
    h = np.zeros(3)
    for t in range(len(x)):
        h = np.tanh(x[t] + W @ h)
    return h


def recurrent_backward(dy, x, W, steps=99):
    h = [np.zeros(3)]
    for t in range(len(x)):
        h.append(np.tanh(x[t] + W @ h[-1]))
    dx, dW = np.zeros_like(x), np.zeros_like(W)
    for t in reversed(range(max(0, len(x) - steps), len(x))):
        dx[t] = dy * (1 - h[t + 1] ** 2)
        dW += np.outer(dx[t], h[t])
        dy = W.T @ dx[t]
    return dx, dW


def plus(x, b):
    return (x + b) ** 2


def lower(S):
    return 3 * np.tril(S)


def variance_of(axis, **wrong):
    """Twice a norm, which is none that is known: what names it is the error alone."""
    return (
        lambda x: 2 * norm(x, axis),
        lambda dy, x: norm_backward(2 * dy, x, axis, **wrong),
        {"x": X if axis else X.T.copy()},
    )


ATTENTION = {n: rng.standard_normal((5, 3)) for n in "qkv"}
SEQUENCE = {"x": rng.standard_normal((5, 3)), "W": rng.standard_normal((3, 3)) / 2}
SQUARE = {"x": rng.standard_normal((5, 5)), "b": rng.standard_normal(5)}

# name: (forward, backward, inputs), the wrong gradient, a pattern of its name
BUGS = {
    "layer norm without the variance": (*variance_of(-1, var=0), "x", r"multiple of the output along axis 1: a sum, a norm or a variance"),
    "layer norm without the mean": (*variance_of(-1, mean=0), "x", r"constant along axis 1: a mean over it was held constant"),
    "layer norm of constants": (*variance_of(-1, mean=0, var=0), "x", r"along axis 1: a mean and a variance"),
    "layer norm with another ddof": (*variance_of(-1, ddof=1), "x", r"along axis 1 .* a different epsilon or ddof in a variance"),
    "layer norm with another epsilon": (*variance_of(-1, eps=1e-6), "x", r"along axis 1 .* a different epsilon or ddof in a variance"),
    "batch norm without the variance": (*variance_of(0, var=0), "x", r"along axis 0: a sum, a norm or a variance"),
    "softmax by its diagonal": (softmax, lambda dy, x: dy * softmax(x) * (1 - softmax(x)), {"x": X}, "x", r"only the diagonal of the Jacobian is used"),
    "softmax without the sum": (softmax, lambda dy, x: softmax_backward(dy, x, sums=0), {"x": X}, "x", r"multiple of the output along axis 1: a sum"),
    "softmax over the wrong axis": (softmax, lambda dy, x: softmax_backward(dy, x, 0), {"x": X}, "x", r"a sum over the wrong axis"),
    "attention without its scale": (attention, lambda dy, q, k, v: attention_backward(dy, q, k, v, False), ATTENTION, "k", r"1\.732 x too large .*: a factor sqrt\(3\)"),
    "another dropout mask": (lambda x: 2 * x * MASK, lambda dy, x: 2 * dy * OTHER_MASK, {"x": X}, "x", r"not the forward's mask"),
    "repeated rows of an embedding": (embedding, embedding_backward, {"W": rng.standard_normal((6, 4))}, "W", r"= where \+= is meant"),
    "overlapping windows": (pool, pool_backward, {"x": rng.standard_normal(12)}, "x", r"= where \+= is meant"),
    "back-propagation cut short": (recurrent, lambda dy, x, W: recurrent_backward(dy, x, W, 2), SEQUENCE, "x", r"along axis 0, the first 3 slices are 0"),
    "one triangle of a matrix": (lower, lambda dy, S: 3 * (np.tril(dy) + np.tril(dy, -1).T), {"S": X[:, :4] + X[:, :4].T}, "S", r"it is symmetric, but the forward does not use both triangles"),
    "a bias summed over the wrong axis": (plus, lambda dy, x, b: (2 * dy * (x + b), (2 * dy * (x + b)).sum(axis=1)), SQUARE, "b", r"summed over axis 1 of dy, the wrong one"),
    "sqrt(n)": (lambda x: x / np.sqrt(7), lambda dy, x: dy * 1, {"x": X}, "x", r"a factor sqrt\(7\), 7 being the length of axis 1"),
    "n / (n - 1)": (lambda x: x * 6, lambda dy, x: dy * 7, {"x": X}, "x", r"a factor 7/6, a different ddof"),
    "one row": (lambda x: x**2, lambda dy, x: 2 * dy * x * np.where(np.arange(4) == 2, 2, 1)[:, None], {"x": X}, "x", r"^along axis 0, slice 2 is 2 times the right one"),
    "every second column": (lambda x: x**2, lambda dy, x: 2 * dy * x * np.where(np.arange(7) % 2, 2, 1), {"x": X}, "x", r"axis 1, every second slice from 1 on is 2 times"),
    "the last step": (lambda x: x**2, lambda dy, x: 2 * dy * x * np.where(np.arange(7) == 6, 3, 1), {"x": X}, "x", r"axis 1, the last slice \(6\) is 3 times"),
    "an epsilon in the forward": (lambda p: np.log(p + 1e-7), lambda dy, p: dy / p, {"p": 0.1 + rng.random((4, 5))}, "p", r"an epsilon of 1e-07 that only the forward adds to p"),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_has_its_name(name):
    f, f_backward, inputs, wrong, words = BUGS[name]
    leaves = {leaf.name: leaf for leaf in check(f, f_backward, inputs).leaves}
    assert leaves[wrong].verdict == FAIL
    assert re.search(words, leaves[wrong].message), leaves[wrong]
    assert not leaves[wrong].message.startswith("perhaps")


RIGHT = {
    "norm": (norm, norm_backward, {"x": X}),
    "softmax": (softmax, softmax_backward, {"x": X}),
    "attention": (attention, attention_backward, ATTENTION),
    "embedding": (embedding, lambda dy, W: embedding_backward(dy, W, True), {"W": rng.standard_normal((6, 4))}),
    "pool": (pool, lambda dy, x: pool_backward(dy, x, True), {"x": rng.standard_normal(12)}),
    "recurrent": (recurrent, recurrent_backward, SEQUENCE),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_the_same_layers_without_the_bug(name):
    assert check(*RIGHT[name]).verdict == PASS


def test_a_pattern_that_leaves_something_over_is_no_name():
    """The same errors with one entry in a thousand parts off: no pattern fits."""
    noise = 1 + 1e-3 * rng.standard_normal((4, 7))
    report = check(norm, lambda dy, x: norm_backward(dy, x, mean=0) * noise, {"x": X})
    assert report.leaves[0].message == ""
    noise = 1 + 1e-3 * rng.standard_normal((6, 4))
    report = check(
        embedding, lambda dy, W: embedding_backward(dy, W) * noise, {"W": X[:, :4].repeat(2, 0)[:6]}
    )
    assert "+=" not in report.leaves[0].message
