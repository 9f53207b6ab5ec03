# mypy: disallow-untyped-defs=false
"""Right gradients of what is not a VAE's loss, and right gradients that training misuses.

No difference can see them: what does is `gradcheck/meaning.py`, and the look at a step of training.
"""

from unittest.mock import patch

import numpy as np

from ... import ops
from ...evaluate import evaluation as evaluate
from ...models import losses as likelihoods
from ...models import vae
from ...models.model import Model
from ...train import trainer as train
from ...train.optim import Adam
from ...train.trainer import Trainer
from .switch import bug


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
    right = Model.draw_noise
    return patch.object(Model, "draw_noise", lambda self, n, **key: 0.01 * right(self, n, **key))


@bug
def one_noise_for_all_units():
    right = Model.draw_noise

    def draw_noise(self, n, **key):
        eps = right(self, n, **key)
        eps[:] = eps[:, :1]
        return eps

    return patch.object(Model, "draw_noise", draw_noise)


@bug
def noise_of_plus_and_minus_one():
    right = Model.draw_noise
    return patch.object(Model, "draw_noise", lambda self, n, **key: np.sign(right(self, n, **key)))


@bug
def uniform_noise():
    right = Model.draw_noise
    return patch.object(Model, "draw_noise", lambda self, n, **key: _cdf(right(self, n, **key)))


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

    def loss_and_grad(self, *batch):
        with patch.object(self, "beta", 1.0):
            return right(self, *batch)

    return patch.object(Model, "loss_and_grad", loss_and_grad)


@bug
def mean_of_pixels_and_sum_of_units():
    forward, backward = likelihoods.reconstruction, likelihoods.reconstruction_backward
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

    def loss_and_grad(self, x, *rest):
        loss, gradients = right(self, x, *rest)
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
            x = self.to_device(np.asarray(X, dtype=self.dtype), "x")
            scores += self.forward(x, np.zeros((len(X), self.latent_dim))).kl
        return scores

    return patch.object(Model, "score_samples", score_samples)


@bug
def bound_is_the_mean_of_the_logs():
    return patch.object(evaluate, "streaming_log_mean_exp", lambda terms: np.mean([*terms], axis=0))


@bug
def bound_not_divided_by_the_samples():
    right = evaluate.streaming_log_mean_exp

    def streaming_log_mean_exp(terms):
        terms = [*terms]
        return right(iter(terms)) + np.log(len(terms))

    return patch.object(evaluate, "streaming_log_mean_exp", streaming_log_mean_exp)


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
    right = Adam.update

    def update(self, *args):
        self.m[...] = 0
        right(self, *args)

    return patch.object(Adam, "update", update)


@bug
def adam_without_bias_correction():
    return patch.object(Adam, "rates", lambda self, lr, t: (lr, self.eps))


@bug
def kl_left_out_of_training():
    return patch.object(train, "ramp", lambda *settings: 0.0)
