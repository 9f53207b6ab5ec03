"""What a name means: named data sets, IDX files, folders, tables; options that do not apply."""

import gzip
import sys

import numpy as np
import pytest
from PIL import Image
from support.idx_files import idx_bytes, write_set

from scratchvae import VAE, DataError, InputError, load_data
from scratchvae.data import Options, both_splits, data_set, idx, known_name, shown_name
from scratchvae.data.sources import source_of

GREY = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)


def refused(name, error=InputError, **options):
    """The one sentence with which data are refused."""
    with pytest.raises(error) as raised:
        load_data(name, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def photos(folder, n=20):
    """Grey pictures of two classes, and a text file."""
    for i in range(n):
        place = folder / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY + np.uint8(i)).save(place / f"{i}.png")
    (folder / "a" / "notes.txt").write_text("")
    return folder


def table(path, header="height,weight,kind", row="1.5,{i},{kind}", n=20):
    rows = [row.format(i=i, kind="ab"[i % 2]) for i in range(n)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


# ----------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("strokes", "strokes"), ("STROKES", "strokes"), ("MNIST", "mnist"), ("Mnist", "mnist"),
        ("fashion_mnist", "fashion-mnist"), ("FashionMNIST", "fashion-mnist"),
        ("Fashion-MNIST", "fashion-mnist"), ("fashion", None), ("", None), ("x.npz", None),
    ],
)  # fmt: skip
def test_names_are_known_in_any_case(name, known):
    assert known_name(name) == known
    if known:
        assert shown_name(name) == known


def test_a_path_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MNIST").mkdir()
    assert known_name("MNIST") is None
    assert shown_name("MNIST") == "MNIST/"
    (tmp_path / "mnist").mkdir(exist_ok=True)
    assert known_name("mnist") == "mnist", "as the name is written, it is the data set"
    assert known_name(tmp_path / "MNIST") is None


def test_another_spelling_is_the_same_data_set(tmp_path):
    images, _ = write_set(tmp_path)
    for name in ("MNIST", "fashion_mnist", "FashionMNIST"):
        np.testing.assert_array_equal(load_data(name, data_dir=tmp_path)[0], images)
    with pytest.raises(InputError, match=r"--download .* does not apply to STROKES"):
        load_data("STROKES", download=True)


def test_an_unknown_name_suggests_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused("mnst").endswith("Did you mean mnist?")
    assert refused("fashon-mnist").endswith("Did you mean fashion-mnist?")
    told = refused("cifar10")
    assert told.startswith("unknown data set 'cifar10', and no such file or folder: choose one of ")
    assert "a folder of pictures" in told
    assert "Did you mean" not in told
    assert refused("photos/") == "there is no file or folder photos/: check the path"
    assert refused("") == "the name of the data set is empty: name one, such as strokes"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("slaes.xlsx", "there is no file {}slaes.xlsx: did you mean {}sales.xlsx?"),
        ("SLAES.XLSX", "there is no file {}SLAES.XLSX: did you mean {}sales.xlsx?"),
        ("sales.csv", "there is no file {}sales.csv: did you mean {}sales.xlsx?"),
        ("sales", "did you mean {}sales.xlsx?"),
        ("spectra", "did you mean {}Spectra.Run1?"),
        ("faces/", "did you mean {}face?"),
        ("other.csv", "there is no file {}other.csv: check the path"),
        ("hiden.npz", "there is no file {}hiden.npz: check the path"),
        ("control.npz", "there is no file {}control.npz: check the path"),
        ("none/sales.xlsx", "there is no file {}none/sales.xlsx: check the path"),
        ("sales.xlsx/a.csv", "there is no file {}sales.xlsx/a.csv: check the path"),
    ],
)
def test_what_is_not_there_names_what_is_called_alike(tmp_path, monkeypatch, name, told):
    for there in ("sales.xlsx", "Spectra.Run1", ".hiden.npz", "control\n.npz"):
        (tmp_path / there).write_bytes(b"x")
    (tmp_path / "face").mkdir()
    place = f"{tmp_path}/"
    assert refused(place + name).endswith(told.format(place, place))
    monkeypatch.chdir(tmp_path)
    if name.endswith(".xlsx") and "/" not in name:
        assert refused(name).endswith(told.format("", ""))
    assert refused("sales").endswith("Did you mean sales.xlsx?")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.pt", "pickled objects, which can run code when loaded: save its arrays with"),
        ("a.pkl", "pickled objects"),
        ("a.zip", "is an archive: unpack it and name the folder"),
        ("a.tar.gz", "is an archive"),
        ("a.png", "is damaged, or another kind of file"),
        (
            "a.docx",
            "a.docx has the ending '.docx', which is not read: the endings of data are .csv, ",
        ),
        ("data", "data has no ending: the endings of data are .csv, "),
        ("a.txt", "has the ending '.txt', which is not read: if it is a table, rename it to .csv"),
        ("a.HEIC", "which is not read: convert it to JPEG"),
        ("a.xls", "has the ending '.xls', which is not read: save it as .xlsx"),
        ("a.ODS", "which is not read: save it as .xlsx"),
        ("a.numbers", "which is not read: save it as .xlsx"),
    ],
)
def test_a_file_of_another_kind_has_its_remedy(tmp_path, name, told):
    (tmp_path / name).write_bytes(b"x")
    assert told in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        (
            "strokes",
            {"size": 8},
            "--size (size=) does not apply to strokes, which is not a folder of",
        ),
        ("strokes", {"grey": True}, "--grey (grey=) does not apply to strokes"),
        ("strokes", {"transpose": True}, "strokes, which is not a set of IDX files: leave it out"),
        (
            "x.npy",
            {"missing": "mean"},
            "--missing (missing=) does not apply to x.npy, which is not a",
        ),
        ("x.npy", {"label_column": 0}, "--label-column (label_column=) does not apply to x.npy"),
        ("t.csv", {"grey": False}, "--grey (grey=) does not apply to t.csv, which is not a folder"),
        ("photos", {"drop": "a"}, "--drop (drop=) does not apply to photos/, which is not a table"),
        ("photos", {"missing": [1]}, "--missing (missing=) does not apply to photos/, which is"),
        (
            "strokes",
            {"as_frame": True},
            "as_frame=True does not apply to strokes, which is not a ta",
        ),
        (
            "photos",
            {"label_column": ""},
            "photos/, which is not a table or file of named arrays: leave",
        ),
        (
            "x.npy",
            {"array": "X"},
            "--array (array=) does not apply to x.npy, which is not a file of na",
        ),
        ("t.csv", {"array": "X"}, "--array (array=) does not apply to t.csv"),
        ("strokes", {"array": "X"}, "--array (array=) does not apply to strokes"),
    ],
)
def test_an_option_for_another_kind_of_data_is_refused(tmp_path, monkeypatch, name, options, told):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((4, 2)))
    table(tmp_path / "t.csv")
    photos(tmp_path / "photos")
    assert told in refused(name, **options)


# ----------------------------------------------------------------------------------- IDX files


def write(folder, name, a):
    folder.mkdir(parents=True, exist_ok=True)
    content = idx_bytes(a)
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def emnist(folder, kind="letters"):
    images = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    for split in ("train", "test"):
        write(folder, f"emnist-{kind}-{split}-images-idx3-ubyte.gz", images)
        write(folder, f"emnist-{kind}-{split}-labels-idx1-ubyte.gz", np.arange(5, dtype=np.uint8))
    return images


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_names_with_a_dot(tmp_path, gz):
    images, _ = write_set(tmp_path)
    for split in idx.FILES.values():
        for name in split:
            if (tmp_path / name).exists():
                dotted = name.replace("-idx", ".idx") + gz
                content = (tmp_path / name).read_bytes()
                (tmp_path / name).unlink()
                (tmp_path / dotted).write_bytes(gzip.compress(content) if gz else content)
                (tmp_path / name).mkdir()  # as some archives unpack
    for name, more in ((tmp_path, {}), ("mnist", {"data_dir": tmp_path})):
        np.testing.assert_array_equal(load_data(name, **more)[0], images)


def test_plain_files_come_before_gzipped_ones(tmp_path):
    images, _ = write_set(tmp_path)
    write(tmp_path, "train-images-idx3-ubyte.gz", images[::-1])
    np.testing.assert_array_equal(load_data(tmp_path)[0], images)


@pytest.mark.parametrize("place", ["raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw"])
def test_torchvisions_folders(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    images, _ = write_set(tmp_path / place)
    np.testing.assert_array_equal(load_data(tmp_path)[0], images)
    name = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist"}.get(place.removesuffix("/raw"))
    if name:
        found = load_data(name, data_dir=tmp_path)[0]
        np.testing.assert_array_equal(found, images)


def test_of_two_sets_below_a_folder_one_is_to_be_named(tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        (tmp_path / name).mkdir()
        write_set(tmp_path / name / "raw")
    assert refused(tmp_path, DataError) == (
        f"{tmp_path} holds several data sets: name the folder of one, such as --data "
        f"{tmp_path / 'MNIST' / 'raw'}"
    )


def test_emnist_is_turned_by_transpose_which_a_note_names(tmp_path, capsys):
    images = emnist(tmp_path)
    X, y = load_data(tmp_path, verbose=True)
    np.testing.assert_array_equal(X, images)
    assert y.tolist() == [0, 1, 2, 3, 4]
    assert "--transpose (transpose=True) turns them upright" in capsys.readouterr().out
    X, _ = load_data(tmp_path, transpose=True, verbose=True)
    np.testing.assert_array_equal(X, images.transpose(0, 2, 1))
    load_data(tmp_path)
    assert capsys.readouterr().out == ""


def test_of_emnists_sets_one_is_chosen_by_a_file(tmp_path):
    emnist(tmp_path)
    emnist(tmp_path, "digits")
    first = tmp_path / "emnist-digits-test-images-idx3-ubyte.gz"
    assert refused(tmp_path, DataError).endswith(
        f"(emnist-digits, emnist-letters): name a file of one, such as --data {first}"
    )
    for file in tmp_path.iterdir():
        assert len(load_data(file)[0]) == 5
    (tmp_path / "emnist-letters-test-labels-idx1-ubyte.gz").unlink()
    told = refused(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz", DataError, split="test")
    assert "no file emnist-letters-t10k-labels-idx1-ubyte(.gz) in" in told


def test_square_images_are_rows_and_others_keep_their_shape(tmp_path):
    labels = np.arange(3, dtype=np.uint8)
    for folder, shape in (("square", (3, 4, 4)), ("others", (3, 4, 5))):
        for images_name, labels_name in idx.FILES.values():
            write(tmp_path / folder, images_name, np.zeros(shape, np.uint8))
            write(tmp_path / folder, labels_name, labels)
    for split, n in (("train", 3), ("test", 3), ("all", 6)):
        assert load_data(tmp_path / "square", split)[0].shape == (n, 16)
        assert load_data(tmp_path / "others", split)[0].shape == (n, 4, 5)
    assert load_data(tmp_path / "others", transpose=True)[0].shape == (3, 5, 4)


def test_a_set_without_files_of_labels_has_none(tmp_path):
    images = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    for split in ("train", "t10k"):
        write(tmp_path, f"{split}-images-idx3-ubyte", images)
    for path in (tmp_path, tmp_path / "train-images-idx3-ubyte"):
        for split in ("train", "test"):
            X, y = load_data(path, split)
            np.testing.assert_array_equal(X, images)
            assert y is None
    assert load_data(tmp_path, "all")[0].shape == (10, 4, 3)
    told = refused("mnist", DataError, data_dir=tmp_path)
    assert told.startswith("mnist: no file train-")
    write(tmp_path, "train-labels-idx1-ubyte", np.arange(5, dtype=np.uint8))
    assert "no file t10k-labels-idx1-ubyte(.gz)" in refused(tmp_path, DataError, split="test")
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert "no file t10k-images-idx3-ubyte(.gz)" in refused(tmp_path, DataError, split="test")


@pytest.mark.parametrize(
    "name",
    ["my-pictures-idx3-ubyte", "my.idx3-ubyte.gz", "images-idx3-ubyte", "my.idx", "MY.IDX.gz"],
)
def test_one_idx_file_under_a_name_of_its_own(tmp_path, name):
    images = np.arange(240, dtype=np.uint8).reshape(20, 4, 3)
    write(tmp_path, name, images)
    X, y = load_data(tmp_path / name, "all")
    np.testing.assert_array_equal(X, images)
    assert y is None
    assert [len(load_data(tmp_path / name, split)[0]) for split in ("train", "test")] == [18, 2]
    X, _ = load_data(tmp_path / name, "all", transpose=True)
    np.testing.assert_array_equal(X, images.transpose(0, 2, 1))
    for shape, found in (((20, 5), (20, 5)), ((20, 2, 2), (20, 4)), ((20, 2, 3, 3), (20, 2, 3, 3))):
        write(tmp_path, name, np.zeros(shape, np.uint8))
        assert load_data(tmp_path / name, "all", transpose=len(shape) == 2)[0].shape == found


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"",
            "begins with nothing, but the magic number of an IDX file of 2 or 3 or 4-dimensional",
        ),
        (idx_bytes(np.zeros(5, np.uint8)), "begins with 00000801, but the magic number"),
        (b"\0\0\x0d\3" + bytes(12), "begins with 00000d03, but"),
        (b"\0\0\x08\3" + bytes(11), "ends before its sizes are complete"),
        (b"\0\0\x08\3" + bytes(12), "holds no rows: get the file again"),
        (b"\0\0\x08\2" + b"\xff" * 8, "bytes, but is truncated: get the file"),
        (gzip.compress(b"\0\0\x08\2" + b"\xff" * 8, mtime=0), "which is impossible"),
        (idx_bytes(np.zeros((2, 3), np.uint8)) + b"x", "is longer than it claims"),
    ],
)
def test_an_invalid_idx_file_is_refused(tmp_path, content, told):
    path = tmp_path / "my.idx"
    path.write_bytes(content)
    assert told in refused(path, DataError)


# ---------------------------------------------------------------------- pictures, tables, folders


def test_a_folder_of_pictures(tmp_path, capsys):
    folder = photos(tmp_path / "photos")
    X, y = load_data(folder, "all", verbose=True)
    assert X.shape == (20, 3, 4)
    assert y.tolist() == ["a"] * 10 + ["b"] * 10
    assert "files that are not pictures: 1, such as 'a/notes.txt'" in capsys.readouterr().err
    assert len(load_data(folder, "test")[0]) == 2
    assert capsys.readouterr().err == ""
    for size in (2, (2, 2), "2", "2x2"):
        assert load_data(folder, size=size, grey=False)[0].shape == (18, 2, 2, 3)
    assert "--size (size=) must be 32" in refused(folder, size="big")
    assert "whole number" in refused(folder, size=2.5)
    assert not source_of(folder, None, Options()).splits
    for split in ("train", "test"):
        photos(tmp_path / "split" / split, 4)
    assert source_of(tmp_path / "split", None, Options()).splits
    assert load_data(tmp_path / "split", "all")[0].shape == (8, 3, 4)


def test_a_table_and_its_columns(tmp_path, capsys):
    path = table(tmp_path / "t.csv")
    X, y = load_data(path, "all", label_column="kind", verbose=True)
    np.testing.assert_array_equal(X, [[1.5, i] for i in range(20)])
    assert y.tolist() == ["a", "b"] * 10
    assert capsys.readouterr().out == f"{path}: the labels are column 'kind'\n"
    assert "--label-column kind" in refused(path, DataError)
    found = data_set(path, "test", None, Options(label_column="kind"))
    assert found.columns == ("height", "weight")
    assert len(found.X) == 2
    path = table(tmp_path / "gap.csv", "height,weight,label", "1,,{i}", 3)
    path.write_text(path.read_text() + "1,4,7\n")
    assert "--missing mean" in refused(path, DataError)
    assert load_data(path, "all", missing="mean")[0].tolist() == [[1, 4]] * 4
    assert "must be mean" in refused(path, missing="median")


def test_a_label_column_that_may_be_absent(tmp_path):
    path = table(tmp_path / "new.csv", "height,weight", "1,{i}")
    with pytest.raises(DataError, match="has no column 'kind' for the labels"):
        load_data(path, label_column="kind")
    found = data_set(path, "all", None, Options(label_column="kind", label_required=False))
    assert found.columns == ("height", "weight")
    assert found.y is None


def test_columns_that_load_data_leaves_out(tmp_path):
    path = table(tmp_path / "t.csv")
    for drop in (("kind",), ["kind"], "kind", 2, ("2",), np.array(["kind"])):
        X, y = load_data(path, "all", drop=drop)
        assert (X.shape, y) == ((20, 2), None)
    X, y = load_data(path, "all", drop=["height"], label_column="kind")
    assert (X.tolist(), len(y)) == ([[i] for i in range(20)], 20)
    assert load_data("strokes", "test", drop=())[0].shape == (2000, 784)
    assert "did you mean 'height'?" in refused(path, DataError, drop="heigth")
    options = Options(also_drop=("kind", "born"))
    assert data_set(path, "all", None, options).columns == ("height", "weight")


def test_gaps_are_filled_with_given_numbers(tmp_path, capsys):
    path = table(tmp_path / "new.csv", "height,weight", ",{i}", 1)
    for means in ((1.5, 9), [1.5, 9], np.array([1.5, 9])):
        assert load_data(path, "all", missing=means)[0].tolist() == [[1.5, 0]]
    assert "no value at all in column 'height'" in refused(path, DataError, missing="mean")
    for wrong in ((1.5,), [], [1, 2, 3]):
        told = f"missing= has {len(wrong)} numbers, but new.csv has 2 columns: give one per column"
        assert told in refused(path, split="all", missing=wrong or ())
    for wrong in ((1, np.nan), (np.inf, 1), ("a", "b"), ((1, 2),), 1, True, {}):
        assert "missing= must be 'mean' or one finite number" in refused(path, missing=wrong)


def test_gaps_of_the_test_split_are_filled_with_the_means_of_the_training_split(tmp_path):
    (tmp_path / "train.csv").write_text("a,b\n1,2\n3,\n,6\n")
    (tmp_path / "test.csv").write_text("a,b\n,100\n50,\n")
    test = [[2, 100], [50, 4]]
    assert load_data(tmp_path, "test", missing="mean")[0].tolist() == test
    assert load_data(tmp_path, "train", missing="mean")[0].tolist() == [[1, 2], [3, 4], [2, 6]]
    assert load_data(tmp_path, "all", missing="mean")[0].tolist()[3:] == test
    train, found = both_splits(tmp_path, None, Options(missing="mean"))
    assert (found.X.tolist(), found.means, train.means) == (test, (2, 4), (2, 4))
    assert load_data(tmp_path, "test", missing=(7, 8))[0].tolist() == [[7, 100], [50, 8]]
    assert "has no value in line 2" in refused(tmp_path, DataError, split="test")
    (tmp_path / "test.csv").write_text("b,a\n,100\n")
    assert "the same order as they were in fit" in refused(tmp_path, split="test", missing="mean")
    (tmp_path / "train.csv").write_text("1,2\n3,4\n")
    (tmp_path / "test.csv").write_text("1,9,3\n4,,6\n")
    told = "X has 3 features, but the training split is expecting 2"
    assert told in refused(tmp_path, split="test", missing="mean")


def test_numbers_that_fill_gaps_are_taken_by_the_names_of_their_columns(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = table(tmp_path / "new.csv", "height,weight", ",{i}", 1)
    for means in ({"weight": 9, "height": 1.5}, pandas.Series({"weight": 9, "height": 1.5})):
        assert load_data(path, "all", missing=means)[0].tolist() == [[1.5, 0]]
    told = f"{path} has column 'weight', but missing= has no value for it: give one per column"
    assert told in refused(path, DataError, missing={"height": 1})
    told = f"{path} has no column 'weigth', but missing= has a value for it: did you mean 'weight'?"
    assert told in refused(path, DataError, missing={"height": 1, "weight": 1, "weigth": 3})
    told = "has no column '0', but missing= has a value for it: it has 'height', 'weight'"
    assert told in refused(path, DataError, missing=pandas.Series([1, 2]))
    twice = pandas.Series([1, 2, 3], index=["height", "weight", "weight"])
    assert "missing= has two numbers for one column" in refused(path, missing=twice)
    for wrong in ({"height": "x", "weight": 1}, {"height": np.nan}, twice.to_frame()):
        assert "one finite number per column, got a " in refused(path, missing=wrong)
    path.write_text("1,2\n,4\n")
    assert load_data(path, "all", missing=pandas.Series([7, 8]))[0].tolist() == [[1, 2], [7, 4]]
    told = "has no column 2, but missing= has a value for it"
    assert told in refused(path, DataError, missing={0: 1, 1: 2, 2: 3})
    told = "has column 1 (counted from 0), but missing= has no value for it"
    assert told in refused(path, DataError, missing={0: 1})


def test_a_table_as_a_frame(tmp_path, monkeypatch):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    path = table(tmp_path / "t.csv")
    frame, y = load_data(path, "all", label_column="kind", as_frame=True)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["height", "weight"]
    assert y.tolist() == ["a", "b"] * 10
    np.testing.assert_array_equal(frame, load_data(path, "all", label_column="kind")[0])
    assert len(load_data(path, "test", drop="kind", as_frame=True)[0]) == 2
    path.write_text("1,2\n3,4\n")
    assert list(load_data(path, "all", as_frame=True)[0].columns) == [0, 1]
    model = VAE(latent_dim=1, hidden=(2,), likelihood="gaussian").fit(frame, epochs=1)
    assert list(model.feature_names_in_) == ["height", "weight"]
    with pytest.raises(InputError, match="must be in the same order"):
        model.score_samples(frame[["weight", "height"]])
    monkeypatch.setitem(sys.modules, "pandas", None)
    told = refused(path, DataError, as_frame=True)
    assert told.endswith("t.csv needs pandas: pip install --upgrade pandas")


@pytest.mark.parametrize("name", ["binarized_mnist_train.amat", "a.amat.gz"])
def test_amat_files_have_spaces(tmp_path, name):
    content = b"  0.0 1.0   0 \n 1 0.5 0\n0 0 1e-1\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert load_data(path, "all")[0].tolist() == [[0, 1, 0], [1, 0.5, 0], [0, 0, 0.1]]
    X, y = load_data(path, "all", label_column=1)
    assert X.shape == (3, 2)
    assert y.tolist() == ["1.0", "0.5", "0"]


@pytest.mark.parametrize(
    ("train", "test"), [("train.csv", "val.tsv"), ("d_Train.csv", "d_test.csv")]
)
def test_a_folder_of_two_tables(tmp_path, train, test):
    table(tmp_path / train, "a,b,label", "1,{i},{i}", 5)
    separator = "\t" if test.endswith("tsv") else ","
    row = separator.join(["1", "{i}"])
    table(tmp_path / test, separator.join("ab"), row, 3)  # without labels, as Kaggle's are
    X, y = load_data(tmp_path)
    assert (len(X), y.tolist()) == (5, [0, 1, 2, 3, 4])
    X, y = load_data(tmp_path, "test")
    assert (len(X), y) == (3, None)
    assert len(load_data(tmp_path, "all")[0]) == 8
    table(tmp_path / test, separator.join("ba"), row, 3)
    for call in (
        lambda: load_data(tmp_path, "all"),
        lambda: both_splits(tmp_path, None, Options()),
    ):
        with pytest.raises(InputError, match="Feature names must be in the same order"):
            call()


def test_a_folder_without_data(tmp_path):
    assert refused(tmp_path, DataError).endswith("or train.csv and test.csv")  # it has no file
    (tmp_path / "readme.md").write_text("")
    assert refused(tmp_path, DataError).startswith(f"{tmp_path} holds no data: no file train-ima")
    table(tmp_path / "train.csv")
    table(tmp_path / "tset.csv")
    told = refused(tmp_path, DataError)
    assert "such as x_train.npy and x_test.npy, or train.csv and test.csv; " in told
    assert told.endswith("name or rename one: readme.md, train.csv, tset.csv")


def test_a_folder_of_photos_that_are_not_read(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.HEIC").write_bytes(b"x")
    told = "holds no pictures (other files: 1, such as cats/a.HEIC): PNG, JPEG, GIF, BMP, TIFF, We"
    assert told in refused(tmp_path, DataError)
    assert refused(tmp_path, DataError).endswith("; convert HEIC to JPEG: 1")
    table(tmp_path / "train.csv")
    table(tmp_path / "test.csv")
    assert source_of(tmp_path, None, Options()).kind == "table"


def test_images_stay_images_within(tmp_path):
    write_set(tmp_path)
    write_set(tmp_path, split="test")
    for found in (
        data_set(tmp_path, "train", None, Options()),
        *both_splits(tmp_path, None, Options()),
    ):
        assert found.X.shape == (5, 4, 3)
    assert data_set("strokes", "test", None, Options()).X.shape == (2000, 28, 28)
    assert load_data("strokes", "test")[0].shape == (2000, 784)


def test_both_splits_are_those_that_load_data_returns(tmp_path):
    path = table(tmp_path / "t.csv", "a,b,label", "1,{i},{i}")
    for split, found in zip(("train", "test"), both_splits(path, None, Options()), strict=True):
        X, y = load_data(path, split)
        np.testing.assert_array_equal(found.X, X)
        np.testing.assert_array_equal(found.y, y)
