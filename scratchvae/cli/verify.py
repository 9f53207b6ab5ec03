"""The command `verify`: check the gradients of this package, or of a user's file."""

import argparse
from pathlib import Path

from ..errors import InputError, check_seed
from ..gradcheck import Report, check_file
from ..gradcheck.report import GOOD, folded
from .shared import check_picture, save_picture


def verify(a: argparse.Namespace) -> int:
    check_seed(a.seed)
    if a.file is not None and a.teeth:
        raise InputError("--teeth applies to the checks of this package: leave the file out")
    if a.output is not None:
        if a.teeth:
            raise InputError("--teeth draws nothing: leave --output out")
        check_picture(a.output)
    seen: list[tuple[str, Report]] = []
    if a.file is not None:
        code = _verify_file(a.file, a.seed, seen)
    else:
        from ..verify import table  # lazily: FILE.py needs the checker only

        code = table.show_teeth(a.seed) if a.teeth else table.show(a.seed, seen)
    if a.output is not None:
        from ..verify.chart import gradient_errors  # lazily: matplotlib is slow to import

        save_picture(gradient_errors(seen), a.output)
    return code


def _verify_file(path: Path, seed: int, seen: list[tuple[str, Report]]) -> int:
    good = 0
    try:
        for report in check_file(path, seed=seed):
            for line in str(report).split("\n"):
                print(folded(line, 29))
            print(flush=True)
            seen.append((report.name, report))
            good += report.verdict in GOOD
    finally:  # print the count before the error of a pair that cannot be checked
        if seen:
            print(f"{good} of {len(seen)} pairs passed", flush=True)
    return 0 if good == len(seen) else 1
