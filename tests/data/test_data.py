"""Reading data: formats, splits, and invalid files of every kind."""

import gzip
import hashlib
import io
import os
import struct
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.idx_files import idx_bytes, write_set

from scratchvae import DataError, InputError, load_data
from scratchvae.data import idx, strokes
from scratchvae.data.batches import binarized_once, check_columns, check_rows, chunks, to_float
from scratchvae.files.reading import max_bytes


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_files_are_read_plain_and_gzipped(tmp_path, gz, split):
    images, labels = write_set(tmp_path, gz=gz, split=split)
    X, y = load_data("mnist", split, tmp_path)
    np.testing.assert_array_equal(X, images)
    np.testing.assert_array_equal(y, labels)
    assert X.dtype == np.uint8
    assert y.dtype == np.int64  # a label may become -1
    X, _ = load_data(tmp_path, split)
    np.testing.assert_array_equal(X, images)


def test_the_folder_may_come_from_the_environment_or_be_the_users_cache(tmp_path, monkeypatch):
    write_set(tmp_path / "mnist")
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path))
    assert len(load_data("mnist")[0]) == 5
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path / "mnist"))
    assert len(load_data("mnist")[0]) == 5
    monkeypatch.delenv("SCRATCHVAE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="cache/scratchvae/mnist"):
        load_data("mnist")
    (tmp_path / "cache" / "scratchvae").mkdir(parents=True)
    write_set(tmp_path / "cache" / "scratchvae" / "mnist")
    assert len(load_data("mnist")[0]) == 5


def test_a_missing_file_says_where_it_looked_and_names_the_embedded_data(tmp_path):
    with pytest.raises(DataError, match="train-images-idx3-ubyte") as error:
        load_data("mnist", data_dir=tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "--data strokes" in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_magic_number(tmp_path):
    write_set(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(b"\x00\x00\x0d\x03" + path.read_bytes()[4:])
    with pytest.raises(
        DataError, match=r"begins with 00000d03, but the magic number .* is 00000803"
    ):
        load_data("mnist", data_dir=tmp_path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="begins with nothing"):
        load_data("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("gz", [False, True])
def test_every_truncation_is_refused(tmp_path, gz):
    write_set(tmp_path, n=3, gz=gz)
    path = tmp_path / ("train-images-idx3-ubyte" + (".gz" if gz else ""))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load_data("mnist", data_dir=tmp_path)
    path.write_bytes(whole)
    load_data("mnist", data_dir=tmp_path)


def test_a_longer_file_and_a_forged_size_are_refused(tmp_path):
    write_set(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\x00")
    with pytest.raises(DataError, match="longer"):
        load_data("mnist", data_dir=tmp_path)
    path.write_bytes(whole[:4] + struct.pack(">3I", 2**31, 2**31, 2**31) + whole[16:])
    with pytest.raises(DataError, match="truncated"):
        load_data("mnist", data_dir=tmp_path)


def test_a_set_without_images(tmp_path):
    write_set(tmp_path, n=0)
    with pytest.raises(DataError, match="holds no images"):
        load_data("mnist", data_dir=tmp_path)


def test_labels_and_images_that_disagree_in_number(tmp_path):
    write_set(tmp_path, n=5, labels=np.zeros(4, dtype=np.uint8))
    with pytest.raises(DataError, match=r"5 images, but .* 4 labels"):
        load_data("mnist", data_dir=tmp_path)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_exactly_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(content)
    try:
        a = idx.read_idx(path, 1)
    except DataError:
        return
    assert idx_bytes(a) == content


@pytest.mark.parametrize("name", ["nist", "data.csv", "missing.npy", "missing.npz"])
def test_unknown_or_missing_data(name):
    with pytest.raises(InputError, match=r"unknown data set|there is no file"):
        load_data(name)


def test_unknown_split():
    with pytest.raises(InputError, match="split must be one of train, test"):
        load_data("strokes", "validation")


# ------------------------------------------------------------------------------- own arrays


def test_a_npy_file_is_split_once_and_for_all(tmp_path):
    X = np.arange(100, dtype=np.float32).reshape(50, 2) / 100
    np.save(tmp_path / "x.npy", X)
    train, y = load_data(tmp_path / "x.npy")
    test, _ = load_data(tmp_path / "x.npy", "test")
    assert y is None
    assert (len(train), len(test)) == (45, 5)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test]), axis=0), X)
    np.testing.assert_array_equal(load_data(tmp_path / "x.npy", "test")[0], test)


@pytest.mark.parametrize(("rows", "tested"), [(2, 1), (9, 1), (10, 1), (11, 2), (100, 10)])
def test_a_tenth_is_for_testing_and_at_least_one(tmp_path, rows, tested):
    np.save(tmp_path / "x.npy", np.arange(2.0 * rows).reshape(rows, 2))
    test, _ = load_data(tmp_path / "x.npy", "test")
    assert len(test) == tested
    assert (np.diff(test[:, 0]) > 0).all(), "in the order of the file"


def test_a_npz_file_with_and_without_splits(tmp_path):
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20)
    np.savez(tmp_path / "a.npz", X=X, y=y)
    train, labels = load_data(tmp_path / "a.npz")
    np.testing.assert_array_equal(train[:, 0] / 2, labels)
    np.savez(tmp_path / "b.npz", x_train=X, x_test=X[:3], y_train=y)
    assert len(load_data(tmp_path / "b.npz")[0]) == 20
    test, labels = load_data(tmp_path / "b.npz", "test")
    assert len(test) == 3
    assert labels is None


def test_unusable_array_files(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=np.zeros((5, 2)), y=np.zeros(4))
    with pytest.raises(DataError, match=r"5 rows of data, but labels of shape \(4,\)"):
        load_data(path)
    np.savez(path, x_train=np.zeros((5, 2)))
    with pytest.raises(DataError, match=r"it holds x_train"):
        load_data(path)
    np.savez(path, a=np.zeros((5, 2)), b=np.zeros(4))
    with pytest.raises(DataError, match=r"should hold X .* it holds a, b"):
        load_data(path)
    np.savez(path, X=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="dtype object, but only numbers and text"):
        load_data(path)
    path.write_bytes(b"not a zip file")
    with pytest.raises(DataError, match="is damaged, or another kind"):
        load_data(path)


def test_a_flipped_bit_cannot_hide_an_array(tmp_path):
    """A longer comment of one member would swallow what stands behind it in the list."""
    path = tmp_path / "a.npz"
    np.savez(path, X=np.zeros((5, 2)), y=np.zeros(5))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 33] ^= 1
    path.write_bytes(content)
    assert np.load(path).files == ["X"]
    with pytest.raises(DataError, match="lists 2 members, but has 1"):
        load_data(path)
    np.save(tmp_path / "v.npy", np.zeros(5))
    with pytest.raises(DataError, match=r"should hold rows"):
        load_data(tmp_path / "v.npy")


# ----------------------------------------------------------------------------- the door


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(4), r"must be \(examples, features\), got a ndarray of shape \(4,\)\. Reshape"),
        (np.array([["a", "b"]]), "must be real numbers"),
        ("digits.npy", r"got a str: read the file first, X, y = load_data\('digits.npy'\)$"),
        (Path("a.csv"), r"got a PosixPath: read the file first, X, y = load_data\('a.csv'\)$"),
        (None, "must be real numbers, got a NoneType"),
        (np.ones((2, 2)) * 1j, "must be real numbers"),
        ([], r"got a list of shape \(0,\)$"),
        ([[0.1, 0.2], [0.3]], "rows differ in length"),
        (np.array([[0.5, np.nan]]), "NaN at row 0, column 1"),
        (np.array([[0.5, 0.5], [np.inf, 0.5]]), "inf at row 1, column 0"),
        (np.zeros((3, 0)), "0 feature"),
    ],
)
def test_unusable_rows(X, message):
    with pytest.raises(InputError, match=message):
        check_rows(X)


def test_usable_rows():
    np.testing.assert_array_equal(check_rows(np.array([[True, False]])), [[True, False]])
    assert check_rows(np.zeros((5, 4, 3), dtype=np.uint8)).shape == (5, 12)
    assert check_rows([[0.5, 0.25]]).shape == (1, 2)
    check_rows(np.array([[-3.0, 7.0]]))
    with pytest.raises(InputError, match="X has 2 features, but the model is expecting 3"):
        check_rows(np.zeros((1, 2)), n_features=3)


def test_data_whose_last_axis_counts_the_examples_are_told_so():
    told = r"X has {} features, but VAE is expecting 96 features as input{}$"
    turned = r": its last axis seems to count the examples, so pass numpy.moveaxis\(X, -1, 0\)"
    for shape, n in (((96, 60), 60), ((8, 12, 60), 720)):
        with pytest.raises(InputError, match=told.format(n, turned)):
            check_rows(np.zeros(shape), 96, "VAE")
    with pytest.raises(InputError, match=told.format(60, "")):
        check_rows(np.zeros((95, 60)), 96, "VAE")


def test_a_column_with_almost_the_name_of_a_missing_one_is_asked_about():
    known = ("Temp (°C)", "pH", "Oxygen")
    with pytest.raises(InputError) as error:
        check_columns(known, ("Temp (C)", "pH", "Site"), "VAE")
    assert "now missing: Oxygen, Temp (°C). For 'Temp (C)', did you mean 'Temp (°C)'?" in (
        text := str(error.value)
    )
    assert text.count("did you mean") == 1


def test_bytes_become_255ths():
    X = np.arange(256, dtype=np.uint8)[None]
    for dtype in ("float32", "float64"):
        out = to_float(X, np.empty((1, 256), dtype=dtype))
        np.testing.assert_array_equal(
            out, np.arange(256).astype(dtype)[None] / np.dtype(dtype).type(255)
        )
        assert out[0, 255] == 1


def test_static_binarisation_is_fixed_by_the_seed_and_right_on_average():
    X = numbered(np.tile(np.array([0, 64, 191, 255], dtype=np.uint8), (5000, 1)))
    a = binarized_once(X, X.shape[1], seed=0)
    assert set(np.unique(a)) == {0, 255}
    np.testing.assert_array_equal(a, binarized_once(X, X.shape[1], seed=0))
    assert (a != binarized_once(X, X.shape[1], seed=1)).any()
    np.testing.assert_allclose(a[:, :4].mean(axis=0), X[0, :4], atol=255 * 5 * 0.5 / 5000**0.5)
    assert (a[:, 3] == 255).all()


def numbered(X):
    """X with two more columns that differ from row to row."""
    n = np.arange(len(X))
    return np.column_stack((X, n % 256, n // 256)).astype(np.uint8)


def test_each_image_of_a_large_set_has_a_sample_of_its_own():
    X = numbered(np.full((9000, 30), 128, dtype=np.uint8))
    rows = np.unique(binarized_once(X, X.shape[1], seed=0)[:, :30], axis=0)
    assert len(rows) > 8990


def test_the_sample_of_an_image_does_not_depend_on_its_place(rng):
    X = rng.integers(256, size=(5000, 9), dtype=np.uint8)
    whole, order = binarized_once(X, 9, seed=0), rng.permutation(5000)
    np.testing.assert_array_equal(binarized_once(X[order], 9, seed=0), whole[order])
    np.testing.assert_array_equal(binarized_once(X[4999:] / 255, 9, seed=0), whole[4999:])


def test_chunks_cover_and_do_not_overlap():
    for n in (0, 1, 9, 10, 11):
        pieces = [list(range(n))[rows] for rows in chunks(n, 5)]
        assert [i for piece in pieces for i in piece] == list(range(n))
        assert len(pieces) >= 1


# ------------------------------------------------------------------------- the embedded digits


def test_strokes_are_the_same_every_time_and_do_not_depend_on_how_many():
    X, y, factors = strokes.generate("train", 40)
    again = strokes.generate("train", 40)
    np.testing.assert_array_equal(X, again[0])
    few = strokes.generate("train", 7)
    np.testing.assert_array_equal(few[1], y[:7])
    np.testing.assert_array_equal(few[2], factors[:7])
    np.testing.assert_allclose(few[0], X[:7], atol=1)  # a product in other pieces rounds otherwise
    assert (strokes.generate("test", 40)[0] != X).any()
    assert (strokes.generate("train", 40, seed=1)[0] != X).any()


def test_strokes_have_the_shapes_and_ranges_that_they_claim():
    X, y = load_data("strokes", "test")
    assert X.shape == (2000, 784)
    assert X.dtype == np.uint8
    assert np.bincount(y, minlength=10).min() > 150
    _, _, factors = strokes.generate("test")
    for column, (low, high) in zip(factors.T, strokes.FACTORS.values(), strict=True):
        assert low <= column.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < column.max() <= high
    assert 0.1 < X.mean() / 255 < 0.25
    edge = X.reshape(-1, 28, 28)[:, [0, -1], :]
    assert edge.mean() < 1, "no digit leaves the picture"


def test_strokes_of_a_digit_look_alike_and_digits_differ():
    """A nearest-mean classifier reads them: far above chance."""
    X, y = (a.astype(float) for a in load_data("strokes", "train"))
    T, t = load_data("strokes", "test")
    means = np.array([X[y == d].mean(axis=0) for d in range(10)])
    guesses = ((T[:, None].astype(float) - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (guesses == t).mean() > 0.75


def test_the_factors_are_what_made_the_images():
    X, y, factors = strokes.generate("train", 4000)
    images, factors = X[y == 0].reshape(-1, 28, 28) / 255, factors[y == 0]
    thickness, scale = (factors[:, list(strokes.FACTORS).index(n)] for n in ("thickness", "scale"))
    height = (images.max(axis=2) > 0.5).sum(axis=1)
    assert np.corrcoef(images.mean(axis=(1, 2)), thickness)[0, 1] > 0.6
    assert np.corrcoef(height, scale)[0, 1] > 0.6


def test_unusable_requests_for_strokes():
    with pytest.raises(InputError, match="n must be a whole number"):
        strokes.generate("train", 0)
    with pytest.raises(InputError, match="split must be"):
        strokes.generate("all")


# ------------------------------------------------------------------------------ the real thing

DECOMPRESSED = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def test_real_mnist(mnist_dir):
    for name, expected in DECOMPRESSED.items():
        content = gzip.decompress((mnist_dir / f"{name}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == expected
    X, y = load_data("mnist", data_dir=mnist_dir)
    assert X.shape == (60_000, 784)
    np.testing.assert_array_equal(
        np.bincount(y), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    T, t = load_data("mnist", "test", mnist_dir)
    assert T.shape == (10_000, 784)
    np.testing.assert_array_equal(t[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])


def test_all_rows_of_a_file_come_in_order(tmp_path, rng):
    X, y = rng.random((30, 4)), np.arange(30, dtype=np.uint8)
    np.savez(tmp_path / "a.npz", X=X, y=y)
    found, labels = load_data(tmp_path / "a.npz", "all")
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, y)
    assert labels.dtype == np.int64
    np.savez(tmp_path / "b.npz", x_train=X, x_test=X[:3])
    found, labels = load_data(tmp_path / "b.npz", "all")
    np.testing.assert_array_equal(found, [*X, *X[:3]])
    assert labels is None


@contextmanager
def little_memory():
    """Within, at most a mebibyte is allocated at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_archive_may_expand_to_the_bytes_that_a_variable_allows(tmp_path, monkeypatch):
    path = tmp_path / "packed.npz"
    np.savez_compressed(path, X=np.zeros((20_000, 1000), np.uint8))  # 20 MB in 20 kB
    assert load_data(path, "all")[0].shape == (20_000, 1000)
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "20000127")
    told = (
        r"expands to 20,000,128 bytes, more than the limit of 20,000,127: to read it, set the "
        "environment variable SCRATCHVAE_MAX_BYTES=20000128$"
    )
    with little_memory(), pytest.raises(DataError, match=told):
        load_data(path)
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "20000128")
    assert load_data(path, "all")[0].shape == (20_000, 1000)
    np.savez(path, X=np.zeros((20_001, 1000), np.uint8))  # not compressed: as large as it looks
    assert load_data(path, "all")[0].shape == (20_001, 1000)
    np.savez_compressed(path, X=np.zeros((20, 10), np.uint8))
    for text in ("8G", "-1", "1e9"):
        monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", text)
        with pytest.raises(DataError, match=f"SCRATCHVAE_MAX_BYTES must be a number of.*{text}"):
            load_data(path)


def test_the_limit_is_8_gib_or_half_of_a_smaller_memory(monkeypatch):
    monkeypatch.delenv("SCRATCHVAE_MAX_BYTES", raising=False)
    for pages, limit in ((1 << 30, 1 << 33), (1 << 10, 1 << 21)):
        memory = {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": 4096}
        monkeypatch.setattr(os, "sysconf", memory.__getitem__)
        assert max_bytes() == limit
    monkeypatch.delattr(os, "sysconf")  # as on Windows
    assert max_bytes() == 1 << 33


def test_a_small_file_that_claims_much_takes_no_memory(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, X=np.zeros((100, 10), np.uint8))
    claim = 1 << 32
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (claim - 128, 1)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("X.npy", header.getvalue().ljust(128))
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    path.write_bytes(content[: at + 24] + struct.pack("<I", claim - 1) + content[at + 28 :])
    with little_memory(), pytest.raises(DataError, match="which is impossible: get the file again"):
        load_data(path)
    head = header.getvalue()
    (tmp_path / "a.npy.gz").write_bytes(gzip.compress(head + bytes(10)))
    with little_memory(), pytest.raises(DataError, match="which is impossible: get the file again"):
        load_data(tmp_path / "a.npy.gz")


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "two.npz"
    np.savez(path, X=np.zeros((5, 2)), Y=np.ones((5, 2)))
    path.write_bytes(path.read_bytes().replace(b"Y.npy", b"X.npy"))
    with pytest.raises(DataError, match="two members of the same name"):
        load_data(path)


def test_splits_of_different_widths_are_not_joined(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.zeros((5, 3)), x_test=np.zeros((5, 2)))
    assert load_data(path)[0].shape == (5, 3)
    with pytest.raises(DataError, match=r"rows of the splits differ, \(3,\) and \(2,\)"):
        load_data(path, "all")


def test_a_pipe_is_no_data_file(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(DataError, match="is not a regular file"):
        load_data(tmp_path / "x.npy")


def test_what_an_idx_file_may_unpack_to_is_limited_too(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    head = bytes((0, 0, 8, 1)) + (20_000_000).to_bytes(4, "big")
    path.write_bytes(gzip.compress(head + bytes(20_000_000)))  # it is all there, in 20 kB
    assert len(idx.read_idx(path, 1)) == 20_000_000
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "19999999")
    with little_memory(), pytest.raises(DataError, match="more than the limit of 19,999,999"):
        idx.read_idx(path, 1)
    path.write_bytes(gzip.compress(bytes((0, 0, 8, 1)) + bytes((255,) * 4)))
    with little_memory(), pytest.raises(DataError, match="which is impossible"):
        idx.read_idx(path, 1)
