"""The command that checks gradients: those of this package, or of a user's own file."""

import argparse
from pathlib import Path

from ..errors import InputError
from ..noise import check_seed


def verify(a: argparse.Namespace) -> int:
    check_seed(a.seed)
    if a.file is not None and a.teeth:
        raise InputError("--teeth is about the checks of this package: leave the file out")
    if a.file is not None:
        return _verify_file(a.file, a.seed)
    from .. import teeth, verify  # on use: they stand above the checker and every model

    return (teeth if a.teeth else verify).show(a.seed)


def _verify_file(path: Path, seed: int) -> int:
    from ..gradcheck import check_file
    from ..gradcheck.report import GOOD, folded

    reports = []
    for report in check_file(path, seed=seed):
        for line in str(report).split("\n"):
            print(folded(line, 29))
        print(flush=True)
        reports.append(report)
    good = sum(report.verdict in GOOD for report in reports)
    print(f"{good} of {len(reports)} pairs passed")
    return 0 if good == len(reports) else 1
