"""Validate input arrays, and convert mini-batches to floating point.

uint8 images are stored as such and converted one mini-batch at a time, so a data set takes one byte
per pixel, also on the GPU.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from math import prod
from numbers import Real
from os import PathLike
from shlex import quote
from typing import Any

import numpy as np

from ..backend import Array, array_module, noise, to_numpy
from ..errors import InputError, InputTypeError, warn_of_data

BINARIZE = ("none", "static", "dynamic")
ROUNDING = 1e-6  # allowed distance from [0, 1], for rounding errors in scaled data


def check_rows(X: Any, n_features: int | None = None, model: str = "the model") -> np.ndarray:
    """Images or rows as an array (N,D) of finite numbers.

    (N, height, width) is flattened. `n_features` is the width that `model` expects. Raises
    InputError for anything else; some messages follow the wording that scikit-learn's estimator
    checks require.
    """
    kind = type(X).__name__
    if isinstance(X, (str, PathLike)):
        read = f"X, y = load_data({str(X)!r})"
        raise InputError(f"data must be real numbers, got a {kind}: read the file first, {read}")
    if isinstance(X, tuple) and [getattr(part, "ndim", 0) > 1 for part in X] == [True, False]:
        raise InputError(
            "data must be one array, got a tuple of data and labels, as load_data returns it: "
            "unpack it, X, y = load_data(...), and pass X and y"
        )
    if hasattr(X, "toarray"):
        raise InputError(f"data must be a dense array, got a sparse {kind}: pass X.toarray()")
    names = column_names(X)
    one = "[x]" if kind in ("list", "tuple") else "X.iloc[[i]]" if hasattr(X, "iloc") else "x[None]"
    X = _array(X, "data")
    if X.dtype.kind == "O" and X.ndim:
        if names and (text := [name for name, a in zip(names, X.T, strict=True) if _is_text(a)]):
            raise InputError(
                f"column {text[0]!r} holds text: encode it as numbers, or drop it and pass it as y"
            )
        try:
            X = X.astype(np.float64)
        except (TypeError, ValueError) as error:
            refused = InputTypeError if isinstance(error, TypeError) else InputError
            raise refused(
                f"data must be real numbers, got a {kind} of dtype object{_culprit(names, X)}: "
                f"{error}"
            ) from None
    if X.dtype.kind not in "buif":
        hint = "Complex data not supported: " if X.dtype.kind == "c" else ""
        raise InputError(f"{hint}data must be real numbers, got a {kind} of dtype {X.dtype}")
    if X.ndim < 2:
        hint = f". Reshape your data: pass {one} for one example" if X.size else ""
        raise InputError(
            f"data must be (examples, features), got a {kind} of shape {X.shape}{hint}"
        )
    whole, shape = X.shape, X.shape[1:]
    X = X.reshape(len(X), int(np.prod(shape)))
    if n_features is not None and X.shape[1] != n_features:
        turned = prod(whole[:-1]) == n_features
        axes = ": its last axis seems to count the examples, so pass numpy.moveaxis(X, -1, 0)"
        raise InputError(
            f"X has {X.shape[1]} features, but {model} is expecting {n_features} features as input"
            f"{axes if turned else ''}"
        )
    if X.shape[1] == 0:
        raise InputError(
            f"the data have 0 feature(s) (shape={X.shape}) while a minimum of 1 is required: their "
            "second dimension is empty"
        )
    if X.dtype.kind == "f" and not np.isfinite([X.min(initial=0), X.max(initial=0)]).all():
        row, column = np.argwhere(~np.isfinite(X))[0]
        value = "NaN" if np.isnan(X[row, column]) else X[row, column]
        inside = tuple(map(int, np.unravel_index(column, shape)))
        place = f"column {repr(names[column]) if names else column}"
        where = f"row {row}, {place if len(shape) == 1 else f'position {inside}'}"
        raise InputError(f"the data hold {value} at {where}: fill or drop such values")
    return X


def _culprit(names: tuple[str, ...] | None, X: np.ndarray) -> str:
    """The first named column that holds something other than numbers, in words."""
    columns = zip(names or (), X.T, strict=False)
    bad = (name for name, column in columns if not all(isinstance(v, Real) for v in column))
    return f" (column {name!r})" if (name := next(bad, None)) else ""


def _is_text(column: np.ndarray) -> bool:
    return any(isinstance(value, str) for value in column)


def _array(a: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(to_numpy(a))
    except ValueError:
        raise InputError(f"{name} must be a rectangular array: its rows differ in length") from None


def row_shape(X: Any) -> tuple[int, ...] | None:
    """The shape of each row of X, or None if the rows are flat."""
    shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
    return tuple(map(int, shape[1:])) if len(shape) > 2 else None


def column_names(X: Any) -> tuple[str, ...] | None:
    """The column names of a DataFrame, if all are text; else None."""
    names = getattr(X, "columns", None)
    if names is None or callable(names):
        return None
    names = tuple(names)
    return names if names and all(isinstance(name, str) for name in names) else None


def check_columns(known: tuple[str, ...] | None, given: tuple[str, ...] | None, model: str) -> None:
    """Raises InputError, in scikit-learn's words, if both are named and differ.

    Warns if only the given ones are named.
    """
    if known is None and given is not None:
        warn_of_data(f"X has feature names, but {model} was fitted without feature names")
    if known is None or given is None or known == given:
        return
    lines = ["The feature names should match those that were passed during fit."]
    if unexpected := sorted(set(given) - set(known)):
        lines.append(f"Feature names unseen at fit time: {', '.join(unexpected[:5])}.")
    if missing := sorted(set(known) - set(given)):
        lines.append(f"Feature names seen at fit time, yet now missing: {', '.join(missing[:5])}.")
    for name in unexpected[:5]:
        if near := get_close_matches(name, missing, 1):
            lines.append(f"For {name!r}, did you mean {near[0]!r}?")
    if unexpected and not missing:
        lines.append(f"Leave them out (--drop {quote(','.join(unexpected))}).")
    elif missing and not unexpected:
        columns = f"an empty column {missing[0]}" if len(missing) == 1 else "them as empty columns"
        drop = quote(",".join(missing)) if len(missing) <= 5 else "NAME,NAME"
        lines.append(
            f"Add {columns} and pass --missing mean (missing=), or train again with --drop {drop}."
        )
    elif not unexpected and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
        lines.append(f"It is {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}.")
    raise InputError(" ".join(lines))


def check_codes(z: Any, width: int, name: str, n: int | None = None) -> np.ndarray:
    """Finite codes or noise of shape (n, width), any n if None. Raises InputError otherwise."""
    z = _array(z, name)
    wanted = (len(z) if z.ndim and n is None else n, width)
    if z.shape != wanted or z.dtype.kind not in "biuf" or not np.isfinite(z).all():
        shape = f"({'N' if n is None else n}, {width})"
        raise InputError(f"{name} must be finite numbers of shape {shape}, got {z.dtype} {z.shape}")
    return z if z.dtype.kind == "f" else z.astype(np.float64)


def to_float(batch: Array, out: Array) -> Array:
    """Write a batch into the floating-point array `out`; uint8 is divided by 255."""
    xp = array_module(out)
    if batch.dtype == xp.uint8:
        return xp.divide(batch, 255, out=out, dtype=out.dtype)
    out[...] = batch
    return out


def binarized(x: Array, **key: Any) -> Array:
    """Replace x, in place, by Bernoulli samples: 1 with probability x, else 0; keyed by row."""
    xp = array_module(x)
    return xp.less(noise.uniform(*x.shape, **key, dtype=x.dtype, xp=xp), x, out=x)


def binarized_once(X: np.ndarray, n_pixels: int, *, seed: int) -> np.ndarray:
    """One Bernoulli sample of a whole data set, uint8 of 0 and 255; the same for equal images.

    Only the first n_pixels columns are sampled; the others are one-hot labels.
    """
    out = np.empty(X.shape, dtype=np.uint8)
    for rows in chunks(len(X), 4096):
        x = to_float(X[rows], np.empty(X[rows].shape, dtype=np.float32))
        pixels = x[:, :n_pixels]
        binarized(pixels, seed=seed, stream=noise.FIXED, row=noise.row_keys(pixels))
        out[rows] = x * 255
    return out


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(n); one empty slice if n is 0."""
    for start in range(0, max(n, 1), size):
        yield slice(start, min(start + size, n))
