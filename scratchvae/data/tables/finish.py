"""From the content of a file to a table: row numbers left out, labels set apart, gaps filled."""

import re
from collections.abc import Callable, Sequence
from math import isnan
from typing import NamedTuple

import numpy as np

from ...errors import warn_of_data
from ...files.reading import UnreadableFile
from .columns import ROW, Columns, Means, labels_of, number_of
from .files import Tell

ID = re.compile(r"(.*[ _.-])?(id|index|idx|no|nr|number|key)", re.IGNORECASE)  # of a name


class Table(NamedTuple):
    """X (N,D) float64; labels y (N,), int64 or text, or None; names of the D columns, or None.

    means (D,): the fill values of missing ones, or None. label: the name of its column.
    """

    X: np.ndarray
    y: np.ndarray | None
    columns: tuple[str, ...] | None
    means: tuple[float, ...] | None = None
    label: str | None = None
    lines: np.ndarray | None = None  # (N,) where each row stands in its file, from 1, if known
    place: str = ""  # names that place by its number: "line {}", or "row {}" of Excel


class Content(NamedTuple):
    """A table with NaN for missing values; `apart` has the texts of the labels and the index."""

    X: np.ndarray
    columns: Columns
    apart: dict[int, list[str]]
    where: Callable[[int], str]  # names row i in messages
    numbers: Sequence[int] = ()  # of each row in its file, from 1
    place: str = ""  # of a Table
    note: str = ""  # what to report about the sheet


def finished(
    content: Content, missing: str | None, tell: Tell, means: Means | None, skips: bool
) -> Table:
    X, columns, apart, where, *_ = content
    if columns.index is not None:
        numbers = [number_of(text) for text in apart[columns.index]]
        whole = all(number is not None and number.is_integer() for number in numbers)
        if not whole or len(set(numbers)) < len(numbers):
            raise UnreadableFile(
                "has no name for its first column, which does not number the rows: leave it out "
                "with --drop 0 (drop=0), or name it if the model should learn it"
            )
        tell("left out the first column, which has no name and numbers the rows")
    y = None
    if columns.label is not None:
        gaps = bool(columns.learned)  # of a later table, which nothing learns from
        y = labels_of(apart[columns.label], where, columns.commas, gaps)
        if not columns.label_is_named and y.dtype.kind == "U":
            _refuse_measurements(apart[columns.label], columns, columns.label)
        tell(f"the labels are {columns.called(columns.label)}")
    if _numbers_rows(X, columns):
        columns.row_numbers_found()
        content = content._replace(X=X[:, 1:].copy())
        tell(f"left out the first column, {ROW!r}, which numbers the rows")
    if not columns.learned:
        _warn_of_ids(content.X, columns)
    means = _fill(content, missing, tell, columns.in_order(means), skips)
    lines = np.array(content.numbers) if content.numbers else None
    return Table(content.X, y, columns.names, means, columns.label_name, lines, content.place)


def _numbers_rows(X: np.ndarray, columns: Columns) -> bool:
    """Whether the first column is named "row" and counts the rows from 0, or several from 1."""
    if columns.all is None or columns.kept[0] != 0 or columns.all[0] != ROW:
        return False
    counted = np.arange(len(X))
    return bool((X[:, 0] == counted).all() or (len(X) > 1 and (X[:, 0] == counted + 1).all()))


def _warn_of_ids(X: np.ndarray, columns: Columns) -> None:
    """Warn of numbers that only name the rows: those of later rows lie beyond the learned range."""
    for j, name in enumerate(columns.names or ()):
        if ID.fullmatch(name) and len(X) > 1 and (np.diff(X[:, j]) > 0).all():
            k = columns.kept[j]
            warn_of_data(
                f"{columns.called(k)} seems to number the rows, from {X[0, j]:.10g} to "
                f"{X[-1, j]:.10g}: leave it out with {columns.drop_option([k])}"
            )


def _refuse_measurements(texts: list[str], columns: Columns, label: int) -> None:
    """Refuse fractions in a column that is taken as labels only by its name."""
    column = columns.called(label)
    for text in map(str.strip, texts):
        number = number_of(text, columns.commas)
        if number is not None and not isnan(number) and not number.is_integer():
            raise UnreadableFile(
                f"has {text} in {column}, whose name suggests labels: choose labels with "
                "--label-column (label_column=), or keep the column as data with --label-column ''"
            )


def _fill(
    content: Content, missing: str | None, tell: Tell, means: Sequence[float] | None, skips: bool
) -> tuple[float, ...] | None:
    """Fill missing values in place with `means` or those of this table, or refuse them.

    Returns the means, or None without filling. Refuses infinities.
    """
    X, columns, where = content.X, content.columns, content.where
    if missing == "skip":
        return None

    def first(which: np.ndarray, of: str = "") -> str:
        i, j = divmod(int(which.argmax()), X.shape[1])
        return f"{where(i)}{of}, {columns.called(columns.kept[j])}"

    if (infinite := np.isinf(X)).any():
        without = "skip the row with --missing skip" if skips else "leave the row out"
        raise UnreadableFile(
            f"holds an infinity in {first(infinite)}: replace it with a number, or {without}"
        )
    absent = np.isnan(X)
    count = int(absent.sum())
    if missing is None and not count:
        return None
    if missing is None:
        without = "skip their rows with --missing skip" if skips else "leave out their rows"
        raise UnreadableFile(
            f"has no value in {first(absent)} ({count:,} missing in all): fill such gaps with "
            f"--missing mean (missing='mean'), or {without}"
        )
    of = "given for their columns"
    if means is None or len(means) != X.shape[1]:  # of other columns, which are refused later
        of = "of their columns"
        for j, k in enumerate(columns.kept):
            if means is None and absent[:, j].all():
                remedy = f"leave it out with {columns.drop_option([k])}"
                if columns.is_learned(k):
                    remedy = "the model was fitted on that column, so give it values"
                raise UnreadableFile(f"has no value at all in {columns.called(k)}: {remedy}")
        n = np.maximum((~absent).sum(axis=0), 1)
        means = (np.where(absent, 0, X) / n).sum(axis=0).tolist()  # not .sum / n: no overflow
    X[absent] = np.broadcast_to(means, X.shape)[absent]
    if count and columns.learned:
        unscored = "; --missing skip leaves such rows unscored" if skips else ""
        warn_of_data(
            f"{count:,} missing values, the first in {first(absent, ' of the file')}, become the "
            f"means of the training table{unscored}"
        )
    elif count:
        tell(f"missing values, now the means {of}: {count:,}")
    return tuple(means)
