"""Which checkpoints lie in a run's folder: the newest, some of those before it, and the best."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import keep_as

NEWEST, BEST = "checkpoint.npz", "best.npz"


def earlier(folder: Path) -> list[Path]:
    """Those before the newest, by their steps, the last first."""
    found = []
    for path in folder.glob("checkpoint-*.npz"):
        if step := re.fullmatch(r"checkpoint-(\d{8,19})\.npz", path.name):
            found.append((int(step[1]), path))
    return [path for _, path in sorted(found, reverse=True)]


def candidates(folder: Path) -> list[Path]:
    """From which the run may go on, in the order to try them."""
    paths = [folder / NEWEST, *earlier(folder), folder / BEST]
    return [path for path in paths if path.is_file()]


class Kept:
    """The checkpoints of one run.

    most    how many are kept, the best not counted
    step    of the newest, if there is a sound one
    """

    def __init__(self, folder: Path, most: int, step: int | None = None) -> None:
        self.folder, self.most, self.step = folder, most, step

    def save(self, step: int, write: Callable[[Path], Any], best: bool) -> None:
        """Let `write` write the newest, after so many steps; at no moment is there none."""
        newest = self.folder / NEWEST
        if self.step not in (None, step) and self.most > 1:
            keep_as(newest, self.folder / f"checkpoint-{self.step:08}.npz")
        write(newest)
        self.step = step
        for path in earlier(self.folder)[self.most - 1 :]:
            path.unlink(missing_ok=True)
        if best:
            self.keep_best()

    def keep_best(self) -> None:
        """The newest is the best so far."""
        keep_as(self.folder / NEWEST, self.folder / BEST)
