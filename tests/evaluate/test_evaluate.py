"""Evaluation: its numbers, its printed protocol, and comparison with published numbers."""

import dataclasses

import numpy as np
import pytest

from scratchvae import IWAE, VAE, Autoencoder, ConditionalVAE, InputError, cli
from scratchvae.backend import noise
from scratchvae.data.batches import binarized_once
from scratchvae.evaluate import evaluate
from scratchvae.evaluate import evaluation as evaluation
from scratchvae.evaluate.evaluation import comparable, compare
from scratchvae.evaluate.metrics import mutual_information
from scratchvae.evaluate.published import PUBLISHED
from scratchvae.models.bounds import streaming_log_mean_exp
from scratchvae.train.measure import losses, prepare

BOUND = {"log_likelihood": -91.234, "standard_error": 0.5}


@pytest.fixture
def vae(rng):
    return VAE(latent_dim=3, hidden=(7,), seed=2).fit(rng.random((40, 9)), epochs=2)


@pytest.fixture
def on_mnist(vae, rng):
    """An evaluation that says that it is of MNIST."""
    found = evaluate(vae, rng.random((30, 9)), data="mnist", split="test split")
    return dataclasses.replace(found, n=10_000)


def test_the_parts_are_those_of_the_public_calls(vae, rng):
    X = rng.random((30, 9))
    found = evaluate(vae, X, k=7)
    mu, logvar = vae.encode(X)
    units = ((mu**2 + np.exp(logvar) - 1 - logvar) / 2).mean(axis=0)
    np.testing.assert_allclose(found.unit_kl, units, rtol=1e-4)
    assert found.kl == pytest.approx(units.sum(), rel=1e-4)
    assert found.elbo == pytest.approx(-found.rec - found.kl)
    assert found.active_units == (mu.var(axis=0) > 0.01).sum()
    scores = vae.score_samples(X, 7)
    assert found.log_likelihood == pytest.approx(scores.mean(), rel=1e-6)
    assert found.standard_error == pytest.approx(scores.std(ddof=1) / 30**0.5, rel=1e-4)


def test_some_examples_are_drawn_by_the_seed_and_the_card_says_so(vae, rng):
    X = rng.random((300, 9))
    found, again = (evaluate(vae, X, k=2, examples=20) for _ in range(2))
    assert found == again
    assert found.n == 20
    assert "random rows of the data given, 20 examples" in str(found)
    assert found.rec == evaluate(vae, X[noise.permutation(300, seed=2, stream=noise.PICK)[:20]]).rec
    whole = evaluate(vae, X, k=2, examples=300)
    assert whole == evaluate(vae, X, k=2)
    assert whole.rec != found.rec


def test_the_information_is_that_of_one_sample_of_each_code(vae, rng):
    X = rng.random((30, 9))
    mu, logvar = vae.encode(X)
    eps = noise.normal(30, 3, seed=2, stream=noise.TEST, dtype="float64")
    told = mutual_information(mu, logvar, mu + np.exp(logvar / 2) * eps)
    assert evaluate(vae, X).information == pytest.approx(told, rel=1e-9)


def test_binary_pixels_are_those_that_the_test_loss_of_a_run_is_of(rng):
    X = rng.random((30, 9))
    vae = VAE(latent_dim=3, hidden=(7,), seed=2).fit(X, X_test=X, epochs=1, binarize="dynamic")
    found = evaluate(vae, X, binarize="dynamic")
    assert found.loss == pytest.approx(vae.history_[-1]["test_loss"], rel=1e-12)
    assert found.rec == evaluate(vae, binarized_once(X, X.shape[1], seed=2)).rec


def test_the_card_says_what_was_measured(rng):
    model = VAE(latent_dim=2, hidden=(), likelihood="continuous_bernoulli", seed=5).build(9)
    text = str(evaluate(model, rng.random((30, 9)), k=7))
    assert "pixels      grey, in [0, 1]\nmeasured    7 samples for the bound, seed 5" in text


def test_the_card_says_how_the_data_were_scaled(rng):
    X = rng.normal(size=(30, 4)) * 9
    model = VAE(latent_dim=2, hidden=(), likelihood="gaussian", scale="standard")
    text = str(evaluate(model.fit(X, epochs=1), X))
    assert "values      scaled (standard); nats refer to the scaled values\n" in text


def test_the_card_of_a_table_speaks_of_values(rng):
    X = rng.random((30, 7))
    for likelihood, words in (("bernoulli", "in [0, 1]"), ("gaussian", "real numbers")):
        model = VAE(latent_dim=2, hidden=(), likelihood=likelihood).fit(X, epochs=1)
        text = str(evaluate(model, X))
        assert f"values      {words}\n" in text
        assert "pixels" not in text


def test_an_autoencoder_has_no_elbo(rng):
    X = rng.random((30, 9))
    model = Autoencoder(latent_dim=3, hidden=(7,)).fit(X, epochs=1)
    text = str(evaluate(model, X, data="mnist"))
    assert "ELBO" not in text
    assert "KL" not in text
    assert "no bound" in text
    assert "comparable  with no published number" in text


def test_the_loss_of_an_iwae_is_its_bound(rng):
    X = rng.random((30, 9))
    model = IWAE(latent_dim=3, hidden=(7,), k=4).fit(X, X_test=X, epochs=1)
    found = evaluate(model, X)
    assert found.loss == pytest.approx(model.history_[-1]["test_loss"], rel=1e-6)
    assert found.loss < -found.elbo


def test_a_number_is_put_beside_the_published_one_that_measures_the_same(on_mnist):
    text = compare(on_mnist, "pytorch-example")
    ours = f"{-on_mnist.elbo:.2f} +- {on_mnist.elbo_error:.2f} nats here (VAE 9-7-3, 2 epochs)"
    assert text.startswith(f"{ours}, 106.66 published (VAE 784-400-20, seven epochs; ")
    assert "pull request 1416" in text
    assert "comparable  pytorch-example" in str(on_mnist)


@pytest.mark.parametrize(
    ("change", "row", "reason"),
    [
        ({}, "iwae-k5", "for images binarised at random, .* but this is for grey pixels"),
        ({"pixels": "static"}, "pytorch-example", "for grey pixels, but this is for images"),
        ({"pixels": "static"}, "iwae-k1", "binarised at random, .* binarised once"),
        (
            {"pixels": "dynamic"},
            "iwae-k1",
            "a log-likelihood from 5000 importance samples, but this",
        ),
        ({"data": "strokes"}, "pytorch-example", "the data set mnist, but these data are strokes"),
        (
            {"split": "train split"},
            "pytorch-example",
            "the test split, but this is for train split",
        ),
        (
            {"left_out": "3"},
            "pytorch-example",
            "all digits, but this model was trained without label 3",
        ),
        ({"model": "Autoencoder"}, "pytorch-example", "an autoencoder has none"),
        ({"n": 999}, "pytorch-example", "10,000 images, but this is for 999: evaluate 1,000"),
        ({"likelihood": "gaussian"}, "pytorch-example", "a Bernoulli likelihood, but this model a"),
        (
            {"given_labels": True},
            "pytorch-example",
            r"a bound on log p\(x\), but this one on log p\(x\|y\)",
        ),
    ],
)
def test_what_measures_something_else_is_refused_in_a_sentence(on_mnist, change, row, reason):
    with pytest.raises(InputError, match=f"cannot be compared: it .*{reason}"):
        compare(dataclasses.replace(on_mnist, **change), row)


def test_a_bound_of_fewer_samples_is_compared_and_says_so(on_mnist):
    found = dataclasses.replace(on_mnist, pixels="dynamic", k=100, **BOUND)
    text = compare(found, "iwae-k5")
    assert text.startswith("91.23 +- 0.50 nats here (VAE 9-7-3, 2 epochs), 85.54 published")
    assert "with 5000 samples instead of 100" in text
    assert "instead of" not in compare(dataclasses.replace(found, k=5000), "iwae-k5")
    assert "our own sample" not in text


def test_a_published_elbo_is_put_beside_the_elbo_however_many_samples(on_mnist):
    found = dataclasses.replace(on_mnist, pixels="static", k=100, **BOUND)
    text = compare(found, "altosaar-elbo")
    assert text.startswith(f"{-found.elbo:.2f} +- {found.elbo_error:.2f} nats here")
    assert "103.31 published" in text
    assert text.endswith("our own sample, not the file of Larochelle & Murray")
    assert "Larochelle" not in compare(found, "altosaar-elbo", original=True)
    assert compare(found, "altosaar-nll").startswith("91.23 +- 0.50 nats here")


def test_every_row_has_something_that_it_compares_with(on_mnist):
    for row in PUBLISHED.values():
        found = dataclasses.replace(on_mnist, pixels=row.pixels, k=row.k)
        assert comparable(found, row) == ""
        assert row.k == 5000 or "Burda" not in row.source


def test_an_unknown_row_is_refused(on_mnist):
    with pytest.raises(InputError, match="no published number 'gpt'"):
        compare(on_mnist, "gpt")


def test_the_command_line_refuses_before_it_prints(vae, tmp_path, capsys, rng):
    vae.save(tmp_path / "m.npz")
    np.save(tmp_path / "x.npy", rng.random((30, 9)))
    argv = ["evaluate", str(tmp_path / "m.npz"), "--data", str(tmp_path / "x.npy")]
    assert cli.main([*argv, "--compare", "iwae-k5"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "the data set mnist, but these data are x.npy" in err
    assert cli.main([*argv, "--samples", "0"]) == 2
    assert cli.main([*argv, "--examples", "2"]) == 0


def test_more_rows_than_pass_at_a_time(vae, rng, monkeypatch):
    X = rng.random((30, 9))
    whole = evaluate(vae, X, k=3)
    monkeypatch.setattr("scratchvae.train.measure.CHUNK", 7)
    monkeypatch.setattr("scratchvae.models.model.BLOCK", 7)
    pieces = evaluate(vae, X, k=3)
    for field in dataclasses.fields(whole):
        a, b = (getattr(found, field.name) for found in (whole, pieces))
        assert a == (pytest.approx(b, rel=1e-5) if isinstance(b, float | tuple) else b), field.name


def test_the_information_is_that_of_rows_from_the_whole(vae, rng, monkeypatch):
    X = rng.random((30, 9))
    monkeypatch.setattr(evaluation, "INFORMATION_ROWS", 4)
    found = evaluate(vae, X)
    assert found.information == pytest.approx(evaluate(vae, X[[0, 9, 19, 29]]).information)
    assert f"4 examples limit it to {np.log(4):.2f}" in str(found)
    assert sum(found.unit_kl) == pytest.approx(found.kl, rel=1e-5)


def test_the_elbo_has_a_standard_error(vae, rng):
    X = rng.random((30, 9))
    found = evaluate(vae, X)
    x = vae.to_device(X, "x")
    acts = vae.forward(x, vae.draw_noise(30, seed=2, stream=noise.TEST, row=noise.row_keys(x)))
    error = np.std(acts.rec + acts.kl, ddof=1) / 30**0.5
    assert found.elbo_error == pytest.approx(error, rel=1e-4)
    one = evaluate(vae, X[:1], k=2)
    assert one.elbo_error is None
    assert one.standard_error is None
    assert "+-" not in str(one)


@pytest.mark.parametrize("examples", [0, -5, 2.5, True])
def test_examples_are_a_whole_number(vae, rng, examples):
    with pytest.raises(InputError, match="examples must be a whole number"):
        evaluate(vae, rng.random((30, 9)), examples=examples)


def test_codes_far_from_0_are_not_active_by_rounding(rng):
    vae = VAE(latent_dim=3, hidden=(7,)).build(9)
    vae.params_.head_W[...] = 0
    vae.params_.head_b[:3] = 3001.3
    vae.params_.head_b[3:] = 0
    assert evaluate(vae, rng.random((30, 9)) * 0).active_units == 0


def test_a_mean_of_weights_that_are_0():
    terms = [np.array([-np.inf, -np.inf, 0.0]), np.array([-np.inf, 0.0, 1.0])]
    found = streaming_log_mean_exp(iter(terms))
    np.testing.assert_allclose(found, [-np.inf, np.log(0.5), np.log((1 + np.e) / 2)])


def test_pixels_are_the_same_whether_labels_stand_beside_them(rng):
    X, y = rng.random((30, 9)), np.arange(30) % 4
    plain = prepare(VAE().build(9), X, None, "dynamic")
    beside = prepare(ConditionalVAE().build(9, 4), X, y, "dynamic")
    np.testing.assert_array_equal(beside[:, :9], plain)
    np.testing.assert_array_equal(beside[:, 9:], 255 * np.eye(4)[y])


def test_losses_of_a_split_do_not_depend_on_the_size_of_its_pieces(monkeypatch, rng):
    vae = VAE(latent_dim=3, hidden=(7,), dtype="float64").build(9)
    X = rng.random((23, 9))
    whole = losses(vae, X)
    monkeypatch.setattr("scratchvae.train.measure.CHUNK", 5)
    pieces = losses(vae, X)
    assert whole["active_units"] == pieces["active_units"]
    assert whole["loss"] == pytest.approx(pieces["loss"], rel=1e-12)


@pytest.mark.parametrize("k", [None, 2])
def test_rows_beyond_what_can_be_scored_are_counted_and_named(k, rng):
    X = rng.normal(size=(60, 5))
    vae = VAE(latent_dim=2, hidden=(8,), likelihood="gaussian", x_variance=1.0, seed=0, epochs=2)
    vae.fit(X)
    words = "have an infinite cost"
    found = evaluate(vae, X, k=k)
    assert (found.beyond, found.first_beyond) == (0, None)
    assert words not in str(found)
    X[7] = X[20] = 1e25
    found = evaluate(vae, X, k=k, numbers=np.arange(60) + 100)
    assert found.elbo == -np.inf
    line = f"infinite: 2 of the 60 examples, first row 107, {words}: leave them out\n"
    assert line in str(found)
    assert evaluate(vae, np.delete(X, [7, 20], 0), k=k).beyond == 0


def test_the_command_names_the_row_of_the_file_that_cannot_be_scored(tmp_path, rng, capsys):
    X = rng.normal(size=(60, 5))
    vae = VAE(latent_dim=2, hidden=(8,), likelihood="gaussian", x_variance=1.0, seed=0, epochs=2)
    vae.fit(X).save(tmp_path / "m.npz")
    X[9] = 1e25
    np.save(tmp_path / "x.npy", X)
    argv = ["evaluate", str(tmp_path / "m.npz"), "--data", str(tmp_path / "x.npy")]
    assert cli.main(argv) == 0
    assert "infinite: 1 of the 60 examples, first row 9, have" in capsys.readouterr().out
