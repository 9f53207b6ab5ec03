"""`scratchvae verify FOLDER`: one line for each file, whatever the others do."""

import csv
import os
import subprocess
from pathlib import Path

import pytest
from support.command_line import refused

from scratchvae import cli
from scratchvae.gradcheck.suites import folders

EXERCISE = (Path(__file__).parents[2] / "examples" / "exercises" / "linear.py").read_text()
PAIR = """
import numpy as np
def {0}(x): return x * x
def {0}_backward(dy, x): return {1}
def inputs_{0}(): return {{"x": np.arange(1.0, 4)}}
"""
SLEEP = "61.375"  # seconds, by which the test knows its process
VERDICTS = ("PASS", "FAIL", "not written yet", "nothing to check")


@pytest.fixture
def grade(tmp_path, monkeypatch, capsys):
    """Write and verify a folder of files: exit code, {file: (verdict, finding)}, last line."""
    monkeypatch.setattr(folders, "TIME_LIMIT", 20)

    def run(files, *options):
        for name, text in files.items():
            path = tmp_path / "class" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        code = cli.main(["verify", str(tmp_path / "class"), *options])
        out, err = capsys.readouterr()
        assert err == ""
        *lines, empty, last = out.splitlines()
        assert empty == ""
        found = {}
        for line in lines:
            name, rest = line.split(maxsplit=1)
            verdict = next(v for v in VERDICTS if rest.startswith(v))
            found[name] = verdict, rest.removeprefix(verdict).strip()
        assert list(found) == sorted(found)
        return code, found, last

    return run


def test_files_of_one_name_are_told_apart_and_graded(grade, tmp_path):
    files = {
        "anna/linear.py": PAIR.format("square", "2 * dy * x"),
        "ben/linear.py": PAIR.format("square", "dy * x"),
        "cleo/linear.py": EXERCISE,
    }
    code, found, last = grade(files, "--csv", str(tmp_path / "grades.csv"))
    assert code == 1
    assert found == {
        "anna/linear.py": ("PASS", "square"),
        "ben/linear.py": ("FAIL", "square: dx: 2 x too small at all 3 entries"),
        "cleo/linear.py": (
            "not written yet",
            "linear: linear_backward is not written yet: return dx, dW, db",
        ),
    }
    assert last == "1 of 3 files passed"
    rows = list(csv.DictReader((tmp_path / "grades.csv").read_text().splitlines()))
    assert {row["file"]: (row["verdict"], row["finding"]) for row in rows} == found
    assert [(row["pairs"], row["passed"]) for row in rows] == [("1", "1"), ("1", "0"), ("1", "0")]


def test_a_folder_where_all_pass_exits_with_0(grade):
    assert grade({"a.py": PAIR.format("f", "2 * dy * x")})[0] == 0


def test_a_file_sees_no_arguments_and_one_thread(grade):
    text = (
        "import os, sys\nassert (sys.argv[1:], os.environ['OPENBLAS_NUM_THREADS']) == ([], '1')\n"
    )
    assert grade({"a.py": text + PAIR.format("f", "2 * dy * x")})[0] == 0


def test_the_seed_is_that_of_the_option(grade):
    """A backward that is wrong in one entry has an error that depends on the directions."""
    text = PAIR.format("f", "2 * dy * x + np.array([0, 0, 1])")
    (_, a, _), (_, b, _), (_, again, _) = (
        grade({"a.py": text}, "--seed", seed) for seed in ("0", "3", "3")
    )
    assert a != b == again


def test_names_and_findings_are_printable(grade, tmp_path):
    """A spreadsheet opens the grades, and a terminal shows them."""
    files = {"=1+1/a.py": "raise ValueError('\\x1b[2K')", "b\nc.py": PAIR.format("f", "2 * dy * x")}
    files[os.fsdecode(b"m\xfcller.py")] = PAIR.format("f", "dy")
    code, found, _ = grade(files, "--csv", str(tmp_path / "grades.csv"))
    assert code == 1
    assert list(found) == ["./=1+1/a.py", r"b\nc.py", r"m\udcfcller.py"]
    assert found["./=1+1/a.py"][1] == r"does not run: ValueError: \x1b[2K"
    rows = list(csv.DictReader((tmp_path / "grades.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == list(found)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("def f(:", "does not run: SyntaxError: "),
        ("print('x' * 1000)\n1/0", "does not run: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)", "calls sys.exit before its pairs are checked"),
        ("import os\nos._exit(3)", "ended its process (exit code 3) before its pairs were checked"),
        ("def lineer_backward(dy): return dy", "lineer_backward has no lineer beside it"),
        (PAIR.format("f", "1 / 0"), "f: f_backward raises ZeroDivisionError in line 4"),
        ("def f(x): return x\ndef f_backward(dy): return dy", "f has no inputs: add a function"),
    ],
)
def test_a_bad_file_does_not_stop_the_others(grade, text, finding):
    code, found, last = grade({"a.py": text, "b.py": PAIR.format("f", "2 * dy * x")})
    assert code == 1
    assert found["a.py"][0] == "FAIL"
    assert found["a.py"][1].startswith(finding)
    assert found["b.py"] == ("PASS", "f")
    assert last == "1 of 2 files passed"


def test_a_file_without_pairs_does_not_fail_the_folder(grade, tmp_path, capsys):
    files = {"a.py": "x = 1", "b.py": PAIR.format("f", "2 * dy * x")}
    code, found, last = grade(files, "--csv", str(tmp_path / "grades.csv"))
    assert (code, found["b.py"]) == (0, ("PASS", "f"))
    assert found["a.py"][0] == "nothing to check"
    assert found["a.py"][1].startswith(
        "contains nothing to check: no function f with an f_backward"
    )
    assert last == "1 of 1 files passed; nothing to check in 1"
    rows = list(csv.DictReader((tmp_path / "grades.csv").read_text().splitlines()))
    assert [row["verdict"] for row in rows] == ["nothing to check", "PASS"]
    (tmp_path / "class" / "b.py").unlink()
    assert cli.main(["verify", str(tmp_path / "class")]) == 2
    assert "class contains nothing to check: no file has a pair" in capsys.readouterr().err


def test_the_line_of_a_file_says_that_a_pair_could_not_be_checked(grade):
    refused_ = "def g(x): return x\ndef g_backward(dy): return dy\n"
    _, found, _ = grade({"a.py": refused_ + PAIR.format("f", "dy * x")})
    assert found["a.py"][0] == "FAIL"
    assert found["a.py"][1].startswith("0 of 2 pairs; f: dx: 2 x too small")
    assert found["a.py"][1].endswith(" (1 of 2 pairs could not be checked)")


def test_an_endless_file_is_stopped_with_what_it_started(grade, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "TIME_LIMIT", 1)
    child = f"import subprocess\nchild = subprocess.Popen(['sleep', '{SLEEP}'])\n"
    code, found, _ = grade({"a.py": child + "while True: pass"})
    args = ["ps", "-eo", "args"]
    assert SLEEP not in subprocess.run(args, capture_output=True, text=True, check=True).stdout
    assert code == 1
    assert found["a.py"] == ("FAIL", "ran for more than 1 s: look for an endless loop")


def test_of_several_pairs_the_first_mistake_is_named(grade):
    wrong = PAIR.format("cube", "dy") + PAIR.format("line", "dy")
    unwritten = PAIR.format("todo", "").replace("return \n", "raise NotImplementedError\n")
    text = unwritten + PAIR.format("square", "2 * dy * x")
    _, found, _ = grade({"a.py": text + wrong, "b.py": text})
    assert found["a.py"][0] == "FAIL"
    assert found["a.py"][1].startswith("1 of 4 pairs; cube: dx: ")
    assert found["b.py"] == (
        "not written yet",
        "1 of 2 pairs; todo: todo_backward is not written yet",
    )


def test_a_file_finds_its_neighbours_and_what_is_no_exercise_is_left_out(grade):
    text = "from _helper import two\n" + PAIR.format("square", "two * dy * x")
    broken = "1/0"
    files = {"anna/a.py": text, "anna/_helper.py": "two = 2", "ben/a.py": text}
    files |= {"ben/_helper.py": "two = 3", "venv/pyvenv.cfg": "", "venv/x.py": broken}
    files |= {".git/x.py": broken, "anna/notes.txt": broken}
    _, found, _ = grade(files)
    assert [verdict for verdict, _ in found.values()] == ["PASS", "FAIL"]
    assert list(found) == ["anna/a.py", "ben/a.py"]


def test_what_does_not_apply_is_refused(tmp_path, capsys):
    refused(capsys, ["verify", tmp_path], "holds no Python file")
    (tmp_path / "a.py").write_text("1/0")
    for option in ("-k=x", "--json", "--junit=x.xml", "-o=x.png"):
        flag = option.split("=")[0]
        refused(capsys, ["verify", tmp_path, *option.split("=")], f"{flag} applies to one file")
    refused(capsys, ["verify", tmp_path / "a.py", "--csv", "x.csv"], "--csv applies to a folder")
    refused(capsys, ["verify", "--csv", "x.csv"], "--csv applies to a folder")
    refused(capsys, ["verify", tmp_path, "--csv", "x.txt"], "must end in .csv")
    refused(capsys, ["verify", tmp_path, "--csv", tmp_path / "no" / "x.csv"], "folder that exists")
    refused(capsys, ["verify", tmp_path, "--teeth"], "leave the file out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.py"]
