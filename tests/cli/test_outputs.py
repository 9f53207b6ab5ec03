"""What the commands write by the ending of the file, and which rows they take."""

import csv

import numpy as np
import pytest
from PIL import Image
from support.command_line import SMALL, refused, runs_of
from support.run_folders import contents

from scratchvae import VAE, cli, load_data, load_model
from scratchvae.evaluate.outliers import threshold
from scratchvae.models import MODELS
from scratchvae.pictures import plots

pytestmark = pytest.mark.usefixtures("no_pictures")

KINDS = ("ae", "vae", "iwae", "cvae", "m2")
NAMES = np.array(["left", "middle", "right, far"])


def call(*argv):
    assert cli.main([str(a) for a in argv]) == 0


def table(path):
    """The header, and the lines, of a .csv file."""
    with path.open(newline="") as f:
        header, *lines = csv.reader(f)
    return header, lines


def column(path, name):
    header, lines = table(path)
    return [line[header.index(name)] for line in lines]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """70 images of 4 x 4 pixels, of three labels that are text."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "images.npz"
    X = rng.integers(0, 256, (70, 4, 4)).astype(np.uint8)
    np.savez(path, X=X, y=NAMES[np.arange(70) % 3])
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return runs_of(tmp_path_factory.mktemp("runs"), data, KINDS)


# ------------------------------------------------------------------------------------ the endings


@pytest.mark.parametrize("kind", KINDS)
def test_samples_in_every_kind_of_file(kind, trained, tmp_path):
    run, model = trained[kind], load_model(trained[kind])
    for ending in ("csv", "npy", "npz", "png"):
        call("sample", run, "-n", "5", "--seed", "7", "-o", tmp_path / f"s.{ending}")
    expected = model.sample(5, seed=7)
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), expected)
    y = ["left", "middle", "right, far", "left", "middle"] if kind in ("cvae", "m2") else None
    with np.load(tmp_path / "s.npz") as content:
        np.testing.assert_array_equal(content["X"], expected)
        assert "row" not in content
        assert content["columns"].tolist() == [f"x{i}" for i in range(16)]
        assert (content["y"].tolist() if "y" in content else None) == y
    header, lines = table(tmp_path / "s.csv")
    assert header == [*(f"x{i}" for i in range(16)), *(["label"] if y else [])]
    found = np.array([line[:16] for line in lines]).astype(np.float32)
    np.testing.assert_array_equal(found, expected)  # as many digits as it takes, and no more
    assert max(len(cell) for cell in lines[0][:16]) < 14
    assert y is None or column(tmp_path / "s.csv", "label") == y
    X, labels = load_data(tmp_path / "s.npz", "all")
    np.testing.assert_array_equal(X, expected)
    assert (None if labels is None else labels.tolist()) == y


def test_samples_of_one_label(trained, tmp_path):
    call("sample", trained["m2"], "--label", "right, far", "-n", "3", "-o", tmp_path / "s.csv")
    assert column(tmp_path / "s.csv", "label") == ["right, far"] * 3
    expected = load_model(trained["m2"]).sample(3, y="right, far")
    found = [float(cell) for cell in column(tmp_path / "s.csv", "x3")]
    np.testing.assert_allclose(found, expected[:, 3], rtol=1e-6)


@pytest.mark.parametrize("options", [(), ("--label", "left")])
def test_draws_from_the_likelihood(options, trained, tmp_path, monkeypatch):
    """--draw reaches `sample`, and is left out where it was not given."""
    asked = []
    owner = MODELS["cvae"]
    original = owner.sample

    def sample(self, n, y=None, *, draw=False, seed=None):
        asked.append(draw)
        return original(self, n, y, seed=seed)

    titles = []
    monkeypatch.setattr(owner, "sample", sample)
    monkeypatch.setattr(plots, "samples", lambda images, title, *a: titles.append(title))
    monkeypatch.setattr(plots, "save_figure", lambda *a: None)
    for draw in ((), ("--draw",)):
        call("sample", trained["cvae"], *options, *draw, "-n", "4", "-o", tmp_path / "s.png")
    assert asked == [False, True]
    assert titles[1] == f"{titles[0]}, drawn from p(x|z)"


@pytest.mark.parametrize("kind", KINDS)
def test_reconstructions_of_all_rows(kind, trained, data, tmp_path):
    run, model = trained[kind], load_model(trained[kind])
    X, y = load_data(data, "all")
    given = {"y": y} if kind in ("cvae", "m2") else {}
    expected = model.reconstruct(X, **given)
    for ending in ("csv", "npy", "npz"):
        call("reconstruct", run, "--data", data, "-o", tmp_path / f"r.{ending}")
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), expected)
    with np.load(tmp_path / "r.npz") as content:
        np.testing.assert_array_equal(content["X"], expected)
        assert content["y"].tolist() == y.tolist()
    assert column(tmp_path / "r.csv", "row") == [str(i) for i in range(70)]
    assert column(tmp_path / "r.csv", "label") == y.tolist()
    call("reconstruct", run, "--split", "train", "-n", "3", "-o", tmp_path / "r.csv")
    X, y = load_data(data, "train")
    assert column(tmp_path / "r.csv", "label") == y[:3].tolist()
    call("reconstruct", run, "-o", tmp_path / "r.npy")
    assert len(np.load(tmp_path / "r.npy")) == 7, "the test split, as in a picture"
    call("reconstruct", run, "--data", data, "-o", tmp_path / "r.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_codes(kind, trained, data, tmp_path, capsys):
    run, model = trained[kind], load_model(trained[kind])
    X, y = load_data(data, "test")
    codes = model.encode(X, **({"y": y} if kind in ("cvae", "m2") else {}))
    parts = {"mu": codes} if kind == "ae" else dict(zip(("mu", "logvar"), codes, strict=True))
    names = [f"{part}{i}" for part in parts for i in range(2)]
    joined = np.concatenate([*parts.values()], axis=1)
    capsys.readouterr()
    call("encode", run)
    assert capsys.readouterr().out == f"{run / 'codes.csv'}\n"
    header, lines = table(run / "codes.csv")
    assert header == ["row", *names, "label"]
    found = np.array([line[1:-1] for line in lines]).astype(np.float32)
    np.testing.assert_array_equal(found, joined)
    assert column(run / "codes.csv", "label") == y.tolist()
    for ending in ("npy", "npz"):
        call("encode", run, "-o", tmp_path / f"c.{ending}")
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), joined)
    with np.load(tmp_path / "c.npz") as content:
        for name, part in parts.items():
            np.testing.assert_array_equal(content[name], part)
        assert content["columns"].tolist() == names
        assert set(content) == {"row", "columns", "y", *parts}
    call("encode", run, "--data", data, "-o", tmp_path / "all.csv")
    assert column(tmp_path / "all.csv", "row") == [str(i) for i in range(70)]


def test_the_units_and_the_columns_are_those_of_the_data(tmp_path, rng):
    X = 1000 + 50 * rng.standard_normal((60, 3))
    vae = VAE(latent_dim=1, hidden=(4,), likelihood="gaussian", scale="standard", epochs=1)
    vae.build_from(X, columns=["row", "label", "weight"]).save(tmp_path / "m.npz")
    np.savez(tmp_path / "x.npz", X=X, y=np.arange(60))
    call("sample", tmp_path / "m.npz", "-n", "4", "-o", tmp_path / "s.csv")
    header, lines = table(tmp_path / "s.csv")
    assert header == ["row", "label", "weight"]
    assert all(700 < float(cell) < 1300 for line in lines for cell in line)
    argv = ["reconstruct", tmp_path / "m.npz", "--data", tmp_path / "x.npz"]
    call(*argv, "-o", tmp_path / "r.csv")
    assert table(tmp_path / "r.csv")[0] == ["row_", "row", "label", "weight", "label_"]


LABELLED = "height,place,age\n" + "\n".join(f"{i % 7},{'uv'[i % 2]},{i % 5}" for i in range(60))


@pytest.mark.parametrize("name", ["place", "1", "class"])
def test_the_labels_keep_the_name_of_their_column(name, tmp_path):
    data, run = tmp_path / "t.csv", tmp_path / "run"
    column = "class" if name == "class" else "place"
    data.write_text(LABELLED.replace("place", column))
    told = () if name == "class" else ("--label-column", name)
    model = ("--model", "cvae", "--likelihood", "gaussian", *SMALL)
    call("train", "--data", data, *told, *model, "--epochs", "1", "--out", run)
    call("reconstruct", run, "--split", "all", "-o", tmp_path / "r.csv")
    assert table(tmp_path / "r.csv")[0] == ["row", "height", "age", column]
    call("encode", run, "--data", data, "-o", tmp_path / "c.csv")
    assert table(tmp_path / "c.csv")[0][-1] == column
    call("sample", run, "-n", "4", "-o", tmp_path / "s.csv")
    assert table(tmp_path / "s.csv")[0][-1] == ("place" if name == "place" else "label")
    if name != "1":  # another column of what is written
        call("evaluate", run, "--data", tmp_path / "r.csv")


def test_data_without_labels(trained, tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.random((5, 4, 4)))
    for command in ("encode", "reconstruct"):
        for ending in ("csv", "npz"):
            path = tmp_path / f"{command}.{ending}"
            call(command, trained["vae"], "--data", tmp_path / "x.npy", "-o", path)
        assert "label" not in table(tmp_path / f"{command}.csv")[0]
        assert "y" not in np.load(path)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("encode -o c.png", "c.png must end in .csv, .npy or .npz (a table)"),
        ("encode -o c", "must end in .csv, .npy or .npz"),
        ("encode --split most", "invalid choice: 'most'"),
        ("sample -o s.doc", "(a picture), .csv, .npy or .npz (the numbers)"),
        ("reconstruct -o s.gif", "(a picture), .csv, .npy or .npz (the numbers)"),
        ("interpolate -o s.csv", "an animation) or .npy (the numbers)"),
        ("anomaly --contamination 0", "--contamination: a number between 0 and 1"),
        ("anomaly --contamination 1", "between 0 and 1 is needed, got '1'"),
        ("anomaly --contamination few", "between 0 and 1 is needed, got 'few'"),
        ("anomaly --threshold nan", "--threshold: a finite number is needed, got 'nan'"),
        ("anomaly --threshold 1 --contamination 0.1", "not allowed with argument"),
        ("anomaly --contamination nan", "between 0 and 1 is needed, got 'nan'"),
        ("anomaly -o s.npz", "must end in .csv"),
    ],
)
def test_other_endings_write_nothing(command, words, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, *options = command.split()
    before = contents(trained["vae"])
    refused(capsys, [name, trained["vae"], *options], words)
    assert contents(trained["vae"]) == before
    assert not list(tmp_path.iterdir())


def test_the_codes_are_a_file_of_the_run(data, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "codes.csv").write_text("mine")
    argv = ["train", "--data", data, *SMALL, "--out", tmp_path / "run"]
    refused(capsys, argv, "already holds files that a run would replace (codes.csv)")
    call(*argv, "--overwrite")
    assert not (tmp_path / "run" / "codes.csv").exists()


# ---------------------------------------------------------------------------------------- anomaly


def test_every_row_of_a_named_file_is_scored(trained, data, tmp_path, capsys):
    """Of the run's own file, too: only the run's own data, not named, are their test split."""
    run, model = trained["vae"], load_model(trained["vae"])
    X, y = load_data(data, "all")
    capsys.readouterr()
    call("anomaly", run, "--data", data, "-o", tmp_path / "s.csv")
    assert "70 rows of images.npz scored" in capsys.readouterr().out
    assert column(tmp_path / "s.csv", "row") == [str(i) for i in range(70)]
    assert column(tmp_path / "s.csv", "label") == y.tolist()
    scores = [float(cell) for cell in column(tmp_path / "s.csv", "score")]
    np.testing.assert_allclose(scores, -model.score_samples(X), atol=1e-6)
    for options, split, words in (
        ((), "test", "the test split of "),
        (("--split", "train"), "train", "the training split of "),
        (("--split", "all"), "all", ""),
        (("--data", data, "--split", "test"), "test", "the test split of "),
    ):
        call("anomaly", run, *options, "-o", tmp_path / "s.csv")
        X, y = load_data(data, split)
        assert f"{len(X)} rows of {words}images.npz scored; least" in capsys.readouterr().out
        assert column(tmp_path / "s.csv", "label") == y.tolist()


def test_the_splits_of_data_that_have_them(trained, tmp_path, rng):
    parts = {f"x_{part}": rng.random((n, 4, 4)) for part, n in (("train", 5), ("test", 3))}
    np.savez(tmp_path / "parts.npz", **parts)
    for options, n in (((), 3), (("--split", "train"), 5), (("--split", "all"), 8)):
        argv = ["anomaly", trained["vae"], "--data", tmp_path / "parts.npz", *options]
        call(*argv, "-o", tmp_path / "s.csv")
        assert len(column(tmp_path / "s.csv", "score")) == n


@pytest.mark.parametrize("kind", KINDS)
def test_a_threshold_of_the_training_data(kind, trained, data, tmp_path, capsys):
    run, model = trained[kind], load_model(trained[kind])
    X, y = load_data(data, "train")
    given = {"y": y} if kind == "cvae" else {}
    limit = -threshold(model.score_samples(X, **given), 0.1)
    capsys.readouterr()
    X, y = load_data(data, "test")
    given = {"y": y} if kind == "cvae" else {}
    share = 100 * (-model.score_samples(X, **given) > limit).mean()
    argv = ["anomaly", run, "--contamination", "0.1", "-o", tmp_path / "s.csv"]
    call(*argv, "--split", "train")
    assert column(tmp_path / "s.csv", "anomaly").count("1") == 7, "a tenth of 63"
    assert table(tmp_path / "s.csv")[0] == ["row", "score", "anomaly", "label"]
    words = f"anomaly: a score above {limit:.9g}, the 0.9 quantile of the 63 training examples "
    words += f"({share:.3g} % of the 7 test examples lie above it): "
    assert f"{words}7 of 63\n" in capsys.readouterr().out
    verdicts = table(tmp_path / "s.csv")
    call(*argv[:2], "--threshold", f"{limit:.9g}", *argv[4:], "--split", "train")
    assert table(tmp_path / "s.csv") == verdicts
    assert f"anomaly: a score above {limit:.9g}: 7 of 63\n" in capsys.readouterr().out
    call(*argv)
    marks = (-model.score_samples(X, **given) > limit).astype(int).astype(str).tolist()
    assert column(tmp_path / "s.csv", "anomaly") == marks
    call(*argv[:2], "-o", tmp_path / "s.csv")
    assert "anomaly" not in table(tmp_path / "s.csv")[0], "nobody asked"


def test_the_threshold_is_that_of_the_rows_and_pixels_of_training(tmp_path, rng, monkeypatch):
    path, run = tmp_path / "images.npz", tmp_path / "run"
    np.savez(path, X=rng.random((60, 4, 4)), y=np.arange(60) % 3)
    call("train", "--data", path, *SMALL, "--leave-out", "1", "--binarize", "static", "--out", run)
    argv = ["anomaly", run, "--contamination", "0.25", "-o", tmp_path / "s.csv"]
    call(*argv, "--split", "train")
    kept = [
        m
        for m, y in zip(*(column(tmp_path / "s.csv", c) for c in ("anomaly", "label")), strict=True)
        if y != "1"
    ]
    assert kept.count("1") == -(-len(kept) // 4)


def test_a_threshold_needs_the_training_data(trained, data, tmp_path, capsys):
    load_model(trained["vae"]).save(tmp_path / "m.npz")
    argv = ["anomaly", tmp_path / "m.npz", "--data", data, "--contamination", "0.1"]
    refused(
        capsys,
        [*argv, "-o", tmp_path / "s.csv"],
        "training data, which",
        "m.npz does not record: name the folder of the run, or give --threshold",
    )
    own = tmp_path / "own.npz"
    own.write_bytes(data.read_bytes())
    call("train", "--data", own, *SMALL, "--out", tmp_path / "run")
    own.unlink()
    argv[1] = tmp_path / "run"
    refused(capsys, [*argv, "-o", tmp_path / "s.csv"], f"was trained on {own}, which is gone")
    assert not (tmp_path / "s.csv").exists()
    call(*argv[:-2], "-o", tmp_path / "s.csv")


def test_a_result_never_replaces_what_is_read(data, tmp_path, capsys):
    own, new, run = tmp_path / "own.npz", tmp_path / "new.npy", tmp_path / "run"
    own.write_bytes(data.read_bytes())
    np.save(new, load_data(data, "all")[0])
    call("train", "--data", own, *SMALL, "--out", run)
    load_model(run).save(tmp_path / "m.npz")
    (tmp_path / "link.npy").symlink_to(new)
    files = [*run.iterdir(), own, new, tmp_path / "m.npz"]
    before = [file.read_bytes() for file in files]
    words = "is a file of the data or the run and would be overwritten: choose another -o"
    for argv in (
        ["reconstruct", run, "--data", new, "-o", new],
        ["reconstruct", run, "--data", new, "-o", tmp_path / "link.npy"],
        ["encode", run, "--data", new, "-o", own],
        ["sample", run, "-o", run / "checkpoint.npz"],
        ["sample", run, "-o", run / "best.npz"],
        ["anomaly", run, "-o", run / "metrics.csv"],
        ["sample", tmp_path / "m.npz", "-o", tmp_path / "m.npz"],
    ):
        refused(capsys, argv, words)
    assert [file.read_bytes() for file in files] == before
    call("sample", run, "-o", tmp_path / "s.csv")
    call("sample", run, "-o", tmp_path / "s.csv")


def test_a_result_never_replaces_a_picture_of_the_data(tmp_path, rng, capsys):
    photos, run = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (4, 4)).astype(np.uint8)).save(photos / f"{i}.png")
    call("train", "--data", photos, *SMALL, "--out", run)
    before = contents(photos)
    words = "is a file of the data or the run"
    refused(capsys, ["sample", run, "-o", photos / "3.png"], words)
    refused(capsys, ["anomaly", run, "-o", photos / "3.csv"], f"3.png {words}")
    refused(capsys, ["sample", run, "--draw", "-o", photos / "3.png"], words)
    assert contents(photos) == before


def test_rows_have_their_numbers_in_the_file(trained, data, tmp_path, capsys):
    """Also those of the fixed random tenth, so that a row is found again."""
    every = load_data(data, "all")[0].reshape(70, -1)
    test = load_data(data, "test")[0].reshape(7, -1)
    numbers = [int(np.flatnonzero((every == row).all(axis=1))[0]) for row in test]
    assert numbers != list(range(7))
    for command, ending in (("anomaly", "csv"), ("encode", "csv"), ("reconstruct", "csv")):
        call(command, trained["vae"], "-o", tmp_path / f"s.{ending}")
        assert list(map(int, column(tmp_path / "s.csv", "row"))) == numbers
    call("encode", trained["vae"], "-o", tmp_path / "s.npz")
    assert np.load(tmp_path / "s.npz")["row"].tolist() == numbers
    capsys.readouterr()
    call("anomaly", trained["vae"], "-o", tmp_path / "s.csv")
    scores = np.array(column(tmp_path / "s.csv", "score"), float)
    assert f"least likely: row {numbers[scores.argmax()]} (" in capsys.readouterr().out
    call("anomaly", trained["vae"], "--data", data, "-o", tmp_path / "s.csv")
    assert column(tmp_path / "s.csv", "row") == [str(i) for i in range(70)]


def test_pictures_never_become_part_of_the_data(tmp_path, rng, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos, run = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (4, 4)).astype(np.uint8)).save(photos / f"{i}.png")
    before = contents(photos)
    words = f"is in {photos}, where a new picture would be read as data"
    for out in (photos, photos / "run"):
        refused(capsys, ["train", "--data", photos, *SMALL, "--out", out], words, "another --out")
    call("train", "--data", photos, *SMALL, "--out", run)
    refused(capsys, ["sample", run, "-o", photos / "new.png"], words, "choose another -o")
    refused(capsys, ["anomaly", run, "-o", photos / "scores.csv"], f"scores.png {words}")
    refused(capsys, ["diagram", run, "-o", photos / "3.png"], "is a file of the data")
    assert contents(photos) == before
    call("encode", run, "-o", photos / "codes.csv")
    call("encode", run, "-o", photos / "codes.npz")
    (tmp_path / "keep.png").write_bytes(b"mine")
    words = "keep.png exists, and the picture beside"
    refused(capsys, ["anomaly", run, "-o", tmp_path / "keep.csv"], words)
    assert (tmp_path / "keep.png").read_bytes() == b"mine"
    assert not (tmp_path / "keep.csv").exists()
    for _ in range(2):
        call("anomaly", run, "-o", tmp_path / "scores.csv")


def test_the_partners_of_a_file_are_data_too(tmp_path, rng, capsys):
    for split, n in (("train", 20), ("test", 5)):
        np.savez(tmp_path / f"k-{split}-imgs.npz", rng.integers(0, 256, (n, 4, 4)).astype("u1"))
        np.savez(tmp_path / f"k-{split}-labels.npz", np.arange(n) % 3)
    call("train", "--data", tmp_path / "k-train-imgs.npz", *SMALL, "--out", tmp_path / "run")
    names = [f"k-{split}-{kind}.npz" for split in ("train", "test") for kind in ("imgs", "labels")]
    before = [(tmp_path / name).read_bytes() for name in names]
    for name in names:
        refused(
            capsys, ["encode", tmp_path / "run", "-o", tmp_path / name], "is a file of the data"
        )
    assert [(tmp_path / name).read_bytes() for name in names] == before
