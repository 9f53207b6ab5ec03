"""Runs all fault tests, about an hour on two cores. `make soak` calls it.

    python tests/reliability/run.py [--short] [--only kill disk]

The half hour of soak.py passes beside the others. The counts of a whole run are written into
docs/reliability.md, between two marks; exit code 1 if anything was lost, or did not end.
"""

import datetime
import json
import os
import platform
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
import numpy as np

HERE = Path(__file__).parent
PAGE = common.ROOT / "docs" / "reliability.md"
MARKS = "<!-- counts: begin -->", "<!-- counts: end -->"
SCRIPTS = (
    *("kill", "disk", "interrupts", "replaced", "downloads"),
    *("flips", "forged", "fuzz", "foreign", "same_bytes", "threads", "soak"),
)
APART = "soak"


def run(name, options):
    """A script's last line, parsed; None if it did not come so far."""
    path = HERE / f"{name}.py"
    if not path.exists():
        return None
    line = [sys.executable, "-u", path, *(["--short"] if options.short else [])]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    last = ""
    for text in process.stdout:
        if not text.startswith("{"):
            print(f"{name:>10} | {text}", end="", flush=True)
        last = text
    process.wait()
    try:
        return json.loads(last)
    except ValueError:
        print(f"{name:>10} | ended with code {process.returncode} and without counts", flush=True)
        return None


SUBJECTS = {  # of a row, where it is not what stands before a colon
    "interrupts": lambda what: f"{what.split()[0]}, at one moment or another",
    "replaced": lambda what: f"data replaced, {what.rsplit(', ', 1)[1]}",
}


def in_short(name, rows):
    """The rows of a script, those of one subject ("npz: a bomb", "npz: a header") as one.

    What could not be seen for want of a checksum stays a row of its own.
    """
    of = SUBJECTS.get(name, lambda what: what.split(":")[0])
    sums = {}
    for what, tried, lost in rows:
        subject = what if "unseen" in what else of(what)
        row = sums.setdefault(subject, [0, 0])
        row[0] += tried
        row[1] += lost
    return [(what, *row) for what, row in sums.items()]


def processor():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} cores"


def page(results, seconds):
    """The counts as Markdown."""
    lines = [
        f"`make soak`, on {datetime.date.today():%d %B %Y}: {seconds / 60:.0f} minutes on "
        f"{processor()}; Python {platform.python_version()}, NumPy {np.__version__}, "
        f"{platform.system()}; seed 0. Each script is in `tests/reliability/`.",
        "",
        "| script | what was tried | times | lost |",
        "|---|---|---:|---:|",
    ]
    for name, result in results.items():
        lines += [
            f"| `{name}.py` | {what} | {tried:,} | {lost:,} |"
            for what, tried, lost in in_short(name, result["rows"])
        ]
    notes = [f"* `{name}.py`: {note}" for name, r in results.items() for note in r.get("notes", ())]
    return "\n".join([*lines, "", *notes])


def main():
    options = common.options(
        __doc__, ("--only", {"nargs": "+", "choices": SCRIPTS, "default": SCRIPTS})
    )
    start = time.perf_counter()
    with ThreadPoolExecutor() as beside:
        names = [name for name in SCRIPTS if name in options.only]
        apart = beside.submit(run, APART, options) if APART in names else None
        results = {name: run(name, options) for name in names if name != APART}
        if apart:
            results[APART] = apart.result()
    missing = [n for n, r in results.items() if r is None and (HERE / f"{n}.py").exists()]
    results = {name: result for name, result in results.items() if result}
    if not options.short and not missing and len(options.only) == len(SCRIPTS):
        before, rest = PAGE.read_text().split(MARKS[0])
        _, after = rest.split(MARKS[1])
        counts = page(results, time.perf_counter() - start)
        PAGE.write_text(f"{before}{MARKS[0]}\n\n{counts}\n\n{MARKS[1]}{after}")
    tried = sum(row[1] for r in results.values() for row in r["rows"])
    lost = sum(row[2] for r in results.values() for row in r["rows"])
    print(f"{tried:,} tried, {lost:,} lost" + (f"; no counts of {missing}" if missing else ""))
    return int(bool(lost or missing))


if __name__ == "__main__":
    sys.exit(main())
