"""What the columns of a table are, and what their values mean."""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import isnan, nan

import numpy as np

from ...errors import whole_number
from ...files.reading import UnreadableFile
from ..labels import UNLABELLED

LABEL_NAMES = ("label", "labels", "class", "target", "y")
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "<na>", "nat")
WORDS = dict.fromkeys(MISSING, nan) | {"true": 1.0, "false": 0.0}  # in lower case
NAMELESS = re.compile(r"(Unnamed: \d+)?")  # pandas calls a column without a name so
MAX_LABEL = 200  # characters: NumPy pads all labels to the length of the longest


class NoSuchColumn(UnreadableFile):
    """The labels' column is not in the file."""


def number_of(text: str) -> float | None:
    """The number that a value stands for, NaN if it is missing, None if it is text."""
    try:
        if "_" not in text:  # float("1_2") is 12
            return float(text)
    except ValueError:
        pass
    return WORDS.get(text.strip().lower())


def numbers_of(row: list[str]) -> Sequence[float | None]:
    """`number_of` each value; an array if none is a word or text."""
    try:
        if "_" not in "".join(row):
            return array("d", map(float, row))  # the usual case, and fast
    except ValueError:
        pass
    return [number_of(text) for text in row]


class Columns:
    """What each column of the file is: data, the labels, or the numbers of the rows.

    kept: the data's columns, by their numbers in the file. names: of those, or None. label, index:
    the other columns, or None.
    """

    def __init__(self, names: list[str] | None, width: int, label_column: str | int | None) -> None:
        repeated = [name for name, n in Counter(names).items() if n > 1 and name]
        if repeated:
            raise UnreadableFile(f"has two columns named {_shown(repeated[0])}: rename one")
        self.label = _label(names, width, label_column)
        self.label_is_named = label_column is not None
        nameless = [j for j, name in enumerate(names or ()) if NAMELESS.fullmatch(name)]
        self.index = 0 if 0 in nameless and self.label != 0 else None
        self.apart = [j for j in (self.index, self.label) if j is not None]
        self.kept = [j for j in range(width) if j not in self.apart]
        if not self.kept:
            raise UnreadableFile("has no column of numbers besides the labels: is it cut off?")
        if bad := [j for j in nameless if j in self.kept]:
            raise UnreadableFile(
                f"has no name for column {bad[0]} (counted from 0): name it, or leave it out"
            )
        self.all = names
        self.names = None if names is None else tuple(names[j] for j in self.kept)

    def called(self, k: int) -> str:
        """Column k of the file, in messages."""
        return (
            f"column {k} (counted from 0)" if self.all is None else f"column {_shown(self.all[k])}"
        )

    def text_refused(self, k: int, text: str, where: str) -> UnreadableFile:
        """The error for text in column k of the file, where numbers belong."""
        found = f"holds {_shown(text.strip())} in {where}, {self.called(k)}"
        if "," in text and number_of(text.replace(",", "")) is not None:
            return UnreadableFile(
                f"{found}: write numbers with a decimal point, and without separators of thousands"
            )
        name: str | int = k if self.all is None else self.all[k]
        option = f"choose it by --label-column {name} (label_column={name!r}) if it holds labels, "
        if len(str(name)) > 40:
            option = "choose it by --label-column (label_column=) if it holds labels, "
        return UnreadableFile(
            f"{found}, which is no number: {option if self.label is None else ''}encode that "
            "column as numbers, or leave it out of the file"
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _label(names: list[str] | None, width: int, wanted: str | int | None) -> int | None:
    """The number of the labels' column, or None without one."""
    if wanted == "":
        return None
    if wanted is None:
        found = [j for j, name in enumerate(names or ()) if name.lower() in LABEL_NAMES]
        if names and len(found) > 1:
            choices = [names[j] for j in found]
            raise UnreadableFile(
                f"has columns {', '.join(map(repr, choices))}, and each may hold the labels: "
                f"choose one, as in --label-column {choices[0]} (label_column={choices[0]!r})"
            )
        return found[0] if found else None
    if names and wanted in names:
        return names.index(str(wanted))
    if isinstance(wanted, str) and not (wanted.isdecimal() and wanted.isascii()):
        if names is None:
            raise NoSuchColumn(
                f"has no header, hence no column {_shown(wanted)}: give the number of the labels' "
                "column, from 0, as in --label-column 0 (label_column=0)"
            )
        few = ", ".join(map(_shown, names[:8])) + (
            f" and {len(names) - 8} more" if len(names) > 8 else ""
        )
        raise NoSuchColumn(f"has no column {_shown(wanted)} for the labels: it has {few}")
    number = whole_number(
        int(wanted) if isinstance(wanted, str) else wanted, "label_column", least=0
    )
    if number >= width:
        raise UnreadableFile(
            f"has {width} columns, so the labels' column is one of 0 to {width - 1}, not {number}"
        )
    return number


def labels_of(texts: Iterable[str], where: Callable[[int], str]) -> np.ndarray:
    """Labels (N,) from their text; where(i) names row i in messages."""
    texts = [text.strip() for text in texts]
    numbers = [_whole(text) for text in texts]
    if None not in numbers:
        return np.array(numbers, np.int64)
    for i, text in enumerate(texts):
        if text.lower() in MISSING:
            raise UnreadableFile(
                f"has no label in {where(i)}: only whole numbers may be missing, so number the "
                "classes, or leave the row out"
            )
        if len(text) > MAX_LABEL:
            raise UnreadableFile(
                f"has a label of {len(text):,} characters in {where(i)}: at most {MAX_LABEL} are "
                "read, so is it the right column?"
            )
    return np.array(texts)


def _whole(text: str) -> int | None:
    number = number_of(text)
    if number is None or not abs(number) < 2**53:
        return UNLABELLED if number is not None and isnan(number) else None
    return int(number) if number.is_integer() else None
