"""`make results`: the table of docs/results.md, its record, and which rows are out of date."""

import json
import re
from pathlib import Path

import pytest
from benchmarks import results

ROOT = Path(results.ROOT)
RECIPE = '''"""{name}"""
import sys
from scratchvae.{module} import number

print(len(sys.argv), "words")
print('result {{"nll": [%r, 0.5], "gap": [1.0, null]}}' % number())
'''
MODULE = '''"""A module."""


def number():
    """A docstring."""  # a comment
    if not __name__:
        raise ValueError("a message", f"a message of {{1}}")
    kernel = "y = x * x"
    return {value}
'''


@pytest.fixture
def checkout(tmp_path):
    """Two short recipes, each of which loads a module of its own."""
    rows = []
    for folder in ("docs", "examples/recipes", "scratchvae"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "scratchvae" / "__init__.py").write_text("")
    for name, module, value in (("one", "a", 87.25), ("two", "b", 3.5)):
        (tmp_path / "scratchvae" / f"{module}.py").write_text(MODULE.format(value=value))
        recipe = tmp_path / "examples" / "recipes" / f"{name}.py"
        recipe.write_text(RECIPE.format(name=name, module=module))
        rows.append(
            {
                "id": name,
                "target": f"aim of {name}",
                "short": True,
                "seed": 0,
                "code": "",
                "command": f"python examples/recipes/{name}.py DIR",
                "published": "86",
                "goal": {"nll": [None, value + 1]},
                "digits": 2,
                "shown": "{nll}, {gap}",
                "ours": {"nll": [value, 0.5], "gap": [1.0, None]},
                "tolerance": 0.01,
                "date": "2026-11-25",
                "machine": "a machine",
            }
        )
    (tmp_path / "docs" / "results.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "docs" / "results.md").write_text(f"# R\n{results.BEGIN}\n{results.END}\nby hand\n")
    return tmp_path


def call(checkout, *words):
    return results.main([*words], checkout)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def listed(checkout, capsys):
    capsys.readouterr()
    assert call(checkout, "--list") == 0
    out = capsys.readouterr().out
    if out == "every row is up to date\n":
        return []
    head, lines = out.split("\n", 1)
    assert head == "out of date, or not known to be up to date:"
    return [lines]


# ------------------------------------------------------------------------------- this project's


def test_the_table_is_the_record():
    page = (ROOT / "docs" / "results.md").read_text()
    assert results.written(page, results.table(results.load(ROOT))) == page


def test_every_row_is_complete():
    rows = results.load(ROOT)["rows"]
    assert len({row["id"] for row in rows}) == len(rows)
    known = {
        "id",
        "target",
        "command",
        "goal",
        "published",
        "digits",
        "shown",
        "ours",
    }
    known |= {"tolerance", "short", "needs", "seed", "date", "machine", "code"}
    for row in rows:
        assert row.keys() <= known, row["id"]
        assert row["goal"]
        assert results.shown(row)
        for name, (_, error) in row.get("ours", {}).items():
            assert error is not None or "tolerance" in row, (row["id"], name)
        assert (ROOT / row["command"].split()[1]).exists()


def test_the_record_has_no_path_of_a_machine():
    text = (ROOT / "docs" / "results.json").read_text()
    assert not re.search(r'[" :]/(home|root|tmp|work|usr|Users)/', text)


# ------------------------------------------------------------------------------------- a made one


def test_numbers_that_come_out_again(checkout, capsys):
    assert call(checkout, "--data-dir", str(checkout)) == 0
    out = capsys.readouterr().out
    assert "running  one: python examples/recipes/one.py DIR\n" in out
    assert "ok       one nll: 87.25, recorded 87.25, allowed 0.01" in out
    assert "ok       two gap: 1.00, recorded 1.00, allowed 0.01" in out
    assert "one: measured 2026-11-25, before its code was recorded" in out
    assert json.loads((checkout / "docs" / "results.json").read_text())["rows"][0]["code"] == ""


@pytest.mark.parametrize("value", [87.27, 87.23, float("nan")])
def test_a_number_that_differs(checkout, capsys, value):
    edit(checkout / "scratchvae" / "a.py", "87.25", json.dumps(json.dumps(value)))
    edit(checkout / "examples" / "recipes" / "one.py", "%r", "%s")
    assert call(checkout, "--data-dir", str(checkout)) == 1
    out = capsys.readouterr().out
    assert f"differs  one nll: {value:.2f}, recorded 87.25, allowed 0.01" in out
    assert "ok       one gap" in out
    assert "ok       two nll" in out


@pytest.mark.parametrize(
    ("error", "error_now", "tolerance", "allowed"),
    [
        (0.5, 0.75, None, 0.75),
        (0.75, 0.5, None, 0.75),
        (0.5, None, None, 0.5),
        (None, 0.5, None, 0.5),
        (None, None, 0.25, 0.25),
        (0.5, 0.75, 0.25, 0.25),
        (0.5, 0.75, 1.0, 0.75),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_larger_error_is_allowed_or_a_smaller_tolerance(
    error, error_now, tolerance, allowed, sign
):
    row = {"id": "one", "ours": {"nll": [80.0, error]}, "digits": 2}
    row |= {} if tolerance is None else {"tolerance": tolerance}
    for change, ok in ((allowed, True), (allowed + 2**-10, False)):
        (line,), same = results.compare(row, {"nll": [80.0 + sign * change, error_now]})
        assert same is ok
        assert line.startswith("ok" if ok else "differs")
        assert line.endswith(f"recorded 80.00, allowed {allowed:.2f}")


def test_a_number_without_an_error_has_a_tolerance(checkout, capsys):
    edit(checkout / "examples" / "recipes" / "two.py", "[1.0, null]", "[1.011, null]")
    assert call(checkout, "two", "--data-dir", str(checkout)) == 1
    assert "differs  two gap: 1.01, recorded 1.00, allowed 0.01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("print('result", "print('", "its output has no line that begins with 'result'"),
        ('"gap"', '"map"', "gap: the recipe did not print it"),
        ("import sys", "import sys; sys.exit('no such data')", "exit code 1: no such data"),
    ],
)
def test_a_number_that_is_missing(checkout, capsys, old, new, said):
    edit(checkout / "examples" / "recipes" / "one.py", old, new)
    assert call(checkout, "one", "--data-dir", str(checkout)) == 1
    out = capsys.readouterr().out
    assert re.search(f"(failed  |missing ) one.*{re.escape(said)}", out)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"gap"', '"map"', "not stored, without a finite gap"),
        ('{"nll"', '{"of": 1.0, "nll"', "its last line of results is not {name: [value, error"),
        ('{"nll"', "{of", "its last line of results is not {name: [value, error"),
        ("[1.0, null]", "[NaN, null]", "not stored, without a finite gap"),
    ],
)
def test_a_line_of_results_that_cannot_be_stored(checkout, capsys, old, new, said):
    before = results.load(checkout)
    edit(checkout / "examples" / "recipes" / "two.py", old, new)
    assert call(checkout, "two", "--record", "--data-dir", str(checkout)) == 1
    assert f"failed   two: {said}" in capsys.readouterr().out
    assert results.load(checkout) == before


def test_what_is_not_here_is_skipped_with_the_reason(checkout, capsys):
    record = json.loads((checkout / "docs" / "results.json").read_text())
    record["rows"][0] |= {"command": "python examples/recipes/one.py", "needs": ["json", "nosuch"]}
    (checkout / "docs" / "results.json").write_text(json.dumps(record))
    assert call(checkout) == 0
    out = capsys.readouterr().out
    assert "skipped  one: needs nosuch\n" in out
    assert (
        "skipped  two: needs the files of MNIST: --data-dir DIR, or make results DATA=DIR\n" in out
    )
    assert call(checkout, "two") == 1, "it was asked for"
    with pytest.raises(SystemExit):
        call(checkout, "two", "--record", "--list")


def test_a_long_row_runs_only_when_it_is_named(checkout, capsys):
    edit(checkout / "docs" / "results.json", '"aim of two", "short": true', '"x", "short": false')
    assert call(checkout, "--data-dir", str(checkout)) == 0
    assert "two nll" not in capsys.readouterr().out
    assert call(checkout, "two", "--data-dir", str(checkout)) == 0
    assert "two nll" in capsys.readouterr().out


def test_what_is_recorded(checkout, capsys):
    edit(checkout / "scratchvae" / "a.py", "87.25", "88.0")
    assert call(checkout, "one", "--record", "--data-dir", str(checkout)) == 0
    assert 'result {"nll": [88.0, 0.5]' in capsys.readouterr().out
    row = json.loads((checkout / "docs" / "results.json").read_text())["rows"][0]
    assert row["ours"]["nll"] == [88.0, 0.5]
    assert row["date"] > "2026-11-25"
    files = [entry.split(":")[0] for entry in row["code"].split()]
    assert files == ["examples/recipes/one.py", "scratchvae/__init__.py", "scratchvae/a.py"]
    assert str(checkout) not in json.dumps(row)
    page = (checkout / "docs" / "results.md").read_text()
    assert (
        "| aim of one | `python examples/recipes/one.py DIR` | 86 | 88.00 +- 0.50, 1.00 |" in page
    )
    assert page.startswith("# R\n")
    assert page.endswith("\nby hand\n")


@pytest.mark.parametrize(
    ("path", "old", "new", "stale"),
    [
        ("scratchvae/a.py", "return 87.25", "return 87.250001", ["one"]),
        ("scratchvae/b.py", "def number():", "def number(x=1):", ["two"]),
        ("scratchvae/__init__.py", "", "VERSION = 2", ["one", "two"]),
        ("examples/recipes/two.py", '"words"', '"word"', ["two"]),
        ("scratchvae/a.py", '"A docstring."', '"Another one."', []),
        ("scratchvae/a.py", "# a comment", "", []),
        ("scratchvae/a.py", '"""A module."""\n', "\n\n\n", []),
        ("scratchvae/b.py", "    return", "\n    # why\n    return", []),
        ("examples/recipes/one.py", '"""one"""', '"""One."""', []),
        ("scratchvae/a.py", '"a message"', '"other words"', []),
        ("scratchvae/a.py", 'f"a message of {1}"', 'f"{1}: other words"', []),
        ("scratchvae/a.py", '"y = x * x"', '"y = x * x * x"', ["one"]),
    ],
)
def test_a_row_is_out_of_date_when_code_that_it_loads_changes(
    checkout, capsys, path, old, new, stale
):
    call(checkout, "--record", "--data-dir", str(checkout))
    assert listed(checkout, capsys) == []
    file = checkout / path
    file.write_text(file.read_text().replace(old, new) if old else new)
    day = json.loads((checkout / "docs" / "results.json").read_text())["rows"][0]["date"]
    lines = "".join(f"{name}: {path} changed since {day}\n" for name in stale)
    assert listed(checkout, capsys) == ([lines] if stale else [])


def test_of_many_changed_files_a_few_are_named(checkout):
    was = " ".join(f"scratchvae/m{i}.py:0" for i in range(5))
    row = {"id": "one", "date": "2026-01-01", "code": was, "ours": {}}
    (line,) = results.out_of_date([row], checkout)
    assert line.endswith(
        "m0.py, scratchvae/m1.py, scratchvae/m2.py and 2 more changed since 2026-01-01"
    )


def test_a_module_that_is_gone_has_changed(checkout, capsys):
    call(checkout, "--record", "--data-dir", str(checkout))
    (checkout / "scratchvae" / "b.py").unlink()
    assert "two: scratchvae/b.py changed" in "".join(listed(checkout, capsys))


def test_a_new_row_is_shown_before_it_is_measured(checkout, capsys):
    record = json.loads((checkout / "docs" / "results.json").read_text())
    del record["rows"][1]["ours"]
    (checkout / "docs" / "results.json").write_text(json.dumps(record))
    assert call(checkout, "--table") == 0
    assert call(checkout, "--list") == 0
    assert "two: never measured\n" in capsys.readouterr().out
    page = (checkout / "docs" / "results.md").read_text()
    assert "two.py DIR` | 86 | not measured |  | 0 |  |" in page
    assert "Machine 1: a machine." in page
    assert call(checkout, "two", "--record", "--data-dir", str(checkout)) == 0
    page = (checkout / "docs" / "results.md").read_text()
    assert "two.py DIR` | 86 | 3.50 +- 0.50, 1.00 | yes | 0 |" in page
    assert page == results.written(page, results.table(results.load(checkout)))


def test_the_rows_that_miss_their_goal_are_named_first(checkout):
    record = results.load(checkout)
    assert results.table(record).startswith("Not met: none.\n")
    record["rows"][1]["goal"] = {"nll": [None, 3.4]}
    assert results.table(record).startswith("Not met: `two`.\n")
    record["rows"][0]["goal"] = {"nll": [88, None]}
    assert results.table(record).startswith("Not met: `one`, `two`.\n")


def test_no_such_row(checkout, capsys):
    with pytest.raises(SystemExit) as stop:
        call(checkout, "three")
    assert stop.value.code == 2
    assert "no row three: the rows are one, two" in capsys.readouterr().err
