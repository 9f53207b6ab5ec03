"""The machinery of tests/benchmarks/wild.py, on small code bases that are written here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]
RUNNER = TESTS / "benchmarks" / "wild.py"
ADAPTERS = TESTS / "benchmarks" / "wild"

RIGHT = """
def forward(x):
    return x * x

def backward(dy, x):
    return 2 * dy * x
"""
ADAPTER = """
from benchmarks.wild import Pair, draw, on_path

SOURCE = "someone+{name}"
NOTE = "written for a test"


def pairs(root):
    on_path(root)
    import layers

    def run(x):
        return layers.forward(x), lambda dy: {{"x": layers.backward(dy, x)}}

    yield Pair("square", run, {{"x": draw(3, 4)}}, {known})
"""


def folders(tmp_path, **bases):
    """Snapshots and adapters; each base is (text of layers.py or None, what is known)."""
    adapters, snapshots = tmp_path / "adapters", tmp_path / "snapshots"
    adapters.mkdir()
    snapshots.mkdir()
    for name, (text, known) in bases.items():
        (adapters / f"{name}.py").write_text(ADAPTER.format(name=name, known=known))
        if text is not None:
            (snapshots / f"someone+{name}").mkdir()
            (snapshots / f"someone+{name}" / "layers.py").write_text(text)
            (snapshots / f"someone+{name}" / "COMMIT").write_text("0123456789abcdef\n")
    return snapshots, adapters


def run(snapshots, adapters, out):
    command = [sys.executable, RUNNER, snapshots, "--adapters", adapters, "--json", out]
    done = subprocess.run(map(str, command), capture_output=True, text=True, check=True)
    return done.stdout, {r["source"]: r for r in json.loads(out.read_text())}


def test_right_wrong_missing_and_broken_code_bases(tmp_path):
    snapshots, adapters = folders(
        tmp_path,
        right=(RIGHT, ""),
        wrong=(RIGHT.replace("2 * dy", "6 * dy"), "cause='a factor', says='3 x too large'"),
        misnamed=(RIGHT.replace("2 * dy", "-2 * dy"), "cause='a factor', says='3 x too large'"),
        fails=(RIGHT.replace("2 * dy", "(1 / 0) * dy"), "breaks='division by zero'"),
        absent=(None, ""),
        unreadable=("import no_such_module", ""),
    )
    text, results = run(snapshots, adapters, tmp_path / "out.json")
    row = {name.partition("+")[2]: r["rows"][0] for name, r in results.items() if r["rows"]}
    assert row.keys() == {"right", "wrong", "misnamed", "fails"}
    assert (row["right"]["wrong"], row["right"]["verdict"]) == (False, "PASS")
    assert row["right"]["how"] == "complex step"
    assert (row["wrong"]["wrong"], row["wrong"]["verdict"]) == (True, "FAIL")
    assert row["wrong"]["leaves"]["x"] == pytest.approx(2 / 3)
    assert [row[name]["name"] for name in ("wrong", "misnamed")] == ["right", "wrong"]
    assert row["fails"]["fails"]
    assert {r["judgement"] for r in row.values()} == {"right"}
    assert results["someone+right"]["version"] == "0123456789"
    assert "| someone/right | 0123456789 | 1 | 1 | 0 |" in text
    assert "someone/absent is not there, and was left out" in text
    assert "someone/unreadable could not be imported: ModuleNotFoundError" in text


def test_without_snapshots_it_says_so_and_stops(tmp_path):
    command = [sys.executable, str(RUNNER), str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "no folder: there are no snapshots to check" in done.stdout


def test_a_wrong_verdict_of_the_checker_would_be_counted(monkeypatch):
    """A checker that says PASS to all and one that says FAIL to all are found out."""
    wild, Pair = runner()

    class Report:
        leaves, violations, random, raised, verdict = (), (), "", "", "PASS"

    def pair(factor):
        return Pair(
            "p", lambda x: (x**3, lambda dy: {"x": factor * dy * x * x}), {"x": np.arange(3.0)}
        )

    monkeypatch.setattr(wild, "report_of", lambda pair: Report)
    assert [wild.judged(pair(f), None)["judgement"] for f in (3, 5)] == ["right", "false pass"]
    Report.verdict = "FAIL"
    assert [wild.judged(pair(f), None)["judgement"] for f in (3, 5)] == ["false alarm", "right"]

    def crashes(pair):
        raise TypeError("no such array")

    monkeypatch.setattr(wild, "report_of", crashes)
    assert wild.judged(pair(3), None)["judgement"] == "traceback"


def runner():
    """The module of the command, and the class of pairs."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("wild_runner", RUNNER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from benchmarks.wild import Pair

    return module, Pair


@pytest.mark.parametrize(
    ("f", "slope", "method"),
    [
        (np.exp, np.exp, "complex step"),
        (np.abs, np.sign, "Ridders"),  # abs() drops the imaginary part
        (lambda x: np.sqrt(x + 1.501), lambda x: 0.5 / np.sqrt(x + 1.501), "complex step"),
        (lambda x: np.float32(np.exp(x)), np.exp, "Ridders"),
    ],
    ids=["smooth", "absolute", "edge of the domain", "float32"],
)
def test_the_truth_is_as_good_as_it_says(f, slope, method):
    runner()
    from benchmarks.wild import truth

    x, dy = np.array([-1.5, 0.5, 2.0]), np.array([1.0, 2.0, 3.0])
    entries, found, error, how = truth.gradient(lambda x: f(x), {"x": x}, "x", dy)
    assert list(entries) == [0, 1, 2]
    assert how == method
    assert np.abs(found - dy * slope(x)).max() <= 10 * error


@pytest.mark.parametrize("path", sorted(ADAPTERS.glob("*.py")), ids=lambda p: p.stem)
def test_each_adapter_says_what_it_adapts_and_stands_in_the_page(path):
    wild, _ = runner()
    if path.name in ("__init__.py", "truth.py"):
        return
    source = wild.source_of(path)
    assert source.count("+") <= 1
    assert "def pairs(root):" in path.read_text()
    page = (TESTS.parent / "docs" / "wild.md").read_text()
    assert f"\n| {source.replace('+', '/')} | " in page
