"""The Mutual Information Gap of `examples/recipes/mig.py`."""

import runpy
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from scratchvae import InputError
from scratchvae.data.strokes import generate

RECIPE = Path(__file__).parents[2] / "examples" / "recipes" / "mig.py"
mig = runpy.run_path(str(RECIPE))["mig"]

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
