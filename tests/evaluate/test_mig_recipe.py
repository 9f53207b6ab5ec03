"""The Mutual Information Gap and the Separated Attribute Predictability of
`examples/recipes/mig.py`, and what it reads."""

import json
import runpy
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE, DataError, InputError
from scratchvae.data.strokes import generate

RECIPE = Path(__file__).parents[2] / "examples" / "recipes" / "mig.py"
recipe = runpy.run_path(str(RECIPE))
mig, sap, read_dsprites, main = (recipe[name] for name in ("mig", "sap", "read_dsprites", "main"))

GRID = np.array(list(product(range(4), range(3), range(5))), dtype=float)  # every combination once


def test_a_unit_for_each_factor_has_the_whole_gap():
    codes = np.column_stack((-7 * GRID[:, 2] + 1, GRID[:, 0] / 3, np.zeros(60), GRID[:, 1]))
    mean, gaps = mig(codes, GRID)
    np.testing.assert_allclose(gaps, 1, rtol=1e-12)
    assert mean == pytest.approx(1)


def test_what_is_told_twice_or_not_at_all_has_no_gap():
    mean, gaps = mig(GRID[:, [0, 0, 1]], GRID)
    np.testing.assert_allclose(gaps, [0, 1, 0], atol=1e-12)
    assert mean == pytest.approx(1 / 3)


def test_a_gap_by_hand():
    """A unit that tells (0, 0, 0, 1) of (0, 0, 1, 1), and one that tells nothing."""
    told = np.log(4) - 0.75 * np.log(3) + np.log(2) - 1.5 * np.log(2)
    mean, gaps = mig([[0, 9], [0, 9], [0, 9], [1, 9]], [[0], [0], [1], [1]])
    assert gaps == pytest.approx([told / np.log(2)])
    assert mig([[0], [0], [0], [1]], [[0], [0], [1], [1]])[0] == pytest.approx(mean)


def test_the_factors_of_the_strokes_are_told_by_themselves_and_not_by_noise(rng):
    _, _, factors = generate(n=4000)
    assert mig(10 - 3 * factors[:, ::-1], factors)[1].min() > 0.9
    assert np.abs(mig(rng.normal(size=(4000, 5)), factors)[1]).max() < 0.02
    # half of a factor's variance in each of two units: the gap between them is small
    mixed = np.column_stack((factors[:, 0] + factors[:, 1], factors[:, 0] - factors[:, 1]))
    assert np.abs(mig(mixed, factors[:, :2])[1]).max() < 0.1


def test_few_values_are_kept_apart_and_many_are_binned():
    """0 and 1 are near: four values stay four, but of five values they share a bin of four."""
    few, code = np.array([[0.0], [1], [50], [100]]), np.array([[0], [0], [1], [1]])
    assert mig(code, few, bins=4)[0] == pytest.approx(np.log(2) / np.log(4))
    many, code = np.array([[0.0], [1], [40], [60], [100]]), np.array([[0], [0], [1], [1], [1]])
    told = 0.4 * np.log(1 / 0.4) + 0.6 * np.log(1 / 0.6)
    binned = 0.4 * np.log(1 / 0.4) + 0.6 * np.log(5)
    assert mig(code, many, bins=4)[0] == pytest.approx(told / binned)
    assert mig(code, many, bins=5)[0] == pytest.approx(told / np.log(5))


def test_twenty_bins_unless_said_otherwise(rng):
    mu, factors = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    np.testing.assert_array_equal(mig(mu, factors)[1], mig(mu, factors, 20)[1])
    assert mig(mu, factors)[0] != mig(mu, factors, 19)[0]


@pytest.mark.parametrize(
    ("factors", "bins", "words"),
    [
        (np.zeros((60, 1)), 20, "is constant"),
        (GRID[:5], 20, "60 codes"),
        (GRID[:, 0], 20, "factors must be"),
        (GRID * np.nan, 20, "factors must be"),
        (GRID, 1, "bins"),
    ],
)
def test_unusable_factors_are_refused(factors, bins, words):
    with pytest.raises(InputError, match=words):
        mig(GRID, factors, bins)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_codes_have_a_gap(dtype):
    mu = np.random.default_rng(0).choice(np.array([-1e4, 0, 1e4], dtype=dtype), (50, 3))
    mu[:, 2] = 1e4
    gap, _ = mig(mu, (np.arange(50) % 2)[:, None])
    assert 0 <= gap <= 1


# ------------------------------------------------------------------------------------ SAP


def test_a_unit_for_each_factor_is_the_whole_predictability():
    """The unit of each factor predicts it, the others nothing: the factors are independent."""
    codes = np.column_stack((-7 * GRID[:, 2] + 1, GRID[:, 0] / 3, np.zeros(60), GRID[:, 1]))
    mean, gaps = sap(codes, GRID)
    np.testing.assert_allclose(gaps, 1, atol=1e-12)
    assert mean == pytest.approx(1)


def test_what_two_units_predict_has_no_separation():
    np.testing.assert_allclose(sap(GRID[:, [0, 0, 1]], GRID)[1], [0, 1, 0], atol=1e-12)


def test_a_regression_by_hand():
    """(0, 1, 2, 3) on (0, 0, 1, 1): covariance 1/2, variances 5/4 and 1/4, so R^2 is 4/5."""
    factor, unit = [[0], [1], [2], [3]], [[0], [0], [1], [1]]
    assert sap(unit, factor)[0] == pytest.approx(0.8)
    # a second unit (0, 1, 0, 0): covariance -1/8, variance 3/16, so 1/15
    assert sap([[0, 0], [0, 1], [1, 0], [1, 0]], factor)[0] == pytest.approx(0.8 - 1 / 15)


def test_thresholds_by_hand():
    """Two classes, one threshold: of five rows, the best cut errs in one row of three."""
    unit, classes = [[0], [1], [2], [3], [4]], [[0], [0], [1], [0], [1]]
    # below 1.5: class 0 (2 of 3), above: class 1 (2 of 2)
    assert sap(unit, classes, [0])[0] == pytest.approx((2 / 3 + 1) / 2)
    # balanced: each class counts the same, however rare. Always 1 would be right in 6 of 7 rows
    unit, classes = [[0]] * 7, [[0]] + [[1]] * 6
    assert sap(unit, classes, [0])[0] == pytest.approx(1 / 2)


def test_three_classes_have_two_thresholds_in_any_order():
    unit = np.array([[3.0], [3.1], [1.0], [1.1], [2.0], [2.1]])
    classes = np.array([[0], [0], [2], [2], [5], [5]])
    assert sap(unit, classes, [0])[0] == pytest.approx(1)
    assert sap(-unit, classes, [0])[0] == pytest.approx(1)
    # 0 1 0 1 would need three thresholds: with one, one row of four is wrong
    assert sap([[0], [1], [2], [3]], [[0], [1], [0], [1]], [0])[0] == pytest.approx(3 / 4)


def test_equal_values_are_not_parted():
    assert sap([[0], [0], [1], [1]], [[0], [1], [0], [1]], [0])[0] == pytest.approx(1 / 2)


def test_thresholds_are_as_good_as_trying_all(rng):
    unit, classes = rng.normal(size=12), np.arange(12) % 3
    best = 0.0
    cuts = [-np.inf, *(np.sort(unit)[:-1] + 1e-9), np.inf]
    for low, high in product(cuts, cuts):
        part = (unit > low).astype(int) + (unit > max(low, high))
        for names in product(range(3), repeat=3):
            said = np.array(names)[part]
            best = max(best, np.mean([(said[classes == c] == c).mean() for c in range(3)]))
    assert sap(unit[:, None], classes[:, None], [0])[0] == pytest.approx(best)


def test_what_is_no_class_is_a_number(rng):
    """A unit that is a class's distance from the middle one predicts classes, and no number."""
    classes = rng.integers(0, 3, (300, 1))
    assert sap(np.abs(classes - 1.01), classes, [0])[0] == pytest.approx(1)
    assert sap(np.abs(classes - 1), classes)[0] < 0.05


def test_unusable_factors_have_no_predictability():
    with pytest.raises(InputError, match="is constant"):
        sap(GRID, np.ones((60, 1)))
    with pytest.raises(InputError, match="60 codes"):
        sap(GRID, GRID[:5], [0])


def test_a_collapsed_unit_tells_nothing_however_well_its_histogram_does():
    codes = np.column_stack((GRID[:, 0], GRID[:, 1], GRID[:, 2], 1e-3 * GRID[:, 2]))
    np.testing.assert_allclose(mig(codes, GRID)[1], [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(mig(recipe["used"](codes), GRID)[1], 1, rtol=1e-12)
    assert sap(recipe["used"](codes), GRID)[0] == pytest.approx(1)


@pytest.mark.parametrize(("control", "across"), [("equal", 4), ("far", 8.5)])
def test_a_control_draws_shapes_with_other_ranges(control, across):
    X, X_test, factors, names, categorical = recipe["read"]("shapes", control)
    assert (X.shape, X_test.shape, names[3], categorical) == (
        (20_000, 1024),
        (4_000, 1024),
        "x",
        [0],
    )
    assert 0.99 * across < np.abs(factors[:, 3]).max() <= across


# ------------------------------------------------------------------------------------ dSprites


def dsprites(**other):
    """A forged file's arrays: 3 shapes, 2 scales, 2 angles, 3 x 2 positions of 4 x 4 pixels."""
    classes = np.array(list(product([0], range(3), range(2), range(2), range(3), range(2))))
    images = (np.random.default_rng(0).random((len(classes), 4, 4)) < 0.5).astype(np.uint8)
    values = classes * np.array([1, 1, 0.5, 3.1, 0.5, 1]) + np.array([1, 1, 0.5, 0, 0, 0])
    arrays = {"imgs": images, "latents_values": values, "latents_classes": classes}
    return {"metadata": np.array({"title": "dSprites"}, dtype=object)} | arrays | other


def test_the_file_of_dsprites_is_read_without_its_pickled_objects(tmp_path):
    np.savez_compressed(tmp_path / "d.npz", **dsprites())
    images, factors, names = read_dsprites(tmp_path / "d.npz")
    np.testing.assert_array_equal(images, dsprites()["imgs"].reshape(72, 16))
    np.testing.assert_array_equal(factors, dsprites()["latents_values"][:, 1:])
    assert names == ("shape", "scale", "rotation", "x", "y")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"latents_values": None}, "has no array latents_values, so it is not dSprites"),
        ({"imgs": np.zeros((71, 4, 4), np.uint8)}, r"\(71, 4, 4\) and \(72, 6\)"),
        ({"imgs": np.full((72, 4, 4), 255, np.uint8)}, "imgs of 0 and 1"),
        ({"imgs": np.zeros((72, 4, 4))}, "imgs of 0 and 1"),
        ({"latents_values": np.random.default_rng(0).random((72, 6))}, "of one colour"),
        ({"imgs": np.array([{}] * 72)}, "only numbers"),
    ],
)
def test_another_file_is_refused_in_one_sentence(tmp_path, other, words):
    arrays = {name: a for name, a in dsprites(**other).items() if a is not None}
    np.savez_compressed(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match=words) as error:
        read_dsprites(tmp_path / "d.npz")
    assert "\n" not in str(error.value)


def test_a_model_is_measured_with_its_collapsed_unit_constant():
    """Three pixels are the factors. Units 0 and 1 are the first two, unit 2 a thousandth of one."""
    X = (GRID / [3, 2, 4]).astype(np.float32)
    vae = VAE(latent_dim=3, hidden=()).fit(X, epochs=1)
    told = np.zeros((3, 3), dtype=np.float32)
    told[[0, 1, 2], [0, 1, 0]] = 3, 3, 3e-3
    vae.load_state_dict(vae.state_dict() | {"fc_mu.weight": told})
    codes = vae.transform(X)
    assert codes.var(axis=0).round(2).tolist() == [1.25, 1.5, 0]

    row = recipe["measured"](vae, X, GRID, [0])
    scores = dict(zip(("mig", "sap", "of_all", "active", "rec", "kl", "elbo"), row, strict=False))
    assert scores["mig"] == pytest.approx(2 / 3)
    assert scores["sap"] == pytest.approx((3 / 4 + 1) / 3)  # of four classes, chance is 1/4
    assert scores["of_all"] == pytest.approx(1 / 3), "unit 2 tells as much as unit 0"
    assert scores["active"] == 2
    assert scores["elbo"] == pytest.approx(-scores["rec"] - scores["kl"])
    np.testing.assert_allclose(row[7:], [1, 1, 0], atol=1e-6)


def printed(scores, monkeypatch, capsys, tmp_path, *line):
    """The rows and the numbers of the result line, for the MIG and MIG of all of (beta, seed)."""
    np.savez_compressed(tmp_path / "d.npz", **dsprites())

    def forged(key, *_):
        mig_of_used, of_all = scores[key]
        return np.array([mig_of_used, 0.5, of_all, 3, 50, 5, -55, *[mig_of_used] * 5])

    monkeypatch.setitem(main.__globals__, "fitted", lambda X, label, beta, seed, *_: (beta, seed))
    monkeypatch.setitem(main.__globals__, "measured", forged)
    main(["--data", str(tmp_path / "d.npz"), *line])
    rows = capsys.readouterr().out.splitlines()
    results = [json.loads(row.removeprefix("result ")) for row in rows if row.startswith("result")]
    return [row for row in rows if row.startswith("beta")], *results


SCORES = {
    (1, 0): (0.1, 0.1), (1, 1): (0.2, 0.1), (1, 2): (0.3, 0.4),
    (2, 0): (0.3, 0.5), (2, 1): (0.4, 0.6), (2, 2): (0.5, 0.7),
    (4, 0): (0.5, 0.2), (4, 1): (0.5, 0.3), (4, 2): (0.8, 0.4),
}  # fmt: skip


def test_standard_errors_are_those_of_the_mean_of_the_seeds(monkeypatch, capsys, tmp_path):
    """0.1, 0.2, 0.3: variance 0.02 / (3 - 1), of the mean a third of it. 0.1, 0.1, 0.4: 0.03."""
    line = ("--betas", "1", "2", "4")
    rows, result = printed(SCORES, monkeypatch, capsys, tmp_path, *line)
    assert "0.200 +-0.058  0.500 +-0.000  0.200 +-0.100" in rows[0]
    assert "0.400 +-0.058  0.500 +-0.000  0.600 +-0.058" in rows[1]
    assert "0.600 +-0.100  0.500 +-0.000  0.300 +-0.058" in rows[2]
    e = (0.01 / 3) ** 0.5
    expected = {
        "best": (0.6, 0.1), "one": (0.2, e), "ratio": (3, 3 * np.hypot(1 / 6, e / 0.2)),
        "all_best": (0.6, e), "all_one": (0.2, 0.1), "all_ratio": (3, 3 * np.hypot(e / 0.6, 0.5)),
    }  # fmt: skip
    assert list(result) == list(expected)
    for name, pair in expected.items():
        assert result[name] == pytest.approx(pair), name


def test_one_seed_has_a_result_without_errors(monkeypatch, capsys, tmp_path):
    line = ("--betas", "1", "2", "--seeds", "0")
    rows, result = printed(SCORES, monkeypatch, capsys, tmp_path, *line)
    assert "+-" not in "".join(rows)
    assert {name: round(value, 6) for name, (value, _) in result.items()} == {
        "best": 0.3, "one": 0.1, "ratio": 3, "all_best": 0.5, "all_one": 0.1, "all_ratio": 5,
    }  # fmt: skip
    assert {error for _, error in result.values()} == {None}


@pytest.mark.parametrize("line", [["--betas", "2", "4"], ["--betas", "1", "2"]])
def test_without_a_score_at_beta_1_there_is_no_result(line, monkeypatch, capsys, tmp_path):
    scores = SCORES | {(1, seed): (0, 0) for seed in range(3)}
    assert len(printed(scores, monkeypatch, capsys, tmp_path, *line)) == 1


def test_the_recipe_measures_the_file_and_goes_on_where_it_ended(tmp_path, monkeypatch, capsys):
    np.savez_compressed(tmp_path / "d.npz", **dsprites())
    line = ["--data", str(tmp_path / "d.npz"), "--betas", "1", "--epochs", "1", "--seeds", "0", "1"]
    line += ["--save", str(tmp_path / "models")]
    main(line)
    first = capsys.readouterr().out
    assert first.split("\n")[0].split()[-5:] == ["shape", "scale", "rotation", "x", "y"]
    assert len(list((tmp_path / "models").iterdir())) == 2
    monkeypatch.setattr("scratchvae.VAE.fit", None)  # nothing is trained again
    main(line)
    assert capsys.readouterr().out == first


def test_a_gpu_measures_the_same(tmp_path, double, capsys):
    np.savez_compressed(tmp_path / "d.npz", **dsprites())
    line = ["--data", str(tmp_path / "d.npz"), "--betas", "1", "--epochs", "1", "--seeds", "0"]
    main(line)
    expected = capsys.readouterr().out
    main([*line, "--device", "cuda"])
    assert capsys.readouterr().out == expected
    assert double.counts, "it ran on the device"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--data", "none.npz"], "there is no file none.npz"),
        (["--betas", "-1"], "beta must be"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--control", "far"], "--control is for the data set shapes"),
    ],
)
def test_the_recipe_refuses_in_one_line(line, words, tmp_path, capsys):
    np.savez_compressed(tmp_path / "d.npz", **dsprites())
    line = ["--data", str(tmp_path / "d.npz"), *line]
    with pytest.raises(SystemExit) as status:
        main(line)
    assert status.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
