"""Tables of numbers, one row per example, as .csv, .npy or .npz by the ending of the file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files.atomic import write_atomically, write_csv
from ..models import Model

SUFFIXES = (".csv", ".npy", ".npz")


class Table(NamedTuple):
    """Numbers of examples.

    values      arrays (N,...), by their names in a .npz; they stand side by side in other files
    columns     the names of all their columns
    y           the labels (N,), or None
    """

    values: dict[str, np.ndarray]
    columns: Sequence[str]
    y: np.ndarray | None = None


def decoded_rows(model: Model, X: np.ndarray, y: np.ndarray | None) -> Table:
    """Rows X (N,D) that the model decoded, in the units and with the columns of its data."""
    columns = model.rows_.columns or [f"x{i}" for i in range(model.n_features_)]
    return Table({"X": X}, columns, y)


def check_table(path: Path) -> None:
    """Raises InputError unless the path has a table's suffix."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} must end in .csv, .npy or .npz (a table)")


def write_table(path: Path, table: Table) -> None:
    """Write a table: a .npy has its numbers alone, the others row numbers and labels too."""
    numbers = np.concatenate([*table.values.values()], axis=1)
    if path.suffix == ".npy":
        write_atomically(path, lambda f: np.save(f, numbers))
    elif path.suffix == ".npz":
        arrays: dict[str, Any] = {"row": np.arange(len(numbers)), **table.values}
        arrays |= {"columns": np.array(table.columns)} | ({} if table.y is None else {"y": table.y})
        write_atomically(path, lambda f: np.savez(f, **arrays))
    else:
        row, label = (f"{name}_" if name in table.columns else name for name in ("row", "label"))
        header, y = [row, *table.columns], np.empty((len(numbers), 0))
        if table.y is not None:
            header, y = [*header, label], table.y[:, None]
        # str: as few digits as give the same number again
        lines = ([i, *map(str, x), *y[i]] for i, x in enumerate(numbers))
        write_csv(path, header, lines)
