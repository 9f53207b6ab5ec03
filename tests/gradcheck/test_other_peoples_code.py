# ruff: noqa: E501 (tables of one case a line)
"""Pairs as other people write them: confident predictions, solvers, domains, strict code, ties."""

import re

import numpy as np
import pytest

from scratchvae.errors import InputError
from scratchvae.gradcheck import GradientError, check
from scratchvae.gradcheck.report import (
    ACCEPTED,
    CONTRACT,
    ERROR,
    FAIL,
    GOOD,
    INCONCLUSIVE,
    KINK,
    PASS,
)  # fmt: skip

GAPS = (5, 10, 12, 15, 20, 30, 36, 40, 50)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def square(x):
    return x * x


def square_backward(dy, x):
    return 2 * dy * x


# ---------------------------------------------------------------------- rounding of the backward


def logistic(z):
    return np.logaddexp(0, -z).mean()


def logistic_backward(dy, z):
    return dy * (1 / (1 + np.exp(-z)) - 1) / z.size  # p - 1 cancels


def cross_entropy(z, t):
    z = z - z.max(axis=1, keepdims=True)
    return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), t]).mean()


def cross_entropy_backward(dy, z, t):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(z)), t] -= 1
    return dy * p / len(z)


def binary_cross_entropy(z, t):
    p = 1 / (1 + np.exp(-z))
    return -(t * np.log(p) + (1 - t) * np.log1p(-p)).sum(axis=1)


def binary_cross_entropy_backward(dy, z, t):
    return {"z": dy[:, None] * (1 / (1 + np.exp(-z)) - t)}


def confident(name, gap, seed):
    rng = np.random.default_rng([seed, gap])
    if name == "logistic":
        return logistic, logistic_backward, {"z": gap + rng.standard_normal(50)}
    if name == "binary cross-entropy":
        t = (rng.random((4, 6)) > 0.5).astype(float)
        z = (2 * t - 1) * (gap * 0.7 + rng.random((4, 6)))
        return binary_cross_entropy, binary_cross_entropy_backward, {"z": z, "t": t}
    z, t = rng.standard_normal((16, 10)), rng.integers(0, 10, 16)
    z[np.arange(16), t] += gap
    return cross_entropy, cross_entropy_backward, {"z": z, "t": t}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("name", ["logistic", "cross-entropy", "binary cross-entropy"])
def test_a_confident_prediction_is_no_false_alarm(name, gap, dtype):
    passed = 0
    for seed in range(5):
        f, f_backward, inputs = confident(name, gap if dtype == "float64" else gap // 2, seed)
        inputs = {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in inputs.items()}
        right = check(f, f_backward, inputs, wrt=["z"], seed=seed)
        assert right.verdict in (PASS, INCONCLUSIVE), right
        passed += right.verdict == PASS
        if right.verdict == PASS:

            def wrong(dy, backward=f_backward, **inputs):
                g = backward(dy, **inputs)
                return {"z": 1.05 * (g["z"] if isinstance(g, dict) else g)}

            assert check(f, wrong, inputs, wrt=["z"], seed=seed).verdict == FAIL
    assert passed == 5 or gap > 15


def test_a_forward_that_rounds_to_a_constant_is_not_said_to_ignore_its_input():
    report = check(
        lambda x: 1 - np.tanh(x), lambda dy, x: -dy / np.cosh(x) ** 2, {"x": np.array([20.0, 19.0])}
    )
    assert report.verdict == INCONCLUSIVE, report


@pytest.mark.parametrize("wider", [True, False])
def test_rounding_is_measured_with_and_without_extended_precision(monkeypatch, wider):
    monkeypatch.setattr("scratchvae.gradcheck.rounding.WIDER", wider)
    for seed in range(10):
        z = {"z": 15 + normal(50, seed=seed)}
        assert check(logistic, logistic_backward, z, seed=seed).verdict == PASS


def test_a_jump_of_the_gradient_is_no_rounding(monkeypatch):
    """One rounding of x moves this gradient from 0 to dy: that hides no error."""
    monkeypatch.setattr("scratchvae.gradcheck.rounding.WIDER", False)
    x = {"x": np.array([1.0, 2.0, 2.0])}
    assert check(lambda x: x.max(), lambda dy, x: dy * (x == x.max()), x).verdict == FAIL


# --------------------------------------------------------------------------- approximate forwards


def jacobi(b, A, tol):
    """A x = b, by iteration until the change is below tol."""
    x, D = np.zeros_like(b), np.diag(A)
    while True:
        new = (b - (A - np.diag(D)) @ x) / D
        if np.abs(new - x).max() < tol:
            return new
        x = new


def heun(x, steps):
    """x' = -x^3 from 0 to 1, by so many steps."""
    for _ in range(steps):
        k = -(x**3)
        x = x + (k - (x + k / steps) ** 3) / (2 * steps)
    return x


def exact_flow(dy, x):
    return dy * (1 + 2 * x**2) ** -1.5


@pytest.mark.parametrize("tol", [1e-6, 1e-8, 1e-10])
def test_a_solver_is_as_good_as_it_is_said_to_be(tol):
    A = normal(5, 5) / 10 + 2 * np.eye(5)
    f, f_backward = lambda b: jacobi(b, A, tol), lambda dy, b: jacobi(dy, A.T, tol)
    failed = 0
    for seed in range(8):
        b = {"b": normal(5, seed=seed)}
        bare = check(f, f_backward, b, seed=seed)
        failed += bare.verdict not in GOOD
        assert bare.verdict == PASS or "forward_accuracy=" in str(bare)
        told = check(f, f_backward, b, seed=seed, forward_accuracy=tol)
        assert told.verdict == PASS, told
        wrong = lambda dy, b: 1.05 * f_backward(dy, b)  # noqa: E731
        assert check(f, wrong, b, seed=seed, forward_accuracy=tol).verdict == FAIL
    assert failed > 0


def test_an_integrator_beside_the_exact_flow():
    x = {"x": np.array([0.3, 0.5, 0.8])}
    error = np.abs(heun(x["x"], 1000) / (x["x"] / np.sqrt(1 + 2 * x["x"] ** 2)) - 1).max()
    bare = check(lambda x: heun(x, 1000), exact_flow, x)
    assert bare.verdict == FAIL
    assert bare.error < 1e-5
    assert check(lambda x: heun(x, 1000), exact_flow, x, forward_accuracy=error).verdict == PASS
    assert check(lambda x: heun(x, 1000), exact_flow, x, accept=1e-5).verdict == ACCEPTED


def test_an_epsilon_in_the_forward_is_named_and_may_be_accepted():
    p = {"p": np.random.default_rng(0).uniform(0.1, 0.9, (3, 4))}
    pair = lambda p: -np.log(p + 1e-7), lambda dy, p: -dy / p
    said = check(*pair, p).leaves[0].message
    assert said == "consistent with an epsilon of 1e-07 that only the forward adds to p"
    accepted = check(*pair, p, accept=1e-5)
    assert accepted.verdict == ACCEPTED
    accepted.raise_if_failed()
    assert check(*pair, p, accept=1e-9).verdict == FAIL
    assert check(pair[0], lambda dy, p: -1.1 * dy / p, p, accept=1e-5).verdict == FAIL


def test_a_report_starts_with_the_largest_error():
    def f_backward(dy, a, b, c):
        return dy * (1 + 1e-7), dy * 0.5, dy * 1.01

    x = {name: normal(4, seed=k) for k, name in enumerate("abc")}
    lines = str(check(lambda a, b, c: a + b + c, f_backward, x)).split("\n")
    assert [line.split()[0] for line in lines if " FAIL " in line] == ["db", "dc", "da"]


# --------------------------------------------------------------- what the functions under test raise


class OwnError(Exception):
    pass


def positive(x):
    if (x <= 0).any():
        raise OwnError("x must be positive")
    return np.log(x)


def in_order(x):
    assert x.flags.c_contiguous, "C order only"
    return x * x


def c_ordered(dy, x):
    if not dy.flags.c_contiguous:
        raise ValueError("ndarray is not C-contiguous")
    return 2 * dy * x


def writable(x):
    if not x.flags.writeable:
        raise ValueError("buffer source array is read-only")
    return x * x


def needs_writable(dy, x):
    if not (dy.flags.writeable and x.flags.writeable):
        raise OwnError("a plain buffer is needed")
    return 2 * dy * x


STRICT = {
    "a domain": (positive, lambda dy, x: dy / x, np.array([1e-3, 1.0, 5.0])),
    "a factorisation": (
        lambda x: 2 * np.log(np.diag(np.linalg.cholesky((x + x.T) / 2))).sum(), lambda dy, x: dy * np.linalg.inv((x + x.T) / 2),
        np.array([[1.0, 0.9, 0], [0.9, 1, 0.1], [0, 0.1, 0.2]]),
    ),
    "a range check": (lambda x: np.arcsin(x) if (abs(x) <= 1).all() else 1 / 0, lambda dy, x: dy / np.sqrt(1 - x * x), np.array([0.9, -0.5])),
    "C order in backward": (square, c_ordered, normal(4, 3)),
    "writable memory in forward": (writable, square_backward, normal(4, 3)),
    "writable memory in backward": (square, needs_writable, normal(4, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", STRICT)
def test_strict_code_passes(name):
    f, f_backward, x = STRICT[name]
    report = check(f, f_backward, {"x": x})
    assert report.verdict == PASS, report
    assert check(f, lambda dy, x: 1.01 * f_backward(dy, x), {"x": x}).verdict == FAIL


def test_what_strict_code_refuses_is_a_note():
    notes = "\n".join(check(square, c_ordered, {"x": normal(4, 3)}).notes)
    assert re.search(
        r"not checked for Fortran-ordered arguments: c_ordered raises ValueError in line \d+: ",
        notes,
    )
    notes = check(writable, square_backward, {"x": normal(4, 3)}).notes
    assert notes == (
        "the forward refuses read-only arguments: ValueError: buffer source array is read-only",
    )


def fails(*_, **__):
    raise OwnError("of the\n  second line")


@pytest.mark.parametrize(
    ("f", "f_backward"), [(lambda x: fails(x), square_backward), (square, lambda dy, x: fails(dy))]
)
def test_an_exception_is_a_sentence_with_its_line_and_no_traceback(f, f_backward):
    report = check(f, f_backward, {"x": normal(3)}, name="pair")
    assert report.verdict == ERROR
    assert re.search(r"raises OwnError in line \d+: .*: of the second line$", report.raised), report
    with pytest.raises(GradientError, match="raises OwnError"):
        report.raise_if_failed()


def test_an_exception_of_the_second_call_is_a_violation():
    calls = []

    def f_backward(dy, x):
        calls.append(1)
        if len(calls) > 1:
            raise OwnError("once only")
        return 2 * dy * x

    report = check(square, f_backward, {"x": normal(3)})
    assert report.verdict == ERROR
    assert "once only" in str(report)


def test_a_shape_that_does_not_fit_comes_with_all_shapes():
    report = check(
        lambda x, W: x @ W,
        lambda dy, x, W: (dy @ W, x.T @ dy),
        {"x": normal(4, 6), "W": normal(6, 3)},
    )
    assert report.verdict == ERROR
    assert report.raised.endswith("it was called with dy (4, 3), x (4, 6), W (6, 3)")


def test_an_output_whose_shape_depends_on_the_values_is_no_traceback():
    x = {"x": np.array([0.1, -3.0, 2.0])}
    assert (
        check(lambda x: x[x > 0], lambda dy, x: np.where(x > 0, 1.0, 0) * dy.sum(), x).verdict
        not in GOOD
    )
    assert check(square, lambda dy, x: (2 * dy * x)[: 3 if dy.any() else 2], x).verdict == CONTRACT


def test_an_empty_batch_that_reshape_refuses_is_a_note():
    f = lambda x, w: x.reshape(len(x), -1) @ w  # noqa: E731
    f_backward = lambda dy, x, w: ((dy @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dy)  # noqa: E731
    inputs = {"x": normal(4, 2, 3), "w": normal(6, 2)}
    report = check(f, f_backward, inputs, batch=["x"])
    assert report.verdict == PASS
    assert report.notes[0].startswith("fails for an empty batch: <lambda> raises ValueError")
    assert check(f, f_backward, inputs, batch=["x"], strict=True).verdict == CONTRACT


# --------------------------------------------------------------------- memory of what is returned


class Layer:
    """y = x W, with the gradient of W in a buffer of its own."""

    def __init__(self):
        self.dW = np.zeros((3, 2))

    def fills(self, dy, x, W):
        self.dW[...] = x.T @ dy
        return dy @ W.T, self.dW

    def adds(self, dy, x, W):
        self.dW += x.T @ dy
        return dy @ W.T, self.dW


def test_a_layer_may_fill_its_own_buffers_but_not_add_to_them():
    inputs = {"x": normal(4, 3), "W": normal(3, 2)}
    assert check(lambda x, W: x @ W, Layer().fills, inputs).verdict == PASS
    report = check(lambda x, W: x @ W, Layer().adds, inputs)
    assert report.violations == ("each call adds to dW: backward accumulates",)


def test_views_are_notes_and_violations_if_the_check_is_strict():
    inputs = {"x": normal(4), "r": normal(4, seed=1)}
    for f_backward in (
        lambda dy: (dy, dy),
        lambda dy: (dy[:], dy * 1),
        lambda dy: (g := dy * 1, g),
    ):
        report = check(lambda x, r: x + r, f_backward, inputs)
        assert report.verdict == PASS
        assert "share" in report.notes[0]
        assert check(lambda x, r: x + r, f_backward, inputs, strict=True).verdict == CONTRACT


# ------------------------------------------------------------------------------ constants and None


def mse(pred, target):
    return ((pred - target) ** 2).mean()


def test_a_constant_is_passed_through_and_mentioned():
    inputs = {"pred": normal(4), "target": normal(4, seed=1)}
    for f_backward, options in (
        (lambda dy, pred, target: dy * (pred - target) / 2, {"wrt": ["pred"]}),
        (lambda dy, pred, target: {"pred": dy * (pred - target) / 2}, {}),
    ):
        report = check(mse, f_backward, inputs, **options)
        assert report.verdict == PASS
        assert report.notes == ("not checked: target",)
    with pytest.raises(
        InputError, match=r"return a dict of the others by name, or list the others in wrt"
    ):
        check(mse, lambda dy, pred, target: dy * (pred - target) / 2, inputs)


def test_a_number_is_a_constant_unless_it_has_a_gradient():
    inputs = {"x": normal(4), "s": 2.0}
    report = check(lambda x, s: x * s, lambda dy, x, s: dy * s, inputs)
    assert (report.verdict, report.notes) == (PASS, ("not checked: s",))
    report = check(lambda x, s: x * s, lambda dy, x, s: (dy * s, (dy * x).sum()), inputs)
    assert (report.verdict, len(report.leaves)) == (PASS, 2)


def test_none_claims_zero():
    inputs = {"x": normal(4), "s": np.asarray(2.0)}
    report = check(lambda x, s: x * s, lambda dy, x, s: (dy * s, None), inputs)
    assert [leaf.verdict for leaf in report.leaves] == [PASS, FAIL]
    assert report.leaves[1].message.startswith(
        "it is None, which means zero, but the forward depends"
    )
    assert (
        check(lambda x, s: x * s, lambda dy, x, s: (dy * s, None), inputs, wrt=["x"]).verdict
        == PASS
    )
    assert check(lambda x, s: x + 0 * s, lambda dy, x, s: (dy * 1, None), inputs).verdict == PASS
    assert (
        check(
            lambda x, k: x * k,
            lambda dy, x, k: (dy * k, None),
            {"x": normal(4), "k": 2 * np.arange(4)},
            wrt=["x"],
        ).verdict
        == PASS
    )


def test_a_label_called_y_with_a_default_is_theirs():
    x = {"x": normal(4)}
    assert check(square, lambda dy, x, y=3.0: 2 * dy * x * y / 3, x).verdict == PASS
    assert check(square, lambda dy, x, y: 2 * dy * x + 0 * y, x).verdict == PASS


def test_a_backward_without_an_upstream_gradient_is_told_so():
    with pytest.raises(
        InputError,
        match=r"it is x, an input of the forward: add an argument dy",
    ):
        check(lambda x: (x * x).sum(), lambda x: 2 * x, {"x": normal(4)})


def test_the_upstream_gradient_of_a_scalar_is_an_array():
    seen = []
    check(lambda x: (x * x).sum(), lambda dy, x: (seen.append(dy), 2 * dy * x)[1], {"x": normal(4)})
    assert {(type(dy), dy.shape) for dy in seen} == {(np.ndarray, ())}


# ------------------------------------------------------------------------------------------- ties


def share(x, axis=None):
    top = x == x.max(axis=axis, keepdims=True)
    return top / top.sum(axis=axis, keepdims=True)


def first(x):
    return np.arange(x.size) == x.argmax()


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_tied_entries_are_moved_together(n):
    x = {"x": np.r_[1.0, np.full(n, 2.0)]}
    top = lambda x: x.max()  # noqa: E731
    wrong = check(top, lambda dy, x: dy * (x == x.max()), x)
    assert wrong.verdict == FAIL
    assert wrong.leaves[0].message.startswith(f"{n} entries tie, and moved together")
    assert check(top, lambda dy, x: dy * 0.7 * (x == x.max()), x, accept=0.01).verdict == FAIL
    assert check(top, lambda dy, x: dy * share(x), x).verdict == KINK
    assert check(top, lambda dy, x: dy * first(x), x).verdict == KINK


def test_ties_in_rows_and_of_two_inputs():
    x = {"x": np.array([[1.0, 2, 2], [2, 0, 2], [3, 1, 0]])}
    rows = lambda x: x.max(axis=1)  # noqa: E731
    assert (
        check(rows, lambda dy, x: dy[:, None] * (x == x.max(axis=1, keepdims=True)), x).verdict
        == FAIL
    )
    assert check(rows, lambda dy, x: dy[:, None] * share(x, 1), x).verdict == KINK
    ab = {"a": np.array([1.0, 2, 3, 0]), "b": np.array([1.0, 0, 3, 5])}
    both = check(np_maximum, lambda dy, a, b: (dy * (a >= b), dy * (b >= a)), ab)
    assert both.leaves[0].message.startswith("4 entries of a and b tie")
    assert check(np_maximum, lambda dy, a, b: (dy * (a >= b), dy * (b > a)), ab).verdict == KINK


def np_maximum(a, b):
    return np.maximum(a, b)


def test_zeros_of_relu_are_no_tie_that_must_be_shared():
    x = {"x": np.array([0.0, 0, 0, 1, -1])}
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    for at_0 in (0, 0.5, 1):
        assert check(relu, lambda dy, x, a=at_0: dy * ((x > 0) + a * (x == 0)), x).verdict == KINK
    assert check(relu, lambda dy, x: dy * ((x > 0) + 1.5 * (x == 0)), x).verdict == FAIL


# ---------------------------------------------------------------------------- minima and precision

MINIMA = {
    "a divergence": (lambda x: (x * np.log(x / 0.3) - x + 0.3).sum(), lambda dy, x: dy * np.log(x / 0.3), np.full(4, 0.3)),
    "a square": (lambda x: (x - 2) ** 2, lambda dy, x: 2 * dy * (x - 2), np.full(4, 2.0)),
    "a cosine": (lambda x: np.cos(x), lambda dy, x: -dy * np.sin(x), np.zeros(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", MINIMA)
def test_at_a_minimum_the_gradient_is_0(name):
    f, f_backward, x = MINIMA[name]
    report = check(f, f_backward, {"x": x})
    assert report.verdict == PASS, report
    assert "it is 0 here, as it should be" in str(report)
    assert check(f, lambda dy, x: f_backward(dy, x) + 1e-3 * np.abs(dy), {"x": x}).verdict == FAIL


def test_a_zero_that_should_not_be_one_is_no_minimum():
    x = {"x": np.zeros(4)}
    assert check(lambda x: x**2 + 1e-3 * x, lambda dy, x: 0 * dy, x).verdict == FAIL


def test_a_forward_that_computes_in_less_precision_is_said_to():
    x = {"x": normal(6)}
    report = check(lambda x: x.astype("f4") ** 2, square_backward, x)
    assert (report.verdict, report.notes) == (
        PASS,
        ("the forward computes in float32, though its inputs are float64",),
    )
    report = check(lambda x: (x.astype("f2") ** 2).astype("f8"), square_backward, x)
    assert report.verdict == INCONCLUSIVE
    assert report.notes == ("the forward computes in float16: its outputs are no more precise",)


def test_a_gradient_of_another_dtype_is_compared_all_the_same():
    x = {"x": normal(6)}
    right = check(square, lambda dy, x: (2 * dy * x).astype("f4"), x)
    assert (right.violations, right.leaves[0].verdict) == (
        ("dx is float32, but x is float64",),
        PASS,
    )
    wrong = check(square, lambda dy, x: (3 * dy * x).astype("f4"), x)
    assert wrong.leaves[0].message == "1.5 x too large at all 6 entries"


def test_a_scalar_loss_that_ignores_its_upstream_gradient_is_told_so_once():
    report = check(lambda x: (x * x).sum(), lambda dy, x: 2 * x, {"x": normal(4)})
    assert "ignores the upstream gradient" in report.violations[0]
    assert (
        report.leaves[0].message
        == "it is the gradient for an upstream gradient of 1: multiply by dy"
    )
