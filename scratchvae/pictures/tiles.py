"""Images side by side, as one array: (N,H,W) or (N,H,W,3) in, (H,W) or (H,W,3) out.

Grey is ink: 0 is white. `plots` and `animation` draw the result.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from ..errors import InputError


def grid(images: Any, columns: int | None = None, margin: int = 1) -> np.ndarray:
    """Images side by side, row after row, as one (H,W) or (H,W,3); about square without `columns`.

    Pixels are clipped to [0, 1]; each image gets a white margin of `margin` pixels.
    """
    images = checked(images)
    n, height, width = images.shape[:3]
    columns = columns or about_square(n, (height + margin) / (width + margin))
    cells = padded(np.clip(images, 0, 1), (0, -n % columns), (margin, margin), (margin, margin))
    _, height, width, *colours = cells.shape
    table = cells.reshape(-1, columns, height, width, *colours).swapaxes(1, 2)
    return table.reshape(-1, columns * width, *colours)


def about_square(n: int, ratio: float) -> int:
    """The columns of a nearly square grid of n images with this height over width.

    If a number of columns within a quarter of a square fills the last row, it is preferred.
    """
    square = (n * ratio) ** 0.5
    full = [c for c in range(1, n + 1) if n % c == 0 and abs(c - square) <= square / 4]
    return min(full, key=lambda c: abs(c - ceil(square)), default=ceil(square))


def stacked(sets: Sequence[Any], columns: int) -> np.ndarray:
    """A grid of several sets of images: each row of the first stands above those of the others."""
    more = -len(sets[0]) % columns
    rows = np.stack([padded(checked(images), (0, more)) for images in sets])
    shape = rows.shape[2:]
    rows = rows.reshape(len(sets), -1, columns, *shape).swapaxes(0, 1)
    return grid(rows.reshape(-1, *shape), columns)


def per_row(images: np.ndarray, most: int) -> int:
    """How many images fit in a row: `most`, or fewer if they are wider than high."""
    height, width = images.shape[1:3]
    return max(1, int(most * min(1, height / width) ** 0.5))


def on_white(images: np.ndarray) -> bool:
    """Whether the images are in colour and most pixels of their borders are nearly white."""
    rims = (images[:, [0, -1]], images[:, :, [0, -1]])
    return images.ndim == 4 and np.median(np.hstack([r.min(axis=-1).ravel() for r in rims])) > 0.9


def checked(images: Any) -> np.ndarray:
    """The images as an array; raises InputError if they have another shape."""
    images = np.asarray(images, dtype=float)
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
        raise InputError(
            f"images must have the shape (N,H,W) or (N,H,W,3), got {images.shape}: "
            "use model.rows_.images(rows) to reshape rows"
        )
    return images


def padded(images: np.ndarray, *around: tuple[int, int]) -> np.ndarray:
    """The images with white added before and after, along the first axes."""
    white = 0 if images.ndim == 3 else 1
    return np.pad(images, [*around, *[(0, 0)] * (images.ndim - len(around))], constant_values=white)
