"""The main table of docs/results.md, and whether its numbers still come out: `make results`.

    python tests/benchmarks/results.py [--data-dir DIR]      run the short rows, and compare
    python tests/benchmarks/results.py --list                list the rows that are out of date
    python tests/benchmarks/results.py --record ID ...       run these rows, and store the numbers
    python tests/benchmarks/results.py --table               write the table from the record

docs/results.json is the record; the table is written from it, and a test holds the two equal. To
add a row, add an object to its "rows":

id         one word
target     what is aimed at; goal, the same for the program: {name of a number: [least, most]}
command    of a recipe, with DIR for the folder of MNIST
published  the number and, in brackets, its source; or ""
digits     of the numbers that are shown, in the words `shown`, such as "{accuracy} %"
ours       {name: [value, standard error or null]}; omit it, and run the row with --record
tolerance  how far a value may be from the recorded one, if its standard error is larger or absent
short      whether `make results` runs it: under ten minutes on two cores
needs      packages that it imports besides NumPy
seed       as in the table

A recipe prints its numbers as one last line, `result {"name": [value, standard error], ...}`.

Two runs of a row have the same seed and the same test images, so they differ only by what a machine
rounds, which training magnifies: the values agree if they differ by no more than the larger of
their standard errors, nor than the tolerance. --record stores a digest of the code of each
module of the package that the command loaded (see row_code.py); rows without one were measured
before the record was kept. It also prints the command's output, which has the tables of the page.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from math import isfinite, nan
from pathlib import Path
from string import Formatter

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import row_code
from benchmarks.row_code import code, out_of_date

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- make results writes from here -->", "<!-- to here -->"
HEAD = ("row", "target", "command", "published", "ours", "met", "seed", "measured on")
RESULT = "result "


class Failed(Exception):
    """Why a row gave no numbers."""


# --------------------------------------------------------------------------------- running a row


def missing(row, data):
    """Why the row cannot be run here, or None."""
    if "DIR" in row["command"].split() and data is None:
        return "needs the files of MNIST: --data-dir DIR, or make results DATA=DIR"
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
            [sys.executable, row_code.__file__, str(loaded), *words],
            cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise Failed(f"exit code {done.returncode}: {' '.join(last)}")
        lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT)]
        if not lines:
            raise Failed("its output has no line that begins with 'result'")
        return parsed(lines[-1]), loaded.read_text().split(), done.stdout


def parsed(line):
    """The numbers in a line of results: {name: [value, standard error or None]}."""
    try:
        found = json.loads(line.removeprefix(RESULT))
        ok = all(
            isinstance(value, float | int) and isinstance(error, float | int | None)
            for value, error in found.values()
        )
    except (ValueError, TypeError, AttributeError):
        ok = False
    if not ok:
        raise Failed(f"its last line of results is not {{name: [value, error or null]}}: {line}")
    return found


def without(row, found):
    """The numbers that the row's goal and words need, and that are missing or not finite."""
    needed = {name for _, name, _, _ in Formatter().parse(row["shown"]) if name}
    needed |= set(row["goal"])
    return sorted(name for name in needed if not isfinite(found.get(name, [nan])[0]))


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
        bounds = [max(errors)] if errors else []
        allowed = min([*bounds, row["tolerance"]] if "tolerance" in row else bounds, default=0.0)
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
    return all(
        (least is None or value >= least) and (most is None or value <= most)
        for name, (least, most) in row["goal"].items()
        for value in [row["ours"][name][0]]
    )


def pending(row):
    """Whether the row's command has never been run."""
    return "ours" not in row


def shown(row):
    """Our numbers, in the words of the row."""
    if pending(row):
        return "not measured"
    words = {}
    for name, (value, error) in row["ours"].items():
        words[name] = f"{value:.{row['digits']}f}"
        if error is not None:
            words[name] += f" +- {error:.{row['digits']}f}"
    return row["shown"].format(**words)


def table(record):
    """The main table, and under it the machines, which are numbered."""
    machines = list(dict.fromkeys(row["machine"] for row in record["rows"] if not pending(row)))
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in record["rows"]:
        met = measured = ""
        if not pending(row):
            day = time.strftime("%d %B %Y", time.strptime(row["date"], "%Y-%m-%d")).lstrip("0")
            measured = f"{day}, machine {machines.index(row['machine']) + 1}"
            met = "yes" if is_met(row) else "no"
        command = f"`{row['command']}`"
        cells = row["id"], row["target"], command, row["published"], shown(row), met, row["seed"]
        cells += (measured,)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    named = (f"Machine {i}: {name}." for i, name in enumerate(machines, 1))
    short = ", ".join(f"`{row['id']}`" for row in record["rows"] if row["short"])
    unmet = [f"`{row['id']}`" for row in record["rows"] if not pending(row) and not is_met(row)]
    met = f"Not met: {', '.join(unmet) or 'none'}."
    return "\n".join([met, "", *lines, "", *named, "", f"Under ten minutes each: {short}."])


# ------------------------------------------------------------------------------------ the command


def main(argv=None, root=ROOT):
    """Run, compare, record; the exit code: 1 if a number differs, or a named row gave none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ids", nargs="*", help="rows to run, long ones too; by default the short")
    parser.add_argument("--data-dir", type=Path, help="of MNIST's IDX files")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--list", action="store_true", help="list the rows that are out of date")
    one.add_argument("--record", action="store_true", help="store what is measured")
    one.add_argument("--table", action="store_true", help="write the table from the record")
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
            if reason := missing(row, data):
                print(f"skipped  {row['id']}: {reason}", flush=True)
                failed = failed or bool(a.ids)
                continue
            failed = not measure(row, root, data, a.record) or failed
            if a.record:
                save(root, record)
    if not a.table:
        lines = list(out_of_date(record["rows"], root))
        head = "out of date, or not known to be up to date:" if lines else "every row is up to date"
        print(head, *lines, sep="\n")
    return int(failed)


def measure(row, root, data, record):
    """Run a row, print how it compares, and store it with `record`. False if it differs."""
    print(f"running  {row['id']}: {row['command']}", flush=True)
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
        if bad := without(row, found):
            print(f"failed   {row['id']}: not stored, without a finite {', '.join(bad)}")
            return False
        row |= {"ours": found, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
        row["code"] = " ".join(f"{path}:{now[path]}" for path in files)
    return same or record


if __name__ == "__main__":
    raise SystemExit(main())
