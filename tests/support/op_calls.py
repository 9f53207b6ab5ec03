"""Calls an op, forward and backward, with inputs by name."""

import numpy as np

from scratchvae.backend.registry import positional


def call(op, inputs, dy=None, **destinations):
    """y, and the gradients as a tuple, of an op at these inputs."""
    y = op.forward(**inputs)
    if dy is None:
        dy = np.random.default_rng(5).standard_normal(y.shape).astype(y.dtype)
    needs = [name for name in positional(op.backward) if name != "dy"]
    grads = op.backward(dy, *(y if n == "y" else inputs[n] for n in needs), **destinations)
    return y, grads if isinstance(grads, tuple) else (grads,)


def cast(inputs, dtype):
    return {name: a.astype(dtype) for name, a in inputs.items()}
