# ruff: noqa: E501 (tables of one case a line)
"""The checker itself: verdicts, resolutions, names of bugs, and what it refuses."""

import re

import numpy as np
import pytest
from support.zoo import measure

from scratchvae import InputError, ops
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import GradientError, check, check_op, draw_inputs
from scratchvae.gradcheck.report import CONTRACT, FAIL, INCONCLUSIVE, KINK, PASS, RANDOM


def linear(x, W, b):
    return x @ W + b


def linear_backward(dy, x, W):
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


# ---------------------------------------------------------------------------------- verdicts


def test_a_right_gradient_passes_and_says_how_fine_an_error_it_would_have_seen(xWb):
    report = check(linear, linear_backward, xWb, batch=["x"])
    assert report.verdict == PASS, report
    assert report.resolution < 1e-11
    assert [leaf.name for leaf in report.leaves] == ["x", "W", "b"]
    assert re.search(
        r"agrees to 1\d\.\d digits; relative errors above \d\.\de-1\d would", str(report)
    )
    report.raise_if_failed()


def test_a_report_is_no_bool(xWb):
    with pytest.raises(TypeError, match=r"use report.verdict or report.raise_if_failed"):
        bool(check(linear, linear_backward, xWb))


def relu(x):
    return np.maximum(x, 0)


def ones_at_ties(x):
    return (x == x.max(axis=1, keepdims=True)).astype(float)


POINTS = {
    "relu at 0": (relu, lambda dy, x: dy * (x > 0), [[0.0, 1.0, -2.0, 0.0]], KINK),
    "relu at 0, the other side": (relu, lambda dy, x: dy * (x >= 0), [[0.0, 1.0, -2.0]], KINK),
    "relu at 0, impossible": (relu, lambda dy, x: dy * ((x > 0) + 5.0 * (x == 0)), [[0.0, 1.0]], FAIL),
    "relu near 0": (relu, lambda dy, x: dy * (x > 0), [[1e-5, 1.0, -2.0]], PASS),
    "relu within rounding of 0": (relu, lambda dy, x: dy * (x > 0), [[1e-9, 1.0, -2.0]], KINK),
    "relu, wrong, at 0": (relu, lambda dy, x: 1.01 * dy * (x > 0), [[0.0, 1.0, -2.0]], FAIL),
    "abs at 0": (lambda x: np.abs(x), lambda dy, x: dy * np.sign(x), [0.0, 1.0, -2.0], KINK),
    "max with a tie": (
        lambda x: x.max(axis=1),
        lambda dy, x: dy[:, None] * (np.arange(3) == x.argmax(axis=1)[:, None]),
        [[1.0, 1.0, 0.0], [2.0, 3.0, 1.0]],
        KINK,
    ),
    "max with a tie, counted twice": (
        lambda x: x.max(axis=1),
        lambda dy, x: dy[:, None] * 2 * ones_at_ties(x),
        [[1.0, 1.0, 0.0], [2.0, 3.0, 1.0]],
        FAIL,
    ),
    "round, straight through": (lambda x: np.round(x), lambda dy, x: dy * 1, [0.2, 1.3, -0.7], FAIL),
    "offset of 1e8": (lambda x: x**2 + 1e8, lambda dy, x: 2 * x * dy, [0.5, -1.0, 2.0], PASS),
    "offset of 1e8, 1 % off": (lambda x: x**2 + 1e8, lambda dy, x: 2.02 * x * dy, [0.5, -1.0], FAIL),
    "near 1e6": (lambda x: np.sin(x), lambda dy, x: np.cos(x) * dy, [1e6, 1e6 + 0.7], PASS),
    "near 1e6, 1 % off": (lambda x: np.sin(x), lambda dy, x: 1.01 * np.cos(x) * dy, [1e6, 1e6 + 1], FAIL),
    "log near 0": (lambda x: np.log(x), lambda dy, x: dy / x, [1e-8, 1e-3, 1.0, 5.0], PASS),
    "log near 0, wrong": (lambda x: np.log(x), lambda dy, x: dy / x * 1.001, [1e-8, 1e-3, 1.0], FAIL),
    "sqrt near 0": (lambda x: np.sqrt(x), lambda dy, x: dy / (2 * np.sqrt(x)), [1e-8, 1e-3, 5.0], PASS),
    "constant": (lambda x: 0 * x + 3, lambda dy, x: 0 * dy, [1.0, 2.0], PASS),
    "zero for a live input": (lambda x: x**2, lambda dy, x: 0 * dy, [1.0, 2.0], FAIL),
}  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_special_points(point):
    f, f_backward, x, expected = POINTS[point]
    report = check(f, f_backward, {"x": np.array(x)})
    assert report.leaves[0].verdict == expected, report


def test_a_kink_is_named_and_passes(rng):
    report = check(relu, lambda dy, x: dy * (x > 0), {"x": np.array([[0.0, 1.0, -2.0, 0.0]])})
    assert "at a kink in 2 of 4 entries" in str(report)
    report.raise_if_failed()


def test_a_random_forward_is_told_to_take_its_noise_as_an_argument(rng):
    report = check(lambda x: x + rng.standard_normal(3), lambda dy, x: dy * 1, {"x": np.ones(3)})
    assert report.verdict == RANDOM
    with pytest.raises(GradientError, match="pass the noise as an argument"):
        report.raise_if_failed()


def test_round_off_that_hides_everything_is_inconclusive():
    report = check(lambda x: x + 1e17, lambda dy, x: dy * 1, {"x": np.array([0.3, 0.4])})
    assert report.leaves[0].verdict == INCONCLUSIVE
    assert "round-off hides the whole gradient, which may be 0 here" in str(report)


# ------------------------------------------------------------------------------- float32


def test_float32_inputs_are_decided_in_float64(xWb):
    low = {n: a.astype(np.float32) for n, a in xWb.items()}
    report = check(linear, linear_backward, low)
    assert report.verdict == PASS, report
    assert report.resolution < 1e-11
    wrong = check(linear, lambda dy, x, W: (dy @ W.T, 1.0001 * (x.T @ dy), dy.sum(0)), low)
    assert [leaf.verdict for leaf in wrong.leaves] == [PASS, FAIL, PASS]


def test_a_gradient_that_only_float32_spoils():
    def f_backward(dy, x):
        slope = 2 * x
        return dy * (slope if x.dtype == np.float64 else slope.astype("f2").astype("f4"))

    report = check(lambda x: x * x, f_backward, {"x": np.array([0.1, 0.7], dtype=np.float32)})
    assert report.leaves[0].verdict == FAIL
    assert "right in float64, but its float32 values are off" in str(report)


@pytest.mark.parametrize("name", OPS)
def test_every_op_passes_in_float32(name):
    inputs = {n: a.astype(np.float32) for n, a in draw_inputs(name).items()}
    op = OPS[name]
    assert check(op.forward, op.backward, inputs, wrt=op.gradients).verdict == PASS


# ------------------------------------------------------------------------ the name of the bug

NAMES = {
    "twice": (lambda dy, x, W: (dy @ W.T, 2 * (x.T @ dy), dy.sum(0)), "W", "2 x too large at all 18"),
    "half": (lambda dy, x, W: (dy @ W.T / 2, x.T @ dy, dy.sum(0)), "x", "2 x too small at all 24"),
    "sign": (lambda dy, x, W: (-(dy @ W.T), x.T @ dy, dy.sum(0)), "x", "the sign is wrong"),
    "mean": (lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.mean(0)), "b", "4 x too small .* a mean where"),
    "1 %": (lambda dy, x, W: (dy @ W.T, 1.01 * (x.T @ dy), dy.sum(0)), "W", "1 % too large"),
    "zero": (lambda dy, x, W: (dy @ W.T, 0 * W, dy.sum(0)), "W", "zero everywhere"),
    "rolled": (lambda dy, x, W: (np.roll(dy @ W.T, 2, 0), x.T @ dy, dy.sum(0)), "x", "rolled by 2 .* axis 0"),
    "reversed": (lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.sum(0)[::-1].copy()), "b", "reversed along axis 0"),
    "first row": (lambda dy, x, W: (dy @ W.T, x.T @ dy, dy[0].copy()), "b", "only the first row of dy"),
    "row lost": (lambda dy, x, W: (dy @ W.T, x[1:].T @ dy[1:], dy.sum(0)), "W", "the first row of dy is ignored"),
    "upstream": (
        lambda dy, x, W: (np.ones_like(dy) @ W.T, x.T @ dy, dy.sum(0)), "x", "upstream gradient is ignored",
    ),
    "extra term": (lambda dy, x, W: (dy @ W.T + 0.5 * x, x.T @ dy, dy.sum(0)), "x", "an extra term 0.5 x"),
    "one entry": (
        lambda dy, x, W: (dy @ W.T, x.T @ dy + np.eye(6, 3) * (np.arange(3) == 1), dy.sum(0)),
        "W",
        "1 of 18 entries is wrong, the others are right",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", NAMES)
def test_the_bug_is_named(xWb, bug):
    f_backward, leaf, words = NAMES[bug]
    report = check(linear, f_backward, xWb)
    failed = {found.name: found for found in report.leaves if found.verdict == FAIL}
    assert list(failed) == [leaf]
    assert re.search(words, failed[leaf].message), failed[leaf]
    assert len(failed[leaf].table.splitlines()) <= 6


def test_a_transpose_is_named(rng):
    square = {"x": rng.standard_normal((5, 5)), "W": rng.standard_normal((5, 5)), "b": np.ones(5)}
    report = check(linear, lambda dy, x, W: (dy @ W.T, dy.T @ x, dy.sum(0)), square)
    assert "the transpose" in report.leaves[1].message


def test_a_swap_is_named(rng):
    pair = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal((3, 4))}
    report = check(lambda a, b: a * b**2, lambda dy, a, b: (2 * dy * a * b, dy * b**2), pair)
    assert [leaf.message for leaf in report.leaves] == [
        "it is the gradient of b",
        "it is the gradient of a",
    ]


def test_a_missing_kl_term_is_named(rng):
    inputs = {"mu": rng.standard_normal((4, 3)), "logvar": rng.standard_normal((4, 3))}
    op = OPS["gaussian_kl"]

    def without_half(dy, mu, logvar):
        dmu, dlogvar = op.backward(dy, mu, logvar)
        return dmu, dlogvar + 0.5 * dy[:, None]

    report = check(op.forward, without_half, inputs)
    assert report.leaves[1].message == "an extra term 0.5 dy, or a missing -0.5 dy"


def test_what_no_explanation_fits_is_not_explained(xWb, rng):
    noise = rng.standard_normal((6, 3))
    report = check(linear, lambda dy, x, W: (dy @ W.T, x.T @ dy + noise, dy.sum(0)), xWb)
    leaf = report.leaves[1]
    assert leaf.verdict == FAIL
    assert leaf.message == ""
    assert "differences" in leaf.table


# ------------------------------------------------------------------------------- contract


def violations(f_backward, inputs, f=linear, **options):
    report = check(f, f_backward, inputs, **options)
    assert report.verdict == CONTRACT, report
    return " / ".join(report.violations)


def test_shapes_and_dtypes(xWb):
    found = violations(lambda dy, x, W: (dy, x.T @ dy, dy.sum(0)), xWb)
    assert found == "dx has shape (4, 3), but x has (4, 6)"
    low = lambda dy, x, W: ((dy @ W.T).astype("f4"), x.T @ dy, dy.sum(0))  # noqa: E731
    assert violations(low, xWb) == "dx is float32, but x is float64"


def test_writing_into_what_was_given_names_the_line(xWb):
    def f_backward(dy, x, W):
        dy *= 1.0
        return dy @ W.T, x.T @ dy, dy.sum(0)

    assert "writes into its arguments, in line" in violations(f_backward, xWb)
    assert "dy *= 1.0" in violations(f_backward, xWb)


def test_sharing_memory(rng):
    pair = {"a": rng.standard_normal(3), "b": rng.standard_normal(3)}
    found = violations(lambda dy, a, b: (dy, dy), pair, f=lambda a, b: a + b, strict=True)
    assert "da shares memory with dy" in found
    assert "da and db share memory" in found


def test_hidden_state_is_found(xWb):
    cache = {}

    def forward(x, W, b):
        cache["x"] = x
        return x @ W + b

    def backward(dy, W):
        return {"x": dy @ W.T, "W": cache["x"].T @ dy, "b": dy.sum(0)}

    report = check(forward, backward, xWb)
    assert any("depends on hidden state" in v for v in report.violations)
    assert report.verdict != PASS


def test_not_linear_in_the_upstream_gradient(xWb):
    report = check(linear, lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.sum(0) + 1e-9), xWb)
    assert any("not linear" in v for v in report.violations)
    assert any("an upstream gradient of 0 gives a nonzero" in v for v in report.violations)


def test_a_batch_of_one_and_of_none(xWb):
    def squeezes(dy, x, W):
        return dy @ W.T, x.T @ dy, dy.sum(axis=0) if len(dy) > 1 else 0 * dy[0]

    assert check(linear, squeezes, xWb).verdict == PASS
    found = violations(squeezes, xWb, batch=["x"], strict=True)
    assert "db is wrong for a batch of one" in found
    assert "fails for an empty batch" in found


def test_an_order_of_memory_that_is_taken_for_granted(xWb):
    def flat(dy, x, W):
        return dy @ W.T, x.T @ dy, dy.ravel(order="K").reshape(dy.shape).sum(axis=0)

    assert "Fortran-ordered" in violations(flat, xWb)


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("inputs", "f_backward", "message"),
    [
        ({}, linear_backward, "must be a non-empty dict of name to array"),
        ([1], linear_backward, "must be a non-empty dict"),
        ({"x": np.array([1, 2])}, lambda dy, x: dy, "no input is floating point"),
        ({"x": np.array([1.0, np.nan])}, lambda dy, x: dy, "the input x contains NaN"),
        ({"q": np.ones(2)}, lambda dy, q: dy, "cannot be called with q"),
        (
            {"x": np.ones(2)},
            lambda dy, q: dy,
            "asks for q, but after the upstream gradient there are only x, y",
        ),
        (
            {"x": np.ones(2)},
            lambda dy, x: (dy, dy),
            "returned 2 gradients, but there should be 1: x",
        ),
        ({"x": np.ones(2)}, lambda dy, x: {"z": dy}, "a gradient of z, no floating-point input"),
        ({"x": np.full(2, -1.0)}, lambda dy, x: dy, "returns NaN or infinity at these inputs"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_sentence(inputs, f_backward, message):
    with np.errstate(all="ignore"), pytest.raises(InputError, match=message) as error:
        check(lambda x: np.sqrt(x), f_backward, inputs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("nothing", [None, {}, (None, None, None)])
def test_a_forgotten_return_is_no_pass(xWb, nothing):
    with pytest.raises(InputError, match=r"returns no gradient|returned 1 gradients"):
        check(linear, lambda dy, x, W: nothing, xWb)


def test_nothing_to_check_is_no_pass(xWb):
    with pytest.raises(InputError, match="wrt is empty, so there is nothing to check"):
        check(linear, linear_backward, xWb, wrt=[])
    report = check(linear, lambda dy, W: {"x": dy @ W.T}, xWb)
    assert report.notes == ("not checked: W, b",)
    with pytest.raises(InputError, match="unknown op 'cube'"):
        check_op("cube")


def test_the_inputs_stay_as_they_were(xWb):
    before = {n: a.copy() for n, a in xWb.items()}
    check(linear, lambda dy, x, W: (dy @ W.T, 2 * (x.T @ dy), dy.sum(0)), xWb)
    for n, a in xWb.items():
        np.testing.assert_array_equal(a, before[n])


def test_it_works_on_device_arrays(xp, rng):
    inputs = {n: xp.asarray(a) for n, a in draw_inputs("bce_with_logits").items()}
    op = OPS["bce_with_logits"]
    assert check(op.forward, op.backward, inputs, wrt=["logits"]).verdict == PASS
    wrong = check(
        op.forward,
        lambda dy, logits, t: {"logits": 2 * op.backward(dy, logits, t)},
        inputs,
        wrt=["logits"],
    )
    assert wrong.verdict == FAIL


def test_evaluations_are_few(xWb):
    calls = []

    def counted(x, W, b):
        calls.append(1)
        return linear(x, W, b)

    check(counted, linear_backward, xWb)
    assert len(calls) <= 3 * 2 * 30


def test_a_direction_depends_on_the_name_and_not_on_the_other_inputs(xWb):
    """The report of one gradient is the same when others are checked beside it."""
    alone = check(linear, linear_backward, xWb, wrt=["W"]).leaves[0]
    beside = check(linear, linear_backward, xWb).leaves[1]
    assert (alone.error, alone.resolution) == (beside.error, beside.resolution)
    assert ops.linear is OPS["linear"].forward


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_zoo(dtype):
    """A part of `python tests/support/zoo.py`, which has all scales and twelve seeds: no
    false alarm, and of the mutants that change more than the printed resolution, none passes."""
    counts, survivors = measure([1], dtype, scales=(1e-2, 1.0, 10.0), upstreams=(1e-6, 1e4))
    assert counts["right FAIL"] == counts["right CONTRACT"] == counts["right RANDOM"] == 0
    assert counts["right PASS"] > 90
    assert counts["mutant killed"] > 500
    assert survivors == []
