"""Named arrays: which are data and labels, what is not read, and files of MATLAB and HDF5."""

import builtins
import gzip
import struct
import zipfile
import zlib
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchvae import DataError, load_data
from scratchvae.data.arrays import checked, pairs_of
from scratchvae.files.reading import UnreadableFile

X, Y = np.arange(24, dtype=np.uint8).reshape(6, 2, 2), np.array([2, 0, 1, 2, 0, 1])


def refused(path, **options):
    """The one sentence with which a file is refused."""
    with pytest.raises(DataError) as error:
        load_data(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        ("X", {"all": ("X", None)}),
        ("X y", {"all": ("X", "y")}),
        ("images labels", {"all": ("images", "labels")}),
        ("data target", {"all": ("data", "target")}),
        ("data target images DESCR", {"all": ("images", "target")}),  # load_digits()
        ("imgs latents_classes latents_values metadata", {"all": ("imgs", None)}),  # dSprites
        ("arr_0", {"all": ("arr_0", None)}),
        ("arr_0 arr_1", {"all": ("arr_0", "arr_1")}),
        ("faces", {"all": ("faces", None)}),
        ("faces y", {"all": ("faces", "y")}),
        ("labels", {"all": ("labels", None)}),
        ("x_train x_test", {"train": ("x_train", None), "test": ("x_test", None)}),
        (
            "x_train y_train x_test",
            {"train": ("x_train", "y_train"), "test": ("x_test", None)},
        ),
        (
            "train_images train_labels val_images val_labels test_images test_labels",  # MedMNIST
            {"train": ("train_images", "train_labels"), "test": ("test_images", "test_labels")},
        ),
        (
            "X_train X_valid y_valid",
            {"train": ("X_train", None), "test": ("X_valid", "y_valid")},
        ),
        ("Xtrain Xval", {"train": ("Xtrain", None), "test": ("Xval", None)}),
        ("train/x test/x", {"train": ("train/x", None), "test": ("test/x", None)}),
        ("train-data test.data", {"train": ("train-data", None), "test": ("test.data", None)}),
    ],
)
def test_data_and_labels_are_found_by_name(names, pairs):
    assert pairs_of(names.split()) == pairs
    assert pairs_of(names.split()[::-1]) == pairs


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("", "it holds nothing"),
        ("a b", "it holds a, b"),
        ("x_train", "it holds x_train"),
        ("x_train X", "it holds X, x_train"),
        ("x_test y_test", "it holds x_test, y_test"),
        ("y_train y_test", "it holds y_test, y_train"),
        ("arr_0 arr_1 arr_2", "it holds arr_0, arr_1, arr_2"),
        ("my_x my_y other", "it holds my_x, my_y, other"),
        ("train_x_test other", "it holds other, train_x_test"),
        ("X x", "holds arrays whose names differ only in case"),
    ],
)
def test_names_that_do_not_tell_are_refused(names, told):
    with pytest.raises(UnreadableFile) as error:
        pairs_of(names.split())
    told += ":" if "holds arrays" in told else ": name the array of the rows with --array NAME (arr"
    assert told in str(error.value)


@given(st.lists(st.text("xy_train.tesvl/0", max_size=9), unique=True, max_size=5))
def test_any_names_are_understood_or_refused(names):
    try:
        pairs = pairs_of(names)
    except UnreadableFile:
        return
    assert pairs.keys() in ({"all"}, {"train", "test"})
    for data, labels in pairs.values():
        assert data in names
        assert labels is None or labels in names


def test_labels_may_be_a_column_or_one_hot():
    for y in (Y, Y[:, None], Y[None], Y[:, None, None]):
        np.testing.assert_array_equal(checked(X, y)[1], Y)
    for dtype in (bool, np.uint8, float):
        np.testing.assert_array_equal(checked(X, np.eye(3, dtype=dtype)[Y])[1], Y)
    names = Y[:, None].astype(str)
    np.testing.assert_array_equal(checked(X, names)[1], names[:, 0])
    assert checked(X, None)[1] is None


@pytest.mark.parametrize(
    "y",
    [
        np.zeros((6, 3)), np.ones((6, 3)), np.eye(6)[:, :3], np.full((6, 2), 0.5), np.zeros((2, 3)),
        np.zeros(5), np.zeros(()), np.full((6, 2), "a"), np.eye(3), np.eye(7)[:, :2],
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(y):
    with pytest.raises(UnreadableFile, match="holds 6 rows of data, but labels of shape"):
        checked(X, y)


def test_a_single_row_keeps_its_label():
    assert checked(X[:1], np.array([[3]]))[1].tolist() == [3]


def test_medmnist_and_dsprites_are_read(tmp_path, capsys):
    path = tmp_path / "med.npz"
    np.savez(
        path, train_images=X, train_labels=Y[:, None], val_images=X[:1], val_labels=Y[:1, None],
        test_images=X[:2], test_labels=Y[:2, None],
    )  # fmt: skip
    for split, n in (("train", 6), ("test", 2)):
        found, labels = load_data(path, split, verbose=True)
        np.testing.assert_array_equal(found, X[:n])
        np.testing.assert_array_equal(labels, Y[:n])
        other = "val_images, val_labels"
        said = f"reading {split}_images and {split}_labels; other arrays are ignored: {other}\n"
        assert capsys.readouterr().out == f"{path}: {said}"
    assert load_data(path, "all")[0].shape == (8, 2, 2)

    path = tmp_path / "dsprites.npz"
    imgs = np.zeros((3000, 64, 64), np.uint8)
    imgs[::2, :30] = 1
    facts = np.array({"author": "nobody"}, dtype=object)
    np.savez_compressed(path, metadata=facts, imgs=imgs, latents_classes=np.zeros((3000, 6)))
    assert path.stat().st_size < imgs.size / 110
    found, labels = load_data(path, "all")
    np.testing.assert_array_equal(found, imgs)
    assert labels is None


def test_members_that_nobody_asks_for_are_not_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=X)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as z:
        z.writestr("readme.txt", "no array")
        z.writestr("../damaged.npy", "no array")
    np.testing.assert_array_equal(load_data(path, "all")[0], X)


def test_a_flipped_bit_in_a_name_cannot_hide_the_labels(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=X, y=Y)
    content = path.read_bytes()
    for at in (content.index(b"y.npy"), content.rindex(b"y.npy")):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            assert str(path) in refused(path)


def test_an_array_of_objects_that_is_asked_for_is_named_with_a_remedy(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=X, y=np.array(list("abcabc"), dtype=object))
    assert refused(path) == (
        f"{path} holds 'y', an array of dtype object, but only numbers and text are read: convert "
        "it with .astype(float), or .astype(str) for names, and save it again"
    )
    np.save(tmp_path / "a.npy", np.array([[1, None]]))
    assert "a.npy holds an array of dtype object, but" in refused(tmp_path / "a.npy")


# ------------------------------------------------------------------------------- several files


def kmnist(folder, splits=("train", "test"), name="kmnist-"):
    for split in splits:
        n = 6 if split == "train" else 3
        np.savez_compressed(folder / f"{name}{split}-imgs.npz", X[:n])
        np.savez_compressed(folder / f"{name}{split}-labels.npz", Y[:n])


def test_kmnists_pairs_of_files_given_the_folder_or_one_of_them(tmp_path):
    kmnist(tmp_path)
    (tmp_path / "kmnist_classmap.csv").write_text("index,char\n0,o\n")
    given = [tmp_path, *tmp_path.glob("*.npz")]
    assert len(given) == 5
    for path in given:
        for split, n in (("train", 6), ("test", 3)):
            found, labels = load_data(path, split)
            np.testing.assert_array_equal(found, X[:n])
            np.testing.assert_array_equal(labels, Y[:n])


def test_of_one_pair_that_is_named_a_tenth_is_the_test_split(tmp_path):
    kmnist(tmp_path, ["train"])
    assert "it holds imgs_train, labels_train: name the array" in refused(tmp_path)
    pair = tmp_path / "kmnist-train-imgs.npz"
    for path, options in ((pair, {}), (tmp_path, {"array": "imgs_train"})):
        np.testing.assert_array_equal(load_data(path, "all", **options)[1], Y)
        assert len(load_data(path, "test", **options)[0]) == 1


def test_two_sets_in_a_folder_are_named_and_each_can_be_chosen(tmp_path):
    kmnist(tmp_path)
    kmnist(tmp_path, name="k49-")
    assert refused(tmp_path) == (
        f"{tmp_path} holds several data sets (k49, kmnist): name a file of one, such as --data "
        f"{tmp_path / 'k49-test-imgs.npz'}"
    )
    assert len(load_data(tmp_path / "k49-test-imgs.npz", "all")[0]) == 9


def test_a_folder_of_npy_files(tmp_path):
    np.save(tmp_path / "X_train.npy", X)
    np.save(tmp_path / "y_train.npy", Y)
    np.save(tmp_path / "X_test.npy", X[:2])
    found, labels = load_data(tmp_path)
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, Y)
    assert load_data(tmp_path, "test")[1] is None
    assert len(load_data(tmp_path / "X_train.npy", "all")[0]) == 6, "a file that is named is one"


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_split_alone_in_a_folder_is_refused_with_the_file_that_is_left_over(tmp_path, split):
    np.save(tmp_path / f"x_{split}.npy", X)
    np.save(tmp_path / f"y_{split}.npy", Y)
    told = "should hold X (and y), or x_train and x_test, or names like images, data, labels; "
    remedy = "name the array of the rows with --array NAME (array=)"
    assert f"{told}it holds x_{split}, y_{split}: {remedy}" in refused(tmp_path)
    np.save(tmp_path / "x_tset.npy", X)
    (tmp_path / "notes.txt").write_text("")
    names = ", ".join(sorted(("x_tset.npy", f"x_{split}", f"y_{split}")))
    assert f"{told}it holds {names}: {remedy}" in refused(tmp_path)
    found, labels = load_data(tmp_path, "all", array=f"x_{split}")
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, Y)
    assert load_data(tmp_path, "all", array="x_tset.npy")[1] is None


def test_the_file_of_one_split_is_a_whole_set_if_it_is_named(tmp_path):
    np.savez(tmp_path / "x_train.npz", X)
    np.savez(tmp_path / "y_train.npz", Y)
    np.savez(tmp_path / "y_test.npz", Y)
    found, labels = load_data(tmp_path / "x_train.npz", "all")
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, Y)


def test_a_part_that_is_damaged_or_holds_several_arrays_is_named(tmp_path):
    kmnist(tmp_path)
    part = tmp_path / "kmnist-train-labels.npz"
    np.savez(part, a=Y, b=Y)
    assert refused(tmp_path) == (
        f"{part} should hold one array, but holds a, b: load this file alone, and name the array "
        "of the rows with --array NAME (array=)"
    )
    part.write_bytes(part.read_bytes()[:50])
    assert refused(tmp_path).startswith(f"{part} is damaged")


# --------------------------------------------------------------------------------------- .npy.gz


def test_a_gzipped_array_and_every_truncation_of_it(tmp_path):
    path = tmp_path / "a.npy.gz"
    np.save(tmp_path / "a.npy", X)
    whole = gzip.compress((tmp_path / "a.npy").read_bytes())
    path.write_bytes(whole)
    np.testing.assert_array_equal(load_data(path, "all")[0], X)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert str(path) in refused(path)
    path.write_bytes(gzip.compress((tmp_path / "a.npy").read_bytes() + b"\0"))
    assert refused(path) == f"{path} is longer than it claims: get the file again"
    path.write_bytes((tmp_path / "a.npy").read_bytes())  # not gzipped after all
    np.testing.assert_array_equal(load_data(path, "all")[0], X)


# ---------------------------------------------------------------------------------------- MATLAB


@pytest.fixture
def matlab():
    return pytest.importorskip("scipy.io", reason="SciPy is not installed")


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_matlab_files(tmp_path, matlab, options):
    path = tmp_path / "a.mat"
    rows = X.reshape(6, 4)
    matlab.savemat(path, {"X": rows, "y": Y[:, None].astype(float)}, **options)
    found, labels = load_data(path, "all")
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_array_equal(labels, Y)
    assert labels.dtype == np.int64


def test_matlabs_last_axis_may_count_the_examples(tmp_path, matlab):
    path = tmp_path / "train_32x32.MAT"
    colour = np.arange(6 * 2 * 2 * 3, dtype=np.uint8).reshape(6, 2, 2, 3)
    matlab.savemat(path, {"X": np.moveaxis(colour, 0, -1), "y": Y[:, None]}, appendmat=False)
    found, labels = load_data(path, "all")
    np.testing.assert_array_equal(found, colour)
    np.testing.assert_array_equal(labels, Y)


@pytest.mark.parametrize("options", [{}, {"format": "4"}])
def test_the_axis_of_the_rows_is_the_same_without_the_labels(tmp_path, matlab, options, capsys):
    path = tmp_path / "a.mat"
    columns = np.arange(24.0).reshape(4, 6)
    names = np.array(["cat", "dog", "snake", "cow", "a b", "dog"])
    for labels in (Y, Y[:, None] * 1.0, names):
        matlab.savemat(path, {"X": columns, "y": labels}, **options)
        for more in ({}, {"label_column": ""}, {"array": "X"}, {"array": "X", "label_column": ""}):
            found, y = load_data(path, "all", verbose=True, **more)
            np.testing.assert_array_equal(found, columns.T)
            assert (y is None) == ("label_column" in more)
            told = f"{path}: the last axis of X counts its rows, as the labels y show\n"
            assert capsys.readouterr().out.endswith(told)
    matlab.savemat(path, {"X": columns.T, "y": Y}, **options)
    np.testing.assert_array_equal(load_data(path, "all", verbose=True)[0], columns.T)
    assert capsys.readouterr().out == "", "nothing was to be decided"


def test_an_axis_of_which_nothing_tells_whether_it_counts_the_rows(tmp_path, matlab, capsys):
    path = tmp_path / "a.mat"
    for content in (
        {"ff": np.arange(24.0).reshape(4, 6)},
        {"ff": np.arange(36.0).reshape(6, 6), "y": Y},  # both axes
    ):
        matlab.savemat(path, content)
        found, _ = load_data(path, "all", verbose=True)
        np.testing.assert_array_equal(found, content["ff"])
        assert capsys.readouterr().out == (
            f"{path}: the first axis of ff {found.shape} is assumed to count its rows, as no "
            "labels show it; if it is the last, transpose the array in the file\n"
        )
    np.savez(tmp_path / "a.npz", ff=np.arange(24.0).reshape(4, 6))
    load_data(tmp_path / "a.npz", "all", verbose=True)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["X"], f["y"] = np.arange(24.0).reshape(4, 6), Y
    assert load_data(tmp_path / "a.h5", "all", label_column="", verbose=True)[0].shape == (4, 6)
    told = f"{tmp_path / 'a.h5'}: reading X; other arrays are ignored: y\n"
    assert capsys.readouterr().out == told, "the first axis of other programs' arrays"


def test_the_axis_of_the_rows_in_matlab_73_without_the_labels(tmp_path):
    h5py = pytest.importorskip("h5py")
    columns = np.arange(24.0).reshape(4, 6)
    lines = codes("ab ", "c  ", "def", "ab ", "c  ", "def")
    for labels in (("double", Y[None] * 1.0), lines, [codes(name) for name in NAMES]):
        path = matlab_73(tmp_path / "a.mat", h5py, X=("double", columns.T), y=labels)
        for more in ({}, {"label_column": ""}):
            np.testing.assert_array_equal(load_data(path, "all", **more)[0], columns.T)


def test_whole_numbers_become_integers_in_labels_alone(tmp_path, matlab):
    h5py = pytest.importorskip("h5py")
    one, y = Y[:, None] * 1.0, Y[None] * 1.0
    for version in ("4", "5", "7.3", "h5", "npz"):
        path = tmp_path / ("a.mat" if version[0] in "457" else f"a.{version}")
        if version == "7.3":
            matlab_73(path, h5py, X=("double", one.T), y=("double", y.T))
        elif version == "h5":
            with h5py.File(path, "w") as f:
                f["X"], f["y"] = one, y[0]
        elif version == "npz":
            np.savez(path, X=one, y=y[0])
        else:
            matlab.savemat(path, {"X": one, "y": y}, format=version)
        found, labels = load_data(path, "all")
        assert (found.dtype, found.tolist()) == (np.float64, one.tolist()), version
        assert (labels.dtype, labels.tolist()) == (np.int64, Y.tolist()), version


def test_braces_in_the_name_of_labels(tmp_path, matlab):
    path = tmp_path / "a.mat"
    empty = matrix(4, (0, 0), element(16, b""))
    path.write_bytes(of_cells(*[letters("a")] * 5, empty, name=b"{k}{}"))
    told = "has no text in cell 5 (counted from 0) of the labels {k}{}: give that row a label"
    assert told in refused(path, label_column="{k}{}")


def test_what_is_no_array_in_a_matlab_file_is_passed_over(tmp_path, matlab):
    path = tmp_path / "a.mat"
    cell = np.array([1, "a"], dtype=object)
    matlab.savemat(path, {"ff": X.reshape(6, 4), "note": "text", "c": cell, "s": {"a": 1}})
    assert load_data(path, "all")[0].shape == (6, 4)
    matlab.savemat(path, {"dataset": {"images": X}})
    assert refused(path) == (
        f"{path} should hold X (and y), or x_train and x_test, or names like images, data, "
        "labels; it holds nothing: name the array of the rows with --array NAME (array=)"
    )


def test_fractional_labels_of_matlab_stay(tmp_path, matlab):
    path = tmp_path / "a.mat"
    matlab.savemat(path, {"X": X.reshape(6, 4), "y": Y[:, None] + 0.5})
    np.testing.assert_array_equal(load_data(path, "all")[1], Y + 0.5)


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_truncated_matlab_files_are_refused(tmp_path, matlab, options):
    path = tmp_path / "a.mat"
    matlab.savemat(path, {"X": X.reshape(6, 4), "y": Y}, **options)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            found, labels = load_data(path, "all")  # without a last array, or its padding
        except DataError:
            continue
        else:
            np.testing.assert_array_equal(found, X.reshape(6, 4))
            assert labels is None or labels.tolist() == Y.tolist()


def test_a_matlab_file_that_claims_more_than_it_can_hold(tmp_path, matlab):
    path = tmp_path / "a.mat"
    matlab.savemat(path, {"X": X.reshape(6, 4)})
    sizes = struct.pack("<2i", 6, 4)
    assert path.read_bytes().count(sizes) == 1
    path.write_bytes(path.read_bytes().replace(sizes, struct.pack("<2i", 1 << 30, 1 << 30)))
    assert "which is impossible: get the file again" in refused(path)


def test_the_limit_holds_for_matlab_too(tmp_path, matlab, monkeypatch):
    path = tmp_path / "a.mat"
    matlab.savemat(path, {"X": np.zeros((1000, 100))}, do_compression=True)
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "799999")
    assert "expands to 800,000 bytes, more than the limit of 799,999" in refused(path)


@pytest.mark.parametrize("value", [0.5, np.inf, 1e300])
def test_labels_of_matlab_that_are_no_whole_numbers_of_64_bits_stay(tmp_path, matlab, value):
    path = tmp_path / "a.mat"
    labels = np.array([0, 1, 2, 0, 1, value])
    matlab.savemat(path, {"X": X.reshape(6, 4), "y": labels})
    np.testing.assert_array_equal(load_data(path, "all")[1], labels)


def test_nan_among_whole_labels_is_no_label_as_in_a_table(tmp_path, matlab):
    labels = np.array([0, 1, 2, 0, 1, np.nan])
    matlab.savemat(tmp_path / "a.mat", {"X": X.reshape(6, 4), "y": labels})
    np.testing.assert_array_equal(load_data(tmp_path / "a.mat", "all")[1], [0, 1, 2, 0, 1, -1])
    labels[0] = 0.5  # measurements: they stay
    matlab.savemat(tmp_path / "a.mat", {"X": X.reshape(6, 4), "y": labels})
    np.testing.assert_array_equal(load_data(tmp_path / "a.mat", "all")[1], labels)


# ------------------------------------------------------------------------- labels of text in MATLAB

NAMES = ["cat", "dog", "cow", "caf\u00e9", "dog", "\U0001f42d"]


def cells(*values):
    """A column of cells, as MATLAB's {'cat'; 'dog'}."""
    found = np.empty((len(values), 1), dtype=object)
    found[:, 0] = values
    return found


@pytest.mark.parametrize("options", [{}, {"do_compression": True}])
def test_labels_in_a_cell_array(tmp_path, matlab, options):
    path = tmp_path / "a.mat"
    rows = X.reshape(6, 4)
    for labels in (cells(*NAMES), cells(*NAMES).T):
        matlab.savemat(path, {"a": Y, "X": rows, "labels": labels, "z": Y}, **options)
        found, y = load_data(path, "all")
        np.testing.assert_array_equal(found, rows)
        assert y.tolist() == NAMES
    matlab.savemat(path, {"X": rows, "kinds": cells(*Y.astype(float))}, **options)
    assert load_data(path, "all")[1] is None
    y = load_data(path, "all", label_column="kinds")[1]
    assert (y.tolist(), y.dtype) == (Y.tolist(), np.int64)
    matlab.savemat(path, {"X": rows, "y": cells(*(Y + 0.5))}, **options)
    assert load_data(path, "all")[1].tolist() == (Y + 0.5).tolist()


def element(kind, content, order="<"):
    padding = bytes(-len(content) % 8) if kind != 15 else b""
    return struct.pack(f"{order}2I", kind, len(content)) + content + padding


def matrix(of_class, shape, content, name=b"", order="<"):
    """An array of a MATLAB 5 file."""
    head = element(6, struct.pack(f"{order}2I", of_class, 0), order)
    sizes = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + sizes + element(1, name, order) + content, order)


def mat_file(*arrays, order="<"):
    version = b"\x00\x01IM" if order == "<" else b"\x01\x00MI"
    return b"MATLAB 5.0 MAT-file".ljust(124) + version + b"".join(arrays)


def of_cells(*contents, order="<", shape=None, pack=False, name=b"y"):
    """A file with X (6,4) and a cell array of these contents."""
    rows = matrix(9, (6, 4), element(2, X.reshape(6, 4).tobytes("F"), order), b"X", order)
    labels = matrix(1, shape or (len(contents), 1), b"".join(contents), name, order)
    packed = element(15, zlib.compress(labels), order) if pack else labels
    return mat_file(rows, packed, order=order)


def letters(text, order="<", kind=4, codec=None):
    content = text.encode(codec or ("utf-16-le" if order == "<" else "utf-16-be"))
    return matrix(4, (1, len(text)), element(kind, content, order), order=order)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_cells_as_matlab_itself_writes_them(tmp_path, matlab, order, pack):
    path = tmp_path / "a.mat"
    path.write_bytes(of_cells(*(letters(t, order) for t in NAMES), order=order, pack=pack))
    assert load_data(path, "all")[1].tolist() == NAMES
    end = "le" if order == "<" else "be"
    for kind, codec in ((16, "utf-8"), (17, f"utf-16-{end}"), (18, f"utf-32-{end}")):
        texts = [letters(t, order, kind, codec) for t in NAMES]
        path.write_bytes(of_cells(*texts, order=order, pack=pack))
        assert load_data(path, "all")[1].tolist() == NAMES
    short = struct.pack(f"{order}I", 3 << 16 | 1) + b"cat\0"  # content within the tag
    texts = [matrix(4, (1, 3), short, order=order)] * 6
    path.write_bytes(of_cells(*texts, order=order, pack=pack))
    assert load_data(path, "all")[1].tolist() == ["cat"] * 6


NUMBER = matrix(6, (1, 1), element(9, struct.pack("<d", 3)))
NESTED = matrix(1, (1, 1), letters("a"))
LETTER = letters("a")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (NESTED, "neither a text nor a number in cell 5 (counted from 0) of the labels y: make"),
        (matrix(2, (1, 1), b""), "neither a text nor a number in cell 5"),  # a struct
        (matrix(5, (1, 1), b""), "neither a text nor a number"),  # sparse
        (matrix(6, (0, 0), element(9, b"")), "neither a text nor a number"),
        (matrix(6, (1, 2), element(9, bytes(16))), "neither a text nor a number"),
        (matrix(0x806, (1, 1), element(9, bytes(8)) * 2), "neither a text nor a number"),  # complex
        (element(14, b""), "neither a text nor a number"),  # []
        (matrix(4, (2, 2), element(16, b"abcd")), "neither a text nor a number"),
        (matrix(4, (0, 0), element(16, b"")), "has no text in cell 5 (counted from 0) of the lab"),
        (letters("a" * 201), "has a text of 201 characters in cell 5 (counted from 0) of the labe"),
        (NUMBER, "has texts and numbers in the labels y: make all of them texts"),
        (element(9, bytes(8)), "is damaged, or another kind of file: get it again"),
        (matrix(4, (1, 1), element(99, b"a")), "is damaged"),
        (matrix(4, (1, 1), element(16, b"\xff")), "is damaged"),
        (matrix(4, (1, 1), b""), "is damaged"),
        (matrix(6, (), element(9, bytes(8))), "is damaged"),
        (b"", "is damaged"),
    ],
)
@pytest.mark.parametrize("pack", [False, True])
def test_a_cell_that_is_no_label_is_refused(tmp_path, matlab, cell, told, pack):
    path = tmp_path / "a.mat"
    path.write_bytes(of_cells(*[LETTER] * 5, cell, pack=pack))
    assert told in refused(path)
    assert len(load_data(path, "all", label_column="")[0]) == 6


def test_cells_within_cells_and_forged_sizes_take_no_stack_and_no_memory(tmp_path, matlab):
    path = tmp_path / "a.mat"
    deep = matrix(1, (1, 1), struct.pack("<2I", 14, 2**31) * 100_000)
    path.write_bytes(of_cells(*[deep] * 6, pack=True))
    assert "neither a text nor a number in cell 0" in refused(path)
    path.write_bytes(of_cells(*[LETTER] * 6, shape=(1 << 30, 1)))
    assert "which is impossible: get the file again" in refused(path)
    path.write_bytes(of_cells(*[LETTER] * 6, shape=(2, 3)))
    assert "has labels y in cells of shape (2, 3): keep one cell per row" in refused(path)
    rows = matrix(9, (6, 4), element(2, X.tobytes()), b"X")
    labels = matrix(1, (6, 1), LETTER * 6, b"y")[8:]
    for size in (0, 1 << 31):
        bomb = zlib.compress(struct.pack("<2I", 14, size) + labels + bytes(10**7))
        path.write_bytes(mat_file(rows, element(15, bomb)))
        assert ("which is impossible" if size else "is damaged") in refused(path)


def test_numbers_of_matlab_have_the_class_that_they_had_there(tmp_path):
    path = tmp_path / "a.mat"
    stored = element(2, np.tile([1, 0], 12).astype(np.uint8).tobytes())
    for of_class, dtype in ((6, "f8"), (7, "f4"), (9, "u1"), (10, "i2"), (0x209, "?"), (15, "u8")):
        path.write_bytes(mat_file(matrix(of_class, (6, 4), stored, b"X")))
        found, _ = load_data(path, "all")
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.tile([[1], [0]], (3, 4)))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (
            matrix(0x806, (6, 4), element(2, bytes(24)) * 2, b"X"),
            "holds complex numbers in X: save",
        ),
        (matrix(9, (6, 5), element(2, bytes(24)), b"X"), "is damaged"),
        (matrix(9, (-6, -4), element(2, bytes(24)), b"X"), "is damaged"),
        (matrix(9, (), element(2, bytes(1)), b"X"), "is damaged"),
        (matrix(9, (6, 4), element(7, bytes(96)), b"X"), "is damaged"),
        (matrix(9, (6, 4), element(20, bytes(24)), b"X"), "is damaged"),
        (matrix(9, (6, 4), element(2, bytes(24)), b"X")[:-1], "is truncated: get it again"),
        (matrix(17, (6, 4), element(2, bytes(24)), b"X"), "it holds nothing: name"),  # an object
        (matrix(9, (6, 4), element(2, bytes(24))), "it holds nothing: name"),  # MATLAB's own
    ],
)
def test_hostile_arrays_of_matlab(tmp_path, array, told):
    path = tmp_path / "a.mat"
    path.write_bytes(mat_file(array))
    assert told in refused(path)


def test_a_matlab_file_of_another_version_or_of_many_arrays(tmp_path, matlab, monkeypatch):
    path = tmp_path / "a.mat"
    whole = mat_file(*(matrix(9, (6, 4), element(2, bytes(24)), b"X%d" % i) for i in range(4)))
    path.write_bytes(whole[:124] + b"\5" + whole[125:])
    assert "is damaged, or another kind of file" in refused(path)
    claim = struct.pack("<5i", 50, 1 << 20, 1 << 10, 0, 2) + b"X\0"  # of MATLAB 4
    path.write_bytes(claim + bytes(1000))
    assert "which is impossible" in refused(path)
    path.write_bytes(whole)
    monkeypatch.setattr("scratchvae.data.foreign.matlab.MAX_ARRAYS", 4)
    assert "exceeds the limit of 4 arrays" in refused(path)


@pytest.mark.parametrize("pack", [False, True])
def test_every_truncation_of_cells_is_refused_or_without_labels(tmp_path, matlab, pack):
    path = tmp_path / "a.mat"
    whole = of_cells(*map(letters, NAMES), pack=pack)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            found, labels = load_data(path, "all")
        except DataError:
            continue
        np.testing.assert_array_equal(found, X.reshape(6, 4))
        assert labels is None or labels.tolist() == NAMES


@given(st.data())
def test_any_flipped_byte_of_cells_is_read_or_refused(tmp_path_factory, data):
    pytest.importorskip("scipy.io", reason="SciPy is not installed")
    path = tmp_path_factory.mktemp("flips") / "a.mat"
    whole = bytearray(of_cells(*map(letters, NAMES)))
    at = data.draw(st.integers(128, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        load_data(path, "all")
    except DataError:
        pass


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_labels_in_a_matrix_of_char(tmp_path, matlab, options):
    path = tmp_path / "a.mat"
    names = ["cat", "dog", "snake", "cow", "a b", "dog"]
    lines = np.array([name.ljust(5) for name in names])
    matlab.savemat(path, {"X": X.reshape(6, 4), "labels": lines, "note": "of 2019"}, **options)
    assert load_data(path, "all")[1].tolist() == names
    lines[2] = " " * 5
    matlab.savemat(path, {"X": X.reshape(6, 4), "labels": lines}, **options)
    assert "has no text in cell 2 (counted from 0) of the labels labels: give" in refused(path)


def test_labels_of_numbers_come_before_names_of_classes(tmp_path, matlab, capsys):
    path = tmp_path / "a.mat"
    facts = {"X": X.reshape(6, 4), "target": Y, "labels": cells("a", "b", "c"), "classes": "abc"}
    matlab.savemat(path, facts)
    assert load_data(path, "all", verbose=True)[1].tolist() == Y.tolist()
    said = f"{path}: reading X and target; other arrays are ignored: classes, labels\n"
    assert capsys.readouterr().out == said
    del facts["target"]
    matlab.savemat(path, facts)
    assert "holds 6 rows of data, but labels of shape (3,): name another array" in refused(path)
    assert load_data(path, "all", label_column="")[1] is None


def test_two_arrays_of_one_name_in_a_matlab_file(tmp_path, matlab):
    path = tmp_path / "a.mat"
    rows = matrix(9, (6, 4), element(2, X.tobytes()), b"X")
    path.write_bytes(mat_file(rows, rows))
    assert refused(path) == f"{path} holds two arrays of the same name: save it again"


# ------------------------------------------------------------------------------- which array, told


def facts(path, **more):
    np.savez(path, pictures=X, kinds=Y, fs=np.array(8000), t=np.arange(4.0), **more)
    return path


def test_the_array_of_the_rows_and_that_of_the_labels_are_named(tmp_path, capsys):
    path = facts(tmp_path / "a.npz")
    told = refused(path)
    assert "it holds fs, kinds, pictures, t: name the array of the rows with --array NAME" in told
    assert told.endswith("(array=), and any labels with --label-column NAME (label_column=)")
    assert refused(path, label_column="kinds").endswith("--array NAME (array=)")
    assert "or names like images, data, labels" in told
    found, y = load_data(path, "all", array="pictures", verbose=True)
    np.testing.assert_array_equal(found, X)
    assert y is None
    said = f"{path}: reading pictures; other arrays are ignored: fs, kinds, t\n"
    assert capsys.readouterr().out == said
    assert load_data(path, "all", array="pictures", label_column="kinds")[1].tolist() == Y.tolist()
    np.savez(path, pictures=X, kinds=Y)
    found, y = load_data(path, "all", label_column="kinds")
    assert (found.shape, y.tolist()) == (X.shape, Y.tolist())


def test_beside_a_named_array_its_labels_are_found_by_name(tmp_path):
    path = facts(tmp_path / "a.npz", labels=Y, x_train=X, y_train=Y + 1, x_test=X[:2], arr_0=X)
    for array, y in (("pictures", Y), ("x_train", Y + 1), ("arr_0", Y)):
        found, labels = load_data(path, "all", array=array)
        np.testing.assert_array_equal(found, X)
        assert labels.tolist() == y.tolist()
    assert load_data(path, "all", array="x_test")[1] is None
    assert load_data(path, "all", array="pictures", label_column="")[1] is None
    assert len(load_data(path, "test", array="x_train")[0]) == 1, "a tenth: there are no splits"
    assert [a is None for a in load_data(path, "all", label_column="")] == [False, True]
    np.savez(path, X, Y)
    assert load_data(path, "all", array="arr_0")[1].tolist() == Y.tolist()
    np.savez(path, labels=X)
    assert load_data(path, "all", array="labels")[1] is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"array": "picture"}, "has no array picture: did you mean pictures?"),
        ({"array": "zzz"}, "has no array zzz: it holds X_train, fs, kinds, pictures, t, x_test"),
        ({"array": ""}, "has no array '': it holds X_train, fs,"),
        ({"array": "a\x1b[31m"}, "has no array 'a\\x1b[31m': it holds"),
        ({"array": "pictures", "label_column": "kind"}, "has no array kind: did you mean kinds?"),
        ({"array": "t", "label_column": "t"}, "has one array 't', which cannot be both rows and l"),
        ({"label_column": "kinds"}, "has splits: beside the labels 'kinds', name their rows with"),
        ({"array": 3}, "array must be the name of an array of the file, got 3"),
        ({"array": ["X"]}, "array must be the name of an array of the file, got ['X']"),
        ({"array": "t", "label_column": 1}, "label_column must be the name of an array here, got"),
        ({"array": "pictures", "label_column": "t"}, "but labels of shape (4,): name another arr"),
        ({"array": "fs"}, "should hold rows, (N,D), but its array has the shape ()"),
    ],
)
def test_names_that_are_not_there_are_refused(tmp_path, options, told):
    path = facts(tmp_path / "a.npz", X_train=X, x_test=X)
    assert told in refused(path, **options)


def test_names_that_differ_in_case_can_be_told(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=X, x=X + 1, y=Y)
    told = "differ only in case: name those to be read with --array and --label-col"
    for options in ({}, {"label_column": "y"}):
        assert told in refused(path, **options)
    for options in ({}, {"label_column": "y"}):
        found, y = load_data(path, "all", array="x", **options)
        np.testing.assert_array_equal(found, X + 1)
        np.testing.assert_array_equal(y, Y)
    np.savez(path, X=X, x=X + 1, y=Y, Y=Y + 1)
    assert told in refused(path, array="x")
    assert load_data(path, "all", array="x", label_column="Y")[1].tolist() == (Y + 1).tolist()
    np.savez(path, rows=X, Rows=X + 1)
    found, y = load_data(path, "all", array="Rows")
    np.testing.assert_array_equal(found, X + 1)
    assert y is None


def test_a_part_of_a_set_that_is_named_is_read_alone(tmp_path):
    kmnist(tmp_path)
    found, y = load_data(tmp_path / "kmnist-train-imgs.npz", "all", array="arr_0")
    assert (found.shape, y) == (X.shape, None)
    found, y = load_data(tmp_path, "all", array="imgs_train")
    assert (found.shape, y.tolist()) == (X.shape, Y.tolist())


def test_spectrograms_of_matlab_and_of_a_group_in_hdf5(tmp_path):
    rows = np.arange(6 * 4 * 3.0).reshape(6, 4, 3)
    matlab, h5py = pytest.importorskip("scipy.io"), pytest.importorskip("h5py")
    path = tmp_path / "a.mat"
    content = {"spectrograms": rows, "fs": 8000.0, "t": np.arange(3.0), "animal": cells(*NAMES)}
    matlab.savemat(path, content)
    assert "it holds animal, fs, spectrograms, t: name" in refused(path)
    found, y = load_data(path, "all", array="spectrograms", label_column="animal")
    np.testing.assert_array_equal(found, rows)
    assert y.tolist() == NAMES
    assert "has no array of numbers animal: it holds fs" in refused(path, array="animal")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["recordings/spectrograms"], f["recordings/kinds"], f["fs"] = rows, Y, 8000
    assert "it holds fs, recordings/kinds, recordings/spectrograms: name" in refused(path)
    options = {"array": "recordings/spectrograms", "label_column": "recordings/kinds"}
    found, y = load_data(path, "all", **options)
    np.testing.assert_array_equal(found, rows)
    assert y.tolist() == Y.tolist()
    told = "has no array recordings/spectrogram: did you mean recordings/spectrograms?"
    assert told in refused(path, array="recordings/spectrogram")
    told = "has no array kinds: did you mean recordings/kinds?"
    assert told in refused(path, array="recordings/spectrograms", label_column="kinds")
    with h5py.File(path, "a") as f:
        f["later/kinds"] = Y
    told = "has no array kinds: did you mean later/kinds or recordings/kinds?"
    assert told in refused(path, label_column="kinds")


def test_a_note_names_a_few_arrays_without_control_characters(tmp_path, capsys):
    path = tmp_path / "a.npz"
    np.savez(path, X=X, **{f"n{i}": Y for i in range(8)}, **{"a\x1b[31m": Y, "b" * 99: Y})
    load_data(path, "all", verbose=True)
    names = f"'a\\x1b[31m', {'b' * 60}..., n0, n1, n2, n3, n4, n5 and 2 more"
    assert capsys.readouterr().out == f"{path}: reading X; other arrays are ignored: {names}\n"


# ------------------------------------------------------------------------------------------ HDF5


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="h5py is not installed")


def test_hdf5_files(tmp_path, h5py):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["images"] = X
        f.create_dataset("labels", data=Y[:, None], compression="gzip")
        f["note"] = "text of any length"
    found, labels = load_data(path, "all")
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, Y)
    with h5py.File(path, "w") as f:
        f["train/x"], f["train/y"], f["test/x"] = X, Y, X[:2]
    assert load_data(path)[1].tolist() == Y.tolist()
    assert len(load_data(path, "test")[0]) == 2


def test_names_as_labels_in_hdf5(tmp_path, h5py):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as f:
        f["X"], f["y"] = X, np.array([b"a", b"b", b"\xc3\xa9"] * 2)
    assert load_data(path, "all")[1].tolist() == ["a", "b", "\xe9"] * 2


def test_texts_of_variable_length_as_labels_in_hdf5(tmp_path, h5py, monkeypatch):
    path = tmp_path / "a.h5"
    names = ["cat", "dog", "caf\xe9", "a", "dog", "\U0001f42d"]
    for shape in ((6,), (6, 1), (1, 6)):
        with h5py.File(path, "w") as f:
            f["X"], f["note"] = X, "text of any length"
            data = np.array(names, dtype=object).reshape(shape)
            f.create_dataset("y", data=data, dtype=h5py.string_dtype())
        assert load_data(path, "all")[1].tolist() == names
        with h5py.File(path, "a") as f:
            f["y"][...] = np.array([b"a" * 201] + [b"\xff"] * 5, dtype=object).reshape(shape)
        assert "is damaged, or another kind of file" in refused(path)
        with monkeypatch.context() as patch:  # one at a time: each may be as long as the file
            patch.setenv("SCRATCHVAE_MAX_BYTES", "1000")
            assert "has a text of 201 characters in cell 0" in refused(path)
    for wrong, told in (
        ([*names[:4], "", "b"], "has no text in cell 4 (counted from 0) of the labels y"),
        (["a" * 201, *names[1:]], "has a text of 201 characters in cell 0"),
        ([[*names], [*names]], "has labels y of text in the shape (2, 6): keep one text per row"),
        ("a", "has labels y of text in the shape (): keep one text per row"),
        (names[:5], "holds 6 rows of data, but labels of shape (5,)"),
    ):
        with h5py.File(path, "w") as f:
            f["X"], f["y"] = X, wrong
        assert told in refused(path)
    whole = path.read_bytes()
    for i in range(0, len(whole), 151):  # damage is refused, or changes nothing that is read
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :])
        with suppress(DataError):
            load_data(path, "all")


def test_hdf5_of_matlab_has_its_axes_reversed(tmp_path, h5py):
    path = tmp_path / "a.mat"
    pytest.importorskip("scipy.io", reason="SciPy is not installed")
    with h5py.File(path, "w", userblock_size=512) as f:
        f["X"], f["y"], f["#refs#/a"] = X.T, Y[None], Y
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + path.read_bytes()[512:])
    found, labels = load_data(path, "all")
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, Y)


def test_hdf5_reads_no_other_file_and_believes_no_size(tmp_path, h5py):
    path, other = tmp_path / "a.h5", tmp_path / "other"
    other.write_bytes(bytes(24))
    with h5py.File(path, "w") as f:
        f.create_dataset("X", (6, 4), "u1", external=[(str(other), 0, 24)])
    assert refused(path) == f"{path} keeps 'X' in another file: copy the array into one file"
    layout = h5py.VirtualLayout((6, 4), "u1")
    layout[:] = h5py.VirtualSource(str(other), "X", (6, 4))
    with h5py.File(path, "w") as f:
        f.create_virtual_dataset("X", layout)
    assert "keeps 'X' in another file" in refused(path)
    with h5py.File(path, "w") as f:
        f["X"] = h5py.ExternalLink(str(other), "X")
    assert "it holds nothing: name" in refused(path)
    with h5py.File(path, "w") as f:
        f.create_dataset("X", (1 << 20, 1 << 20), "f8", chunks=(1, 100))
    assert "which is impossible" in refused(path)


def test_damaged_hdf5_files_are_refused(tmp_path, h5py):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["X"] = X
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        assert str(path) in refused(path)


def test_a_mat_file_that_is_plain_hdf5(tmp_path, h5py):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as f:
        f["X"], f["y"] = X, Y
    found, labels = load_data(path, "all")
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, Y)
    with h5py.File(path, "a") as f:
        del f["X"]
        f["X"] = X.T
        f["X"].attrs["MATLAB_class"] = np.bytes_("uint8")
    np.testing.assert_array_equal(load_data(path, "all")[0], X)
    whole = path.read_bytes()
    for length in (0, 4, 8, 9, 100, 512, 600):
        path.write_bytes(whole[:length])
        assert "is damaged, or another kind of file" in refused(path)


def matlab_73(path, h5py, **arrays):
    """A file as MATLAB 7.3 writes it: (class, array with its axes reversed), or a list of cells."""
    with h5py.File(path, "w", userblock_size=512) as f:

        def put(name, of_class, a, **more):
            f[name] = a
            f[name].attrs["MATLAB_class"] = np.bytes_(of_class)
            f[name].attrs.update(more)
            return f[name].ref

        for name, a in arrays.items():
            if isinstance(a, list):
                cells = [put(f"#refs#/{name}{i}", *cell) for i, cell in enumerate(a)]
                put(name, "cell", np.array([cells], dtype=h5py.ref_dtype))
            else:
                put(name, *a)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + path.read_bytes()[512:])
    return path


def codes(*lines):
    """Texts of one length as letters (letters, N) of 16 bits."""
    a = np.frombuffer("".join(lines).encode("utf-16-le"), "<u2")
    return "char", a.reshape(len(lines), -1).T


ROWS = "uint8", X.T


def test_labels_of_text_in_matlab_73(tmp_path, h5py, capsys):
    path = matlab_73(tmp_path / "a.mat", h5py, X=ROWS, y=[codes(name) for name in NAMES])
    found, labels = load_data(path, "all")
    np.testing.assert_array_equal(found, X)
    assert labels.tolist() == NAMES
    matlab_73(path, h5py, X=ROWS, y=codes("ab ", "c  ", "def", "ab ", "c  ", "def"))
    assert load_data(path, "all")[1].tolist() == ["ab", "c", "def"] * 2
    numbers = [("double", np.array([[float(label)]])) for label in Y]
    matlab_73(path, h5py, X=ROWS, kinds=numbers, note=codes("text"))
    assert load_data(path, "all", label_column="kinds")[1].tolist() == Y.tolist()
    assert load_data(path, "all", verbose=True)[1] is None
    assert "other arrays are ignored: kinds, note" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (
            ("cell", np.zeros((1, 1), "u8")),
            "neither a text nor a number in cell 1 (counted from 0)",
        ),
        (("double", np.zeros((1, 2))), "neither a text nor a number"),
        (("struct", np.zeros((1, 1))), "neither a text nor a number"),
        (codes("ab", "cd"), "neither a text nor a number"),
        (codes("a" * 201), "neither a text nor a number"),
        (("char", np.zeros(2, "u8"), 0), "has no text in cell 1 (counted from 0) of the labels y"),
        (("char", np.full((1, 1), np.nan)), "is damaged"),
        (("char", np.full((1, 1), 0xD800, "u2")), "is damaged"),
        (("double", np.zeros((1, 1))), "has texts and numbers in the labels y"),
    ],
)
def test_a_cell_of_matlab_73_that_is_no_label(tmp_path, h5py, cell, told):
    path = tmp_path / "a.mat"
    cells = [codes("a"), cell[:2], *[codes("b")] * 4]
    matlab_73(path, h5py, X=ROWS, y=cells)
    if len(cell) > 2:
        with h5py.File(path, "a") as f:
            f["#refs#/y1"].attrs["MATLAB_empty"] = 1
    assert told in refused(path)


def test_hostile_cells_of_matlab_73(tmp_path, h5py):
    path = matlab_73(tmp_path / "a.mat", h5py, X=ROWS, y=("cell", np.zeros((1, 6))))
    assert "neither a text nor a number in cell 0" in refused(path)
    with h5py.File(path, "a") as f:
        del f["y"]
        f["y"] = np.array([[f["X"].ref] * 5 + [h5py.Reference()]], dtype=h5py.ref_dtype)
        f["y"].attrs["MATLAB_class"] = np.bytes_("cell")
    assert str(path) in refused(path)
    with h5py.File(path, "a") as f:
        f["y"][:] = f["y"].ref  # a cell that holds itself
    assert "neither a text nor a number in cell 0" in refused(path)
    with h5py.File(path, "a") as f:
        f["y"].attrs["MATLAB_class"] = np.zeros(8000, "S1")
    assert "holds 'y', an array of dtype object" in refused(path)
    with h5py.File(path, "a") as f:
        del f["y"]
        f.create_dataset("y", (1 << 20, 1 << 20), "u2", chunks=(1, 100))
        f["y"].attrs["MATLAB_class"] = np.bytes_("char")
    assert "which is impossible" in refused(path)


@pytest.mark.parametrize(("name", "package"), [("a.mat", "scipy"), ("a.h5", "h5py")])
def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch, name, package):
    def without(name, *args, real=builtins.__import__, **more):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr("scratchvae.files.reading.import_module", without)
    (tmp_path / name).write_bytes(b"x")
    told = f"{tmp_path / name} needs {package}: pip install --upgrade {package}"
    assert refused(tmp_path / name) == told


def test_labels_of_an_array_are_those_of_its_set(tmp_path, rng):
    a = {"a_images": rng.random((6, 2)), "b_images": rng.random((6, 2))}
    np.savez(tmp_path / "m.npz", **a, b_labels=np.arange(6), labels=np.full(6, 9))
    load = partial(load_data, tmp_path / "m.npz", "all")
    assert load(array="b_images")[1].tolist() == list(range(6))
    assert load(array="a_images")[1] is None
    assert load(array="a_images", label_column="labels")[1].tolist() == [9] * 6
