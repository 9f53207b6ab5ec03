"""The command `verify`: check the gradients of this package, of a user's file, or of a folder."""

import argparse
import json
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from ..errors import InputError, check_seed
from ..files.atomic import write_atomically, write_csv
from ..gradcheck import Report, check_file
from ..gradcheck.report import GOOD, PASS, coloured, folded
from ..gradcheck.suites.files import Refused
from ..startup import usable_cores
from .shared import check_picture, save_picture

OF_A_FILE = {"only": "-k", "json": "--json", "junit": "--junit"}  # options


def verify(a: argparse.Namespace) -> int:
    check_seed(a.seed)
    if a.file is not None and a.teeth:
        raise InputError("--teeth applies to the checks of this package: leave the file out")
    if a.file is None and (given := [OF_A_FILE[name] for name in OF_A_FILE if getattr(a, name)]):
        raise InputError(f"{given[0]} applies to a file of pairs: name one, as in verify FILE.py")
    if a.file is not None and a.file.is_dir():
        return _verify_folder(a)
    if a.csv is not None:
        raise InputError("--csv applies to a folder of files: name one, as in verify FOLDER")
    if a.output is not None:
        if a.teeth:
            raise InputError("--teeth draws nothing: leave --output out")
        check_picture(a.output)
    seen: list[tuple[str, Report]] = []
    if a.file is not None:
        code = _verify_file(a, seen)
    else:
        from ..verify import table  # lazily: FILE.py needs the checker only

        code = table.show_teeth(a.seed) if a.teeth else table.show(a.seed, seen, a.verbose)
    if a.output is not None:
        from ..verify.chart import gradient_errors  # lazily: matplotlib is slow to import

        save_picture(gradient_errors(seen), a.output)
    return code


def _verify_file(a: argparse.Namespace, seen: list[tuple[str, Report]]) -> int:
    """Print the reports: 0 if all are good, 1 if some are not. Raises Refused for the others."""
    refused: Refused | None = None
    try:
        for report in check_file(a.file, seed=a.seed, only=a.only):
            seen.append((report.name, report))
            if not a.json:
                for line in str(report).split("\n"):
                    print(folded(line, 29))
                print(flush=True)
    except Refused as error:
        refused = error
    reasons = {} if refused is None else refused.reasons
    good = sum(report.verdict in GOOD for _, report in seen)
    if a.json:
        print(json.dumps(_as_json(a.file, seen, reasons), indent=1))
    else:
        unchecked = f", {len(reasons)} could not be checked" if reasons else ""
        print(f"{good} of {len(seen) + len(reasons)} pairs passed{unchecked}", flush=True)
    if a.junit is not None:
        _write_junit(a.junit, a.file, seen, reasons)
    if refused is not None:
        raise refused
    return 0 if good == len(seen) else 1


def _verify_folder(a: argparse.Namespace) -> int:
    """Print one line for each file: 0 if all with something to check pass, else 1."""
    given = [flag for name, flag in (OF_A_FILE | {"output": "-o"}).items() if getattr(a, name)]
    if given:
        raise InputError(f"{given[0]} applies to one file, not to a folder: leave it out")
    if a.csv is not None and (a.csv.suffix.lower() != ".csv" or not a.csv.parent.is_dir()):
        raise InputError(f"{a.csv} must end in .csv, and lie in a folder that exists")
    from ..gradcheck.suites.folders import NOTHING, Grade, check_folder  # lazily: for a folder only

    grades = []
    for grade in check_folder(a.file, seed=a.seed, processes=usable_cores()):
        grades.append(grade)
        count = f"{grade.passed} of {grade.pairs} pairs; " if 1 < grade.pairs > grade.passed else ""
        line = f"{grade.file:30}  {grade.verdict:16}  {count}{grade.finding}"
        print(coloured(line), flush=True)
    passed = sum(grade.verdict == PASS for grade in grades)
    checked = sum(grade.verdict != NOTHING for grade in grades)
    others = f"; {NOTHING} in {len(grades) - checked}" if checked < len(grades) else ""
    print(f"\n{passed} of {checked} files passed{others}", flush=True)
    if a.csv is not None:
        columns = [field.name for field in fields(Grade)]
        write_csv(a.csv, columns, map(astuple, grades))
    if not checked:
        raise InputError(f"{a.file} contains nothing to check: no file has a pair f, f_backward")
    return 0 if passed == checked else 1


def _as_json(file: Path, seen: list[tuple[str, Report]], reasons: Any) -> dict[str, Any]:
    pairs = [
        {
            "name": name,
            "verdict": report.verdict,
            "gradients": [
                {
                    "name": leaf.name,
                    "verdict": leaf.verdict,
                    "error": _finite(leaf.error),
                    "resolution": _finite(leaf.resolution),
                    "message": leaf.message,
                }
                for leaf in report.leaves
            ],
            "violations": list(report.violations),
            "raised": report.raised or report.random,
            "notes": list(report.notes),
        }
        for name, report in seen
    ]
    return {"file": str(file), "pairs": pairs, "could_not_be_checked": dict(reasons)}


def _finite(number: float) -> float | None:
    """The number, or None where JSON has none."""
    return number if abs(number) < float("inf") else None


def _write_junit(path: Path, file: Path, seen: list[tuple[str, Report]], reasons: Any) -> None:
    """A JUnit file, as CI servers read it: a test case for each pair."""
    from xml.etree import ElementTree as xml  # lazily: few ask for it

    failed = [report for _, report in seen if report.verdict not in GOOD]
    counts = {"tests": len(seen) + len(reasons), "failures": len(failed), "errors": len(reasons)}
    suite = xml.Element("testsuite", {"name": str(file)} | {n: str(k) for n, k in counts.items()})
    for name, report in seen:
        case = xml.SubElement(suite, "testcase", classname=file.stem, name=name)
        if report.verdict not in GOOD:
            xml.SubElement(case, "failure", message=report.headline).text = str(report)
        else:
            xml.SubElement(case, "system-out").text = str(report)
    for name, reason in reasons.items():
        case = xml.SubElement(suite, "testcase", classname=file.stem, name=name)
        xml.SubElement(case, "error", message=reason)
    write_atomically(path, lambda f: xml.ElementTree(suite).write(f, "utf-8", True))
