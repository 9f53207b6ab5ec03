"""Progress of a run on the terminal: a bar, one line per epoch, one hint if it slows down."""

import os
import sys
from math import isnan
from typing import Any

from ..data.rows import RowFormat
from ..errors import GREEN, say, tinted, warn

WINDOW = 0.5  # seconds of training, at least, for one measurement of the speed
PATIENCE = 5.0  # seconds in a row below half of the best speed, after which training counts as slow


def speed(n: int, seconds: float, rows: RowFormat) -> str:
    """The speed of n images, or rows of a table, in this many seconds, as text."""
    return f"{n / max(seconds, 1e-9):.0f} {'images' if rows.image_shape else 'rows'}/s"


def so_far(means: Any, history: list[dict[str, float]], speed: str) -> str:
    """The text for a partial epoch: means of rec, kl, loss; active units of the last epoch."""
    rec, kl, loss = means
    text = f"epoch {len(history) + 1}  loss {loss:.1f}  rec {rec:.1f}  kl {kl:.1f}"
    if history and not isnan(active := history[-1]["active_units"]):
        text += f"  active {active:.0f}"
    return f"{text}  {speed}"


def of_epoch(record: dict[str, float], epochs: int, speed: str, best: bool) -> str:
    """The line of a whole epoch: its losses; the lowest test loss so far is green."""
    text = f"epoch {record['epoch']:3.0f}/{epochs}  train {record['train_loss']:8.2f}"
    if not isnan(record["test_loss"]):
        test = f"test {record['test_loss']:8.2f}"
        text += f"  {tinted(test, GREEN) if best else test}  active {record['active_units']:3.0f}"
    text += f"  rec {record['rec']:8.2f}  kl {record['kl']:6.2f}"
    return f"{text}  {record['seconds']:6.1f} s  {speed}"


class Pace:
    """Whether training has become slow: below half of its best speed for PATIENCE seconds in a row.

    Speed is measured over windows of at least WINDOW seconds. The longest slow window in a row does
    not count, so that a single pause, such as a laptop's sleep, is not taken for a slow machine.
    """

    def __init__(self) -> None:
        self._best = 0.0  # rows per second
        self._slow: list[float] = []  # seconds of the slow windows in a row
        self._rows, self._seconds = 0, 0.0  # of the window so far
        self._last = 0, 0.0

    def start(self, rows: int, now: float) -> None:
        """Training starts, or continues after a pause, with this many rows of the epoch done.

        now, in seconds, is from any clock that keeps running until the next start.
        """
        self._last = rows, now

    def is_slow(self, rows: int, now: float) -> bool:
        """Whether training is slow, with this many rows of the epoch done."""
        self._rows += rows - self._last[0]
        self._seconds += now - self._last[1]
        self._last = rows, now
        if self._seconds < WINDOW:
            return False
        speed = self._rows / self._seconds
        self._best = max(self._best, speed)
        self._slow = [*self._slow, self._seconds] if speed < self._best / 2 else []
        self._rows, self._seconds = 0, 0.0
        return bool(self._slow) and sum(self._slow) - max(self._slow) >= PATIENCE


def hint() -> str:
    """What to do about other programs that slow training down."""
    text = "training runs at less than half its best speed, perhaps because other programs use "
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        return f"{text}the cores: it speeds up when they end"
    return (
        f"{text}the cores, and BLAS threads wait for each other: avoid that with "
        "--threads 1, or OPENBLAS_NUM_THREADS=1 in the environment"
    )


class Progress:
    """If verbose: a progress bar on stderr, if that is a terminal; one line per epoch on stdout.

    Also if verbose: one `hint` on stderr when training on the CPU has become slow.
    """

    def __init__(self, total: int, done: int, verbose: bool) -> None:
        self.verbose = verbose
        self.pace = Pace()
        self._hinted = False
        self.bar: Any = None
        if verbose and sys.stderr.isatty():
            from tqdm import tqdm  # lazily: importing scratchvae stays cheap

            self.bar = tqdm(
                total=total, initial=done, miniters=1, leave=False, dynamic_ncols=True,
                desc="starting", bar_format="{desc}  {remaining} left  {percentage:3.0f}% |{bar}|",
            )  # fmt: skip

    def show(self, step: int, text: str) -> None:
        """Move the bar to this step, and show the text beside it."""
        if self.bar is not None:
            self.bar.set_description_str(text, refresh=False)
            self.bar.update(step - self.bar.n)

    def watch(self, rows: int, now: float, resumed: float) -> None:
        """Tell the pace that this many rows of the epoch are done; it continues after a pause."""
        slow = self.pace.is_slow(rows, now)
        self.pace.start(rows, resumed)
        if slow and self.verbose and not self._hinted:
            self._hinted = True
            if self.bar is not None:
                self.bar.clear()  # the next `show` draws it again, below
            warn(hint())

    def line(self, text: str) -> None:
        """Print a permanent line, above the bar."""
        if self.bar is not None:
            self.bar.write(text)
        elif self.verbose:
            say(text)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
