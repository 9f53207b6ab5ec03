"""How far a run has come: a bar on a terminal, and a line an epoch wherever the output goes."""

import os
import sys
from typing import Any, Self


def say(text: str) -> None:
    """Print a line; a reader that has gone away (`| head`) must not end hours of training."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress:
    """If verbose: a bar over all steps, on stderr where that is a terminal; lines on stdout."""

    def __init__(self, total: int, done: int, verbose: bool) -> None:
        self.verbose = verbose
        self.bar: Any = None
        if verbose and sys.stderr.isatty():
            from tqdm import tqdm  # on use: importing scratchvae stays cheap

            self.bar = tqdm(total=total, initial=done, unit="step", leave=False, dynamic_ncols=True)

    def show(self, step: int, loss: float) -> None:
        """The run is at this step; loss is the mean of the epoch so far."""
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
            self.bar.update(step - self.bar.n)

    def line(self, text: str) -> None:
        """A line that stays, above the bar."""
        if self.bar is not None:
            self.bar.write(text)
        elif self.verbose:
            say(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()
