"""`detect_anomaly`: it names the op, and restores everything."""

import cProfile
import pstats
import subprocess
import sys
import threading

import numpy as np
import pytest
from support.op_calls import call

from scratchvae import (
    IWAE,
    VAE,
    Autoencoder,
    ConditionalVAE,
    NonFiniteError,
    SemiSupervisedVAE,
    nets,
    ops,
)
from scratchvae.backend import to_numpy
from scratchvae.backend.registry import OPS, SKIP, Op
from scratchvae.gradcheck import draw_inputs
from scratchvae.train import Trainer
from scratchvae.train.nonfinite import detect_anomaly

MODELS = {
    "vae": lambda **more: VAE(3, (6, 5), **more),
    "gaussian": lambda **more: VAE(3, (6,), activation="tanh", likelihood="gaussian", **more),
    "free bits": lambda **more: VAE(
        3, (6,), activation="softplus", likelihood="continuous_bernoulli", free_bits=0.1, **more
    ),
    "autoencoder": lambda **more: Autoencoder(3, (6,), **more),
    "iwae": lambda **more: IWAE(3, (6,), k=2, **more),
    "dreg": lambda **more: IWAE(3, (6,), k=2, dreg=True, **more),
    "cvae": lambda **more: ConditionalVAE(3, (6,), **more),
    "m2": lambda **more: SemiSupervisedVAE(3, (6, 5), **more),
}
LABELS = np.array([0, 1, 2, 0, 1, 1])


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def batch(model, rng):
    """Built, with the arguments of `loss_and_grad`."""
    model.build(7, *([3] if hasattr(model, "_one_hot") else []))
    return rng.random((6, 7)), rng.standard_normal((6, model.noise_width)), LABELS


# ------------------------------------------------------------------------------------- one op


@pytest.mark.parametrize("name", OPS)
def test_a_bad_entry_of_any_input_is_reported_by_the_op_that_it_spoils(name, xp):
    inputs = draw_inputs(name)
    for bad in inputs:
        for value in (np.nan, np.inf):
            spoilt = {k: a.copy() for k, a in inputs.items()}
            spoilt[bad].flat[-1] = value
            with np.errstate(all="ignore"):
                if np.isfinite(OPS[name].forward(**spoilt)).all():
                    assert value == np.inf  # tanh(inf) is 1; what made the inf is reported
                    continue
            with detect_anomaly():
                f = OPS[name].forward
                with pytest.raises(
                    NonFiniteError, match=f"^{name}: y .* {bad} already not finite"
                ) as error:
                    f(**{k: xp.asarray(a) for k, a in spoilt.items()})
            assert f"{bad} {inputs[bad].shape} float64 with 1 of {inputs[bad].size} entries" in str(
                error.value
            )


@pytest.mark.parametrize("name", OPS)
def test_a_bad_upstream_gradient_is_reported_by_the_backward_that_it_spoils(name, xp):
    inputs = draw_inputs(name)
    dy = np.ones(OPS[name].forward(**inputs).shape)
    dy.flat[-1] = np.inf
    with (
        detect_anomaly(),
        pytest.raises(NonFiniteError, match=f"^{name}_backward: d.* dy already not finite"),
    ):
        call(OPS[name], {k: xp.asarray(a) for k, a in inputs.items()}, xp.asarray(dy))


def test_every_op_gives_the_same_bits_and_takes_the_same_arguments():
    for name, op in OPS.items():
        inputs = draw_inputs(name)
        y, gradients = call(op, inputs)
        skipped = {f"d{name}": SKIP for name in op.gradients}
        with detect_anomaly():
            again, same = call(op, inputs)
            if len(op.gradients) > 1:  # else it would be called for nothing
                assert call(op, inputs, **skipped)[1] == (None,) * len(op.gradients)
        np.testing.assert_array_equal(again, y)
        for a, b in zip(same, gradients, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_message_says_what_how_many_and_where():
    x, W = np.ones((2, 3), dtype=np.float32), np.ones((3, 2), dtype=np.float32)
    W[1, 1] = np.inf
    with detect_anomaly(), pytest.raises(NonFiniteError) as error:
        ops.linear(x, W, np.array([4, 5], dtype=np.float32))
    assert str(error.value) == (
        "linear: y (2, 2) float32 with 2 of 4 entries not finite, the first inf at [0, 1], the "
        "others in [7, 7]; from x (2, 3) float32 in [1, 1], W (3, 2) float32 with 1 of 6 entries "
        "not finite, the first inf at [1, 1], the others in [1, 1], b (2,) float32 in [4, 5]. The "
        "cause is before this op: W already not finite"
    )


def test_of_several_gradients_the_bad_one_is_named():
    x, dy = np.full((1, 2), np.inf), np.ones((1, 2))
    with detect_anomaly(), pytest.raises(NonFiniteError, match=r"^linear_backward: dW \(2, 2\)"):
        ops.linear_backward(dy, x, np.ones((2, 2)))


def test_an_input_that_the_op_overwrites_is_shown_as_it_was(xp):
    a = xp.asarray(np.array([[0.0, 1.0, np.nan]]))
    with detect_anomaly(), pytest.raises(NonFiniteError, match=r"from x \(1, 3\).* in \[0, 1\]"):
        ops.sigmoid(a, out=a)
    a = np.array([[0.0, 1.0, np.nan]])
    with detect_anomaly(), pytest.raises(NonFiniteError, match=r"from x \(1, 3\).* in \[0, 1\]"):
        ops.sigmoid(a, out=a[:])  # another view of the same memory


def test_the_plain_causes_are_named(xp):
    zero = xp.zeros((2, 3), dtype="float32")
    with (
        detect_anomaly(),
        pytest.raises(NonFiniteError, match=r"exp\(88\.7\) is the largest float32: .*logvar"),
    ):
        ops.gaussian_kl(zero, zero + 89)
    with (
        detect_anomaly(),
        pytest.raises(NonFiniteError, match=r"1\.8e\+19 squared is .* float32: check x"),
    ):
        ops.squared_error(zero + 1e20, zero)
    with (
        detect_anomaly(),
        pytest.raises(NonFiniteError, match=r"exp\(709\.8\) is the largest float64"),
    ):
        ops.gaussian_kl(zero.astype("float64"), zero.astype("float64") + 710)


def halve(x, *, out=None):
    return np.multiply(x, 0.5, out=out)


def halve_backward(dy, *, dx=None):
    return np.multiply(dy, 0.5, out=dx)


def test_an_op_that_is_registered_elsewhere_is_watched_too(monkeypatch):
    monkeypatch.setitem(OPS, "halve", Op("halve", halve, halve_backward, {"x": "BH"}))
    with detect_anomaly(), pytest.raises(NonFiniteError, match=r"^halve: y"):
        halve(np.full((1, 1), np.inf))


def test_an_empty_batch_has_nothing_bad():
    with detect_anomaly():
        assert len(ops.gaussian_kl(np.empty((0, 2)), np.empty((0, 2)))) == 0


# ------------------------------------------------------------------------------------ a model


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_step_with_a_bad_weight_names_the_first_op_that_has_it(model, rng, bad):
    model = model()
    x, eps, y = batch(model, rng)
    for name in model.params_:
        model.build(7, *([3] if hasattr(model, "_one_hot") else []))
        model.params_[name].flat[0] = bad
        first = "linear_each_class" if name.startswith("first") else "linear"
        first = "gaussian_nll" if name == "x_logvar" else first
        with (
            detect_anomaly(),
            pytest.raises(NonFiniteError, match=f"^{first}: y .* already not finite") as error,
        ):
            model.loss_and_grad(x, eps, y)
        assert str(error.value).count(" float32 with 1 of ") == 1


def test_an_overflow_is_named_where_it_happens(rng):
    vae = VAE(3, (6,))
    x, eps, _ = batch(vae, rng)
    vae.params_.head_b[3:] = 200
    with (
        detect_anomaly(),
        pytest.raises(NonFiniteError, match=r"^reparameterize: y .*: check logvar"),
    ):
        vae.loss_and_grad(x, eps)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_training_gives_the_same_bits(model, device, rng, double):
    def trained(watched):
        X, y = np.random.default_rng(3).random((20, 7)), np.arange(20) % 3
        learner = model(device=device).build_from(X, y)
        trainer = Trainer(learner, X, X[:5], y=y, y_test=y[:5], batch_size=6, cuda_graphs=False)
        if watched:
            with detect_anomaly():
                trainer.run(2)
        else:
            trainer.run(2)
        return to_numpy(learner.params_.array)

    np.testing.assert_array_equal(trained(True), trained(False))


def test_an_infinity_that_an_op_is_made_for_is_no_fault(rng):
    m2 = SemiSupervisedVAE(3, (6,))
    x, _, y = batch(m2, rng)
    with detect_anomaly():  # a label that is not the row's has the log weight -inf
        assert np.isfinite(m2.score_samples(x, k=2, y=y)).all()


# ------------------------------------------------------------------------------ it leaves no trace


def test_no_function_is_replaced():
    before = ops.relu, OPS["relu"], nets.ACTIVATIONS["relu"]
    with detect_anomaly():
        assert (ops.relu, OPS["relu"], nets.ACTIVATIONS["relu"]) == before


def test_it_ends_with_its_context_even_after_an_error():
    bad = np.full((1, 1), np.nan)
    with detect_anomaly():
        pass
    assert np.isnan(ops.relu(bad)).all()
    with pytest.raises(NonFiniteError), detect_anomaly():
        ops.relu(bad)
    assert np.isnan(ops.relu(bad)).all()


def test_one_within_another_ends_both():
    bad = np.full((1, 1), np.nan)
    with detect_anomaly():
        with detect_anomaly():
            pass
        with pytest.raises(NonFiniteError):
            ops.relu(bad)
    assert np.isnan(ops.relu(bad)).all()


def test_a_profiler_goes_on_afterwards():
    calls = []

    def profiler(frame, event, arg):
        calls.append(frame.f_code.co_name)

    sys.setprofile(profiler)
    try:
        with detect_anomaly():
            ops.tanh(np.zeros((1, 1)))
        assert sys.getprofile() is profiler
        ops.softplus(np.zeros((1, 1)))
    finally:
        sys.setprofile(None)
    assert "softplus" in calls
    assert "tanh" not in calls


def test_models_that_are_first_imported_within_it_are_checked():
    code = """if True:
        import scratchvae, numpy as np
        from scratchvae.train.nonfinite import detect_anomaly
        with detect_anomaly():
            vae = scratchvae.VAE(latent_dim=2, hidden=(3,)).build(9)
            vae.params_.array[:] = np.nan
            try:
                vae.loss_and_grad(np.zeros((4, 9)), np.zeros((4, 2)))
            except scratchvae.NonFiniteError as error:
                print(str(error).split(":")[0])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "linear\n"


def test_threads_that_are_started_within_it_are_checked_and_no_longer():
    found, bad = [], np.full((1, 1), np.nan)

    def look():
        try:
            ops.relu(bad)
        except NonFiniteError as error:
            found.append(str(error).split(":")[0])

    with detect_anomaly():
        (thread := threading.Thread(target=look)).start()
        thread.join()
    assert found == ["relu"]
    (thread := threading.Thread(target=look)).start()
    thread.join()
    assert found == ["relu"]


def test_a_thread_that_outlives_the_context_is_no_longer_checked():
    found, ended = [], threading.Event()

    def look():
        ended.wait()
        found.append(ops.relu(np.full((1, 1), np.nan)))

    with detect_anomaly():
        (thread := threading.Thread(target=look)).start()
    ended.set()
    thread.join()
    assert np.isnan(found[0]).all()


def test_only_an_op_may_overflow_in_silence():
    with np.errstate(all="raise"), detect_anomaly():
        ops.sigmoid(np.full((1, 1), -1e3))
        ops.relu(np.full((1, 1), 1e-310) * 1)
        with pytest.raises(FloatingPointError):
            np.ones(1) / np.zeros(1)


def test_it_works_beside_cprofile():
    """Its object cannot be given back to `sys.setprofile`."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        with detect_anomaly():
            ops.tanh(np.zeros((1, 1)))
        ops.softplus(np.zeros((1, 1)))
    finally:
        profile.disable()
    names = {name for _, _, name in pstats.Stats(profile).stats}
    assert "softplus" in names
