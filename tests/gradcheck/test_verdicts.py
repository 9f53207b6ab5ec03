# ruff: noqa: E501 (tables of one case a line)
"""More pairs as other people write them: the verdict that is right for each, by kinds."""

import ctypes
import inspect
import math
import re
import warnings
from functools import partial

import numpy as np
import pytest

from scratchvae.gradcheck import check
from scratchvae.gradcheck.report import CONTRACT, ERROR, FAIL, GOOD, INCONCLUSIVE, KINK, PASS


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def square(x):
    return x * x


def square_backward(dy, x):
    return 2 * dy * x


def x_of(a):
    return {"x": np.asarray(a)}


X = x_of(normal(4, 3))


def spoilt(f_backward, factor=1.01):
    """The same backward, off by a factor, with the signature that tells what it needs."""

    def wrong(*args, **given):
        return factor * f_backward(*args, **given)

    wrong.__signature__ = inspect.signature(f_backward)
    return wrong


# ---------------------------------------------------------------- approximate forwards, two more


def root(a, tol=1e-9):
    """The square root, by Newton's method."""
    x = np.ones_like(a)
    while True:
        new = (x + a / x) / 2
        if np.abs(new - x).max() < tol:
            return new
        x = new


def fixed_point(c, tol=1e-9):
    """x = cos(x) / 2 + c, by iteration."""
    x = np.zeros_like(c)
    while True:
        new = np.cos(x) / 2 + c
        if np.abs(new - x).max() < tol:
            return new
        x = new


def fixed_point_backward(dy, c):
    return dy / (1 + np.sin(fixed_point(c)) / 2)


def runge_kutta(x, steps=30):
    """x' = -x^3 from 0 to 1."""
    h = 1 / steps
    for _ in range(steps):
        a = -(x**3)
        b = -((x + h / 2 * a) ** 3)
        c = -((x + h / 2 * b) ** 3)
        d = -((x + h * c) ** 3)
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
    return x


SOLVERS = {  # forward, backward, inputs, its relative accuracy
    "Newton": (root, lambda dy, y: dy / 2 / y, {"a": 1 + np.abs(normal(4))}, 1e-9),
    "a fixed point": (fixed_point, fixed_point_backward, {"c": normal(4)}, 1e-8),
    "Runge and Kutta": (runge_kutta, lambda dy, x: dy * (1 + 2 * x * x) ** -1.5, x_of([0.3, 0.5, 0.8]), 1e-7),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_passes_at_its_accuracy(name, seed):
    f, f_backward, inputs, accuracy = SOLVERS[name]
    assert check(f, f_backward, inputs, seed=seed, forward_accuracy=accuracy * 0.99).verdict == PASS

    wrong = spoilt(f_backward)
    assert check(f, wrong, inputs, seed=seed, forward_accuracy=accuracy).verdict == FAIL


def test_an_inaccurate_forward_is_named_as_what_hides_errors():
    f, f_backward, inputs, _ = SOLVERS["Runge and Kutta"]
    leaf = check(f, f_backward, inputs, forward_accuracy=1e-3).leaves[0]
    assert leaf.verdict == INCONCLUSIVE
    assert leaf.message.startswith("a forward accurate to 1e-03 hides the whole gradient")


# ------------------------------------------------------------------------------------ strict code


def foreign(x):
    """A buffer of C, which a foreign function would read: read-only memory is refused."""
    return np.frombuffer((ctypes.c_double * x.size).from_buffer(x)) ** 2


def buffer(x):
    if memoryview(x).readonly:
        raise BufferError("buffer source array is read-only")
    return x * x


def unlocks(x):
    x.setflags(write=True)
    return x * x


def restores(x):
    x += 1
    x -= 1
    return x * x


def flattened(dy, x):
    z = x.view()
    z.shape = (x.size,)  # refused where that would need a copy
    return 2 * dy * z.reshape(x.shape)


def float64_only(x):
    if x.dtype != np.float64:
        raise TypeError("float64 only")
    return x * x


def float64_only_backward(dy, x):
    if not x.dtype == dy.dtype == np.float64:
        raise TypeError("float64 only")
    return 2 * dy * x


def with_numpy_errors(x):
    with np.errstate(all="raise"):
        return np.sqrt(x)


def with_warnings_as_errors(x):
    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        return np.sqrt(x)


def inverse(A):
    return np.linalg.inv(A)


EDGE = np.array([1e-12, 1e-3, 1.0, 5.0])  # of all sizes: large steps of the small entries leave


def raising_log(x):
    if (x <= 0).any():
        raise ValueError("x must be positive")
    return np.log(x)


def of_another_shape(x):
    return np.log(x[x > 0])


STRICT = {
    "a C function": (foreign, square_backward, x_of(normal(5))),
    "a C function in backward": (square, lambda dy, x: 2 * dy * np.frombuffer((ctypes.c_double * x.size).from_buffer(x)), x_of(normal(5))),
    "a writable buffer": (buffer, square_backward, x_of(normal(5))),
    "a required flag": (lambda x: np.require(x, requirements="W") ** 2, square_backward, x_of(normal(5))),
    "write protection lifted": (unlocks, square_backward, x_of(normal(5))),
    "a shape that is assigned": (square, flattened, X),
    "a view of other bytes": (square, lambda dy, x: 2 * dy * x.view("c16").view("f8"), x_of(normal(4, 4))),
    "float64 only": (float64_only, float64_only_backward, X),
    "the edge of a domain": (raising_log, lambda dy, x: dy / x, x_of(EDGE)),
    "the edge of a domain, by shape": (of_another_shape, lambda dy, x: dy / x, x_of(EDGE)),
    "numbers of the math module": (lambda x: np.array([math.log(v) for v in x]), lambda dy, x: dy / x, x_of(EDGE)),
    "arccos at its edge": (lambda x: np.array([math.acos(v) for v in x]), lambda dy, x: -dy / np.sqrt(1 - x * x), x_of([1 - 1e-6, -0.5, 0.1])),
    "NumPy's errors raised": (with_numpy_errors, lambda dy, x: dy / 2 / np.sqrt(x), x_of(EDGE)),
    "warnings as errors": (with_warnings_as_errors, lambda dy, x: dy / 2 / np.sqrt(x), x_of(EDGE)),
    "a matrix that may be singular": (inverse, lambda dy, y: -y.T @ dy @ y.T, {"A": np.eye(3) + 0.1 * normal(3, 3)}),
    "a number written in place": (lambda s: (t := s.copy(), t.__setitem__(..., 3 * t))[0], lambda dy: 3 * dy, {"s": np.asarray(2.0)}),
}  # fmt: skip


@pytest.mark.parametrize("name", STRICT)
def test_strict_code_passes_and_is_found_wrong_if_it_is(name):
    f, f_backward, inputs = STRICT[name]
    report = check(f, f_backward, inputs)
    assert report.verdict == PASS, report
    assert check(f, spoilt(f_backward), inputs).verdict == FAIL


def test_a_forward_that_puts_back_what_it_wrote_has_written():
    report = check(restores, square_backward, x_of(normal(5)))
    assert report.verdict == CONTRACT
    assert "the forward writes into its arguments, in line" in report.violations[0]


def test_a_domain_without_any_room_is_inconclusive():
    def entropy(p):
        if abs(p.sum() - 1) > 1e-15:
            raise ValueError("probabilities must add up to 1")
        return -(p * np.log(p)).sum()

    p = {"p": np.array([0.2, 0.3, 0.5])}
    report = check(entropy, lambda dy, p: -dy * (np.log(p) + 1), p)
    assert report.verdict == INCONCLUSIVE
    assert report.leaves[0].message == "steps leave the domain of the forward"


def test_a_dtype_that_is_refused_is_a_sentence():
    report = check(float64_only, float64_only_backward, x_of(normal(4).astype("f4")))
    assert report.verdict == ERROR
    assert "raises TypeError in line" in report.raised


# --------------------------------------------------------------------------- layouts and rounding


def standardised(x):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


def standardised_backward(dy, x):
    s, h = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5), standardised(x)
    return (dy - dy.mean(axis=-1, keepdims=True) - h * (dy * h).mean(axis=-1, keepdims=True)) / s


def one_minus_cosine(a, b):
    return 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def one_minus_cosine_backward(dy, a, b):
    A, B = np.linalg.norm(a), np.linalg.norm(b)
    c = a @ b / A / B
    return -dy * (b / A / B - c * a / A**2), -dy * (a / A / B - c * b / B**2)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("digits", [1, 3, 5, 7])
def test_sums_in_another_order_are_no_other_gradient(digits, seed):
    x = x_of(10.0**digits + normal(4, 8, seed=seed))
    report = check(standardised, standardised_backward, x, seed=seed)
    assert report.verdict in (*GOOD, INCONCLUSIVE), report
    a = normal(7, seed=seed)
    ab = {"a": a, "b": a + 10.0**-digits * normal(7, seed=seed + 100)}
    report = check(one_minus_cosine, one_minus_cosine_backward, ab, seed=seed)
    assert report.verdict in (PASS, INCONCLUSIVE), report


def test_another_gradient_is_one_in_any_precision():
    """As large as what another order of sums makes, and no rounding."""

    def f_backward(dy, x):
        right = standardised_backward(dy, x)
        return right * (1 + 1e-9 * (not x.flags.c_contiguous))

    report = check(standardised, f_backward, x_of(1e5 + normal(4, 8)))
    assert report.violations == (
        "backward returns a different dx for Fortran-ordered arguments",
        "backward returns a different dx for strided arguments",
    )


def in_memory_order(dy, x):
    """The square's backward, wrong for other layouts in all but extended precision."""
    if dy.dtype == np.longdouble:
        return 2 * dy * x
    return (dy.ravel(order="K") * 2 * x.ravel(order="K")).reshape(x.shape)


@pytest.mark.skipif(np.finfo(np.longdouble).eps == np.finfo(float).eps, reason="no wider type")
@pytest.mark.parametrize("size", [1, 1e-6, 1e-12])
def test_a_difference_is_no_rounding_because_a_wider_precision_lacks_it(size):
    mixed = lambda dy, x: (1 - size) * 2 * dy * x + size * in_memory_order(dy, x)  # noqa: E731
    report = check(square, mixed, x_of(normal(3, 4)))
    assert report.violations == ("backward returns a different dx for Fortran-ordered arguments",)


def by_dtype(x):
    return np.sqrt(x * x + np.sqrt(np.finfo(x.dtype).eps))


def norm_by_dtype(x):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(x.var(axis=1, keepdims=True) + np.sqrt(np.finfo(x.dtype).eps))


def norm_by_dtype_backward(dy, x, y):
    std = np.sqrt(x.var(axis=1, keepdims=True) + np.sqrt(np.finfo(x.dtype).eps))
    return (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True)) / std


BY_DTYPE = {
    "smooth magnitude": (by_dtype, lambda dy, x, y: dy * x / y),
    "norm": (norm_by_dtype, norm_by_dtype_backward),
}


@pytest.mark.parametrize("name", BY_DTYPE)
def test_constants_that_depend_on_the_dtype_hide_no_error(name):
    """In a wider precision the forward is another function: that is no rounding."""
    f, right = BY_DTYPE[name]
    for seed in range(4):
        x = x_of(normal(6, 7, seed=seed))
        assert check(f, right, x, seed=seed).verdict == PASS
        for error in (1e-5, 1e-4, 1e-3):
            assert check(f, spoilt(right, 1 + error), x, seed=seed).verdict == FAIL


# ------------------------------------------------------------------ less precision in the forward

HALF = {
    "a product and a bias": (
        lambda x, W, b: (x.astype("f2") @ W.astype("f2")).astype("f8") + b,
        lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.sum(axis=0)),
        {"x": normal(3, 4), "W": normal(4, 2), "b": normal(2)},
    ),
    "an activation": (lambda x: np.tanh(x.astype("f2").astype("f8")), lambda dy, y: dy * (1 - y * y), x_of(normal(6))),
    "a mean": (lambda x: (x.astype("f2").astype("f8") ** 2).mean(), lambda dy, x: dy * 2 * x / x.size, x_of(normal(6))),
}  # fmt: skip


@pytest.mark.parametrize("name", HALF)
def test_half_precision_inside_a_forward_is_found(name):
    report = check(*HALF[name])
    assert report.verdict == INCONCLUSIVE, report
    assert re.match(r"the forward rounds \w+ to float16", report.notes[0])


def test_a_step_function_is_no_half_precision():
    for step in (lambda x: np.floor(10 * x), lambda x: np.round(x, 2), lambda x: 1.0 * (x > 0)):
        report = check(step, lambda dy, x: 1.0 * dy, x_of(normal(6)))
        assert report.verdict == FAIL
        assert report.notes == ()


SINGLE = {
    "a constant": (lambda x: (x.astype(np.float32) * np.float32(3)).sum(), lambda dy, x: 3 * dy + 0 * x, x_of(normal(5))),
    "a product": (lambda x, W: np.asarray(x @ W, np.float32), lambda dy, x, W: (dy @ W.T, x.T @ dy), {"x": normal(3, 4), "W": normal(4, 2)}),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_single_precision_inside_a_forward_is_noted(name):
    report = check(*SINGLE[name])
    assert report.verdict == PASS
    assert report.notes == ("the forward computes in float32, though its inputs are float64",)


# ----------------------------------------------------------------------------- gradients that are 0

MINIMA = {
    "a loss at its target": (lambda a, b: ((a - b) ** 2).mean(), lambda dy, a, b: (2 * dy * (a - b) / a.size, 2 * dy * (b - a) / a.size), {"a": normal(5), "b": normal(5)}),
    "a divergence from the prior": (lambda m, v: 0.5 * (np.exp(v) + m * m - 1 - v).sum(), lambda dy, m, v: (dy * m, dy * 0.5 * (np.exp(v) - 1)), {"m": np.zeros(4), "v": np.zeros(4)}),
    "a saddle": (lambda a, b: a * b, lambda dy, a, b: (dy * b, dy * a), {"a": np.zeros(4), "b": np.zeros(4)}),
    "a fourth power": (lambda x: x**4, lambda dy, x: 4 * dy * x**3, x_of(np.zeros(4))),
    "half a parabola": (lambda x: np.maximum(x, 0) ** 2, lambda dy, x: 2 * dy * np.maximum(x, 0), x_of(np.zeros(4))),
    "two halves of parabolas": (lambda x: x * np.abs(x), lambda dy, x: 2 * dy * np.abs(x), x_of(np.zeros(4))),
    "cross-entropy at its target, but for rounding": (
        lambda z: -(np.array([0.2, 0.3, 0.5]) * np.log(softmax(z))).sum(),
        lambda dy, z: dy * (softmax(z) - np.array([0.2, 0.3, 0.5])),
        {"z": np.log(np.array([0.2, 0.3, 0.5]))},
    ),
    "a cosine of parallel vectors, but for rounding": (one_minus_cosine, one_minus_cosine_backward, {"a": normal(5), "b": 2 * normal(5)}),
}  # fmt: skip


@pytest.mark.parametrize("name", MINIMA)
def test_where_a_gradient_is_0_it_passes(name):
    f, f_backward, inputs = MINIMA[name]
    report = check(f, f_backward, inputs)
    assert report.verdict == PASS, report
    assert re.search("it is 0 here( up to rounding)?, as it should be", str(report))

    def wrong(dy, **given):
        g = f_backward(dy, **given)
        g = g if isinstance(g, tuple) else (g,)
        return {n: a + 1e-3 * np.abs(dy) for n, a in zip(inputs, g, strict=True)}

    assert check(f, wrong, inputs).verdict == FAIL


def T(a):
    return np.swapaxes(a, -1, -2)


def attention(x, Wk, bk, q):
    return softmax(q @ T(x @ Wk + bk)) @ x


def attention_backward(dy, x, Wk, bk, q):
    p = softmax(q @ T(x @ Wk + bk))
    dp = dy @ T(x)
    dk = T(p * (dp - (p * dp).sum(axis=-1, keepdims=True))) @ q
    return {"x": T(p) @ dy + dk @ Wk.T, "Wk": np.einsum("btd,bth->dh", x, dk), "bk": dk.sum((0, 1))}


def normalised_backward(dz, h, sd, axis):
    mean = partial(np.mean, axis=axis, keepdims=True)
    return (dz - mean(dz) - h * mean(dz * h)) / sd


def batch_norm(x, W, b, g):
    z = x @ W + b
    return g * (z - z.mean(axis=0)) / z.std(axis=0)


def batch_norm_backward(dy, x, W, b, g):
    sd = (x @ W + b).std(axis=0)
    dz = normalised_backward(dy * g, batch_norm(x, W, b, 1.0), sd, 0)
    return {"x": dz @ W.T, "W": x.T @ dz, "b": dz.sum(axis=0)}


def layer_norm(x, s):
    z = x * s
    return (z - z.mean(axis=-1, keepdims=True)) / z.std(axis=-1, keepdims=True)


def layer_norm_backward(dy, x, s):
    dz = normalised_backward(dy, layer_norm(x, s), (x * s).std(axis=-1, keepdims=True), -1)
    return {"x": dz * s, "s": (dz * x).sum(axis=-1, keepdims=True)}


def shifted(x, b):
    return softmax(x + b)


def shifted_backward(dy, x, b):
    p = softmax(x + b)
    dx = p * (dy - (p * dy).sum(axis=-1, keepdims=True))
    return {"x": dx, "b": dx.sum(axis=-1, keepdims=True)}


INVARIANT = {  # the input with which the output does not change, though the forward uses it
    "a bias of keys": ("bk", attention, attention_backward, {"x": normal(2, 5, 4), "Wk": normal(4, 3, seed=1), "bk": normal(3, seed=2), "q": normal(2, 5, 3, seed=3)}),
    "a bias before a batch norm": ("b", batch_norm, batch_norm_backward, {"x": normal(8, 5), "W": normal(5, 4, seed=1), "b": normal(4, seed=2), "g": normal(4, seed=3)}),
    "a scale before a layer norm": ("s", layer_norm, layer_norm_backward, {"x": normal(4, 6), "s": 1 + np.abs(normal(4, 1))}),
    "a bias before a softmax": ("b", shifted, shifted_backward, {"x": normal(4, 6), "b": normal(4, 1)}),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", INVARIANT)
def test_a_gradient_that_is_0_but_for_rounding_passes(name, dtype):
    zero, f, f_backward, inputs = INVARIANT[name]
    inputs = {n: x.astype(dtype) for n, x in inputs.items()}
    report = check(f, f_backward, inputs)
    assert report.verdict == PASS, report
    leaf = next(leaf for leaf in report.leaves if leaf.name == zero)
    assert leaf.message == "it is 0 here up to rounding, as it should be"
    assert re.match("errors above .* of the output's slope along all inputs would", leaf.how)
    assert leaf.resolution < 1e-8
    assert all("it is 0" not in other.message for other in report.leaves if other.name != zero)

    def wrong(dy, **given):
        g = f_backward(dy, **given)
        return {n: a + 1e-7 if n == zero else a for n, a in g.items()}

    if dtype == "float64":
        leaf = next(leaf for leaf in check(f, wrong, inputs).leaves if leaf.name == zero)
        assert leaf.message == "it should be zero: the output does not depend on this input"


@pytest.mark.parametrize("name", INVARIANT)
def test_rounding_is_wrong_where_the_output_does_change(name):
    """The gradient of the invariant input, and an exact 0, claimed for the others."""
    zero, f, f_backward, inputs = INVARIANT[name]

    for rounds in (1e-16, 0.0):

        def nothing(dy, rounds=rounds, **given):
            g = f_backward(dy, **given)
            return {n: a if n == zero else rounds * a for n, a in g.items()}

        for leaf in check(f, nothing, inputs).leaves:
            assert leaf.verdict == (PASS if leaf.name == zero else FAIL)


@pytest.mark.parametrize("size", [1e-6, 1e-10, 1e-12, 1e-14, 1e-16])
def test_a_tiny_gradient_is_not_called_0(size):
    """Alone, and where the rounding of the other part of a forward hides it or not."""
    x, z = normal(5), normal(5, seed=1)
    alone = check(lambda z: size * np.sin(z), lambda dy, z: size * dy * np.cos(z), {"z": z})
    assert (alone.verdict, alone.leaves[0].message) == (PASS, "")

    def f_backward(dy, x, z, share=1.0):
        return {"x": dy / np.cosh(x) ** 2, "z": share * size * dy * np.cos(z)}

    def beside(share):
        backward = lambda dy, x, z: f_backward(dy, x, z, share)  # noqa: E731
        f = lambda x, z: np.tanh(x) + size * np.sin(z)  # noqa: E731
        return check(f, backward, {"x": x, "z": z}).leaves[1]

    assert beside(1.0).verdict == (PASS if size > 1e-11 else INCONCLUSIVE)
    assert "it is 0" not in beside(1.0).message
    if size > 1e-13:
        assert beside(0.0).verdict == FAIL


CONSTANTS = {  # whose gradient is 0 but for rounding
    "the sum of a softmax": (lambda x: softmax(x).sum(axis=-1), lambda dy, x: softmax(x) * (dy[:, None] - (dy[:, None] * softmax(x)).sum(axis=-1, keepdims=True)), X),
    "the norm of a unit vector": (lambda x: np.linalg.norm(x / np.linalg.norm(x)), lambda dy, x: dy * (x - x * (x @ x) / np.linalg.norm(x) ** 2) / np.linalg.norm(x) ** 2, x_of(normal(5))),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTANTS)
def test_what_is_only_round_off_is_no_factor(name):
    f, f_backward, inputs = CONSTANTS[name]
    assert check(f, f_backward, inputs).verdict in (PASS, INCONCLUSIVE)
    leaf = check(f, lambda dy, x: 1e-3 * x, inputs).leaves[0]
    assert leaf.verdict == FAIL
    assert leaf.message == "it should be zero: the output does not depend on this input"


# ------------------------------------------------------------------------------------------- ties


def sort_by(order):
    def f_backward(dy, x):
        return order(x, np.sort(x)) @ dy

    return f_backward


def first_of(x, s):
    return 1.0 * (np.argsort(x, kind="stable") == np.arange(x.size)[:, None])


def all_of(x, s):
    return 1.0 * (x[:, None] == s)


def fair(x, s):
    return all_of(x, s) / all_of(x, s).sum(axis=0)


def pooled(x):
    return x.reshape(2, 2, 2, 2).max(axis=(1, 3))


def pooled_backward(dy, x, share):
    top = x == pooled(x).repeat(2, 0).repeat(2, 1)
    n = top.reshape(2, 2, 2, 2).sum(axis=(1, 3)) if share else 1
    return (dy / n).repeat(2, 0).repeat(2, 1) * top


def windows(n):
    """A picture whose first window holds n of its largest number."""
    x = normal(4, 4)
    x[:2, :2] = np.r_[np.full(n, 3.0), np.zeros(4 - n)].reshape(2, 2)
    return x


def largest(x):
    return np.abs(x).max()


def largest_backward(dy, x, share):
    top = np.abs(x) == np.abs(x).max()
    return dy * np.sign(x) * top / (top.sum() if share else 1)


def middle_backward(dy, x, share):
    top = x == np.median(x)
    return dy * top / (top.sum() if share else 1)


def two_largest(x):
    return np.sort(x)[-2:].sum()


TIES = {  # forward, a right backward, one that gives each of the tied entries the whole, x for n
    "max": (lambda x: x.max(), lambda dy, x: dy * (x == x.max()) / (x == x.max()).sum(), lambda dy, x: dy * (x == x.max()), lambda n: np.r_[1.0, np.full(n, 2)]),
    "min": (lambda x: x.min(), lambda dy, x: dy * (np.arange(x.size) == x.argmin()), lambda dy, x: dy * (x == x.min()), lambda n: np.r_[1.0, np.full(n, -2)]),
    "sort, the first": (lambda x: np.sort(x), sort_by(first_of), sort_by(all_of), lambda n: np.r_[1.0, np.full(n, 2), 3, -1]),
    "sort, shared": (lambda x: np.sort(x), sort_by(fair), sort_by(all_of), lambda n: np.r_[1.0, np.full(n, 2), 3, -1]),
    "largest magnitude": (largest, lambda dy, x: largest_backward(dy, x, True), lambda dy, x: largest_backward(dy, x, False), lambda n: np.r_[1.0, 2 * (-1.0) ** np.arange(n)]),
    "pooling, shared": (pooled, lambda dy, x: pooled_backward(dy, x, True), lambda dy, x: pooled_backward(dy, x, False), lambda n: windows(min(n, 4))),
    "a range": (lambda x: x.max() - x.min(), lambda dy, x: dy * (1.0 * (np.arange(x.size) == x.argmax()) - (np.arange(x.size) == x.argmin())), lambda dy, x: dy * (1.0 * (x == x.max()) - (x == x.min())), lambda n: np.r_[0.0, np.full(n, 2)]),
}  # fmt: skip


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("name", TIES)
def test_ties_of_several(name, n):
    f, right, whole, draw = TIES[name]
    for seed in range(4):
        x = x_of(draw(n))
        report = check(f, right, x, seed=seed)
        assert report.verdict == KINK, report
        assert check(f, whole, x, seed=seed).verdict == FAIL
        assert check(f, spoilt(right, 1.1), x, seed=seed).verdict == FAIL


@pytest.mark.parametrize("n", [3, 5])
def test_a_median_of_several_equal_numbers(n):
    """Along any line it is smooth, as its slope is the same on both sides, and yet it is a tie."""
    x = x_of(np.r_[0.0, np.full(n, 2), 3])
    median = lambda x: np.median(x)  # noqa: E731
    assert check(median, lambda dy, x: middle_backward(dy, x, True), x).verdict == KINK
    assert check(median, lambda dy, x: middle_backward(dy, x, False), x).verdict == FAIL
    assert check(median, lambda dy, x: 0.9 * middle_backward(dy, x, True), x).verdict == FAIL


@pytest.mark.parametrize("n", [3, 5])
def test_the_sum_of_the_two_largest_of_several(n):
    x = x_of(np.r_[1.0, np.full(n, 2)])
    some = lambda dy, x: dy * np.isin(np.arange(x.size), np.argsort(x)[-2:])  # noqa: E731
    assert check(two_largest, some, x).verdict == KINK
    assert check(two_largest, lambda dy, x: dy * (x >= np.sort(x)[-2]), x).verdict == FAIL


def test_ties_of_two_and_three_inputs():
    def top(a, b, c):
        return np.maximum(np.maximum(a, b), c)

    abc = {n: np.array([1.0, 2, 3]) for n in "abc"}
    whole = lambda dy, a, b, c: tuple(dy * (v == top(a, b, c)) for v in (a, b, c))  # noqa: E731
    assert check(top, whole, abc).verdict == FAIL
    ab = {"a": np.array([2.0, 1]), "b": np.array([1.0, 3])}
    scaled = lambda a, b: np.maximum(a, 2 * b)  # noqa: E731
    assert (
        check(scaled, lambda dy, a, b: (dy * (a >= 2 * b), 2 * dy * (2 * b >= a)), ab).verdict
        == FAIL
    )
    assert (
        check(scaled, lambda dy, a, b: (dy * (a >= 2 * b), 2 * dy * (2 * b > a)), ab).verdict
        == KINK
    )
    assert (
        check(
            scaled,
            lambda dy, a, b: (
                dy * ((a > 2 * b) + (a == 2 * b) / 2),
                dy * (2 * (2 * b > a) + (a == 2 * b)),
            ),
            ab,
        ).verdict
        == KINK
    )


def summed_to(g, shape):
    """The sum over the axes that broadcasting has added or stretched."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i in range(g.ndim) if shape[i] == 1)
    return g.sum(axis=stretched, keepdims=True).reshape(shape)


X23 = np.array([[1.0, 2, 3], [2, 5, 4]])
BROADCAST = {  # the two inputs of a minimum, and the shape in which the second one is used
    "a number": (X23, np.array(2.0), ()),
    "a number, one axis": (np.array([1.0, 2, 3]), np.array(2.0), ()),
    "a row": (X23, np.array([1.0, 7, 3]), (3,)),
    "a row with both axes": (X23, np.array([[2.0, 2, 4]]), (1, 3)),
    "a column": (X23, np.array([[3.0], [2]]), (2, 1)),
    "reshaped": (np.array([1.0, 2, 3, 4]), np.array([[1.0, 3], [3, 4]]), (4,)),
    "all equal": (np.zeros((2, 3)), np.zeros(3), (3,)),
}


@pytest.mark.parametrize("name", BROADCAST)
def test_ties_of_inputs_of_other_shapes(name):
    x, c, shape = BROADCAST[name]

    def smaller(x, c):
        return np.minimum(x, c.reshape(shape))

    def f_backward(dy, x, c, both=0.0):
        one, two = x - c.reshape(shape) < 0, x - c.reshape(shape) > 0
        tie = ~one & ~two
        return dy * (one + (1 - both) * tie), summed_to(dy * (two + both * tie), shape).reshape(
            c.shape
        )

    def sharing(one, two):
        """The parts of dy that the tied entries get."""

        def share(dy, x, c):
            return f_backward(dy, x, c, 1 - one)[0], f_backward(dy, x, c, two)[1]

        return share

    for seed in range(4):
        for parts in ((0, 1), (1, 0), (0.5, 0.5), (0.2, 0.8)):
            assert check(smaller, sharing(*parts), {"x": x, "c": c}, seed=seed).verdict == KINK
        for parts in ((1, 1), (0, 0), (0.5, 0.6)):
            assert check(smaller, sharing(*parts), {"x": x, "c": c}, seed=seed).verdict == FAIL


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_equal_entries_that_do_not_meet_are_no_tie(shape):
    """Each has a kink of its own, and a gradient may decide otherwise at each."""
    positive = lambda x: np.maximum(x, 0)  # noqa: E731
    zeros = {"x": np.zeros((2, 3)), "c": np.zeros(shape)}
    f = lambda x, c: positive(x) - positive(-c)  # noqa: E731
    f_backward = lambda dy, x, c: (dy * (x > 0), summed_to(dy * (c < 0), shape))  # noqa: E731
    assert check(f, f_backward, zeros).verdict == KINK


def test_a_tie_with_a_constant():
    f, x = lambda x, c: np.minimum(x, c), np.array([1.0, 2])
    report = check(f, lambda dy, x, c: {"x": dy * (x <= c)}, {"x": x, "c": x})
    assert report.verdict == KINK


def test_kinks_of_one_size_and_two_signs_are_no_tie():
    """-1 and 1 are edges of the same clip; a gradient may decide otherwise at each."""
    clip = lambda x: np.clip(x, -1, 1)  # noqa: E731
    x = x_of([-1.0, 1, -1, 1, 0.5, 2])
    for low in (np.greater, np.greater_equal):
        for high in (np.less, np.less_equal):
            for seed in range(4):
                f_backward = lambda dy, x, a=low, b=high: dy * (a(x, -1) & b(x, 1))  # noqa: E731
                assert check(clip, f_backward, x, seed=seed).verdict == KINK
    assert check(clip, lambda dy, x: 1.2 * dy * (np.abs(x) <= 1), x).verdict == FAIL


def test_a_smooth_entry_beside_one_at_a_kink():
    """It has kinks on both sides, within the largest steps."""
    clip = lambda x: np.clip(x, 2.5, 3.5)  # noqa: E731
    inside = lambda dy, x: dy * ((x > 2.5) & (x < 3.5))  # noqa: E731
    assert check(clip, inside, x_of([3.0, 3.5])).verdict == KINK
    assert check(clip, lambda dy, x: 1.05 * inside(dy, x), x_of([3.0, 3.5])).verdict == FAIL
    wave = lambda x: np.abs(x - np.round(x))  # noqa: E731
    for seed in range(20):
        x = np.append(np.random.default_rng(seed).uniform(0, 5, 6), 3.0)
        slope = lambda dy, x: dy * np.sign(x - np.round(x))  # noqa: E731
        assert check(wave, slope, x_of(x), seed=seed).verdict == KINK
        assert check(wave, spoilt(slope, 1.05), x_of(x), seed=seed).verdict == FAIL


def test_a_smooth_function_that_varies_fast_has_no_possible_slopes():
    """Slopes at points nearby count at a kink alone."""

    def narrow(x):
        return (x - 0.3) * np.exp(-((1e6 * (x - 0.3)) ** 2))

    assert check(narrow, lambda dy, x: dy * 0, x_of([0.3])).verdict == FAIL


# ---------------------------------------------------------------- None, dtypes, 0-d arrays, batches

THREE = {"x": normal(4), "s": np.asarray(2.0), "b": normal(4, seed=2)}


@pytest.mark.parametrize(
    "f_backward",
    [
        lambda dy, x, s: {"x": dy * s, "s": None, "b": 1 * dy},
        lambda dy, x, s: [dy * s, None, None],
        lambda dy, x, s: (dy * s, (dy * x).sum(), None),
    ],
)
def test_none_claims_zero_wherever_it_stands(f_backward):
    report = check(lambda x, s, b: x * s + b, f_backward, THREE)
    assert report.verdict == FAIL
    assert "it is None, which means zero" in str(report)
    assert check(lambda x, s, b: x * s + b, f_backward, THREE, wrt=["x"]).verdict == PASS


@pytest.mark.parametrize("dtype", ["float32", "longdouble"])
def test_gradients_of_other_dtypes_are_compared(dtype):
    report = check(square, lambda dy, x: (2 * dy * x).astype(dtype), X)
    assert report.verdict == CONTRACT
    assert report.leaves[0].verdict == PASS
    wrong = check(square, lambda dy, x: (3 * dy * x).astype(dtype), X)
    assert wrong.leaves[0].message == "1.5 x too large at all 12 entries"


def test_a_float64_gradient_of_a_float32_input_is_compared():
    x = x_of(normal(5).astype("f4"))
    wrong = check(square, lambda dy, x: (3 * dy * x).astype("f8"), x)
    assert wrong.violations == ("dx is float64, but x is float32",)
    assert wrong.leaves[0].message == "1.5 x too large at all 5 entries"


def test_an_input_without_axes_stays_an_array():
    def relu(s):
        assert isinstance(s, np.ndarray)
        return np.maximum(s, 0)

    assert check(relu, lambda dy, s: dy * (s > 0), {"s": np.asarray(0.0)}).verdict == KINK


def test_labels_called_y_with_a_default_stay_theirs():
    x = x_of(normal(4))
    assert check(square, lambda dy, x, y=None: 2 * dy * x * (y is None), x).verdict == PASS
    assert check(square, lambda dy, x, *, y=3.0: 2 * dy * x * y / 3, x).verdict == PASS
    xy = {"x": normal(4), "y": normal(4, seed=1)}
    assert check(lambda x, y: x * y, lambda dy, x, y: (dy * y, dy * x), xy).verdict == PASS


@pytest.mark.parametrize(
    ("f", "f_backward"),
    [
        (lambda x: x / x.max(axis=0).shape[0], lambda dy, x: dy / 3),
        (lambda x: np.stack([2 * row for row in x]), lambda dy: 2 * dy),
    ],
)
def test_other_calls_that_refuse_an_empty_batch_are_notes(f, f_backward):
    report = check(f, f_backward, X, batch=["x"])
    assert report.verdict == PASS
    assert report.notes[0].startswith("fails for an empty batch: <lambda> raises ValueError")
    assert check(f, f_backward, X, batch=["x"], strict=True).verdict == CONTRACT


def test_a_gain_of_1_that_hides_a_factor_is_noted():
    def forgets(dy, x, gamma):
        return 1 * dy, (dy * x).sum(axis=0)

    x, gamma = np.random.default_rng(0).standard_normal((4, 6)), np.ones(6)
    report = check(lambda x, gamma: gamma * x, forgets, {"x": x, "gamma": gamma})
    text = "gamma is 1 at all 6 entries, which hides a missing factor gamma"
    assert (report.verdict, report.notes) == (PASS, (text,))
    report = check(lambda x, gamma: gamma * x, forgets, {"x": x, "gamma": x[0]})
    assert report.verdict == FAIL
    assert text not in report.notes
