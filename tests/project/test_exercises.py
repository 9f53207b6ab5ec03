# ruff: noqa: E501 (a table of one mistake a line)
"""The exercises: unfinished as shipped, correct when solved, and usual mistakes are named."""

import re
from pathlib import Path

import numpy as np
import pytest

from scratchvae import cli
from scratchvae.gradcheck import check_file

FOLDER = Path(__file__).parents[2] / "examples" / "exercises"

SOLUTIONS = {
    "linear": "return dy @ W.T, x.T @ dy, dy.sum(axis=0)",
    "relu": "return dy * (y > 0)",
    "bce_with_logits": 'return {"logits": dy[:, None] * (1 / (1 + np.exp(-logits)) - t)}',
    "reparameterize": 'return {"mu": dy * 1, "logvar": dy * np.exp(logvar / 2) * eps / 2}',
    "vae": """h = ops.tanh(ops.linear(x, W1, b1))
    mu, logvar = ops.linear(h, Wm, bm), ops.linear(h, Wv, bv)
    z = ops.reparameterize(mu, logvar, eps)
    k = ops.tanh(ops.linear(z, W2, b2))
    logits = ops.linear(k, W3, b3)
    dlogits = ops.bce_with_logits_backward(dy, logits, x)
    dk, dW3, db3 = ops.linear_backward(dlogits, k, W3)
    dz, dW2, db2 = ops.linear_backward(ops.tanh_backward(dk, k), z, W2)
    dmu, dlogvar = ops.reparameterize_backward(dz, logvar, eps)
    dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(dy, mu, logvar)
    dmu, dlogvar = dmu + dmu_kl, dlogvar + dlogvar_kl
    dh, dWm, dbm = ops.linear_backward(dmu, h, Wm)
    dh_logvar, dWv, dbv = ops.linear_backward(dlogvar, h, Wv)
    dh = dh + dh_logvar
    _, dW1, db1 = ops.linear_backward(ops.tanh_backward(dh, h), x, W1)
    return {"W1": dW1, "b1": db1, "Wm": dWm, "bm": dbm, "Wv": dWv, "bv": dbv, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}""",
}

MISTAKES = [  # the exercise, what is written, in the place of what, and what is said of it
    ("linear", "dy.mean(axis=0)", "dy.sum(axis=0)", "db .* 4 x too small at all 3 entries: a mean where the forward has a sum"),
    ("linear", "dy[0].copy()", "dy.sum(axis=0)", "only the first row of dy is used: a sum over the batch is missing"),
    ("linear", "dy", "dy.sum(axis=0)", r"db has shape \(4, 3\), but b has \(3,\)"),
    ("linear", "dy @ W", "dy @ W.T", r"linear_backward raises ValueError in line \d+: return dy @ W, "),
    ("linear", "dy.T @ x", "x.T @ dy", r"dW has shape \(3, 6\), but W has \(6, 3\)"),
    ("linear", "x.T @ dy / len(x)", "x.T @ dy", "dW .* 4 x too small .*: a mean where the forward has a sum"),
    ("linear", "0 * W", "x.T @ dy", "dW .* it is zero everywhere, but the forward depends on this input"),
    ("relu", "return dy * 1", "return dy * (y > 0)", r"it should be 0 where x is negative, and is right elsewhere"),
    ("relu", "return dy * y", "return dy * (y > 0)", "an extra factor [xy]"),
    ("relu", "return 1.0 * (y > 0)", "return dy * (y > 0)", "ignores the upstream gradient"),
    ("relu", "return dy * (y < 0)", "return dy * (y > 0)", "it is zero everywhere"),
    ("relu", "dy *= y > 0; return dy", "return dy * (y > 0)", r"writes into its arguments, in line \d+"),
    ("bce_with_logits", "t - 1 / (1 + np.exp(-logits))", "1 / (1 + np.exp(-logits)) - t", "the sign is wrong at all 28 entries"),
    ("bce_with_logits", "1 / (1 + np.exp(-logits))", "1 / (1 + np.exp(-logits)) - t", "an extra term dy t, or a missing -dy t"),
    ("bce_with_logits", "1 / len(dy) * dy[:, None]", "dy[:, None]", "4 x too small"),
    ("bce_with_logits", "dy[:, None] * np.exp(-logits) / (1 + np.exp(-logits)) ** 2", "dy[:, None]", r"an extra factor sigmoid\(logits\) \(1 - sigmoid\(logits\)\)"),
    ("bce_with_logits", "1", "dy[:, None]", "ignores the upstream gradient"),
    ("reparameterize", "eps", "eps / 2", "dlogvar .* 2 x too large at all 8 entries"),
    ("reparameterize", "/ 2", "* eps / 2", "dlogvar .* a factor eps is missing"),
    ("reparameterize", "np.exp(logvar)", "np.exp(logvar / 2)", r"dlogvar .* an extra factor exp\(logvar/2\)"),
    ("vae", "dmu, dlogvar = dmu, dlogvar", "dmu, dlogvar = dmu + dmu_kl, dlogvar + dlogvar_kl", "hint: the decoder is right; look at dz, and at the KL"),
    ("vae", "dmu, dlogvar = dmu, dlogvar + dlogvar_kl", "dmu, dlogvar = dmu + dmu_kl, dlogvar + dlogvar_kl", "hint: dlogvar is right, dmu is not"),
    ("vae", "dmu + dmu_kl, dlogvar - dlogvar_kl", "dmu + dmu_kl, dlogvar + dlogvar_kl", "hint: dmu is right, dlogvar is not"),
    ("vae", "dh = 1 * dh", "dh = dh + dh_logvar", "hint: dmu and dlogvar are right; h goes into both"),
    ("vae", "ops.linear_backward(dk, z, W2)", "ops.linear_backward(ops.tanh_backward(dk, k), z, W2)", "hint: dlogits is right; look at dk"),
    ("vae", '"b2": 0 * db2', '"b2": db2', "hint: only db2 is wrong: what reaches that layer is right"),
    ("vae", "(-dy, logits, x)", "(dy, logits, x)", "(?s)dW3 .* the sign is wrong at all 63 entries.*hint: begin at the end"),
]  # fmt: skip


@pytest.fixture
def solve(tmp_path):
    """Write an exercise with its last line replaced, and check it."""

    def check(name, solution):
        text = (FOLDER / f"{name}.py").read_text()
        head, unfinished, rest = re.split(r"(raise NotImplementedError\(.*\))", text)
        path = tmp_path / f"{name}.py"
        path.write_text(head + solution + rest)
        assert unfinished
        return list(check_file(path))

    return check


@pytest.mark.parametrize("name", SOLUTIONS)
def test_an_exercise_is_unfinished_and_says_so(name, capsys):
    assert cli.main(["verify", str(FOLDER / f"{name}.py")]) == 1
    out, err = capsys.readouterr()
    assert f"{name}: ERROR\n  {name}_backward is not written yet: return " in out
    assert "0 of 1 pairs passed" in out
    assert err == ""


def test_there_are_no_other_exercises():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SOLUTIONS)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_solution_passes(solve, name):
    (report,) = solve(name, SOLUTIONS[name])
    assert report.verdict == "PASS", report


def test_a_gradient_that_is_left_out_is_no_pass(solve):
    (report,) = solve("vae", SOLUTIONS["vae"].replace('"W1": dW1, "b1": db1, ', ""))
    assert report.violations == ("vae_backward returns no dW1, db1",)


@pytest.mark.parametrize(("name", "wrong", "right", "words"), MISTAKES)
def test_a_mistake_is_named(solve, name, wrong, right, words):
    assert right in SOLUTIONS[name]
    (report,) = solve(name, SOLUTIONS[name].replace(right, wrong, 1))
    assert report.verdict in ("FAIL", "CONTRACT", "ERROR")
    assert re.search(words, str(report)), report


# ------------------------------------------------------------------- the lab, docs/teach.md

LAB = FOLDER.parents[1] / "docs" / "teach.md"


def table(heading):
    """The rows of the lab's table that begins with this heading; code without its marks."""
    text = LAB.read_text().split(f"\n| {heading} |")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in text.split("\n")[2:]]
    return [[re.sub(r"^`(.*)`$", r"\1", cell) for cell in row] for row in rows]


@pytest.mark.parametrize(("name", "right", "wrong", "words"), table("exercise"))
def test_the_lab_quotes_the_checker(solve, name, right, wrong, words):
    assert right in SOLUTIONS[name]
    (report,) = solve(name, SOLUTIONS[name].replace(right, wrong, 1))
    assert words in str(report)


@pytest.mark.parametrize(("line", "change", "difference", "_"), table("in `backward`"))
def test_a_change_of_the_one_file_does_what_the_lab_says(line, change, difference, _):
    text = (FOLDER.parent / "vae_from_scratch.py").read_text()
    assert text.count(line) == 1
    names = {"__name__": "vae_from_scratch"}
    exec(compile(text.replace(line, change), "vae_from_scratch.py", "exec"), names)
    rng = np.random.default_rng(0)
    p, x, eps = names["init"](20, 7, 3, rng), rng.random((5, 20)), rng.standard_normal((5, 3))
    if difference == "an error":
        with pytest.raises(ValueError, match=r"shape|broadcast|operand"):
            names["check"](p, x, eps, rng)
    else:
        assert difference == "large"
        assert names["check"](p, x, eps, rng) > 1e-3


def test_the_lab_grades_a_class(tmp_path, monkeypatch, capsys):
    solved = lambda name, text: re.sub(  # noqa: E731
        r"raise NotImplementedError\(.*\)", text, (FOLDER / f"{name}.py").read_text()
    )
    files = {
        "anna/linear.py": solved("linear", SOLUTIONS["linear"]),
        "ben/linear.py": solved("linear", SOLUTIONS["linear"].replace("sum", "mean")),
        "ben/relu.py": (FOLDER / "relu.py").read_text(),
        "cleo/relu.py": solved("relu", "return dy * (y > 0"),
    }
    for name, text in files.items():
        path = tmp_path / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["verify", "class", "--csv", "grades.csv"]) == 1
    assert capsys.readouterr().out == LAB.read_text().split("```text\n")[1].split("```")[0]
    columns = Path("grades.csv").read_text().split("\n")[0].split(",")
    assert columns == ["file", "verdict", "pairs", "passed", "finding"]


def test_the_lab_has_the_switches_of_the_playground():
    """What is wrong in backward alone is seen by differences, what is wrong in both is not."""
    folder = FOLDER.parents[1] / "scratchvae" / "pictures" / "playground"
    switches = re.findall(r'data-bug="(\w+)".*?> (.+?)</label>', (folder / "page.html").read_text())
    places = dict(re.findall(r"^// bug\.(\w+) +(\w+)", (folder / "model.js").read_text(), re.M))
    seen_by = {"forward": "meaning", "backward": "gradients"}  # "forward and backward", or backward
    rows = [(switch, check) for switch, check, _ in table("switch")]
    assert rows == [(label, seen_by[places[name]]) for name, label in switches]
