"""Which checkpoints of a run stay in its folder: the newest, some before it, and the best."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .atomic import link_or_copy, move
from .run_folder import BEST, INCOMING, NEWEST, earlier_checkpoints


class Retention:
    """The checkpoints of one run.

    limit   how many stay, the best not counted
    step    of the newest; None where there is none, or none is known
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.step: int | None = None

    def resume(self, source: Path, step: int, best: bool) -> None:
        """Make that checkpoint, of this step, the newest, and remove those of later steps."""
        if source.name != NEWEST:
            link_or_copy(source, self.folder / NEWEST)
        self.step = step
        for later, path in earlier_checkpoints(self.folder).items():
            if later > step:
                path.unlink(missing_ok=True)
        if best:
            self.mark_best()

    def replace(self, step: int, write: Callable[[Path], Any], clear: Callable[[], None]) -> None:
        """Write the first checkpoint of a run that replaces another.

        `clear` removes the files of the other run, but for its newest checkpoint, which goes last.
        """
        write(self.folder / INCOMING)
        clear()
        move(self.folder / INCOMING, self.folder / NEWEST)
        self.step = step

    def save(self, step: int, write: Callable[[Path], Any]) -> None:
        """Let `write` write the newest, after so many steps; at no moment is there none."""
        newest = self.folder / NEWEST
        before, self.step = self.step, None
        if before not in (None, step) and self.limit > 1:
            with suppress(OSError):  # the newest matters more than the one before it
                link_or_copy(newest, self.folder / f"checkpoint-{before:08}.npz")
        inode = _inode(newest)
        try:
            write(newest)
        finally:
            if _inode(newest) == inode:  # it was not replaced
                self.step = before
        self.step = step

    def prune(self) -> None:
        """Remove the oldest beyond the limit."""
        for path in [*earlier_checkpoints(self.folder).values()][self.limit - 1 :]:
            path.unlink(missing_ok=True)

    def mark_best(self) -> None:
        """The newest is the best so far."""
        link_or_copy(self.folder / NEWEST, self.folder / BEST)


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None
