"""Read tables: CSV, TSV and .amat, plain or gzipped, Parquet and Excel.

Each column holds numbers, except one that may hold labels. A value becomes float() of its text.
Nothing is guessed in silence: what is not a number, or is missing, is refused with its place.
Parquet needs pandas and pyarrow, Excel openpyxl; they are imported when such a file is read.
"""

import gzip
import re
import warnings
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import chain, islice
from math import inf, isnan, nan
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ...errors import DataError, InputError, say
from ...files.reading import UnreadableFile, max_bytes, open_at_once, refusing, regular
from ..arrays import TEST
from .columns import LABEL_NAMES, Columns, NoSuchColumn, labels_of, number_of, numbers_of
from .files import MAX_COLUMNS, Lines, Rows, Tell, excel_rows, parquet_frame, text_rows

SUFFIXES = (
    *(".csv", ".tsv", ".amat", ".csv.gz", ".tsv.gz", ".amat.gz"),
    *(".parquet", ".xlsx"),
)  # .amat: numbers between spaces, as the variations of MNIST are stored


SPLIT = re.compile(f"(?:(?P<set>.*)[-_. ])?(?P<split>train|{'|'.join(TEST)})", re.IGNORECASE)


class Table(NamedTuple):
    """X (N,D) float64; labels y (N,), int64 or text, or None; names of the D columns, or None.

    means (D,) are what missing values are filled with; None if they are refused.
    """

    X: np.ndarray
    y: np.ndarray | None
    columns: tuple[str, ...] | None
    means: tuple[float, ...] | None = None


def is_table(path: Path) -> bool:
    """Whether a file is a table by its ending, in any case."""
    return path.name.lower().endswith(SUFFIXES)


def sets_among(paths: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Data sets in files such as train.csv and test.csv (or val.csv), or digits_train.csv and
    digits_test.csv: by the name of the set, the files of "train" and "test"."""
    sets: dict[str, dict[str, Path]] = {}
    for path in sorted(filter(is_table, paths)):
        if match := SPLIT.fullmatch(path.name.partition(".")[0]):
            sets.setdefault(match["set"] or "", {}).setdefault(match["split"].lower(), path)
    found = {}
    for name, files in sets.items():
        tests = [files[split] for split in TEST if split in files]
        if "train" in files and tests:
            found[name] = {"train": files["train"], "test": tests[0]}
    return found


def read_table(
    path: Path,
    *,
    label_column: str | int | None = None,
    label_required: bool = True,
    missing: str | None = None,
    means: Sequence[float] | None = None,
    verbose: bool = False,
) -> Table:
    """The table in a file. An Excel file is read for its first sheet.

    label_column    the labels' column, by name or number (from 0, also as text); None: the one
                    named label, labels, class, target or y, in any case, if there is one; "": none
    label_required  whether a label_column that is not there is an error
    missing         "mean" fills missing values with the mean of their column; None refuses them
    means           (D,), to fill them with instead: the `means` of the table that a model learned
    verbose         say which columns were set apart, and what was filled

    The first row is a header if it holds text, unless that stands above more text, where only
    `label_column` as a number tells that there is no header; or if it is 0, 1, 2, ..., as pandas
    numbers columns. Rows without any value are skipped. A nameless first column that counts the
    rows is left out. Booleans are 1 and 0. Labels that are whole numbers become int64, and a
    missing one -1 (unlabelled); all others are text, and none may be missing.

    Raises DataError if the file cannot be read or is not such a table, and InputError for an
    unknown `missing`.
    """
    if missing not in (None, "mean"):
        raise InputError(f"--missing (missing=) must be mean, or be left out, got {missing!r}")

    def tell(text: str) -> None:
        if verbose:
            say(f"{path}: {text}")

    with refusing(path, DataError), open_at_once(path) as f:
        try:
            content = _content_of(f, path.name.lower(), label_column, tell)
        except NoSuchColumn:
            if label_required:
                raise
            f.seek(0)
            content = _content_of(f, path.name.lower(), "", tell)
        return _finished(content, missing, tell, means)


class _Content(NamedTuple):
    """A table with NaN for missing values; `apart` has the texts of columns that are no data."""

    X: np.ndarray
    columns: Columns
    apart: dict[int, list[str]]
    where: Callable[[int], str]  # names row i in messages


def _content_of(f: IO[bytes], name: str, label_column: str | int | None, tell: Tell) -> _Content:
    """The content of an open file with this name."""
    size = regular(f)
    if name.endswith(".parquet"):
        return _from_frame(parquet_frame(f), label_column)
    if name.endswith(".xlsx"):
        with warnings.catch_warnings():  # about styles and extensions, which are not read
            warnings.simplefilter("ignore")
            return _from_rows(excel_rows(f, size, tell), "row {}", label_column)
    separator = " " if ".amat" in name else "\t" if ".tsv" in name else ","
    return _from_text(f, separator, label_column)


def _from_text(f: IO[bytes], separator: str, label_column: str | int | None) -> _Content:
    gzipped = f.read(2) == b"\x1f\x8b"
    f.seek(0)
    with gzip.open(f) if gzipped else nullcontext(f) as stream:
        lines = Lines(stream, max_bytes() if gzipped else inf)
        return _from_rows(text_rows(lines, separator), "line {}", label_column)


def _from_rows(rows: Rows, place: str, label_column: str | int | None) -> _Content:
    """place: how to name a row by its number in the file."""
    rows = ((n, row) for n, row in rows if any(map(str.strip, row)))
    head = list(islice(rows, 2))
    if not head:
        raise UnreadableFile("is empty: get it again")
    start, first = place.format(head[0][0]), [text.strip() for text in head[0][1]]
    width = len(first)
    if width > MAX_COLUMNS:
        raise UnreadableFile(f"has {width:,} columns, but at most {MAX_COLUMNS:,} are read")
    header = _has_header(first, head[1][1] if len(head) > 1 else [], label_column)
    columns = Columns(first if header else None, width, label_column)
    if header:
        del head[0]
    apart: dict[int, list[str]] = {k: [] for k in sorted(columns.apart, reverse=True)}
    values, at = array("d"), array("q")
    for n, row in chain(head, rows):
        if len(row) != width:
            raise UnreadableFile(
                f"should hold {width} values in each row, as in {start}, but holds {len(row)} in "
                f"{place.format(n)}: is it cut off, or is a separator or quotation mark missing?"
            )
        for k in apart:  # from the right
            apart[k].append(row.pop(k))
        numbers = numbers_of(row)
        if isinstance(numbers, list) and None in numbers:
            j = numbers.index(None)
            raise columns.text_refused(columns.kept[j], row[j], place.format(n))
        values.extend(numbers)  # type: ignore[arg-type]
        at.append(n)
    if not at:
        raise UnreadableFile("has a header, but no rows: get it again")
    X = np.frombuffer(values).reshape(len(at), len(columns.kept))
    return _Content(X, columns, apart, lambda i: place.format(at[i]))


def _has_header(first: list[str], second: list[str], label_column: str | int | None) -> bool:
    text = [j for j, value in enumerate(first) if number_of(value) is None]
    if not text:  # columns that pandas numbered, with or without its index?
        counted = first[1:] if first[0] == "" else first
        return len(counted) > 2 and counted == [str(j) for j in range(len(counted))]
    if len(text) == len(first) or not second:
        return True
    below = [number_of(second[j]) for j in text if j < len(second)]
    if any(number is not None and not isnan(number) for number in below):
        return True
    if any(name == label_column or name.lower() in LABEL_NAMES for name in first):
        return True
    if label_column is not None and str(label_column).isdecimal():
        return False
    raise UnreadableFile(
        "begins with a row of numbers and text that may be its header, or may not: add a line of "
        f"column names at the top, or name the labels' column, as in --label-column {text[0]} "
        f"(label_column={text[0]})"
    )


def _from_frame(frame: Any, label_column: str | int | None) -> _Content:
    names = [str(name).strip() for name in frame.columns]
    if not len(frame):
        raise UnreadableFile("has no rows")
    columns = Columns(names, len(names), label_column)
    X = np.empty((len(frame), len(columns.kept)))
    for j, k in enumerate(columns.kept):
        series = frame.iloc[:, k]
        if series.dtype.kind in "biuf":
            X[:, j] = series.to_numpy(np.float64, na_value=nan)
            continue
        for i, value in enumerate(_texts(series)):
            number = number_of(value)
            if number is None:
                raise columns.text_refused(k, value, _row(i))
            X[i, j] = number
    apart = {k: list(_texts(frame.iloc[:, k])) for k in columns.apart}
    return _Content(X, columns, apart, _row)


def _texts(series: Any) -> Iterable[str]:
    """The values as text. Rows of one category share it, which pandas would copy for each."""
    if series.dtype.name != "category":
        return map(str, series)
    texts = [*map(str, series.cat.categories), ""]  # a missing value has the code -1
    return (texts[code] for code in series.cat.codes)


def _row(i: int) -> str:
    return f"row {i} (counted from 0)"


def _finished(
    content: _Content, missing: str | None, tell: Tell, means: Sequence[float] | None = None
) -> Table:
    X, columns, apart, where = content
    if columns.index is not None:
        numbers = [number_of(text) for text in apart[columns.index]]
        whole = all(number is not None and number.is_integer() for number in numbers)
        if not whole or len(set(numbers)) < len(numbers):
            raise UnreadableFile(
                "has no name for its first column, which does not number the rows: leave it out "
                "(index=False in pandas), or name it, if the model should learn it"
            )
        tell("left out the first column, which has no name and numbers the rows")
    y = None
    if columns.label is not None:
        y = labels_of(apart[columns.label], where)
        if not columns.label_is_named and y.dtype.kind == "U":
            _refuse_measurements(apart[columns.label], columns.called(columns.label))
        tell(f"the labels are {columns.called(columns.label)}")
    return Table(X, y, columns.names, _fill(content, missing, tell, means))


def _refuse_measurements(texts: list[str], column: str) -> None:
    """Refuse fractions in a column that only its name makes the labels."""
    for number, text in ((number_of(text), text.strip()) for text in texts):
        if number is not None and not isnan(number) and not number.is_integer():
            raise UnreadableFile(
                f"has {text} in {column}, whose name says that it holds labels: choose them by "
                "--label-column (label_column=), or keep the column as data by --label-column ''"
            )


def _fill(
    content: _Content, missing: str | None, tell: Tell, means: Sequence[float] | None
) -> tuple[float, ...] | None:
    """Fill missing values in place, by `means` or those of this table, or refuse them.

    Returns the means; None if no filling is asked for. Refuses infinities.
    """
    X, columns, _, where = content

    def first(which: np.ndarray) -> str:
        i, j = divmod(int(which.argmax()), X.shape[1])
        return f"{where(i)}, {columns.called(columns.kept[j])}"

    if (infinite := np.isinf(X)).any():
        raise UnreadableFile(
            f"holds an infinity in {first(infinite)}: replace it by a number, or leave the row out"
        )
    absent = np.isnan(X)
    count = int(absent.sum())
    if missing is None and not count:
        return None
    if missing is None:
        raise UnreadableFile(
            f"has no value in {first(absent)} ({count:,} missing in all): fill such gaps by "
            "--missing mean (missing='mean'), or leave out their rows"
        )
    if means is None or len(means) != X.shape[1]:
        for j, k in enumerate(columns.kept):
            if absent[:, j].all():
                raise UnreadableFile(f"has no value at all in {columns.called(k)}: leave it out")
        known = np.where(absent, 0, X) / (~absent).sum(axis=0)  # first, as the sum may overflow
        means = known.sum(axis=0).tolist()
    X[absent] = np.broadcast_to(means, X.shape)[absent]
    if count:
        tell(f"missing values, now the means of their columns: {count:,}")
    return tuple(means)
