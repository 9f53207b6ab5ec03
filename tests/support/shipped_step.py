"""The gradients that a training step really uses, against finite differences."""

import numpy as np
from support.finite_differences import LIMIT, compare

from scratchvae.backend import noise
from scratchvae.verify.model import surrogate


def poison(model):
    """NaN in everything that a step should overwrite: a forgotten gradient then shows."""
    model.gradients.array[...] = np.nan
    for buffer in model.workspace.buffers.values():
        buffer[...] = np.nan


def check_shipped_step(trainer, rows):
    """The gradient that one step of the training loop used, against differences of the loss."""
    model = trainer.model
    p, step = model.params_.array, trainer.step
    before = p.copy()
    eps = model.draw_noise(len(rows), seed=model.seed, stream=noise.TRAIN, step=step)
    poison(model)
    _, grads = trainer.take_step(rows)
    after, used = p.copy(), {name: g.copy() for name, g in grads.items()}
    assert (after != before).any()
    p[...] = before
    x = trainer.X[rows]
    loss = surrogate(model, x, eps) if getattr(model, "dreg", False) else None
    for name, tensor in model.params_.items():
        leaf = compare(
            name, loss or (lambda: model.mean_loss(model.forward(x, eps))), tensor, used[name]
        )
        assert leaf.relative <= LIMIT, str(leaf)
    p[...] = after
