# mypy: disallow-untyped-defs=false
"""Gradients that are not the loss's: differences see them, some only after steps of training."""

from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np

from ... import nets, ops
from ...backend import noise
from ...models import losses as likelihoods
from ...models import vae
from .switch import bug


@bug
def noise_redrawn_in_backward():
    right, calls = vae.backward, count()

    def backward(p, g, acts, *rest):
        key = {"seed": 1, "stream": noise.TRAIN, "step": next(calls)}
        acts.eps = noise.normal(*acts.eps.shape, **key, dtype=acts.eps.dtype)
        right(p, g, acts, *rest)

    return patch.object(vae, "backward", backward)


@bug
def leftover_gradient_of_the_decoder_in_the_encoder():
    right = vae.encode_backward

    def encode_backward(p, g, dhead, enc, ws, activation):
        right(p, g, dhead, enc, ws, activation)
        leftover = ws("ddec", *enc[-1].shape)  # the widths are mirrored, so it fits
        nets.mlp_backward(p, g, "enc", enc, leftover, activation, ws)

    return patch.object(vae, "encode_backward", encode_backward)


@bug
def weights_from_before_training_in_backward():
    right = vae.backward
    stale: list[Any] = []

    def backward(p, *rest):
        if not stale:
            stale.append(p.like(np))
            stale[0].array[...] = p.array
        right(stale[0], *rest)

    return patch.object(vae, "backward", backward)


@bug
def sum_over_the_batch_in_backward():
    right = likelihoods.reconstruction_backward
    return patch.object(
        vae, "reconstruction_backward", lambda p, g, drec, *a: right(p, g, drec * len(drec), *a)
    )


@bug
def sum_over_the_pixels_too_many_in_backward():
    right = likelihoods.reconstruction_backward
    return patch.object(
        vae,
        "reconstruction_backward",
        lambda p, g, drec, y, *a: right(p, g, drec * y.shape[1], y, *a),
    )


@bug
def derivative_of_the_activation_forgotten():
    return patch.dict(nets.ACTIVATIONS, relu=(ops.relu, lambda dy, y, *, dx: dy))


@bug
def derivative_of_a_sigmoid_too_many():
    right = ops.bce_with_logits_backward

    def bce_with_logits_backward(dy, logits, t, *, dlogits=None):
        dlogits = right(dy, logits, t, dlogits=dlogits)
        dlogits *= ops.sigmoid_backward(1, ops.sigmoid(logits))
        return dlogits

    return patch.object(ops, "bce_with_logits_backward", bce_with_logits_backward)


@bug
def activation_in_backward_only():
    return patch.dict(nets.ACTIVATIONS, relu=(lambda x, *, out: x, ops.relu_backward))


@bug
def sign_of_the_kl_in_backward():
    return _kl_backward(lambda dmu, dlogvar: (-dmu, -dlogvar))


@bug
def sign_of_the_kl_by_mu_in_backward():
    return _kl_backward(lambda dmu, dlogvar: (-dmu, dlogvar))


@bug
def kl_forgotten_in_backward():
    return _kl_backward(lambda dmu, dlogvar: (0 * dmu, 0 * dlogvar))


def _kl_backward(change):
    right = ops.gaussian_kl_backward

    def gaussian_kl_backward(dy, mu, logvar, *, dmu=None, dlogvar=None):
        dmu, dlogvar = right(dy, mu, logvar, dmu=dmu, dlogvar=dlogvar)
        return change(dmu, dlogvar)

    return patch.object(ops, "gaussian_kl_backward", gaussian_kl_backward)


@bug
def mu_and_logvar_exchanged_in_backward():
    right = ops.reparameterize_backward

    def reparameterize_backward(dy, logvar, eps, *, dmu, dlogvar):
        return right(dy, logvar, eps, dmu=dlogvar, dlogvar=dmu)

    return patch.object(ops, "reparameterize_backward", reparameterize_backward)


@bug
def no_gradient_for_the_encoder():
    return patch.object(vae, "encode_backward", lambda *args: None)


@bug
def gradients_add_up_from_step_to_step():
    right = vae.backward

    def backward(p, g, *rest):
        before = g.array.copy()
        right(p, g, *rest)
        g.array += before

    return patch.object(vae, "backward", backward)


@bug
def beta_in_the_loss_only():
    right = vae.backward
    return patch.object(
        vae, "backward", lambda p, g, acts, ws, beta, *rest: right(p, g, acts, ws, 1.0, *rest)
    )


@bug
def division_by_a_saturated_probability():
    def bce_with_logits_backward(dy, logits, t, *, dlogits=None):
        p = ops.sigmoid(logits)
        with np.errstate(all="ignore"):
            slope = (p - t) / (p * (1 - p))
            return np.multiply(dy[:, None], slope * (p * (1 - p)), out=dlogits)

    return patch.object(ops, "bce_with_logits_backward", bce_with_logits_backward)
