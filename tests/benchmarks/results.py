"""The main table of docs/results.md, and whether its numbers still come out: `make results`.

    python tests/benchmarks/results.py [--data-dir DIR]      run the short rows, and compare
    python tests/benchmarks/results.py --list                list the rows that are out of date
    python tests/benchmarks/results.py --record ID ...       run these rows, and store the numbers
    python tests/benchmarks/results.py --table               write the table from the record

docs/results.json is the record; the table is written from it, and a test holds the two equal. To
add a row, add an object to its "rows":

id         one word
target     what is aimed at; goal, the same for the program: {name of a number: [least, most]}
command    of a recipe, with DIR for the folder of MNIST; or how, in words, without a command
published  the number and, in brackets, its source; or ""
digits     of the numbers that are shown, in the words `shown`, such as "{accuracy} %"
ours       {name: [value, standard error or null]}; omit it, and run the row with --record
tolerance  how far a value may be from the recorded one where that has no standard error
short      whether `make results` runs it: under ten minutes on two cores
needs      packages that it imports besides NumPy
seed       met, only without a goal

A recipe prints its numbers as one last line, `result {"name": [value, standard error], ...}`.

Two runs of a row have the same seed and the same test images, so they differ only by what a machine
rounds, which training magnifies: the values agree if they differ by no more than the larger of
their standard errors, or than the tolerance. --record stores a digest of the code of each module of
the package that the command loaded, without docstrings, comments, positions and the arguments of
errors and warnings: a change of wording leaves a row as it is. Rows without a digest were
measured before the record was kept. --record also prints the command's output, which has the tables
of the page.
"""

import argparse
import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import runpy
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- make results writes from here -->", "<!-- to here -->"
HEAD = ("row", "target", "command", "published", "ours", "met", "seed", "measured on")
FOLDERS = ("scratchvae", "examples/recipes")  # whose files belong to the code of a row
RESULT = "result "


class Failed(Exception):
    """Why a row gave no numbers."""


# ------------------------------------------------------------------------------- the code of a row


def tree(node):
    """A syntax tree as text, without wording and positions; the same in all Pythons."""
    if is_message(node):
        return "(message)"
    if isinstance(node, list):
        return f"[{' '.join(map(tree, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and documented(node):
            value = value[1:]
        if value is not None and value != [] and name not in ("kind", "type_comment"):
            fields.append(f"{name}={tree(value)}")
    return f"{type(node).__name__}({' '.join(fields)})"


def documented(node):
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def is_message(node):
    """Whether a node makes an error or a warning: what it says changes no number."""
    name = getattr(node, "func", None)
    name = getattr(name, "id", getattr(name, "attr", ""))
    return isinstance(node, ast.Call) and name.endswith(("Error", "warn"))


def digest(path):
    """Eight digits of the SHA-256 of a module's code."""
    text = tree(ast.parse(path.read_text(encoding="utf-8")))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def code(root):
    """The digest of every file that a recipe can load, by its path in the checkout."""
    files = [file for folder in FOLDERS for file in (root / folder).rglob("*.py")]
    return {file.relative_to(root).as_posix(): digest(file) for file in files}


def measured_with(row):
    """The files of the row's code, with their digests of then."""
    return dict(entry.rsplit(":", 1) for entry in row.get("code", "").split())


def out_of_date(rows, root):
    """A line for each row whose command was not run since its code changed, as far as is known."""
    now = code(root)
    for row in rows:
        then = measured_with(row)
        if "command" in row and not then:
            yield f"{row['id']}: --record has not stored its code yet"
        elif paths := [path for path, was in then.items() if now.get(path) != was]:
            few = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
            yield f"{row['id']}: {few} changed since {row['date']}"


def trace(out, recipe, *argv):
    """Run a recipe in this process, and write which files of the checkout it loaded to `out`."""
    sys.argv, sys.path[0] = [recipe, *argv], str(Path(recipe).parent)
    sys.path.insert(1, os.getcwd())
    try:
        runpy.run_path(recipe, run_name="__main__")
    finally:
        root = Path.cwd().resolve()
        files = {Path(f).resolve() for m in [*sys.modules.values()] if (f := file_of(m))}
        files = {f for f in files if f.suffix == ".py" and f.is_relative_to(root)}
        own = [f.relative_to(root).as_posix() for f in files | {Path(recipe).resolve()}]
        own = [f for f in own if f.startswith(FOLDERS)]
        Path(out).write_text("\n".join(sorted(own)))


def file_of(module):
    return getattr(module, "__file__", None)


# --------------------------------------------------------------------------------- running a row


def missing(row, data):
    """Why the row cannot be run here, or None."""
    if "command" not in row:
        return "no command measures it"
    if "DIR" in row["command"].split() and data is None:
        return "needs the files of MNIST: DATA=DIR"
    absent = [name for name in row.get("needs", ()) if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(absent)}" if absent else None


def run(row, root, data):
    """Run the row's command: its numbers, as `ours` has them, the files it loaded, its output."""
    python, *words = shlex.split(row["command"])
    if python != "python":
        raise Failed(f"the command is {python!r}, not python")
    words = [str(data) if word == "DIR" else word for word in words]
    with tempfile.TemporaryDirectory() as folder:
        loaded = Path(folder, "loaded")
        done = subprocess.run(
            [sys.executable, __file__, "--trace", str(loaded), *words],
            cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise Failed(f"exit code {done.returncode}: {' '.join(last)}")
        lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT)]
        if not lines:
            raise Failed("its output has no line that begins with 'result'")
        found = json.loads(lines[-1].removeprefix(RESULT))
        return found, loaded.read_text().split(), done.stdout


def compare(row, found):
    """A line for each number of the row: whether it came out again, and whether all did."""
    lines, same = [], True
    for name, (value, error) in row.get("ours", found).items():
        if name not in found:
            lines.append(f"missing  {row['id']} {name}: the recipe did not print it")
            same = False
            continue
        now, error_now = found[name]
        errors = [e for e in (error, error_now) if e is not None]
        allowed = row.get("tolerance", 0.0) if not errors else max(errors)
        ok = abs(now - value) <= allowed
        same = same and ok
        d = row["digits"]
        lines.append(
            f"{'ok' if ok else 'differs':8} {row['id']} {name}: {now:.{d}f}, recorded {value:.{d}f}"
            f", allowed {allowed:.{d}f}"
        )
    return lines, same


def machine():
    name = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists() and "model name" in (text := cpu.read_text()):
        name = text.split("model name\t: ")[1].split("\n")[0].split(" @")[0]
    for noise in ("(R)", "(TM)", " CPU", " Processor"):
        name = name.replace(noise, "")
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"Python {platform.python_version()}, NumPy {importlib.metadata.version('numpy')}"
    return f"{name}, {n} core{'s' * (n != 1)}; {versions}"


# ------------------------------------------------------------------------------- record and table


def load(root):
    return json.loads((root / "docs" / "results.json").read_text(encoding="utf-8"))


def save(root, record):
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (root / "docs" / "results.json").write_text(f"{text}\n", encoding="utf-8")
    page = root / "docs" / "results.md"
    page.write_text(written(page.read_text(encoding="utf-8"), table(record)), encoding="utf-8")


def written(page, text):
    """The page with this table between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def is_met(row):
    """Whether each number of the goal lies between its least and its most."""
    if "goal" not in row or "ours" not in row:
        return row.get("met", False)
    return all(
        (least is None or value >= least) and (most is None or value <= most)
        for name, (least, most) in row["goal"].items()
        for value in [row["ours"][name][0]]
    )


def shown(row):
    """Our numbers, in the words of the row."""
    if "command" in row and "ours" not in row:
        return "not measured"
    words = {}
    for name, (value, error) in row.get("ours", {}).items():
        words[name] = f"{value:.{row['digits']}f}"
        if error is not None:
            words[name] += f" +- {error:.{row['digits']}f}"
    return row["shown"].format(**words)


def table(record):
    """The main table, and under it the machines, which are numbered."""
    machines = list(dict.fromkeys(row["machine"] for row in record["rows"]))
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in record["rows"]:
        command = f"`{row['command']}`" if "command" in row else row["how"]
        day = time.strftime("%d %B %Y", time.strptime(row["date"], "%Y-%m-%d")).lstrip("0")
        measured = f"{day}, machine {machines.index(row['machine']) + 1}"
        met, seed = "yes" if is_met(row) else "no", row["seed"]
        cells = row["id"], row["target"], command, row["published"], shown(row), met, seed, measured
        lines.append(f"| {' | '.join(map(str, cells))} |")
    named = (f"Machine {i}: {name}." for i, name in enumerate(machines, 1))
    short = ", ".join(f"`{row['id']}`" for row in record["rows"] if row["short"])
    return "\n".join([*lines, "", *named, "", f"Under ten minutes each: {short}."])


# ------------------------------------------------------------------------------------ the command


def main(argv=None, root=ROOT):
    """Run, compare, record; the exit code: 1 if a number differs, or a command gave none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ids", nargs="*", help="rows to run, long ones too; by default the short")
    parser.add_argument("--data-dir", type=Path, help="of MNIST's IDX files")
    parser.add_argument("--list", action="store_true", help="list the rows that are out of date")
    parser.add_argument("--record", action="store_true", help="store what is measured")
    parser.add_argument("--table", action="store_true", help="write the table from the record")
    a = parser.parse_args(argv)
    record, failed = load(root), False
    by_id = {row["id"]: row for row in record["rows"]}
    if unknown := [name for name in a.ids if name not in by_id]:
        parser.error(f"no row {', '.join(unknown)}: the rows are {', '.join(by_id)}")
    if a.table:
        save(root, record)
    if not (a.table or a.list):
        data = a.data_dir and a.data_dir.resolve()
        chosen = [by_id[name] for name in a.ids] or [row for row in by_id.values() if row["short"]]
        for row in chosen:
            failed = not measure(row, root, data, a.record) or failed
            if a.record:
                save(root, record)
    if not a.table:
        lines = list(out_of_date(record["rows"], root))
        print(*(["out of date, or not known to be up to date:", *lines] if lines else []), sep="\n")
    return int(failed)


def measure(row, root, data, record):
    """Run a row, print how it compares, and store it with `record`. False if it differs."""
    if reason := missing(row, data):
        print(f"skipped  {row['id']}: {reason}", flush=True)
        return True
    began, now = time.perf_counter(), code(root)
    try:
        found, files, output = run(row, root, data)
    except Failed as error:
        print(f"failed   {row['id']}: {error}", flush=True)
        return False
    lines, same = compare(row, found)
    print(*lines, f"         {time.perf_counter() - began:.0f} s", sep="\n", flush=True)
    if record:
        print(output, flush=True)
        row |= {"ours": found, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
        row["code"] = " ".join(f"{path}:{now[path]}" for path in files)
    return same or record


if __name__ == "__main__":
    if sys.argv[1:2] == ["--trace"]:
        trace(*sys.argv[2:])
    else:
        raise SystemExit(main())
