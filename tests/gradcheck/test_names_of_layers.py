# ruff: noqa: E501 (a table of one bug a line)
"""More bugs of layers with the names that the report must give them: activations, attention, noise,
copies and windows, sequences, conditions; and what must not be named."""

import math
import re

import numpy as np
import pytest

from scratchvae.gradcheck import check
from scratchvae.gradcheck.report import CONTRACT, FAIL, PASS

C = math.sqrt(2 / math.pi)
erf = np.vectorize(math.erf)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_backward(dy, x, axis=-1):
    p = softmax(x, axis)
    return p * (dy - (dy * p).sum(axis=axis, keepdims=True))


def gelu(x):
    return x / 2 * (1 + np.tanh(C * (x + 0.044715 * x**3)))


def gelu_backward(dy, x, inside=lambda x: C * (1 + 3 * 0.044715 * x * x)):
    t = np.tanh(C * (x + 0.044715 * x**3))
    return dy * ((1 + t) / 2 + x / 2 * (1 - t * t) * inside(x))


def erf_gelu(x):
    return x / 2 * (1 + erf(x / math.sqrt(2)))


def erf_gelu_backward(dy, x):
    return dy * ((1 + erf(x / math.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def T(a):
    return np.swapaxes(a, -1, -2)


def weights(q, k, causal):
    s = q @ T(k) / math.sqrt(q.shape[-1])
    return softmax(s + np.triu(np.full(s.shape[-2:], -np.inf), 1) if causal else s)


def attention(causal):
    return lambda q, k, v: weights(q, k, causal) @ v


def attention_backward(causal, axis=-1, sums=1.0, scale=1.0):
    def f_backward(dy, q, k, v):
        p, dp = weights(q, k, causal), dy @ T(v)
        ds = p * (dp - sums * (dp * p).sum(axis=axis, keepdims=True)) / math.sqrt(q.shape[-1])
        return ds @ k, scale * T(ds) @ q, T(p) @ dy

    return f_backward


X = {"x": normal(4, 6)}
MATRICES = {n: normal(5, 3, seed=k) for k, n in enumerate("qkv")}
HEADS = {n: normal(2, 2, 4, 3, seed=k) for k, n in enumerate("qkv")}
SAMPLE = {"mu": normal(4, 3), "logvar": normal(4, 3, seed=1), "eps": normal(4, 3, seed=2)}
OTHER, W = normal(4, 3, seed=9), normal(3, 5, seed=5)
IDS = np.array([[0, 1], [1, 1], [2, 3], [2, 2]])


def sample(mu, logvar, eps):
    return mu + np.exp(logvar / 2) * eps


def sample_backward(dy, mu, logvar, eps):
    return {"mu": 1 * dy, "logvar": dy * np.exp(logvar / 2) / 2 * OTHER}


def decoded(mu, logvar, eps):
    return np.tanh(sample(mu, logvar, eps)) @ W


def decoded_backward(dy, mu, logvar, eps):
    return sample_backward(
        (dy @ W.T) * (1 - np.tanh(sample(mu, logvar, eps)) ** 2), mu, logvar, eps
    )


def elbo(mu, logvar, eps):
    kl = (np.exp(logvar) + mu * mu - 1 - logvar).sum() / 2
    return (sample(mu, logvar, eps) ** 4).sum() / 4 + kl


def elbo_backward(dy, mu, logvar, eps):
    g = sample_backward(dy * sample(mu, logvar, eps) ** 3, mu, logvar, eps)
    return {"mu": g["mu"] + dy * mu, "logvar": g["logvar"] + dy * (np.exp(logvar) - 1) / 2}


def drawn(seed):
    return normal(4, 3, seed=seed)


def convolution(x, w):
    return np.stack([x[:, i : i + 3] for i in range(x.shape[1] - 2)], axis=1) @ w


def convolution_backward(dy, x, w, add=False):
    g, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(dy.shape[1]):
        g[:, i : i + 3] = dy[:, i] @ w.T + add * g[:, i : i + 3]
        dw += x[:, i : i + 3].T @ dy[:, i]
    return g, dw


def pooled_rows(dy, W, add=False):
    g = np.zeros_like(W)
    for ids, d in zip(IDS, dy, strict=True):
        if add:
            np.add.at(g, ids, d)
        else:
            g[ids] += d
    return g


def recurrent(x, W):
    h, all_h = np.zeros((len(x), 3)), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] + h @ W)
        all_h.append(h)
    return np.stack(all_h, axis=1)


def recurrent_backward(dy, x, W, last_only=False):
    h = np.concatenate([np.zeros((len(x), 1, 3)), recurrent(x, W)], axis=1)
    dx, dW, dh = np.zeros_like(x), np.zeros_like(W), np.zeros((len(x), 3))
    for t in reversed(range(x.shape[1])):
        dh = dh + dy[:, t] * (not last_only or t == x.shape[1] - 1)
        dx[:, t] = dh * (1 - h[:, t + 1] ** 2)
        dW += h[:, t].T @ dx[:, t]
        dh = dx[:, t] @ W.T
    return dx, dW


def cumulative(dy, x):
    return np.nan_to_num(np.cumsum((dy * np.cumprod(x))[::-1])[::-1] / x)


def as_in_training(dy, x):
    h = (x - x.mean(axis=0)) / x.std(axis=0)
    return (dy - dy.mean(axis=0) - h * (dy * h).mean(axis=0)) / 1.5


def third_means(x):
    return np.array([x[:3].mean(), x[3:6].mean(), x[6:].mean()])


def symmetric_of(A):
    return 3 * (np.triu(A) + np.triu(A, 1).T)


ENDS = {
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda y: y * (1 - y)),
    "exponential": (np.exp, lambda y: y),
    "softplus": (lambda z: np.log1p(np.exp(z)), lambda y: 1 - np.exp(-y)),
}


def dense(end):
    return lambda x, W, b: ENDS[end][0](x @ W + b)


def dense_backward(end, power):
    def f_backward(dy, x, W, b):
        dz = dy * ENDS[end][1](dense(end)(x, W, b)) ** power
        return dz @ W.T, x.T @ dz, dz.sum(axis=0)

    return f_backward


def self_attention(x, Q, K, V):
    return weights(x @ Q, x @ K, False) @ (x @ V)


def self_attention_backward(dy, x, Q, K, V, without=""):
    dq, dk, dv = attention_backward(False)(dy, x @ Q, x @ K, x @ V)
    parts = {"Q": dq @ Q.T, "K": dk @ K.T, "V": dv @ V.T}
    dx = sum(part for n, part in parts.items() if n not in without)
    return {"x": dx, "Q": np.einsum("btd,bth->dh", x, dq)}


DENSE = {"x": normal(5, 4), "W": normal(4, 3, seed=1) / 2, "b": normal(3, seed=2)}
PROJECTED = {"x": normal(2, 5, 4)} | {n: normal(4, 3, seed=k) for k, n in enumerate("QKV")}
SEQUENCE = {"x": normal(4, 5, 3), "W": normal(3, 3) / 2}
LINE = {"x": 2 * normal(30)}
INSIDE = r"GELU \(tanh\), but the derivative of the tanh's argument is missing or wrong"
SEVERAL = r"used by several outputs, but get the gradient of only one: = where \+= is meant"
NOISE = r"^perhaps backward redraws eps: each entry is off by its own factor"

# name: (forward, backward, inputs, the wrong gradients, a pattern of their names)
BUGS = {
    "GELU, inner derivative forgotten": (gelu, lambda dy, x: gelu_backward(dy, x, lambda x: 1.0), X, "x", INSIDE),
    "GELU, inner derivative a constant": (gelu, lambda dy, x: gelu_backward(dy, x, lambda x: C), X, "x", INSIDE),
    "GELU, a 3 forgotten": (gelu, lambda dy, x: gelu_backward(dy, x, lambda x: C * (1 + 0.044715 * x * x)), X, "x", INSIDE),
    "GELU, a loss": (lambda x: gelu(x).sum(), lambda dy, x: gelu_backward(dy, x, lambda x: 1.0), X, "x", INSIDE),
    "GELU by erf, backward by tanh": (erf_gelu, gelu_backward, X, "x", r"^it is the gradient of GELU \(tanh\), an approximation of the forward\?"),
    "GELU by tanh, backward by erf": (gelu, erf_gelu_backward, X, "x", r"^it is the gradient of GELU \(erf\), an approximation of the forward\?"),
    "another activation": (lambda x: x / (1 + np.exp(-x)), lambda dy, x: dy / (1 + np.exp(-x)), X, "x", r"^it is the gradient of softplus, not of the forward"),
    "attention, wrong axis": (attention(False), attention_backward(False, -2), MATRICES, "qk", r"^the inner softmax is summed over the wrong axis$"),
    "attention, wrong axis, heads": (attention(False), attention_backward(False, -2), HEADS, "qk", r"^the inner softmax is summed over the wrong axis$"),
    "attention, no sum": (attention(True), attention_backward(True, sums=0.0), HEADS, "qk", r"^the sum of the inner softmax is missing$"),
    "attention, mask forgotten": (attention(True), attention_backward(False), MATRICES, "qkv", r"^the causal mask is missing in backward$"),
    "attention, mask forgotten, heads": (attention(True), attention_backward(False), HEADS, "qkv", r"^the causal mask is missing in backward$"),
    "attention, scale of dk": (attention(False), attention_backward(False, scale=math.sqrt(3)), HEADS, "k", r"a factor sqrt\(3\), 3 being the length of axis 3"),
    "softmax along another axis": (lambda x: softmax(x, 0), softmax_backward, X, "x", r"^the forward is a softmax along axis 0, the backward is along axis 1"),
    "log softmax, the sum forgotten": (lambda x: np.log(softmax(x)), lambda dy, x: dy - softmax(x), X, "x", r"the sum of dy is missing in the log softmax"),
    "noise drawn again": (sample, sample_backward, SAMPLE, ["logvar"], NOISE),
    "noise drawn again, decoded": (decoded, decoded_backward, SAMPLE, ["logvar"], NOISE),
    "noise drawn again, a loss": (elbo, elbo_backward, SAMPLE, ["logvar"], NOISE),
    "noise drawn again, inside": (lambda mu, logvar: mu + np.exp(logvar / 2) * drawn(2), lambda dy, logvar: (1 * dy, dy * np.exp(logvar / 2) / 2 * drawn(9)), {n: SAMPLE[n] for n in ("mu", "logvar")}, ["logvar"], r"^perhaps backward redraws noise"),
    "noise forgotten": (sample, lambda dy, logvar: {"mu": 1 * dy, "logvar": dy * np.exp(logvar / 2) / 2}, SAMPLE, ["logvar"], r"^a factor eps is missing"),
    "copies": (lambda x: x.repeat(2, 0).repeat(2, 1), lambda dy: dy[::2, ::2].copy(), X, "x", "^all 24 entries are " + SEVERAL),
    "windows of a convolution": (convolution, convolution_backward, {"x": normal(2, 7), "w": normal(3, 2)}, "x", "^slices 1 to 5 along axis 1 are " + SEVERAL),
    "the derivative of the last tanh is missing": (dense("tanh"), dense_backward("tanh", 0), DENSE, "xWb", r"^a factor \(1 - y\^2\), the derivative of the final tanh, is missing$"),
    "the derivative of the last tanh counts twice": (dense("tanh"), dense_backward("tanh", 2), DENSE, "xWb", r"^a factor \(1 - y\^2\), the derivative of the final tanh, is applied twice$"),
    "the derivative of the last sigmoid is missing": (dense("sigmoid"), dense_backward("sigmoid", 0), DENSE, "xWb", r"^a factor y \(1 - y\), the derivative of the final sigmoid, is missing$"),
    "the derivative of the last exponential is missing": (dense("exponential"), dense_backward("exponential", 0), DENSE, "xWb", r"^a factor y, the derivative of the final exponential, is missing$"),
    "the derivative of the last softplus is missing": (dense("softplus"), dense_backward("softplus", 0), DENSE, "xWb", r"^a factor \(1 - exp\(-y\)\), the derivative of the final softplus, is missing$"),
    "one path of three": (self_attention, lambda dy, x, Q, K, V: self_attention_backward(dy, x, Q, K, V, "K"), PROJECTED, "x", r"^perhaps the path through K is missing or wrong: the error lies in the span"),
    "one row that is used twice": (lambda W: W[[0, 2, 2, 3]], lambda dy, W: dy[[0, 0, 2, 3, 0]] * np.array([[1], [0], [1], [1], [0]]), {"W": normal(5, 4)}, "W", r"^slice 2 along axis 0 is used by several outputs, but gets the gradient of only one: = where"),
    "rows pooled": (lambda W: W[IDS].sum(axis=1), pooled_rows, {"W": normal(5, 4)}, "W", r"^slices 1 to 2 along axis 0 are used several times by one output, but counted once"),
    "only the last step of dy": (recurrent, lambda dy, x, W: recurrent_backward(dy, x, W, True), SEQUENCE, "xW", r"^only the last slice of dy along axis 1 is used$"),
    "0 for 0/0": (lambda x: np.cumprod(x), cumulative, {"x": np.array([2.0, 0, 3, 4])}, "x", r"^entry 1 is 0, and the others are right$"),
    "0 for 0/0, in the middle": (lambda x: np.cumprod(x), cumulative, {"x": np.array([1.0, 2, 0, 4, 5, 6])}, "x", r"^entry 2 is 0, and the others are right$"),
    "a clip that is forgotten": (lambda x: np.clip(x, -1, 1), lambda dy, x: 1 * dy, LINE, "x", r"^it should be 0 where \|x\| is above 1, and is right elsewhere$"),
    "one branch of two": (lambda x: np.where(x > 0, x, np.exp(x) - 1), lambda dy, x: dy * np.where(x > 0, 1, np.exp(x) - 1), LINE, "x", r"^it is wrong where x is negative, and is right elsewhere$"),
    "a branch beyond a size": (lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5), lambda dy, x: dy * x, LINE, "x", r"^it is wrong where \|x\| is above 1, and is right elsewhere$"),
    "a branch that is forgotten": (lambda x: np.where(x > 0, x, 0.1 * np.sin(x)), lambda dy, x: dy * (x > 0), LINE, "x", r"relu|0 where x is negative"),
    "a window that is cut": (third_means, lambda dy: np.repeat(dy, 3)[:8] / 3, {"x": normal(8)}, "x", r"^the last 2 entries are 0\.6667 times the right one"),
    "one triangle, not added up": (symmetric_of, lambda dy: 3 * dy, {"A": normal(4, 4)}, "A", r"^the forward reads only the upper triangle"),
    "evaluation as in training": (lambda x: (x - 0.2) / 1.5, as_in_training, {"x": normal(8, 4)}, "x", r"^it sums to 0 along axis 0, as if a mean over it were subtracted"),
    "only rounding": (softmax, lambda dy, x: dy * (softmax(x) - softmax(x) * softmax(x).sum(axis=1, keepdims=True)), X, "x", r"^it is zero up to rounding, but the forward depends"),
    "a step function": (lambda x: np.round(x, 1), lambda dy: 1.0 * dy, LINE, "x", r"the forward is piecewise constant here"),
    "an epsilon in a root": (lambda x: np.sqrt(x + 1e-8), lambda dy, x: dy / 2 / np.sqrt(x), {"x": 0.1 + np.abs(normal(6))}, "x", r"an epsilon of (about )?1e-08 that only the forward adds to x"),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_has_its_name(name):
    f, f_backward, inputs, wrong, words = BUGS[name]
    leaves = {leaf.name: leaf for leaf in check(f, f_backward, inputs).leaves}
    for leaf in leaves.values():
        assert leaf.verdict == (FAIL if leaf.name in wrong else PASS), leaf
        if leaf.name in wrong:
            assert re.search(words, leaf.message), leaf


RIGHT = {
    "GELU": (gelu, gelu_backward, X),
    "GELU by erf": (erf_gelu, erf_gelu_backward, X),
    "attention": (attention(False), attention_backward(False), HEADS),
    "causal attention": (attention(True), attention_backward(True), HEADS),
    "convolution": (convolution, lambda dy, x, w: convolution_backward(dy, x, w, True), {"x": normal(2, 7), "w": normal(3, 2)}),
    "pooled rows": (lambda W: W[IDS].sum(axis=1), lambda dy, W: pooled_rows(dy, W, True), {"W": normal(5, 4)}),
    "recurrent": (recurrent, recurrent_backward, SEQUENCE),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_the_same_layers_without_the_bug(name):
    assert check(*RIGHT[name]).verdict == PASS


@pytest.mark.parametrize("name", [n for n in BUGS if not n.startswith("0 for")])  # one entry alone
def test_a_name_that_leaves_something_over_is_none(name):
    """The same bugs with one part in a thousand more at each entry: the name must not be certain."""
    f, f_backward, inputs, _, words = BUGS[name]

    def spoilt(dy, **given):
        needs = f_backward.__code__.co_varnames[1 : f_backward.__code__.co_argcount]
        g = f_backward(dy, **{n: given[n] for n in needs if n in given})
        g = (
            g
            if isinstance(g, dict)
            else dict(zip(given, g if isinstance(g, tuple) else (g,), strict=True))
        )
        return {n: a * (1 + 1e-3 * normal(*a.shape, seed=7)) for n, a in g.items()}

    for leaf in check(f, spoilt, inputs).leaves:
        said = leaf.message
        assert (
            not said or said.startswith("perhaps ") or "zero" in said or not re.search(words, said)
        ), leaf


def test_a_gradient_that_ignores_dy_may_be_off_by_a_factor_too():
    said = check(lambda x: (x * x).sum(), lambda dy, x: 3 * x, {"x": normal(5)}).leaves[0].message
    assert (
        said == "the upstream gradient is ignored, and for dy = 1, 1.5 x too large at all 5 entries"
    )


def test_a_wrong_function_of_each_entry_is_no_noise():
    """Its factors depend on the numbers: they are equal where these are."""
    said = check(lambda x: np.sin(3 * x), lambda dy, x: 3 * dy * np.sin(3 * x), X).leaves[0].message
    assert said == ""


def test_an_error_of_one_number_is_a_factor_only_if_that_is_a_plain_one():
    x = {"x": np.array([0.7])}
    assert (
        check(lambda x: np.exp(3.7 * x), lambda dy, x: 0.42 * dy * x**0.3, x).leaves[0].message
        == ""
    )
    said = check(lambda x: x * x, lambda dy, x: 4 * dy * x, x).leaves[0].message
    assert said == "2 x too large at its only entry"


def test_a_huge_gradient_does_not_hide_that_the_right_one_is_not_0():
    x = {"x": normal(5)}
    leaf = check(lambda x: (x * x).sum(), lambda dy, x: 1e13 * dy * np.cos(x), x).leaves[0]
    assert "zero" not in leaf.message
    assert leaf.error > 1e12


def test_a_large_gradient_shows_its_error_in_the_first_line():
    report = check(lambda W: np.tanh(W), lambda dy, W: dy * (1 - W**2), {"W": normal(80, 60)})
    assert re.search(r"relative error 1\.\d; 800 of 4800 entries were compared", report.headline)


def test_a_gradient_in_extended_precision_is_diagnosed_too():
    f = lambda x: np.tanh(x) * np.exp(x)  # noqa: E731
    report = check(f, lambda dy, x: (dy * x).astype(np.longdouble), {"x": normal(5, 4)})
    assert report.verdict == FAIL
    assert report.violations[0].startswith("dx is ")
    right = lambda dy, x: dy * np.exp(x) * (1 - np.tanh(x) ** 2 + np.tanh(x))  # noqa: E731
    wide = lambda dy, x: right(dy, x).astype(np.longdouble)  # noqa: E731
    assert check(f, wide, {"x": normal(5, 4)}).verdict == CONTRACT


def test_a_sentence_comes_before_a_number():
    report = check(lambda x: np.log(softmax(x)), lambda dy, x: 0.1 * dy**2 + softmax(x) ** 3, X)
    assert report.leaves[0].message == ""
    assert report.headline.endswith("backward is not linear in dy: 2 dy does not double dx")


def with_weights(q, k, v):
    p = weights(q, k, False)
    return p @ v, p


def with_weights_backward(axis=-1, diagonal=False, second=1.0):
    def f_backward(dy, q, k, v):
        p = weights(q, k, False)
        dp = dy[0] @ T(v) + second * dy[1]
        ds = p * (1 - p) * dp if diagonal else p * (dp - (dp * p).sum(axis=axis, keepdims=True))
        ds = ds / math.sqrt(q.shape[-1])
        return ds @ k, T(ds) @ q, T(p) @ dy[0]

    return f_backward


OF_TWO = {
    "right": ({}, "", ""),
    "the second is ignored": ({"second": 0.0}, "qk", "it ignores the upstream gradient of output 1"),
    "the second is too large": ({"second": 1.5}, "qk", r"through output 1: 1.5 x too large at all \d+ entries"),
    "wrong axis": ({"axis": -2}, "qk", "through output 0: the inner softmax is summed over the wrong axis"),
    "diagonal": ({"diagonal": True}, "qk", "through output 0: only the diagonal of the inner softmax is used"),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_TWO)
def test_the_part_of_each_of_several_outputs_is_looked_at_alone(name):
    wrong, at, words = OF_TWO[name]
    inputs = {"q": normal(2, 4, 3), "k": normal(2, 5, 3, seed=1), "v": normal(2, 5, 6, seed=2)}
    for leaf in check(with_weights, with_weights_backward(**wrong), inputs).leaves:
        assert leaf.verdict == (FAIL if leaf.name in at else PASS)
        assert re.fullmatch(words if leaf.name in at else "", leaf.message)


def test_an_error_by_all_outputs_alike_is_one_error():
    f_backward = lambda dy, q, k, v: tuple(3 * g for g in with_weights_backward()(dy, q, k, v))  # noqa: E731
    leaf = check(with_weights, f_backward, MATRICES).leaves[0]
    assert leaf.message.startswith("3 x too large at all 15 entries")
    out = lambda x: {"a": np.sin(x), "b": [np.cos(x), x**2]}  # noqa: E731
    back = lambda dy, x: dy["a"] * np.cos(x) - dy["b"][0] * np.sin(x) + dy["b"][1] * x  # noqa: E731
    said = check(out, back, X).leaves[0].message
    assert said == "through output b.1: 2 x too small at all 24 entries"


def test_two_paths_that_are_missing_are_not_one():
    f_backward = lambda dy, x, Q, K, V: self_attention_backward(dy, x, Q, K, V, "QK")  # noqa: E731
    leaf = check(self_attention, f_backward, PROJECTED).leaves[0]
    assert (leaf.verdict, leaf.message) == (FAIL, "")
    assert check(self_attention, self_attention_backward, PROJECTED, wrt=["x", "Q"]).verdict == PASS


def test_all_that_comes_through_one_matrix_is_no_missing_path():
    """Then the right gradient lies in its span, too."""
    wrong = lambda dy, x, W, b: (np.cos(dy) @ W.T, x.T @ dy, dy.sum(axis=0))  # noqa: E731
    leaf = check(lambda x, W, b: x @ W + b, wrong, DENSE).leaves[0]
    assert "span" not in leaf.message


def biased_attention(x, Wq, bq, Wk, bk, Wv, bv, mask):
    s = (x @ Wq + bq) @ T(x @ Wk + bk) / math.sqrt(3)
    return softmax(np.where(mask[:, None, :], s, -1e30)) @ (x @ Wv + bv)


def biased_attention_backward(axis=-1, sums=1.0, scaled=True, masked=True):
    def f_backward(dy, x, Wq, bq, Wk, bk, Wv, bv, mask):
        q, k, v = x @ Wq + bq, x @ Wk + bk, x @ Wv + bv
        s = q @ T(k) / math.sqrt(3)
        p = softmax(np.where(mask[:, None, :], s, -1e30) if masked else s)
        dp = dy @ T(v)
        ds = (
            p
            * (dp - sums * (dp * p).sum(axis=axis, keepdims=True))
            / (math.sqrt(3) if scaled else 1)
        )
        slopes = {"q": ds @ k, "k": T(ds) @ q, "v": T(p) @ dy}
        g = {f"W{n}": np.einsum("btd,bth->dh", x, d) for n, d in slopes.items()}
        g |= {f"b{n}": d.sum(axis=(0, 1)) for n, d in slopes.items()}
        return {**g, "x": slopes["q"] @ Wq.T + slopes["k"] @ Wk.T + slopes["v"] @ Wv.T}

    return f_backward


ZERO = "it should be zero: the output does not depend on this input"
BIASED = {
    "right": ({}, "", ""),
    "wrong axis": ({"axis": -2}, "x Wq Wk bq bk", "the inner softmax is summed over the wrong axis"),
    "no sum": ({"sums": 0.0}, "x Wq Wk bq bk", "the sum of the inner softmax is missing"),
    "no scale": ({"scaled": False}, "x Wq Wk bq", "the scale of the scores is missing in backward"),
    "no mask": ({"masked": False}, "x Wq Wk bq Wv", "the mask is missing in backward"),
}  # fmt: skip


@pytest.mark.parametrize("name", BIASED)
def test_attention_is_known_through_projections_biases_and_masks(name):
    wrong, at, words = BIASED[name]
    inputs = {"x": normal(2, 5, 4), "mask": np.arange(5) < np.array([[4], [3]])}
    inputs |= {f"W{n}": normal(4, 3, seed=k) for k, n in enumerate("qkv")}
    inputs |= {f"b{n}": normal(3, seed=k) for k, n in enumerate("qkv", 3)}
    for leaf in check(biased_attention, biased_attention_backward(**wrong), inputs).leaves:
        assert leaf.verdict == (FAIL if leaf.name in at.split() else PASS), leaf
        if leaf.name in at.split() and "x too large at all" not in leaf.message:
            assert leaf.message == (ZERO if leaf.name == "bk" else words)
