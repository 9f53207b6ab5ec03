"""Find out what kind of data a name means: embedded, IDX files, pictures, a table, or named
arrays. A `Source` says whether the data have their own splits, and reads one."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, InputError, say, whole_number
from ..files.home import expanded, nearest
from ..files.reading import refusing
from . import arrays, foreign, idx, images, shapes, strokes, tables
from .batches import check_columns, check_rows
from .labels import warn_of_others

IDX_SETS = ("mnist", "fashion-mnist")  # each a folder of four IDX files
EMBEDDED: dict[str, Any] = {"strokes": strokes, "shapes": shapes}  # each draws its images
NAMED = ("strokes", "shapes", *IDX_SETS)
PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".joblib")
PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
REMEDIES = {".txt": "if it is a table, rename it to .csv", ".heic": "convert it to JPEG"}
REMEDIES |= dict.fromkeys((".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), "save it as .xlsx")
# of files that are known by their ending, besides pictures
ENDINGS = (*tables.SUFFIXES, *arrays.SUFFIXES, foreign.MATLAB, *foreign.HDF5, *idx.SUFFIXES)
KINDS = (
    "a folder of pictures or of IDX files, a table (.csv, .tsv, .parquet, .xlsx), or arrays (.npz, "
    ".npy, .mat, .h5)"
)


@dataclass(frozen=True)
class Options:
    """How to read data. Each option belongs to one kind of data, and is refused for others."""

    size: Any = None  # of pictures: 32, (32, 48), or "32x48"
    grey: bool | None = None  # of pictures: None: colour, if one has colour
    array: str | None = None  # of files of arrays: the name of that which holds the rows
    label_column: str | int | None = None  # of tables; of files of arrays: the name of the labels
    drop: Sequence[str | int] | None = None  # of tables: columns to leave out
    missing: str | None = None  # of tables: "mean", "skip" (NaN stays), None: refuse such values
    header: bool | None = None  # of tables: whether the first row has names; None: by its content
    sheet: str | int | None = None  # of Excel files: the sheet to read; None: the first
    transpose: bool = False  # of IDX files: exchange rows and columns of each image
    array_required: bool = True  # whether an array that is not there is an error
    label_required: bool = True  # likewise label_column
    sheet_required: bool = True  # likewise sheet, and whether the file must have sheets
    labelled: str | None = None  # of files of arrays: the rows of that label_column, in a run
    also_drop: Sequence[str | int] | None = None  # of tables: left out if they are there
    means: tables.Means | None = None  # of tables: fill missing values with these
    learned: tuple[str | None, ...] = ()  # of tables: names of the columns of a fitted model
    skips: bool = False  # of tables: whether messages may offer --missing skip
    examples: tuple[tuple[int, ...], ...] = ()  # of arrays: shapes of one that is a single row
    remedy: str = "32"  # of pictures: the size that messages propose


KINDS_OF: dict[str, tuple[str, ...]] = {  # of data, that an option belongs to
    "size": ("pictures",), "grey": ("pictures",), "array": ("arrays",),
    "label_column": ("table", "arrays"), "drop": ("table",), "missing": ("table",),
    "header": ("table",), "sheet": ("table",), "transpose": ("idx",),
}  # fmt: skip
WORDS = {
    "pictures": "folder of pictures", "table": "table", "arrays": "file of named arrays",
    "idx": "set of IDX files",
}  # fmt: skip


class DataSet(NamedTuple):
    """Rows as they are stored, their labels, and the names of their columns."""

    X: np.ndarray  # (N,D), (N,H,W) or (N,H,W,3)
    y: np.ndarray | None  # (N,)
    columns: tuple[str, ...] | None = None
    means: tuple[float, ...] | None = None  # (D,), of a table whose missing values they fill
    files: tuple[str, ...] | None = None  # (N,), of pictures: the path of each below its folder
    numbers: np.ndarray | None = None  # (N,), of a part: the number of each row among all, from 0
    label: str | None = None  # of tables: the name of the labels' column, if it has one
    lines: np.ndarray | None = None  # (N,) of tables: where each row stands in its file, from 1
    place: str = ""  # names that place by its number, such as "line {} of t.csv"


class Source(NamedTuple):
    """A data set that is not read yet."""

    kind: str  # "embedded", "idx", "pictures", "table", "arrays", or "array" for one without a name
    splits: bool  # whether it has a training and a test split
    read: Callable[[str, bool], DataSet]  # of a split, or "all" without splits; whether to say more


def known_name(name: str | Path) -> str | None:
    """The data set meant by a name such as "MNIST" or "fashion_mnist"; None if none is."""
    if name in NAMED:
        return str(name)
    if not isinstance(name, str) or os.path.exists(name):
        return None
    plain = {re.sub("[-_ ]", "", known): known for known in NAMED}
    return plain.get(re.sub("[-_ ]", "", name.lower()))


def shown_name(name: str | Path) -> str:
    """The name of the data in messages; a file or folder named like a data set is distinguished."""
    if known := known_name(name):
        return known
    path = Path(expanded(name))
    return path.name + ("/" if path.is_dir() else "")


def source_of(name: str | Path, data_dir: str | Path | None, options: Options) -> Source:
    """The data set of this name, or at this path.

    Raises InputError for an unknown name, or an option that does not apply to this kind of data,
    and DataError if a file is invalid.
    """
    source = find_source(name, data_dir, options)
    for field in fields(options):
        kinds = KINDS_OF.get(field.name, (source.kind,))
        if source.kind not in kinds and getattr(options, field.name) != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            raise InputError(
                f"{flag} ({field.name}=) does not apply to {shown_name(name)}, which is not a "
                f"{' or '.join(WORDS[kind] for kind in kinds)}: leave it out"
            )
    return source


def find_source(name: str | Path, data_dir: str | Path | None, options: Options) -> Source:
    """Like `source_of`, but ignores options for other kinds of data."""
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"the data set must be a name or a path, got {type(name).__name__}")
    if not str(name):
        raise InputError("the name of the data set is empty: name one, such as strokes")
    known = known_name(name)
    if known in EMBEDDED:
        return Source("embedded", True, lambda split, _: _drawn(EMBEDDED[known], split))
    if known:
        return _idx_source(idx.named_folders(known, data_dir), known, "", options)
    path = Path(expanded(name))
    if path.is_dir():
        return _in_folder(path, options)
    if match := idx.NAME.fullmatch(path.name):
        return _idx_source([path.parent], str(name), match["set"] or "", options)
    if not path.exists():
        raise _missing(path, str(name))
    if idx.OWN_NAME.fullmatch(path.name):
        return Source(
            "idx", False, lambda *_: DataSet(_upright(idx.read_rows(path), options), None)
        )
    if tables.is_table(path):
        return _table_source({"all": path}, options)
    return _in_file(path, str(name), options)


def _drawn(data: Any, split: str) -> DataSet:
    X, y, _ = data.generate(split)
    return DataSet(X.reshape(-1, data.SIDE, data.SIDE), y)


# ----------------------------------------------------------------------------------- IDX files


def _idx_source(folders: list[Path], name: str, of_set: str, options: Options) -> Source:
    def read(split: str, verbose: bool) -> DataSet:
        for folder in folders:
            try:
                X, y = idx.read_split(
                    idx.sets_in(folder).get(of_set, {}), split, labels=name in IDX_SETS
                )
            except FileNotFoundError as error:
                missing = error
                continue
            if verbose and of_set.startswith(idx.TRANSPOSED) and not options.transpose:
                say(
                    f"{name}: EMNIST stores its images transposed; "
                    "--transpose (transpose=True) turns them upright"
                )
            return DataSet(_upright(X, options), y)
        file = f"{of_set}-{missing}" if of_set else missing
        remedy = "download them with train --download (download=True), " if name in IDX_SETS else ""
        raise DataError(
            f"{name}: no file {file}(.gz) in {' or '.join(map(str, folders))}: {remedy}put the "
            "four IDX files there, name their folder with --data-dir (data_dir=), or use the "
            "embedded --data strokes"
        ) from None

    return Source("idx", True, read)


def _upright(X: np.ndarray, options: Options) -> np.ndarray:
    return X.swapaxes(1, 2) if options.transpose and X.ndim > 2 else X


# ------------------------------------------------------------------------------------- folders


def _in_folder(folder: Path, options: Options) -> Source:
    below = [folder, folder / "raw", *(folder / raw for raw in idx.RAW.values())]
    places = [place for place in below if idx.sets_in(place)]
    if folder in places or len(places) == 1:
        sets = idx.sets_in(places[0])
        of_set = "" if "" in sets else _only(sets, places[0])
        return _idx_source(places[:1], str(folder), of_set, options)
    if places:
        raise DataError(
            f"{folder} holds several data sets: name the folder of one, such as --data {places[0]}"
        )
    with refusing(folder, DataError):
        files = [path for path in folder.iterdir() if path.is_file()]
    if of_arrays := arrays.sets_among(files):
        parts = of_arrays[_only(of_arrays, folder)]
        return _array_source(folder, lambda: arrays.of_folder(parts, files), options)
    of_tables = tables.sets_among(files)
    if images.holds_images(folder, unread=not of_tables):
        return _picture_source(folder, options)
    if of_tables:
        return _table_source(of_tables[_only(of_tables, folder)], options)
    raise DataError(
        f"{folder} holds no data: no file train-images-idx3-ubyte(.gz), no pictures, and no arrays "
        "or tables of two splits, such as x_train.npy and x_test.npy, or train.csv and test.csv"
        + (f"; name or rename one: {arrays.shown([f.name for f in files])}" if files else "")
    )


def _only(sets: Mapping[str, Mapping[Any, Path]], folder: Path) -> str:
    """The one data set in the folder. Raises DataError if there are several."""
    if len(sets) > 1:
        names = ", ".join(name or "one without a name" for name in sorted(sets))
        file = min(sets[min(sets)].values())
        raise DataError(
            f"{folder} holds several data sets ({names}): name a file of one, such as --data {file}"
        )
    return next(iter(sets))


def _picture_source(folder: Path, options: Options) -> Source:
    size = images.parse_size(options.size) if isinstance(options.size, str) else options.size
    if size is not None and np.ndim(size) == 0:
        size = (whole_number(size, "size"),) * 2

    def read(split: str, verbose: bool) -> DataSet:
        how: Any = {"grey": options.grey, "remedy": options.remedy, "verbose": verbose}
        found = images.read_images(folder, split, size=size, **how)
        return DataSet(found.X, found.y, files=found.files)

    return Source("pictures", folder.is_dir() and images.has_splits(folder), read)


def _table_source(files: dict[str, Path], options: Options) -> Source:
    of_tables = signature(tables.read_table).parameters
    how = {name: value for name, value in vars(options).items() if name in of_tables}
    train: DataSet | None = None

    def read(split: str, verbose: bool) -> DataSet:
        nonlocal train
        filling = split == "test" and options.missing == "mean" and options.means is None
        learned = train or read("train", False) if filling else None
        filled = how | {"means": learned.means} if learned else how
        table = tables.read_table(files[split], verbose=verbose, **filled)
        place = table.place and f"{table.place} of {files[split].name}"
        found = DataSet(**table._asdict() | {"place": place})
        if split == "train":
            train = found._replace(X=found.X[:0].copy(), y=None, lines=None)
        elif learned:
            check_columns(learned.columns, found.columns, "the training split")
            check_rows(found.X, learned.X.shape[1], "the training split")
        return found

    return Source("table", "all" not in files, read)


# ------------------------------------------------------------------------------------- arrays


def _in_file(path: Path, name: str, options: Options) -> Source:
    suffix, lower = path.suffix.lower(), path.name.lower()
    if suffix in images.SUFFIXES:
        return _picture_source(path, options)
    if lower.endswith(arrays.UNNAMED):
        unnamed = Options(examples=options.examples)
        return _array_source(path, lambda: arrays.of_file(path), unnamed)._replace(kind="array")
    if lower.endswith(arrays.SUFFIXES):
        # beside an array that is named, no other file is read
        of = arrays.of_file_and_partners if options.array is None else arrays.of_file
        return _array_source(path, lambda: of(path), options)
    if suffix in (foreign.MATLAB, *foreign.HDF5):
        of = foreign.of_matlab if suffix == foreign.MATLAB else foreign.of_hdf5
        return _array_source(path, lambda: of(path), options)
    if lower.endswith(PICKLED):
        raise InputError(
            f"{name} may hold pickled objects, which can run code when loaded: save its "
            "arrays with numpy.savez, as X and y"
        )
    if lower.endswith(PACKED):
        raise InputError(f"{name} is an archive: unpack it and name the folder")
    known = f"{', '.join(ENDINGS)}, and those of pictures, such as .png and .jpg"
    if suffix == ".txt" and _holds_tabs(path):
        raise InputError(f"{name} has the ending '.txt', which is not read: rename it to .tsv")
    remedy = REMEDIES.get(suffix, f"the endings of data are {known}")
    ending = f"the ending {suffix!r}, which is not read" if suffix else "no ending"
    raise InputError(f"{name} has {ending}: {remedy}")


def _holds_tabs(path: Path) -> bool:
    """Whether the first line of a text holds a tab."""
    with refusing(path, DataError), path.open("rb") as f:
        return b"\t" in f.readline(1 << 16)


def _missing(path: Path, name: str) -> InputError:
    """The error for a path that does not exist and is not the name of a data set."""
    near: str | Path | None = nearest(path)
    remedy = f"did you mean {near}?" if near else "check the path"
    if path.name.lower().endswith(ENDINGS):
        return DataError(f"there is no file {path}: {remedy}")
    if os.sep in name or "/" in name:
        return InputError(f"there is no file or folder {name}: {remedy}")
    near = near or next(iter(get_close_matches(name.lower(), NAMED, 1)), None)
    hint = f" Did you mean {near}?" if near else ""
    return InputError(
        f"unknown data set {name!r}, and no such file or folder: choose one of {', '.join(NAMED)}, "
        f"{KINDS}.{hint}"
    )


def _array_source(path: Path, opened: Callable[[], arrays.Arrays], options: Options) -> Source:
    with refusing(path, DataError, MemoryError):
        found = opened()
        needs = options.array_required, options.label_required
        pairs = arrays.chosen(found, options.array, options.label_column, needs, options.labelled)

    def read(split: str, verbose: bool) -> DataSet:
        warn_of_others(path, pairs[split], options.array, options.label_column, options.labelled)
        return DataSet(*arrays.read_split(path, found, pairs, split, verbose, options.examples))

    return Source("arrays", "all" not in pairs, read)
