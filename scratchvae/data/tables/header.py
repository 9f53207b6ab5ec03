"""Whether the first row of a table names its columns."""

import re
from itertools import pairwise
from math import isnan

from ...files.reading import UnreadableFile
from ..labels import rejoined
from .columns import LABEL_NAMES, Asked, number_of

SEPARATORS = ",;\t"
MAY_BE_NAMES = (
    "begins with a row of numbers, read as data, that could be column names: "
    "choose --header or --no-header (header=True or False)"
)


def has_header(first: list[str], second: list[str], asked: Asked, commas: bool) -> bool:
    """Whether the first row of a file names its columns."""
    if asked.header is not None:
        return asked.header
    text = [j for j, value in enumerate(first) if number_of(value, commas) is None]
    if not text:  # columns that pandas numbered, with or without its index?
        counted = first[1:] if first[0] == "" else first
        return len(counted) > 2 and counted == [str(j) for j in range(len(counted))]
    if len(text) == len(first) or not second:
        return True
    below = [number_of(second[j], commas) for j in text if j < len(second)]
    if any(number is not None and not isnan(number) for number in below):
        return True
    wanted = [asked.label, *rejoined(asked.drop, first)]
    if any(name in wanted or name.lower() in LABEL_NAMES for name in first):
        return True
    if any(str(column).isdecimal() for column in wanted):
        return False
    remedy = (
        f"name the label column, as in --label-column {text[0]} (label_column={text[0]}), or "
        f"leave it out with --drop {text[0]} (drop={text[0]})"
    )
    if len(first) == len(asked.learned):
        remedy = "correct the text, since the model was fitted on as many columns of numbers"
    raise UnreadableFile(
        "begins with a row of numbers and text that may or may not be its header: choose "
        f"--header or --no-header (header=), add a line of column names at the top, or {remedy}"
    )


def separator_below(title: str, below: list[str]) -> str | None:
    """The separator of a table whose first line is a title, and has no column names."""
    for names, values in pairwise(line.rstrip("\r\n") for line in below if line.strip()):
        if any(1 < len(title.split(s)) == len(names.split(s)) for s in SEPARATORS):
            return None
        for separator in SEPARATORS:
            cells, numbers = names.split(separator), values.split(separator)
            if len(numbers) == len(cells) > 1 and _is_title(title.split(separator), cells):
                found = [number_of(text, separator == ";") for text in numbers]
                if any(number is not None and not isnan(number) for number in found):
                    return separator
    return None


def check_no_title(rows: list[tuple[int, list[str]]], place: str) -> None:
    """Raises UnreadableFile if the first row is a title; place: how to name a row by its number."""
    n, title = rows[0]
    for k, row in rows[1:]:
        if _is_title(title, row):
            text = next(cell.strip() for cell in title if cell.strip())
            shown = repr(text if len(text) <= 40 else f"{text[:40]}...")
            raise UnreadableFile(
                f"begins with a title, {shown} in {place.format(n)}, above the names of its "
                f"columns: delete everything above {place.format(k)}"
            )


def _is_title(first: list[str], below: list[str]) -> bool:
    """Whether the first row of a file, above this one, is a title rather than column names.

    At most half as many of its cells are filled, all with text; below it are names, mostly text,
    or numbers in a row of the same length.
    """
    filled = [j for j, cell in enumerate(first) if cell.strip()]
    text = [cell for cell in below if number_of(cell) is None]
    if not filled or any(number_of(first[j], True) is not None for j in filled):
        return False
    wide = sum(bool(cell.strip()) for cell in below)
    n = len(filled) + (not first[0].strip() and len(text) < wide)  # an index has no name
    numbers = len(first) == len(below) and all(
        number_of(below[j], True) is not None for j in filled
    )
    return 2 * n <= wide and (2 * len(text) > wide or numbers)


def may_be_header(first: list[str], second: list[str], asked: Asked, commas: bool) -> bool:
    """Whether a first row of numbers could still name the columns.

    Its whole numbers increase by one, as years do, and the row below has none of them.
    """
    counted = first[1:] if first[0] == "" else first
    if asked.header is False or not second or len(counted) < 3:
        return False
    if not re.fullmatch("[0-9]{1,15}", counted[0]):
        return False
    start = int(counted[0])
    below = [number_of(text, commas) for text in second[-len(counted) :]]
    steps = {b - a for a, b in pairwise(below) if a is not None and b is not None}
    counts = [str(start + j) for j in range(len(counted))]
    return (
        counted == counts and steps != {1} and not {*range(start, start + len(counted))} & {*below}
    )
