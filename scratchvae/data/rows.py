"""What a row of a model's data is: its shape, the names of its columns, and their scale.

`fit` learns it from the training data; it is saved with the model, and applied to all data that the
model meets later. Models compute with scaled rows; what they decode is scaled back.
"""

import warnings
from dataclasses import asdict, dataclass, replace
from math import isfinite, isqrt, prod
from typing import Any, Self

import numpy as np

from ..errors import DataWarning, InputError
from .batches import ROUNDING, check_rows

SCALES = ("none", "bytes", "minmax", "standard")
BINARY, BYTES = 1, 255  # white, in uint8 pixels
DARK = 64  # uint8 pixels that are all below this were probably meant to have another white
LARGE = 20.0  # a Gaussian likelihood, which starts with variance 1, learns larger numbers badly


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
                of minmax and standard: (x - offset) / factor, (D,) or one value
    low, high   the range of decoded values, for pictures
    """

    n_features: int
    pixels: bool
    white: int = BYTES
    shape: tuple[int, ...] | None = None
    columns: tuple[str, ...] | None = None
    scale: str = "none"
    offset: tuple[float, ...] = (0.0,)
    factor: tuple[float, ...] = (1.0,)
    low: float = 0.0
    high: float = 1.0

    # --------------------------------------------------------------------------------- learning

    @classmethod
    def learned(cls, X: Any, *, scale: str, unit_interval: bool, columns: Any = None) -> Self:
        """The format of X, from its shape, its column names and its values.

        unit_interval says that the likelihood is one of pixels in [0, 1]. Warns of values that a
        model would learn badly. Raises InputError for data that are not rows of numbers.
        """
        check_scale(scale)
        columns = column_names(X) if columns is None else tuple(columns)
        rows = check_rows(X)
        D, shape = rows.shape[1], _image_shape(X)
        pixels = unit_interval or shape is not None or D == 28 * 28
        found = cls(D, pixels, shape=shape, columns=columns, scale=scale)
        if rows.size == 0:
            return found
        low, high = float(rows.min()), float(rows.max())
        if rows.dtype == np.uint8 and pixels and scale in ("none", "bytes"):
            if high <= 1 and len(rows) > 1:
                return replace(found, white=BINARY)
            if high < DARK:
                _warn(
                    f"the largest of these uint8 pixels is {high:g}, and 255 is white: if {high:g} "
                    "is, pass scale='minmax' (--scale minmax)"
                )
            return replace(found, high=255.0 if scale == "bytes" else 1.0)
        if scale == "bytes":
            return replace(found, high=255.0)
        if scale == "none":
            if not unit_interval and max(-low, high) > LARGE:
                _warn_of_large_numbers(rows, columns)
            return found if 0 <= low and high <= 1 else replace(found, low=low, high=high)
        return replace(found._fitted(rows, low, high), low=low, high=max(high, low + 1e-12))

    def _fitted(self, rows: np.ndarray, low: float, high: float) -> Self:
        """With offset and factor of these rows."""
        axis = None if self.shape else 0
        if self.scale == "standard":
            offset = rows.mean(axis=axis, dtype=np.float64)
            factor = rows.std(axis=axis, dtype=np.float64)
        else:
            offset = rows.min(axis=axis).astype(np.float64)
            factor = rows.max(axis=axis).astype(np.float64) - offset
        # a constant column is scaled to 0
        factor = np.where(factor > 1e-12 * np.maximum(np.abs(offset), 1), factor, 1.0)
        return replace(
            self,
            offset=tuple(np.atleast_1d(offset).tolist()),
            factor=tuple(np.atleast_1d(factor).tolist()),
        )

    # --------------------------------------------------------------------------------- scaling

    @property
    def fitted(self) -> bool:
        """Whether rows are scaled by offset and factor."""
        return self.scale in ("minmax", "standard")

    def check(self, X: Any, model: str) -> np.ndarray:
        """X as (N,D), not yet scaled. Raises InputError if it has another format than this."""
        shape = np.shape(X)[1:] if hasattr(X, "shape") else ()
        if self.shape and len(shape) > 1 and shape != self.shape:
            raise InputError(
                f"{model} was fitted on rows of shape {self.shape}, but these have {tuple(shape)}"
            )
        check_columns(self.columns, column_names(X), model)
        return check_rows(X, self.n_features, model)

    def scaled(self, rows: np.ndarray, dtype: str, unit_interval: bool) -> np.ndarray:
        """Checked rows (N,D) as the model computes with them: uint8 pixels, or floating point.

        Raises InputError if pixels lie outside [0, 1].
        """
        if self.fitted:
            scaled = ((rows - np.array(self.offset)) / np.array(self.factor)).astype(dtype)
        elif rows.dtype != np.uint8:
            scaled = rows / 255 if self.scale == "bytes" else rows
        elif not self.pixels and self.scale == "none":
            scaled = rows.astype(dtype)
        elif self.white == BINARY:
            if rows.max(initial=0) > 1:
                raise InputError("the model was fitted on pixels that are 0 or 1, as these must be")
            scaled = rows * np.uint8(255)
        else:
            scaled = rows
        if unit_interval and scaled.dtype != np.uint8 and scaled.size:
            self._check_pixels(rows, scaled)
        return scaled

    def _check_pixels(self, rows: np.ndarray, scaled: np.ndarray) -> None:
        if scaled.min() >= -ROUNDING and scaled.max() <= 1 + ROUNDING:
            return
        low, high = rows.min(), rows.max()
        if self.scale == "minmax":
            row, column = np.argwhere((scaled < -ROUNDING) | (scaled > 1 + ROUNDING))[0]
            raise InputError(
                f"{rows[row, column]:g} at row {row}, column {self.column(column)} is outside the "
                "range of the training data, to which scale='minmax' maps: use "
                "likelihood='gaussian' for such data"
            )
        wanted = "pixels must lie in [0, 1], but these reach from"
        if self.scale != "none":
            raise InputError(f"{wanted} {scaled.min():.6g} to {scaled.max():.6g} when scaled")
        if 0 <= low and 100 < high <= 255:
            remedy = "pass scale='bytes' (--scale bytes), which divides them by 255"
        elif self.shape or low >= -1:
            remedy = "pass scale='minmax' (--scale minmax), which maps them to [0, 1]"
        else:
            remedy = (
                "if they are no pixels, use likelihood='gaussian' and scale='standard' "
                "(--likelihood gaussian --scale standard)"
            )
        raise InputError(f"{wanted} {low:.6g} to {high:.6g}: {remedy}")

    def unscaled(self, x: np.ndarray) -> np.ndarray:
        """Decoded rows (N,D) in the units of the data; pixels of uint8 data stay in [0, 1]."""
        if self.fitted:
            return (x * np.array(self.factor) + np.array(self.offset)).astype(x.dtype)
        return x * np.array(255, dtype=x.dtype) if self.scale == "bytes" else x

    def column(self, i: int) -> str:
        """The name of column i, or its number."""
        return repr(self.columns[i]) if self.columns else str(i)

    # -------------------------------------------------------------------------------- pictures

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(H,W) or (H,W,3) of a row as an image; None if rows are not images.

        Flat rows of a square number of pixels, without names, are square images.
        """
        if self.shape is None:
            side = isqrt(self.n_features)
            square = side * side == self.n_features and side > 1
            return (side, side) if square and self.columns is None else None
        if len(self.shape) == 3 and self.shape[0] == 3 and self.shape[-1] != 3:
            return (*self.shape[1:], 3)
        if len(self.shape) == 3 and 1 in (self.shape[0], self.shape[-1]):
            return self.shape[:-1] if self.shape[-1] == 1 else self.shape[1:]
        drawn = len(self.shape) == 2 or (len(self.shape) == 3 and self.shape[-1] == 3)
        return self.shape if drawn else None

    def images(self, x: np.ndarray) -> np.ndarray:
        """Rows (...,D), in the units of `unscaled`, as images (...,H,W[,3]) with values in [0, 1].

        Raises InputError if the rows are not images.
        """
        x = (np.asarray(x, dtype=float) - self.low) / (self.high - self.low)
        return np.clip(self.arranged(x), 0, 1)

    def arranged(self, x: np.ndarray) -> np.ndarray:
        """Values (...,D), one for each feature, in the places of an image: (...,H,W[,3]).

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
        try:
            about = {k: tuple(v) if isinstance(v, list) else v for k, v in about.items()}
            found = cls(n_features, **about)
            found._check()
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"the format of its rows is invalid: {error}") from None
        return found

    def _check(self) -> None:
        D, numbers = self.n_features, (*self.offset, *self.factor, self.low, self.high)
        checks = {
            "pixels": type(self.pixels) is bool,
            "white": self.white in (BINARY, BYTES),
            "shape": self.shape is None
            or (all(type(n) is int and n > 0 for n in self.shape) and prod(self.shape) == D),
            "columns": self.columns is None
            or (len(self.columns) == D and all(isinstance(c, str) for c in self.columns)),
            "scale": self.scale in SCALES,
            "offset": len(self.offset) in (1, D) and len(self.factor) in (1, D),
            "range": all(type(v) in (int, float) and isfinite(v) for v in numbers)
            and min(self.factor) > 0
            and self.low < self.high,
        }
        for name, right in checks.items():
            if not right:
                raise InputError(f"{name} does not fit")


def _image_shape(X: Any) -> tuple[int, ...] | None:
    """The shape of each row of X, or None if the rows are flat."""
    shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
    return tuple(map(int, shape[1:])) if len(shape) > 2 else None


def check_scale(scale: Any) -> None:
    """Raises InputError for an unknown scale."""
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")


def column_names(X: Any) -> tuple[str, ...] | None:
    """The column names of a DataFrame, if all are text; else None."""
    names = getattr(X, "columns", None)
    if names is None or callable(names):
        return None
    names = tuple(names)
    return names if names and all(isinstance(name, str) for name in names) else None


def check_columns(known: tuple[str, ...] | None, given: tuple[str, ...] | None, model: str) -> None:
    """Raises InputError if both are named, and not alike; in scikit-learn's words.

    Warns if only the given ones are named.
    """
    if known is None and given is not None:
        _warn(f"X has feature names, but {model} was fitted without feature names")
    if known is None or given is None or known == given:
        return
    lines = ["The feature names should match those that were passed during fit."]
    if unexpected := sorted(set(given) - set(known)):
        lines.append(f"Feature names unseen at fit time: {', '.join(unexpected[:5])}.")
    if missing := sorted(set(known) - set(given)):
        lines.append(f"Feature names seen at fit time, yet now missing: {', '.join(missing[:5])}.")
    if not unexpected and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
    raise InputError(" ".join(lines))


def _warn_of_large_numbers(rows: np.ndarray, columns: tuple[str, ...] | None) -> None:
    sizes = np.abs(rows).max(axis=0)
    worst = int(sizes.argmax())
    name = f"column {columns[worst]!r}" if columns else f"column {worst}"
    _warn(
        f"{name} reaches {sizes[worst]:g}, and a gaussian likelihood learns numbers of about unit "
        "size: pass scale='standard' (--scale standard)"
    )


def _warn(text: str) -> None:
    warnings.warn(text, DataWarning, stacklevel=2)
