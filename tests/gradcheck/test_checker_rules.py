"""Family 2, of the checker itself: each rule has a wrong gradient that only it detects."""

import io
import re
import sys

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from support.zoo import layer

from scratchvae import VAE, InputError
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import GradientError, Leaf, check, check_model, check_op, leaf
from scratchvae.gradcheck.numerics import Claim, Probe, confirm, direction, probe, resolution
from scratchvae.gradcheck.report import FAIL, GOOD, INCONCLUSIVE, KINK, PASS


def square(x):
    return x * x


def square_backward(dy, x):
    return dy * 2 * x


def linear(x, W, b):
    return x @ W + b


@pytest.fixture
def x(rng):
    return rng.standard_normal(6)


def the_violation(f, f_backward, inputs, **options):
    """The only one, of a gradient that is right."""
    report = check(f, f_backward, inputs, **options)
    assert {leaf.verdict for leaf in report.leaves} <= {PASS}, report
    assert len(report.violations) == 1, report
    return report.violations[0]


# ------------------------------------------------------------------------------ what is right


@pytest.mark.parametrize("size", [1, 1e-3, 1e-6, 1e-9])
def test_an_error_that_the_first_direction_does_not_see(x, size):
    u, again = direction(x, "x", 0), direction(x, "x, again", 0)
    unseen = again - u * (again @ u) / (u @ u)
    report = check(square, lambda dy, x: dy * 2 * x + size * dy.sum() * unseen, {"x": x})
    assert report.verdict == FAIL, report


def test_a_resolution_of_some_percent_is_not_enough_to_pass():
    leaf = check(lambda x: x + 3e10, lambda dy, x: dy * 1, {"x": np.array([0.3, 0.4])}).leaves[0]
    assert leaf.verdict == INCONCLUSIVE
    assert 0.01 < leaf.resolution < 0.1
    assert leaf.message == f"round-off hides relative errors below {leaf.resolution:.1g}"


def test_an_error_below_the_resolution_is_not_said_to_be_undetectable():
    said = Leaf("x", FAIL, 0.001, 0.0012).how
    assert said == "relative error 0.001; only errors above 1.2e-03 are certain to be detected"
    assert Leaf("x", FAIL, 0.1, 0.0012).how.endswith(
        "errors above 1.2e-03 would have been detected"
    )


def test_an_error_of_a_few_times_the_round_off_is_seen():
    inputs = {"x": np.array([0.3, -0.4, 1.2])}
    right = check(lambda x: square(x) + 1e6, square_backward, inputs)
    wrong = check(lambda x: square(x) + 1e6, lambda dy, x: dy * 2.0000005 * x, inputs)
    assert right.verdict == PASS
    assert 1e-8 < right.resolution < 1e-6
    assert wrong.verdict == FAIL


def test_large_steps_that_agree_do_not_outvote_small_ones():
    def narrow(x):
        return (x - 0.3) * np.exp(-((1e6 * (x - 0.3)) ** 2))

    inputs = {"x": np.array([0.3])}
    assert check(narrow, lambda dy, x: dy * 1, inputs).verdict == PASS
    assert check(narrow, lambda dy, x: dy * 0, inputs).verdict == FAIL


@pytest.mark.parametrize("seed", [0, 162, 195])
def test_round_off_that_is_small_by_chance_at_the_smallest_steps(seed):
    x = np.random.default_rng(seed).standard_normal(10)
    report = check(lambda x: (x + 1e6) - 1e6, lambda dy, x: dy * 1, {"x": x}, seed=seed)
    assert report.verdict == PASS, report


@pytest.mark.parametrize("seed", range(20))
def test_the_rounding_of_the_gradient_itself_is_no_error(rng, seed):
    """At 0 every step rounds alike, so that no step disagrees with another."""
    A = rng.standard_normal((3, 6))
    report = check(lambda x: A @ x, lambda dy, x: A.T @ dy, {"x": np.zeros(6)}, seed=seed)
    assert report.verdict == PASS, report


def test_errors_are_relative_to_the_larger_gradient(x):
    u, v = direction(x, "x", 0), np.ones(6)
    claim = Claim(square, v, x, 2e-9 * x)
    first = probe(claim, u)
    assert first.relative == pytest.approx(1)
    assert confirm(claim, u, first).relative == pytest.approx(1)
    leaf = check(square, lambda dy, x: dy * 2e-9 * x, {"x": x}).leaves[0]
    assert leaf.error == pytest.approx(1)


def test_without_a_slope_errors_are_relative_to_the_forward(x):
    flat = probe(Claim(lambda x: 0 * x + 3, np.ones(6), x, 0 * x), direction(x, "x", 0))
    assert flat.scale == pytest.approx(3 * np.sqrt(6))
    assert 0 < flat.resolution < 1e-9


# -------------------------------------------------------------------------------------- kinks


def test_a_gradient_that_is_smoothed_over_the_kink_is_wrong_beside_it():
    def smoothed(dy, x):
        return dy * np.clip(x / 0.1 + 0.5, 0, 1)

    report = check(lambda x: np.maximum(x, 0), smoothed, {"x": np.array([0.0])})
    assert report.verdict == FAIL, report


@pytest.mark.parametrize("slope", [-5, 5])
def test_a_slope_that_no_kink_allows(slope):
    f_backward = lambda dy, x: dy * np.where(x == 0, slope, x > 0)  # noqa: E731
    report = check(lambda x: np.maximum(x, 0), f_backward, {"x": np.array([0.0])})
    assert report.verdict == FAIL, report
    assert "at a kink in 1 of 1 entries, the gradient is not a valid choice" in str(report)


def test_a_kink_beside_which_nothing_can_be_seen_is_no_pass(monkeypatch):
    monkeypatch.setattr(leaf, "NUDGE", 0.5)

    def f(x):
        return np.where(np.abs(x[1] - 1) < 1e-3, np.abs(x), np.nan)

    report = check(f, lambda dy, x: dy * np.sign(x), {"x": np.array([0.0, 1.0, -2.0])})
    assert report.verdict == INCONCLUSIVE, report
    assert "the gradient is a valid choice in each, but nearby steps leave the domain" in str(
        report
    )


def test_a_kink_is_no_error_of_a_batch_of_one():
    inputs = {"x": np.array([[0.0, 1.0], [2.0, -1.0]])}
    report = check(lambda x: np.maximum(x, 0), lambda dy, x: dy * (x > 0), inputs, batch=["x"])
    assert report.verdict == KINK, report


# ----------------------------------------------------------------------------------- contract


def test_last_bits_that_change_from_call_to_call(x):
    calls = []

    def f_backward(dy, x):
        calls.append(1)
        return dy * 2 * x * (1 + len(calls) * np.finfo(float).eps)

    found = the_violation(square, f_backward, {"x": x})
    assert found == "two calls with the same arguments return different dx"


def test_an_upstream_gradient_of_which_only_the_direction_counts(x):
    size = {}

    def f_backward(dy, x):
        now = np.abs(dy).max() or 1.0
        return dy * (size.setdefault("first", now) / now) * 2 * x

    found = the_violation(square, f_backward, {"x": x})
    assert found == "backward ignores the upstream gradient: 2 dy gives the same dx"


def test_last_bits_that_are_not_linear_in_the_upstream_gradient(x):
    f_backward = lambda dy, x: dy * (1 + 1e-3 * np.abs(dy)) * 2 * x  # noqa: E731
    found = the_violation(square, f_backward, {"x": x}, upstream=1e-12)
    assert (
        found == "backward is not linear in dy: 2 dy does not double dx, but nearly: for a "
        "solver, pass its accuracy as forward_accuracy="
    )


def test_numbers_that_underflow_need_not_be_linear(x):
    report = check(lambda x: 1e-310 * x, lambda dy, x: 1e-310 * dy, {"x": x})
    assert report.violations == ()


def test_a_gradient_of_0_over_0(x):
    def f_backward(dy, x):
        with np.errstate(invalid="ignore"):
            return dy / np.abs(dy).max() * np.abs(dy).max() * 2 * x

    found = the_violation(square, f_backward, {"x": x})
    assert found == "an upstream gradient of 0 gives a nonzero dx"


def test_last_bits_that_depend_on_the_forwards_before(x):
    forwards = []

    def f(x):
        forwards.append(1)
        return x * x

    def f_backward(dy, x):
        return dy * 2 * x * (1 + len(forwards) * np.finfo(float).eps)

    found = the_violation(f, f_backward, {"x": x})
    assert found == "calling forward in between changes dx: backward depends on hidden state"


WRONG_LAYOUTS = {
    "off by 1e-9 of its size": lambda g: g * (1 + 1e-9),
    "NaN": lambda g: g * np.nan,
    "another shape": lambda g: g[None],
}


@pytest.mark.parametrize("wrong", WRONG_LAYOUTS)
@pytest.mark.parametrize("argument", ["dy", "x"])
@pytest.mark.parametrize("layout", ["Fortran-ordered", "strided"])
def test_a_gradient_that_is_another_one_in_one_layout(rng, layout, argument, wrong):
    def f_backward(dy, x):
        flags = {"dy": dy, "x": x}[argument].flags
        other = flags.f_contiguous if layout == "Fortran-ordered" else not flags.forc
        broadcast = 0 in dy.strides
        return WRONG_LAYOUTS[wrong](dy * 2 * x) if other and not broadcast else dy * 2 * x

    found = the_violation(square, f_backward, {"x": rng.standard_normal((4, 6))})
    shape = f"for {layout} arguments, dx has shape (1, 4, 6), but x has (4, 6)"
    same = f"backward returns a different dx for {layout} arguments"
    assert found == (shape if wrong == "another shape" else same)


def test_strides_that_are_taken_for_granted(x):
    f_backward = lambda dy, x: dy * 2 * as_strided(x, strides=(8,))  # noqa: E731
    found = the_violation(square, f_backward, {"x": x})
    assert found == "backward returns a different dx for strided arguments"


def test_a_shortcut_for_a_constant_upstream_gradient(x):
    def f_backward(dy, x):
        return np.full_like(x, dy[0]) if dy.strides == (0,) else dy * 2 * x

    found = the_violation(square, f_backward, {"x": x})
    assert found == "backward returns a different dx for a broadcast upstream gradient"


def test_a_backward_that_lifts_the_write_protection(rng):
    def f_backward(dy, a, b):
        a.flags.writeable = True
        a[0] = 0
        return dy.copy(), dy.copy()

    pair = {"a": rng.standard_normal(3), "b": rng.standard_normal(3)}
    found = the_violation(lambda a, b: a + b, f_backward, pair)
    assert found == "the backward writes into its arguments: a"


def test_a_backward_that_writes_into_the_arrays_of_a_device(double, rng):
    def f_backward(dy, a, b):
        a[...] = 0
        return dy.copy(), dy.copy()

    pair = {name: double.asarray(rng.standard_normal(3)) for name in "ab"}
    found = the_violation(lambda a, b: a + b, f_backward, pair)
    assert found == "the backward writes into its arguments: a"


def test_a_forward_that_writes_is_found_and_the_check_goes_on(x):
    def f(x, t):
        t += 0
        return t * x

    found = the_violation(f, lambda dy, t: dy * t, {"x": x, "t": np.arange(6)})
    assert found.startswith("the forward writes into its arguments, in line")
    assert found.endswith(": t += 0")


SHARED = {
    "an input": (
        lambda x, z: x + 0 * z,
        lambda dy, z: (dy * 1, z),
        "dz shares memory with z: if one is changed in place, both change",
    ),
    "the output": (
        lambda x, z: 0 * x * z,
        lambda dy, y: (0 * dy, y),
        "dz shares memory with y: if one is changed in place, both change",
    ),
    "the upstream gradient": (
        lambda x, z: x + z,
        lambda dy: (dy * 1, dy[:]),
        "dz shares memory with dy: if one is changed in place, both change",
    ),
    "another gradient": (
        lambda x, z: x + z,
        lambda dy: (dy.copy(),) * 2,
        "dx and dz share memory: if one is changed in place, both change",
    ),
    "a part of another gradient": (
        lambda x, z: x + z,
        lambda dy: (g := dy * 1, g[::-1][::-1]),
        "dx and dz share memory: if one is changed in place, both change",
    ),
}


@pytest.mark.parametrize("what", SHARED)
def test_memory_that_is_shared_with(x, what):
    f, f_backward, sentence = SHARED[what]
    assert the_violation(f, f_backward, {"x": x, "z": np.zeros(6)}, strict=True) == sentence


def test_memory_of_a_device_that_is_shared(double, x):
    found = the_violation(lambda x: x + 1, lambda dy: dy, {"x": double.asarray(x)}, strict=True)
    assert found == "dx shares memory with dy: if one is changed in place, both change"


NO_GRADIENTS = {
    "dx is a list, not an array": lambda dy, x: {"x": list(dy * 2 * x)},
    "dx has shape (1, 6), but x has (6,)": lambda dy, x: (dy * 2 * x)[None],
    "dx is float32, but x is float64": lambda dy, x: (dy * 2 * x).astype("float32"),
}


@pytest.mark.parametrize("sentence", NO_GRADIENTS)
def test_what_is_no_gradient_of_its_input(x, sentence):
    assert the_violation(square, NO_GRADIENTS[sentence], {"x": x}) == sentence


def test_a_gradient_on_another_device(double, x):
    f_backward = lambda dy, x: (dy * 2 * x).get()  # noqa: E731
    found = the_violation(square, f_backward, {"x": double.asarray(x)})
    assert found == "dx and x are on different devices"


BATCHES = {
    "db has shape (), but b has (3,), for a batch of one": (
        lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.squeeze().sum(axis=0))
    ),
    "dx is wrong for a batch of one": (
        lambda dy, x, W: (dy @ W.T * (1 + 1e-9 * (len(x) == 1)), x.T @ dy, dy.sum(axis=0))
    ),
    "fails for a batch of one: ValueError: no spread": (
        lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.sum(axis=0) * spread(x))
    ),
    "dW is wrong for an empty batch": (
        lambda dy, x, W: (dy @ W.T, x.T @ dy if len(x) else np.ones_like(W), dy.sum(axis=0))
    ),
    "fails for an empty batch: IndexError: index 0 is out of bounds for axis 0 with size 0"
    "; it was called with dy (0, 3), x (0, 6), W (6, 3)": (
        lambda dy, x, W: (dy @ W.T, x.T @ dy, dy[0] + dy[1:].sum(axis=0))
    ),
}


def spread(x):
    if len(x) == 1:
        raise ValueError("no spread")
    return 1


@pytest.mark.parametrize("sentence", BATCHES)
def test_batches_of_one_and_of_none(xWb, sentence):
    found = the_violation(linear, BATCHES[sentence], xWb, batch=["x"], strict=True)
    assert re.sub(r"<lambda> raises (\w+) in line \d+: .*?: (?=\w)", r"\1: ", found) == sentence


def test_an_op_is_tried_with_a_batch_of_one(monkeypatch):
    def linear_backward(dy, x, W, *, dx=None, dW=None, db=None):
        return dy @ W.T, x.T @ dy, dy.squeeze().sum(axis=0)

    monkeypatch.setitem(OPS, "linear", OPS["linear"]._replace(backward=linear_backward))
    (found,) = check_op("linear").violations
    assert found == "db has shape (), but b has (3,), for a batch of one"


# ------------------------------------------------------------------------------------ float32


def test_float32_that_is_further_off_than_rounding_explains(x):
    def f_backward(dy, x):
        return dy * 2 * x * x.dtype.type(1 if x.dtype == np.float64 else 1 + 1e-4)

    report = check(square, f_backward, {"x": x.astype("float32")})
    assert report.verdict == FAIL, report
    assert "right in float64, but its float32 values are off" in str(report)


@pytest.mark.parametrize("seed", range(3))
def test_float32_may_add_up_in_any_order(seed):
    """One after the other rounds more than NumPy's own sums do."""
    inputs = {"x": np.full((1000, 1), 5, "float32"), "W": np.ones((1, 1), "float32")}

    def f_backward(dy, x, W):
        return dy @ W.T, np.cumsum(x * dy, axis=0)[-1:]

    report = check(lambda x, W: x @ W, f_backward, inputs, seed=seed)
    assert report.verdict == PASS, report


def test_float32_may_lose_what_the_forward_blows_up(x):
    def f_backward(dy, x):
        return dy * 1000 * np.cos(1000 * x)

    report = check(lambda x: np.sin(1000 * x), f_backward, {"x": x.astype("float32")})
    assert report.verdict == PASS, report


# ------------------------------------------------------------------------ the name of the bug


SMALL = "so small an error may be the forward's (an epsilon, or a solver accurate to about "


@pytest.mark.parametrize(
    ("factor", "left_over", "message"),
    [(2, 0, "2 x too large at all 6 entries"), (2, 1e-4, ""), (1, 1e-4, ""), (1, 1e-7, SMALL)],
)
def test_an_explanation_that_leaves_something_over(x, rng, factor, left_over, message):
    over = factor * (1 + left_over * rng.standard_normal(6))
    leaf = check(square, lambda dy, x: dy * 2 * x * over, {"x": x}).leaves[0]
    assert leaf.verdict == FAIL
    assert leaf.message.startswith(message) if message == SMALL else leaf.message == message


NAMES = {
    "NaN at 1 of 18 entries (first: [0, 0]): uninitialised memory, or 0/0": lambda g: (
        g + one(np.nan)
    ),
    "infinite at 1 of 18 entries (first: [0, 0])": lambda g: g + one(np.inf),
    "it is the transpose of the right one, reshaped to fit": lambda g: g.T.reshape(6, 3).copy(),
    "it is permuted along axis 0": lambda g: g[[1, 0, 2, 3, 4, 5]],
    "the first slice along axis 0 is lost (zero)": lambda g: g * (np.arange(6) > 0)[:, None],
    "the last slice along axis 1 is lost (zero)": lambda g: g * (np.arange(3) < 2),
    "with the wrong sign, and 2 x too large at all 18 entries": lambda g: -2 * g,
}


def one(value):
    return np.where(np.arange(18) == 0, value, 0).reshape(6, 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_bug_is_named_word_for_word(xWb, name):
    report = check(linear, lambda dy, x: {"W": NAMES[name](x.T @ dy)}, xWb)
    assert report.leaves[0].verdict == FAIL
    assert report.leaves[0].message == name


def test_a_gradient_of_what_the_forward_does_not_use(x):
    report = check(lambda x, z: x + 0 * z, lambda dy: (dy * 1, dy * 1), {"x": x, "z": x})
    assert [leaf.verdict for leaf in report.leaves] == [PASS, FAIL]
    message = "it should be zero: the output does not depend on this input"
    assert report.leaves[1].message == message


# --------------------------------------------------------------------------------- the report


def test_a_report_speaks_for_its_worst_gradient(x):
    def f_backward(dy, x, z):
        return dy * 2.02 * x, dy * 1

    report = check(lambda x, z: x * x + z + 1e6, f_backward, {"x": x, "z": 1e6 * x})
    assert [leaf.verdict for leaf in report.leaves] == [FAIL, PASS]
    assert report.error == report.leaves[0].error > 100 * report.leaves[1].error
    assert report.resolution == report.leaves[0].resolution > 100 * report.leaves[1].resolution


def test_what_cannot_be_told_raises():
    report = check(lambda x: x + 1e17, lambda dy, x: dy * 1, {"x": np.array([0.3, 0.4])})
    with pytest.raises(GradientError, match=r"dx +INCONCLUSIVE"):
        report.raise_if_failed()


def test_a_float32_model_is_sent_back(rng):
    vae = VAE(latent_dim=2, hidden=(4,), dtype="float32").build(5)
    with pytest.raises(InputError, match="check_model needs dtype='float64', got 'float32'"):
        check_model(vae, rng.random((3, 5)), np.zeros((3, 2)))


def test_a_look_beside_a_kink_does_not_move_the_others(rng):
    """The first gradient is smoothed over its kink; the second is checked where it was."""
    inputs = {"x": np.array([0.0, 0.5, -2.0]), "w": rng.standard_normal(3)}

    def f_backward(dy, x, w):
        return dy * np.clip(0.5 + 10 * x, 0, 1) * w, dy * np.maximum(x, 0)

    both = check(lambda x, w: np.maximum(x, 0) * w, f_backward, inputs)
    alone = check(lambda x, w: np.maximum(x, 0) * w, f_backward, inputs, wrt=["w"])
    assert "but wrong nearby" in both.leaves[0].message
    assert both.leaves[1] == alone.leaves[0]
    assert both.leaves[1].verdict == PASS


def test_a_batch_of_one_near_a_kink_is_no_violation():
    x = {"x": np.array([[-3.1e-7, 1.0], [2.0, -1.0]])}
    report = check(lambda x: np.maximum(x, 0), lambda dy, x: dy * (x > 0), x, batch=["x"])
    assert report.violations == ()


# ------------------------------------------------------------------------- what is asked for


def test_a_gradient_that_was_asked_for_and_is_not_returned(x):
    inputs = {"x": x, "w": x + 1}
    pair = lambda x, w: x * w, lambda dy, w: {"x": dy * w}
    report = check(*pair, inputs, wrt=["x", "w"])
    assert report.violations == ("<lambda> returns no dw",)
    assert [leaf.verdict for leaf in report.leaves] == [PASS]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": "x"}, "batch must be a list of names among x, got 'x'"),
        ({"batch": ["y"]}, r"batch must be a list of names among x, got \['y'\]"),
        ({"wrt": "x"}, "wrt must be a list of names among x, got 'x'"),
        ({"wrt": ["q"]}, r"wrt must be a list of names among x, got \['q'\]"),
        ({"upstream": 0}, "upstream must be a finite number > 0"),
        ({"upstream": np.nan}, "upstream must be a finite number > 0"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_options_that_would_check_nothing_are_refused(x, options, message):
    with pytest.raises(InputError, match=message):
        check(square, square_backward, {"x": x}, **options)


def test_pairs_that_do_not_fit_say_what_to_do(x):
    with pytest.raises(InputError, match="must name its arguments"):
        check(square, lambda *args: args[0], {"x": x})
    with pytest.raises(InputError, match=r"positional only.*; wrap it in a lambda"):
        check(np.square, square_backward, {"x": x})


def test_gradients_may_be_named_as_gradients(x):
    assert check(square, lambda dy, x: {"dx": dy * 2 * x}, {"x": x}).verdict == PASS


def test_a_forward_that_overwrites_its_input_is_not_called_random(x):
    report = check(lambda x: np.multiply(x, 2, out=x), lambda dy: 2 * dy, {"x": x})
    assert report.violations[0].startswith("the forward writes into its arguments, in line")


def test_a_batch_of_one_is_not_blamed_for_what_is_wrong_at_once(rng):
    inputs = {"x": rng.standard_normal((4, 3))}
    report = check(square, lambda dy, x: dy * x, inputs, batch=["x"])
    assert report.violations == ()
    assert report.leaves[0].error == pytest.approx(0.5), "relative to the right gradient"


def test_some_entries_are_called_right_only_if_they_are(rng):
    """All are a little off, few by much: that is no mistake at single entries."""
    x = {"x": rng.standard_normal((4, 6))}
    off = 1 + 1e-6 * rng.random((4, 6)) + 1e-2 * (np.arange(24) == 5).reshape(4, 6)
    report = check(square, lambda dy, x: dy * 2 * x * off, x)
    assert report.verdict == FAIL
    assert report.leaves[0].message == ""


def test_the_size_of_everything_is_named_too(rng):
    x = {"p": rng.standard_normal((4, 5))}
    report = check(lambda p: np.asarray((p * p).mean()), lambda dy, p: dy * 2 * p, x)
    words = "20 x too large at all 20 entries: a sum where the forward has a mean, over all of p?"
    assert report.leaves[0].message == words


# ----------------------------------------------------------- what a strict reader found


def test_the_resolution_that_is_printed_is_true():
    """An error a little above it, in any direction, is not once in three hundred called right."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = {"x": rng.standard_normal(20)}
        f = lambda x: square(x) + 1e6  # noqa: E731
        report = check(f, square_backward, x, seed=seed)
        dy = np.random.default_rng([seed, 1]).standard_normal(20)
        gradient = dy * 2 * x["x"]
        error = rng.standard_normal(20)
        error *= 1.2 * report.resolution * np.linalg.norm(gradient) / np.linalg.norm(error)
        wrong = check(f, lambda v, x, e=error / dy: v * (2 * x + e), x, seed=seed)
        assert wrong.verdict == FAIL, (seed, wrong)


def test_an_error_at_a_tiny_entry_among_others_is_no_pass(rng):
    """Steps of the size of the others leave the domain there, or step over it."""
    p = np.array([[1e-7, 0.5, 0.3], [0.2, 0.6, 0.9]])
    t = np.array([[1.0, 0, 1], [1, 1, 0]])

    def bce(p, t):
        return -(t * np.log(p) + (1 - t) * np.log1p(-p)).sum(axis=1)

    def bce_backward(dy, p, t, sign=1.0):
        g = dy[:, None] * ((1 - t) / (1 - p) - t / p)
        g[0, 0] *= sign
        return {"p": g}

    assert check(bce, bce_backward, {"p": p, "t": t}).verdict == PASS
    wrong = check(bce, lambda dy, p, t: bce_backward(dy, p, t, -1.0), {"p": p, "t": t})
    assert wrong.verdict not in GOOD, wrong
    x = {"x": np.array([1e-11, 1.0, -1.0])}
    steep = lambda x: 1 / (1 + np.exp(-1e10 * x))  # noqa: E731
    assert check(steep, lambda dy, x: 0 * dy, x).verdict not in GOOD


def test_a_dead_unit_is_flat_and_not_rounded_away():
    w = {"w": np.array([1.0, 0.9, 1.01])}
    f = lambda w: np.asarray(500 + np.maximum(w - 1.05, 0).sum())  # noqa: E731
    assert check(f, lambda dy, w: dy * (w > 1.05), w).verdict == PASS
    assert check(f, lambda dy, w: dy * np.ones(3), w).verdict == FAIL


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_known_in_low_precision_is_printed(dtype):
    x = {"x": np.array([0.3, 1.5, -2.0], dtype=dtype)}
    report = check(square, square_backward, x)
    assert report.verdict == PASS, report
    assert re.search(rf"\(in {dtype}, errors above \d\.\de-\d+ of the largest entry\)", str(report))

    def low(dy, x, factor):
        return dy * 2 * x * (x.dtype.type(factor) if x.dtype == dtype else 1)

    assert check(square, lambda dy, x: low(dy, x, 3), x).verdict == FAIL


def test_low_precision_that_cannot_tell_says_so():
    """A gradient of 1e-7 of dy may round to 0 where the backward computes its output again."""
    x = {"x": np.array([0.3, 1.5, -2.0], dtype="f4")}
    zero = lambda dy, x: dy * x.dtype.type(1e-7 if x.dtype == "f8" else 0)  # noqa: E731
    report = check(lambda x: 1e-7 * x, zero, x)
    bound = float(re.search(r"in float32, errors above (\S+) of", str(report))[1])
    assert bound > 1


def test_a_saturated_activation_in_float32_is_no_false_alarm():
    x = {"x": np.array([-8.5, 8.2, 9.1, -40, 100], dtype="f4")}
    report = check(lambda x: np.tanh(x), lambda dy, x: dy * (1 - np.tanh(x) ** 2), x)
    assert report.verdict == PASS, report


def test_a_much_too_large_gradient_is_a_factor(rng):
    x = {"x": rng.standard_normal((128, 784))}
    report = check(lambda x: np.asarray((x * x).mean()), lambda dy, x: dy * 2 * x, x)
    assert report.leaves[0].message.startswith("1.004e+05 x too large at all")


def test_a_nan_in_a_large_gradient_is_found(rng):
    x = {"x": rng.standard_normal((300, 300))}
    nan = (np.arange(90_000) == 12_345).reshape(300, 300)
    report = check(square, lambda dy, x: np.where(nan, np.nan, dy * 2 * x), x)
    assert report.leaves[0].message == (
        "NaN at 1 of 90000 entries (first: [41, 45]): uninitialised memory, or 0/0"
    )


def test_what_differences_cannot_tell_is_not_in_the_table():
    """At 1e-9 the steps of the other entry leave the domain of the logarithm."""
    x = {"x": np.array([1e-9, 1.0])}
    report = check(lambda x: np.log(x), lambda dy, x: 1.05 * dy / x, x)
    assert report.verdict == FAIL
    assert report.leaves[0].message == ""
    assert "nan" in report.leaves[0].table


def test_a_gradient_that_resolves_little_accuses_nobody():
    found = check(lambda x: x + 3e12, lambda dy, x: 0 * dy, {"x": np.array([0.3, 0.4])})
    assert found.verdict == INCONCLUSIVE, found


def test_a_rounding_that_looks_alike_at_all_steps_is_no_error():
    x = {"x": np.random.default_rng(87).standard_normal(1)}
    assert check(lambda x: (x + 1e4) - 1e4, lambda dy, x: dy * 1, x, seed=87).verdict == PASS


def test_a_direction_that_says_nothing_is_not_outweighed_by_an_exact_one():
    blind, exact = Probe(0.0, np.inf, 1.0), Probe(0.0, 0.0, 1.0)
    assert resolution([exact, blind]) == np.inf
    assert resolution([exact, exact]) == 0


# ------------------------------------------------------------------------------ many gradients


def many(n, counted=None):
    """Sums of squares of n arrays, whose sizes are 1 and 0.1."""
    rng = np.random.default_rng(0)
    x = {f"a{k}": rng.standard_normal(1 + k % 5) * 10.0 ** -(k % 2) for k in range(n)}

    def f(**a):
        if counted is not None:
            counted.append(1)
        return np.stack([(v * v).sum() for v in a.values()])

    def f_backward(dy, **a):
        return {name: 2 * d * v for d, (name, v) in zip(dy, a.items(), strict=True)}

    return f, f_backward, x


def test_many_inputs_do_not_cost_many_forwards_each():
    costs = []
    for n in (30, 60, 120):
        counted = []
        report = check(*many(n, counted))
        assert report.verdict == PASS
        assert report.resolution < 1e-6
        costs.append(len(counted))
    assert costs[0] == costs[1] == costs[2] < 200


@pytest.mark.parametrize("wrong", ["a0", "a6", "a13", "a27", "a39"])
@pytest.mark.parametrize("factor", [0, 1.001, -1])
def test_one_wrong_gradient_among_many_is_found(wrong, factor):
    f, f_backward, x = many(40)

    def spoilt(dy, **a):
        g = f_backward(dy, **a)
        return {**g, wrong: factor * g[wrong]}

    report = check(f, spoilt, x)
    assert [leaf.name for leaf in report.leaves if leaf.verdict == FAIL] == [wrong]
    assert len(report.leaves) == 40


def test_errors_of_two_gradients_do_not_hide_one_another():
    f, f_backward, x = many(30)

    def spoilt(dy, **a):
        g = f_backward(dy, **a)
        return {**g, "a1": 1.01 * g["a1"], "a8": 0.99 * g["a8"]}

    report = check(f, spoilt, x)
    assert [leaf.name for leaf in report.leaves if leaf.verdict == FAIL] == ["a1", "a8"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("moment", [2.0, 0.0])
def test_a_bar_is_shown_in_a_terminal_after_a_moment(monkeypatch, moment):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("scratchvae.gradcheck.question.MOMENT", moment)
    check(lambda a, b: a * b, lambda dy, a, b: (dy * b, dy * a), {"a": np.ones(3), "b": np.ones(3)})
    assert ("gradients:" in sys.stderr.getvalue()) == (moment == 0)


@pytest.mark.skipif(np.finfo(np.longdouble).eps == np.finfo(float).eps, reason="no wider type")
@pytest.mark.parametrize(("factor", "verdict"), [(1, "CONTRACT"), (2, "FAIL")])
def test_a_gradient_in_extended_precision_is_compared_all_the_same(factor, verdict):
    """A backward that keeps its state, as Adam does, may return what another call left wide."""
    x = np.random.default_rng(0).standard_normal((5, 4))
    scale = np.linspace(1, factor, 4)  # no explanation fits, so that all of them are tried

    def backward(dy, x):
        return (dy * 3 * x**2 * scale[None] * scale[[1, 3, 0, 2]]).astype(np.longdouble)

    report = check(lambda x: x**3, backward, {"x": x})
    assert report.verdict == verdict
    assert any(f"dx is {np.dtype(np.longdouble)}, but x is float64" in v for v in report.violations)


@pytest.mark.parametrize("seed", range(8))
def test_a_backward_that_computes_in_float32_is_said_to(seed):
    x = np.random.default_rng(seed).standard_normal((3, 4))

    def silu(x):
        return x / (1 + np.exp(-x))

    def silu_backward(dy, x, factor=1.0):
        s = 1 / (1 + np.exp(-x))
        return factor * (dy * (s + x * s * (1 - s))).astype("float32").astype(x.dtype)

    report = check(silu, silu_backward, {"x": x})
    note = "dx is no more precise than float32: the backward computes in it"
    assert (report.verdict, report.notes) == (PASS, (note,))
    wrong = check(silu, lambda dy, x: silu_backward(dy, x, np.float32(1.00001)), {"x": x})
    assert wrong.verdict == FAIL


@pytest.mark.parametrize("factor", [0, 1, 2])
def test_a_zero_is_not_passed_where_a_larger_slope_hides_the_gradient(factor):
    """The KL's gradient by mu, beside the exponential of a large log-variance."""
    forward, backward, inputs = layer("gaussian_kl", 1, 100.0, "float64")

    def scaled(dy, **inputs):
        return {n: factor * g for n, g in backward(dy, **inputs).items()}

    report = check(forward, scaled, inputs, wrt=["mu"], seed=1)
    assert report.verdict == INCONCLUSIVE, report
