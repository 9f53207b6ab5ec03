"""The format of a model's rows: their shape, the names of their columns, and their scale.

`learning.py` learns it from the training data; it is saved with the model and applied to all later
data. Models compute with scaled rows; what they decode is scaled back.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any, Self

import numpy as np

from ..errors import InputError, warn_of_data
from ..files.reading import is_text
from .batches import ROUNDING, check_columns, check_rows, chunks, column_names
from .images.shape import image_shape

SCALES = ("none", "bytes", "minmax", "standard")
UNLEARNED = "unlearned"  # of a model with minmax or standard that has seen no data
BINARY, BYTES = 1, 255  # white, in uint8 pixels
MAX_SIZE = 1e30  # of a number of a format in a file; its inverse is the least factor
NUMBERS = "likelihood='gaussian' and scale='standard' (--likelihood gaussian --scale standard)"


@dataclass(frozen=True)
class RowFormat:
    """The format of the rows (N,D) of a data set, as learned from it.

    n_features  D
    pixels      whether uint8 values are pixels, to be divided by `white`; other values are numbers
    shape       of one row as an image: (H,W), (H,W,3) or (3,H,W); None if the rows were flat
    columns     names of the features, or None
    scale       "none": values as they are; "bytes": divided by 255; "minmax": mapped to [0, 1];
                "standard": to mean 0 and standard deviation 1. The last two use one range for all
                pixels of rows with a shape, else one per column.
    offset, factor
                of minmax and standard: (x - offset) / factor, (D,) or one value; the factor 0 of
                a constant column divides by 1, and what is decoded is that constant
    means       of columns with names, to fill missing values with; else empty
    low, high   the range of decoded values, for pictures
    ink         whether grey images are drawn as ink on paper, `low` white and `high` black: if more
                than half of all training values equal the smallest one, the background. Others
                are drawn with `low` black
    """

    n_features: int
    pixels: bool
    white: int = BYTES
    shape: tuple[int, ...] | None = None
    columns: tuple[str, ...] | None = None
    scale: str = "none"
    offset: tuple[float, ...] = (0.0,)
    factor: tuple[float, ...] = (1.0,)
    means: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 1.0
    ink: bool = True

    # --------------------------------------------------------------------------------- scaling

    @property
    def fitted(self) -> bool:
        """Whether offset and factor scale the rows."""
        return self.scale in ("minmax", "standard")

    def check(self, X: Any, model: str) -> np.ndarray:
        """X as (N,D), not yet scaled. Raises InputError if it has another format than this."""
        shape = np.shape(X)[1:] if hasattr(X, "shape") else ()
        if self.shape and len(self.shape) > 1 and np.shape(X) == self.shape:
            raise InputError(f"this is one example of shape {self.shape}: pass x[None]")
        if (
            self.shape
            and len(shape) > 1
            and ([n for n in shape if n != 1] != [n for n in self.shape if n != 1])
        ):
            raise InputError(
                f"{model} was fitted on rows of shape {self.shape}, but these have {tuple(shape)}"
            )
        if self.scale == UNLEARNED:
            raise InputError(
                f"this {model} has not learned the scale of its data: call fit or build_from(X)"
            )
        check_columns(self.columns, column_names(X), model)
        return check_rows(X, self.n_features, model)

    def scaled(
        self, rows: np.ndarray, dtype: str, unit_interval: bool, *, learning: bool = False
    ) -> np.ndarray:
        """Checked rows (N,D) as the model computes with them: uint8 pixels, or numbers.

        Booleans are pixels, 0 and 255, or the numbers 0 and 1. Raises InputError if pixels lie
        outside [0, 1]; while the format is learned, the message names a remedy.
        """
        binary = rows.dtype == np.bool_
        if binary:
            rows = rows.view(np.uint8)
        if self.scale != "none" and not learning:
            self._warn_of_scaled(rows)
        if self.fitted:
            scaled = np.empty(rows.shape, dtype)
            for part in chunks(len(rows), 4096):  # in float64, but not all rows at once
                scaled[part] = _limited(self.rescaled(rows[part]))
        elif rows.dtype != np.uint8:
            rows = _limited(rows)
            scaled = self.rescaled(rows.astype(dtype)) if self.scale == "bytes" else rows
        elif not self.pixels and self.scale == "none":
            scaled = rows.astype(dtype)
        elif binary or self.white == BINARY:
            if rows.max(initial=0) > 1:
                raise InputError("the model was fitted on pixels that are 0 or 1: pass such pixels")
            scaled = rows * np.uint8(255)
        else:
            scaled = rows
        if unit_interval and scaled.dtype != np.uint8 and scaled.size:
            if self.scale == "minmax":
                return self._clipped(rows, scaled)
            self._check_pixels(rows, scaled, learning)
        return scaled

    def _warn_of_scaled(self, rows: np.ndarray) -> None:
        """Warn of images in [0, 1] if the model has learned bytes, which it scales itself."""
        learned_bytes = self.image_shape is not None and 0 <= self.low and self.high > 100
        if not learned_bytes or rows.dtype.kind != "f" or not rows.size:
            return
        if rows.min() >= 0 and rows.max() <= 1 and ((rows > 0) & (rows < 1)).any():
            warn_of_data(
                f"these pixels lie in [0, 1], but the model has learned pixels up to {self.high:g},"
                " which it scales itself: pass the original pixels, not divided by 255"
            )

    def _clipped(self, rows: np.ndarray, scaled: np.ndarray) -> np.ndarray:
        """Scaled rows, clipped to [0, 1] with a warning."""
        outside = (scaled < -ROUNDING) | (scaled > 1 + ROUNDING)
        if outside.any():
            i, j = np.argwhere(outside)[0]
            warn_of_data(
                f"{outside.sum():,} values, such as {rows[i, j]:g} in {{}}, column "
                f"{self.column(j)}, lie outside the range that scale='minmax' learned from the "
                "training data: they are clipped to it",
                row=int(i),
            )
        return np.clip(scaled, 0, 1, out=scaled)

    def _check_pixels(self, rows: np.ndarray, scaled: np.ndarray, learning: bool) -> None:
        if scaled.min() >= -ROUNDING and scaled.max() <= 1 + ROUNDING:
            return
        low, high = rows.min(), rows.max()
        if self.scale != "none":
            text = f"scale={self.scale!r} makes these reach from {scaled.min():.6g}"
            raise InputError(f"pixels must lie in [0, 1], but {text} to {scaled.max():.6g}")
        if not learning:
            remedy = "scale them like the training data"
            if self.white == BYTES and 0 <= low and 100 < high <= BYTES:
                remedy = "pass uint8, which counts from 0 to 255, or divide them by 255"
        elif self.columns and self.image_shape is None:
            remedy = f"columns of numbers need {NUMBERS}"
        elif 0 <= low and 100 < high <= 255:
            remedy = "pass scale='bytes' (--scale bytes), which divides them by 255"
        else:
            remedy = (
                "if they are pixels, pass scale='minmax' (--scale minmax), which maps them to "
                f"[0, 1]; other numbers need {NUMBERS}"
            )
        raise InputError(
            f"pixels must lie in [0, 1], but these reach from {low:.6g} to {high:.6g}: {remedy}"
        )

    def unscaled(self, x: np.ndarray) -> np.ndarray:
        """Decoded rows (N,D) in the units of the data; pixels of uint8 data stay in [0, 1].

        In float64 if there is an offset, which might leave a float32 no digits.
        """
        if self.fitted:
            return x * np.array(self.factor) + np.array(self.offset)
        return x * np.array(255, dtype=x.dtype) if self.scale == "bytes" else x

    def rescaled(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `unscaled`, unchecked."""
        if self.fitted:
            factor = np.array(self.factor)
            return (x - np.array(self.offset)) / np.where(factor > 0, factor, 1)
        return x / np.array(255, dtype=x.dtype) if self.scale == "bytes" else x

    def column(self, i: int) -> str:
        """The name of column i, or its number."""
        return repr(self.columns[i]) if self.columns else str(i)

    # -------------------------------------------------------------------------------- pictures

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(H,W) or (H,W,3) of a row as an image; None if rows are not images."""
        return image_shape(self.shape, self.columns, self.n_features, self.pixels)

    def images(self, x: np.ndarray) -> np.ndarray:
        """Rows (...,D), in the units of `unscaled`, as images (...,H,W[,3]) with values in [0, 1].

        Raises InputError if the rows are not images.
        """
        x = (np.asarray(x, dtype=float) - self.low) / (self.high - self.low)
        return np.clip(self.arranged(x), 0, 1)

    def arranged(self, x: np.ndarray) -> np.ndarray:
        """Values (...,D), one per feature, arranged as an image: (...,H,W[,3]).

        Raises InputError if the rows are not images.
        """
        shape = self.image_shape
        if shape is None:
            raise InputError(f"rows of {self.n_features} features are not images: nothing to draw")
        if self.shape and len(shape) == 3 and self.shape != shape:  # (3,H,W)
            return np.moveaxis(x.reshape(*x.shape[:-1], *self.shape), -3, -1)
        return x.reshape(*x.shape[:-1], *shape)

    # ---------------------------------------------------------------------------------- saving

    def describe(self) -> dict[str, Any]:
        """As JSON types, without n_features, for `read`."""
        about = asdict(self)
        del about["n_features"]
        return about

    @classmethod
    def read(cls, about: Any, n_features: int) -> Self:
        """The format that `describe` returned, from an untrusted file; raises InputError."""
        names = [field.name for field in fields(cls)][1:]
        about = {"ink": True, **about} if isinstance(about, dict) else {}  # early files have none
        if sorted(about) != sorted(names):
            raise InputError("the format of its rows is invalid: it has other fields")
        about = {k: tuple(v) if isinstance(v, list) else v for k, v in about.items()}
        found = cls(n_features, **about)
        for name, fits in found._checks():
            if not fits():
                raise InputError(f"the format of its rows is invalid: {name}")
        return found

    def _checks(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        """Each field, and whether its value from a file is valid."""
        D, shape, columns = self.n_features, self.shape, self.columns

        def numbers(values: Any) -> bool:
            return (
                isinstance(values, tuple)
                and len(values) in (1, D)
                and all(type(v) in (int, float) and abs(v) <= MAX_SIZE for v in values)
            )

        yield "pixels", lambda: type(self.pixels) is bool
        yield "ink", lambda: type(self.ink) is bool
        yield "white", lambda: type(self.white) is int and self.white in (BINARY, BYTES)
        yield (
            "shape",
            lambda: (
                shape is None
                or (
                    isinstance(shape, tuple)
                    and all(type(n) is int and n > 0 for n in shape)
                    and prod(shape) == D
                )
            ),
        )
        yield (
            "columns",
            lambda: (
                columns is None
                or (
                    isinstance(columns, tuple)
                    and len(columns) == D
                    and all(isinstance(name, str) and is_text(name) for name in columns)
                )
            ),
        )
        yield "scale", lambda: isinstance(self.scale, str) and self.scale in (*SCALES, UNLEARNED)
        yield "offset", lambda: numbers(self.offset)
        yield "means", lambda: self.means == () or (numbers(self.means) and len(self.means) == D)
        yield (
            "factor",
            lambda: numbers(self.factor) and all(v == 0 or v >= 1 / MAX_SIZE for v in self.factor),
        )
        yield "range", lambda: numbers((self.low,)) and numbers((self.high,))
        yield "range", lambda: self.low < self.high


def check_scale(scale: Any) -> None:
    """Raises InputError for an unknown scale."""
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")


def _limited(x: np.ndarray) -> np.ndarray:
    """x, clipped to numbers that are finite in single precision."""
    large = x.size and max(-float(x.min()), float(x.max())) > MAX_SIZE
    return np.clip(x, -MAX_SIZE, MAX_SIZE) if large else x
