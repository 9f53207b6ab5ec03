"""The pytest fixture and the Hypothesis strategies for users."""

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis.errors import NoSuchExample

from scratchvae import InputError
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import check, strategies
from scratchvae.gradcheck import inputs as shapes

pytest_plugins = ["pytester"]

PAIRS = """
    import numpy as np

    def square(x): return x * x
    def square_backward(dy, x): return 2 * dy * x
    def abs_(x): return np.abs(x)
    def abs_backward(dy, x): return dy * np.sign(x)

    def test_right(gradcheck):
        assert gradcheck(square, square_backward, {"x": np.array([1.0, 2.0])}).verdict == "PASS"

    def test_kink(gradcheck):
        gradcheck(abs_, abs_backward, {"x": np.array([0.0, 2.0])}, name="absolute value")
"""
WRONG = """
    def test_wrong(gradcheck):
        gradcheck(square, lambda dy, x: dy * x, {"x": np.array([1.0, 2.0])})
"""


def test_the_fixture_and_its_section(pytester):
    pytester.makepyfile(PAIRS)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*= gradient checks =*",
            "KINK * absolute value * detectable from * test_the_fixture*.py::test_kink",
            "1 PASS, 1 KINK",
            "in every one that passed, relative errors above * would have been detected",
        ]
    )
    assert "square " not in result.stdout.str()
    result = pytester.runpytest_subprocess("-v")
    result.stdout.fnmatch_lines(["PASS * square * detectable from *::test_right"])


def test_the_other_checks_are_attributes(pytester):
    pytester.makepyfile(
        """
        import numpy as np

        class Square:
            def forward(self, x):
                self.x = x
                return x * x

            def backward(self, dy):
                return 2 * dy * self.x

        def test_layer(gradcheck):
            gradcheck.layer(Square(), np.linspace(-1, 2, 5))

        def test_loss(gradcheck):
            gradcheck.loss(lambda x: ((x * x).sum(), x), np.linspace(-1, 2, 5))
        """
    )
    result = pytester.runpytest_subprocess("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*GradientError: <lambda>: FAIL: dx: 2 x too small at all 5 entries"]
    )
    result.stdout.fnmatch_lines(["PASS * Square * detectable from *::test_layer"])


def test_a_wrong_gradient_fails_its_test_with_the_report(pytester):
    pytester.makepyfile(PAIRS + WRONG)
    result = pytester.runpytest_subprocess("--gradcheck-seed=3")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*GradientError: square: FAIL: dx: 2 x too small at all 2 entries",
            "*2 x too small at all 2 entries*",
            "FAIL * square *",
        ]
    )


def test_a_session_without_gradients_has_no_section(pytester):
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert "gradient checks" not in result.stdout.str()


def test_the_seed_is_that_of_the_option(pytester):
    pytester.makepyfile(
        """
        import numpy as np
        from scratchvae.gradcheck import check

        def exp(x): return np.exp(x)
        def exp_backward(dy, x): return dy * np.exp(x)

        def test_seed(gradcheck):
            x = {"x": np.array([0.3, 1.2])}
            seven, five = (check(exp, exp_backward, x, seed=s).resolution for s in (7, 5))
            assert gradcheck(exp, exp_backward, x).resolution == seven
            assert gradcheck(exp, exp_backward, x, seed=5).resolution == five != seven
        """
    )
    pytester.runpytest_subprocess("--gradcheck-seed", "7").assert_outcomes(passed=1)


# ---------------------------------------------------------------------------------- hypothesis


def linear(x, W, b):
    return x @ W + b


def test_a_failure_shrinks_to_the_smallest_sizes_that_show_it():
    def f_backward(dy, x, W):
        """Wrong from three examples and two outputs on."""
        dW = x.T @ dy
        return dy @ W.T, dW * 1.01 if len(x) >= 3 and dy.shape[1] >= 2 else dW, dy.sum(axis=0)

    found = find(
        strategies.inputs(x="BI", W="IO", b="O"),
        lambda drawn: check(linear, f_backward, drawn).verdict == "FAIL",
        settings=settings(max_examples=200, database=None),
    )
    assert found["x"].shape == (3, 1)
    assert found["W"].shape == (1, 2)


@pytest.mark.parametrize("name", OPS)
def test_every_op_at_every_small_size(name):
    op = OPS[name]

    @given(strategies.inputs_of(name))
    @settings(max_examples=15)
    def passes(drawn):
        report = check(op.forward, op.backward, drawn, wrt=op.gradients)
        assert report.verdict == "PASS", report

    passes()


def test_sizes_and_domains_are_kept():
    @given(strategies.inputs((2, 3), p="BD in (0,1)", w="D", one="1"))
    @settings(max_examples=20)
    def fits(drawn):
        assert drawn["p"].shape[1:] == drawn["w"].shape
        assert {*drawn["p"].shape} <= {2, 3}
        assert drawn["one"].shape == (1,)
        assert (0 < drawn["p"]).all()
        assert (drawn["p"] < 1).all()

    fits()
    with pytest.raises(NoSuchExample):
        find(strategies.inputs((2, 3), x="B"), lambda drawn: len(drawn["x"]) < 2)


def test_the_decorator_is_enough():
    @shapes(x="BD in (0,1)")
    def log(x):
        return np.log(x)

    drawn = find(strategies.inputs_of(log), lambda drawn: True)
    assert drawn["x"].shape == (1, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: strategies.inputs(), "needs the shape of each input"),
        (lambda: strategies.inputs(x="bi"), "a size is a capital letter"),
        (lambda: strategies.inputs_of("cube"), "'cube' has no shapes"),
        (lambda: strategies.inputs_of(linear), "has no shapes: decorate it"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_an_input_error_hides_the_frames_of_the_checker(pytester):
    pytester.makepyfile(
        PAIRS
        + """
    import pytest
    from scratchvae.gradcheck import check, check_layer, check_loss

    X = {"x": np.ones(2)}

    @pytest.mark.parametrize("call", [
        lambda: check(square, square_backward, {"z": X["x"]}),
        lambda: check(square, square_backward, X, seed=-1),
        lambda: check(square, lambda dy, x: None, X),
        lambda: check_loss(square, X["x"]),
        lambda: check_layer([], X["x"]),
    ])
    def test_refused(call):
        call()

    def test_the_fixture(gradcheck):
        gradcheck(square, square_backward, {"z": X["x"]})
"""
    )
    result = pytester.runpytest_subprocess("--tb=short")
    result.assert_outcomes(passed=2, failed=6)
    assert "InputError" in result.stdout.str()
    result.stdout.no_fnmatch_line("*gradcheck/*.py:*")
    result.stdout.no_fnmatch_line("*errors.py:*")
