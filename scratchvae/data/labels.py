"""Labels: match them to rows, find the classes in y, read them from text, and remove some for
training."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..backend import noise
from ..errors import InputError, warn
from ..files.reading import UnreadableFile, is_text

UNLABELLED = -1
MAX_LABEL = 200  # characters of a label: NumPy pads all labels to the length of the longest
MAX_LETTERS = 1 << 20  # classes times the longest name: NumPy pads all names to that length


def checked(
    X: np.ndarray, y: np.ndarray | None, others: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows and their labels (N,). Labels may be (N,1), or (N,C) one-hot, which become classes.

    Raises UnreadableFile if X does not hold rows, or the labels do not fit. others: whether the
    file may hold further arrays.
    """
    if X.ndim < 2:
        another = ", or name another one with --array NAME (array=)" if others else ""
        raise UnreadableFile(
            f"should hold rows, (N,D), but its array has the shape {X.shape}: reshape it{another}"
        )
    if y is None or y.shape == (len(X),):
        return X, y
    if y.size == len(X) and max(y.shape, default=1) == len(X):
        return X, y.reshape(len(X))
    if y.ndim == 2 and len(y) == len(X) and _is_one_hot(y):
        return X, y.argmax(axis=1)
    remedy = "name another array of labels, or '' for none, with --label-column (label_column=)"
    if y.ndim == 1 and len(y) in X.shape:
        axis = X.shape.index(len(y))
        remedy = f"save the data with axis {axis} of {X.shape} first, if it counts the rows"
    raise UnreadableFile(f"holds {len(X)} rows of data, but labels of shape {y.shape}: {remedy}")


def _is_one_hot(y: np.ndarray) -> bool:
    if y.dtype.kind not in "biuf":
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def warn_of_others(
    path: Any, pair: tuple[str, str | None], array: str | None, labels: Any, labelled: str | None
) -> None:
    """Warn if `pair` is read instead of the run's own rows `labelled` and their labels."""
    if labelled is None or pair[0] == labelled:
        return
    if array == labelled:
        there = f"{pair[0]!r} is" if pair[1] is None else f"{pair[0]!r} and {pair[1]!r} are"
        without = ", without labels" if labels and pair[1] is None else ""
        warn(f"{path} has no array {array!r}, as the run has: {there} read instead{without}")
    elif labels and pair[1] is None:
        warn(
            f"{path} has no labels that match {pair[0]!r} as {labels!r} matches {labelled!r}, the "
            "rows of the run, so none are read: name them with --label-column"
        )


def known_labels(y: Any) -> np.ndarray:
    """The distinct labels in y, sorted, without -1 (unlabelled)."""
    y = np.asarray(y)
    return np.unique(y[~missing(y)])


def read_classes(classes: Any) -> np.ndarray:
    """`classes_` from a JSON list. Raises InputError unless it holds sorted, distinct labels."""
    words = "classes must be a list of sorted, distinct labels: numbers, or names"
    if not isinstance(classes, list) or not classes:
        raise InputError(words)
    if all(isinstance(label, str) for label in classes):
        if not all(map(is_text, classes)):
            raise InputError("the name of a class is not valid Unicode")
        if max(map(len, classes)) * len(classes) > MAX_LETTERS:
            raise InputError("the names of the classes are too long")
    elif not all(isinstance(label, int | float) for label in classes):
        raise InputError(words)
    known = known_labels(classes)
    if known.tolist() != classes:
        raise InputError(words)
    return known


def missing(y: np.ndarray) -> np.ndarray:
    """Which rows are unlabelled: (N,) booleans."""
    return np.array(y == UNLABELLED) if y.dtype.kind in "iufO" else np.zeros(len(y), dtype=bool)


def whole(y: np.ndarray) -> np.ndarray:
    """Whole-number labels as int64: unsigned ones, so that -1 can mean unlabelled, and
    floating-point ones, as MATLAB stores them, with NaN (no label) as -1. Others are unchanged."""
    if y.dtype.kind == "f":
        gaps = np.isnan(y)
        known = y[~gaps]
        if not ((abs(known) < 2**53).all() and (known % 1 == 0).all()):
            return y
        y = np.where(gaps, UNLABELLED, y)
    return y.astype(np.int64) if y.dtype.kind in "uf" else y


def by_text(known: Any) -> dict[str, Any]:
    """The known labels by their text: "3" for 3 and for 3.0."""
    by_name = {str(label): label for label in np.asarray(known).tolist()}
    return by_name | {f"{v:g}": v for v in by_name.values() if isinstance(v, float)}


def rejoined(parts: Sequence[Any], known: Iterable[str]) -> list[Any]:
    """Undo the splitting of names at commas: parts that make up a known name become that name,
    unless each of them is a name by itself."""
    names = set(known)
    with_commas = {tuple(map(str.strip, name.split(","))): name for name in names if "," in name}
    longest = max(map(len, with_commas), default=1)
    found, i = [], 0
    while i < len(parts):
        runs = (tuple(parts[i : i + n]) for n in range(longest, 1, -1))
        run = next((r for r in runs if r in with_commas and not names.issuperset(r)), None)
        found.append(with_commas[run] if run else parts[i])
        i += len(run) if run else 1
    return found


def labels_named(names: Sequence[str], known: Any) -> list[Any]:
    """The labels with these texts. Raises InputError if one is unknown."""
    there = by_text(known)
    for name in names:
        if name not in there:
            choices = ", ".join(map(repr, np.asarray(known).tolist())) or "none"
            raise InputError(f"unknown label {name!r}: the labels are {choices}")
    return [there[name] for name in names]


def keep_labels(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Keep n random labels of y, the same number of each class, by the seed; set others to -1."""
    if y.dtype.kind not in "iufU":
        raise InputError(f"--labels needs labels that are whole numbers or text, not {y.dtype}")
    classes, counts = np.unique(y[~missing(y)], return_counts=True)
    if len(classes) == 0:
        raise InputError("--labels needs labels, but no row has one")
    if n % len(classes):
        raise InputError(
            f"--labels keeps the same number for each of the {len(classes)} classes, but {n} is "
            f"not a multiple of {len(classes)}: choose {len(classes)}, {2 * len(classes)}, ..."
        )
    each = n // len(classes)
    if each > counts.min():
        raise InputError(
            f"--labels {n} needs {each} of each class, but label {classes[counts.argmin()]} "
            f"has only {counts.min()}: lower it"
        )
    words = noise.bits(len(y), 1, seed=noise.check_seed(seed), stream=noise.LABELS)[:, 0]
    order = np.argsort(words, kind="stable")
    kept = np.concatenate([order[y[order] == label][:each] for label in classes])
    of = {"f": y.dtype, "U": np.dtype(object)}.get(y.dtype.kind, np.dtype(np.int64))
    few = np.full(len(y), UNLABELLED, dtype=of)
    few[kept] = y[kept]
    return few


def leave_out(X: np.ndarray, y: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """X and y without rows of these labels. Raises InputError if one is unknown or none is left."""
    keep = ~np.isin(y, labels_named(names, known_labels(y)))
    if not keep.any():
        raise InputError(f"--leave-out {','.join(names)} leaves no example to train on")
    return X[keep], y[keep]


def text_array(names: Iterable[str]) -> np.ndarray:
    """Names as scikit-learn passes them: an array (D,) of objects."""
    return np.array(list(names), dtype=object)
