"""Find the decimal mark of a table whose values are separated by ;.

There both 1,5 and 1.5 are numbers, so 1.234 can be either a fraction or a thousand.
"""

import re
from collections.abc import Sequence

import numpy as np

from ...files.reading import UnreadableFile
from .columns import Columns

THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}\.\d{3}")  # perhaps


class Marks:
    """The marks in the rows passed to `see`, each with its line number."""

    def __init__(self) -> None:
        self.comma = self.point = ""  # the first value with each
        self.is_decimal = False  # whether a point, as in 0.125 or 12.5, can only be the decimal one
        self.first: dict[int, tuple[str, int]] = {}  # by column: what may be a thousand, its line
        self.count: dict[int, int] = {}

    def see(self, row: Sequence[str], n: int) -> None:
        """A row of numbers, without other text, in line n."""
        self.comma = self.comma or first_with(",", row)
        if (self.point and (self.is_decimal or self.comma)) or "." not in "".join(row):
            return
        self.point = self.point or first_with(".", row)
        for j, text in enumerate(map(str.strip, row)):
            if THOUSANDS.fullmatch(text):
                self.first.setdefault(j, (text, n))
                self.count[j] = self.count.get(j, 0) + 1
            elif "." in text:
                self.is_decimal = True

    def see_labels(self, texts: Sequence[str]) -> None:
        """Labels that are numbers: they use the mark of the other columns."""
        self.comma = self.comma or first_with(",", texts)
        self.point = self.point or first_with(".", texts)

    def check(self, X: np.ndarray, columns: Columns, place: str) -> None:
        """Raises UnreadableFile unless the mark of these numbers is certain."""
        if self.comma and self.point:
            raise UnreadableFile(
                f"has numbers with a comma ({self.comma}) and with a point ({self.point}), and one "
                "may separate thousands: write all with the same decimal mark and no other"
            )
        if self.is_decimal:
            return
        for j, (text, n) in self.first.items():
            # its column, or the others if there is only one row, holds whole numbers
            beside = X if len(X) == 1 else X[:, j]
            known = len(self.first) if len(X) == 1 else self.count[j]
            if known < np.count_nonzero(~np.isnan(beside)):
                raise UnreadableFile(
                    f"holds {text} in {place.format(n)}, {columns.called(columns.kept[j])}, beside "
                    f"whole numbers, so its point may separate thousands: write "
                    f"{text.replace('.', '')}, or {text.replace('.', ',')} if it is a fraction, "
                    "and change the other numbers likewise"
                )


def first_with(mark: str, texts: Sequence[str]) -> str:
    """The first text with this mark; "" if there is none."""
    return next((text.strip() for text in texts if mark in text), "")
