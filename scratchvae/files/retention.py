"""Retention of checkpoints: the newest, a limited number of earlier ones, and the best."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import run_folder
from .atomic import link_or_copy, move
from .run_folder import BEST, INCOMING, NEWEST, earlier_checkpoints


class Retention:
    """The checkpoints of one run.

    limit   the number of checkpoints to keep, without the best
    step    the step of the newest; None if unknown, or if there is no checkpoint
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.step: int | None = None

    def resume(self, source: Path, step: int, best: bool) -> None:
        """Make `source`, of this step, the newest checkpoint, and remove those of later steps."""
        if source.name != NEWEST:
            link_or_copy(source, self.folder / NEWEST)
        self.step = step
        for later, path in earlier_checkpoints(self.folder).items():
            if later > step:
                path.unlink(missing_ok=True)
        if best:
            self.mark_best()

    def replace(self, step: int, write: Callable[[Path], Any]) -> None:
        """Write the first checkpoint of a run that replaces another; remove its newest one last."""
        write(self.folder / INCOMING)
        run_folder.clear(self.folder)
        move(self.folder / INCOMING, self.folder / NEWEST)
        self.step = step

    def save(self, step: int, write: Callable[[Path], Any]) -> None:
        """Write the checkpoint after `step` steps; an intact one exists at every moment."""
        newest = self.folder / NEWEST
        before, self.step = self.step, None
        if before not in (None, step) and self.limit > 1:
            with suppress(OSError):  # failing to keep the old one must not prevent the new one
                link_or_copy(newest, self.folder / f"checkpoint-{before:08}.npz")
        inode = _inode(newest)
        try:
            write(newest)
        finally:
            if _inode(newest) == inode:  # not replaced
                self.step = before
        self.step = step

    def prune(self) -> None:
        """Remove the oldest checkpoints beyond the limit."""
        for path in [*earlier_checkpoints(self.folder).values()][self.limit - 1 :]:
            path.unlink(missing_ok=True)

    def mark_best(self) -> None:
        """Link the newest checkpoint as the best."""
        link_or_copy(self.folder / NEWEST, self.folder / BEST)


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None
