"""Family 2: the checks must fail when a gradient is wrong, as it was in real projects."""

import inspect

import numpy as np
import pytest
from test_gradients import check_shipped_step

from scratchvae import VAE, ops
from scratchvae.gradcheck import GradientError, check, check_model, draw_inputs
from scratchvae.models import vae as vae_module
from scratchvae.registry import OPS
from scratchvae.train import Trainer

MUTANTS = {
    "scaled by 1.0001": lambda g: g * 1.0001,
    "zeroed": lambda g: g * 0,
    "negated": lambda g: -g,
    "mean for sum": lambda g: g / 4,
    "one entry wrong": lambda g: (
        g + 1e-3 * np.abs(g).max() * (np.arange(g.size) == 0).reshape(g.shape)
    ),
    "NaN in one entry": lambda g: np.where((np.arange(g.size) == 0).reshape(g.shape), np.nan, g),
    "rolled": lambda g: np.roll(g, 1, axis=0) if len(g) > 1 else g + 1,
    "transposed": lambda g: g.T,
}


def mutated(op, gradient, mutant):
    """The op's backward with one of its gradients changed."""

    def backward(*args, **kwargs):
        out = op.backward(*args, **kwargs)
        grads = dict(zip(op.gradients, out if isinstance(out, tuple) else (out,), strict=True))
        grads[gradient] = mutant(grads[gradient])
        return grads

    backward.__signature__ = inspect.signature(op.backward)
    return backward


CASES = [
    (name, gradient, mutant)
    for name, op in OPS.items()
    for gradient in op.gradients
    for mutant in MUTANTS
    if mutant != "transposed" or len(op.inputs[gradient].split()[0]) == 2
]


@pytest.mark.parametrize(("name", "gradient", "mutant"), CASES)
def test_a_wrong_gradient_of_an_op_fails(name, gradient, mutant):
    op = OPS[name]
    # square where transposed, so that it fits and only its values are wrong
    sizes = dict.fromkeys("BIODHZCK", 4) if mutant == "transposed" else {}
    inputs = draw_inputs(name, sizes=sizes)
    right = check(op.forward, op.backward, inputs, wrt=op.gradients)
    wrong = check(op.forward, mutated(op, gradient, MUTANTS[mutant]), inputs, wrt=op.gradients)
    assert right.verdict == "PASS", right
    assert wrong.verdict == "FAIL", wrong
    assert [leaf.name for leaf in wrong.leaves if leaf.verdict == "FAIL"] == [gradient]
    with pytest.raises(GradientError, match=rf"d{gradient} +FAIL"):
        wrong.raise_if_failed()


# ----------------------------------------------------- mutants of the VAE, through its shipped step


def small_vae(**config):
    config = {"latent_dim": 3, "hidden": (7,), "dtype": "float64", "seed": 1} | config
    return VAE(**config).build(9)


def step_fails(trainer):
    with pytest.raises(AssertionError, match="FAIL"):
        check_shipped_step(trainer, np.arange(4))


def test_noise_redrawn_between_forward_and_backward(monkeypatch, rng):
    trainer = Trainer(small_vae(), rng.random((8, 9)), batch_size=4)
    original = vae_module.backward

    def redrawn(p, g, acts, *rest):
        acts.eps = rng.standard_normal(acts.eps.shape)
        original(p, g, acts, *rest)

    monkeypatch.setattr(vae_module, "backward", redrawn)
    step_fails(trainer)


def test_leftover_gradient_of_the_decoder_reused_in_the_encoder(monkeypatch, rng):
    trainer = Trainer(small_vae(), rng.random((8, 9)), batch_size=4)
    original = vae_module.encode_backward

    def reused(p, g, dhead, enc, ws, activation):
        original(p, g, dhead, enc, ws, activation)
        vae_module.mlp_backward(p, g, "enc", enc, ws("ddec", *enc[-1].shape), activation, ws)

    monkeypatch.setattr(vae_module, "encode_backward", reused)
    step_fails(trainer)


def test_stale_weights_pass_at_initialisation_and_fail_after_steps(monkeypatch, rng):
    vae = small_vae()
    trainer = Trainer(vae, rng.random((8, 9)), batch_size=4, lr=0.05)
    original, stale = vae_module.backward, vae.params_.like(np)
    stale.array[...] = vae.params_.array
    monkeypatch.setattr(vae_module, "backward", lambda p, *rest: original(stale, *rest))
    check_shipped_step(trainer, np.arange(4))
    for _ in range(3):
        trainer.take_step(np.arange(4))
    step_fails(trainer)


def test_reduction_mismatch(monkeypatch, rng):
    trainer = Trainer(small_vae(), rng.random((8, 9)), batch_size=4)
    original = vae_module.reconstruction_backward

    def without_mean(p, g, drec, *rest):
        return original(p, g, drec * len(drec), *rest)

    monkeypatch.setattr(vae_module, "reconstruction_backward", without_mean)
    step_fails(trainer)


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
def test_missing_activation_derivative(monkeypatch, rng, activation):
    trainer = Trainer(small_vae(activation=activation), rng.random((8, 9)), batch_size=4)
    forward, _ = vae_module.mlp.__globals__["ACTIVATIONS"][activation]
    monkeypatch.setitem(
        vae_module.mlp.__globals__["ACTIVATIONS"], activation, (forward, lambda dy, y, *, dx: dy)
    )
    step_fails(trainer)


def test_sign_of_the_kl(monkeypatch, rng):
    trainer = Trainer(small_vae(), rng.random((8, 9)), batch_size=4)
    original = ops.gaussian_kl_backward
    monkeypatch.setattr(ops, "gaussian_kl_backward", lambda dy, *a, **k: original(-dy, *a, **k))
    step_fails(trainer)


def test_kl_forgotten_in_backward(monkeypatch, rng):
    trainer = Trainer(small_vae(), rng.random((8, 9)), batch_size=4)
    original = ops.gaussian_kl_backward
    monkeypatch.setattr(ops, "gaussian_kl_backward", lambda dy, *a, **k: original(0 * dy, *a, **k))
    step_fails(trainer)


def test_a_gradient_that_is_not_written_at_all(monkeypatch, rng):
    trainer = Trainer(small_vae(), rng.random((8, 9)), batch_size=4)
    monkeypatch.setattr(vae_module, "encode_backward", lambda *args: None)
    step_fails(trainer)


def test_a_public_loss_and_grad_with_a_wrong_gradient_fails(monkeypatch, tiny):
    vae, x, eps = tiny
    original = ops.reparameterize_backward

    def without_half(dy, logvar, eps, *, dmu=None, dlogvar=None):
        dmu, dlogvar = original(dy, logvar, eps, dmu=dmu, dlogvar=dlogvar)
        dlogvar *= 2
        return dmu, dlogvar

    monkeypatch.setattr(ops, "reparameterize_backward", without_half)
    report = check_model(vae, x, eps)
    assert report.verdict == "FAIL"
    failed = {leaf.name for leaf in report.leaves if leaf.verdict == "FAIL"}
    assert failed == {"enc0_W", "enc0_b", "head_W", "head_b"}
