"""Read tables: CSV, TSV and .amat, plain or gzipped, Parquet and Excel.

Each column holds numbers, except one that may hold labels. A value becomes float() of its text.
Nothing is guessed silently: a value that is missing or not a number is refused with its place.
Parquet needs pandas and pyarrow, Excel openpyxl; they are imported when such a file is read.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import isnan, nan
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import DataError, InputError, say, warn_of_data
from ...files.reading import UnreadableFile, open_at_once, refusing, regular, without_warnings
from ..arrays import TEST
from .columns import (
    Asked,
    Columns,
    Means,
    NoSuchColumn,
    number_of,
    numbers_of,
)
from .files import (
    MAX_COLUMNS,
    Rows,
    Tell,
    ahead,
    excel_rows,
    formulas_without_values,
    parquet_frame,
    text_lines,
    text_rows,
)
from .finish import Content, Table, finished
from .header import MAY_BE_NAMES, check_no_title, has_header, may_be_header
from .marks import Marks
from .sheets import excel_sheet

SUFFIXES = (
    *(".csv", ".tsv", ".amat", ".csv.gz", ".tsv.gz", ".amat.gz"),
    *(".parquet", ".xlsx"),
)  # .amat: numbers between spaces, as the variations of MNIST are stored


class NoRows(UnreadableFile):
    """A table without rows of values."""


NEAR = 20  # rows before and after text, to decide whether the column holds text

SPLIT = re.compile(f"(?:(?P<set>.*)[-_. ])?(?P<split>train|{'|'.join(TEST)})", re.IGNORECASE)


def is_table(path: Path) -> bool:
    """Whether the ending of a file, in any case, is that of a table."""
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
    drop: Sequence[str | int] | None = None,
    also_drop: Sequence[str | int] | None = None,
    missing: str | None = None,
    means: Means | None = None,
    header: bool | None = None,
    learned: Sequence[str | None] = (),
    skips: bool = False,
    sheet: str | int | None = None,
    sheet_required: bool = True,
    verbose: bool = False,
) -> Table:
    """The table in a file.

    label_column    the label column, by name or number (from 0, also as text); None: the one
                    named label, labels, class, target or y, in any case, if there is one; "": none
    label_required  whether a missing label_column is an error
    drop            columns to leave out, by name or number
    also_drop       columns to leave out if they exist, by name
    missing         "mean" fills missing values with the mean of their column; "skip" leaves them
                    and infinities in X, for a caller who skips their rows; None refuses them
    means           (D,), to fill them with instead, in order or by column name: the `means`
                    of the table that a model learned
    header          whether the first row names the columns; None: detected
    learned         the column names of that table, None for each without: messages about
                    these do not advise leaving them out
    skips           whether the caller can skip rows: messages may offer --missing skip
    sheet           of an Excel file, by name or number (from 0, also as text); None: the first,
                    with a warning that names the others, if any has content
    sheet_required  whether a missing sheet, or a file without sheets, is an error
    verbose         report which columns were set apart, and what was filled

    The first row is a header if it holds text, unless there is more text below it, when only
    `label_column` as a number shows that there is no header; or if it is 0, 1, 2, ..., as pandas
    numbers columns. Rows without any value are skipped. A first column that numbers the rows is
    left out if it has no name, or if its name is "row" and no number is left out. Booleans are 1
    and 0. If ; separates the values, decimal commas are read too. Labels that are whole numbers
    become int64, and a missing one -1 (unlabelled); all others are text, and none may be missing.

    Raises DataError if the file cannot be read or is not such a table, and InputError for an
    unknown `missing`.
    """
    if missing not in (None, "mean", "skip"):
        raise InputError(f"--missing (missing=) must be mean or left out, got {missing!r}")

    def tell(text: str) -> None:
        if verbose:
            say(f"{path}: {text}")

    asked = Asked(label_column, drop or (), also_drop or (), header, learned, sheet, sheet_required)
    with refusing(path, DataError), open_at_once(path) as f:
        try:
            content = _content_of(f, path.name.lower(), asked, tell)
        except NoSuchColumn:
            if label_required:
                raise
            f.seek(0)
            content = _content_of(f, path.name.lower(), asked._replace(label=""), tell)
        if content.columns.may_be_named:
            warn_of_data(f"{path} {MAY_BE_NAMES}")
        if content.note:
            warn_of_data(f"{path} {content.note}")
        return finished(content, missing, tell, means, skips)


def _content_of(f: IO[bytes], name: str, asked: Asked, tell: Tell) -> Content:
    """The content of an open file with this name."""
    size = regular(f)
    if asked.sheet is not None and asked.sheet_required and not name.endswith(".xlsx"):
        raise UnreadableFile(
            "is not an Excel file, so --sheet (sheet=) does not apply: leave it out"
        )
    if name.endswith(".parquet"):
        return _from_frame(parquet_frame(f), asked)
    if name.endswith(".xlsx"):
        with without_warnings():  # about styles and extensions, which are not read
            return _from_excel(f, size, asked, tell)
    return _from_text(f, name, asked, tell)


def _from_excel(f: IO[bytes], size: int, asked: Asked, tell: Tell) -> Content:
    sheet = excel_sheet(f, size, asked)
    try:
        content = _from_rows(excel_rows(sheet.content), "row {}", asked, tell)
    except UnreadableFile as error:
        if isinstance(error, NoRows):
            _check_formulas(f, None, sheet.number)
        raise type(error)(f"{error} (it {sheet.note})" if sheet.note else str(error)) from None
    _check_formulas(f, content, sheet.number)
    return content._replace(note=sheet.note)


def _check_formulas(f: IO[bytes], content: Content | None, sheet: int) -> None:
    """Raises UnreadableFile if a gap is a formula without a value. None: there are only gaps."""
    kept = {} if content is None else {k: j for j, k in enumerate(content.columns.kept)}

    def is_gap(number: int, k: int) -> bool:
        if content is None:
            return True
        i = bisect_left(content.numbers, number)
        if i == len(content.numbers) or content.numbers[i] != number:
            return False
        text = content.apart[k][i] if k in content.apart else "left out"
        return isnan(content.X[i, kept[k]]) if k in kept else not text

    texts = () if content is None else content.apart.values()
    if content is None or np.isnan(content.X).any() or any("" in column for column in texts):
        for number, k, cell in formulas_without_values(f, sheet):
            if is_gap(number, k):
                raise UnreadableFile(
                    f"has a formula without a value in cell {cell}: open the file in a spreadsheet "
                    "program, which computes it, and save it there"
                )


def _from_text(f: IO[bytes], name: str, asked: Asked, tell: Tell) -> Content:
    separator = " " if ".amat" in name else "\t" if ".tsv" in name else ","
    with text_lines(f, gz=name.endswith(".gz")) as lines:
        rows, separator = text_rows(lines, separator)
        return _from_rows(rows, "line {}", asked, tell, separator == ";")


def _without_blank_ends(rows: Rows) -> Rows:
    """The rows, without those at the beginning and the end that hold only separators.

    Between others such a row is kept, with missing values; an empty line is not a row.
    """
    blank, begun = array("q"), False  # the number of each, and its width
    for n, row in rows:
        if any(map(str.strip, row)):
            for i in range(0, len(blank), 2):
                yield blank[i], [""] * blank[i + 1]
            blank, begun = array("q"), True
            yield n, row
        elif begun and len(row) > 1:
            blank.extend((n, len(row)))


def _from_rows(rows: Rows, place: str, asked: Asked, tell: Tell, commas: bool = False) -> Content:
    """place: how to name a row by its number in the file. commas: whether decimal ones are read."""
    rows = _without_blank_ends(rows)
    head, rows = ahead(rows, 10)
    if not head and not next(rows, None):
        raise UnreadableFile("is empty: get it again")
    start, first = place.format(head[0][0]), [text.strip() for text in head[0][1]]
    width = len(first)
    if width > MAX_COLUMNS:
        raise UnreadableFile(f"has {width:,} columns, but at most {MAX_COLUMNS:,} are read")
    second = head[1][1] if len(head) > 1 else []
    if asked.header is not False:
        check_no_title(head, place)
    header = has_header(first, second, asked, commas)
    columns = Columns(first if header else None, width, asked, commas)
    columns.may_be_named = not header and may_be_header(first, second, asked, commas)
    if header:
        next(rows)
    apart: dict[int, list[str]] = {k: [] for k in columns.beside}
    others = sorted(columns.apart, reverse=True)
    values, at = array("d"), array("q")
    marks = Marks()
    for n, row in rows:
        if len(row) != width:
            raise UnreadableFile(
                f"should hold {width} values in each row, as in {start}, but holds {len(row)} in "
                f"{place.format(n)}: is it cut off, or is a separator or quotation mark missing?"
            )
        for k in others:  # from the right
            text = row.pop(k)
            if k in apart:
                apart[k].append(text)
        numbers = numbers_of(row, commas)
        if isinstance(numbers, list) and None in numbers:
            last = values[-NEAR * len(row) :]
            before = [last[i : i + len(row)] for i in range(0, len(last), len(row))]
            after = [r for _, r in ahead(rows, NEAR)[0] if len(r) == width]
            after = [[r[k] for k in columns.kept] for r in after]
            near = [*before, numbers, *(numbers_of(r, commas) for r in after)]
            raise columns.text_refused(row, near, place.format(n))
        if commas:
            marks.see(row, n)
        values.extend(numbers)  # type: ignore[arg-type]
        at.append(n)
    labels = apart[columns.label] if columns.label is not None else []
    if commas and None not in numbers_of(labels, commas):  # labels that are numbers have the mark
        marks.see_labels(labels)
    if not at:
        raise NoRows("has a header, but no rows: get it again")
    X = np.frombuffer(values).reshape(len(at), len(columns.kept))
    marks.check(X, columns, place)
    if marks.comma:
        tell(f"values such as {marks.comma} are read as numbers with a decimal comma")
    return Content(X, columns, apart, lambda i: place.format(at[i]), at, place)


def _from_frame(frame: Any, asked: Asked) -> Content:
    if asked.header is False:
        raise UnreadableFile("has column names: leave out --no-header (header=False)")
    names = [str(name).strip() for name in frame.columns]
    if not len(frame):
        raise UnreadableFile("has no rows")
    columns = Columns(names, len(names), asked)
    X = np.empty((len(frame), len(columns.kept)))
    for j, k in enumerate(columns.kept):
        series = frame.iloc[:, k]
        if series.dtype.kind in "biuf":
            X[:, j] = series.to_numpy(np.float64, na_value=nan)
            continue
        for i, value in enumerate(_texts(series)):
            number = number_of(value)
            if number is None:
                start = max(0, i - NEAR)
                near = frame.iloc[start : i + NEAR]
                rows = [*zip(*(_texts(near.iloc[:, k]) for k in columns.kept), strict=True)]
                numbers = [[number_of(text) for text in row] for row in rows]
                raise columns.text_refused(rows[i - start], numbers, _row(i))
            X[i, j] = number
    apart = {k: list(_texts(frame.iloc[:, k])) for k in columns.beside}
    return Content(X, columns, apart, _row)


def _texts(series: Any) -> Iterable[str]:
    """The values as text. Rows of one category share it; pandas would copy it for each."""
    if series.dtype.name != "category":
        return map(str, series)
    texts = [*map(str, series.cat.categories), ""]  # a missing value has the code -1
    return (texts[code] for code in series.cat.codes)


def _row(i: int) -> str:
    return f"row {i} (counted from 0)"
