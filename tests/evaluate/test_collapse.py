"""The collapse report of models that collapsed for different reasons, and of healthy ones."""

import numpy as np
import pytest

from scratchvae import IWAE, VAE, Autoencoder, ConditionalVAE, InputError, SemiSupervisedVAE
from scratchvae.backend.noise import DATA, normal
from scratchvae.data.strokes import generate
from scratchvae.evaluate import collapse as c
from scratchvae.verify import BUGS

X, Y, _ = generate(n=600)


def trained(*, model=VAE, data=X, y=None, epochs=8, lr=1e-3, **settings):
    settings = {"latent_dim": 8, "hidden": (64,), **settings}
    return model(**settings).fit(data, y, epochs=epochs, lr=lr, batch_size=32)


def report(*args, **kwargs):
    return c.collapse_report(trained(*args, **kwargs), kwargs.get("data", X), kwargs.get("y"))


def says(report, *words):
    """Each of the words starts, or stands in, a finding of its own; and there are no others."""
    assert len(report.findings) == len(words), report
    for finding, word in zip(report.findings, words, strict=True):
        assert word in finding, finding


# --------------------------------------------------------------------------- really trained


@pytest.mark.parametrize("model", [VAE, IWAE, ConditionalVAE, SemiSupervisedVAE])
def test_a_model_that_learned_has_not_collapsed(model):
    y = Y.astype(int) if model in (ConditionalVAE, SemiSupervisedVAE) else None
    r = report(model=model, y=y)
    assert r.verdict == c.NONE
    assert r.active.all()
    assert r.findings == ()
    assert 1 < r.information < r.information_limit == pytest.approx(np.log(600))
    assert r.information < r.unit_kl.sum()


@pytest.mark.parametrize("model", [VAE, ConditionalVAE])
def test_too_large_a_beta(model):
    r = report(model=model, y=Y if model is ConditionalVAE else None, beta=50)
    assert r.verdict == c.FULL
    assert not r.active.any()
    assert r.information == pytest.approx(0, abs=0.05)
    says(r, "beta is 50: a nat of KL costs as much as 50 nats of rec")


def test_a_beta_that_some_units_survive():
    r = report(beta=20, activation="tanh", lr=3e-3, epochs=15)
    assert r.verdict == c.PARTIAL
    assert 0 < r.active.sum() < 8
    says(r, "beta is 20")


def test_too_large_a_variance_of_x():
    r = report(likelihood="gaussian", x_variance=1000.0)
    assert r.verdict == c.FULL
    says(r, "x_variance is 1000")
    own = (X / 255).var(axis=0).mean()
    assert f"of a feature is {own:.2g}, and 0 principal components" in r.findings[0]


@pytest.mark.parametrize("seed", range(3))
def test_too_large_a_learning_rate(seed):
    """The encoder's hidden units die: it says of every x the same, and not the prior."""
    r = report(lr=0.1, seed=seed)
    assert r.verdict == c.FULL
    assert r.unit_kl.sum() > 1
    assert "too large a learning rate made the encoder ignore x" in str(r)
    assert "beta" not in str(r)
    assert "never above" not in str(r)


def test_a_learning_rate_at_which_the_loss_rises():
    """The history is written by hand: such a run is chaotic, and differs with rounding."""
    model = trained(beta=50.0, epochs=4)
    for row, loss in zip(model.history_, (300.0, 200.0, 260.0, 190.0), strict=True):
        row["train_loss"] = loss
    r = c.collapse_report(model, X)
    (said,) = (text for text in r.findings if "the training loss rose" in text)
    assert "rose in 1 of 4 epochs, by up to 60.0 nats" in said
    assert "too large a learning rate" in said


def test_a_reconstruction_averaged_over_pixels():
    with BUGS["mean of pixels and sum of units"]():
        model = trained(lr=3e-3, epochs=10)
        inside = c.collapse_report(model, X)
    for r in (inside, c.collapse_report(model, X)):
        assert r.verdict == c.FULL
        says(r, "averaged over 784 features, but the KL summed (a beta of 784)")


@pytest.mark.parametrize("seed", range(3))
def test_units_that_the_data_do_not_need(seed):
    """Two directions and noise: two units carry them, whatever latent_dim is."""
    key = {"stream": DATA, "dtype": "float64"}
    data = normal(500, 2, seed=1, **key) @ normal(2, 12, seed=2, **key)
    data += 0.3 * normal(500, 12, seed=3, **key)
    settings = {"latent_dim": 6, "hidden": (16,), "likelihood": "gaussian", "seed": seed}
    r = report(data=data, epochs=20, lr=1e-2, **settings)
    assert r.verdict == c.SPARE
    assert 2 <= r.active.sum() < 6
    assert r.information > 3
    says(r, "not a collapse")
    assert f"the active {r.active.sum()} units carry the information" in r.findings[0]


# ---------------------------------------- made up: an encoder whose codes are known, a history

D = 40
DATA_X = normal(500, D, seed=4, stream=DATA, dtype="float64")
PIXELS = 1 / (1 + np.exp(-DATA_X))


def made(
    gains,
    means=0.0,
    stds=1.0,
    *,
    model=VAE,
    history=5,
    kl=0.3,
    loss=100.0,
    rec=90.0,
    step=200,
    **kw,
):
    """A linear encoder: unit j has the mean gains[j] x_j + means, the same std for every x."""
    settings = {"likelihood": "gaussian", "hidden": (), "dtype": "float64", **kw}
    m = model(latent_dim=len(gains), **settings).build(D)
    Z = len(gains)
    m.params_.head_W[...] = 0
    m.params_.head_W[range(Z), range(Z)] = gains
    m.params_.head_b[:Z] = means
    m.params_.head_b[Z:] = 2 * np.log(stds)
    series = [np.broadcast_to(a, history).tolist() for a in (loss, rec, kl)]
    m.history_ = [
        {"epoch": i + 1, "step": step * (i + 1), "train_loss": a, "rec": b, "kl": k}
        for i, (a, b, k) in enumerate(zip(*series, strict=True))
    ]
    return m


def of(*args, data=None, **kwargs):
    model = made(*args, **kwargs)
    bounded = model.likelihood != "gaussian"
    return c.collapse_report(model, (PIXELS if bounded else DATA_X) if data is None else data)


DEAD, MIXED = [0, 0, 0], [3, 3, 0, 0]
GOOD = {"stds": [0.3, 0.3, 1, 1]}  # the prior where a unit of MIXED is dead


def test_the_numbers_of_codes_that_are_known():
    stds = np.array([0.3, 1, 1])
    r = of([1, 0.5, 0], means=[1, 0, 0], stds=stds)
    assert r.active.tolist() == [True, True, False]
    signal = DATA_X[:, :3].var(axis=0) * [1, 0.25, 0]
    assert r.information == pytest.approx(np.log(1 + signal / stds**2).sum() / 2, abs=0.15)
    square = ((DATA_X[:, :3] * [1, 0.5, 0] + [1, 0, 0]) ** 2).mean(axis=0)
    kl = (square + stds**2 - 1 - 2 * np.log(stds)) / 2
    np.testing.assert_allclose(r.unit_kl, kl, rtol=1e-9, atol=1e-12)
    lines = str(r).splitlines()
    assert lines[0] == c.SPARE
    assert "2 of 3 units are active (variance of their means > 0.01, over 500 rows" in lines[1]
    assert f"about {r.information:.2f} nats" in lines[2]
    assert f"limit it to {np.log(500):.2f}" in lines[2]
    assert f"KL: {kl.sum():.2f} nats, from {kl.min():.3f} to {kl.max():.3f} per unit" in str(r)
    assert lines[-1] == f"- {r.findings[0]}"


def test_how_far_the_decoder_listens_to_z():
    model = made(DEAD)
    model.params_.out_W[...] = 0
    assert c.collapse_report(model, DATA_X).spread == pytest.approx(0, abs=1e-20)
    model.params_.out_W[range(3), range(3)] = 2  # a variance of 4 in three features of D
    spread = c.collapse_report(model, DATA_X).spread
    assert spread == pytest.approx(12 / DATA_X.var(axis=0).sum(), rel=0.4)
    assert f"have {spread:.1%} of the variance" in str(c.collapse_report(model, DATA_X))
    # as a share of the variance of pixels in [0, 1], also where these come as 0 to 255
    model = made(DEAD, likelihood="bernoulli")
    bytes_ = np.rint(255 * PIXELS).astype(np.uint8)
    shares = [c.collapse_report(model, pixels).spread for pixels in (PIXELS, bytes_)]
    assert shares[0] == pytest.approx(shares[1], rel=0.01)


def test_the_label_is_not_z():
    """A decoder that listens to the label alone ignores z."""
    m = ConditionalVAE(latent_dim=2, hidden=(), likelihood="gaussian", dtype="float64").build(D, 2)
    m.params_.out_W[:2] = 0
    m.params_.out_W[2:] = [[5.0], [-5.0]]
    assert c.collapse_report(m, DATA_X, np.arange(500) % 2).spread == pytest.approx(0, abs=1e-20)


def test_a_kl_that_never_rose():
    kl = [0.02, 0.04, 0.03, 0.01, 0.01]
    r = of(DEAD, kl=kl)
    assert r.verdict == c.FULL
    says(r, "the KL was 0.020 nats in the first epoch and never above 0.040")
    assert "kl_warmup or free_bits" in r.findings[0]
    says(of(DEAD, kl=kl, model=IWAE), "never above 0.040")
    says(of(DEAD, kl=kl[:2], history=2), "(2 epochs) explain it")
    says(of(DEAD, kl=[0.02, 0.04, 0.7, 0.6, 0.5]), "(5 epochs) explain it")
    # the settings say more than the history does
    says(of(DEAD, kl=kl, beta=3.0), "beta is 3")


def test_a_kl_that_rose_and_fell():
    r = of(DEAD, kl=[0.5, 12.0, 6.0, 1.0, 0.1])
    assert r.verdict == c.FULL
    says(r, "the KL was 12.00 nats in epoch 2 and fell to 0.10: perhaps")
    # with units that live, it is what the end of a warm-up looks like
    assert "fell to" not in str(of(MIXED, beta=4.0, kl=[0.5, 40.0, 6.0, 5.0, 5.0]))
    assert "fell to" not in str(of(DEAD, kl=[0.5, 12.0, 6.0, 5.0, 4.0]))


def test_a_loss_that_rises():
    r = of(DEAD, loss=[300, 200, 250, 190, 210])
    says(
        r,
        "the training loss rose in 2 of 5 epochs, by up to 50.0 nats: perhaps",
    )
    for calm in ([300, 200, 190, 180, 180.5], [200, 200.5, 200, 200.4, 200.2], [-9, -30, -29.8]):
        assert "rose" not in str(of(DEAD, loss=calm, history=len(calm)))
    # a rise is no evidence against units that do well
    assert of(MIXED, **GOOD, loss=[300, 200, 250, 190, 210]).verdict == c.SPARE


def test_a_kl_that_buys_nothing():
    r = of(DEAD, means=1.0)
    assert r.verdict == c.FULL
    says(r, "a KL of 1.50 nats carries no information")
    # free bits and a capacity ask for no less
    assert "carries no information" not in str(of(DEAD, means=1.0, free_bits=0.6))
    assert "carries no information" not in str(of(DEAD, means=1.0, capacity=1.5))


def test_a_run_that_has_hardly_begun_shows_no_cause():
    short = {"history": 3, "step": 3, "loss": [424.0, 420.6, 418.3], "kl": [0.10, 0.33, 0.53]}
    told = "the run took only 9 optimiser steps (3 epochs), and its training loss still falls: "
    for settings in ({"means": 1.0}, {}, {"beta": 50.0}):
        r = of(DEAD, **settings, **short)
        assert r.verdict == c.FULL
        says(r, f"{told}train for 34 epochs or more")
    says(
        of(DEAD, **short | {"history": 1, "loss": 424.0, "kl": 0.1}), "3 optimiser steps (1 epoch):"
    )
    assert of(MIXED, **GOOD, **short).verdict == c.SPARE
    # as many steps as a cause needs, or a loss that falls no more or rises, show one
    says(of(DEAD, means=1.0, **short | {"step": 34}), "too large a learning rate")
    for loss in ([424.0, 240.0, 239.0], [424.0, 420.0, 424.0]):
        assert "too large a learning rate" in str(of(DEAD, means=1.0, **short | {"loss": loss}))


def test_a_short_training_is_to_be_longer(rng):
    rows = rng.integers(0, 2, (270, 6)).astype(float)
    r = report(data=rows, epochs=2, hidden=(4,), latent_dim=2)
    says(r, "18 optimiser steps (2 epochs)")


def test_a_capacity_that_holds_the_kl_down():
    r = of(DEAD, capacity=0.05)
    says(r, "capacity, the target of the KL (0.00 nats), is 0.05")
    assert "beta" not in str(of(DEAD, capacity=0.05, beta=1000.0))
    # the KL is far above it: the capacity is not what holds it, but beta may be
    says(of([3, 0.6, 0], capacity=0.05, beta=9.0), "beta is 9")
    kl = of(MIXED, **GOOD).unit_kl.sum()
    assert of(MIXED, **GOOD, capacity=kl).verdict == c.SPARE  # more than a nat a unit
    few = of([0.9, 0, 0], stds=[0.5, 1, 1], capacity=0.9)
    assert few.verdict == c.PARTIAL
    says(few, "capacity, the target")


def test_free_bits_that_the_dead_units_do_not_use():
    r = of(DEAD, beta=50.0, free_bits=0.1)
    assert r.verdict == c.FULL
    says(r, "below free_bits (0.1), so it is not penalised")
    says(of(DEAD, means=1.0, beta=50.0, free_bits=0.1), "beta is 50", "carries no information")


def test_a_reconstruction_averaged_in_the_history_alone():
    r = of(DEAD, likelihood="bernoulli", rec=0.69)
    says(r, "rec in the history ends at 0.690, but reconstructions cost ")
    assert "averaged" not in str(of(DEAD, likelihood="bernoulli", rec=25.0))
    assert "averaged" not in str(of(DEAD, rec=0.69))  # a density may have any height


def test_a_beta_as_large_as_the_number_of_features():
    says(of(DEAD, beta=float(D)), f"as if rec were averaged over {D} features")
    for beta in (1.2, 4.0, 1000.0):
        r = of(DEAD, beta=beta)
        says(r, f"beta is {beta:g}")
        assert "averaged" not in str(r)


def test_a_variance_of_x_is_to_blame_only_beyond_the_datas_own():
    says(of(DEAD, x_variance=30.0), "0 principal components")
    variances = np.linalg.eigvalsh(np.cov(DATA_X.T, bias=True))
    own = DATA_X.var(axis=0).mean()
    cut = (variances[-1] + variances[-2]) / 2
    assert cut > own
    says(of(DEAD, x_variance=cut), "1 principal components")
    says(of(DEAD, x_variance=0.9 * own), "explain it")
    # more directions vary by more than there are units: each could find one
    assert (variances > 1.01 * own).sum() > 3
    says(of(DEAD, x_variance=1.01 * own), "explain it")
    says(of(DEAD, x_variance=1.01 * own, beta=30.0), "beta is 30", "0 principal components")
    says(
        of(DEAD, x_variance=30.0, data=DATA_X + 10), "0 principal components"
    )  # the mean is not a component
    line = np.outer(DATA_X[:, 0], np.ones(D))  # one direction, but its features vary by more
    says(of(DEAD, x_variance=0.5, data=line), "explain it")
    # fewer rows than features: the same variances by the other product
    x = DATA_X[:30]
    top = np.linalg.eigvalsh(np.cov(x.T, bias=True))[-2:].mean()
    says(of(DEAD, x_variance=top, data=x), "1 principal components")


def test_spare_units_beside_good_ones():
    r = of(MIXED, **GOOD)
    assert r.verdict == c.SPARE
    says(r, f"with a KL of {r.unit_kl[:2].mean():.2f} nats each (dead ones: 0.000)")
    assert of(MIXED, **GOOD, beta=1.2).verdict == c.SPARE
    assert of(MIXED, **GOOD, beta=4.0).verdict == c.PARTIAL
    # the active ones tell little: that is no reason to call the others spare
    weak = of([0.7, 0.7, 0, 0], kl=0.1)
    assert weak.verdict == c.PARTIAL
    says(weak, "explain it")
    # nor is it one if the dead ones cost as much
    costly = of(MIXED, means=[0, 0, 3, 3], **GOOD)
    assert costly.verdict == c.PARTIAL
    says(costly, "explain it")


def test_active_units_that_tell_next_to_nothing_are_no_full_collapse():
    r = of([0.3, 0.3, 0.3], history=1)
    assert r.active.all()
    assert r.information < c.NEGLIGIBLE
    assert r.verdict == c.PARTIAL
    says(r, "(1 epochs) explain it: train longer")


def test_small_codes_that_tell_much_are_no_full_collapse():
    r = of([0.05] * 3, stds=0.001)
    assert not r.active.any()
    assert r.information > 3
    assert r.verdict == c.PARTIAL


def test_weights_without_a_history():
    says(of(DEAD, history=0), "no history")


def test_the_kl_of_m2_is_not_read_from_the_history():
    """It holds the cost of the label: log 10 where nothing is known of it."""
    y = np.arange(500) % 10
    m = SemiSupervisedVAE(latent_dim=2, hidden=(3,), likelihood="gaussian", dtype="float64")
    m.build(D)
    m.params_.head_W[...] = m.params_.head_b[...] = 0
    m.history_ = [{"step": 200, "train_loss": 90.0, "rec": 90.0, "kl": 0.1}] * 5
    for labels in (y, None):
        r = c.collapse_report(m, DATA_X, labels)
        assert r.verdict == c.FULL
        says(r, "(5 epochs) explain it")


def test_labels_belong_to_their_rows(monkeypatch):
    monkeypatch.setattr(c, "MAX_ROWS", 50)
    m = ConditionalVAE(latent_dim=2, hidden=(), likelihood="gaussian", dtype="float64").build(D, 2)
    seen = []
    reconstruct = m.reconstruct
    monkeypatch.setattr(m, "reconstruct", lambda x, y: seen.append((x, y)) or reconstruct(x, y))
    y = (DATA_X[:, 0] > 0).astype(int)
    r = c.collapse_report(m, DATA_X, y)
    (x, labels), *_ = seen
    assert len(x) == 50
    np.testing.assert_array_equal(labels, x[:, 0] > 0)
    np.testing.assert_array_equal(x[[0, -1]], DATA_X[[0, -1]])  # over all rows, not the first ones
    assert (r.n, r.information_limit) == (500, pytest.approx(np.log(50)))
    assert "nats (50 rows limit it to 3.91)\n" in str(r)
    with pytest.raises(InputError, match="pass y"):
        c.collapse_report(m, DATA_X)


def test_a_report_changes_nothing_and_is_repeatable():
    m = made(MIXED, beta=4.0)
    before, history = m.params_.array.copy(), [dict(row) for row in m.history_]
    first = c.collapse_report(m, DATA_X)
    assert str(c.collapse_report(m, DATA_X)) == str(first)
    np.testing.assert_array_equal(m.params_.array, before)
    assert m.history_ == history


def test_what_cannot_be_reported_on_is_refused():
    with pytest.raises(InputError, match="Autoencoder has no KL"):
        c.collapse_report(Autoencoder(latent_dim=2, hidden=()).build(D), PIXELS)
    with pytest.raises(InputError, match="not fitted yet"):
        c.collapse_report(VAE(), PIXELS)
    m = made(DEAD)
    for rows in (DATA_X[:9], np.repeat(DATA_X[:1], 20, axis=0), DATA_X[:0]):
        with pytest.raises(InputError, match="pass at least 10"):
            c.collapse_report(m, rows)
    with pytest.raises(InputError, match="features"):
        c.collapse_report(m, DATA_X[:, 1:])


def test_the_spread_is_that_of_one_label_on_both_sides():
    m = ConditionalVAE(latent_dim=2, hidden=(), likelihood="gaussian", dtype="float64").build(D, 2)
    y = np.arange(500) % 2
    X = DATA_X + 100.0 * y[:, None]
    made, own = m.sample(c.SAMPLES, 0), X[y == 0]
    expected = made.var(axis=0).sum() / own.var(axis=0).sum()
    assert c.collapse_report(m, X, y).spread == pytest.approx(expected, rel=1e-9)


def test_rows_that_differ_only_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(c, "MAX_ROWS", 10)
    X = np.zeros((100, D))
    X[1] = 1
    with pytest.raises(InputError, match="collapse is measured across rows"):
        c.collapse_report(VAE(latent_dim=2, hidden=(), likelihood="gaussian").build(D), X)


@pytest.mark.parametrize(("scale", "white"), [("none", 1), ("bytes", 255), ("minmax", 255)])
def test_scaled_data_have_the_report_of_data_that_were_scaled_before(rng, scale, white):
    data = rng.integers(0, 2, (200, 6)).astype(np.uint8) * np.uint8(white)
    small = {"latent_dim": 2, "hidden": (4,), "epochs": 2, "dtype": "float64"}
    found, wanted = (
        c.collapse_report(trained(data=rows, scale=how, **small), rows)
        for rows, how in ((data, scale), (data / white, "none"))
    )
    assert found.findings == wanted.findings
    np.testing.assert_allclose(found.unit_kl, wanted.unit_kl, rtol=1e-6)
    assert found.spread == pytest.approx(wanted.spread, rel=1e-6)
