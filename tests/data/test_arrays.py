"""Named arrays: which are data and labels, what is not read, and files of MATLAB and HDF5."""

import builtins
import gzip
import struct
import zipfile

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
        ("x_train y_train", {"all": ("x_train", "y_train")}),
        ("test_images labels", {"all": ("test_images", None)}),
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
        ("x_train X", "it holds X, x_train"),
        ("y_train y_test", "it holds y_test, y_train"),
        ("arr_0 arr_1 arr_2", "it holds arr_0, arr_1, arr_2"),
        ("my_x my_y other", "it holds my_x, my_y, other"),
        ("train_x_test other", "it holds other, train_x_test"),
        ("X x", "holds arrays whose names differ only in upper and lower case"),
    ],
)
def test_names_that_do_not_tell_are_refused(names, told):
    with pytest.raises(UnreadableFile) as error:
        pairs_of(names.split())
    assert str(error.value).endswith(told)


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
        said = f"reading {split}_images and {split}_labels; other arrays, not read: 2\n"
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
        "it by .astype(float), or .astype(str) for names, and save it again"
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


def test_of_one_pair_a_tenth_is_the_test_split(tmp_path):
    kmnist(tmp_path, ["train"])
    for path in (tmp_path, tmp_path / "kmnist-train-imgs.npz"):
        np.testing.assert_array_equal(load_data(path, "all")[1], Y)
        assert len(load_data(path, "test")[0]) == 1


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


def test_a_part_that_is_damaged_or_holds_several_arrays_is_named(tmp_path):
    kmnist(tmp_path)
    part = tmp_path / "kmnist-train-labels.npz"
    np.savez(part, a=Y, b=Y)
    assert refused(tmp_path) == f"{part} should hold one array, but holds a, b"
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


def test_what_is_no_array_in_a_matlab_file_is_passed_over(tmp_path, matlab):
    path = tmp_path / "a.mat"
    cell = np.array([1, "a"], dtype=object)
    matlab.savemat(path, {"ff": X.reshape(6, 4), "note": "text", "c": cell, "s": {"a": 1}})
    assert load_data(path, "all")[0].shape == (6, 4)
    matlab.savemat(path, {"dataset": {"images": X}})
    assert refused(path).endswith("should hold X (and y), or x_train and x_test; it holds nothing")


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
    with h5py.File(path, "w") as f:
        f["X"], f["y"] = X, ["a", "b", "c"] * 2
    assert refused(path).startswith(f"{path} holds 'y', an array of dtype object, but only numbers")


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
    assert refused(path).endswith("it holds nothing")
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
