"""`scratchvae anomaly --score`: each score, its words, and where its threshold comes from."""

import csv

import numpy as np
import pytest
from support.command_line import SMALL, refused, runs_of

from scratchvae import cli, load_data, load_model
from scratchvae.evaluate.outliers import threshold
from scratchvae.models.scores import KINDS

pytestmark = pytest.mark.usefixtures("no_pictures")

MODELS = ("ae", "vae", "cvae")


def call(*argv):
    assert cli.main([str(a) for a in argv]) == 0


def column(path, name):
    with path.open(newline="") as f:
        return [row[name] for row in csv.DictReader(f)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """70 images of 4 x 4 pixels, of three labels."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    X = np.random.default_rng(0).integers(0, 256, (70, 4, 4)).astype(np.uint8)
    np.savez(path, X=X, y=np.arange(70) % 3)
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return runs_of(tmp_path_factory.mktemp("runs"), data, MODELS)


def scores_of(run, data, split, score, k=None):
    """-score_samples of a split, and what the training rows say of it."""
    model = load_model(run)
    X, y = load_data(data, split)
    X_train, y_train = load_data(data, "train")
    given = {"y": y} if model.needs_labels else {}
    more = {}
    if score == "typicality":
        labels = {"y": y_train} if model.needs_labels else {}
        more["normal"] = model.score_samples(X_train, k, **labels).mean(dtype=float)
    return -model.score_samples(X, k, kind=score, **more, **given)


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize("score", KINDS)
@pytest.mark.parametrize("kind", MODELS)
def test_each_score(kind, score, k, trained, data, tmp_path, capsys):
    run, out = trained[kind], tmp_path / "s.csv"
    argv = ["anomaly", run, "--score", score, "-o", out]
    if k:
        argv += ["--samples", k]
    if kind == "ae" and (k or score == "regret"):
        words = "has no q(z|x) to refine" if score == "regret" else "draws no samples of z"
        refused(capsys, argv, f"Autoencoder {words}")
        assert not out.exists()
        return
    wanted = scores_of(run, data, "test", score, k)
    call(*argv, "--split", "test")
    np.testing.assert_allclose([float(s) for s in column(out, "score")], wanted, atol=1e-6)
    said = capsys.readouterr().out
    first = "least likely" if score == "elbo" else "most anomalous"
    assert f"; {first}: row {column(out, 'row')[wanted.argmax()]} (" in said
    words = {
        "elbo": "score: the reconstruction error" if kind == "ae" else "score: the negative",
        "reconstruction": "score: -log p(x|z), in nats",
        "regret": "the likelihood regret",
        "complexity": "minus the length of the row compressed by zlib, in nats",
        "typicality": "the distance of the ",
    }
    assert words[score] in said
    assert "; larger is more anomalous; seed 0\n" in said
    if kind != "ae" and score != "regret":
        assert f", in nats, from {'2 samples' if k else 'one sample'} of z; larger" in said
    scores = scores_of(run, data, "train", score, k)
    limit = f"{-threshold(-scores, 0.1):.{9 if scores.dtype == 'float32' else 17}g}"
    call(*argv, "--split", "train", "--contamination", "0.1")
    marks = column(out, "anomaly")
    assert marks.count("1") == 7, "a tenth of 63"
    assert f"anomaly: a score above {limit}, the 0.9 quantile" in capsys.readouterr().out
    call(*argv, "--split", "train", "--threshold", limit)
    assert column(out, "anomaly") == marks


def test_the_default_is_the_bound(trained, data, tmp_path):
    call("anomaly", trained["vae"], "-o", tmp_path / "s.csv")
    call("anomaly", trained["vae"], "--score", "elbo", "-o", tmp_path / "t.csv")
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()


def test_typicality_says_the_mean_of_the_training_rows(trained, data, tmp_path, capsys):
    mean = -load_model(trained["vae"]).score_samples(load_data(data, "train")[0]).mean()
    call("anomaly", trained["vae"], "--score", "typicality", "-o", tmp_path / "s.csv")
    said = f"the negative ELBO from {mean:.2f}, the training mean, in nats, from one sample"
    assert said in capsys.readouterr().out


def test_rows_that_follow_one_another_have_one_score(trained, data, tmp_path, capsys):
    run, out = trained["vae"], tmp_path / "s.csv"
    argv = ["anomaly", run, "--group", "4", "-o", out]
    refused(capsys, argv, "--group has no effect without --score typicality")
    call(*argv, "--score", "typicality", "--data", data, "--contamination", "0.2")
    assert (
        "; each row has the score of its group of 4 consecutive rows; seed"
        in capsys.readouterr().out
    )
    model = load_model(run)
    normal = model.score_samples(load_data(data, "train")[0]).mean(dtype=float)
    elbo = model.score_samples(load_data(data, "all")[0])
    found = [float(s) for s in column(out, "score")]
    means = [elbo[i : i + 4].mean() for i in range(0, 70, 4)]  # of the last two rows, too
    np.testing.assert_allclose(found, np.repeat(abs(means - normal), 4)[:70], atol=1e-5)


def test_typicality_needs_the_training_data(trained, data, tmp_path, capsys):
    saved, out = tmp_path / "m.npz", tmp_path / "s.csv"
    load_model(trained["vae"]).save(saved)
    argv = ["anomaly", saved, "--data", data, "--score", "typicality", "-o", out]
    told = "--score typicality needs the training data, which"
    refused(capsys, argv, told, "m.npz does not record: name the folder of the run\n")
    own = tmp_path / "own.npz"
    own.write_bytes(data.read_bytes())
    call("train", "--data", own, *SMALL, "--out", tmp_path / "run")
    own.rename(tmp_path / "moved.npz")
    argv = ["anomaly", tmp_path / "run", "--data", data, "--score", "typicality", "-o", out]
    refused(capsys, argv, "which is gone, but --score typicality scores", "--training-data")
    assert not out.exists()
    call(*argv, "--training-data", tmp_path / "moved.npz")
    wanted = scores_of(tmp_path / "run", data, "all", "typicality")
    np.testing.assert_allclose([float(s) for s in column(out, "score")], wanted, atol=1e-6)


def test_an_unknown_score_is_refused(trained, capsys):
    argv = ["anomaly", trained["vae"], "--score", "likelihood"]
    refused(capsys, argv, "--score", "'likelihood'", *KINDS)
