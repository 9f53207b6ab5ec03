# mypy: disallow-untyped-defs=false
"""Bugs of real VAEs, each as a switch on this one: the checks are expected to fail while it is on.

    with BUGS["noise redrawn in backward"]():
        report = check_model(vae, x, eps)

Each bug replaces functions of this package while the context lasts. `scratchvae verify --teeth`
runs the checks with every one; `examples/wrong_gradient.py` shows the images of such a VAE.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np

from .. import nets, ops
from ..backend import noise
from ..models import (
    bounds,  # calls streaming_log_mean_exp
    vae,
)
from ..models.model import Model
from ..train import trainer as training  # calls ramp
from ..train.optim import Adam
from ..train.trainer import Trainer

BUGS: dict[str, Callable[[], AbstractContextManager]] = {}


def bug(switch):
    """Enter a function that returns a context manager; its name is the name of the bug."""
    BUGS[switch.__name__.replace("_", " ")] = switch
    return switch


def bug_in(owner, name):
    """Enter a replacement for `owner.name`; its first argument is the correct function."""

    def enter(replacement):
        def switch():
            right = getattr(owner, name)
            return patch.object(owner, name, lambda *a, **named: replacement(right, *a, **named))

        switch.__name__ = replacement.__name__
        return bug(switch)

    return enter


# Wrong gradients of the right loss. Differences find them, some only after steps of training.


@bug
def noise_redrawn_in_backward():
    right, calls = vae.backward, count()

    def backward(p, g, acts, *rest):
        key = {"seed": 1, "stream": noise.TRAIN, "step": next(calls)}
        acts.eps = noise.normal(*acts.eps.shape, **key, dtype=acts.eps.dtype)
        right(p, g, acts, *rest)

    return patch.object(vae, "backward", backward)


@bug_in(vae, "encode_backward")
def leftover_gradient_of_the_decoder_in_the_encoder(right, p, g, dhead, enc, ws, activation):
    right(p, g, dhead, enc, ws, activation)
    leftover = ws("ddec", *enc[-1].shape)  # the widths are mirrored, so it fits
    nets.mlp_backward(p, g, "enc", enc, leftover, activation, ws)


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


@bug_in(vae, "reconstruction_backward")
def sum_over_the_batch_in_backward(right, p, g, drec, *rest):
    return right(p, g, drec * len(drec), *rest)


@bug_in(vae, "reconstruction_backward")
def sum_over_the_pixels_too_many_in_backward(right, p, g, drec, y, *rest):
    return right(p, g, drec * y.shape[1], y, *rest)


@bug
def derivative_of_the_activation_forgotten():
    return patch.dict(nets.ACTIVATIONS, relu=(ops.relu, lambda dy, y, *, dx: dy))


@bug_in(ops, "bce_with_logits_backward")
def derivative_of_a_sigmoid_too_many(right, dy, logits, t, *, dlogits=None):
    dlogits = right(dy, logits, t, dlogits=dlogits)
    dlogits *= ops.sigmoid_backward(1, ops.sigmoid(logits))
    return dlogits


@bug
def activation_in_backward_only():
    return patch.dict(nets.ACTIVATIONS, relu=(lambda x, *, out: x, ops.relu_backward))


@bug_in(ops, "gaussian_kl_backward")
def sign_of_the_kl_in_backward(right, *args, **named):
    dmu, dlogvar = right(*args, **named)
    return -dmu, -dlogvar


@bug_in(ops, "gaussian_kl_backward")
def sign_of_the_kl_by_mu_in_backward(right, *args, **named):
    dmu, dlogvar = right(*args, **named)
    return -dmu, dlogvar


@bug_in(ops, "gaussian_kl_backward")
def kl_forgotten_in_backward(right, *args, **named):
    dmu, dlogvar = right(*args, **named)
    return 0 * dmu, 0 * dlogvar


@bug_in(ops, "reparameterize_backward")
def mu_and_logvar_exchanged_in_backward(right, dy, logvar, eps, *, dmu, dlogvar):
    return right(dy, logvar, eps, dmu=dlogvar, dlogvar=dmu)


@bug_in(vae, "encode_backward")
def no_gradient_for_the_encoder(right, *args):
    return None


@bug_in(vae, "backward")
def gradients_add_up_from_step_to_step(right, p, g, *rest):
    before = g.array.copy()
    right(p, g, *rest)
    g.array += before


@bug_in(vae, "backward")
def beta_in_the_loss_only(right, p, g, acts, ws, beta, *rest):
    right(p, g, acts, ws, 1.0, *rest)


@bug_in(ops, "bce_with_logits_backward")
def division_by_a_saturated_probability(right, dy, logits, t, *, dlogits=None):
    p = ops.sigmoid(logits)
    with np.errstate(all="ignore"):
        slope = (p - t) / (p * (1 - p))
        return np.multiply(dy[:, None], slope * (p * (1 - p)), out=dlogits)


# Right gradients of a wrong loss, and right gradients that training misuses. Differences cannot
# find them: `meaning.py` does, and the check of a training step in `model.py`.


def _both(owner, name, forward, backward):
    """Replace a function and its backward alike, so that the gradient stays right."""
    f, f_backward = getattr(owner, name), getattr(owner, f"{name}_backward")
    replacements: dict[str, Any] = {
        name: lambda *a, **named: forward(f, *a, **named),
        f"{name}_backward": lambda *a, **named: backward(f_backward, *a, **named),
    }
    return patch.multiple(owner, **replacements)


@bug
def exp_logvar_as_standard_deviation():
    return _sampler(lambda logvar, eps: (2 * logvar, eps), 2)


@bug
def noise_scaled_in_the_sampler():
    return _sampler(lambda logvar, eps: (logvar, 0.01 * eps), 1)


def _sampler(change, factor):
    def forward(right, mu, logvar, eps, *, out=None):
        return right(mu, *change(logvar, eps), out=out)

    def backward(right, dy, logvar, eps, *, dmu=None, dlogvar=None):
        dmu, dlogvar = right(dy, *change(logvar, eps), dmu=dmu, dlogvar=dlogvar)
        dlogvar *= factor
        return dmu, dlogvar

    return _both(ops, "reparameterize", forward, backward)


@bug_in(Model, "draw_noise")
def noise_scaled_where_it_is_drawn(right, *args, **key):
    return 0.01 * right(*args, **key)


@bug_in(Model, "draw_noise")
def one_noise_for_all_units(right, *args, **key):
    eps = right(*args, **key)
    eps[:] = eps[:, :1]
    return eps


@bug_in(Model, "draw_noise")
def noise_of_plus_and_minus_one(right, *args, **key):
    return np.sign(right(*args, **key))


@bug_in(Model, "draw_noise")
def uniform_noise(right, *args, **key):
    return ops.sigmoid(1.702 * right(*args, **key))  # nearly the normal distribution function


@bug
def kl_identically_zero():
    return _kl(0)


@bug
def kl_without_its_half():
    return _kl(2)


def _kl(factor):
    return _both(
        ops,
        "gaussian_kl",
        lambda right, *args, out=None: factor * right(*args, out=out),
        lambda right, dy, *args, **named: right(factor * dy, *args, **named),
    )


@bug_in(Model, "loss_and_grad")
def beta_accepted_but_unused(right, model, *batch):
    with patch.object(model, "beta", 1.0):
        return right(model, *batch)


@bug
def mean_of_pixels_and_sum_of_units():
    return _both(
        vae,
        "reconstruction",
        lambda right, p, y, *rest: right(p, y, *rest) / y.shape[1],
        lambda right, p, g, drec, y, *rest: right(p, g, drec / y.shape[1], y, *rest),
    )


@bug_in(Model, "loss_and_grad")
def loss_summed_over_the_batch(right, model, x, *rest):
    loss, gradients = right(model, x, *rest)
    return len(x) * loss, {name: len(x) * g for name, g in gradients.items()}


@bug
def probabilities_clipped_at_0_999():
    limit = np.log(999)  # the logit of 0.999

    def forward(right, logits, t, *, out=None):
        return right(np.clip(logits, -limit, limit), t, out=out)

    def backward(right, dy, logits, t, *, dlogits=None):
        dlogits = right(dy, logits, t, dlogits=dlogits)
        dlogits *= abs(logits) < limit
        return dlogits

    return _both(ops, "bce_with_logits", forward, backward)


@bug_in(Model, "score_samples")
def score_without_the_kl(right, model, X, k=None, **rest):
    scores = right(model, X, k, **rest)
    if k is None:
        x = model.to_device(np.asarray(X, dtype=model.dtype), "x")
        scores += model.forward(x, np.zeros((len(X), model.latent_dim))).kl
    return scores


@bug_in(bounds, "streaming_log_mean_exp")
def bound_is_the_mean_of_the_logs(right, terms):
    return np.mean([*terms], axis=0)


@bug_in(bounds, "streaming_log_mean_exp")
def bound_not_divided_by_the_samples(right, terms):
    terms = [*terms]
    return right(iter(terms)) + np.log(len(terms))


@bug_in(Trainer, "take_step")
def one_adam_update_for_each_example(right, trainer, rows):
    for i in range(len(rows)):
        out = right(trainer, rows[i : i + 1])
    return out


@bug_in(Adam, "update")
def adam_without_its_first_moment(right, adam, *args):
    adam.m[...] = 0
    right(adam, *args)


@bug_in(Adam, "rates")
def adam_without_bias_correction(right, adam, lr, t):
    return lr, adam.eps


@bug_in(training, "ramp")
def kl_left_out_of_training(right, *settings):
    return 0.0
