"""`scratchvae verify`: what it prints, its exit code, and the errors that the documents quote."""

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.command_line import refused

from scratchvae import cli
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import Report
from scratchvae.verify import table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def verified():
    """Exit code, output and reports of one run of the command."""
    reports = []

    def recorded(seed, original=table.reports):
        for pair in original(seed):
            reports.append(pair)
            yield pair

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(table, "reports", recorded)
        code = cli.main(["verify", "-v"])
    return code, out.getvalue(), reports


def test_verify_prints_every_op_and_parameter_and_passes(verified):
    code, out, _ = verified
    assert code == 0
    for op in OPS:
        assert any(line.startswith(op) and line.endswith("PASS") for line in out.splitlines()), op
    names = [name for name in table.SUBJECTS if f"\n{name}\n" in out]
    assert names == list(table.SUBJECTS)
    assert out.count("dhead_W ") == len(table.SUBJECTS)
    for finding in ("gradients after 20 steps", "KL by Monte Carlo", "the update of a step"):
        assert out.count(finding) >= 6
    assert "FAIL" not in out
    worst = float(out.split("of a gradient is ")[1].split("\n")[0])
    assert worst < 1e-7


def test_the_documents_errors_are_what_verify_says(verified):
    """The errors in docs/checked.md and in the README bound those that are measured here."""
    measured = {"ops": 0.0, "VAE": 0.0, "IWAE": 0.0}
    for name, report in verified[2]:
        kind = "VAE" if name.startswith("vae") else "IWAE" if name in table.SUBJECTS else "ops"
        again = [f.error for f in report.findings if f.name.startswith("gradients")]
        measured[kind] = max([measured[kind], report.error, *again])
    rows = re.findall(r"^\| (?:the 17 )?(ops|VAE|IWAE)[: ].*\| below ([\de-]+) \|$",
                      (ROOT / "docs" / "checked.md").read_text(), re.MULTILINE)  # fmt: skip
    assert len(rows) == 3
    for kind, printed in rows:
        assert measured[kind] < float(printed)
    (printed,) = re.findall(r"relative errors below ([\de-]+)", (ROOT / "README.md").read_text())
    assert max(measured.values()) < float(printed)


def test_verify_fails_when_a_gradient_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(table, "SUBJECTS", {"vae": table.SUBJECTS["vae"]})
    op = OPS["sigmoid"]
    wrong = op._replace(backward=lambda dy, y, *, dx=None: 1.001 * op.backward(dy, y))
    monkeypatch.setitem(OPS, "sigmoid", wrong)
    assert cli.main(["verify"]) == 1
    out, _ = capsys.readouterr()
    assert "FAIL sigmoid" in out
    assert "fix this first" not in out, "no model fails"
    assert "too large at all" in out


def test_the_seed_of_verify_reaches_the_checks(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(
        table, "show", lambda seed, found, verbose: seen.append(("models", seed)) or 0
    )
    monkeypatch.setattr(table, "show_teeth", lambda seed: seen.append(("teeth", seed)) or 0)
    check_file = "scratchvae.cli.verify.check_file"
    monkeypatch.setattr(check_file, lambda path, seed, only: seen.append(("file", seed)) or [])
    for options in (["--seed", "3"], ["--teeth", "--seed", "4"], ["mine.py", "--seed", "5"]):
        assert cli.main(["verify", *options]) == 0
    assert seen == [("models", 3), ("teeth", 4), ("file", 5)]
    refused(capsys, ["verify", "--seed", 2**64], "seed must be a whole number from 0 to 2**64 - 1")
    refused(capsys, ["verify", "mine.py", "--teeth"], "leave the file out")


def test_a_healthy_run_has_one_line_for_each_op_and_model(capsys, monkeypatch):
    monkeypatch.setattr(table, "SUBJECTS", {"vae": table.SUBJECTS["vae"]})
    assert cli.main(["verify"]) == 0
    out, _ = capsys.readouterr()
    (line,) = [line for line in out.splitlines() if line.startswith("vae ")]
    assert re.search(r"PASS  8 gradients, \d+ other checks$", line)
    assert len(out.splitlines()) < len(OPS) + 10


def test_an_op_that_fails_is_named_before_the_models_that_use_it(capsys, monkeypatch):
    """An op fails, and a model with it."""
    monkeypatch.setattr(table, "SUBJECTS", {"vae": table.SUBJECTS["vae"]})
    relu = OPS["relu"]
    wrong = relu._replace(backward=lambda dy, y, *, dx=None: 1.001 * relu.backward(dy, y))
    monkeypatch.setitem(OPS, "relu", wrong)
    check_model = table.check_model
    spoilt = lambda *a, **k: replace(check_model(*a, **k), random="as if it used relu")  # noqa: E731
    monkeypatch.setattr(table, "check_model", spoilt)
    assert cli.main(["verify"]) == 1
    out, _ = capsys.readouterr()
    assert out.endswith("fix this first: relu; the models that fail may use it\n")
    assert "relu: FAIL\n  dx " in out
    assert "as if it used relu" not in out
    assert len(out.splitlines()) < 50
    assert cli.main(["verify", "-v"]) == 1
    assert "as if it used relu" in capsys.readouterr().out


def test_of_models_that_fail_alone_the_first_is_reported(capsys, monkeypatch):
    subjects = {name: table.SUBJECTS["ae"] for name in ("ae", "another")}
    monkeypatch.setattr(table, "SUBJECTS", subjects)
    wrong = lambda *a, **k: Report("ae", violations=("wrong",))  # noqa: E731
    monkeypatch.setattr(table, "check_model", wrong)
    assert cli.main(["verify"]) == 1
    out, _ = capsys.readouterr()
    assert out.count("contract: wrong") == 1
    assert out.endswith("above is the report on ae; -v prints those of the others\n")


PAIRS = """
import numpy as np
def square(x): return x * x
def square_backward(dy, x): return 2 * dy * x
def inputs_square(): return {"x": np.arange(1.0, 4)}
def cube(x): return x**3
def cube_backward(dy, x): return 2 * dy * x**2
def inputs_cube(): return {"x": np.arange(1.0, 4)}
def bare(x): return x
def bare_backward(dy): return dy
"""


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "pairs.py").write_text(PAIRS)
    return tmp_path / "pairs.py"


def test_pairs_that_could_not_be_checked_are_counted(pairs, capsys):
    assert cli.main(["verify", str(pairs)]) == 2
    out, err = capsys.readouterr()
    assert out.endswith("1 of 3 pairs passed, 1 could not be checked\n")
    assert "bare has no inputs" in err


def test_a_part_of_a_name_selects_pairs(pairs, capsys):
    assert cli.main(["verify", str(pairs), "-k", "squ"]) == 0
    assert "1 of 1 pairs passed" in capsys.readouterr().out
    assert cli.main(["verify", str(pairs), "-k", "cub"]) == 1
    refused(capsys, ["verify", pairs, "-k", "none"], "no pair in")
    refused(capsys, ["verify", "-k", "relu"], "-k applies to a file of pairs")


def test_reports_as_json_and_junit(pairs, capsys, tmp_path):
    xml = tmp_path / "found.xml"
    assert cli.main(["verify", str(pairs), "--json", "--junit", str(xml)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [(p["name"], p["verdict"]) for p in found["pairs"]] == [
        ("square", "PASS"),
        ("cube", "FAIL"),
    ]
    assert found["pairs"][1]["gradients"][0]["message"].startswith("1.5 x too small")
    assert found["pairs"][1]["gradients"][0]["error"] == pytest.approx(1 / 3)
    assert list(found["could_not_be_checked"]) == ["bare"]
    suite = ElementTree.parse(xml).getroot()  # noqa: S314 (it was written here)
    assert [suite.get(k) for k in ("tests", "failures", "errors")] == ["3", "1", "1"]
    cases = {case.get("name"): case for case in suite}
    assert (
        cases["cube"].find("failure").get("message").startswith("cube: FAIL: dx: 1.5 x too small")
    )
    assert "has no inputs" in cases["bare"].find("error").get("message")
    assert "agrees to" in cases["square"].find("system-out").text
