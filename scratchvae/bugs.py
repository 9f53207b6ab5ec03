# mypy: disallow-untyped-defs=false
"""Bugs that real VAEs have shipped with, each as a switch on this one.

    with BUGS["noise redrawn in backward"]():
        report = check_model(vae, x, eps)

Each replaces a function of this package while the context lasts, and the checks are expected to
notice: `teeth.py` asks whether they do. `examples/wrong_gradient.py` shows what such a VAE draws.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np

from . import nets, noise, ops, train
from .models import vae
from .models.base import Model
from .optim import Adam
from .train import Trainer

BUGS: dict[str, Callable[[], AbstractContextManager]] = {}


def bug(switch: Callable[[], AbstractContextManager]) -> Callable[[], AbstractContextManager]:
    BUGS[switch.__name__.replace("_", " ")] = switch
    return switch


# ---------------------------------------------------------------- gradients that are not the loss's


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
    right = vae.reconstruction_backward
    return patch.object(
        vae, "reconstruction_backward", lambda p, g, drec, *a: right(p, g, drec * len(drec), *a)
    )


@bug
def sum_over_the_pixels_too_many_in_backward():
    right = vae.reconstruction_backward
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


# ------------------------------------------------------ right gradients of what is not a VAE's loss


@bug
def exp_logvar_as_standard_deviation():
    return _sampler(lambda logvar, eps: (2 * logvar, eps), 2)


@bug
def noise_scaled_in_the_sampler():
    return _sampler(lambda logvar, eps: (logvar, 0.01 * eps), 1)


def _sampler(change, factor):
    """Both functions of the sampler at changed arguments: its gradient stays right."""
    forward, backward = ops.reparameterize, ops.reparameterize_backward

    def reparameterize(mu, logvar, eps, *, out=None):
        return forward(mu, *change(logvar, eps), out=out)

    def reparameterize_backward(dy, logvar, eps, *, dmu=None, dlogvar=None):
        dmu, dlogvar = backward(dy, *change(logvar, eps), dmu=dmu, dlogvar=dlogvar)
        dlogvar *= factor
        return dmu, dlogvar

    return patch.multiple(
        ops, reparameterize=reparameterize, reparameterize_backward=reparameterize_backward
    )


@bug
def noise_scaled_where_it_is_drawn():
    right = Model._draw
    return patch.object(Model, "_draw", lambda self, n, **key: 0.01 * right(self, n, **key))


@bug
def one_noise_for_all_units():
    right = Model._draw

    def _draw(self, n, **key):
        eps = right(self, n, **key)
        eps[:] = eps[:, :1]
        return eps

    return patch.object(Model, "_draw", _draw)


@bug
def noise_of_plus_and_minus_one():
    right = Model._draw
    return patch.object(Model, "_draw", lambda self, n, **key: np.sign(right(self, n, **key)))


@bug
def uniform_noise():
    right = Model._draw
    return patch.object(Model, "_draw", lambda self, n, **key: _cdf(right(self, n, **key)))


def _cdf(eps):
    """A normal number's place among all, roughly: the logistic curve of nearly that shape."""
    return ops.sigmoid(1.702 * eps)


@bug
def kl_identically_zero():
    return _kl(lambda kl: 0 * kl)


@bug
def kl_without_its_half():
    return _kl(lambda kl: 2 * kl)


def _kl(change):
    """KL and gradient changed alike, by a factor."""
    forward, backward = ops.gaussian_kl, ops.gaussian_kl_backward

    def gaussian_kl(mu, logvar, *, out=None):
        return change(forward(mu, logvar, out=out))

    def gaussian_kl_backward(dy, mu, logvar, *, dmu=None, dlogvar=None):
        return backward(change(dy), mu, logvar, dmu=dmu, dlogvar=dlogvar)

    return patch.multiple(ops, gaussian_kl=gaussian_kl, gaussian_kl_backward=gaussian_kl_backward)


@bug
def beta_accepted_but_unused():
    right = Model.loss_and_grad

    def loss_and_grad(self, x, eps=None):
        with patch.object(self, "beta", 1.0):
            return right(self, x, eps)

    return patch.object(Model, "loss_and_grad", loss_and_grad)


@bug
def mean_of_pixels_and_sum_of_units():
    forward, backward = vae.reconstruction, vae.reconstruction_backward
    return patch.multiple(
        vae,
        reconstruction=lambda p, y, *rest: forward(p, y, *rest) / y.shape[1],
        reconstruction_backward=lambda p, g, drec, y, *rest: backward(
            p, g, drec / y.shape[1], y, *rest
        ),
    )


@bug
def loss_summed_over_the_batch():
    right = Model.loss_and_grad

    def loss_and_grad(self, x, eps=None):
        loss, gradients = right(self, x, eps)
        return len(x) * loss, {name: len(x) * g for name, g in gradients.items()}

    return patch.object(Model, "loss_and_grad", loss_and_grad)


@bug
def probabilities_clipped_at_0_999():
    forward, backward, most = ops.bce_with_logits, ops.bce_with_logits_backward, np.log(999)

    def bce_with_logits(logits, t, *, out=None):
        return forward(np.clip(logits, -most, most), t, out=out)

    def bce_with_logits_backward(dy, logits, t, *, dlogits=None):
        dlogits = backward(dy, logits, t, dlogits=dlogits)
        dlogits *= abs(logits) < most
        return dlogits

    return patch.multiple(
        ops, bce_with_logits=bce_with_logits, bce_with_logits_backward=bce_with_logits_backward
    )


@bug
def score_without_the_kl():
    right = Model.score_samples

    def score_samples(self, X, k=None, **rest):
        scores = right(self, X, k, **rest)
        if k is None:
            x = self._to_device(np.asarray(X, dtype=self.dtype), "x")
            scores += self._forward(x, np.zeros((len(X), self.latent_dim))).kl
        return scores

    return patch.object(Model, "score_samples", score_samples)


@bug
def bound_is_the_mean_of_the_logs():
    return patch.object(ops, "log_mean_exp", lambda x: x.mean(axis=1))


@bug
def bound_not_divided_by_the_samples():
    right = ops.log_mean_exp
    return patch.object(ops, "log_mean_exp", lambda x: right(x) + np.log(x.shape[1]))


# ------------------------------------------------------------ right gradients that training misuses


@bug
def one_adam_update_for_each_example():
    right = Trainer.take_step

    def take_step(self, rows):
        for i in range(len(rows)):
            out = right(self, rows[i : i + 1])
        return out

    return patch.object(Trainer, "take_step", take_step)


@bug
def adam_without_its_first_moment():
    right = Adam.step

    def step(self, p, g):
        self.m[...] = 0
        right(self, p, g)

    return patch.object(Adam, "step", step)


@bug
def adam_without_bias_correction():
    right = Adam.step

    def step(self, p, g):
        t, self.t = self.t, 10**6
        right(self, p, g)
        self.t = t + 1

    return patch.object(Adam, "step", step)


@bug
def kl_left_out_of_training():
    return patch.object(train, "kl_weight", lambda beta, epoch, warmup: 0.0)
