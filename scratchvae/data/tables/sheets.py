"""Choose a sheet of an Excel file: the one asked for, or else the first, with a note."""

import zipfile
from collections.abc import Sequence
from math import isnan
from shlex import quote
from typing import IO, Any, NamedTuple

from ...files.reading import UnreadableFile, check_expansion, installed
from .columns import Asked, nearest, numbers_of, position, shown
from .files import excel_rows

FEW = 8  # names in a message


class Sheet(NamedTuple):
    """A sheet: its number, from 0, openpyxl's object, and a note on the choice."""

    number: int
    content: Any
    note: str = ""


def excel_sheet(f: IO[bytes], size: int, asked: Asked) -> Sheet:
    """The sheet asked for, or the first, of an open Excel file of this size.

    `note` names other sheets with content. Raises UnreadableFile if a required sheet is missing,
    or if the first one has no numbers but another may.
    """
    (openpyxl,) = installed("openpyxl")
    with zipfile.ZipFile(f) as content:
        expanded = sum(member.file_size for member in content.infolist())
    check_expansion(size, expanded)
    sheets = openpyxl.load_workbook(f, read_only=True, data_only=True).worksheets
    if not sheets:
        raise UnreadableFile("has no sheet with a table")
    if asked.sheet is None:
        return _first(sheets)
    names = [sheet.title for sheet in sheets]
    k = names.index(asked.sheet) if asked.sheet in names else position(asked.sheet, "sheet")
    if k is not None and k < len(sheets):
        return Sheet(k, sheets[k])
    missing = f"has no sheet {shown(str(asked.sheet))}"
    if asked.sheet_required:
        raise UnreadableFile(f"{missing}: {nearest(names, str(asked.sheet))}")
    first = _first(sheets)
    said = first.note or f"reads the sheet {shown(names[0])}"
    return first._replace(note=f"{missing}, unlike the run's file, and {said}")


def _first(sheets: Sequence[Any]) -> Sheet:
    first, *rest = sheets
    others = [sheet.title for sheet in rest if any(any(row) for _, row in excel_rows(sheet))]
    if not others:
        return Sheet(0, first)
    named = ", ".join(map(shown, others[:FEW])) + ", ..." * (len(others) > FEW)
    choice = f"--sheet {quote(others[0])} (sheet={others[0]!r})"
    rows = (numbers_of(row, True) for _, row in excel_rows(first))
    if all(number is None or isnan(number) for numbers in rows for number in numbers):
        raise UnreadableFile(
            f"has no numbers in its first sheet, {shown(first.title)}, but has others ({named}): "
            f"choose one, as in {choice}"
        )
    left = f"the others ({named}) are ignored"
    return Sheet(0, first, f"reads the sheet {shown(first.title)}; {left}: {choice}")
