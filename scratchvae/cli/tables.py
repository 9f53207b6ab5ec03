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

    values      arrays (N,...), by their names in a .npz; side by side in other files
    columns     the names of all their columns
    y           the labels (N,), or None
    files       the file of each example (N,), or None
    numbers     the number of each example in its file (N,), or None
    label       the name of the labels' column in a .csv
    """

    values: dict[str, np.ndarray]
    columns: Sequence[str]
    y: np.ndarray | None = None
    files: Sequence[str] | None = None
    numbers: np.ndarray | None = None
    label: str | None = None


def decoded_rows(model: Model, X: np.ndarray, y: np.ndarray | None, **about: Any) -> Table:
    """Rows X (N,D) that the model decoded, in the units and with the columns of its data."""
    columns = model.rows_.columns or [f"x{i}" for i in range(model.n_features_)]
    return Table({"X": X}, columns, y, **about)


def check_table(path: Path) -> None:
    """Raises InputError unless the path has a table's suffix."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} must end in .csv, .npy or .npz (a table)")


def write_table(path: Path, table: Table) -> None:
    """Write a table: a .npy holds only its values, the others also details of each example."""
    values = np.concatenate([*table.values.values()], axis=1)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        write_atomically(path, lambda f: np.save(f, values))
    elif suffix == ".npz":
        arrays: dict[str, Any] = {**table.values}
        about = {"row": table.numbers, "columns": table.columns}
        about |= {"files": table.files, "y": table.y}
        arrays |= {name: np.array(a) for name, a in about.items() if a is not None}
        write_atomically(path, lambda f: np.savez(f, **arrays))
    else:
        first = _there(table, row=table.numbers)
        last = _there(table, **{table.label or "label": table.y, "file": table.files})
        lines = (  # str: as few digits as give the same number again
            [*(a[i] for a in first.values()), *map(str, x), *(a[i] for a in last.values())]
            for i, x in enumerate(values)
        )
        write_csv(path, [*first, *table.columns, *last], lines)


def _there(table: Table, **beside: Any) -> dict[str, Any]:
    """Details of the examples, under names that no column of the table has."""
    known = {name: values for name, values in beside.items() if values is not None}
    return {f"{name}_" if name in table.columns else name: v for name, v in known.items()}
