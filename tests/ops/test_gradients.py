"""Family 1: every gradient against finite differences, in float64, entry by entry."""

import dataclasses

import numpy as np
import pytest
from support.finite_differences import LIMIT, compare_op
from support.shipped_step import check_shipped_step, poison

from scratchvae import ops
from scratchvae.backend import noise
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import check_model, check_op, draw_inputs
from scratchvae.train import Trainer
from scratchvae.verify import table as verify

SEEDS = range(3)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_op(name, seed):
    for compared in compare_op(OPS[name], draw_inputs(name, seed), seed):
        assert compared.relative <= LIMIT, str(compared)
    report = check_op(name, seed=seed)
    assert report.verdict == "PASS", report
    assert [leaf.name for leaf in report.leaves] == OPS[name].gradients
    assert report.resolution < 1e-8


@pytest.mark.parametrize("name", verify.SUBJECTS)
def test_the_shipped_step_at_initialisation_and_after_steps(name, rng):
    model, _, _, y = verify.subject(name, seed=5)
    y = None if y is None else np.tile(y, 5)
    trainer = Trainer(model, rng.random((20, 9)), y=y, batch_size=4, lr=0.01)
    check_shipped_step(trainer, np.arange(4))
    for i in range(15):
        trainer.take_step(np.arange(4) + i % 5 * 4)
    check_shipped_step(trainer, np.arange(8, 12))


def test_kl_warmup_weights_the_gradient_of_the_step(tiny, rng):
    """Two steps of the four of an epoch are half an epoch: a sixteenth of eight."""
    vae, x, _ = tiny
    vae.beta = 4.0
    trainer = Trainer(vae, np.repeat(x, 4, axis=0), batch_size=4, kl_warmup=8)
    for _ in range(2):
        trainer.take_step(np.arange(4))
    eps = noise.normal(4, 3, seed=vae.seed, stream=noise.TRAIN, step=2, dtype="float64")
    before = vae.params_.array.copy()
    _, grads = trainer.take_step(np.arange(4))
    used = grads.array.copy()
    vae.params_.array[...] = before
    vae.beta = 4.0 / 16
    vae.loss_and_grad(np.repeat(x, 4, axis=0)[:4], eps)
    np.testing.assert_array_equal(vae.gradients.array, used)


def test_a_step_through_poisoned_buffers_gives_the_same_bits(tiny):
    vae, x, eps = tiny
    loss, grads = vae.loss_and_grad(x, eps)
    poison(vae)
    again, grads_again = vae.loss_and_grad(x, eps)
    assert loss == again
    for name in grads:
        np.testing.assert_array_equal(grads[name], grads_again[name])


def test_check_model_leaves_the_model_as_it_was(tiny):
    vae, x, eps = tiny
    before = vae.params_.array.copy()
    report = check_model(vae, x, eps)
    assert report.verdict == "PASS"
    np.testing.assert_array_equal(vae.params_.array, before)


def test_relu_kinks_are_far_from_the_points_that_are_checked(rng):
    """Differences across a kink would measure nothing: the nearest is far out of reach."""
    cls, config = verify.SUBJECTS["vae"]
    vae = cls(**config, dtype="float64", seed=0).build(9)
    x = noise.uniform(20, 9, seed=0, stream=noise.SAMPLE, dtype="float64")[:4]
    eps = noise.normal(4, 3, seed=0, stream=noise.SAMPLE, dtype="float64")
    acts = dataclasses.asdict(vae.forward(x, eps))
    p = vae.params_
    for before in (
        ops.linear(acts["x"], p.enc0_W, p.enc0_b),
        ops.linear(acts["z"], p.dec0_W, p.dec0_b),
    ):
        assert np.abs(before).min() > 10 * 2e-4
