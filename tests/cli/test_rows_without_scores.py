"""The command `anomaly` on rows with gaps, and where its threshold comes from."""

import csv
from math import inf, nan

import numpy as np
import pytest
from support.command_line import refused

from scratchvae import cli, load_data, load_model
from scratchvae.errors import InputError
from scratchvae.evaluate.outliers import threshold

pytestmark = pytest.mark.usefixtures("no_pictures")

OPTIONS = ("--likelihood", "gaussian", "--scale", "standard", "--latent-dim", "2", "--hidden", "8")
ENDINGS = ("csv", "npy", "npz", "parquet")


def call(*argv):
    assert cli.main([str(a) for a in argv]) == 0


def write(path, X, columns="abcd"):
    if path.suffix == ".npy":
        np.save(path, X)
    elif path.suffix == ".npz":
        np.savez(path, X=X)
    elif path.suffix == ".parquet":
        pandas = pytest.importorskip("pandas", reason="pandas is not installed")
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pandas.DataFrame(X, columns=list(columns)).to_parquet(path)
    else:
        lines = [",".join("" if np.isnan(v) else str(v) for v in row) for row in X]
        path.write_text("\n".join([",".join(columns), *lines, ""]))
    return path


def scores_in(path):
    with path.open(newline="") as f:
        return list(csv.DictReader(f))


@pytest.fixture
def night(tmp_path, rng):
    """A function that trains on a file of this ending, and writes the readings of a night."""

    def begin(ending, bad):
        X = rng.normal(size=(60, 4))
        run = tmp_path / "run"
        data = write(tmp_path / f"readings.{ending}", X)
        call("train", "--data", data, *OPTIONS, "--epochs", "2", "--quiet", "--out", run)
        new = rng.normal(size=(12, 4))
        new[5, 2] = new[8, 0] = bad
        return run, write(tmp_path / f"night.{ending}", new), tmp_path / "s.csv", new

    return begin


@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_with_gaps_are_skipped_and_the_others_have_their_scores(ending, bad, night, capsys):
    run, file, out, new = night(ending, bad)
    argv = ["anomaly", run, "--data", file, "-o", out]
    refused(capsys, argv, "--missing skip")
    assert not out.exists()
    call(*argv, "--missing", "skip", "--contamination", "0.1")
    said = capsys.readouterr().out
    place = f"; line 7 of {file.name}" if ending == "csv" else ""
    told = f"not scored: 2 of 12 rows (missing or infinite), first row 5 (counted from 0{place})\n"
    assert told in said
    assert f"10 rows of {file.name} scored; least likely: row " in said
    rows = scores_in(out)
    assert [row["row"] for row in rows] == [str(i) for i in range(12)]
    assert [i for i, row in enumerate(rows) if row["score"] == row["anomaly"] == ""] == [5, 8]
    kept = np.delete(np.arange(12), [5, 8])
    expected = -load_model(run).score_samples(new[kept])
    found = [float(rows[i]["score"]) for i in kept]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert {rows[i]["anomaly"] for i in kept} <= {"0", "1"}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_advice_to_fill_gaps_works_where_it_is_given(ending, night, capsys):
    run, file, out, _ = night(ending, nan)
    argv = ["anomaly", run, "--data", file, "-o", out]
    refused(
        capsys, argv, "fill such gaps with --missing mean", "or skip their rows with --missing skip"
    )
    call(*argv, "--missing", "mean")
    assert all(row["score"] for row in scores_in(out))


@pytest.mark.parametrize("ending", ENDINGS)
def test_advice_that_does_not_help_is_not_given(ending, night, capsys):
    run, file, out, _ = night(ending, nan if ending.startswith("np") else inf)
    capsys.readouterr()
    assert cli.main(["anomaly", str(run), "--data", str(file), "-o", str(out)]) == 2
    assert "--missing mean" not in capsys.readouterr().err


def test_nothing_but_gaps(night, tmp_path, capsys):
    run, file, out, _ = night("npy", nan)
    write(file, np.full((3, 4), nan))
    argv = ["anomaly", run, "--data", file, "--missing", "skip", "-o", out]
    refused(capsys, argv, "in every row, so there is nothing to score")


def test_rows_are_skipped_by_anomaly_alone(night, tmp_path, capsys):
    run, file, out, _ = night("csv", nan)
    refused(capsys, ["encode", run, "--data", file, "--missing", "skip", "-o", out], "--missing")
    with pytest.raises(InputError, match="missing='skip' is for the command anomaly"):
        load_data(file, missing="skip")


def test_labels_stand_beside_rows_without_a_score(night, tmp_path, capsys):
    run, file, out, new = night("npz", nan)
    y = np.arange(12) % 3
    np.savez(file, X=new, y=y)
    call("anomaly", run, "--data", file, "--missing", "skip", "--anomalous", "1", "-o", out)
    assert [row["label"] for row in scores_in(out)] == [str(v) for v in y]
    assert "counting as anomalous: 4 of 10 examples" in capsys.readouterr().out


def test_the_share_of_the_test_split_above_the_threshold(night, tmp_path, capsys):
    run, _, out, _ = night("npy", nan)
    model, data = load_model(run), tmp_path / "readings.npy"
    scores = {s: -model.score_samples(load_data(data, s)[0]) for s in ("train", "test")}
    argv = ["anomaly", run, "--contamination", "0.2", "-o", out]
    call(*argv)
    limit = -threshold(-scores["train"], 0.2)
    share = 100 * (scores["test"] > limit).mean()
    words = f"of the 54 training examples ({share:.3g} % of the 6 test examples lie above it): "
    assert words in capsys.readouterr().out
    call(*argv, "--threshold-from", "train")
    assert words in capsys.readouterr().out
    call(*argv, "--threshold-from", "test")
    limit = -threshold(-scores["test"], 0.2)
    words = f"anomaly: a score above {limit:.9g}, the 0.8 quantile of the 6 test examples: 1 of 6\n"
    assert words in capsys.readouterr().out
    argv[2:4] = ["--threshold-from", "test"]
    refused(capsys, argv, "--threshold-from has no effect without --contamination: leave it out")


def test_labels_left_out_of_training_make_no_threshold(tmp_path, rng, capsys):
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 4)) + 9 * (y == 1)[:, None]
    data, run, out = tmp_path / "x.npz", tmp_path / "run", tmp_path / "s.csv"
    np.savez(data, X=X, y=y)
    call("train", "--data", data, *OPTIONS, "--leave-out", "1", "--quiet", "--out", run)
    X, y = load_data(data, "test")
    scores = -load_model(run).score_samples(X[y != 1])
    argv = ["anomaly", run, "--contamination", "0.2", "--threshold-from", "test", "-o", out]
    call(*argv)
    words = f"above {-threshold(-scores, 0.2):.9g}, the 0.8 quantile of the {len(scores)} test exam"
    assert words in capsys.readouterr().out
    X = rng.normal(size=(60, 4))
    np.savez(data, x_train=X, y_train=np.arange(60) % 3, x_test=X[:9], y_test=np.ones(9, int))
    argv[1] = tmp_path / "other"
    call("train", "--data", data, *OPTIONS, "--leave-out", "1", "--quiet", "--out", argv[1])
    refused(capsys, argv, "the test split of x.npz holds only labels left out of training")
    call(*argv[:4], "-o", out)
    assert "of the 40 training examples: " in capsys.readouterr().out


def test_values_beyond_the_training_data_are_warned_of_once_with_the_row_of_the_file(
    tmp_path, rng, capfd
):
    X = rng.random((40, 6, 6))
    np.save(tmp_path / "t.npy", X)
    run, out = tmp_path / "run", tmp_path / "s.csv"
    call("train", "--data", tmp_path / "t.npy", "--scale", "minmax", *OPTIONS[4:], "--epochs", "1",
         "--quiet", "--out", run)  # fmt: skip
    new = rng.random((9, 6, 6))
    new[1, 0, 0], new[6, 2:4] = nan, 4095
    np.save(tmp_path / "new.npy", new)
    capfd.readouterr()
    call("anomaly", run, "--data", tmp_path / "new.npy", "--missing", "skip", "-o", out)
    seen = capfd.readouterr().err
    assert seen.count("lie outside the range") == 1
    assert "12 values, such as 4095 in row 6 (counted from 0), column 12, lie outside" in seen
    new[1, 0, 0] = 0.5
    np.save(tmp_path / "new.npy", new)
    for command, result in (
        ("encode", "c.csv"),
        ("reconstruct", "r.csv"),
        ("interpolate", "i.npy"),
    ):
        call(command, run, "--data", tmp_path / "new.npy", "-o", tmp_path / result)
        seen = capfd.readouterr().err
        assert seen.count("lie outside the range") == 1
        assert "such as 4095 in row 6 (counted from 0)" in seen


def test_values_beyond_the_training_data_are_warned_of_with_the_line_of_a_table(
    tmp_path, rng, capfd
):
    X = rng.random((40, 4))
    run, data = tmp_path / "run", write(tmp_path / "t.csv", X)
    call("train", "--data", data, *OPTIONS[:2], "--scale", "minmax", "--likelihood", "bernoulli",
         *OPTIONS[4:], "--epochs", "1", "--quiet", "--out", run)  # fmt: skip
    X[5, 2] = nan
    X[8, 1] = 7
    capfd.readouterr()
    call("anomaly", run, "--data", write(tmp_path / "n.csv", X), "--missing", "skip", "-o",
         tmp_path / "s.csv")  # fmt: skip
    assert "1 values, such as 7 in row 8 (counted from 0; line 10 of n.csv), column 'b', lie " in (
        capfd.readouterr().err
    )
