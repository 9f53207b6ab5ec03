"""Metrics of scores and codes, against counting, integrals and closed forms."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scratchvae import InputError, ops
from scratchvae.evaluate import metrics

SCORED = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30)


def both_classes(scored):
    scores, positive = map(np.array, zip(*scored, strict=True))
    assume(positive.any() and not positive.all())
    return scores / 4, positive


# ------------------------------------------------------------------------- scores and labels


@given(SCORED)
def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order(scored):
    scores, positive = both_classes(scored)
    pairs = [(p > n) + (p == n) / 2 for p in scores[positive] for n in scores[~positive]]
    assert metrics.roc_auc(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(SCORED)
def test_average_precision_is_the_sum_over_thresholds(scored):
    scores, positive = both_classes(scored)
    total = recall = 0.0
    for threshold in sorted(set(scores), reverse=True):
        shown = positive[scores >= threshold]
        before, recall = recall, shown.sum() / positive.sum()
        total += (recall - before) * shown.mean()
    assert metrics.average_precision(scores, positive) == pytest.approx(total, abs=1e-12)


@given(SCORED)
def test_scikit_learn_says_the_same(scored):
    reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    scores, positive = both_classes(scored)
    assert metrics.roc_auc(scores, positive) == pytest.approx(
        reference.roc_auc_score(positive, scores)
    )
    assert metrics.average_precision(scores, positive) == pytest.approx(
        reference.average_precision_score(positive, scores)
    )


def test_larger_scores_are_more_positive():
    assert metrics.roc_auc([1, 2, 3, np.inf], [0, 0, 1, 1]) == 1
    assert metrics.roc_auc([1, 2, 3, -np.inf], [1, 1, 0, 1]) == 0
    assert metrics.roc_auc([5, 5, 5], [0, 1, 1]) == 0.5
    assert metrics.average_precision([1, 2, 3, 4], [0, 0, 1, 1]) == 1
    assert metrics.average_precision([5, 5, 5], [0, 1, 1]) == pytest.approx(2 / 3)
    # the positives come second and third: precision 1/2 and 2/3
    assert metrics.average_precision([3, 2, 1], [0, 1, 1]) == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize("score", [metrics.roc_auc, metrics.average_precision])
@pytest.mark.parametrize(
    ("scores", "positive", "words"),
    [
        ([1, 2], [1, 1], "no negative"),
        ([1, 2], [False, False], "no positive"),
        ([], [], "no positive"),
        ([1, 2, 3], [0, 1], r"\(3,\) and \(2,\)"),
        ([[1, 2]], [[0, 1]], r"\(N,\)"),
        ([1, np.nan], [0, 1], "NaN"),
        (["a", "b"], [0, 1], "numbers"),
        ([1, 2], [0, 2], "0 and 1"),
        ([1, 2, 3], [0, 1, np.nan], "0 and 1"),
        ([1, 2], ["no", "yes"], "0 and 1"),
    ],
)
def test_unusable_scores_are_refused(score, scores, positive, words):
    with pytest.raises(InputError, match=words):
        score(scores, positive)


def test_the_share_of_wrong_labels():
    assert metrics.classification_error([1, 2, 3, 3], [1, 2, 0, 0]) == 0.5
    assert metrics.classification_error(["a", "b"], ["a", "b"]) == 0
    for wrong in ([1, 2], [1]), ([], []), ([1.0, np.nan], [1, 2]), ([1, 2], [np.nan, 1]):
        with pytest.raises(InputError):
            metrics.classification_error(*wrong)


# ------------------------------------------------------------------------------------- units


def test_a_unit_is_active_if_its_means_vary_by_more_than_a_hundredth():
    signs = np.array([[1.0], [-1.0]] * 5)
    mu = 3 + signs * np.sqrt([[0.0, 0.0099, 0.0101, 4.0]])
    assert metrics.active_units(mu).tolist() == [False, False, True, True]


def test_the_kl_of_a_unit_is_the_integral_of_q_log_q_over_p(rng):
    mu, logvar = rng.normal(size=(2, 5, 3))
    x, step = np.linspace(-25, 25, 50_001, retstep=True)
    for unit, value in enumerate(metrics.unit_kl(mu, logvar)):
        total = 0.0
        for m, s in zip(mu[:, unit], np.exp(logvar[:, unit] / 2), strict=True):
            q = np.exp(-(((x - m) / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi))
            log_ratio = -(((x - m) / s) ** 2) / 2 - np.log(s) + x**2 / 2
            total += (q * log_ratio).sum() * step / len(mu)
        assert value == pytest.approx(total, rel=1e-9)
    assert metrics.unit_kl(mu, logvar).sum() == pytest.approx(ops.gaussian_kl(mu, logvar).mean())


def test_the_kl_is_computed_in_float64():
    logvar = np.full((2, 1), 1e-5, dtype=np.float32)
    kl = metrics.unit_kl(np.zeros_like(logvar), logvar)
    assert kl.dtype == np.float64
    assert kl[0] == pytest.approx(np.float64(logvar[0, 0]) ** 2 / 4, rel=1e-4)


# ------------------------------------------------------------------------ mutual information


def sample(mu, logvar, rng):
    return mu + np.exp(logvar / 2) * rng.normal(size=mu.shape)


def test_codes_far_apart_tell_which_row_they_are_of(rng):
    mu = 100.0 * np.arange(50)[:, None] * np.array([1, -1])
    logvar = rng.normal(size=mu.shape)
    told = metrics.mutual_information(mu, logvar, sample(mu, logvar, rng))
    assert told == pytest.approx(np.log(50), abs=1e-12)


def test_groups_far_apart_tell_which_group_a_row_is_of(rng):
    mu = np.repeat([[0.0], [500.0], [900.0]], [10, 10, 20], axis=0)
    told = metrics.mutual_information(mu, 0 * mu, sample(mu, 0 * mu, rng))
    assert told == pytest.approx(np.log(4) / 2 + np.log(2) / 2, abs=1e-12)


def test_codes_all_alike_tell_nothing(rng):
    mu, logvar = np.tile(rng.normal(size=(2, 1, 3)), (1, 40, 1))
    told = metrics.mutual_information(mu, logvar, sample(mu, logvar, rng))
    assert told == pytest.approx(0, abs=1e-12)


def test_a_linear_gaussian_channel_has_its_capacity(rng):
    signal, noise = np.array([1.0, 0.5]), np.array([0.5, 1.0])
    mu = signal * rng.normal(size=(4000, 2))
    logvar = np.tile(2 * np.log(noise), (4000, 1))
    told = metrics.mutual_information(mu, logvar, sample(mu, logvar, rng))
    assert told == pytest.approx(np.log(1 + (signal / noise) ** 2).sum() / 2, abs=0.04)


def test_codes_that_differ_in_width_alone_tell_that(rng):
    """Half of the rows have q = N(0, 1), half N(0, 100): against the integral."""
    stds = np.repeat([1.0, 10.0], 3000)[:, None]
    told = metrics.mutual_information(0 * stds, 2 * np.log(stds), stds * rng.normal(size=(6000, 1)))
    x, step = np.linspace(-90, 90, 20_001, retstep=True)
    q = np.array([np.exp(-((x / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi)) for s in (1, 10)])
    integrand = q * np.log((q + 1e-300) / q.mean(axis=0))
    assert told == pytest.approx(integrand.sum() * step / 2, abs=0.03)


@given(st.integers(1, 12), st.integers(1, 4), st.floats(-4, 4), st.integers(0, 2**32 - 1))
def test_information_is_at_most_the_log_of_the_rows_in_whatever_blocks(N, Z, size, seed):
    rng = np.random.default_rng(seed)
    mu, logvar, z = np.exp(size) * rng.normal(size=(3, N, Z))
    told = metrics.mutual_information(mu, logvar, z)
    assert told <= np.log(N) + 1e-9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BLOCK", 3 * N + 1)
        assert metrics.mutual_information(mu, logvar, z) == pytest.approx(told, rel=1e-9, abs=1e-9)


def test_points_are_told_apart_without_overflow():
    mu = np.arange(4.0)[:, None]
    told = metrics.mutual_information(mu, np.full_like(mu, -5000), mu)
    assert told == pytest.approx(np.log(4))


def test_memory_is_that_of_a_block(rng, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 2**15)
    mu = rng.normal(size=(2000, 2))
    tracemalloc.start()
    try:
        metrics.mutual_information(mu, 0 * mu, mu)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6  # all pairs would be 32 MB


@pytest.mark.parametrize(
    "codes",
    [
        (np.zeros(3), np.zeros(3), np.zeros(3)),
        (np.zeros((0, 2)),) * 3,
        (np.zeros((3, 2)), np.zeros((3, 1)), np.zeros((3, 2))),
        (np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((1, 2))),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), np.zeros((3, 2))),
    ],
)
def test_unusable_codes_are_refused(codes):
    with pytest.raises(InputError):
        metrics.mutual_information(*codes)
