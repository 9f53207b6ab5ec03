"""Mutable state of a run: snapshotted, restored, and resumed from a checkpoint.

Shuffling is keyed by (seed, epoch) and noise by (seed, step), so the state is the parameters, the
optimiser's moments, the loss sums of the epoch and the number of steps.
"""

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..errors import InputError, whole_number
from ..files.reading import UnreadableFile
from ..files.run_folder import COLUMNS


class Snapshot:
    """A copy of the arrays that a step changes in place, and the number of steps so far.

    step    None while the copy is incomplete: a partial snapshot must not be used
    """

    def __init__(self, arrays: tuple[Array, ...], step: int) -> None:
        self.copies = [a.copy() for a in arrays]
        self.step: int | None = step

    def take(self, arrays: tuple[Array, ...], step: int) -> None:
        """Copy the arrays, which are those after `step` steps."""
        self.step = None
        for copy, a in zip(self.copies, arrays, strict=True):
            copy[...] = a
        self.step = step

    def restore(self, arrays: tuple[Array, ...]) -> None:
        """Write the copies back into the arrays."""
        for copy, a in zip(self.copies, arrays, strict=True):
            a[...] = copy


def data_hash(*splits: Array | None) -> str:
    """The SHA-256 of dtype, shape and values of the splits; None is skipped."""
    import hashlib  # lazily: it loads OpenSSL, and only a checkpoint needs it

    digest = hashlib.sha256()
    for X in splits:
        if X is not None:
            digest.update(f"{X.dtype.str} {X.shape}".encode())
            digest.update(np.ascontiguousarray(to_numpy(X)))
    return digest.hexdigest()


def resumed_step(
    numbers: Mapping[str, Any], rows: int, data: str, epochs: int, steps_per_epoch: int
) -> tuple[int, int]:
    """The step of a checkpoint, and the epochs that its model was trained for before the run.

    Raises InputError unless its `Trainer.state` numbers fit the run.

    rows, data (a hash), epochs and steps_per_epoch are those of the resuming run.
    """
    if numbers.get("rows") != rows:
        raise InputError(
            f"the run was trained on {numbers.get('rows')} examples, but the data now hold "
            f"{rows}: resume with the same data, or start a new run from its parameters"
        )
    if numbers.get("data", data) != data:
        raise InputError(
            "the run was trained on other data, with the same number of examples (SHA-256 "
            f"{str(numbers['data'])[:12]!r}..., not {data[:12]!r}...): resume with the same data"
        )
    step = whole_number(numbers.get("step"), "the step of the checkpoint", least=0)
    earlier = whole_number(numbers.get("earlier", 0), "the number of earlier epochs", least=0)
    epochs -= earlier
    if not 0 <= step - epochs * steps_per_epoch <= steps_per_epoch:
        raise InputError(
            f"the checkpoint is inconsistent: {step} steps do not fit {epochs} complete epochs "
            f"of {steps_per_epoch} steps: the run cannot be resumed"
        )
    return step, earlier


def history_of(records: Any) -> list[dict[str, float]]:
    """The records of a checkpoint, one per epoch as `Trainer` makes them, with NaN seconds.

    Raises UnreadableFile, or another error of a damaged file.
    """
    history = []
    for record in records:
        counts = {name: whole_number(record[name], name) for name in COLUMNS[:2]}
        means = {name: record[name] for name in COLUMNS[2:-1]}
        if not all(type(v) is float or (type(v) is int and abs(v) < 2**53) for v in means.values()):
            raise UnreadableFile("has a history with losses that are not numbers")
        history.append({**counts, **means, "seconds": nan})
    return history


def check_arrays(own: Mapping[str, Array], arrays: Mapping[str, Any]) -> None:
    """Raises InputError unless a checkpoint's arrays fit the run's own and are finite."""
    for name, live in own.items():
        a = np.asarray(arrays.get(name))
        if a.shape != live.shape or a.dtype != live.dtype or not np.isfinite(a).all():
            raise InputError(f"the checkpoint holds no valid {name}: the run cannot be resumed")


def load_arrays(own: Mapping[str, Array], arrays: Mapping[str, Any]) -> None:
    """Copy a checkpoint's arrays into the run's own: all, or none if it raises InputError."""
    check_arrays(own, arrays)
    for name, live in own.items():
        live[...] = array_module(live).asarray(arrays[name])
