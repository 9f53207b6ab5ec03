"""Find out whether rows are images, with what shape and background."""

import re
from math import isqrt

import numpy as np

from ..batches import chunks

# pixel0, pixel_12, px3, pixel_0_7, 1x28: a number, or a row and a column
PIXEL_NAME = re.compile(
    r"(?:pixel|px)[ _.-]?([0-9]{1,6})(?:[ _.x-]([0-9]{1,6}))?|([0-9]{1,6})x([0-9]{1,6})",
    re.IGNORECASE,
)


def image_shape(
    shape: tuple[int, ...] | None, columns: tuple[str, ...] | None, n_features: int, pixels: bool
) -> tuple[int, ...] | None:
    """(H,W) or (H,W,3) of a row as an image; None if rows are not images.

    Flat rows of a square length are square images if their columns have no names, or pixel names;
    numbers without names only from 7 x 7 on.
    """
    if shape is None:
        side = isqrt(n_features)
        square = side * side == n_features and side >= (2 if pixels else 7)
        drawn = name_pixels(columns) if columns else square
        return (side, side) if drawn else None
    if len(shape) == 3 and shape[0] == 3 and shape[-1] != 3:
        return (*shape[1:], 3)
    if len(shape) == 3 and 1 in (shape[0], shape[-1]):
        return shape[:-1] if shape[-1] == 1 else shape[1:]
    drawn = len(shape) == 2 or (len(shape) == 3 and shape[-1] == 3)
    return shape if drawn else None


def name_pixels(columns: tuple[str, ...] | None) -> bool:
    """Whether columns are named after the pixels of a square image, row after row.

    Their numbers start at 0 or 1, and are complete and in order.
    """
    matches = [PIXEL_NAME.fullmatch(name) for name in columns or ()]
    found = [[int(n) for n in m.groups() if n is not None] for m in matches if m]
    side = isqrt(len(matches))
    if len(found) < max(4, len(matches)) or side * side != len(found):
        return False
    first = found[0][0]
    if len(found[0]) == 1:
        numbers = [[first + i] for i in range(len(found))]
    else:
        numbers = [[first + i // side, first + i % side] for i in range(len(found))]
    return first in (0, 1) and found == numbers


def mostly_lowest(rows: np.ndarray) -> bool:
    """Whether more than half of all values (N,D) equal the smallest one."""
    low = rows.min()
    equal = sum(np.count_nonzero(rows[part] == low) for part in chunks(len(rows), 4096))
    return bool(2 * equal > rows.size)
