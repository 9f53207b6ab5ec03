"""Named arrays: find the data and the labels of a split by commonly used names.

The arrays come from a .npy, .npz, .mat or HDF5 file, or from several files of one array each. Only
the arrays of a split are read.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError, InputTypeError, say
from ..files.npz import names_in, read_npy, read_npz
from ..files.reading import UnreadableFile, refusing
from .labels import checked

X_NAMES = ("x", "images", "imgs", "image", "img", "data")  # in order of preference
Y_NAMES = ("y", "labels", "label", "targets", "target")
TEST = ("test", "val", "valid", "validation")  # likewise
ROLE = re.compile(
    "(?:(?P<set>.*?)[-_. ])??"
    f"(?:(?P<before>train|{'|'.join(TEST)})[-_. /]?)?"
    f"(?P<role>{'|'.join((*X_NAMES, *Y_NAMES))})"
    f"(?:[-_. /]?(?P<after>train|{'|'.join(TEST)}))?",
    re.IGNORECASE,
)
POSITIONAL = ("arr_0", "arr_1")  # as numpy.savez(file, X, y) names them
UNNAMED = (".npy", ".npy.gz")  # a file of one array, which has no name
SUFFIXES = (*UNNAMED, ".npz")
FEW = 8  # names in a message

Pair = tuple[str, str | None]  # the names of data and labels


class Arrays(NamedTuple):
    """Arrays of a file by name; `read` returns those of the given names."""

    names: list[str]
    read: Callable[[Collection[str]], dict[str, np.ndarray]]
    texts: Collection[str] = ()  # further names, of text, which can only be labels
    counts: Mapping[str, int] | None = None  # of MATLAB: for how many rows each would hold labels


def of_file(path: Path) -> Arrays:
    """The arrays of a .npy, .npy.gz or .npz file."""
    if path.suffix.lower() != ".npz":
        return Arrays(["X"], lambda _: {"X": read_npy(path)})
    return Arrays(names_in(path), lambda wanted: read_npz(path, wanted))


def of_file_and_partners(path: Path) -> Arrays:
    """The arrays of a file, or of the data set that a .npz file is part of, as in KMNIST."""
    found = of_file(path)
    parts = partners(path) if len(found.names) == 1 else {}
    named = [(*name.partition("_")[::2], part) for name, part in parts.items()]
    splits = {split for role, split, _ in named if role.lower() in X_NAMES}
    if len(splits) == 1:  # that of the file, which is the data as it was asked for
        parts = {role: part for role, split, part in named if split in splits}
    return of_files(parts) if parts else found


def of_folder(parts: dict[str, Path], files: Iterable[Path]) -> Arrays:
    """The arrays of a data set in a folder; those of its other files are named as the files are."""
    rest = (path for path in files if path not in parts.values())
    return of_files(parts | {f.name: f for f in rest if f.name.lower().endswith(SUFFIXES)})


def partners(path: Path) -> dict[str, Path]:
    """The .npz files of the data set that this one is part of by its name, itself included."""
    match = ROLE.fullmatch(path.stem)
    if path.suffix.lower() != ".npz" or not (match and _split(match)):
        return {}
    beside = (other for other in path.parent.iterdir() if other.suffix.lower() == ".npz")
    parts = sets_among(beside).get(match["set"] or "", {})
    return parts if path in parts.values() else {}


def of_files(files: dict[str, Path]) -> Arrays:
    """The arrays of files that hold one each."""

    def read(wanted: Collection[str]) -> dict[str, np.ndarray]:
        found = {}
        for name in wanted:
            with refusing(files[name], DataError):
                arrays = of_file(files[name])
                if len(arrays.names) != 1:
                    raise UnreadableFile(
                        f"should hold one array, but holds {shown(arrays.names)}: load this "
                        "file alone, and name the array of the rows with --array NAME (array=)"
                    )
                (found[name],) = arrays.read(arrays.names).values()
        return found

    return Arrays(list(files), read)


def sets_among(paths: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Data sets in files of one array each, such as kmnist-train-imgs.npz: by the name of the set,
    the file of each array. Sets without data are left out."""
    sets: dict[str, list[tuple[re.Match[str], Path]]] = {}
    for path in sorted(paths):
        stem = next((path.name[: -len(s)] for s in SUFFIXES if path.name.lower().endswith(s)), "")
        if match := ROLE.fullmatch(stem):
            sets.setdefault(match["set"] or "", []).append((match, path))
    found = {}
    for name, parts in sets.items():
        if any(_is_data(match) for match, _ in parts):
            found[name] = {f"{m['role']}_{_split(m)}".strip("_"): path for m, path in parts}
    return found


def _split(match: re.Match[str]) -> str:
    return (match["before"] or match["after"] or "").lower()


def _is_data(match: re.Match[str]) -> bool:
    return match["role"].lower() in X_NAMES


def chosen(
    found: Arrays, array: str | None, labels: str | int | None, needs: tuple[bool, bool],
    labelled: str | None = None,
) -> dict[str, Pair]:  # fmt: skip
    """`pairs_of` the arrays, or {"all": ...} if named: the names of the rows and of the labels.

    labels: "" for none. needs: whether each name must exist; if not, a missing one is ignored.
    labelled: the rows of these labels in a run; other rows have others.
    """
    texts, every = set(found.texts), [*found.names, *found.texts]
    if not isinstance(array, str | None):
        raise InputTypeError(f"array must be the name of an array of the file, got {array!r}")
    if not isinstance(labels, str | None):
        raise InputTypeError(f"label_column must be the name of an array here, got {labels!r}")
    if not needs[0] and array not in found.names:
        array = _of_another_group(array, found.names)
    if not needs[1] and labels and array and (array != labelled or labels not in every):
        labels = _labels_beside(array, labels, found)
    elif not needs[1] and labels not in {*every, ""}:
        labels = _of_another_group(labels, every)
    for name in (array, labels):
        if name and name not in every:
            raise UnreadableFile(_no_array(name, every))
    if array is None:
        pairs = pairs_of(
            [name for name in found.names if name != labels], texts - {labels}, labels is not None
        )
        if not labels:
            return pairs if labels is None else {s: (data, None) for s, (data, _) in pairs.items()}
        if "all" not in pairs:
            raise UnreadableFile(
                f"has splits: beside the labels {labels!r}, name their rows with --array (array=)"
            )
        array = pairs["all"][0]
        if labelled and not needs[1]:
            labels = _labels_beside(array, labels, found) or None
        return {"all": (array, labels)}
    if array not in found.names:
        raise UnreadableFile(_no_array(array, found.names, " of numbers" * (array in found.texts)))
    if array == labels:
        raise UnreadableFile(
            f"has one array {array!r}, which cannot be both rows and labels: name two arrays "
            "with --array and --label-column (array=, label_column=)"
        )
    if labels is None:
        labels = _labels_of(array, found)
        if array == POSITIONAL[0] and set(found.names) == set(POSITIONAL):
            labels = POSITIONAL[1]
    return {"all": (array, labels if labels and labels != array else None)}


def _of_another_group(name: str | None, names: Collection[str]) -> str | None:
    """The one array that has this name in another group of an HDF5 file, else None."""
    alike = [n for n in names if name and n.rpartition("/")[2] == name.rpartition("/")[2]]
    return alike[0] if len(alike) == 1 else None


def _labels_beside(array: str, labels: str, found: Arrays) -> str | None:
    """The labels of these rows that match those of a run: in the same group, with the same name or
    of the same set and split. "" for none, None if names may decide."""
    group = array[: array.rfind("/") + 1]
    every = [n.removeprefix(group) for n in (*found.names, *found.texts) if n.startswith(group)]
    rows, own = ROLE.fullmatch(array.removeprefix(group)), labels.rpartition("/")[2]
    of = ROLE.fullmatch(own)
    if rows and of and _key(rows) != _key(of):
        matches = ((name, ROLE.fullmatch(name)) for name in every)
        same = (n for n, m in matches if m and _key(m) == _key(rows) and not _is_data(m))
        own = next(same, "")
    return group + own if own in every else "" if group else None


def _key(match: re.Match[str]) -> tuple[str, str]:
    return match["set"] or "", _split(match)


def _labels_of(array: str, found: Arrays) -> str | None:
    """The labels whose name matches that of the rows: of the same set and split."""
    match = ROLE.fullmatch(array)
    if match and match["set"]:
        parts = ((name, ROLE.fullmatch(name)) for name in (*found.names, *found.texts))
        same = (n for n, m in parts if m and _key(m) == _key(match) and not _is_data(m))
        return next(same, None)
    known = (name for name in found.names if (m := ROLE.fullmatch(name)) and not _is_data(m))
    roles = _unambiguous_roles(list(known), found.texts)  # those of other rows matter to nobody
    return roles.get((_split(match) if match else "", False))


def _no_array(name: str, names: Collection[str], of: str = "") -> str:
    in_groups = sorted(n for n in names if n.startswith(f"{name}/") or n.endswith(f"/{name}"))
    near = in_groups or get_close_matches(name, names, 1)
    rest = (
        f"did you mean {' or '.join(shown([n]) for n in near[:FEW])}?"
        if near
        else f"it holds {shown(names) or 'nothing'}"
    )
    return f"has no array{of} {shown([name]) or repr(name)}: {rest}"


def pairs_of(
    names: Collection[str], texts: Collection[str] = (), labels_told: bool = False
) -> dict[str, Pair]:
    """The names of data and labels of "train" and "test", or of "all" rows if there are no splits.

    texts: names of arrays of text, which can only be labels. Raises UnreadableFile if the names
    do not decide.
    """
    roles = _unambiguous_roles(names, texts)
    tests = [split for split in TEST if (split, True) in roles]
    if ("train", True) in roles and tests:
        return {
            split: (roles[own, True], roles.get((own, False)))
            for split, own in (("train", "train"), ("test", tests[0]))
        }
    labels = roles.get(("", False))
    if not any(is_data for split, is_data in roles if split):
        if ("", True) in roles:
            return {"all": (roles["", True], labels)}
        others = [name for name in names if name != labels]
        if len(others) == 1:
            return {"all": (others[0], labels)}
        if len(names) == 1 and labels:  # the only array: whatever its name
            return {"all": (labels, None)}
        if set(names) == set(POSITIONAL):
            return {"all": POSITIONAL}
    beside = ""
    if not (labels or labels_told) and len([*names, *texts]) > 1:
        beside = ", and any labels with --label-column NAME (label_column=)"
    raise UnreadableFile(
        "should hold X (and y), or x_train and x_test, or names like images, data, labels; it "
        f"holds {shown([*names, *texts]) or 'nothing'}: name the array of the rows with --array "
        f"NAME (array=){beside}"
    )


def _roles(names: Collection[str]) -> dict[tuple[str, bool], str]:
    """The first name of each split ("" for none), and of data (True) and labels (False)."""
    order = (*X_NAMES, *Y_NAMES)
    found: dict[tuple[str, bool], tuple[int, str]] = {}
    for name in names:
        match = ROLE.fullmatch(name)
        if match is None or match["set"] is not None or (match["before"] and match["after"]):
            continue
        key = _split(match), _is_data(match)
        place = order.index(match["role"].lower())
        found[key] = min(found.get(key, (len(order), "")), (place, name))
    return {key: name for key, (_, name) in found.items()}


def _unambiguous_roles(
    names: Collection[str], texts: Collection[str]
) -> dict[tuple[str, bool], str]:
    """`_roles` of the names, and labels of text where there are no others."""
    labels = {role: name for role, name in _roles(texts).items() if not role[1]}
    every = [*names, *labels.values()]
    if len({name.lower() for name in every}) < len(every):
        raise UnreadableFile(
            "holds arrays whose names differ only in case: name those to be read "
            "with --array and --label-column (array=, label_column=)"
        )
    return labels | _roles(names)


def read_split(
    path: Path, found: Arrays, pairs: Mapping[str, Pair], split: str, verbose: bool,
    examples: Collection[tuple[int, ...]] = (),
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """`checked` rows and labels of a split. examples: shapes of an array that is one row; verbose:
    print what is ignored and what is assumed."""

    def tell(text: str) -> None:
        if verbose:
            say(f"{path}: {text}")

    name, labels = pairs[split]
    wanted = [name] if labels is None else [name, labels]
    if rest := {*found.names, *found.texts} - {n for pair in pairs.values() for n in pair if n}:
        what = " and ".join(shown([n]) for n in wanted)
        tell(f"reading {what}; other arrays are ignored: {shown(rest)}")
    with refusing(path, DataError, MemoryError):
        content = found.read(wanted)
        X, y = content[name], None if labels is None else content[labels]
        if X.shape in examples:
            X = X[None]
        elif found.counts is not None:
            X = _rows_first(X, name, labels, found, tell)
        return checked(X, y, len(found.names) > 1)


def _rows_first(
    X: np.ndarray, name: str, labels: str | None, found: Arrays, tell: Callable[[str], None]
) -> np.ndarray:
    """MATLAB's data with the rows first: the number of labels shows which axis counts them.

    Labels whose name matches that of the data count even if they are not read.
    """
    if labels is None:
        with suppress(UnreadableFile):
            labels = _labels_of(name, found)
    n = (found.counts or {}).get(labels or "", -1)
    axes = shown([name])
    if X.ndim < 2 or len(X) == n != X.shape[-1]:
        return X
    if len(X) != n == X.shape[-1]:
        tell(f"the last axis of {axes} counts its rows, as the labels {shown([labels or ''])} show")
        return np.moveaxis(X, -1, 0)
    tell(
        f"the first axis of {axes} {X.shape} is assumed to count its rows, as no labels show it; "
        "if it is the last, transpose the array in the file"
    )
    return X


def shown(names: Collection[str]) -> str:
    """Names of arrays in a message: a few, and how many more there are."""
    few = [name if name.isprintable() else ascii(name) for name in sorted(names)[:FEW]]
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(name if len(name) <= 60 else f"{name[:60]}..." for name in few) + more
