"""All devices give the same numbers, and a training step never synchronises."""

import numpy as np
import pytest
from support.op_calls import call, cast

from scratchvae import VAE, Autoencoder
from scratchvae.backend import noise
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import draw_inputs
from scratchvae.train import Trainer
from scratchvae.train.trainer import CHECK


def on(xp, inputs):
    return {name: xp.asarray(a) for name, a in inputs.items()}


def host(a):
    return a if isinstance(a, np.ndarray) else a.get()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPS)
def test_every_op_gives_numpys_numbers_on_every_device(xp, name, dtype):
    inputs = cast(draw_inputs(name), dtype)
    y, grads = call(OPS[name], inputs)
    dy = np.random.default_rng(5).standard_normal(y.shape).astype(dtype)
    y2, grads2 = call(OPS[name], on(xp, inputs), xp.asarray(dy))
    for a, b in zip((y, *grads), (y2, *grads2), strict=True):
        assert isinstance(b, xp.ndarray)
        assert b.dtype == np.dtype(dtype)
        tolerance = {"float32": 2e-6, "float64": 1e-14}[dtype]
        np.testing.assert_allclose(host(b), a, rtol=tolerance, atol=tolerance)


def test_noise_is_the_same_on_every_device(xp):
    key = {"seed": 2**63 + 5, "stream": noise.TRAIN, "step": 70_000, "row": 123}
    np.testing.assert_array_equal(host(noise.bits(5, 7, **key, xp=xp)), noise.bits(5, 7, **key))
    u, n = noise.uniform(5, 7, **key, xp=xp), noise.normal(5, 7, **key, xp=xp)
    np.testing.assert_array_equal(host(u), noise.uniform(5, 7, **key))
    np.testing.assert_allclose(host(n), noise.normal(5, 7, **key), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (VAE, {}),
        (VAE, {"likelihood": "gaussian", "activation": "tanh", "scale": "bytes"}),
        (VAE, {"hidden": (6, 5), "activation": "softplus"}),
        (Autoencoder, {}),
    ],
)
@pytest.mark.parametrize("binarize", ["none", "dynamic"])
def test_training_is_the_same_on_every_device(xp, cls, config, binarize, rng):
    if config.get("likelihood") == "gaussian":
        binarize = "none"
    config = {"latent_dim": 3, "hidden": (7,), "dtype": "float64", **config}
    X = (rng.random((30, 9)) * 255).astype(np.uint8)
    device = "cpu" if xp is np else "cuda"
    models = [
        cls(**config, device=d).fit(X, X_test=X, epochs=2, batch_size=8, binarize=binarize)
        for d in ("cpu", device)
    ]
    a, b = (host(model.params_.array) for model in models)
    np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)
    for first, second in zip(*(model.history_ for model in models), strict=True):
        assert first["test_loss"] == pytest.approx(second["test_loss"], rel=1e-9)
    for method in ("reconstruct", "score_samples"):
        a, b = (getattr(model, method)(X) for model in models)
        assert isinstance(b, np.ndarray)
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(models[1].sample(3), models[0].sample(3), rtol=1e-9)
    state = models[1].state_dict()
    assert all(isinstance(a, np.ndarray) for a in state.values())
    twin = cls(**config, device=device).load_state_dict(state)
    np.testing.assert_array_equal(host(twin.params_.array), host(models[1].params_.array))


def test_checkpoints_move_between_devices(xp, tmp_path, rng):
    from scratchvae import load_model

    vae = VAE(latent_dim=2, hidden=(5,), device="cpu" if xp is np else "cuda").fit(
        rng.random((20, 9)), epochs=1
    )
    vae.save(tmp_path / "m.npz")
    moved = load_model(tmp_path / "m.npz", device="cpu")
    np.testing.assert_array_equal(moved.params_.array, host(vae.params_.array))


def test_nothing_waits_for_the_device_inside_a_step(double, rng):
    vae = VAE(latent_dim=3, hidden=(7,), device="cuda").build(9)
    trainer = Trainer(vae, rng.random((40, 9)), batch_size=8, binarize="dynamic")
    rows = double.asarray(np.arange(8))
    double.counts.clear()
    for _ in range(5):
        trainer.take_step(rows)
    assert double.counts == {}, "no value read by the host, none sent to the device"


def test_an_epoch_waits_once_each_interval_and_once_for_the_evaluation(double, rng):
    steps = 2 * CHECK + 7
    X = rng.random((4 * steps, 9))
    vae = VAE(latent_dim=3, hidden=(7,), device="cuda").build(9)
    trainer = Trainer(vae, X, X, batch_size=4)
    double.counts.clear()
    trainer.run(1)
    assert trainer.step == steps
    # three looks at the losses, the sums of the epoch, the evaluation; the order goes up
    assert double.counts["sync"] <= 5
    assert double.counts["upload"] == 1


def test_the_double_refuses_what_cupy_refuses(double):
    a = double.asarray(np.ones(3))
    for wrong in (
        lambda: np.exp(a),
        lambda: np.ones(3) + a,
        lambda: a + np.ones(3),
        lambda: a * np.float64(2),
        lambda: np.asarray(a),
        lambda: double.exp(np.ones(3)),
        lambda: double.add(a, [1, 2, 3]),
        lambda: double.exp(a, out=np.ones(3)),
        lambda: a[np.array([0, 1])],
        lambda: list(a),
    ):
        with pytest.raises(TypeError):
            wrong()
    double.counts.clear()
    assert float(a.sum()) == 3
    assert bool(a[0] == 1)
    assert len(a.get()) == 3
    assert double.counts["sync"] == 3


def test_a_stray_numpy_call_in_an_op_fails_on_the_double(double):
    def stray(x):
        return np.maximum(x, 0)

    with pytest.raises(TypeError):
        stray(double.asarray(np.ones((2, 2))))
