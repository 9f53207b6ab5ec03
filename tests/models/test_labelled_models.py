"""Models with labels, held against their definitions: ConditionalVAE and SemiSupervisedVAE."""

import numpy as np
import pytest

from scratchvae import VAE, ConditionalVAE, InputError, SemiSupervisedVAE, load_model
from scratchvae.backend import noise
from scratchvae.errors import DataWarning
from scratchvae.evaluate import evaluate
from scratchvae.train import Trainer

SMALL = {"latent_dim": 3, "hidden": (7,), "dtype": "float64", "seed": 1}


@pytest.fixture
def batch(rng):
    return rng.random((4, 9)), rng.standard_normal((4, 3))


def m2(**config):
    return SemiSupervisedVAE(**SMALL, **config).build(9, 3)


def softmax_log(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


# ------------------------------------------------------------------------------------------- M2


def test_an_unlabelled_row_costs_the_mean_over_the_labels_less_the_entropy(batch):
    x, eps = batch
    model = m2(alpha=0.0)
    costs = np.array([
        [model.loss_and_grad(x[i : i + 1], eps[i : i + 1], [c])[0] for c in range(3)]
        for i in range(4)
    ])  # fmt: skip
    q = model.predict_proba(x)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-12)
    wanted = (q * (costs + np.log(q))).sum(axis=1).mean()
    for y in (None, [-1] * 4):
        assert model.loss_and_grad(x, eps, y)[0] == pytest.approx(wanted, rel=1e-12)


def test_a_labelled_row_costs_rec_kl_the_prior_of_the_label_and_alpha_times_the_classifier(batch):
    x, eps = batch
    y = np.array([2, 0, 1, 1])
    model = m2(alpha=7.0)
    mu, logvar = model.encode(x, y)
    p = model.decode(mu + np.exp(logvar / 2) * eps, y)
    rec = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    kl = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2
    classify = -np.log(model.predict_proba(x)[np.arange(4), y])
    wanted = (rec + kl + np.log(3) + 7 * classify).mean()
    assert model.loss_and_grad(x, eps, y)[0] == pytest.approx(wanted, rel=1e-12)


def test_rec_and_mu_are_those_of_the_label_or_their_mean_over_the_labels(batch):
    x, eps = batch
    model, each = m2(), []
    for c in range(3):
        mu, logvar = model.encode(x, [c] * 4)
        p = model.decode(mu + np.exp(logvar / 2) * eps, c)
        each.append(np.column_stack((-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1), mu)))
    q = model.predict_proba(x)
    acts = model.forward(model.check(x, [-1, 2, -1, 0]), eps)
    found = np.column_stack((acts.rec, acts.mu))
    for i, share in enumerate((q[0], [0, 0, 1], q[2], [1, 0, 0])):
        np.testing.assert_allclose(found[i], np.dot(share, np.array(each)[:, i]), rtol=1e-12)


def test_the_bound_of_an_unlabelled_row_sums_over_the_labels(batch):
    """log p(x) >= log sum_y exp of the bounds of log p(x, y), sample by sample, with k = 1."""
    x, _ = batch
    model = m2()
    joint = [model.score_samples(x, 1, y=np.full(4, c)) for c in range(3)]
    np.testing.assert_allclose(
        model.score_samples(x, 1), np.log(np.exp(joint).sum(axis=0)), rtol=1e-10
    )
    assert model.score(x) == pytest.approx(model.score_samples(x).mean())
    assert (model.score_samples(x, 200) >= np.max(joint, axis=0) - 5).all()


def test_beta_weighs_the_kl_of_code_and_label(batch):
    x, eps = batch
    y = np.array([-1, 2, -1, 0])
    one, four = (m2(beta=beta, alpha=0.0) for beta in (1.0, 4.0))
    acts = one.forward(one.check(x, y), eps)
    loss = one.loss_and_grad(x, eps, y)[0]
    assert loss == pytest.approx((acts.rec + acts.kl).mean(), rel=1e-12)
    assert four.loss_and_grad(x, eps, y)[0] == pytest.approx(loss + 3 * acts.kl.mean(), rel=1e-12)
    np.testing.assert_allclose(four.score_samples(x), one.score_samples(x), rtol=1e-12)
    # the loss that a run reports
    np.testing.assert_allclose(four.example_losses(acts), acts.rec + 4 * acts.kl, rtol=1e-12)


def test_top_sums_over_the_most_likely_classes_and_is_a_bound_of_the_same(batch):
    x, eps = batch
    y = np.array([-1, 2, -1, 0])
    every, two, three = m2(), m2(top=2), m2(top=3)
    full, part = (model.forward(model.check(x, y), eps) for model in (every, two))
    q = every.predict_proba(x)
    for i in (0, 2):
        some = np.sort(np.argsort(q[i])[1:])
        share = q[i][some] / q[i][some].sum()
        expected = (share * (full.cost[i][some] + np.log(share))).sum()
        assert part.loss[i] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(
        part.cost[:, 0], full.cost.take([q[0].argmax(), 5, 6 + q[2].argmax(), 9]), rtol=1e-12
    )
    # where the label is known, nothing is left out
    np.testing.assert_allclose(part.loss[[1, 3]], full.loss[[1, 3]], rtol=1e-12)
    assert three.loss_and_grad(x, eps, y)[0] == every.loss_and_grad(x, eps, y)[0]
    # the sum over all classes bounds log p(x) for the given noise, whatever q(y|x) is
    evidence = np.log(np.exp(-full.cost).sum(axis=1))
    assert (-part.loss <= evidence)[[0, 2]].all()
    # an importance-weighted score sums over all of them
    np.testing.assert_array_equal(two.score_samples(x, 3), every.score_samples(x, 3))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"beta": 0.0}, "beta must be a finite number > 0, got 0"),
        ({"top": 0}, "top must be a whole number >= 1, got 0"),
    ],
)
def test_a_weight_or_a_number_of_classes_that_means_nothing_is_refused(config, message):
    with pytest.raises(InputError, match=message):
        m2(**config)


def test_rows_of_a_batch_do_not_see_each_other(batch):
    x, eps = batch
    y = np.array([-1, 2, -1, 0])
    model = m2()
    whole = model.loss_and_grad(x, eps, y)[0]
    alone = [model.loss_and_grad(x[i : i + 1], eps[i : i + 1], y[i : i + 1])[0] for i in range(4)]
    assert whole == pytest.approx(np.mean(alone), rel=1e-12)


def groups(rng, n=300):
    """Three groups of rows with a few labels."""
    centres = rng.random((3, 12)) < 0.5
    y = rng.integers(3, size=n)
    X = (rng.random((n, 12)) < np.where(centres[y], 0.9, 0.1)).astype(float)
    return X, y


def test_a_few_labels_are_enough_where_the_rest_says_what_belongs_together(rng):
    X, y = groups(rng)
    few = np.where(np.arange(len(y)) < 12, y, -1)
    model = SemiSupervisedVAE(latent_dim=2, hidden=(16,), alpha=20.0, seed=0)
    model.fit(X, few, epochs=40, batch_size=30, lr=0.003)
    assert model.score(X, y) > 0.9
    assert set(model.predict(X)) <= {0, 1, 2}


def test_without_the_classifier_term_the_labels_teach_the_classifier_nothing(rng):
    """Labelled rows alone give the classifier no gradient."""
    X, y = groups(rng)
    model = m2(alpha=0.0)
    model.build(12, 3)
    _, grads = model.loss_and_grad(X, rng.standard_normal((len(X), 3)), y)
    assert all((grads[name] == 0).all() for name in grads if name.startswith(("cls", "class")))


def test_evaluation_hides_the_labels_and_counts_what_was_predicted_wrong(rng):
    X, y = groups(rng)
    model = SemiSupervisedVAE(latent_dim=2, hidden=(8,), seed=0).fit(X, y, epochs=2)
    found = evaluate(model, X, y, k=3)
    assert found.error == pytest.approx(1 - model.score(X, y))
    assert found.log_likelihood == pytest.approx(model.score_samples(X, 3).mean(), rel=1e-6)
    assert "wrong labels" in str(found)
    some = evaluate(model, X, y, examples=50)
    picked = noise.permutation(len(X), seed=0, stream=noise.PICK)[:50]
    assert some.error == pytest.approx(1 - model.score(X[picked], y[picked]))
    few = np.where(np.arange(len(y)) < 100, y, -1)
    found = evaluate(model, X, few)
    assert found.labelled == 100
    assert found.error == pytest.approx(1 - model.score(X, few))


def test_a_warm_up_lowers_the_kl_of_each_label(batch):
    """The derivative along the gradient, by a central difference."""
    x, eps = batch
    model = m2(alpha=0.0)
    rows = model.check(x, [-1, 2, -1, 0])
    model.backward(model.gradients, model.forward(rows, eps), 0.25)
    p, g, sums = model.params_.array.copy(), model.gradients.array, []
    for step in (1e-6, -1e-6):
        model.params_.array[...] = p + step * g
        acts = model.forward(rows, eps)
        costs, log_q = acts.cost - 0.75 * acts.kls, softmax_log(acts.logits)
        unknown = (np.exp(log_q) * (costs + log_q)).sum(axis=1)
        sums.append(unknown[0] + costs[1, 2] + unknown[2] + costs[3, 0])
    assert (sums[0] - sums[1]) / 4 / 2e-6 == pytest.approx((g * g).sum(), rel=1e-6)


# ------------------------------------------------------------------------------------------ CVAE


def test_a_warm_up_free_bits_and_a_capacity_reach_the_gradient(batch):
    def gradient(ramp=1.0, **options):
        model = ConditionalVAE(**SMALL, **options).build(9, 3)
        acts = model.forward(model.check(batch[0], [2, 0, 1, 1]), batch[1])
        model.backward(model.gradients, acts, ramp)
        return model.gradients.array

    without = gradient(beta=0.0)
    np.testing.assert_array_equal(gradient(0.25), gradient(beta=0.25))
    np.testing.assert_array_equal(gradient(free_bits=1e9), without)
    np.testing.assert_allclose(gradient(capacity=1e9) - without, without - gradient(), atol=1e-12)


def test_the_label_changes_what_is_decoded(batch):
    _, z = batch
    model = ConditionalVAE(**SMALL).build(9, 3)
    a, b = model.decode(z, 0), model.decode(z, 2)
    assert not np.allclose(a, b)
    np.testing.assert_array_equal(model.decode(z, [0, 2, 0, 2])[1::2], b[1::2])
    z = noise.normal(4, 3, seed=5, stream=noise.SAMPLE, dtype="float64")
    np.testing.assert_array_equal(model.sample(4, y=2, seed=5), model.decode(z, 2))


def test_samples_of_a_label_are_those_of_its_group(rng):
    X, y = groups(rng)
    model = ConditionalVAE(latent_dim=2, hidden=(32,), seed=0)
    model.fit(X, y, epochs=60, batch_size=30, lr=0.01)
    means = np.array([X[y == c].mean(axis=0) for c in range(3)])
    for c in range(3):
        distances = np.abs(model.sample(20, y=c)[:, None] - means).mean(axis=2)
        assert (distances.argmin(axis=1) == c).mean() > 0.9
    in_turn = np.abs(model.sample(6)[:, None] - means).mean(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(in_turn, [0, 1, 2, 0, 1, 2])


def test_the_label_is_worth_something(rng):
    """log p(x|y) is larger than log p(x) = log mean_y p(x|y) of the same model."""
    X, y = groups(rng)
    model = ConditionalVAE(latent_dim=2, hidden=(32,), seed=0)
    model.fit(X, y, epochs=40, batch_size=30, lr=0.01)
    each = np.array([model.score_samples(X, 50, y=np.full(len(X), c)) for c in range(3)])
    right = each[y, np.arange(len(X))].mean()
    assert right > np.log(np.exp(each).mean(axis=0)).mean() + 0.5


# --------------------------------------------------------------------------------- what both have


@pytest.mark.parametrize(("cls", "prior"), [(ConditionalVAE, 0), (SemiSupervisedVAE, np.log(3))])
def test_the_weight_of_a_sample_is_a_ratio_of_densities(cls, prior, batch):
    x, y = batch[0], np.array([2, 0, 1, 1])
    model = cls(**SMALL).build(9, 3)
    key = {"seed": 1, "stream": noise.SCORE, "row": noise.row_keys(x)}
    eps = noise.normal(4, 3, **key, dtype="float64")
    mu, logvar = model.encode(x, y)
    z = mu + np.exp(logvar / 2) * eps
    p = model.decode(z, y)
    log_px = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    log_ratio = (eps**2 + logvar - z**2).sum(axis=1) / 2  # of p(z) to q(z|x,y)
    np.testing.assert_allclose(model.score_samples(x, 1, y=y), log_px + log_ratio - prior)


@pytest.mark.parametrize("cls", [ConditionalVAE, SemiSupervisedVAE])
@pytest.mark.parametrize("labels", [[3, 5, 9], ["a", "b", "c"], [1.0, 4.0, 7.0]])
def test_labels_may_be_anything_and_are_saved(cls, labels, rng, tmp_path):
    X, index = groups(rng, 40)
    y = np.array(labels)[index]
    model = cls(latent_dim=2, hidden=(8,), seed=0).fit(X, y, epochs=1)
    np.testing.assert_array_equal(model.classes_, labels)
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.classes_, model.classes_)
    np.testing.assert_array_equal(again.sample(3, y=labels[1]), model.sample(3, y=labels[1]))
    np.testing.assert_array_equal(again.reconstruct(X, y), model.reconstruct(X, y))
    twin = cls(latent_dim=2, hidden=(8,)).load_state_dict(model.state_dict())
    np.testing.assert_array_equal(twin.params_.array, model.params_.array)


@pytest.mark.parametrize("cls", [ConditionalVAE, SemiSupervisedVAE])
@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32, np.int64])
def test_a_label_is_one_beside_pixels_of_any_kind(cls, dtype, rng):
    X = (rng.random((6, 9)) < 0.5).astype(dtype) * (255 if dtype == np.uint8 else 1)
    model = cls(latent_dim=2, hidden=(8,)).build(9, 3)
    rows = model.to_device(model.check(X, [0, 1, 2, 0, 1, 2]), "x")
    np.testing.assert_array_equal(rows[:, 9:], np.eye(3)[[0, 1, 2, 0, 1, 2]])
    np.testing.assert_array_equal(rows[:, :9], X / (255 if dtype == np.uint8 else 1))


def test_binarization_leaves_the_labels_alone(rng):
    X, y = rng.random((20, 9)), np.arange(20) % 3
    model = ConditionalVAE(latent_dim=2, hidden=(8,)).build_from(X, y)
    for binarize in ("static", "dynamic"):
        trainer = Trainer(model, X, y=y, batch_size=20, binarize=binarize)
        acts, _ = trainer.take_step(np.arange(20))
        labels = acts.enc[0][:, 9:]
        np.testing.assert_array_equal(labels, np.eye(3)[y])
        assert set(np.unique(acts.x)) == {0, 1}


@pytest.mark.parametrize(
    ("cls", "y", "message"),
    [
        (ConditionalVAE, None, "ConditionalVAE requires y to be passed"),
        (ConditionalVAE, [0, 1, -1, 2], "needs the label of each row, but y holds -1"),
        (ConditionalVAE, [0, 1], r"y must hold one label per row, \(4,\), got the shape \(2,\)$"),
        (
            ConditionalVAE,
            np.eye(4)[:, :3],
            r"shape \(4, 3\): for one-hot labels, pass y.argmax\(axis=1\)",
        ),
        (SemiSupervisedVAE, [-1] * 4, "has no label to learn from: all of y is -1"),
        (SemiSupervisedVAE, None, "SemiSupervisedVAE requires y to be passed"),
        (SemiSupervisedVAE, [0, 1, np.nan, 1], "y holds a NaN or an infinity"),
    ],
)
def test_unusable_labels_are_refused_by_fit(cls, y, message, rng):
    with pytest.raises(InputError, match=message):
        cls(latent_dim=2, hidden=(5,)).fit(rng.random((4, 9)), y, epochs=1)


@pytest.mark.parametrize("cls", [ConditionalVAE, SemiSupervisedVAE])
def test_a_label_that_was_not_learned_is_refused(cls, batch):
    x, z = batch
    model = cls(**SMALL).build(9, 3)
    for call in (
        lambda: model.sample(2, y=7),
        lambda: model.decode(z, [0, 1, 2, 3]),
        lambda: model.encode(x, [0, 1, 2, "x"]),
        lambda: model.score_samples(x, y=[9] * 4),
    ):
        with pytest.raises(InputError, match="is not one of the learned classes: 0, 1, 2"):
            call()
    with pytest.raises(InputError, match="decode needs a label"):
        model.decode(z)


@pytest.mark.parametrize("cls", [ConditionalVAE, SemiSupervisedVAE])
def test_labels_that_are_text_are_quoted(cls, batch):
    x, _ = batch
    model = cls(**SMALL).build(9, ["0", "1"])
    with pytest.raises(InputError, match=r"label 5 is not one of the learned classes: '0', '1'$"):
        model.encode(x, [5] * 4)
    with pytest.raises(InputError, match=r"label '5' is not one of the learned classes: '0', '1'$"):
        model.sample(2, y="5")


@pytest.mark.parametrize("label", [1, 1.0, "spam"])
def test_one_class_left_is_a_warning_that_says_what_minus_one_means(label, rng):
    y = np.array([label, -1, label, -1], dtype=object)
    y = y if label == "spam" else y.astype(type(label))
    words = f"y has only one class, {label!r}, because -1 means unlabelled: if -1 is a class"
    with pytest.warns(DataWarning, match=words) as told:
        SemiSupervisedVAE(latent_dim=2, hidden=(5,)).fit(rng.random((4, 9)), y, epochs=1)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_one_class_without_unlabelled_rows_is_no_warning(rng):
    X = rng.random((4, 9))
    model = SemiSupervisedVAE(latent_dim=2, hidden=(5,)).fit(X, [1, 1, 1, 1], epochs=1)
    assert model.predict(X).tolist() == [1] * 4
    SemiSupervisedVAE(latent_dim=2, hidden=(5,)).fit(X, [0, 1, -1, -1], epochs=1)


def test_labels_of_which_one_is_minus_one_are_refused_where_each_row_needs_one(rng):
    with pytest.raises(InputError, match="leave such rows out, or number the classes from 0"):
        ConditionalVAE(latent_dim=2, hidden=(5,)).fit(rng.random((4, 9)), [1, -1, 1, -1])


def test_the_layers_of_the_classifier_have_names_as_the_encoders_have():
    state = SemiSupervisedVAE(latent_dim=3, hidden=(7, 5)).build(9, 2).state_dict()
    shapes = {name: a.shape for name, a in state.items() if name.endswith("weight")}
    for layer, width in (("encoder", 9 + 2), ("classifier", 9)):
        assert shapes[f"{layer}.1.weight"] == (7, width)
        assert shapes[f"{layer}.3.weight"] == (5, 7)
    assert shapes["classifier.5.weight"] == (2, 5)


@pytest.mark.parametrize("cls", [ConditionalVAE, SemiSupervisedVAE])
def test_settings_of_every_model_reach_one_with_labels(cls, rng):
    X, y = rng.random((40, 9)) * np.linspace(0.2, 1, 9), np.arange(40) % 3
    model = cls(latent_dim=2, hidden=(8,), bias_from_data=True)
    bias = model.build_from(X, y).params_.out_b
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), X.mean(axis=0), rtol=1e-5)
    plain, ramped = (model.fit(X, y, epochs=1, kl_warmup=w).encode(X, y)[0] for w in (0, 9))
    assert np.abs(plain - ramped).max() > 1e-5


def test_m2_needs_a_hidden_layer():
    with pytest.raises(InputError, match="SemiSupervisedVAE needs a hidden layer"):
        SemiSupervisedVAE(hidden=()).build(9)


def test_equal_logits_are_one_label():
    model = SemiSupervisedVAE(**SMALL, init="glorot").build(9, 3)
    x = np.zeros((2, 9))
    np.testing.assert_array_equal(model._label(model.check(x)), [[1, 0, 0]] * 2)
    np.testing.assert_allclose(model.encode(x)[0], model.encode(x, [0, 0])[0])


def test_an_unsigned_minus_one_is_refused(rng):
    y = np.array([0, 1, 2, 255], dtype=np.uint8)
    with pytest.raises(InputError, match=r"uint8, where -1 becomes 255: use y.astype\(int\)"):
        SemiSupervisedVAE(**SMALL).fit(rng.random((4, 9)), y)


def test_no_label_is_none_to_decode():
    with pytest.raises(
        InputError, match="decode needs the label of each code, but -1 means unlabelled"
    ):
        m2().sample(2, y=-1)


@pytest.mark.parametrize("classes", [[], [[0, 1]], [-1]])
def test_classes_are_a_list_of_labels(classes):
    with pytest.raises(InputError, match="classes must be a list of at least one label"):
        ConditionalVAE(**SMALL).build(9, classes)


def test_classes_are_kept_sorted_and_once():
    assert ConditionalVAE(**SMALL).build(9, [3, 3, 1]).classes_.tolist() == [1, 3]


def test_a_state_does_not_rename_the_classes():
    model = ConditionalVAE(**SMALL).build(9, ["a", "b", "c"])
    assert model.load_state_dict(model.state_dict()).classes_.tolist() == ["a", "b", "c"]


def test_labels_of_another_length_are_refused_by_evaluate(rng):
    with pytest.raises(InputError, match="one label per row"):
        evaluate(m2(), rng.random((4, 9)), [0, 1])


def test_the_parts_of_m2_make_its_bound(batch):
    x, eps = batch
    model = m2(alpha=0.0)
    acts = model.forward(model.check(x, [0, -1, 2, -1]), eps)
    np.testing.assert_allclose(acts.rec + acts.kl, acts.loss, rtol=1e-12)


def test_labels_do_not_move_the_noise_of_binary_pixels(rng):
    X, y = rng.random((8, 9)), np.arange(8) % 4
    seen = []
    for model in (VAE(**SMALL).build(9), ConditionalVAE(**SMALL).build(9, 4)):
        trainer = Trainer(model, X, y=y, batch_size=8, binarize="dynamic")
        seen.append(trainer.take_step(np.arange(8))[0].x.copy())
    np.testing.assert_array_equal(*seen)
