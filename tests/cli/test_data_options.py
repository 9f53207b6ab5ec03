"""Own data on the command line: pictures and tables, the options for reading them, their record."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image
from support.command_line import go_on, refused
from support.idx_files import write_set
from support.run_folders import forge

from scratchvae import InputError, cli, load_data, load_model
from scratchvae.cli.settings import DEFAULTS
from scratchvae.data.sources import KINDS_OF, Options
from scratchvae.files.run_folder import candidates
from scratchvae.models.load import load
from scratchvae.pictures import gallery


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Train a small model by the command line, without pictures; returns the folder of the run."""
    monkeypatch.setattr(gallery, "leave", lambda *a: ({}, {}))
    monkeypatch.chdir(tmp_path)

    def run(data, *options):
        small = ("--latent-dim", "2", "--hidden", "4", "--epochs", "1", "--batch-size", "8")
        argv = ["train", "--data", str(data), *small, "--out", "run", "--overwrite", *options]
        assert cli.main(argv) == 0
        return tmp_path / "run"

    return run


def photos(folder, side=(8, 8), mode="L", n=12):
    rng = np.random.default_rng(0)
    for i in range(n):
        place = folder / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        shape = (*side, 3) if mode == "RGB" else side
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(place / f"{i}.png")
    return folder


def table(path, names=("height", "weight", "age"), kinds=True, n=20, scale=1.0):
    rows = np.random.default_rng(0).standard_normal((n, len(names))) * scale
    lines = [",".join((*names, *(["kind"] if kinds else [])))]
    for i, row in enumerate(rows):
        lines.append(",".join((*map(str, row), *(["ab"[i % 2]] if kinds else []))))
    path.write_text("\n".join(lines) + "\n")
    return path


GAUSSIAN = ("--likelihood", "gaussian", "--label-column", "kind")


def rows_of(csv):
    return len(csv.read_text().splitlines()) - 1


def test_each_reading_option_is_a_setting_with_the_same_default():
    fresh = Options()
    assert all(DEFAULTS[name] == getattr(fresh, name) for name in KINDS_OF)


def test_pictures_are_read_alike_by_each_command(train, tmp_path):
    folder = train(photos(tmp_path / "photos", mode="RGB"), "--size", "6x4", "--grey", "--quiet")
    config = json.loads((folder / "config.json").read_text())
    assert (config["size"], config["grey"]) == ("6x4", True)
    assert load_model(folder).rows_.shape == (6, 4)
    other = photos(tmp_path / "other", side=(9, 9))
    for command in (["evaluate"], ["anomaly"]):
        assert cli.main([*command, str(folder)]) == 0
        assert cli.main([*command, str(folder), "--data", str(other)]) == 0
    assert rows_of(folder / "anomaly-other.csv") == 12
    assert cli.main(["reconstruct", str(folder), "-o", "r.npy", "--data", str(other)]) == 0
    assert np.load("r.npy").size == 12 * 24


def test_results_of_pictures_name_their_files(train, tmp_path, capsys):
    folder = train(photos(tmp_path / "photos"), "--quiet")

    def results(*argv):
        assert cli.main([str(a) for a in (argv[0], folder, "-o", "r.CSV", *argv[1:])]) == 0
        with open("r.CSV", newline="") as f:
            return list(csv.DictReader(f))

    every = results("anomaly", "--split", "all")
    names = [f"{'ab'[i % 2]}/{i}.png" for i in (0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11)]
    assert [line["file"] for line in every] == names
    assert list(every[0]) == ["row", "score", "label", "file"]
    split = results("anomaly", "--split", "test")
    assert all(line["score"] == every[names.index(line["file"])]["score"] for line in split)
    assert f"; {split[0]['file']}), {float(split[0]['score']):.2f}" in capsys.readouterr().out
    for command in ("encode", "reconstruct"):
        assert [line["file"] for line in results(command)] == [line["file"] for line in split]
    assert cli.main(["encode", str(folder), "-o", "r.NPZ"]) == 0
    with np.load("r.NPZ") as content:
        assert content["files"].tolist() == [line["file"] for line in split]
    (one,) = results("anomaly", "--data", tmp_path / "photos/b/7.png")
    assert (one["file"], one["score"]) == ("7.png", every[9]["score"])
    told = capsys.readouterr().out
    found = f"row 0 (counted from 0; 7.png), {float(one['score']):.2f}\n"
    assert f"1 row of 7.png scored: {found}" in told


def test_grey_pictures_for_a_colour_model_are_read_in_colour(train, tmp_path, capsys):
    folder = train(photos(tmp_path / "photos", mode="RGB"), "--quiet")
    assert load_model(folder).rows_.shape == (8, 8, 3)
    grey = photos(tmp_path / "grey")
    assert cli.main(["evaluate", str(folder), "--data", str(grey)]) == 0
    argv = ["evaluate", folder, "--data", grey, "--grey"]
    refused(capsys, argv, "fitted on rows of shape (8, 8, 3), but these have (8, 8)")
    other = photos(tmp_path / "other", side=(9, 9))
    refused(capsys, ["evaluate", folder, "--data", other], "8 x 8 pixels", "9 x 9", "--size 8x8")
    assert cli.main(["evaluate", str(folder), "--data", str(other), "--size", "8"]) == 0


def test_a_grey_folder_may_be_read_in_colour(train, tmp_path):
    folder = train(photos(tmp_path / "photos"), "--colour", "--quiet")
    assert load_model(folder).rows_.shape == (8, 8, 3)
    assert json.loads((folder / "config.json").read_text())["grey"] is False


def test_pictures_of_another_size_are_refused_with_the_size_of_the_model(train, tmp_path, capsys):
    folder = train(photos(tmp_path / "in", (6, 8)), "--quiet")
    other = photos(tmp_path / "other", (9, 5))
    mixed = photos(photos(tmp_path / "mixed", (6, 8)) / "c", (9, 5))
    fits = "fitted on images of 6 x 8 pixels (height x width), but these have 9 x 5: resize them "
    for command in ("evaluate", "anomaly", "reconstruct", "encode", "interpolate", "explore"):
        refused(capsys, [command, folder, "--data", other], f"{fits}with --size 6x8\n")
        words = "resize all with --size 6x8 (size='6x8')"
        refused(capsys, [command, folder, "--data", mixed.parent], words)
    argv = ["train", "--init-from", folder, "--data", other, "--out", "second", "--epochs", "1"]
    refused(capsys, argv, fits)
    for data in (other, mixed.parent):
        argv = ["encode", folder, "--data", data, "--size", "6x8", "-o", tmp_path / "c.npy"]
        assert cli.main([str(a) for a in argv]) == 0
    assert load_data(other, "all", size="6x8")[0].shape == (12, 6, 8), "as the message says"


def test_what_the_model_learned_is_not_to_be_dropped(train, tmp_path, capsys):
    folder = train(table(tmp_path / "t.csv"), *GAUSSIAN, "--quiet")
    new = tmp_path / "new.csv"
    learned = (
        "which the model was fitted on as numbers: correct it, or leave the cell empty and use"
    )

    def says(*lines):
        new.write_text("\n".join(lines) + "\n")
        argv = ["anomaly", folder, "--data", new]
        refused(capsys, argv)
        assert cli.main([str(a) for a in argv]) == 2
        return capsys.readouterr().err

    text = says("height,weight,age,kind,name", "1,x,3,a,n", "2,y,4,b,m")
    assert f"holds 'x' in line 2, column 'weight', {learned} --missing mean" in text
    assert "drop" not in text
    text = says("height,weight,age,kind,name", "1,2,3,a,n", "2,1,4,b,m")
    assert "leave it out with --drop name" in text
    folder = train(numbers(tmp_path / "n.csv"), "--likelihood", "gaussian", "--quiet")
    text = says("1,x,3", "2,y,4", "5,z,4")
    assert "or correct the text, since the model was fitted on as many columns of numbers" in text
    text = says("1,2,3", "2,y,4", "5,z,4")
    assert f"column 1 (counted from 0), {learned}" in text
    new.write_text("1,,3\n2,,4\n")
    argv = ["anomaly", folder, "--data", new, "--missing", "mean"]
    words = "has no value at all in column 1 (counted from 0): the model was fitted on that column"
    refused(capsys, argv, words)


def numbers(path):
    np.savetxt(path, np.random.default_rng(0).standard_normal((20, 3)), delimiter=",")
    return path


def test_columns_of_other_tables_are_checked(train, tmp_path, capsys):
    folder = train(table(tmp_path / "t.csv"), *GAUSSIAN, "--quiet")
    model = load_model(folder)
    assert model.rows_.columns == ("height", "weight", "age")
    new = table(tmp_path / "new.csv", kinds=False, n=3)
    moved = table(tmp_path / "moved.csv", ("weight", "height", "age"))
    named = table(tmp_path / "named.csv", ("height", "weight", "years"))
    for command in ("evaluate", "anomaly", "reconstruct", "interpolate", "traverse"):
        numbers = ["-o", tmp_path / "n.npy"] if command in ("interpolate", "traverse") else []
        order = "Feature names must be in the same order as they were in fit."
        refused(capsys, [command, folder, "--data", moved, *numbers], order)
        missing = "seen at fit time, yet now missing: age"
        refused(capsys, [command, folder, "--data", named, *numbers], missing)
    assert cli.main(["evaluate", str(folder), "--data", str(new)]) == 0
    assert cli.main(["anomaly", str(folder), "--data", str(new)]) == 0
    scores = np.loadtxt(folder / "anomaly-new.csv", delimiter=",", skiprows=1)
    X, _ = load_data(new, "all")
    np.testing.assert_allclose(scores[:, 1], -model.score_samples(X), atol=1e-6)
    argv = ["evaluate", folder, "--data", new, "--label-column", "kind"]
    refused(capsys, argv, "has no column 'kind' for the labels")


PEOPLE = ("--likelihood", "gaussian", "--drop", "id,born", "--label-column", "kind", "--quiet")


def people(path, names, n=20):
    """A table of measurements, and of what is none."""
    X = np.random.default_rng(0).standard_normal((n, 2))
    known = {"id": 7000, "born": "2001-02-03", "a": X[:, 0], "b": X[:, 1], "kind": "uv", "x": 0.5}
    lines = [",".join(names)]
    for i in range(n):
        values = {"id": 7000 + 3 * i, "born": "2001-02-03", "kind": "uv"[i % 2]}
        lines.append(",".join(str(values.get(k, known[k][i] if k in "ab" else 5)) for k in names))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_columns_left_out_are_a_setting_of_the_run(train, tmp_path, capsys):
    folder = train(people(tmp_path / "t.csv", ("id", "a", "born", "b", "kind")), *PEOPLE)
    assert json.loads((folder / "config.json").read_text())["drop"] == ["id", "born"]
    model = load_model(folder)
    assert model.rows_.columns == ("a", "b")
    assert go_on(folder, "--epochs", "2") == 0
    scores = []
    for i, names in enumerate((("id", "a", "born", "b"), ("a", "b"), ("born", "kind", "a", "b"))):
        new = people(tmp_path / f"new{i}.csv", names, 5)
        for command in (["evaluate"], ["anomaly", "-o", "s.csv"], ["encode", "-o", "e.npy"]):
            assert cli.main([command[0], str(folder), "--data", str(new), *command[1:]]) == 0
        with open("s.csv", newline="") as f:
            scores.append([line["score"] for line in csv.DictReader(f)])
    assert scores[0] == scores[1] == scores[2]
    assert len(scores[0]) == 5
    wide = people(tmp_path / "wide.csv", ("a", "b", "x"))
    refused(capsys, ["evaluate", folder, "--data", wide], "Feature names unseen at fit time: x.")
    assert cli.main(["evaluate", str(folder), "--data", str(wide), "--drop", "x"]) == 0
    wide = people(tmp_path / "all.csv", ("id", "a", "born", "b", "x"))  # --drop adds to the run's
    assert cli.main(["evaluate", str(folder), "--data", str(wide), "--drop", "x"]) == 0
    argv = ["evaluate", folder, "--data", wide, "--drop", "xx"]
    refused(capsys, argv, "has no column 'xx' to drop: did you mean 'x'?")
    argv = ["train", "--resume", "--out", folder, "--epochs", "3", "--drop", "id"]
    refused(capsys, argv, "was trained with --drop ('id', 'born'), so it cannot resume")
    argv = ["train", "--data", tmp_path / "t.csv", "--drop", "id,birth", "--out", "other"]
    refused(capsys, argv, "has no column 'birth' to drop")
    refused(capsys, ["train", "--drop", "id,", "--out", "other"], "names such as 3 or 3,5 are")
    assert not (tmp_path / "other").exists()


def test_a_run_from_before_a_setting_is_read(train, tmp_path):
    folder = train(table(tmp_path / "t.csv"), *GAUSSIAN, "--quiet")
    for path in candidates(folder):
        forge(path, lambda meta: meta["run"]["settings"].pop("drop"))
    assert cli.main(["evaluate", str(folder)]) == 0
    assert go_on(folder, "--epochs", "2") == 0


def test_decimal_commas_are_noted(train, tmp_path, capsys):
    path = table(tmp_path / "t.csv")
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))
    folder = train(path, *GAUSSIAN)
    assert "are read as numbers with a decimal comma\n" in capsys.readouterr().out
    assert cli.main(["evaluate", str(folder)]) == 0


def test_own_results_are_read_as_tables(train, tmp_path):
    folder = train(table(tmp_path / "t.csv"), *GAUSSIAN, "--quiet")
    assert cli.main(["reconstruct", str(folder), "--split", "all", "-o", "r.csv"]) == 0
    assert cli.main(["evaluate", str(folder), "--data", "r.csv"]) == 0
    assert cli.main(["sample", str(folder), "-n", "3", "-o", "s.csv"]) == 0
    assert cli.main(["anomaly", str(folder), "--data", "s.csv"]) == 0
    assert cli.main(["encode", str(folder), "-o", "e.csv", "--data", "t.csv"]) == 0
    X, y = load_data("e.csv", "all", label_column="kind")
    assert X.shape == (20, 4)
    assert sorted(set(y)) == ["a", "b"]


def test_a_resumed_run_checks_its_columns(train, tmp_path, capsys):
    path = table(tmp_path / "t.csv")
    folder = train(path, *GAUSSIAN, "--quiet")
    assert go_on(folder, "--epochs", "2") == 0
    path.write_text(path.read_text().replace("height,weight", "weight,height"))
    argv = ["train", "--resume", "--quiet", "--out", folder, "--epochs", "3"]
    refused(capsys, argv, "Feature names must be in the same order")
    refused(capsys, [*argv, "--missing", "mean"], "was trained without --missing")


def test_scale_is_an_option_and_large_columns_are_warned_of(train, tmp_path, capsys):
    path = table(tmp_path / "t.csv", scale=20.0)
    train(path, *GAUSSIAN, "--quiet")
    assert "pass scale='standard' (--scale standard)" in capsys.readouterr().err
    folder = train(path, *GAUSSIAN, "--quiet", "--scale", "standard")
    assert capsys.readouterr().err == ""
    model = load_model(folder)
    assert model.rows_.scale == "standard"
    X, _ = load_data(path, "test", label_column="kind")
    assert model.reconstruct(X).shape == X.shape
    refused(capsys, ["train", "--scale", "std"], "invalid choice: 'std'")


def test_what_is_skipped_is_said_once_by_train(train, tmp_path, capsys):
    folder = photos(tmp_path / "photos")
    (folder / "a" / "notes.txt").write_text("")
    train(folder)
    assert capsys.readouterr().err.count("skipped files that are not pictures: 1") == 1
    train(folder, "--quiet")
    assert capsys.readouterr().err == ""
    train(table(tmp_path / "t.csv"), *GAUSSIAN)
    assert capsys.readouterr().out.count("the labels are column 'kind'") == 1


def test_what_is_skipped_is_said_by_every_command_that_reads_a_folder(train, tmp_path, capsys):
    run = str(train(photos(tmp_path / "photos"), "--quiet"))
    new = photos(tmp_path / "new")
    for name in ("IMG_1.HEIC", "clip.MOV", "notes.txt"):
        (new / "a" / name).write_text("")
    for command in ("anomaly", "encode", "reconstruct", "evaluate"):
        capsys.readouterr()
        assert cli.main([command, run, "--data", str(new)]) == 0
        told = "not pictures: 3, such as 'a/IMG_1.HEIC'; convert HEIC to JPEG: 1"
        assert capsys.readouterr().err.count(told) == 1, command
    splits = tmp_path / "splits"
    photos(splits / "train")
    photos(splits / "test")
    (splits / "notes.txt").write_text("")
    (splits / "test" / "a" / "notes.txt").write_text("")
    capsys.readouterr()
    assert cli.main(["encode", run, "--data", str(splits), "--split", "all"]) == 0
    assert capsys.readouterr().err.count("skipped files") == 1


def test_the_sheet_of_a_run_is_read_by_later_commands(train, tmp_path, capsys):
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")

    def book(name, **sheets):
        made = openpyxl.Workbook()
        made.remove(made.active)
        for title, n in sheets.items():
            sheet = made.create_sheet(title)
            sheet.append(["a", "b"])
            for row in np.random.default_rng(n).normal(size=(n, 2)).tolist():
                sheet.append(row)
        made.save(tmp_path / name)
        return str(tmp_path / name)

    months = book("months.xlsx", May=20, June=30)
    gaussian = ("--likelihood", "gaussian", "--quiet")
    run = str(train(months, *gaussian))
    reads = "reads the sheet 'May'; the others ('June') are ignored: --sheet June"
    assert reads in capsys.readouterr().err
    run = str(train(months, *gaussian, "--sheet", "June"))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["sheet"] == "June"
    assert capsys.readouterr().err == ""

    def scored(data, *options):
        argv = ["anomaly", run, "--data", data, "-o", str(tmp_path / "s.csv"), *options]
        assert cli.main(argv) == 0
        return rows_of(tmp_path / "s.csv"), capsys.readouterr().err

    assert scored(months) == (30, "")
    assert scored(months, "--sheet", "May") == (20, "")
    assert scored(book("later.xlsx", Notes=7, June=9), "--contamination", "0.1") == (9, "")
    n, told = scored(book("july.xlsx", July=8, August=9))
    assert n == 8
    assert "no sheet 'June', unlike the run's file, and reads the sheet 'July'; the others" in told
    plain = table(tmp_path / "t.csv", names=("a", "b"), kinds=False, n=5)
    assert scored(str(plain)) == (5, "")
    refused(capsys, ["anomaly", run, "--data", plain, "--sheet", "May"], "is not an Excel file")
    refused(capsys, ["anomaly", run, "--data", months, "--sheet", "Mai"], "no sheet 'Mai'")
    refused(capsys, ["train", "--data", "strokes", "--sheet", "May"], "not a table")


def test_images_keep_their_shape_and_names_may_be_written_in_any_case(train, tmp_path):
    write_set(tmp_path / "mnist", n=9)
    write_set(tmp_path / "mnist", n=9, split="test")
    folder = train("MNIST", "--data-dir", str(tmp_path), "--quiet")
    assert json.loads((folder / "config.json").read_text())["data"] == "mnist"
    assert load_model(folder).rows_.image_shape == (4, 3)
    folder = train(tmp_path / "mnist", "--transpose", "--quiet")
    assert load_model(folder).rows_.image_shape == (3, 4)
    assert cli.main(["evaluate", str(folder)]) == 0


def test_dsprites_as_it_is_published(train, tmp_path):
    imgs = np.zeros((600, 64, 64), np.uint8)
    imgs[::2, :30] = 1
    facts = np.array({"author": "nobody"}, dtype=object)
    np.savez_compressed(tmp_path / "d.npz", imgs=imgs, metadata=facts)
    assert (tmp_path / "d.npz").stat().st_size < imgs.size / 110
    folder = train(tmp_path / "d.npz", "--quiet")
    model = load_model(folder)
    assert model.rows_.shape == (64, 64)
    assert model.reconstruct(imgs[:2]).max() > 0.5, "1 is white"


def spectrograms(path, n=20, **more):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, 4, 3)) * 10 - 40  # in decibels
    np.savez(path, spectrograms=rows, fs=np.array(8000), kinds=np.arange(n) % 2, **more)
    return path


def test_arrays_that_are_named_are_read_alike_by_each_command(train, tmp_path, capsys):
    path = spectrograms(tmp_path / "a.npz")
    refused(
        capsys, ["train", "--data", path, "--out", "r"], "--array NAME (array=)", "fs, kinds, s"
    )
    named = ("--array", "spectrograms", "--label-column", "kinds")
    folder = train(path, *named, "--likelihood", "gaussian", "--scale", "standard", "--quiet")
    config = json.loads((folder / "config.json").read_text())
    assert (config["array"], config["label_column"]) == ("spectrograms", "kinds")
    assert load_model(folder).rows_.shape == (4, 3)
    new = spectrograms(tmp_path / "new.npz", n=7, t=np.arange(3))
    np.save(tmp_path / "flat.npy", np.load(new)["spectrograms"])
    np.savez(tmp_path / "other.npz", X=np.load(new)["spectrograms"])
    few = tmp_path / "few.npz"
    np.savez(few, spectrograms=np.load(new)["spectrograms"], fs=np.array(8000))
    seen = []
    for data in ([], *(["--data", tmp_path / f"{n}"] for n in (new, few, "flat.npy", "other.npz"))):
        for command in ("evaluate", "encode", "anomaly"):
            out = [] if command == "evaluate" else ["-o", tmp_path / "r.csv"]
            assert cli.main([str(a) for a in (command, folder, *data, *out)]) == 0
        with open("r.csv", newline="") as f:
            seen.append([line["score"] for line in csv.DictReader(f)])
        assert len(seen[-1]) == (7 if data else 2)
    assert seen[1] == seen[2] == seen[3] == seen[4]
    assert go_on(folder, "--epochs", "2") == 0
    resume = ["train", "--resume", "--quiet", "--out", folder, "--epochs", "3"]
    refused(capsys, [*resume, "--array", "kinds"], "was trained with --array spectrograms")
    told = [tmp_path / "other.npz", "--array", "spectrograms"]
    refused(capsys, ["evaluate", folder, "--data", *told], "has no array spectrograms: it holds X")
    told = [tmp_path / "flat.npy", "--array", "spectrograms"]
    refused(capsys, ["evaluate", folder, "--data", *told], "--array (array=) does not apply to fla")
    told = [few, "--label-column", "kinds"]
    refused(capsys, ["evaluate", folder, "--data", *told], "has no array kinds: it holds fs, spec")


def test_a_run_of_a_named_array_can_begin_with_a_table_and_the_reverse(train, tmp_path):
    """Options that belong to another kind of data are not applied to it."""
    rows = np.random.default_rng(0).standard_normal((20, 3))
    np.savez(tmp_path / "a.npz", heights=rows, ages=rows)
    options = ("--likelihood", "gaussian", "--quiet")
    folder = train(tmp_path / "a.npz", "--array", "heights", *options)
    (tmp_path / "t.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    assert cli.main(["evaluate", str(folder), "--data", str(tmp_path / "t.csv")]) == 0
    folder = train(tmp_path / "t.csv", "--label-column", "", *options)
    argv = ["evaluate", str(folder), "--data", str(tmp_path / "a.npz"), "--array", "ages"]
    assert cli.main(argv) == 0


def test_a_run_made_before_there_was_array_is_read(train, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=np.random.default_rng(0).random((20, 4)))
    folder = train(path, "--quiet")
    loaded = load(folder)
    settings = loaded.run["settings"]
    assert settings.pop("array") is None
    loaded.model.save(folder / "checkpoint.npz", run=loaded.run, arrays=loaded.arrays)
    assert "array" not in load(folder).run["settings"]
    assert cli.main(["evaluate", str(folder)]) == 0
    assert go_on(folder, "--epochs", "2") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--array", "X"], ["--array (array=) does not apply to strokes"]),
        (["--data", "slaes.csv"], ["there is no file slaes.csv: check the path"]),
        (["--data", "tt.csv"], ["there is no file tt.csv: did you mean t.csv?"]),
        (["--size", "8"], ["--size (size=) does not apply to strokes", "leave it out"]),
        (["--grey", "--colour"], ["not allowed with argument --grey"]),
        (["--missing", "median"], ["invalid choice: 'median'"]),
        (["--data", "photos", "--size", "8x"], ["--size (size=) must be 32"]),
        (["--data", "photos", "--size", "9999"], ["must be <= 8192 pixels"]),
        (["--data", "photos", "--label-column", "a"], ["does not apply to photos/"]),
        (["--data", "t.csv"], ["holds 'a' in line 2, column 'kind'", "--label-column kind"]),
        (["--data", "t.csv", "--label-column", "x"], ["has no column 'x' for the labels"]),
        (["--data", "mnst"], ["Did you mean mnist?"]),
        (["--data", "nowhere/"], ["there is no file or folder nowhere/: check the path"]),
    ],
)
def test_unusable_options_write_nothing(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    table(tmp_path / "t.csv")
    refused(capsys, ["train", *options], *words)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "t.csv"]


def test_a_diagram_of_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv")
    argv = ["diagram", "--data", "t.csv", "--label-column", "kind", "--likelihood", "gaussian"]
    assert cli.main([*argv, "-o", "d.svg"]) == 0
    refused(capsys, ["diagram", "--data", "t.csv", "-o", "e.svg"], "--label-column kind")


def test_a_row_with_a_gap_has_one_score(train, tmp_path, capsys):
    """Gaps of later tables are filled with the means of the training table."""
    X = np.random.default_rng(0).normal(size=(60, 3)) * [1, 5, 2]
    lines = [",".join(f"{v:.4f}" for v in row) for row in X]
    lines[7] = lines[7].partition(",")[0] + ",," + lines[7].rpartition(",")[2]
    whole = tmp_path / "whole.csv"
    whole.write_text("\n".join(["a,b,c", *lines, ""]))
    options = ("--likelihood", "gaussian", "--scale", "standard", "--missing", "mean", "--quiet")
    folder, seen = train(whole, *options), []
    for name, picked in (("all", lines), ("few", lines[5:9]), ("one", lines[7:8])):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(["a,b,c", *picked, ""]))
        assert (
            cli.main(["anomaly", str(folder), "--data", str(path), "-o", str(tmp_path / "s.csv")])
            == 0
        )
        scores = (tmp_path / "s.csv").read_text().splitlines()[1:]
        seen.append(scores[picked.index(lines[7])].split(",")[1])
    model = load_model(folder)
    x, _ = load_data(path, "all", missing=model.rows_.means)
    seen.append(f"{-model.score_samples(x)[0]:.6f}")
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_training_data_that_mean_nothing_or_are_not_there(train, tmp_path, capsys):
    folder = train(table(tmp_path / "t.csv"), *GAUSSIAN, "--quiet")
    argv = ["anomaly", folder, "-o", tmp_path / "s.csv", "--training-data", tmp_path / "none.csv"]
    refused(capsys, argv, "--training-data has no effect without --contamination: leave it out")
    refused(
        capsys, [*argv, "--contamination", "0.1"], "--training-data: there is no file or folder"
    )
    assert not (tmp_path / "s.csv").exists()


def test_a_file_without_rows_is_refused_by_every_command(train, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 16)))
    folder = train(tmp_path / "x.npy", "--quiet")
    np.save(tmp_path / "none.npy", np.empty((0, 16)))
    for command, ending in (
        ("anomaly", "csv"), ("encode", "csv"), ("reconstruct", "png"), ("reconstruct", "csv"),
        ("interpolate", "png"), ("traverse", "png"), ("explore", "html"),
    ):  # fmt: skip
        out = tmp_path / f"result.{ending}"
        argv = [command, folder, "--data", tmp_path / "none.npy", "-o", out]
        refused(capsys, argv, "none.npy holds no examples: at least one row is needed")
        assert not out.exists()


def test_changed_data_of_a_run_are_a_warning(train, tmp_path, capsys):
    path = table(tmp_path / "t.csv")
    folder = train(path, *GAUSSIAN, "--quiet")
    words = f"scratchvae: warning: t.csv has changed: this is not the test split of {folder}\n"
    for n, warned in ((20, False), (30, True)):
        table(path, n=n)
        for command in ("evaluate", "anomaly", "encode", "reconstruct"):
            capsys.readouterr()
            assert cli.main([command, str(folder)]) == 0
            assert (capsys.readouterr().err == words) == warned
    assert cli.main(["evaluate", str(folder), "--data", str(table(tmp_path / "new.csv"))]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("options", [(), ("--leave-out", "1")])
def test_changed_training_rows_are_a_warning_too(options, train, tmp_path, capsys):
    X, y = np.random.default_rng(0).random((60, 16)), np.arange(60) % 3
    path = tmp_path / "x.npz"
    np.savez(path, X=X, y=y)
    folder = train(path, *options, "--quiet")
    words = f"scratchvae: warning: x.npz has changed: {folder} was trained on other rows\n"
    changed = np.append(X, X[:5], axis=0)
    for content, warned in (
        ({"X": X, "y": y}, False),
        ({"X": changed, "y": np.append(y, y[:5])}, True),
        ({"X": X, "y": y * 0}, bool(options)),
    ):
        np.savez(path, **content)
        for command, out in (("anomaly", "s.csv"), ("encode", "c.csv"), ("reconstruct", "r.csv")):
            capsys.readouterr()
            argv = [command, folder, "--split", "train", "-o", tmp_path / out]
            assert cli.main([str(a) for a in argv]) == 0
            assert capsys.readouterr().err == (words if warned else "")


def test_a_threshold_needs_the_data_of_the_training(train, tmp_path, capsys):
    path = table(tmp_path / "t.csv")
    folder = train(path, *GAUSSIAN, "--quiet")
    argv = ["anomaly", folder, "--contamination", "0.1", "-o", tmp_path / "s.csv"]
    assert cli.main([str(a) for a in argv]) == 0
    content = path.read_text()
    path.write_text(content + content.splitlines()[-1] + "\n")
    new = table(tmp_path / "new.csv")
    refused(capsys, [*argv, "--data", new], "is not what", "--init-from")
    path.unlink()
    refused(capsys, [*argv, "--data", new], "is gone, but --contamination", "--training-data")
    scores = (tmp_path / "s.csv").read_text()
    (tmp_path / "moved.csv").write_text(content)
    call = [*argv, "--data", tmp_path / "moved.csv", "--split", "test", "--training-data"]
    assert cli.main([str(a) for a in [*call, tmp_path / "moved.csv"]]) == 0
    assert (tmp_path / "s.csv").read_text() == scores
    (tmp_path / "moved.csv").write_text(content[: content.rindex("\n", 0, -1)])
    refused(capsys, [*call, tmp_path / "moved.csv"], "moved.csv is not what")


def test_gaps_that_a_run_fills_are_told(train, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n3,\n5,6\n7,9\n" * 10)
    options = ("--likelihood", "gaussian", "--missing", "mean", "--quiet")
    folder = train(tmp_path / "t.csv", *options)
    (tmp_path / "new.csv").write_text("a,b\n1,2\n,\n5,\n")
    capsys.readouterr()
    assert (
        cli.main(["anomaly", str(folder), "--data", str(tmp_path / "new.csv"), "-o", "s.csv"]) == 0
    )
    told = "3 missing values, the first in line 3 of the file, column 'a', become the means of the "
    assert f"{told}training table; --missing skip leaves" in capsys.readouterr().err
    assert cli.main(["encode", str(folder), "--data", str(tmp_path / "new.csv")]) == 0
    assert f"{told}training table\n" in capsys.readouterr().err


def test_another_file_without_the_runs_array_tells_what_is_read(train, tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    X = np.random.default_rng(0).random((30, 4))
    kinds = np.array([b"u", b"v", b"w"] * 10)
    for group in ("rec", "other"):
        with h5py.File(tmp_path / f"{group}.h5", "w") as f:
            f[f"{group}/spectro"], f[f"{group}/kind"] = X, kinds
            if group == "other":
                f["extra/unused"] = X
    options = ("--array", "rec/spectro", "--label-column", "rec/kind", "--quiet")
    folder = train(tmp_path / "rec.h5", *options)
    capsys.readouterr()
    new = str(tmp_path / "other.h5")
    assert cli.main(["encode", str(folder), "--data", new, "-o", "c.csv"]) == 0
    told = "has no array 'rec/spectro', as the run has: 'other/spectro' and 'other/kind' are read"
    assert capsys.readouterr().err.count(told) == 1
    with open("c.csv", newline="") as f:
        assert {line["rec/kind"] for line in csv.DictReader(f)} == {*"uvw"}


def test_a_later_table_without_names_is_taken_by_position_with_a_warning(train, tmp_path, capsys):
    folder = train(people(tmp_path / "t.csv", ("id", "a", "born", "b", "kind")), *PEOPLE)
    (tmp_path / "new.csv").write_text("1.5,2\n0.5,1\n")
    capsys.readouterr()
    new = str(tmp_path / "new.csv")
    assert cli.main(["anomaly", str(folder), "--data", new, "-o", "s.csv"]) == 0
    told = "new.csv has no column names: they are assumed to be a, b, in order"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_extremes_are_named_by_their_place_in_the_file_too(train, tmp_path, capsys, ending):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    run = str(train(table(tmp_path / "t.csv", n=40), *GAUSSIAN, "--quiet"))
    lines = table(tmp_path / "new.csv", n=9).read_text().splitlines()
    lines[5] = "90,90,90,b"  # in row 4, from 0, and in line 6
    lines[2:2] = ["", ""] if ending == "csv" else []  # empty lines are no rows
    path = tmp_path / "new.csv"
    path.write_text("\n".join(lines))
    if ending == "xlsx":
        path = tmp_path / "new.xlsx"
        pandas.read_csv(tmp_path / "new.csv").to_excel(path, index=False)
    place = {"csv": "line 8", "xlsx": "row 6 of new.xlsx"}[ending]
    for options in ((), ("--missing", "skip")):
        assert cli.main(["anomaly", run, "--data", str(path), "-o", "s.csv", *options]) == 0
        found = f"9 rows of {path.name} scored; least likely: row 4 ({place}; label b), "
        assert found in capsys.readouterr().out
    # of a tenth of the file, and of rows of which some are left out
    assert cli.main(["anomaly", run, "-n", "3"]) == 0
    line = re.search(r"least likely: row (\d+) \(line (\d+);", capsys.readouterr().out)
    assert int(line[2]) == int(line[1]) + 2
    gaps = [*lines[:1], ",1,1,a", *lines[1:]]
    (tmp_path / "gaps.csv").write_text("\n".join(gaps))
    argv = ["anomaly", run, "--data", "gaps.csv", "--missing", "skip", "-o", "s.csv"]
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert f"least likely: row 5 (line {gaps.index(lines[-5]) + 1};" in out
    assert "first row 0 (counted from 0; line 2 of gaps.csv)\n" in out


def test_the_labels_of_scores_have_their_own_name(train, tmp_path):
    def header(path, name, *options):
        run = train(path, "--likelihood", "gaussian", "--label-column", name, "--quiet")
        assert cli.main(["anomaly", str(run), "-o", "s.csv", *options]) == 0
        return (tmp_path / "s.csv").read_text().splitlines()[0]

    path = table(tmp_path / "t.csv")
    assert header(path, "kind") == "row,score,kind"
    assert header(path, "3") == "row,score,kind"
    (tmp_path / "new.csv").write_text(path.read_text().replace("kind", "sort"))
    later = ("--data", "new.csv", "--label-column", "sort")  # the name of what is read
    assert header(path, "kind", *later) == "row,score,sort"
    text = path.read_text()
    for name in ("score", "anomaly"):
        path.write_text(text.replace("kind", name))
        assert header(path, name, "--threshold", "5") == "row,score,anomaly,label"


def test_labels_of_later_tables_may_be_missing(train, tmp_path, capsys):
    folder = train(people(tmp_path / "t.csv", ("id", "a", "born", "b", "kind")), *PEOPLE)
    new = tmp_path / "new.csv"
    new.write_text("a,b,kind\n1.5,2,u\n0.5,1,\n")
    anomaly = ["anomaly", str(folder), "--data", str(new), "-o", "s.csv"]
    assert cli.main(anomaly) == 0
    with open("s.csv", newline="") as f:
        assert [line["kind"] for line in csv.DictReader(f)] == ["u", ""]
    assert cli.main([*anomaly, "--drop", "kind"]) == 0
    with open("s.csv", newline="") as f:
        assert "label" not in next(csv.DictReader(f))
    argv = ["train", "--data", new, *PEOPLE[:2], "--label-column", "kind", "--out", tmp_path / "r"]
    refused(capsys, argv, "has no label in line 3")


def test_values_of_a_list_that_are_separated_by_spaces(capsys):
    argv = ["train", "--data", "t.csv", "--drop", "id", "born"]
    refused(capsys, argv, "arguments: born, separate values by commas, as in --drop A,born")


def test_names_in_hdf5_files_that_are_no_arrays_of_rows(tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "d.h5", "w") as f:
        f["exp1/spectra"], f["exp1/times"] = np.random.default_rng(0).random((30, 4)), np.arange(30)
        f["exp1/kind"] = ["u", "v", "w"] * 10
        f["fields"] = np.zeros(3, [("p", "f8"), ("k", "S2")])
    argv = ["train", "--data", tmp_path / "d.h5", "--out", tmp_path / "r", "--array"]
    refused(capsys, [*argv, "exp1"], "has no array exp1: did you mean exp1/kind or exp1/spectra or")
    refused(capsys, [*argv, "exp1/kind"], "has no array of numbers exp1/kind: did you mean")
    with pytest.raises(InputError, match="a table of fields: save its numbers as one array"):
        load_data(tmp_path / "d.h5", array="fields")


def test_a_list_that_is_given_again_adds_up(train, tmp_path, capsys):
    data = table(tmp_path / "d.csv", ("a", "b", "c", "d", "e"))
    run = train(data, *GAUSSIAN, "--drop", "a,b", "--drop", "d", "--hidden", "3")
    assert load_model(run).rows_.columns == ("c", "e")
    assert load_model(run).get_params()["hidden"] == (4, 3)
    assert (
        cli.main(["evaluate", str(run), "--data", str(data), "--drop", "a", "--drop", "b,d"]) == 0
    )
    run = train(data, *GAUSSIAN, "--leave-out", "a", "--beta", "2", "--beta", "3")
    assert load_model(run).get_params()["beta"] == 3  # one value: the last
    labels = table(tmp_path / "l.csv", n=30).read_text().replace(",a\n", ",c\n", 5)
    (tmp_path / "l.csv").write_text(labels)
    train(tmp_path / "l.csv", *GAUSSIAN, "--leave-out", "a", "--leave-out", "c")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["leave_out"] == ["a", "c"]
    argv = ["anomaly", str(run), "--split", "all", "--anomalous", "a", "--anomalous", "b"]
    assert cli.main(argv) == 0
    assert "label a, b counting as anomalous" in capsys.readouterr().out


def test_names_with_a_comma_in_a_list(train, tmp_path, capsys):
    names = ("Gewicht, kg", "Größe,cm", "a", "b")
    lines = ["Gewicht, kg;Größe,cm;a;b;kind"]
    rng = np.random.default_rng(0)
    kinds = ("red, dark", "red", "blue")
    for i, row in enumerate(rng.standard_normal((30, 4))):
        lines.append(";".join([*map(str, row), kinds[i % 3]]))
    data = tmp_path / "d.csv"
    data.write_text("\n".join(lines) + "\n")
    for dropped, left in (
        ("Gewicht, kg", names[1:]),
        ("a,Gewicht, kg,Größe,cm", ("b",)),
        ("Größe, cm,b", ("Gewicht, kg", "a")),
    ):
        run = train(data, *GAUSSIAN, "--drop", dropped)
        assert load_model(run).rows_.columns == left
        assert cli.main(["evaluate", str(run), "--data", str(data)]) == 0  # as the run says
    capsys.readouterr()
    argv = ["train", "--data", str(data), "--drop", "Gewicht,xy", "--out", "new"]
    refused(capsys, argv, "has no column 'Gewicht' to drop")
    run = train(data, *GAUSSIAN, "--drop", "Gewicht, kg")
    capsys.readouterr()
    argv = ["anomaly", str(run), "--split", "all", "-o", "a.csv", "--anomalous", "blue,red, dark"]
    assert cli.main(argv) == 0
    told = capsys.readouterr().out
    assert "label blue, red, dark counting as anomalous: 20 of 30" in told


def test_a_proposal_to_drop_columns_can_be_copied(train, tmp_path, capsys):
    run = train(table(tmp_path / "d.csv", ("a", "b")), *GAUSSIAN)
    more = tmp_path / "more.csv"
    more.write_text("a;b;Gewicht, kg\n1;2;3\n")
    argv = ["evaluate", str(run), "--data", "more.csv"]
    refused(capsys, argv, "Leave them out (--drop 'Gewicht, kg').")
    assert cli.main([*argv, "--drop", "Gewicht, kg"]) == 0


def test_columns_are_dropped_one_by_one_where_each_is_there(tmp_path):
    data = tmp_path / "d.csv"
    data.write_text('a,b,"a,b",c\n1,2,3,4\n5,6,7,8\n')
    X, _ = load_data(data, "all", drop=("a", "b"))
    assert X.tolist() == [[3, 4], [7, 8]]
    X, _ = load_data(data, "all", drop="a,b")
    assert X.tolist() == [[1, 2, 4], [5, 6, 8]]


def days(path, *names, n=30, seed=0, one="Tag1"):
    """Groups of images, and of labels unless the name says otherwise, in an HDF5 or .npz file."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in names:
        group, _, rest = name.partition(":")
        found[f"{group}/images"] = rng.random((n, 10))  # no square, which would be drawn
        if rest != "no labels":
            kinds = np.arange(n) % 2 if group == one else 5 + np.arange(n) % 2
            found[f"{group}/labels"] = kinds
    if path.suffix == ".npz":
        np.savez(path, **found)
        return path
    with pytest.importorskip("h5py").File(path, "w") as f:
        for name, a in found.items():
            f[name] = a
    return path


def labels_scored(run, *argv):
    assert cli.main(["anomaly", str(run), "-o", "s.csv", *map(str, argv)]) == 0
    with open("s.csv", newline="") as f:
        beside = ("row", "score")
        return {
            next((line[k] for k in line if k not in beside), None) for line in csv.DictReader(f)
        }


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_labels_of_another_group_are_not_taken(train, tmp_path, capsys, suffix):
    own = days(tmp_path / f"w{suffix}", "Tag1", "Tag2", "Tag3:no labels")
    named = ("--array", "Tag1/images", "--label-column", "Tag1/labels", "--quiet")
    run = train(own, *named)
    capsys.readouterr()
    new = days(tmp_path / f"new{suffix}", "Tag1", "Tag2", "Tag3:no labels", one="")
    for data, ones in ((own, {"0", "1"}), (new, {"5", "6"})):
        assert labels_scored(run, "--data", data) == ones
        assert labels_scored(run, "--data", data, "--array", "Tag1/images") == ones
        assert labels_scored(run, "--data", data, "--array", "Tag2/images") == {"5", "6"}
        assert capsys.readouterr().err == ""
        third = ("--data", data, "--array", "Tag3/images")
        assert labels_scored(run, *third) == {None}
        told = (
            f"{data.name} has no labels that match 'Tag3/images' as 'Tag1/labels' matches "
            "'Tag1/images', the rows of the run, so none are read: name them with --label-column"
        )
        assert capsys.readouterr().err.count(told) == 1
        assert labels_scored(run, *third, "--label-column", "Tag1/labels") == ones
        assert labels_scored(run, *third, "--label-column", "") == {None}
        assert capsys.readouterr().err == ""
    assert labels_scored(run, "--array", "Tag2/images") == {"5", "6"}
    run = train(own, *named, "--model", "cvae")
    capsys.readouterr()
    assert cli.main(["anomaly", str(run), "--data", str(own), "--array", "Tag3/images"]) == 2
    why = "has no labels, but a ConditionalVAE needs them: name them with --label-column ("
    assert why in capsys.readouterr().err.splitlines()[-1]


def test_another_group_has_labels_of_its_own_or_none(train, tmp_path, capsys):
    run = train(
        days(tmp_path / "w.h5", "Tag1"), "--array", "Tag1/images", "--label-column", "Tag1/labels"
    )
    capsys.readouterr()
    new = days(tmp_path / "new.h5", "Tag2")
    assert labels_scored(run, "--data", new) == {"5", "6"}
    new = days(tmp_path / "new.h5", "Tag2:no labels")
    with pytest.importorskip("h5py").File(new, "a") as f:
        f["more/labels"] = np.arange(30)
    assert labels_scored(run, "--data", new) == {None}
    told = "has no array 'Tag1/images', as the run has: 'Tag2/images' is read instead, without lab"
    assert told in capsys.readouterr().err


def test_labels_of_another_split_or_set_are_not_taken(train, tmp_path):
    rng = np.random.default_rng(0)
    found = {}
    for i, name in enumerate(("x_train y_train", "x_test y_test", "a_images a_labels", "b_images")):
        rows, *labels = name.split()
        found[rows] = rng.random((30, 10))
        for label in labels:
            found[label] = 2 * i + np.arange(30) % 2
    np.savez(tmp_path / "w.npz", **found)
    run = train("w.npz", "--array", "x_train", "--label-column", "y_train")
    assert labels_scored(run, "--data", "w.npz", "--array", "x_test") == {"2", "3"}
    assert labels_scored(run, "--data", "w.npz", "--array", "a_images") == {"4", "5"}
    assert labels_scored(run, "--data", "w.npz", "--array", "b_images") == {None}


def test_train_tells_the_columns_that_are_learned(train, tmp_path, capsys, monkeypatch):
    names = ("a", "b", *(f"column {i}" for i in range(300)))
    train(table(tmp_path / "d.csv", names[:3]), *GAUSSIAN, "--drop", "a")
    assert "\n2 columns: b, column 0\n" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "40")
    for n in (5, 302):
        train(table(tmp_path / "d.csv", names[:n]), *GAUSSIAN, "--drop", "a")
        told = f"{n - 1} columns: b, column 0, column 1, column 2"[:36] + " ..."
        assert f"\n{told}\n" in capsys.readouterr().out
    train("strokes")
    assert "columns:" not in capsys.readouterr().out


def test_labels_of_text_may_be_few(train, tmp_path, capsys):
    data = table(tmp_path / "d.csv", n=40)
    options = (*GAUSSIAN, "--scale", "standard", "--model", "m2", "--labels", "6")
    run = train(data, *options)
    assert "36 training (6 with a label) and 4 test examples" in capsys.readouterr().out
    assert load_model(run).classes_.tolist() == ["a", "b"]
    assert cli.main(["evaluate", str(run)]) == 0
    assert go_on(run, "--epochs", "2") == 0


def test_advice_on_gaps_is_for_the_command(train, tmp_path, capsys):
    data = table(tmp_path / "d.csv")
    gap = tmp_path / "gap.csv"
    for value in ("", "inf"):
        lines = data.read_text().splitlines()
        lines[1] = f"{value},{lines[1].partition(',')[2]}"
        gap.write_text("\n".join(lines) + "\n")
        assert cli.main(["train", "--data", str(gap), *GAUSSIAN, "--out", "new"]) == 2
        told = capsys.readouterr().err
        assert "skip" not in told
        assert "in line 2, column 'height'" in told
    run = str(train(data, *GAUSSIAN))
    argv = ["--data", str(gap)]
    refused(capsys, ["anomaly", run, *argv], "number, or skip the row with --missing skip")
    assert cli.main(["encode", run, *argv]) == 2
    assert "replace it with a number, or leave the row out\n" in capsys.readouterr().err


@pytest.mark.parametrize("leave_out", [(), ("--leave-out", "b")])
@pytest.mark.filterwarnings("always::scratchvae.errors.DataWarning")
def test_a_code_for_missing_values_is_named_with_its_line(leave_out, train, tmp_path, capfd):
    path = table(tmp_path / "t.csv", n=60)
    lines = path.read_text().splitlines()
    lines[41] = ",".join(["-999", *lines[41].split(",")[1:]])
    path.write_text("\n".join([*lines, ""]))
    train(path, *GAUSSIAN, "--scale", "standard", *leave_out)
    told = "column 'height' holds -999 in row 40 (counted from 0; line 42 of t.csv), far from its"
    seen = capfd.readouterr().err
    assert seen.count("-999") == 1
    assert told in seen
    assert "leave the cell empty and pass --missing mean" in seen


@pytest.mark.parametrize("lacking", [["age"], ["age", "height"]])
def test_a_later_table_without_a_column_may_have_it_empty(lacking, train, tmp_path, capsys):
    names = ("height", "weight", "age")
    run = train(table(tmp_path / "t.csv"), *GAUSSIAN)
    left = [name for name in names if name not in lacking]
    later = table(tmp_path / "later.csv", left, kinds=False)
    added = "an empty column age" if lacking == ["age"] else "them as empty columns"
    told = f"Add {added} and pass --missing mean (missing=), or train again with --drop "
    refused(capsys, ["anomaly", run, "--data", later], told + ",".join(lacking) + ".")
    rows = [
        dict.fromkeys(lacking, "") | dict(row)
        for row in csv.DictReader(later.read_text().splitlines())
    ]
    lines = [",".join(names), *(",".join(row[name] for name in names) for row in rows)]
    later.write_text("\n".join([*lines, ""]))
    assert cli.main(["anomaly", str(run), "--data", str(later), "--missing", "mean"]) == 0


@pytest.mark.parametrize("shape", [(80,), (6, 4), (4, 5, 3)])
@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5", ".mat"])
def test_an_array_that_is_one_example_of_the_run_is_one_row(
    ending, shape, train, tmp_path, capsys, rng
):
    X = rng.normal(size=(20, *shape))
    np.save(tmp_path / "all.npy", X)
    run = train("all.npy", "--likelihood", "gaussian", "--scale", "standard")
    one = tmp_path / f"one{ending}"
    if ending == ".npy":
        np.save(one, X[3])
    elif ending == ".npz":
        np.savez(one, X=X[3], y=2)
    elif ending == ".h5":
        h5py = pytest.importorskip("h5py", reason="h5py is not installed")
        with h5py.File(one, "w") as f:
            f["X"] = X[3]
    else:
        scipy = pytest.importorskip("scipy.io", reason="scipy is not installed")
        scipy.savemat(one, {"X": X[3]})
    np.save(tmp_path / "row.npy", X[3][None])
    for name in (one, "row.npy"):
        assert cli.main(["anomaly", str(run), "--data", str(name), "-o", f"{name}.csv"]) == 0
        assert cli.main(["encode", str(run), "--data", str(name), "-o", f"{name}.npy"]) == 0
        argv = ["reconstruct", str(run), "--data", str(name), "-o", f"{name}.r.npy"]
        assert cli.main(argv) == 0
    assert "1 row of row.npy scored: row 0" in capsys.readouterr().out
    for result in (".npy", ".r.npy"):
        codes = [np.load(f"{name}{result}") for name in (one, "row.npy")]
        np.testing.assert_array_equal(*codes)
    assert rows_of(tmp_path / f"one{ending}.csv") == 1


def test_a_pixel_row_alone_may_have_the_shape_of_its_image(train, tmp_path, rng):
    X = rng.random((20, 64))
    np.savez(tmp_path / "t.npz", X=X.reshape(20, 8, 8))
    run = train("t.npz")
    np.save(tmp_path / "flat.npy", X[0])
    assert cli.main(["anomaly", str(run), "--data", "flat.npy", "-o", "flat.csv"]) == 0
    assert rows_of(tmp_path / "flat.csv") == 1


def test_an_array_of_another_shape_is_still_refused_without_advice_it_cannot_follow(
    train, tmp_path, capsys, rng
):
    np.save(tmp_path / "all.npy", rng.normal(size=(20, 6)))
    run = train("all.npy", "--likelihood", "gaussian")
    np.save(tmp_path / "short.npy", np.zeros(5))
    with pytest.raises(InputError, match=r"its array has the shape \(5,\): reshape it$"):
        load_data(tmp_path / "short.npy")
    refused(capsys, ["anomaly", run, "--data", "short.npy"], "(5,): reshape it\n")
    np.savez(tmp_path / "two.npz", X=np.zeros(5), other=np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"reshape it, or name another one with --array NAME"):
        load_data(tmp_path / "two.npz")


def test_pictures_for_the_run_of_a_table_and_a_table_for_one_of_pictures(train, tmp_path, capsys):
    pictures, numbers = photos(tmp_path / "photos"), table(tmp_path / "t.csv")
    run = train(numbers, *GAUSSIAN)
    told = "photos/ holds pictures, but the run was trained on a table with the columns height, wei"
    refused(capsys, ["anomaly", run, "--data", pictures], told)
    run = train(pictures)
    told = "t.csv is a table, but the run was trained on the pictures of "
    refused(capsys, ["anomaly", run, "--data", numbers], told)


def test_two_files_belong_in_a_folder(train, tmp_path, capsys):
    run = train(photos(tmp_path / "photos"))
    files = [tmp_path / "photos" / "a" / f"{i}.png" for i in (0, 2)]
    told = "2.png: put the files in a folder, and name that"
    refused(capsys, ["anomaly", run, "--data", *files], told)


def test_an_array_with_fields_is_to_be_saved_as_several(tmp_path):
    a = np.zeros(5, [("age", "f8"), ("weight", "f8")])
    np.save(tmp_path / "a.npy", a)
    with pytest.raises(InputError, match=r"with the fields age, weight: save each .* \.npz file"):
        load_data(tmp_path / "a.npy")


def test_a_text_with_tabs_is_to_be_renamed_to_tsv(tmp_path):
    for text, ending in (("a\tb\n1\t2\n", ".tsv"), ("a,b\n1,2\n", ".csv")):
        (tmp_path / "t.txt").write_text(text)
        with pytest.raises(InputError, match=rf"rename it to \{ending}$"):
            load_data(tmp_path / "t.txt")


def test_labels_of_an_array_that_are_missing_are_no_class(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.zeros((4, 3)), y=[2.0, np.nan, 1.0, np.nan])
    _, y = load_data(tmp_path / "t.npz", "all")
    assert y.dtype == np.int64
    assert y.tolist() == [2, -1, 1, -1]
