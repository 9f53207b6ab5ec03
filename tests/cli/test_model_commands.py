"""The five models on the command line, and the commands that show their results."""

import csv
import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from support.command_line import refused
from support.run_folders import contents, metrics

from scratchvae import InputError, cli, load_data, load_model
from scratchvae.cli import shared as opening
from scratchvae.data.labels import keep_labels, labels_named, leave_out
from scratchvae.evaluate import evaluate, units
from scratchvae.evaluate.collapse import SPARE, collapse_report
from scratchvae.models import MODELS, Labelled
from scratchvae.models.load import load
from scratchvae.pictures import gallery
from scratchvae.train.measure import prepare

pytestmark = pytest.mark.usefixtures("no_pictures")  # but the runs of `trained` have them

KINDS = tuple(MODELS)
SIDE, TEST = 8, 12  # images of 8 x 8 pixels, 12 of them for testing


def patterns(n, seed):
    """Images of a row at one of three heights, and a column left or right; y is the height."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.random((n, SIDE, SIDE)) * 0.2
    X[np.arange(n), 2 * y + 1] += 0.7
    X[np.arange(n), :, 1 + 5 * rng.integers(0, 2, n)] += 0.7
    return (np.clip(X, 0, 1) * 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "patterns.npz"
    (X, y), (X_test, y_test) = patterns(90, 0), patterns(TEST, 1)
    np.savez(path, x_train=X, y_train=y, x_test=X_test, y_test=y_test)
    return path


SMALL = ("--latent-dim", "3", "--hidden", "8", "--batch-size", "16", "--lr", "0.02")


def train(data, folder, *options):
    argv = ["train", "--data", data, *SMALL, "--epochs", "2", "--out", folder, *options]
    return cli.main([str(a) for a in argv])


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of each model, long enough for its units to be active."""
    root = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        assert train(data, root / kind, "--model", kind, "--epochs", "30", "--quiet") == 0
    return {kind: root / kind for kind in KINDS}


def call(*argv):
    assert cli.main([str(a) for a in argv]) == 0


def numbers(tmp_path, *argv):
    """What a command writes into a .npy file."""
    call(*argv, "-o", tmp_path / "out.npy")
    return np.load(tmp_path / "out.npy")


def labels(model, y):
    return {"y": y} if isinstance(model, Labelled) else {}


def means(model, X, y):
    return model.transform(X, **labels(model, y))


def decode(model, z, y=None):
    return model.decode(z, **labels(model, y))


def drawn(monkeypatch, name):
    """The arguments that commands give to a picture of this name."""
    from scratchvae.pictures import plots

    seen, original = [], getattr(plots, name)
    monkeypatch.setattr(plots, name, lambda *a: (seen.append(a), original(*a))[1])
    return seen


# ---------------------------------------------------------------------------------- train


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_trains(kind, trained):
    folder = trained[kind]
    model = load_model(folder)
    assert type(model) is MODELS[kind]
    assert {"loss.png", "reconstructions.png", "samples.png"} < set(contents(folder))
    losses = [float(row["test_loss"]) for row in metrics(folder)]
    assert losses[-1] < losses[0] - 5


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ae", ("--init", "glorot")),
        ("vae", ("--free-bits", "0.1", "--kl-cycle", "2", "--leave-out", "1")),
        ("iwae", ("--k", "3", "--dreg", "--binarize", "dynamic")),
        ("cvae", ("--capacity", "2", "--kl-warmup", "2", "--bias-from-data")),
        ("m2", ("--labels", "6", "--alpha", "3", "--leave-out", "0")),
    ],
)
def test_resume_goes_on_to_the_same_end(kind, options, data, tmp_path):
    train(data, tmp_path / "a", "--model", kind, *options, "--epochs", "3", "--quiet")
    train(data, tmp_path / "b", "--model", kind, *options, "--quiet")
    call("train", "--resume", "--out", tmp_path / "b", "--epochs", "3", "--quiet")
    (a, run_a, arrays_a), (b, run_b, arrays_b) = (load(tmp_path / name) for name in "ab")
    assert a.params_.array.tobytes() == b.params_.array.tobytes()
    assert {n: v.tobytes() for n, v in arrays_a.items()} == {
        n: v.tobytes() for n, v in arrays_b.items()
    }
    assert run_a["settings"] == run_b["settings"]
    for one, two in zip(a.history_, b.history_, strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--model ae --init small", {"init": "small"}),
        ("--likelihood continuous_bernoulli", {"likelihood": "continuous_bernoulli"}),
        ("--likelihood gaussian --x-variance 0.5", {"x_variance": 0.5}),
        ("--free-bits 0.25 --bias-from-data", {"free_bits": 0.25, "bias_from_data": True}),
        ("--capacity 3 --beta 2", {"capacity": 3.0, "beta": 2.0}),
        ("--model iwae --k 2 --objective vae", {"k": 2, "objective": "vae", "dreg": False}),
        ("--model iwae --dreg", {"k": 5, "objective": "iwae", "dreg": True}),
        ("--model m2 --alpha 7.5", {"alpha": 7.5}),
    ],
)
def test_options_reach_the_model(options, expected, data, tmp_path):
    assert train(data, tmp_path / "run", *options.split(), "--epochs", "1", "--quiet") == 0
    assert expected.items() <= load_model(tmp_path / "run").get_params().items()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert expected.items() <= config.items()


def test_the_kl_cycle_reaches_the_loop(data, tmp_path, monkeypatch):
    from scratchvae.train import trainer as loop

    seen = []
    original = loop.ramp
    monkeypatch.setattr(loop, "ramp", lambda *a: (seen.append(a[1:]), original(*a))[1])
    train(data, tmp_path / "run", "--kl-cycle", "2", "--quiet")
    assert set(seen) == {(0.0, 2.0)}


def test_the_bias_begins_at_the_data(data, tmp_path):
    train(data, tmp_path / "run", "--bias-from-data", "--lr", "1e-30", "--quiet")
    mean = load_data(data)[0].reshape(90, -1).mean(axis=0) / 255
    bias = load_model(tmp_path / "run").params_.out_b
    np.testing.assert_allclose(bias, np.log(mean / (1 - mean)), rtol=1e-4)


def test_m2_keeps_as_many_labels_of_each_class(data, tmp_path, capsys):
    train(data, tmp_path / "run", "--model", "m2", "--labels", "6", "--leave-out", "0")
    assert "60 training (6 with a label) and 12 test examples" in capsys.readouterr().out
    y = np.array([0, 1, 2, -1, 1, 0, 2, 2, 1], dtype=np.int8)
    few = keep_labels(y, 3, seed=0)
    assert sorted(few[few >= 0]) == [0, 1, 2]
    assert (few[few >= 0] == y[few >= 0]).all()
    np.testing.assert_array_equal(few, keep_labels(y, 3, seed=0))
    assert (keep_labels(y, 6, seed=0) >= 0).sum() == 6
    with pytest.raises(InputError, match="3 of each class, but label 0 has only 2"):
        keep_labels(y, 9, seed=0)
    with pytest.raises(InputError, match="unknown label '-1': the labels are 0, 1, 2"):
        leave_out(y, y, ["-1"])
    y = np.repeat(np.arange(3), 100).astype(np.uint8)
    assert (keep_labels(y, 30, seed=0) != keep_labels(y, 30, seed=1)).any()


def test_the_kept_labels_are_what_m2_learns_from(data, tmp_path, monkeypatch):
    from scratchvae.cli import train as training

    seen = {}

    class Spy(training.Trainer):
        def __init__(self, model, X, X_test, **settings):
            seen.update(settings)
            super().__init__(model, X, X_test, **settings)

    monkeypatch.setattr(training, "Trainer", Spy)
    train(data, tmp_path / "run", "--model", "m2", "--labels", "6", "--seed", "4", "--quiet")
    np.testing.assert_array_equal(seen["y"], keep_labels(load_data(data)[1], 6, seed=4))
    assert seen["y_test"] is None


def test_the_left_out_labels_are_not_learned(data, tmp_path):
    train(data, tmp_path / "run", "--model", "m2", "--leave-out", "2", "--quiet")
    model, run, _ = load(tmp_path / "run")
    assert model.classes_.tolist() == [0, 1]
    assert run["rows"] == 60
    for kind in ("ae", "vae", "iwae"):
        train(data, tmp_path / kind, "--model", kind, "--leave-out", "0,2", "--quiet")
        assert load(tmp_path / kind)[1]["rows"] == 30


def with_other_test_labels(data, path):
    arrays = dict(np.load(data))
    np.savez(path, **(arrays | {"y_test": np.roll(arrays["y_test"], 1)}))
    return path


@pytest.mark.parametrize(("kind", "given"), [("m2", False), ("cvae", True)])
def test_only_the_conditional_vae_is_told_the_labels_of_the_test_split(kind, given, data, tmp_path):
    other = with_other_test_labels(data, tmp_path / "patterns.npz")
    train(data, tmp_path / "a", "--model", kind, "--quiet")
    train(other, tmp_path / "b", "--model", kind, "--quiet")
    losses = [[row["test_loss"] for row in metrics(tmp_path / name)] for name in "ab"]
    assert (losses[0] != losses[1]) == given


def test_m2_says_how_often_its_classifier_is_wrong(data, trained, tmp_path, capsys):
    model = load_model(trained["m2"])
    X, y = load_data(data, "test")
    capsys.readouterr()
    call("evaluate", trained["m2"])
    wrong = int((model.predict(X) != y).sum())
    said = f"{100 * wrong / TEST:.2f}%   of the {TEST} examples with a label"
    assert said in capsys.readouterr().out
    other = with_other_test_labels(data, tmp_path / "patterns.npz")
    call("evaluate", trained["m2"], "--data", other)
    wrong = int((model.predict(X) != np.roll(y, 1)).sum())
    assert f"{100 * wrong / TEST:.2f}%" in capsys.readouterr().out
    assert wrong > 0
    np.savez(tmp_path / "none.npz", x_train=X, x_test=X, y_test=np.full(TEST, -1))
    call("evaluate", trained["m2"], "--data", tmp_path / "none.npz")
    assert "wrong labels" not in capsys.readouterr().out
    train(data, tmp_path / "run", "--model", "m2", "--leave-out", "2")
    assert "of the 8 examples with a label that the model knows" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["vae", "iwae", "cvae", "m2"])
def test_evaluate_with_samples(kind, trained, capsys):
    capsys.readouterr()
    call("evaluate", trained[kind], "--samples", "20")
    out = capsys.readouterr().out
    assert "20 samples" in out
    assert "test split of patterns.npz, 12 examples" in out
    assert ("log p(x|y)" in out) == (kind == "cvae")


@pytest.mark.parametrize("workers", ["1", "2", "auto"])
def test_evaluate_with_workers(workers, trained, tmp_path, capsys, rng):
    np.save(tmp_path / "x.npy", rng.random((200, SIDE, SIDE)))
    evaluate = ["evaluate", trained["vae"], "--data", tmp_path / "x.npy", "--samples", "5"]
    call(*evaluate)
    alone = capsys.readouterr().out
    call(*evaluate, "--workers", workers)
    assert capsys.readouterr().out == alone


def test_a_collapse_is_said_after_training_and_by_evaluate(data, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    train(data, run, "--beta", "1000", "--binarize", "static")
    model, X = load_model(run), load_data(data, "test")[0]
    said = str(collapse_report(model, prepare(model, X, None, "static")))
    assert said.startswith("full collapse")
    out = capsys.readouterr().out
    assert "binarised once" in out
    assert f"\n\n{said}\n" in out
    call("evaluate", run)
    assert capsys.readouterr().out.endswith(f"\n\n{said}\n")
    spare = dataclasses.replace(collapse_report(model, X), verdict=SPARE)
    monkeypatch.setattr(opening, "collapse_report", lambda *a, **labels: spare)
    train(data, tmp_path / "two")  # where they do no harm
    assert "spare units" not in capsys.readouterr().out
    call("evaluate", tmp_path / "two")
    assert "spare units" in capsys.readouterr().out


# ---------------------------------------------------------------------- looking at a run

SHAPES = {
    "sample -n 7": (7, 64),
    "reconstruct -n 5": (5, 64),
    "interpolate -n 2 --steps 4": (2, 4, 64),
    "interpolate -n 2 --slerp": (2, 12, 64),
    "traverse -n 1 --steps 3": (1, 3, 64),
    "manifold -n 4": (4, 4, 64),
    "manifold -n 1 --units 2 0": (1, 1, 64),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", SHAPES)
def test_every_command_looks_at_every_model(kind, command, trained, tmp_path):
    name, *options = command.split()
    decoded = numbers(tmp_path, name, trained[kind], *options)
    assert decoded.shape == SHAPES[command]
    assert 0 <= decoded.min() < decoded.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_writes_its_picture(kind, trained, capsys):
    for name, picture in (
        ("sample", "samples.png"),
        ("reconstruct", "reconstructions.png"),
        ("interpolate", "interpolations.png"),
        ("traverse", "traversals.png"),
        ("manifold", "manifold.png"),
        ("anomaly", "anomaly.png"),
    ):
        (trained[kind] / picture).unlink(missing_ok=True)
        call(name, trained[kind], "-n", "4")
        assert (trained[kind] / picture).read_bytes().startswith(b"\x89PNG")
        assert str(trained[kind] / picture) in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_works_on_a_gpu_that_refuses_to_convert(kind, trained, tmp_path, double):
    for command in SHAPES:
        name, *options = command.split()
        argv = name, trained[kind], *options
        on_cpu, on_gpu = numbers(tmp_path, *argv), numbers(tmp_path, *argv, "--device", "cuda")
        np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-5)
    call("anomaly", trained[kind], "-n", "1", "--device", "cuda", "-o", tmp_path / "s.csv")


def test_overwrite_removes_the_pictures_of_the_old_run(data, tmp_path):
    train(data, tmp_path / "run", "--quiet")
    call("manifold", tmp_path / "run")
    call("anomaly", tmp_path / "run")
    train(data, tmp_path / "run", "--quiet", "--overwrite")
    assert not {"manifold.png", "anomaly.png", "anomaly.csv"} & set(contents(tmp_path / "run"))


@pytest.mark.parametrize("kind", ["cvae", "m2"])
def test_samples_of_a_label(kind, trained, tmp_path):
    model = load_model(trained[kind])
    found = numbers(tmp_path, "sample", trained[kind], "-n", "4", "--label", "2", "--seed", "3")
    np.testing.assert_array_equal(found, model.sample(4, y=2, seed=3))
    found = numbers(tmp_path, "sample", trained[kind], "-n", "4", "--seed", "3")
    np.testing.assert_array_equal(found, model.sample(4, y=[0, 1, 2, 0], seed=3))


@pytest.mark.parametrize("kind", ["vae", "cvae"])
def test_interpolations_go_from_code_to_code(kind, trained, data, tmp_path, monkeypatch):
    model = load_model(trained[kind])
    X, y = load_data(data, "test")
    found = numbers(tmp_path, "interpolate", trained[kind], "-n", "3", "--steps", "5")
    first, second = ([0, 2, 4], [1, 3, 5]) if kind == "vae" else ([0, 1, 2], [3, 4, 5])
    if kind == "cvae":
        assert (y[first] == y[second]).all()
    z = [means(model, X[rows], y[rows]) for rows in (first, second)]
    for step, code in ((0, z[0]), (1, 0.75 * z[0] + 0.25 * z[1]), (4, z[1])):
        np.testing.assert_allclose(found[:, step], decode(model, code, y[first]), atol=1e-5)
    found = numbers(tmp_path, "interpolate", trained[kind], "-n", "3", "--steps", "3", "--slerp")
    arc = gallery.slerped(*z, 3)[:, 1]
    np.testing.assert_allclose(found[:, 1], decode(model, arc, y[first]), atol=1e-5)
    assert abs(found[:, 1] - decode(model, (z[0] + z[1]) / 2, y[first])).max() > 1e-3
    seen = drawn(monkeypatch, "interpolations")
    call("interpolate", trained[kind], "-n", "3", "-o", tmp_path / "i.png")
    ends = np.concatenate((seen[0][0], seen[0][2]))
    assert (ends == ends[..., :1]).all(), "of such a background: not as ink"
    np.testing.assert_allclose(ends[..., 0], X[first + second] / 255)


def test_an_arc_keeps_its_distance_from_the_origin(rng):
    first, second = rng.standard_normal((2, 6, 5))
    first[:3], second[:3] = [[0], [1], [1]], [[0], [2], [-2]]  # no plane to turn in
    arc = gallery.slerped(first, second, 7)
    np.testing.assert_allclose(arc[:, 0], first, atol=1e-12)
    np.testing.assert_allclose(arc[:, -1], second, atol=1e-12)
    assert abs(arc).max() < 10
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (first[3:], second[3:])]
    arc = gallery.slerped(*unit, 7)
    np.testing.assert_allclose(np.linalg.norm(arc, axis=2), 1)
    turned = (arc[:, 1:] * arc[:, :-1]).sum(axis=2)
    np.testing.assert_allclose(turned, turned[:, :1] * np.ones(6))
    straight = gallery.interpolated(*unit, 7)
    assert (np.linalg.norm(straight, axis=2)[:, 3] < 0.999).all()


@pytest.mark.parametrize("kind", KINDS)
def test_traversals_move_one_active_unit_alone(kind, trained, data, tmp_path, monkeypatch):
    model = load_model(trained[kind])
    X, y = load_data(data, "test")
    found = numbers(tmp_path, "traverse", trained[kind], "--row", "4", "--steps", "3")
    mu = means(model, X, y)
    given = y if kind == "cvae" else None
    assert len(found) == evaluate(model, X, given).active_units > 0
    centre, scale = (mu.mean(axis=0), mu.std(axis=0)) if kind == "ae" else ([0] * 3, [1] * 3)
    if kind == "ae":
        said = mu.var(axis=0)
    else:
        logvar = model.encode(X, **labels(model, y))[1]
        said = ((mu**2 + np.exp(logvar) - logvar - 1) / 2).mean(axis=0)
    for row, unit in enumerate(np.argsort(-said)[: len(found)]):
        for step, t in enumerate((-2.5, 0, 2.5)):
            z = mu[4].copy()
            z[unit] = centre[unit] + t * scale[unit]
            np.testing.assert_allclose(found[row, step], decode(model, z[None], y[4])[0], atol=1e-5)
    seen = drawn(monkeypatch, "traversals")
    call("traverse", trained[kind], "--row", "4", "-n", "2", "-o", tmp_path / "t.png")
    marks, _, _, of, along = seen[0][1:]
    at = (mu[4] - centre) / scale
    units = np.argsort(-said)[:2]
    assert marks == [f"{unit}  ({said[unit]:.2f})  {at[unit]:+.1f}" for unit in units]
    assert ("KL" in of, "deviations" in along) == (kind != "ae", kind == "ae")


def test_the_manifold_stands_at_the_quantiles_of_the_prior(trained, data, tmp_path, capsys):
    model = load_model(trained["vae"])
    found = numbers(tmp_path, "manifold", trained["vae"], "-n", "4", "--units", "2", "0")
    assert (
        "unit 2 (horizontal) and unit 0 (vertical), at quantiles of the prior, the others at 0"
        in capsys.readouterr().out
    )
    low, high = -1.1503494, 0.3186394  # of N(0, 1), at 1/8 and 5/8
    np.testing.assert_allclose(found[3, 2], model.decode([[low, 0, high]])[0], atol=1e-5)
    np.testing.assert_allclose(found[1, 0], model.decode([[high, 0, low]])[0], atol=1e-5)
    mu, logvar = model.encode(load_data(data, "test")[0])
    first, second, _ = np.argsort(-(mu**2 + np.exp(logvar) - logvar - 1).mean(axis=0))
    call("manifold", trained["vae"])
    assert f"unit {first} (horizontal) and unit {second} (vertical)" in capsys.readouterr().out


def test_the_manifold_of_a_label_and_of_a_plain_autoencoder(trained, data, tmp_path, capsys):
    model = load_model(trained["cvae"])
    found = numbers(tmp_path, "manifold", trained["cvae"], "-n", "1", "--label", "2")
    np.testing.assert_allclose(found[0], model.decode(np.zeros((1, 3)), 2), atol=1e-6)
    assert capsys.readouterr().out.endswith(", the others at 0; label 2\n")
    numbers(tmp_path, "manifold", trained["cvae"], "-n", "1")
    assert capsys.readouterr().out.endswith("; label 0\n")
    model = load_model(trained["ae"])
    found = numbers(tmp_path, "manifold", trained["ae"], "-n", "1")
    codes = model.encode(load_data(data, "test")[0])
    mean = codes.mean(axis=0, dtype=float)
    np.testing.assert_allclose(found[0], model.decode(mean[None]), atol=1e-5)
    assert capsys.readouterr().out.endswith(", the others at their means\n")
    least, middle, _ = np.argsort(codes.var(axis=0))
    numbers(tmp_path, "manifold", trained["ae"], "-n", "1", "--units", least, middle)
    assert f"unit {least} (horizontal) and unit {middle} (vertical)" in capsys.readouterr().out


def test_m2_is_told_the_labels_that_it_knows_and_predicts_the_rest(trained, data):
    model = load_model(trained["m2"])
    X, y = load_data(data, "test")
    y = np.roll(y, 1)  # not what it predicts
    y[:2] = -1, 7
    told = units.with_labels(model, X, y, "patterns")["y"]
    np.testing.assert_array_equal(told, [*model.predict(X[:2]), *y[2:]])


def test_a_bare_model_needs_no_data_where_none_are_looked_at(trained, tmp_path, capsys):
    load_model(trained["vae"]).save(tmp_path / "m.npz")
    call("manifold", tmp_path / "m.npz", "--units", "0", "1")
    assert (tmp_path / "m-manifold.png").exists()
    for name in ("interpolate", "traverse", "manifold", "anomaly"):
        refused(capsys, [name, tmp_path / "m.npz"], "name it with --data")


# -------------------------------------------------------------------------------- anomaly


def table(path):
    with path.open() as f:
        return list(csv.DictReader(f))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [None, 4])
def test_anomaly_writes_the_scores(kind, k, trained, data, tmp_path, capsys):
    if kind == "ae" and k:
        refused(capsys, ["anomaly", trained[kind], "--samples", k], "draws no samples")
        return
    model = load_model(trained[kind])
    X, y = load_data(data, "test")
    capsys.readouterr()
    samples = () if k is None else ("--samples", k)
    call("anomaly", trained[kind], "-o", tmp_path / "s.csv", "--anomalous", "1", *samples)
    out = capsys.readouterr().out
    scores = -model.score_samples(X, k, **({"y": y} if kind == "cvae" else {}))
    rows = table(tmp_path / "s.csv")
    assert [int(row["row"]) for row in rows] == list(range(TEST))
    assert [int(row["label"]) for row in rows] == y.tolist()
    np.testing.assert_allclose([float(row["score"]) for row in rows], scores, atol=1e-6)
    assert (tmp_path / "s.png").exists()
    worst = f"row {scores.argmax()} (counted from 0; label {y[scores.argmax()]})"
    scored = f"{TEST} rows of the test split of {data.name} scored"
    assert f"{scored}; least likely: {worst}, {scores.max():.2f}; most" in out
    won = np.mean([a > b for a in scores[y == 1] for b in scores[y != 1]])
    assert f"AUROC {won:.4f}" in out
    ranked = y[np.argsort(-scores)] == 1
    precision = np.mean([ranked[: i + 1].mean() for i in np.flatnonzero(ranked)])
    assert f"average precision {precision:.4f}" in out
    draws = {"iwae": "5 samples of z", "ae": None}.get(kind, "one sample of z")
    assert (f"{k} samples of z" if k else draws or "reconstruction error") in out
    assert f"higher than a normal one in {100 * won:.1f} % of all pairs" in out
    assert f"(chance: 0.5, {(y == 1).mean():.4f})" in out
    best = scores.argmin()
    said = f"most likely: row {best} (label {y[best]}), {scores[best]:.2f}; median"
    assert f"{said} {np.median(scores):.2f}\n" in out
    assert ("given its label" in out) == (kind == "cvae")
    assert ("the reconstruction error" in out) == (kind == "ae")


def test_the_least_and_the_most_likely_are_shown(trained, data, tmp_path, monkeypatch):
    seen = drawn(monkeypatch, "anomalies")
    call("anomaly", trained["vae"], "-n", "3", "-o", tmp_path / "s.csv")
    X, y = load_data(data, "test")
    scores = -load_model(trained["vae"]).score_samples(X)
    ranked = np.argsort(-scores)
    *both, below = seen[0]
    assert below == "score in nats, #row, label"
    for (images, texts, labels), rows in zip(both, (ranked[:3], ranked[:-4:-1]), strict=True):
        np.testing.assert_allclose(images[..., 0], X[rows] / 255)
        assert texts == [f"{score:.5g}" for score in scores[rows]]
        assert labels == [f"#{row}, {y[row]}" for row in rows]


def test_stars_mark_what_is_above_the_threshold_and_labels_that_are_anomalous(
    trained, data, tmp_path, monkeypatch
):
    seen = drawn(monkeypatch, "anomalies")
    argv = ["anomaly", trained["vae"], "--contamination", "0.5", "--anomalous", "1"]
    call(*argv, "-o", tmp_path / "s.csv")
    worst, best, below = seen[0]
    rows = {f"#{row['row']}": row for row in table(tmp_path / "s.csv")}
    marked = [label.split(", ") for label in worst[2] + best[2]]
    assert len(marked) == TEST
    for row, label in marked:
        about = rows[row.rstrip("*")]
        assert row.endswith("*") == (about["anomaly"] == "1")
        assert label == about["label"] + "*" * (about["label"] == "1")
    assert 0 < sum(row.endswith("*") for row, _ in marked) < TEST
    assert re.fullmatch(
        r"score in nats, #row, label; #row\*: score above [\d.]+; label\*: counts as anomalous",
        below,
    )


@pytest.mark.parametrize(("n", "worst", "best"), [(1, 1, None), (2, 1, 1), (5, 3, 2)])
def test_no_example_is_drawn_twice(n, worst, best, trained, data, tmp_path, monkeypatch):
    X, _ = load_data(data, "test")
    np.save(tmp_path / "few.npy", X[:n])
    seen = drawn(monkeypatch, "anomalies")
    argv = ["anomaly", trained["vae"], "--data", tmp_path / "few.npy"]
    call(*argv, "-o", tmp_path / "s.csv")
    left, right, below = seen[0]
    assert below == "score in nats, #row"
    assert len(left[0]) == worst
    assert right is None if best is None else len(right[0]) == best
    assert len({*left[2], *(right[2] if right else ())}) == n
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_a_label_left_out_is_anomalous_and_found(data, tmp_path, capsys):
    run = tmp_path / "run"
    train(data, run, "--leave-out", "2", "--epochs", "30", "--quiet")
    capsys.readouterr()
    call("anomaly", run)
    out = capsys.readouterr().out
    assert "label 2 counting as anomalous: 4 of 12 examples" in out
    assert float(out.split("AUROC ")[1].split(",")[0]) > 0.9
    call("anomaly", run, "--anomalous", "0,1")
    assert "label 0, 1 counting as anomalous: 8 of 12 examples" in capsys.readouterr().out
    X, y = load_data(data, "test")
    np.savez(tmp_path / "some.npz", x_train=X, x_test=X, y_test=np.where(y == 0, -1, y))
    call("anomaly", run, "--data", tmp_path / "some.npz")
    assert "label 2 counting as anomalous: 4 of 8 examples" in capsys.readouterr().out
    cases = ("as_floats", y >= 0.0, True), ("only_it", y == 2, False), ("without", y != 2, False)
    for name, there, said in cases:
        np.savez(tmp_path / f"{name}.npz", x_train=X, x_test=X[there], y_test=1.0 * y[there])
        call("anomaly", run, "--data", tmp_path / f"{name}.npz")
        assert ("label 2 counting as anomalous" in capsys.readouterr().out) == said


def test_scores_are_of_binary_pixels_where_the_run_saw_those(data, tmp_path, capsys):
    run = tmp_path / "run"
    train(data, run, "--binarize", "static", "--epochs", "30", "--quiet")
    capsys.readouterr()
    call("anomaly", run)
    assert "binarised" in capsys.readouterr().out
    scores = [float(row["score"]) for row in table(run / "anomaly.csv")]
    model, X = load_model(run), load_data(data, "test")[0]
    binary = prepare(model, X, None, "static")
    np.testing.assert_allclose(scores, -model.score_samples(binary), atol=1e-6)
    assert abs(scores + model.score_samples(X)).max() > 0.1
    found = numbers(tmp_path, "traverse", run, "--row", "4", "--steps", "3")
    codes = np.where(np.eye(3) > 0, 0, model.transform(binary)[4])  # each unit in the middle
    distances = abs(found[:, 1, None] - model.decode(codes)).max(axis=2)
    assert (distances.min(axis=1) < 1e-5).all()


def test_scores_of_data_without_labels_or_pictures(tmp_path, capsys, rng):
    path, run = tmp_path / "x.npy", tmp_path / "run"
    np.save(path, rng.random((40, 7)))
    train(path, run, "--quiet")
    call("anomaly", run)
    assert set(table(run / "anomaly.csv")[0]) == {"row", "score"}
    assert not (run / "anomaly.png").exists()
    out = capsys.readouterr().out
    assert "AUROC" not in out
    assert "label" not in out
    refused(capsys, ["anomaly", run, "--anomalous", "3"], "x.npy has no labels")


# -------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--model iwae --k 0", ["k must be a whole number >= 1", "0"]),
        ("--model iwae --beta 2", ["--beta does not apply to --model iwae"]),
        ("--model iwae --kl-warmup 2", ["--kl-warmup does not apply to --model iwae"]),
        ("--model ae --kl-cycle 2", ["--kl-cycle does not apply to --model ae"]),
        ("--model iwae --dreg --objective vae", ["dreg"]),
        ("--model m2 --free-bits 1", ["--free-bits does not apply to --model m2"]),
        ("--model m2 --top 0", ["top must be a whole number >= 1"]),
        ("--model m2 --alpha -1", ["alpha must be a finite number >= 0"]),
        ("--model m2 --labels 0", ["--labels", ">= 1"]),
        ("--model m2 --labels 7", ["--labels", "each of the 3 classes", "choose 3, 6"]),
        ("--model m2 --labels 93", ["--labels 93", "31 of each class", "only 30"]),
        ("--model m2 --hidden none", ["hidden layer"]),
        ("--model cvae --labels 6", ["--labels does not apply to --model cvae"]),
        ("--model cvae --leave-out 2", ["--leave-out does not apply to --model cvae"]),
        ("--k 3", ["--k does not apply to --model vae"]),
        ("--alpha 3", ["--alpha does not apply to --model vae"]),
        ("--dreg", ["--dreg does not apply to --model vae"]),
        ("--x-variance 2", ["x_variance does not apply to likelihood='bernoulli'"]),
        ("--likelihood gaussian --x-variance 0", ["x_variance must be a finite number > 0"]),
        ("--free-bits -1", ["free_bits"]),
        ("--free-bits 1 --capacity 1", ["exclude each other"]),
        ("--kl-warmup 1 --kl-cycle 1", ["exclude each other"]),
        ("--init zero", ["invalid choice: 'zero'", "glorot"]),
        ("--likelihood continuous_bernoulli --binarize static", ["--binarize static", "unbounded"]),
        ("--likelihood continuous_bernoulli --binarize dynamic", ["--binarize dynamic"]),
        ("--leave-out 4", ["label '4'", "0, 1, 2"]),
        ("--leave-out 0,1,2", ["no example to train on"]),
        ("--leave-out 1,", ["--leave-out", "names such as 3 or 3,5"]),
    ],
)
def test_unusable_options_write_nothing(options, words, data, tmp_path, capsys):
    out = tmp_path / "run"
    refused(capsys, ["train", "--data", data, *options.split(), "--out", out], *words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({}, "--model cvae", ["own.npz has no labels", "ConditionalVAE needs them"]),
        ({}, "--model m2", ["own.npz has no labels", "SemiSupervisedVAE needs them"]),
        ({}, "--leave-out 1", ["own.npz has no labels, so --leave-out"]),
        ({"y": np.full(40, -1)}, "--model m2", ["no label to learn from"]),
        ({"y": np.full(40, -1)}, "--model m2 --labels 2", ["--labels", "no row has one"]),
        ({"y": np.arange(40) % 3 - 1}, "--model cvae", ["ConditionalVAE", "-1"]),
        ({"y": np.arange(40) % 2 == 0}, "--model m2 --labels 2", ["whole numbers or text"]),
        ({"X": np.full((40, 4), -2.0)}, "", ["[0, 1]", "gaussian"]),
        ({"X": np.full((40, 4), -2.0)}, "--likelihood continuous_bernoulli", ["[0, 1]"]),
        ({"X": np.eye(40) > 0}, "--likelihood continuous_bernoulli", ["0 or 1", "unbounded"]),
        ({"X": np.eye(40)}, "--likelihood continuous_bernoulli", ["0 or 1", "unbounded"]),
    ],
)
def test_data_that_do_not_fit_write_nothing(arrays, options, words, tmp_path, capsys, rng):
    path, out = tmp_path / "own.npz", tmp_path / "run"
    np.savez(path, **({"X": rng.random((40, 4))} | arrays))
    refused(capsys, ["train", "--data", path, *options.split(), "--out", out], *words)
    assert not out.exists()


def test_binary_pixels_are_refused_by_fit_too():
    X = np.eye(9) > 0
    for kind, y in (("vae", None), ("cvae", np.arange(9))):
        with pytest.raises(InputError, match="use likelihood='bernoulli'"):
            MODELS[kind](likelihood="continuous_bernoulli").fit(X, y)
    MODELS["vae"](likelihood="continuous_bernoulli", latent_dim=1, hidden=()).fit(X * 0.5, epochs=1)


@pytest.mark.parametrize(
    ("kind", "command", "words"),
    [
        ("cvae", "sample --label 7", ["label '7'", "0, 1, 2"]),
        ("m2", "sample --label x", ["label 'x'", "0, 1, 2"]),
        ("m2", "sample --label -1", ["label '-1'"]),
        ("vae", "sample --label 1", ["--label does not apply to a VAE"]),
        ("vae", "manifold --label 1", ["--label does not apply to a VAE"]),
        ("cvae", "manifold --label 9", ["label '9'"]),
        ("vae", "manifold --units 1 1", ["--units 1 1", "two different", "0 to 2"]),
        ("vae", "manifold --units 0 3", ["--units 0 3", "0 to 2"]),
        ("vae", "manifold --units 0 -1", ["--units", ">= 0"]),
        ("vae", "traverse --row 12", ["--row 12", "12 examples"]),
        ("vae", "interpolate --steps 1", ["--steps", ">= 2"]),
        ("vae", "interpolate -o x.doc", ["must end in .png"]),
        ("vae", "anomaly -o x.png", ["must end in .csv"]),
        ("vae", "anomaly --anomalous 5", ["label '5'", "0, 1, 2"]),
        ("vae", "anomaly --anomalous 0,1,2", ["names every label"]),
        ("vae", "anomaly --anomalous 0,1,2,2", ["names every label"]),
        ("vae", "anomaly --samples 0", ["--samples", ">= 1"]),
        ("vae", "evaluate --workers 2", ["--workers applies to --samples K only"]),
        ("vae", "evaluate --samples 5 --workers 0", ["--workers", ">= 1"]),
        ("vae", "evaluate --samples 5 --workers all", ["--workers", "'all'"]),
    ],
)
def test_unusable_questions(kind, command, words, trained, capsys):
    name, *options = command.split()
    before = contents(trained[kind])
    refused(capsys, [name, trained[kind], *options], *words)
    assert contents(trained[kind]) == before


def test_a_conditional_vae_asks_for_labels(trained, tmp_path, capsys, rng):
    np.save(tmp_path / "x.npy", rng.random((40, SIDE, SIDE)))
    given = ["--data", tmp_path / "x.npy"]
    for name in ("evaluate", "reconstruct", "interpolate", "traverse", "manifold", "anomaly"):
        refused(capsys, [name, trained["cvae"], *given], "x.npy has no labels", "ConditionalVAE")
        call(name, trained["m2"], *given)


def test_nothing_to_traverse_or_to_go_between(data, tmp_path, capsys):
    train(data, tmp_path / "run", "--beta", "1000", "--latent-dim", "1", "--quiet")
    refused(capsys, ["traverse", tmp_path / "run"], "no unit is active")
    refused(capsys, ["manifold", tmp_path / "run"], "two latent units")
    X, _ = load_data(data)
    np.savez(tmp_path / "one.npz", x_train=X, x_test=X[:1])
    argv = ["interpolate", tmp_path / "run", "--data", tmp_path / "one.npz"]
    refused(capsys, argv, "interpolation needs two examples in")


def test_resume_checks_the_settings_of_the_run(data, tmp_path, capsys):
    run = tmp_path / "run"
    train(data, run, "--model", "m2", "--labels", "6", "--leave-out", "1", "--quiet", "--seed", "3")
    before = contents(run)
    for options, words in (
        ("--labels 8", ["was trained with --labels 6"]),
        ("--leave-out 2", ["was trained with --leave-out ('1',)"]),
        ("--alpha 2", ["--alpha 50"]),
        ("--k 5", ["--k does not apply to --model m2"]),
        ("--model cvae", ["was trained with --model m2"]),
    ):
        argv = ["train", "--resume", "--out", run, "--epochs", "3", *options.split()]
        refused(capsys, argv, *words)
    assert contents(run) == before
    same = ("--labels", "6", "--leave-out", "1", "--epochs", "3")
    call("train", "--resume", "--out", run, *same, "--quiet")
    assert len(metrics(run)) == 3


def test_labels_are_named_as_they_are_printed():
    assert labels_named(["3", "0"], np.array([0, 3, 5])) == [3, 0]
    assert labels_named(["3"], np.array([0.0, 3.0])) == [3.0]
    assert labels_named(["cat"], np.array(["cat", "dog"])) == ["cat"]
    with pytest.raises(InputError, match="unknown label 'cow': the labels are 'cat', 'dog'"):
        labels_named(["cow"], np.array(["cat", "dog"]))


def test_help_is_quick():
    code = (
        "import sys; from scratchvae import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: print([m for m in ('matplotlib', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_a_file_that_the_run_does_not_know_is_looked_at_whole(trained, tmp_path, capsys):
    X, y = patterns(40, 5)
    np.savez(tmp_path / "new.npz", X=X, y=y)
    call("anomaly", trained["vae"], "--data", tmp_path / "new.npz")
    rows = table(trained["vae"] / "anomaly-new.csv")
    scores = -load_model(trained["vae"]).score_samples(X)
    np.testing.assert_allclose([float(row["score"]) for row in rows], scores, atol=1e-6)
    assert "40 rows of new.npz scored" in capsys.readouterr().out
    train(tmp_path / "new.npz", tmp_path / "run", "--quiet")
    call("evaluate", tmp_path / "run")
    call("evaluate", tmp_path / "run", "--data", tmp_path / "new.npz")
    assert capsys.readouterr().out.count("test split of new.npz, 4 examples") == 2


def test_labels_left_out_are_on_the_card_and_not_comparable(data, tmp_path, capsys):
    run = tmp_path / "run"
    train(data, run, "--leave-out", "1,2")
    assert "left out    of training: label 1, 2" in capsys.readouterr().out


def test_a_file_named_as_a_data_set_is_not_that_data_set(data, tmp_path, capsys):
    (tmp_path / "mnist.npz").write_bytes(data.read_bytes())
    train(tmp_path / "mnist.npz", tmp_path / "run")
    out = capsys.readouterr().out
    assert "test split of mnist.npz" in out
    assert "comparable" not in out


@pytest.mark.parametrize("name", ["samples.png", "config.json", "label.csv"])
def test_files_that_are_not_a_runs_are_not_replaced(name, data, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / name).write_text("precious")
    argv = ["train", "--data", data, "--out", run]
    if name == "label.csv":  # no file of a run: it stays
        train(data, run, "--quiet")
    else:
        refused(capsys, argv, f"files that a run would replace ({name})", "--overwrite")
    assert (run / name).read_text() == "precious"


def test_samples_of_a_label_have_a_file_of_their_own(trained):
    before = (trained["cvae"] / "samples.png").read_bytes()
    call("sample", trained["cvae"], "--label", "1", "-n", "4")
    assert (trained["cvae"] / "samples_of_label.png").exists()
    assert (trained["cvae"] / "samples.png").read_bytes() == before
