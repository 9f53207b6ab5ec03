"""Which checkpoints lie in a run's folder: the newest, some of those before it, and the best."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .atomic import keep_as, move

NEWEST, BEST = "checkpoint.npz", "best.npz"
INCOMING = "incoming.npz"  # the first of a run that replaces another, until the other is gone
NAMES = (NEWEST, BEST, INCOMING)


def steps_of_earlier(folder: Path) -> dict[int, Path]:
    """Those before the newest by their steps, the last first."""
    found = {}
    for path in folder.glob("checkpoint-*.npz"):
        if step := re.fullmatch(r"checkpoint-(\d{8,19})\.npz", path.name):
            found[int(step[1])] = path
    return dict(sorted(found.items(), reverse=True))


def candidates(folder: Path) -> list[Path]:
    """From which the run may go on: the newest first."""
    earlier = steps_of_earlier(folder).values()
    paths = [folder / NEWEST, *earlier, folder / BEST]
    there = [path for path in paths if path.is_file()]
    return there or [path for path in [folder / INCOMING] if path.is_file()]


class Kept:
    """The checkpoints of one run.

    most    how many are kept, the best not counted
    step    of the newest; None where there is none, or none is known
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self.step: int | None = None

    def go_on(self, source: Path, step: int, best: bool) -> None:
        """That checkpoint, of this step, becomes the newest; what claims to be later goes."""
        if source.name != NEWEST:
            keep_as(source, self.folder / NEWEST)
        self.step = step
        for later, path in steps_of_earlier(self.folder).items():
            if later > step:
                path.unlink(missing_ok=True)
        if best:
            self.keep_best()

    def replace(self, step: int, write: Callable[[Path], Any], clear: Callable[[], None]) -> None:
        """The first of a run in the place of another, which `clear` removes, but for the newest."""
        write(self.folder / INCOMING)
        clear()
        move(self.folder / INCOMING, self.folder / NEWEST)
        self.step = step

    def save(self, step: int, write: Callable[[Path], Any]) -> None:
        """Let `write` write the newest, after so many steps; at no moment is there none."""
        newest = self.folder / NEWEST
        before, self.step = self.step, None
        if before not in (None, step) and self.most > 1:
            with suppress(OSError):  # the newest matters more than the one before it
                keep_as(newest, self.folder / f"checkpoint-{before:08}.npz")
        file = _file(newest)
        try:
            write(newest)
        finally:
            if _file(newest) == file:  # nothing came of it
                self.step = before
        self.step = step

    def prune(self) -> None:
        """Remove those that are more than should be kept."""
        for path in [*steps_of_earlier(self.folder).values()][self.most - 1 :]:
            path.unlink(missing_ok=True)

    def keep_best(self) -> None:
        """The newest is the best so far."""
        keep_as(self.folder / NEWEST, self.folder / BEST)


def _file(path: Path) -> int | None:
    """Which file has this name."""
    return path.stat().st_ino if path.exists() else None
