# mypy: disallow-untyped-defs=false
"""Bugs of real VAEs, each as a switch on this one: the checks must fail while it is on.

    with BUGS["noise redrawn in backward"]():
        report = check_model(vae, x, eps)

Each bug replaces functions of this package within the context. `scratchvae verify --teeth` runs the
checks with each of them; `examples/wrong_gradient.py` shows images from such a VAE.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np

from .. import nets, ops
from ..backend import noise
from ..models import bounds, vae
from ..models.model import Model
from ..train import trainer
from ..train.optim import Adam

Switch = Callable[[], AbstractContextManager]


def bug_in(owner: Any, **wrong: Callable[..., Any]) -> Switch:
    """Replace functions of `owner`; the first argument of a replacement is the right function."""

    def replacement(name):
        right = getattr(owner, name)
        return lambda *args, **named: wrong[name](right, *args, **named)

    return lambda: patch.multiple(owner, **{name: replacement(name) for name in wrong})


# what the table below calls


def noise_redrawn_in_backward():
    right, calls = vae.backward, count()

    def backward(p, g, acts, *rest):
        key = {"seed": 1, "stream": noise.TRAIN, "step": next(calls)}
        acts.eps = noise.normal(*acts.eps.shape, **key, dtype=acts.eps.dtype)
        right(p, g, acts, *rest)

    return patch.object(vae, "backward", backward)


def weights_from_before_training_in_backward():
    right = vae.backward
    stale: list[Any] = []

    def backward(p, *rest):
        if not stale:
            stale.append(p.like(np))
            stale[0].array[...] = p.array
        right(stale[0], *rest)

    return patch.object(vae, "backward", backward)


def leftover_gradient_of_the_decoder(right, p, g, dhead, enc, ws, activation):
    right(p, g, dhead, enc, ws, activation)
    leftover = ws("ddec", *enc[-1].shape)  # the widths are mirrored, so it fits
    nets.mlp_backward(p, g, "enc", enc, leftover, activation, ws)


def drec_times(factor):
    """A replacement of `reconstruction_backward`; factor: a function of the output y (B,D)."""
    return lambda right, p, g, drec, y, *rest: right(p, g, drec * factor(y), y, *rest)


def a_sigmoid_too_many(right, dy, logits, t, *, dlogits=None):
    dlogits = right(dy, logits, t, dlogits=dlogits)
    dlogits *= ops.sigmoid_backward(1, ops.sigmoid(logits))
    return dlogits


def kl_gradients_times(of_mu, of_logvar):
    def gaussian_kl_backward(right, *args, **named):
        dmu, dlogvar = right(*args, **named)
        return of_mu * dmu, of_logvar * dlogvar

    return bug_in(ops, gaussian_kl_backward=gaussian_kl_backward)


def half_forgotten():
    def reparameterize_backward(right, *args, dmu, dlogvar):
        dmu, dlogvar = right(*args, dmu=dmu, dlogvar=dlogvar)
        dlogvar *= 2
        return dmu, dlogvar

    return bug_in(ops, reparameterize_backward=reparameterize_backward)


def mu_and_logvar_exchanged(right, *args, dmu, dlogvar):
    return right(*args, dmu=dlogvar, dlogvar=dmu)


def gradients_add_up(right, p, g, *rest):
    before = g.array.copy()
    right(p, g, *rest)
    g.array += before


def division_by_a_probability(right, dy, logits, t, *, dlogits=None):
    p = ops.sigmoid(logits)
    with np.errstate(all="ignore"):
        slope = (p - t) / (p * (1 - p))
        return np.multiply(dy[:, None], slope * (p * (1 - p)), out=dlogits)


def sampler(change, factor):
    """Sample with other logvar and eps; `factor` is the derivative of that logvar."""

    def reparameterize(right, mu, logvar, eps, *, out=None):
        return right(mu, *change(logvar, eps), out=out)

    def backward(right, dy, logvar, eps, *, dmu=None, dlogvar=None):
        dmu, dlogvar = right(dy, *change(logvar, eps), dmu=dmu, dlogvar=dlogvar)
        dlogvar *= factor
        return dmu, dlogvar

    return bug_in(ops, reparameterize=reparameterize, reparameterize_backward=backward)


def noise_changed(change):
    return bug_in(Model, draw_noise=lambda right, *args, **key: change(right(*args, **key)))


def kl_times(factor):
    return bug_in(
        ops,
        gaussian_kl=lambda right, *args, out=None: factor * right(*args, out=out),
        gaussian_kl_backward=lambda right, dy, *args, **d: right(factor * dy, *args, **d),
    )


def beta_unused(right, model, *batch):
    with patch.object(model, "beta", 1.0):
        return right(model, *batch)


def loss_summed(right, model, x, *rest):
    loss, gradients = right(model, x, *rest)
    return len(x) * loss, {name: len(x) * g for name, g in gradients.items()}


def logits_clipped(limit):
    def forward(right, logits, t, *, out=None):
        return right(np.clip(logits, -limit, limit), t, out=out)

    def backward(right, dy, logits, t, *, dlogits=None):
        dlogits = right(dy, logits, t, dlogits=dlogits)
        dlogits *= abs(logits) < limit
        return dlogits

    return bug_in(ops, bce_with_logits=forward, bce_with_logits_backward=backward)


def score_without_the_kl(right, model, X, k=None, **rest):
    scores = right(model, X, k, **rest)
    if k is None:
        x = model.to_device(np.asarray(X, dtype=model.dtype), "x")
        scores += model.forward(x, np.zeros((len(X), model.latent_dim))).kl
    return scores


def not_divided_by_the_samples(right, terms):
    terms = [*terms]
    return right(iter(terms)) + np.log(len(terms))


def one_update_for_each_example(right, trainer, rows):
    for i in range(len(rows)):
        out = right(trainer, rows[i : i + 1])
    return out


def without_the_first_moment(right, adam, *args):
    adam.m[...] = 0
    right(adam, *args)


BUGS: dict[str, Switch] = {
    # Wrong gradients of the right loss. Differences find them, some only after steps of training.
    "noise redrawn in backward": noise_redrawn_in_backward,
    "leftover gradient of the decoder in the encoder": bug_in(
        vae, encode_backward=leftover_gradient_of_the_decoder
    ),
    "weights from before training in backward": weights_from_before_training_in_backward,
    "sum over the batch in backward": bug_in(vae, reconstruction_backward=drec_times(len)),
    "sum over the pixels too many in backward": bug_in(
        vae, reconstruction_backward=drec_times(lambda y: y.shape[1])
    ),
    "derivative of the activation forgotten": lambda: patch.dict(
        nets.ACTIVATIONS, relu=(ops.relu, lambda dy, y, *, dx: dy)
    ),
    "derivative of a sigmoid too many": bug_in(ops, bce_with_logits_backward=a_sigmoid_too_many),
    "activation in backward only": lambda: patch.dict(
        nets.ACTIVATIONS, relu=(lambda x, *, out: x, ops.relu_backward)
    ),
    "sign of the kl in backward": kl_gradients_times(-1, -1),
    "sign of the kl by mu in backward": kl_gradients_times(-1, 1),
    "kl forgotten in backward": kl_gradients_times(0, 0),
    "mu and logvar exchanged in backward": bug_in(
        ops, reparameterize_backward=mu_and_logvar_exchanged
    ),
    "no gradient for the encoder": bug_in(vae, encode_backward=lambda right, *args: None),
    "gradients add up from step to step": bug_in(vae, backward=gradients_add_up),
    "beta in the loss only": bug_in(
        vae,
        backward=lambda right, p, g, acts, ws, beta, *rest: right(p, g, acts, ws, 1.0, *rest),
    ),
    "division by a saturated probability": bug_in(
        ops, bce_with_logits_backward=division_by_a_probability
    ),
    # Right gradients of a wrong loss, and right gradients that training misuses. Differences cannot
    # find them; `meaning.py` does, and so does the check of a training step in `model.py`.
    "exp logvar as standard deviation": sampler(lambda logvar, eps: (2 * logvar, eps), 2),
    "noise scaled in the sampler": sampler(lambda logvar, eps: (logvar, 0.01 * eps), 1),
    "noise scaled where it is drawn": noise_changed(lambda eps: 0.01 * eps),
    "one noise for all units": noise_changed(lambda eps: eps[:, :1] + 0 * eps),
    "noise of plus and minus one": noise_changed(np.sign),
    # 1.702: this sigmoid is nearly the normal distribution function
    "uniform noise": noise_changed(lambda eps: ops.sigmoid(1.702 * eps)),
    "kl identically zero": kl_times(0),
    "kl without its half": kl_times(2),
    "beta accepted but unused": bug_in(Model, loss_and_grad=beta_unused),
    "mean of pixels and sum of units": bug_in(
        vae,
        reconstruction=lambda right, p, y, *rest: right(p, y, *rest) / y.shape[1],
        reconstruction_backward=drec_times(lambda y: 1 / y.shape[1]),
    ),
    "loss summed over the batch": bug_in(Model, loss_and_grad=loss_summed),
    "probabilities clipped at 0 999": logits_clipped(np.log(999)),
    "score without the kl": bug_in(Model, score_samples=score_without_the_kl),
    "bound is the mean of the logs": bug_in(
        bounds, streaming_log_mean_exp=lambda right, terms: np.mean([*terms], axis=0)
    ),
    "bound not divided by the samples": bug_in(
        bounds, streaming_log_mean_exp=not_divided_by_the_samples
    ),
    "one adam update for each example": bug_in(
        trainer.Trainer, take_step=one_update_for_each_example
    ),
    "adam without its first moment": bug_in(Adam, update=without_the_first_moment),
    "adam without bias correction": bug_in(Adam, rates=lambda right, adam, lr, t: (lr, adam.eps)),
    "kl left out of training": bug_in(trainer, ramp=lambda right, *settings: 0.0),
}
