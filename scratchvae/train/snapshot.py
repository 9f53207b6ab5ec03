"""How far a run has come: what a checkpoint keeps of it, and the way back to an earlier moment.

Shuffling is keyed by (seed, epoch) and noise by (seed, step), so this is the parameters, the
optimiser's moments, the sums of the epoch and one number: the steps that were taken.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..backend import Array, to_numpy
from ..errors import InputError, whole_number
from ..models.model import Model
from .optim import Adam

UNITS = {"s": 1, "m": 60, "h": 3600}  # seconds


class State:
    """What `Trainer` changes as it goes.

    sums    over the epoch so far: of rec, kl and loss; and 1 while all parameters are finite
    """

    model: Model
    xp: Any
    X: Array
    X_test: Array | None
    batch_size: int

    def __init__(self, adam: Adam) -> None:
        self.adam = adam
        self.sums = self.xp.zeros(4, dtype="float64")
        self.steps_per_epoch = -(-len(self.X) // self.batch_size)
        self._before = len(self.model.history_)  # epochs that it had learned before this run
        self._kept = [a.copy() for a in self.arrays()]
        self._kept_step: int | None = self.step

    @property
    def step(self) -> int:
        """Steps taken since the parameters were fresh."""
        return self.adam.t

    @property
    def epoch(self) -> int:
        """Epochs completed, of this run."""
        return len(self.model.history_) - self._before

    def arrays(self) -> tuple[Array, ...]:
        """What a step changes, in place."""
        return self.model.params_.array, self.adam.m, self.adam.v, self.sums

    def keep(self) -> None:
        """Take a copy of the state, for `go_back`."""
        self._kept_step = None  # half a copy is none
        for copy, a in zip(self._kept, self.arrays(), strict=True):
            copy[...] = a
        self._kept_step = self.step

    def go_back(self) -> None:
        """Return to the copy that `keep` took; stay, if `keep` was interrupted."""
        try:
            if self._kept_step is not None:
                for copy, a in zip(self._kept, self.arrays(), strict=True):
                    a[...] = copy
                self.adam.t = self._kept_step
        except KeyboardInterrupt:  # half way back is nowhere
            self.go_back()

    @cached_property
    def data_hash(self) -> str:
        """The SHA-256 of all that is learned from and looked at."""
        digest = hashlib.sha256()
        for X in (self.X, self.X_test):
            if X is not None:
                digest.update(f"{X.dtype.str} {X.shape}".encode())
                digest.update(np.ascontiguousarray(to_numpy(X)))
        return digest.hexdigest()

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a checkpoint keeps of a run besides the model: numbers, and arrays by name."""
        numbers = {"step": self.step, "rows": len(self.X), "data": self.data_hash}
        return numbers, {"adam_m": self.adam.m, "adam_v": self.adam.v, "sums": self.sums}

    def resume(self, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; the model has its parameters and its history already."""
        if numbers.get("rows") != len(self.X):
            raise InputError(
                f"the run was trained on {numbers.get('rows')} examples, but the data now hold "
                f"{len(self.X)}: resume with the same data"
            )
        if numbers.get("data", self.data_hash) != self.data_hash:
            raise InputError(
                "the data are not those that the run was trained on, though they are as many: "
                "resume with the same data"
            )
        epochs = len(self.model.history_)
        step = whole_number(numbers.get("step"), "the step of the checkpoint", least=0)
        if not 0 <= step - epochs * self.steps_per_epoch <= self.steps_per_epoch:
            raise InputError(
                f"the checkpoint says that {step} steps were taken in {epochs} epochs and a part "
                f"of one, which have {self.steps_per_epoch} each: the run cannot be resumed"
            )
        for name, live in self.state()[1].items():
            a = np.asarray(arrays.get(name))
            if a.shape != live.shape or a.dtype != live.dtype or not np.isfinite(a).all():
                raise InputError(
                    f"the checkpoint holds no usable {name}: the run cannot be resumed"
                )
            live[...] = self.xp.asarray(a)
        self._before = 0
        self.adam.t = step
        self.keep()


class Due:
    """Whether a checkpoint is: after so many steps, or after so much time ("90s", "10m", "1h")."""

    def __init__(self, every: int | str, checkpoint: Callable[[Any], Any] | None = None) -> None:
        self.checkpoint = checkpoint
        self.steps = self.seconds = 0
        text = re.fullmatch(r"([0-9]{1,9})([smh]?)", str(every))
        if not text or int(text[1]) == 0:
            raise InputError(
                "checkpoint_every must be a number of steps (500) or a time (90s, 10m, 1h), got "
                f"{every!r}"
            )
        if text[2]:
            self.seconds = int(text[1]) * UNITS[text[2]]
        else:
            self.steps = int(text[1])
        self.begin()

    def begin(self) -> None:
        """One is kept as of now."""
        self._begun = time.monotonic()

    def make(self, run: State) -> None:
        """Let one be made of the run as it is."""
        if self.checkpoint is not None:
            self.checkpoint(run)
        self.begin()

    def by_step(self, step: int) -> bool:
        return self.steps > 0 and step % self.steps == 0

    def by_time(self) -> bool:
        return 0 < self.seconds <= time.monotonic() - self._begun
