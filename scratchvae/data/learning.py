"""Learn the format of a data set's rows, `RowFormat`, from the training data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError, warn_of_data
from .batches import check_rows, column_names, row_shape
from .images.shape import mostly_lowest, name_pixels
from .rows import BINARY, MAX_SIZE, NUMBERS, RowFormat, check_scale

DARK = 64  # uint8 pixels that are all below this were probably meant to have another white
COLUMNS = 1000  # tables with more columns are not searched for outliers
FAR = 100.0  # interquartile ranges from the median: a value that decides the scale of its column
SEVERAL = 24.0  # likewise, of an isolated value
WIDER = 4.0  # times the standard deviation of its column without it
CODES = [-1.0, -9.0, *(sign * (10.0**n - 1) for n in range(2, 7) for sign in (-1, 1))]  # -999, ...
KINDS = 5  # distinct other values, at least, for -1 or -9 to be a code rather than a class or rank
SOME = 10_000  # rows that quartiles are taken from
LARGE = 20.0  # a Gaussian likelihood, which starts with variance 1, learns larger numbers badly


def learn_format(
    X: Any, *, scale: str, unit_interval: bool, columns: Any = None, means: Any = None,
    where: Callable[[int], str] | None = None,
) -> RowFormat:  # fmt: skip
    """The format of X, from its shape, its column names and its values.

    unit_interval: the likelihood is one of pixels in [0, 1]; where(i) names row i in messages.
    Warns of values that a model would learn badly. Raises InputError for data that are not rows of
    numbers.
    """
    check_scale(scale)
    where = where or "row {} (counted from 0)".format
    columns = column_names(X) if columns is None else tuple(columns)
    rows = check_rows(X)
    D, shape = rows.shape[1], row_shape(X)
    pixels = unit_interval or shape is not None or D == 28 * 28 or name_pixels(columns)
    found = RowFormat(D, pixels, shape=shape, columns=columns, scale=scale)
    if rows.size == 0:
        return found
    if columns and means is None:
        means = rows.mean(axis=0, dtype=np.float64).tolist()
    ink = found.image_shape is None or mostly_lowest(rows)
    found = replace(found, means=tuple(means or ()), ink=ink)
    if rows.dtype == np.bool_:
        if pixels and scale == "none":
            return found
        rows = rows.view(np.uint8)
    low, high = float(rows.min()), float(rows.max())
    if max(-low, high) > MAX_SIZE:
        i, j = divmod(int(np.abs(rows).argmax()), D)
        raise InputError(
            f"the data reach {rows[i, j]:g} at {where(i)}, column {found.column(j)}, too large to "
            "learn from: leave that row out, or correct it"
        )
    top = high if high > low else low + max(1.0, abs(low))  # of a range that is not empty
    if rows.dtype == np.uint8 and pixels and scale in ("none", "bytes"):
        if high <= 1 and len(rows) > 1 and scale == "none":
            return replace(found, white=BINARY)
        if high < DARK:
            warn_of_data(
                f"the largest of these uint8 pixels is {high:g}, but white is 255: if white is "
                f"{high:g}, pass scale='minmax' (--scale minmax)"
            )
        return replace(found, high=255.0 if scale == "bytes" else 1.0)
    if scale == "bytes":
        return replace(found, high=255.0)
    if scale == "none":
        if not unit_interval and max(-low, high) > LARGE:
            _warn_of_large_numbers(rows, columns)
        return found if 0 <= low and high <= 1 else replace(found, low=low, high=top)
    if unit_interval and columns and found.image_shape is None:
        warn_of_data(f"a pixel likelihood fits columns of numbers badly: use {NUMBERS}")
    if found.image_shape is None and D <= COLUMNS:
        _warn_of_outliers(found, rows, where)
    return replace(_scaling(found, rows), low=low, high=top)


def _warn_of_outliers(form: RowFormat, rows: np.ndarray, where: Callable[[int], str]) -> None:
    """Warn of codes for missing values, and of a value that decides the scale of its column."""
    some = rows[:: max(1, len(rows) // SOME)]
    first, median, third = np.percentile(some, (25, 50, 75), axis=0)
    spread = third - first
    low, high = rows.min(axis=0).astype(float), rows.max(axis=0).astype(float)
    far = np.maximum(high - median, median - low) / np.where(spread > 0, spread, np.inf)
    empty = "replace it by the mean of the others"
    if form.columns:
        empty = "leave the cell empty and pass --missing mean (missing='mean')"
    ends = np.array([low, high]).T
    suspects = zip(*np.nonzero(np.isin(ends, CODES)), strict=True)
    codes = {j: ends[j, end] for j, end in suspects if _is_code(rows[:, j], ends[j, end])}
    if codes:
        j, value = next(iter(codes.items()))
        same = rows[:, j] == value
        n = int(same.sum())
        others = f" and {n - 1:,} more" if n > 1 else ""
        names = ", ".join(form.column(k) for k in [*codes][1:6]) + ", ..." * (len(codes) > 6)
        likewise = f"; also column {names}" if names else ""
        warn_of_data(
            f"column {form.column(j)} holds {value:.10g} in {where(int(same.argmax()))}{others}, "
            f"far from its other values{likewise}: if that is a code for a missing value, {empty}, "
            "or leave the row out"
        )
        far[list(codes)] = 0
    for j in np.argsort(-far, kind="stable"):
        if far[j] <= SEVERAL:
            break
        value = high[j] if high[j] - median[j] > median[j] - low[j] else low[j]
        if far[j] <= FAR and not _is_alone(rows[:, j], value, SEVERAL * spread[j]):
            continue
        at = where(int((rows[:, j] == value).argmax()))
        warn_of_data(
            f"column {form.column(j)} holds {value:.10g}, in {at}, {far[j]:.3g} interquartile "
            f"ranges from its median {median[j]:.10g}, and scale={form.scale!r} makes its other "
            "values almost equal: correct that value or leave its row out, or take logarithms of "
            f"the column; if it stands for a missing value, {empty}"
        )
        break


def _is_code(column: np.ndarray, value: float) -> bool:
    """Whether this end of the column's values, one of CODES, stands apart from the others."""
    rest = column[column != value].astype(float)
    kinds = np.unique(rest)
    if len(kinds) < (2 if abs(value) > 9 else KINDS):
        return False
    gap = min(abs(value - kinds[0]), abs(value - kinds[-1]))
    if value < 0 < kinds[0]:
        first, third = np.percentile(rest, (25, 75))
        return bool(gap > third - first or len(column) - len(rest) > 1)
    return bool(value != -1 and gap > kinds[-1] - kinds[0])


def _is_alone(column: np.ndarray, value: float, gap: float) -> bool:
    """Whether all other values are further away than the gap, and vary far less on their own."""
    column = column.astype(float)
    rest = column[column != value]
    return bool(np.abs(rest - value).min() > gap and column.std() > WIDER * rest.std())


def _scaling(form: RowFormat, rows: np.ndarray) -> RowFormat:
    """With offset and factor of these rows."""
    axis = None if form.shape else 0
    if form.scale == "standard":
        offset = rows.mean(axis=axis, dtype=np.float64)
        factor = rows.std(axis=axis, dtype=np.float64)
    else:
        offset = rows.min(axis=axis).astype(np.float64)
        factor = rows.max(axis=axis).astype(np.float64) - offset
    constant = (rows.min(axis=axis) == rows.max(axis=axis)) | (factor < 1 / MAX_SIZE)
    offset = np.where(constant, rows.min(axis=axis), offset)  # a mean of equals may be rounded
    factor = np.where(constant, 0.0, factor)
    return replace(
        form,
        offset=tuple(np.atleast_1d(offset).tolist()),
        factor=tuple(np.atleast_1d(factor).tolist()),
    )


def _warn_of_large_numbers(rows: np.ndarray, columns: tuple[str, ...] | None) -> None:
    sizes = np.abs(rows).max(axis=0)
    worst = int(sizes.argmax())
    name = f"column {repr(columns[worst]) if columns else worst}"
    warn_of_data(
        f"{name} reaches {sizes[worst]:g}, but a gaussian likelihood expects numbers of about unit "
        "size: pass scale='standard' (--scale standard)"
    )
