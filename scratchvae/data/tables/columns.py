"""Interpret the columns of a table and their values."""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from math import isnan, nan
from shlex import quote
from typing import Any, NamedTuple

import numpy as np

from ...errors import whole_number
from ...files.reading import UnreadableFile
from ..labels import MAX_LABEL, UNLABELLED, rejoined

LABEL_NAMES = ("label", "labels", "class", "target", "y")
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "<na>", "nat")
WORDS = dict.fromkeys(MISSING, nan) | {"true": 1.0, "false": 0.0}  # in lower case
NAMELESS = re.compile(r"(Unnamed: \d+)?")  # as pandas calls a column without a name
ROW = "row"  # the column of row numbers in the tables that this package writes
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d*(e[-+]?\d+)?\s*", re.IGNORECASE)
THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(\.\d{3}){2,}(,\d*)?\s*")  # 1.234.567
PLAIN = re.compile(r"[^\s,'\"-][^,'\"]{0,39}")  # a name that can be written in an option
Means = Sequence[float] | Mapping[Any, float]  # one for each column, in order or by its name


class NoSuchColumn(UnreadableFile):
    """The label column is not in the file."""


class Asked(NamedTuple):
    """The sheet and columns to read, and the label column, as the user asked.

    Each by name or number.
    """

    label: str | int | None = None  # None: the one with a usual name; "": none
    drop: Sequence[str | int] = ()
    also_drop: Sequence[str | int] = ()  # columns to leave out if they are there
    header: bool | None = None  # whether the first row names the columns; None: detected
    learned: Sequence[str | None] = ()  # the names of a model's columns, None for those without
    sheet: str | int | None = None  # of an Excel file; None: the first
    sheet_required: bool = True  # whether a missing sheet is an error


def number_of(text: str, commas: bool = False) -> float | None:
    """The number that a value represents, NaN if it is missing, None if it is text.

    commas: whether 1,5 is also a number.
    """
    if commas and DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        if "_" not in text:  # float("1_2") is 12
            return float(text)
    except ValueError:
        pass
    return WORDS.get(text.strip().lower())


def numbers_of(row: list[str], commas: bool = False) -> Sequence[float | None]:
    """`number_of` each value; an array if none is a word, a decimal comma or text."""
    try:
        if "_" not in "".join(row):
            return array("d", map(float, row))  # the usual case, and fast
    except ValueError:
        pass
    return [number_of(text, commas) for text in row]


class Columns:
    """The role of each column of the file: data, labels, row numbers, or left out.

    kept: the data columns, by their numbers in the file. names: of those, or None. label, index:
    their columns, or None. beside: those two. apart: all columns that are not data.
    may_be_named: whether a first row of numbers, which is read as data, could be names.
    """

    may_be_named = False

    def __init__(
        self, names: list[str] | None, width: int, asked: Asked, commas: bool = False
    ) -> None:
        self.all, self.commas, self.learned = names, commas, asked.learned
        dropped = _dropped(names, width, asked)
        left = [name for j, name in enumerate(names or ()) if j not in dropped]
        if repeated := [name for name, n in Counter(left).items() if n > 1 and name]:
            raise UnreadableFile(f"has two columns named {shown(repeated[0])}: rename one")
        self.label = _label(names, width, asked.label, dropped)
        self.label_is_named = asked.label is not None
        if self.label in dropped:
            raise UnreadableFile(
                f"has its labels in {self.called(self.label)}, which --drop (drop=) ignores: "
                "choose one of the two"
            )
        nameless = {j for j, name in enumerate(names or ()) if NAMELESS.fullmatch(name)} - dropped
        self.index = 0 if 0 in nameless and self.label != 0 else None
        self.beside = {j for j in (self.index, self.label) if j is not None}
        self.apart = dropped | self.beside
        self.kept = [j for j in range(width) if j not in self.apart]
        self._check_that_data_are_left()
        if bad := sorted(nameless.intersection(self.kept)):
            raise UnreadableFile(
                f"has no name for column {bad[0]} (counted from 0): name it, or leave it out with "
                f"{self.drop_option(bad[:1])}"
            )

    def _check_that_data_are_left(self) -> None:
        if not self.kept:
            raise UnreadableFile("has no column of numbers besides the labels: is it cut off?")

    @property
    def names(self) -> tuple[str, ...] | None:
        return None if self.all is None else tuple(self.all[k] for k in self.kept)

    def in_order(self, means: Means | None) -> Sequence[float] | None:
        """Means in the order of the data's columns; without names, these have numbers from 0."""
        if not isinstance(means, Mapping):
            return means
        kept = self.names or range(len(self.kept))
        if unknown := [name for name in means if name not in kept]:
            named = repr(unknown[0]) if self.names is None else shown(str(unknown[0]))
            hint = f": {nearest([*self.names], str(unknown[0]))}" if self.names else ""
            raise UnreadableFile(f"has no column {named}, but missing= has a value for it{hint}")
        if lacking := [k for k, name in zip(self.kept, kept, strict=True) if name not in means]:
            raise UnreadableFile(
                f"has {self.called(lacking[0])}, but missing= has no value for it: give one per "
                "column"
            )
        return [means[name] for name in kept]

    @property
    def label_name(self) -> str | None:
        return None if self.all is None or self.label is None else self.all[self.label]

    def is_learned(self, k: int) -> bool:
        """Whether column k is one of the model's, which cannot read a table without it."""
        if self.all is not None and self.learned and self.learned[0] is not None:
            return self.all[k] in self.learned
        return len(self.kept) == len(self.learned)

    def row_numbers_found(self) -> None:
        """Leave out the first column, which holds the numbers of the rows."""
        del self.kept[0]
        self._check_that_data_are_left()

    def drop_option(self, which: Sequence[int]) -> str:
        """The option that leaves these columns out, on the command line and in Python."""
        if len(which) == 1:
            return self._option("drop", which[0])
        for keys in ([self._key(k) for k in which], which):
            if len(names := ",".join(map(str, keys))) <= 120:
                return f"--drop {quote(names)} (drop=)"
        return "--drop (drop=)"

    def _option(self, name: str, k: int) -> str:
        key = self._key(k)
        return f"--{name.replace('_', '-')} {quote(str(key))} ({name}={key!r})"

    def _key(self, k: int) -> str | int:
        """The name of column k if it can be written in an option, else its number."""
        return self.all[k] if self.all and PLAIN.fullmatch(self.all[k]) else k

    def called(self, k: int) -> str:
        """Column k of the file, in messages."""
        return (
            f"column {k} (counted from 0)" if self.all is None else f"column {shown(self.all[k])}"
        )

    def text_refused(
        self, row: Sequence[str], near: Sequence[Sequence[float | None]], where: str
    ) -> UnreadableFile:
        """The error for a row with text in columns that should hold numbers.

        near: the numbers of this row and of others, to tell columns of text from typing errors.
        """
        numbers = [number_of(text, self.commas) for text in row]
        bad = [j for j, number in enumerate(numbers) if number is None]
        columns = [j for j, values in enumerate(zip(*near, strict=True)) if _is_text(values)]
        learned = [j for j in bad if self.is_learned(self.kept[j])]
        j = next((j for j in learned or bad if j in columns), (learned or bad)[0])
        k, text = self.kept[j], row[j]
        found = f"holds {shown(text.strip())} in {where}, {self.called(k)}"
        thousands = THOUSANDS.fullmatch(text)
        if thousands or ("," in text and number_of(text.replace(",", "")) is not None):
            form = "" if self.commas else "with a decimal point and "
            return UnreadableFile(f"{found}: write numbers {form}without thousands separators")
        if j not in columns or learned:
            why = (
                "which the model was fitted on as numbers"
                if learned
                else "where other values are numbers"
            )
            remedy = "correct it, or leave the cell empty and use --missing mean (missing='mean')"
            if len(bad) > 1:
                remedy += "; if the row is not data (units, for example), delete it"
            return UnreadableFile(f"{found}, {why}: {remedy}")
        found += ", which is not a number"
        if others := [self.kept[i] for i in columns if i != j]:
            n = len(others)
            found += f", and text in {'one other column' if n == 1 else f'{n:,} other columns'}"
        which = sorted([k, *others])
        it, them = ("these columns", "them") if others else ("it", "it")
        label = ""
        if self.label is None and others:
            label = "choose one with --label-column (label_column=) if it holds labels, "
        elif self.label is None:
            label = f"choose it with {self._option('label_column', k)} if it holds labels, "
        return UnreadableFile(
            f"{found}: {label}leave {it} out with {self.drop_option(which)}, or encode {them} as "
            "numbers"
        )


def _is_text(values: Sequence[float | None]) -> bool:
    """Whether a column holds text, rather than numbers with a typing error."""
    texts = values.count(None)
    return texts > sum(value is not None and not isnan(value) for value in values)


def shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _dropped(names: list[str] | None, width: int, asked: Asked) -> set[int]:
    """The numbers of the columns to leave out."""
    found: set[int] = set()
    drop = rejoined(asked.drop, names or ())
    for wanted in (*drop, *rejoined(asked.also_drop, names or ())):
        if there := [j for j, name in enumerate(names or ()) if name == wanted]:
            found.update(there)
        elif (number := position(wanted, "drop")) is not None and number < width:
            found.add(number)
        elif wanted in drop:
            there_are = f"its columns are numbered 0 to {width - 1}"
            if names and number is None:
                there_are = nearest(names, str(wanted))
            raise UnreadableFile(f"has no column {shown(str(wanted))} to drop: {there_are}")
    return found


def nearest(names: list[str], wanted: str) -> str:
    """The name nearest to the wanted one, or the first few."""
    if near := get_close_matches(wanted, names, 1):
        return f"did you mean {shown(near[0])}?"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"it has {', '.join(map(shown, names[:8]))}{more}"


def position(wanted: str | int, option: str) -> int | None:
    """The number of a column, also as text; None for a name."""
    if isinstance(wanted, str):
        if not (wanted.isdecimal() and wanted.isascii()):
            return None
        wanted = int(wanted)
    return whole_number(wanted, option, least=0)


def _label(
    names: list[str] | None, width: int, wanted: str | int | None, dropped: set[int]
) -> int | None:
    """The number of the labels' column, or None without one."""
    if wanted == "":
        return None
    if wanted is None:
        found = [j for j, name in enumerate(names or ()) if name.lower() in LABEL_NAMES]
        found = [j for j in found if j not in dropped]
        if names and len(found) > 1:
            choices = [names[j] for j in found]
            raise UnreadableFile(
                f"has columns {', '.join(map(repr, choices))}, and each could hold the labels: "
                f"choose one, as in --label-column {choices[0]} (label_column={choices[0]!r})"
            )
        return found[0] if found else None
    if names and wanted in names:
        return names.index(str(wanted))
    if (number := position(wanted, "label_column")) is None:
        if names is None:
            raise NoSuchColumn(
                f"has no header, hence no column {shown(str(wanted))}: give the number of the "
                "label column, from 0, as in --label-column 0 (label_column=0)"
            )
        name = str(wanted)
        raise NoSuchColumn(f"has no column {shown(name)} for the labels: {nearest(names, name)}")
    if number >= width:
        raise UnreadableFile(
            f"has {width} columns, so the label column must be from 0 to {width - 1}, not {number}"
        )
    return number


def labels_of(
    texts: Iterable[str], where: Callable[[int], str], commas: bool = False, gaps: bool = False
) -> np.ndarray:
    """Labels (N,) from their text; where(i) names row i in messages.

    gaps: whether labels of text may be missing, as "".
    """
    texts = [text.strip() for text in texts]
    numbers = [_whole(text, commas) for text in texts]
    if None not in numbers:
        return np.array(numbers, np.int64)
    for i, text in enumerate(texts):
        if text.lower() in MISSING and not gaps:
            raise UnreadableFile(
                f"has no label in {where(i)}: only whole-number labels can be missing, so number "
                "the classes, or leave the row out"
            )
        if len(text) > MAX_LABEL:
            raise UnreadableFile(
                f"has a label of {len(text):,} characters in {where(i)}, but at most {MAX_LABEL} "
                "are read: is it the right column?"
            )
    return np.array(["" if text.lower() in MISSING else text for text in texts])


def _whole(text: str, commas: bool) -> int | None:
    number = number_of(text, commas)
    if number is None or not abs(number) < 2**53:
        return UNLABELLED if number is not None and isnan(number) else None
    return int(number) if number.is_integer() else None
