"""Open the files of tables: rows of text from CSV, TSV and Excel, a DataFrame from Parquet.

A file's claims are checked before memory is allocated for them. Parquet needs pandas and pyarrow,
Excel openpyxl; they are imported when such a file is read.
"""

import csv
import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain, islice
from math import inf
from typing import IO, Any, TypeVar

from ...files.reading import (
    DAMAGE,
    UnreadableFile,
    check_memory,
    installed,
    max_bytes,
    not_installed,
)
from .columns import number_of
from .header import separator_below

MAX_COLUMNS = 200_000
MAX_LINE = 32 * MAX_COLUMNS  # bytes
MAX_ROWS = 1 << 20  # of an Excel sheet

TOLD = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t]*', re.IGNORECASE)  # the separator

T = TypeVar("T")
Tell = Callable[[str], None]
Rows = Iterator[tuple[int, list[str]]]  # each row with the number of its line


class Lines:
    """The lines of a binary file as text. `number`: of the last one, from 1."""

    def __init__(self, f: IO[bytes] | gzip.GzipFile, most: float) -> None:
        self.f, self.most = f, most
        self.number = self.offset = 0

    def __iter__(self) -> Iterator[str]:
        while raw := self.f.readline(MAX_LINE + 1):
            self.number += 1
            if len(raw) > MAX_LINE:
                raise UnreadableFile(
                    f"has more than {MAX_LINE:,} bytes in line {self.number}, the limit of a line: "
                    "is it a table?"
                )
            if self.offset + len(raw) > self.most:
                raise UnreadableFile(
                    f"expands to more than {self.most:,} bytes: if you trust it, decompress it and "
                    "pass the result"
                )
            yield self._decoded(raw)
            self.offset += len(raw)

    def _decoded(self, raw: bytes) -> str:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"is not UTF-8 text (byte {self.offset + error.start:,}, in line {self.number}): "
                'save it as UTF-8, which Excel calls "CSV UTF-8"'
            ) from None
        if "\0" in text:
            raise UnreadableFile(
                f"is binary, not text (line {self.number} has a zero byte): is it another kind of "
                "file?"
            )
        if "\r" in text.rstrip("\r\n"):
            raise UnreadableFile(
                f"has a carriage return inside line {self.number}: save it again with Unix or "
                'Windows line endings, as in Excel\'s "CSV UTF-8"'
            )
        return text.removeprefix("\ufeff") if self.number == 1 else text


def ahead(rows: Iterator[T], n: int) -> tuple[list[T], Iterator[T]]:
    """The next n rows, or those before an error; and the rest, which raises the error in place."""
    found: list[T] = []
    try:
        found.extend(islice(rows, n))
    except DAMAGE as error:
        rows = _raising(error)
    return found, chain(found, rows)


def _raising(error: Exception) -> Iterator[Any]:
    raise error
    yield


@contextmanager
def text_lines(f: IO[bytes], gz: bool) -> Iterator[Lines]:
    """The lines of an open file that may be gzipped, and must be if its name ends in .gz."""
    gzipped = f.read(2) == b"\x1f\x8b"
    if gz and not gzipped:  # damage can leave a number, which is also a table
        raise UnreadableFile(
            "is not gzipped: get it again, or drop .gz from its name if it is text"
        )
    f.seek(0)
    with gzip.open(f) if gzipped else nullcontext(f) as stream:
        yield Lines(stream, max_bytes() if gzipped else inf)


def text_rows(lines: Lines, separator: str) -> tuple[Rows, str]:
    """The rows of CSV or TSV, and the separator: another one if the first line lacks it."""
    text = iter(lines)
    first = next((line for line in text if line.strip()), "")
    told = TOLD.fullmatch(first.strip(" \r\n"))
    if told:  # written by Excel, which does not show it
        first = next((line for line in text if line.strip()), "")
    if first.lstrip().lower().startswith(("<!doctype", "<html")):
        raise UnreadableFile("is a web page, not a table: download the raw file")
    if separator == " ":  # lines may begin and end with it
        first, text = first.strip(), (line.strip() for line in text)
    skipped = lines.number - 1
    below, text = ahead(text, 9)
    found = [told[1]] if told else [s for s in f"{separator},;\t" if s in _unquoted(first)]
    if separator == "," and {",", ";"} <= {*found}:  # the one that leaves more numbers
        found.sort(key=partial(_numbers, below or [first]), reverse=True)
    of_names = None if told else separator_below(first, below)
    separator = of_names or (found[0] if found else separator)
    return _split(chain([first], text), separator, skipped), separator


def _unquoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)


def _numbers(lines: list[str], separator: str) -> int:
    """How many numbers the separator leaves in these lines."""
    values = (value for line in lines for value in line.split(separator))
    return sum(number_of(value, separator == ";") is not None for value in values)


def _split(text: Iterator[str], separator: str, skipped: int) -> Rows:
    """The rows in lines of CSV; skipped: the number of lines before them."""
    reader = csv.reader(text, delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            yield skipped + reader.line_num, row
    except csv.Error as error:
        raise UnreadableFile(
            f"breaks the rules of CSV in line {skipped + reader.line_num} ({error}): is a "
            "quotation mark missing, or one too many?"
        ) from None


def excel_rows(sheet: Any) -> Rows:
    """The rows of an Excel sheet, without the empty cells at their end."""
    sheet.reset_dimensions()  # a claim, to which each row would be padded
    width = 0
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if number > MAX_ROWS:
            raise UnreadableFile(f"claims more than {MAX_ROWS:,} rows, the limit of an Excel sheet")
        row = ["" if cell is None else str(cell) for cell in cells]
        while row and not row[-1].strip():
            row.pop()
        width = width or len(row)
        yield number, row + [""] * (width - len(row))


def formulas_without_values(f: IO[bytes], k: int) -> Iterator[tuple[int, int, str]]:
    """The formulas in sheet k of an Excel file whose value is not stored: the numbers of row and
    column, from 0, and the cell."""
    openpyxl, tokenizer = installed("openpyxl", "openpyxl.formula.tokenizer")
    sheets = []
    for data_only in (True, False):  # either the values or the formulas
        sheet = openpyxl.load_workbook(f, read_only=True, data_only=data_only).worksheets[k]
        sheet.reset_dimensions()
        sheets.append(sheet.iter_rows())
    try:
        for number, rows in enumerate(zip(*sheets, strict=True), 1):
            for k, (cell, formula) in enumerate(zip(*rows, strict=True)):
                # a stored text may be empty: its type is another
                if formula.data_type == "f" and cell.value is None and cell.data_type == "n":
                    yield number, k, formula.coordinate
    except tokenizer.TokenizerError:
        raise UnreadableFile("is damaged, or another kind of file: get it again") from None


def parquet_frame(f: IO[bytes]) -> Any:
    """The pandas DataFrame in a Parquet file."""
    packages = "pandas", "pyarrow", "pyarrow.parquet"
    pandas, arrow, parquet = installed(*packages)
    try:
        claim = parquet.read_metadata(f)
        leaves = [claim.schema.column(j) for j in range(claim.num_columns)]
        # row_group(i).column(j) knows more, but pyarrow ends the process there for damaged files
        rows = sum(claim.row_group(i).num_rows for i in range(claim.num_row_groups))
        _check_parquet(leaves, rows)
        f.seek(0)
        # text becomes categories: one text may be as long as the file, and occur in each row
        names = [leaf.path for leaf in leaves]
        return pandas.read_parquet(f, engine="pyarrow", read_dictionary=names)
    except arrow.ArrowException:
        raise UnreadableFile("is damaged, or another kind of file: get it again") from None
    except ImportError:  # pandas needs another version
        raise not_installed(*packages) from None


def _check_parquet(leaves: list[Any], rows: int) -> None:
    for leaf in leaves:
        if leaf.path != leaf.name:
            raise UnreadableFile(
                f"holds lists or records ({leaf.path!r}), not a value for each row and column: "
                "give each of their numbers its own column"
            )
    check_memory(rows * sum(max(8, leaf.length) for leaf in leaves))
