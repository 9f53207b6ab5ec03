"""The training loop: order, schedules, history, stopping, and recovery from errors."""

import sys

import numpy as np
import pytest

from scratchvae import VAE, InputError, NonFiniteError
from scratchvae.models.load import load
from scratchvae.train import COLUMNS, EarlyStopping, Trainer
from scratchvae.train.optim import Adam, ramp
from scratchvae.train.trainer import CHECK


@pytest.fixture
def X(rng):
    return rng.random((30, 9))


def small(**config):
    return VAE(**{"latent_dim": 3, "hidden": (7,), "dtype": "float64"} | config)


def test_an_epoch_visits_every_example_once_in_an_order_of_its_own(X):
    vae = small().build(9)
    trainer = Trainer(vae, X, batch_size=8)
    seen = []
    original = trainer.take_step
    trainer.take_step = lambda rows: (seen.append(np.array(rows)), original(rows))[1]
    trainer.run(2)
    assert [len(rows) for rows in seen] == [8, 8, 8, 6] * 2
    first, second = (np.concatenate(seen[i : i + 4]) for i in (0, 4))
    np.testing.assert_array_equal(np.sort(first), np.arange(30))
    np.testing.assert_array_equal(np.sort(second), np.arange(30))
    assert (first != second).any()
    assert (first != np.arange(30)).any()


def test_the_history_has_the_columns_of_the_metrics(X):
    vae = small().fit(X, X_test=X[:7], epochs=3, batch_size=8)
    assert [set(r) for r in vae.history_] == [set(COLUMNS)] * 3
    assert [r["epoch"] for r in vae.history_] == [1, 2, 3]
    assert [r["step"] for r in vae.history_] == [4, 8, 12]
    for r in vae.history_:
        assert r["test_loss"] == pytest.approx(r["rec"] + r["kl"], rel=1e-12)


def test_the_train_loss_is_the_mean_over_the_split_and_not_over_the_batches(X):
    trainer = Trainer(small(beta=2.0).build(9), X, batch_size=8)
    each = []
    original = trainer.take_step

    def recording(rows):
        result = original(rows)
        each.append((result[0].rec + 2 * result[0].kl).copy())
        return result

    trainer.take_step = recording
    trainer.run(3)
    for epoch, record in enumerate(trainer.model.history_):
        mean = np.concatenate(each[4 * epoch : 4 * epoch + 4]).mean()
        assert record["train_loss"] == pytest.approx(mean, rel=1e-12)


def test_the_loss_that_is_shown_is_that_of_the_epoch_so_far(X, monkeypatch):
    import scratchvae.train

    shown = []

    class Recorder(scratchvae.train.trainer.Progress):
        def show(self, step, text):
            shown.append((step, text))

    monkeypatch.setattr(scratchvae.train.trainer, "Progress", Recorder)
    vae = small(beta=2.0).fit(X, epochs=2, batch_size=8)
    first, second = vae.history_
    assert [step for step, _ in shown] == [4, 8]
    for (_, text), record in zip(shown, (first, second), strict=True):
        loss, rec, kl = (f"{record[name]:.1f}" for name in ("train_loss", "rec", "kl"))
        start = f"epoch {record['epoch']}  loss {loss}  rec {rec}  kl {kl}"
        assert text.startswith(start + "  ")
        assert text.endswith(" images/s")


def test_the_active_units_that_are_shown_are_those_of_the_epoch_before(X, monkeypatch):
    import scratchvae.train

    shown = []
    monkeypatch.setattr(
        scratchvae.train.trainer.Progress, "show", lambda self, step, text: shown.append(text)
    )
    vae = small().fit(X, X_test=X, epochs=2, batch_size=8)
    assert "active" not in shown[0]
    assert f"active {vae.history_[0]['active_units']}  " in shown[1]


def test_images_per_second_are_those_of_the_steps(X, monkeypatch, capsys):
    """Not of the evaluation after them."""
    import time

    clock = iter(float(t) for t in range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    small().fit(X, epochs=1, batch_size=8, verbose=True)
    assert "30 images/s" in capsys.readouterr().out


def test_the_rows_of_a_table_are_no_images(rng, capsys):
    small().fit(rng.random((30, 7)), epochs=1, verbose=True)
    assert capsys.readouterr().out.endswith(" rows/s\n")


def test_without_a_test_split_there_is_no_test_loss(X):
    record = small().fit(X, epochs=1).history_[0]
    assert np.isnan(record["test_loss"])
    assert record["train_loss"] == pytest.approx(record["rec"] + record["kl"])


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(X):
    a, b, c = (small(seed=s).fit(X, epochs=3, batch_size=8) for s in (0, 0, 1))
    np.testing.assert_array_equal(a.params_.array, b.params_.array)
    assert (a.params_.array != c.params_.array).any()


def test_static_binarisation_is_that_of_the_data_set(X):
    from scratchvae.data.batches import binarized_once

    vae = small().build(9)
    trainer = Trainer(vae, X, X, binarize="static")
    np.testing.assert_array_equal(trainer.X, binarized_once(X, X.shape[1], seed=0))
    np.testing.assert_array_equal(trainer.X_test, binarized_once(X, X.shape[1], seed=0))


def test_the_seconds_of_an_epoch_are_its_own(X, monkeypatch):
    import time

    clock = iter(float(t) for t in range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    vae = small().fit(X, epochs=4, batch_size=8)
    assert len({r["seconds"] for r in vae.history_}) == 1
    trainer = Trainer(small().build(9), X, batch_size=8)
    trainer.resume({"rows": 30, "step": 2}, trainer.state()[1])
    trainer.run(1)
    assert trainer.model.history_[0]["seconds"] == vae.history_[0]["seconds"], "since it went on"
    assert "seconds" not in trainer.state()[0], "the same run gives the same checkpoint"


def test_fit_begins_anew(X):
    vae = small().fit(X, epochs=2, batch_size=8)
    first = vae.params_.array.copy()
    vae.fit(X, epochs=2, batch_size=8)
    np.testing.assert_array_equal(vae.params_.array, first)
    assert len(vae.history_) == 2


def test_a_trainer_goes_on_from_given_weights(X):
    vae = small().fit(X, epochs=2, batch_size=8)
    before = vae.score_samples(X).mean()
    tuned = VAE(**vae.get_params()).load_state_dict(vae.state_dict())
    Trainer(tuned, X, batch_size=8).run(20)
    assert tuned.score_samples(X).mean() > before + 0.05


def test_kl_warmup():
    assert ramp(0) == 1.0
    assert [ramp(e, 4) for e in (0, 1, 2.5, 4, 9)] == [0, 0.25, 0.625, 1, 1]
    assert [ramp(e, cycle=4) for e in (0, 1, 2, 3.5, 4, 5)] == [0, 0.5, 1, 1, 0, 0.5]


def test_losses_are_reported_at_the_full_beta_during_warmup(X):
    vae = small(beta=3.0).fit(X, X_test=X, epochs=1, kl_warmup=10)
    r = vae.history_[0]
    assert r["test_loss"] == pytest.approx(r["rec"] + 3 * r["kl"])


def test_callbacks_see_each_epoch_and_may_end_the_run(X, capsys):
    seen = []

    def stop_at_two(trainer, record):
        seen.append((trainer.epoch, record["epoch"]))
        return record["epoch"] == 2

    vae = small().fit(X, epochs=5, verbose=True, callbacks=stop_at_two)
    assert "epoch   2/5" in capsys.readouterr().out
    assert seen == [(1, 1), (2, 2)]
    assert len(vae.history_) == 2


def test_early_stopping_waits_for_patience(X):
    vae = small().build(9)
    trainer = Trainer(vae, X, X)
    losses = iter([5.0, 4.0, 4.5, 4.2, 4.0, 3.0])

    def falsify(trainer, record):
        record["test_loss"] = next(losses)

    trainer.run(9, callbacks=[falsify, EarlyStopping(3)])
    assert len(vae.history_) == 5


def test_early_stopping_needs_a_test_split(X):
    with pytest.raises(InputError, match="needs a test split"):
        small().fit(X, epochs=2, callbacks=EarlyStopping(1))


# -------------------------------------------------------------------------- NaN and infinity


def test_a_nan_names_epoch_step_and_first_tensor_and_keeps_what_was_good(X, monkeypatch):
    vae = small().build(9)
    trainer = Trainer(vae, X, batch_size=5)
    from scratchvae import ops

    original, calls, states = ops.reparameterize, [], []

    def breaks_at_step_9(mu, logvar, eps, *, out=None):
        z = original(mu, logvar, eps, out=out)
        calls.append(trainer.step)
        if trainer.step == 8:
            states.append(vae.params_.array.copy())
            z[0, 0] = np.nan
        return z

    monkeypatch.setattr(ops, "reparameterize", breaks_at_step_9)
    with pytest.raises(NonFiniteError, match=r"epoch 2, step 9: z is the first tensor"):
        trainer.run(3)
    np.testing.assert_array_equal(vae.params_.array, states[0])
    assert trainer.step == 8
    assert len(vae.history_) == 1
    assert np.isfinite(vae.params_.array).all()


@pytest.mark.parametrize(
    ("target", "name"),
    [("bce_with_logits_backward", "the gradient out_b"), ("gaussian_kl", "kl")],
)
def test_the_first_tensor_is_found_in_losses_and_gradients(X, monkeypatch, target, name):
    from scratchvae import ops

    original = getattr(ops, target)

    def infinite(*args, **kwargs):
        result = original(*args, **kwargs)
        result[0] = np.inf
        return result

    monkeypatch.setattr(ops, target, infinite)
    with pytest.raises(NonFiniteError, match=f"step 1: {name} is"):
        small().fit(X, epochs=1)


def test_a_step_size_that_is_far_too_large_stops_with_the_parameters_from_before(X):
    vae = small(dtype="float32")
    with pytest.raises(NonFiniteError, match="try a smaller lr"):
        vae.fit(X, epochs=200, lr=1e6)
    assert np.isfinite(vae.params_.array).all()


def test_a_last_step_that_does_harm_is_seen_without_a_test_split(X):
    """The loss of a step is that before its update: nothing else would look at the last one."""
    vae = small(dtype="float32")
    with pytest.raises(NonFiniteError, match="in the evaluation"):
        vae.fit(X, epochs=1, lr=1e30)
    assert np.abs(vae.params_.array).max() < 1, "the parameters from before that step"


def test_settings_are_refused_before_anything_learned_is_lost(X):
    vae = small().fit(X, epochs=1)
    before = vae.params_.array.copy()
    for wrong in ({"lr": 0}, {"epochs": 0}, {"X_test": X[:, :4]}):
        with pytest.raises(InputError):
            vae.fit(X, **wrong)
        np.testing.assert_array_equal(vae.params_.array, before)
    assert len(vae.history_) == 1


def test_a_fitted_model_can_be_trained_further(X):
    vae = small().fit(X, epochs=2)
    Trainer(vae, X, batch_size=8).run(3)
    assert [r["epoch"] for r in vae.history_] == [1, 2, 1, 2, 3]


def test_a_test_loss_that_is_not_finite_names_the_tensor_and_the_example(X):
    vae = small(likelihood="gaussian", dtype="float32")
    bad = X.copy()
    bad[4] = 1e30
    with pytest.raises(NonFiniteError, match="of example 4, in the evaluation"):
        vae.fit(X, X_test=bad, epochs=1)


# -------------------------------------------------------------------- interruption and resuming


def interrupt_at(trainer, step, before=True):
    """Ctrl-C in the middle of an update: half of the parameters have been written."""
    original = trainer.adam.update

    def interrupted(p, *rest):
        if trainer.step == step:
            trainer.adam.update = original
            p[: p.size // 2] += 1
            raise KeyboardInterrupt
        original(p, *rest)

    trainer.adam.update = interrupted


def test_moments_of_a_gradient_that_stays_zero_do_not_linger_among_subnormal_numbers():
    """They would never reach zero: a tenth of the smallest number of all rounds to nothing."""
    g = np.ones(1000, dtype="float32")
    p, adam = np.zeros_like(g), Adam(g)
    adam.step(p, g)
    for _ in range(1500):
        adam.step(p, 0 * g)
    assert (adam.m == 0).all()
    assert (adam.v > 1e-4).all()
    exact = Adam(np.ones(1))
    q = np.zeros(1)
    exact.step(q, np.ones(1))
    for _ in range(1500):
        exact.step(q, np.zeros(1))
    assert 0 < exact.m[0] < 1e-60, "in float64 such numbers are far from the smallest"
    np.testing.assert_allclose(p, q[0], rtol=1e-5)


def test_an_interrupted_update_is_undone(X):
    vae = small().build(9)
    trainer = Trainer(vae, X, batch_size=8)
    before = vae.params_.array.copy()
    interrupt_at(trainer, 2)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(3)
    np.testing.assert_array_equal(vae.params_.array, before)
    assert trainer.step == 0


@pytest.mark.parametrize("stop", [3, CHECK + 5, 2 * CHECK + 3, 160])
def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path, rng, stop):
    X = rng.random((300, 9))
    settings = {"batch_size": 4, "kl_warmup": 2.5, "binarize": "dynamic"}  # 75 steps an epoch
    straight = small().build(9)
    Trainer(straight, X, X, **settings).run(3)

    vae = small().build(9)
    trainer = Trainer(vae, X, X, **settings)
    interrupt_at(trainer, stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(3)
    assert stop - CHECK <= trainer.step <= stop
    numbers, moments = trainer.state()
    vae.save(tmp_path / "run.npz", run=numbers, arrays=moments)

    again, run, arrays = load(tmp_path / "run.npz")
    trainer = Trainer(again, X, X, **settings)
    trainer.resume(run, arrays)
    trainer.run(3)
    np.testing.assert_array_equal(again.params_.array, straight.params_.array)
    for a, b in zip(again.history_, straight.history_, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


@pytest.mark.parametrize("when", ["evaluation", "callback", "keeping"])
def test_ctrl_c_between_steps_keeps_a_run_that_can_go_on(tmp_path, X, when, monkeypatch):
    import scratchvae.train

    straight = small().build(9)
    Trainer(straight, X, X, batch_size=8).run(4)
    vae = small().build(9)
    trainer = Trainer(vae, X, X, batch_size=8)
    calls = []

    def third(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    if when == "evaluation":
        original = scratchvae.train.trainer.losses
        monkeypatch.setattr(
            scratchvae.train.trainer, "losses", lambda *a: (third(), original(*a))[1]
        )
    elif when == "keeping":
        original_arrays = trainer.arrays
        trainer.arrays = lambda: (third(), original_arrays())[1]
    with pytest.raises(KeyboardInterrupt):
        trainer.run(4, callbacks=third if when == "callback" else ())
    trainer.run(4)
    np.testing.assert_array_equal(vae.params_.array, straight.params_.array)
    for a, b in zip(vae.history_, straight.history_, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        (29, lambda arrays: None, "trained on 29 examples, but the data now hold 30"),
        (30, lambda arrays: arrays.pop("adam_v"), "no valid adam_v"),
        (30, lambda arrays: arrays.update(sums=np.zeros(2)), "no valid sums"),
    ],
)
def test_a_run_that_does_not_fit_cannot_be_resumed(X, rows, change, message):
    trainer = Trainer(small().build(9), X)
    arrays = dict(trainer.state()[1])
    change(arrays)
    with pytest.raises(InputError, match=message):
        trainer.resume({"rows": rows, "step": 1}, arrays)


def test_ctrl_c_in_the_middle_of_taking_a_copy(X):
    """A partial snapshot must not be used: the run itself is intact at that moment."""
    straight = small().build(9)
    Trainer(straight, X, batch_size=8).run(3)
    vae = small().build(9)
    trainer = Trainer(vae, X, batch_size=8)

    class Interrupting:
        def __setitem__(self, key, value):
            trainer.snapshot.copies[1] = np.zeros_like(trainer.adam.m)
            raise KeyboardInterrupt

    trainer.snapshot.copies[1] = Interrupting()  # after the parameters, before the moments
    with pytest.raises(KeyboardInterrupt):
        trainer.run(3)
    assert trainer.step == 4
    trainer.run(3)
    np.testing.assert_array_equal(vae.params_.array, straight.params_.array)


def test_ctrl_c_right_after_resuming(X):
    vae = small().build(9)
    trainer = Trainer(vae, X, batch_size=8)
    trainer.run(1)
    numbers, arrays = trainer.state()
    moments = arrays["adam_m"].copy()
    again = Trainer(vae, X, batch_size=8)
    again.resume(numbers, arrays)
    interrupt_at(again, 5)
    with pytest.raises(KeyboardInterrupt):
        again.run(3)
    assert again.step == 4
    np.testing.assert_array_equal(again.adam.m, moments)


def test_more_epochs_continue_the_run(X):
    straight = small().fit(X, epochs=4, batch_size=8)
    vae = small().build(9)
    trainer = Trainer(vae, X, batch_size=8)
    trainer.run(2)
    trainer.run(4)
    np.testing.assert_array_equal(vae.params_.array, straight.params_.array)


# --------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number >= 1"),
        ({"lr": 0}, "lr must be a finite number > 0"),
        ({"lr": float("nan")}, "lr must be a finite number"),
        ({"lr": "fast"}, "lr must be a finite number"),
        ({"kl_warmup": -1}, "kl_warmup must be a finite number >= 0"),
        ({"kl_cycle": float("nan")}, "kl_cycle must be a finite number >= 0"),
        ({"binarize": "sometimes"}, "binarize must be one of none, static, dynamic"),
        ({"X_test": np.zeros((2, 8))}, "X has 8 features, but VAE is expecting 9"),
        ({"X_test": np.zeros((0, 9))}, "no examples"),
    ],
)
def test_unusable_settings(X, settings, message):
    with pytest.raises(InputError, match=message):
        small().fit(X, **settings)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be a whole number >= 1, got 0"),
        ({"latent_dim": 2.5}, "latent_dim must be a whole number"),
        ({"latent_dim": 10**23}, "latent_dim must be a whole number >= 1 and <= 2147483647"),
        ({"hidden": (5, 0)}, "each layer width in hidden"),
        ({"hidden": 400}, r"hidden must be layer widths such as \(400,\), got 400"),
        ({"activation": "gelu"}, "activation must be one of relu, tanh, softplus, got 'gelu'"),
        (
            {"likelihood": "poisson"},
            "likelihood must be one of bernoulli, continuous",
        ),
        ({"beta": -1}, "beta must be a finite number >= 0"),
        ({"beta": float("inf")}, "beta must be a finite number"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64"),
        ({"device": "gpu"}, "unknown device 'gpu': choose one of cpu, cuda"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_unusable_hyper_parameters(X, config, message):
    with pytest.raises(InputError, match=message):
        small(**config).fit(X)


def test_cuda_without_cupy_says_how_to_install_it(X, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(InputError, match=r"pip install 'scratchvae\[cuda12\]'"):
        small(device="cuda").fit(X)


def test_cuda_without_a_gpu_says_so(X, double, monkeypatch):
    monkeypatch.setattr(double, "is_available", lambda: False)
    with pytest.raises(InputError, match="needs an NVIDIA GPU with a working driver"):
        small(device="cuda").fit(X)


@pytest.mark.parametrize("likelihood", ["gaussian", "continuous_bernoulli"])
def test_binary_pixels_are_bernoulli(X, likelihood):
    with pytest.raises(InputError, match=f"needs likelihood='bernoulli', not '{likelihood}'"):
        small(likelihood=likelihood).fit(X, binarize="static")


def test_no_examples():
    with pytest.raises(InputError, match="no examples"):
        small().fit(np.zeros((0, 9)))
