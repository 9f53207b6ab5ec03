"""Checks every Python file in a folder: what `scratchvae verify FOLDER` does.

Each file is checked in a process of its own, so one that does not run, never ends or ends its
process does not stop the others. This guards against accidents only: the code of every file is
executed with the rights of the user.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ...errors import InputError, printable
from ..pair import NOT_WRITTEN
from ..report import FAIL, GOOD, PASS
from .files import NothingToCheck, Refused, check_file

NOTHING = "nothing to check"
TIME_LIMIT = 60  # seconds for a file
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
CHECK = "import sys; sys.path[:] = {}; from {} import check_to; check_to(*sys.argv[1:])"


@dataclass(frozen=True)
class Grade:
    """The result of one file.

    file      its path within the folder; "./" leads where a spreadsheet would see a formula
    verdict   PASS, FAIL, "not written yet" (every pair that fails is unfinished) or NOTHING
    pairs     how many there are; 0 if the file has none or could not be checked
    passed    how many of them passed
    finding   what is wrong; the names of the pairs if nothing is

    file and finding have no control characters.
    """

    file: str
    verdict: str
    pairs: int
    passed: int
    finding: str


def check_folder(folder: Path, *, seed: int = 0, processes: int = 1) -> Iterator[Grade]:
    """A grade for each Python file in the folder and below, in the order of their paths.

    Names that begin with "." or "_" and virtual environments are left out. processes: how many
    files are checked at a time. Raises InputError if there is no file.
    """
    files = list(_files(folder))
    if not files:
        raise InputError(f"{folder} holds no Python file: check the path")
    running: set[subprocess.Popen] = set()
    with TemporaryDirectory() as results:
        grade = partial(_grade, folder, Path(results), seed, running)
        pool = ThreadPoolExecutor(processes)
        try:
            yield from pool.map(grade, range(len(files)), files)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in tuple(running):
                _kill(process)
            pool.shutdown()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name[0] in "._":
            continue
        if path.is_dir():
            if not path.is_symlink() and not (path / "pyvenv.cfg").exists():
                yield from _files(path)
        elif path.suffix == ".py":
            yield path


def _kill(process: subprocess.Popen) -> None:
    """End the process, with those that it has started where the system has process groups."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _grade(
    folder: Path, results: Path, seed: int, running: set[subprocess.Popen], number: int, file: Path
) -> Grade:
    """Check one file in a process of its own, which is in `running` meanwhile."""
    result = results / f"{number}.json"
    name = printable(file.relative_to(folder).as_posix())
    name = f"./{name}" if name[0] in "=+-@" else name
    code = CHECK.format(sys.path, __name__)
    process = subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code, str(file), str(result), str(seed)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env=ONE_THREAD | os.environ,
    )  # fmt: skip
    running.add(process)
    try:
        process.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return Grade(
            name, FAIL, 0, 0, f"ran for more than {TIME_LIMIT} s: look for an endless loop"
        )
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()
        running.discard(process)
    if not result.exists():
        text = f"ended its process (exit code {process.returncode}) before its pairs were checked"
        return Grade(name, FAIL, 0, 0, text)
    found = json.loads(result.read_text("utf-8"))
    pairs = found["pairs"]
    if found["problem"]:
        verdict = NOTHING if found["nothing"] else FAIL
        return Grade(name, verdict, 0, 0, printable(found["problem"]))
    bad = [pair for pair in pairs if not pair[1]]
    if not bad:
        return Grade(name, PASS, len(pairs), len(pairs), ", ".join(pair[0] for pair in pairs))
    wrong = [pair for pair in bad if not pair[2]]
    verdict = FAIL if wrong else NOT_WRITTEN.removeprefix("is ")
    *_, finding = (wrong or bad)[0]
    if unchecked := sum(not pair[3] for pair in pairs):
        finding += f" ({unchecked} of {len(pairs)} pairs could not be checked)"
    return Grade(name, verdict, len(pairs), len(pairs) - len(bad), printable(finding))


def check_to(file: str, result: str, seed: str) -> None:
    """Check a file; write what `_grade` reads of each pair, or a problem."""
    del sys.argv[1:]  # they are not for the file
    found: list[tuple[str, bool, bool, bool, str]] = []
    problem, nothing = "", False
    try:
        for report in check_file(file, seed=int(seed)):
            finding = report.headline.replace(f": {report.verdict}", "", 1)
            unwritten = NOT_WRITTEN in report.raised
            found.append((report.name, report.verdict in GOOD, unwritten, True, finding))
    except Refused as error:
        reasons = error.reasons.items()
        found += [(name, False, False, False, _without(file, text)) for name, text in reasons]
    except InputError as error:
        problem, nothing = _without(file, str(error)), isinstance(error, NothingToCheck)
    said = {"pairs": found, "problem": problem, "nothing": nothing}
    Path(result).write_text(json.dumps(said), "utf-8")


def _without(file: str, text: str) -> str:
    """A message without the path at its beginning, which the grade has already."""
    return text.removeprefix(file).lstrip(": ")
