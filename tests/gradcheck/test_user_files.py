"""`scratchvae verify FILE.py`: a user's pairs are found and checked, or refused in one sentence."""

import re

import numpy as np
import pytest

from scratchvae import cli
from scratchvae.gradcheck import check_file, inputs

GOOD = """
import numpy as np
from scratchvae.gradcheck import inputs
from helper import two

@inputs(x="BD", W="DH")
def product(x, W):
    return x @ W

def product_backward(dy, x, W, *, dx=None, dW=None):
    return dy @ W.T, x.T @ dy

def inputs_cube():
    return {"x": np.linspace(0.5, 2, 6).reshape(2, 3)}

def cube(x):
    return x**3

def cube_backward(dy, x):
    return (two + 1) * x**2 * dy

def helper_of_nobody(x):
    return x
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "helper.py").write_text("two = 2\n")

    def to(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return path

    return to


def test_pairs_are_found_with_their_inputs(write, capsys):
    path = write(GOOD)
    assert [(r.name, r.verdict) for r in check_file(path)] == [
        ("product", "PASS"),
        ("cube", "PASS"),
    ]
    assert cli.main(["verify", str(path)]) == 0
    assert "2 of 2 pairs passed" in capsys.readouterr().out


OTHER_FORMS = """
import numpy as np

class Dense:
    def __init__(self):
        self.W = np.arange(12.0).reshape(3, 4)

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW = self.x.T @ dy
        return dy @ self.W.T

def inputs_Dense():
    return {"x": np.ones((2, 3))}

layer = Dense()
inputs_layer = inputs_Dense

def energy(x):
    return (x**4).sum(), 4 * x**3

def inputs_loss():
    return {"x": np.linspace(0.5, 2, 4)}

def loss(x):
    return energy(x)

def slope(x):
    return 4 * x**3

def slope_hvp(x, v):
    return 12 * x**2 * v

inputs_slope = inputs_loss

def along(x):
    return x**3

def along_jvp(primals, tangents):
    return 3 * primals[0] ** 2 * tangents[0]

inputs_along = inputs_loss

def back(x):
    return x**3

def back_vjp(x):
    return x**3, lambda dy: 3 * dy * x**2

inputs_back = inputs_loss
"""


def test_layers_losses_and_derivatives_are_found(write, capsys):
    found = {report.name: report.verdict for report in check_file(write(OTHER_FORMS))}
    names = ["Dense", "layer", "loss", "slope", "along", "back"]
    assert found == dict.fromkeys(names, "PASS")
    assert cli.main(["verify", str(write(OTHER_FORMS))]) == 0
    assert "6 of 6 pairs passed" in capsys.readouterr().out
    wrong = OTHER_FORMS.replace("self.x.T @ dy", "0 * self.W").replace("sum(), 4 *", "sum(), 5 *")
    wrong = (
        wrong.replace("12 * x", "11 * x").replace("3 * primals", "primals").replace("3 * dy", "dy")
    )
    found = {report.name: report.verdict for report in check_file(write(wrong))}
    assert found == dict.fromkeys(names, "FAIL")


def test_every_derivative_of_a_function_is_checked(write):
    text = GOOD + "\ndef cube_jvp(p, t):\n    return 99 * t[0]\n"
    found = {report.name: report.verdict for report in check_file(write(text))}
    assert found == {"product": "PASS", "cube_backward": "PASS", "cube_jvp": "FAIL"}


def test_what_has_no_forward_is_not_passed_over(write, capsys):
    text = GOOD + "\ndef ghost_backward(dy):\n    return dy\n\ndef inputs_gost():\n    return {}\n"
    assert cli.main(["verify", str(write(text))]) == 2
    out, err = capsys.readouterr()
    assert "2 of 4 pairs passed, 2 could not be checked" in out
    assert "ghost_backward has no ghost beside it; there is no gost for inputs_gost" in err


def test_a_class_that_cannot_be_made_is_a_report(write, capsys):
    text = OTHER_FORMS.replace("def __init__(self):", "def __init__(self, size):", 1)
    text = text.replace("layer = Dense()", "layer = Dense(3)")
    assert cli.main(["verify", str(write(text))]) == 1
    out, _ = capsys.readouterr()
    assert "Dense cannot be constructed without arguments: " in out
    assert "5 of 6 pairs passed" in out


def test_inputs_of_a_pair_may_be_a_tuple(write):
    text = GOOD.replace(
        'return {"x": np.linspace(0.5, 2, 6).reshape(2, 3)}', "return (np.ones(3),)"
    )
    assert [r.verdict for r in check_file(write(text))] == ["PASS", "PASS"]


def test_a_hint_that_raises_hides_nothing(write):
    text = GOOD.replace("two + 1", "two") + "\ndef hints_cube(wrong):\n    return 1 / 0\n"
    report = list(check_file(write(text)))[1]
    assert report.verdict == "FAIL"
    assert report.notes[-1].startswith("hints_cube raises ZeroDivisionError in line")


def test_a_function_whose_backward_is_missing_is_not_passed_over(write, capsys):
    text = GOOD.replace("def cube_backward", "def cube_bakward")
    assert cli.main(["verify", str(write(text))]) == 2
    out, err = capsys.readouterr()
    assert "1 of 2 pairs passed, 1 could not be checked" in out
    assert "cube has no cube_backward beside it, and cube must return (loss, gradient)" in err
    text = GOOD.replace("def product_backward", "def of_nobody")
    assert cli.main(["verify", str(write(text))]) == 2
    assert "product has no product_backward beside it" in capsys.readouterr().err


def test_a_wrong_pair_fails_with_its_name_and_exit_code_1(write, capsys):
    assert cli.main(["verify", str(write(GOOD.replace("two + 1", "two")))]) == 1
    out, err = capsys.readouterr()
    assert "cube: FAIL" in out
    assert "1.5 x too small at all 6 entries" in out
    assert "1 of 2 pairs passed" in out
    assert err == ""


def test_batches_of_one_are_tried_where_the_shapes_say_which(write):
    text = GOOD.replace("x.T @ dy", "x.T @ dy if len(dy) > 1 else 0 * W")
    report = next(check_file(write(text)))
    assert "dW is wrong for a batch of one" in report.violations


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_that_name", ["does not run", "nothing_of_that_name"]),
        ("def f(:", ["does not run", "SyntaxError"]),
        ("1 / 0", ["does not run", "ZeroDivisionError"]),
        ("def f(x): return x", ["contains nothing to check"]),
        ("def f(x): return x\ndef f_backward(dy): return dy", ["f has no inputs", "inputs_f()"]),
        (GOOD.replace('"x": np', '"q": np'), ["cube cannot be called with q"]),
        (GOOD.replace("cube_backward(dy, x)", "cube_backward(dy, q)"), ["asks for q"]),
        (GOOD.replace("0.5, 2, 6", "np.nan, 2, 6"), ["the input x contains NaN"]),
        (GOOD.replace('"BD"', '"bd"'), ["'bd'", "capital letter"]),
        (
            GOOD.replace("return dy @ W.T, x.T @ dy", "return dy @ W.T"),
            ["returned 1 gradients", "x, W"],
        ),
        (GOOD.replace("np.linspace(0.5, 2, 6).reshape(2, 3)", "np.arange(3)"), ["floating point"]),
        (GOOD.replace('{"x": np.linspace(0.5, 2, 6).reshape(2, 3)}', "{}"), ["non-empty"]),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(write, capsys, text, words):
    assert cli.main(["verify", str(write(text))]) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_file_that_is_not_there(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text(GOOD)
    for name, words in (
        ("none.py", "there is no file or folder"),
        ("notes.txt", "is not a Python file"),
        (".", "holds no Python file"),
    ):
        assert cli.main(["verify", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err


def test_the_decorator_returns_the_function():
    def f(x):
        return x

    assert inputs(x="BD")(f) is f
    assert np.ones(1) == f(np.ones(1))


def test_a_file_that_ends_by_itself_is_no_success(write, capsys):
    assert cli.main(["verify", str(write(GOOD + "\nimport sys; sys.exit(0)"))]) == 2
    assert "calls sys.exit" in capsys.readouterr().err


def test_pairs_after_one_that_cannot_be_checked_are_checked(write, capsys):
    """The file exits with 2, but what could be said of the others was said."""
    text = "def f(x): return x\ndef f_backward(dy): return dy\n" + GOOD.replace("two + 1", "two")
    assert cli.main(["verify", str(write(text))]) == 2
    out, err = capsys.readouterr()
    assert "cube: FAIL" in out
    assert " pairs passed" in out
    assert "f has no inputs" in err


def test_gradients_that_the_decorator_names_must_be_returned(write):
    text = GOOD.replace("@inputs(", '@inputs("x", "W", ').replace(
        "return dy @ W.T, x.T @ dy", 'return {"x": dy @ W.T}'
    )
    report = next(check_file(write(text)))
    assert "product_backward returns no dW" in report.violations


def test_a_pair_that_raises_is_a_report_with_the_line(write, capsys):
    text = GOOD.replace("return dy @ W.T, x.T @ dy", "return dy[99], x.T @ dy")
    assert cli.main(["verify", str(write(text))]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"product_backward raises IndexError in line \d+: return dy\[99\]", out)
    assert "cube: PASS" in out
    assert err == ""
