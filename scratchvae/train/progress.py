"""Progress of a run on the terminal: a progress bar, and one line per epoch."""

import sys
from math import isnan
from typing import Any

from ..errors import GREEN, say, tinted


def so_far(means: Any, history: list[dict[str, float]], speed: str) -> str:
    """The text for a partial epoch: means of rec, kl, loss; active units of the epoch before."""
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


class Progress:
    """If verbose: a progress bar on stderr, if that is a terminal; one line per epoch on stdout."""

    def __init__(self, total: int, done: int, verbose: bool) -> None:
        self.verbose = verbose
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

    def line(self, text: str) -> None:
        """Print a permanent line, above the bar."""
        if self.bar is not None:
            self.bar.write(text)
        elif self.verbose:
            say(text)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
