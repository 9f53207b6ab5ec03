"""`check_model`: a model's gradients, its training step, and the meaning of its loss.

Finite differences show that a gradient belongs to a loss. They do not show that the loss is the
right one, nor that training uses that gradient: `check_model` tests both, the loss by `meaning.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from ..backend import array_module, to_numpy
from ..backend.noise import SAMPLE, TRAIN
from ..errors import InputError, whole_number
from ..gradcheck.checker import check
from ..gradcheck.report import GOOD, Finding, Report, within
from ..models.losses import reconstruction
from ..models.scores import regret
from ..train.trainer import Trainer
from . import meaning

LR = 0.01  # of the training steps: large enough that stale weights differ


def check_model(
    model: Any, x: Any, eps: Any = None, y: Any = None, *, seed: int = 0, steps: int = 20
) -> Report:
    """Check a float64 model: the gradient of every parameter, its training step, and its meaning.

    x (B,D), eps (B,Z) and, for models with labels, y (B,) are passed to its public
    `loss_and_grad`, whose gradients are the leaves of the report. The findings are the shipped
    training step, compared with Adam as in the paper; the gradients after `steps` such steps on x,
    at another beta, and at extreme logits; the gradient by which the likelihood regret refines q;
    and what differences cannot see: the spread of the samples, the KL, beta, the likelihood and the
    bounds of a model with noise. The parameters are changed and restored. Raises InputError if the
    model is not in float64.
    """
    whole_number(steps, "steps")
    if not hasattr(model, "params_") and np.ndim(x) == 2:
        model.build(np.shape(x)[1])
    if eps is None and model.noisy:
        eps = to_numpy(model.draw_noise(len(x), seed=seed, stream=SAMPLE, step=0))
    model.loss_and_grad(x, eps, y)  # refuses what does not fit
    if model.dtype != "float64":
        raise InputError(
            f"check_model needs dtype='float64', got {model.dtype!r}: build a float64 model"
        )
    with _restored(model):
        report = _gradients(model, x, eps, y, seed)

    def gradients(when: str) -> list[Finding]:
        if report.verdict not in GOOD:
            return []  # gradients that are wrong from the start are not checked again
        again = _gradients(model, x, eps, y, seed)
        bad = [leaf for leaf in again.leaves if leaf.verdict not in GOOD]
        texts = [f"d{leaf.name} {leaf.message or 'is wrong'}" for leaf in bad]
        text = "; ".join(filter(None, [*texts, *again.violations, again.random]))
        return [Finding(f"gradients {when}", again.verdict, again.error, again.resolution, text)]

    findings: list[Finding] = []
    with _restored(model):
        findings += _training(model, x, y, steps)
        findings += gradients(f"after {steps} steps")
    if model.noisy:
        if regret.has_regret(model):
            findings.append(_refinement(model, x, y, seed))
        if hasattr(model, "beta"):
            with _restored(model):
                model.beta += 1
                findings += gradients("at beta + 1")
        with _restored(model), np.errstate(all="ignore"):
            findings += meaning.findings(model, x, eps, y, seed)
            findings += gradients("at extremes")
    return replace(report, findings=tuple(findings))


@contextmanager
def _restored(model: Any) -> Iterator[None]:
    """Restore parameters and beta at the end."""
    p, beta = model.params_.array.copy(), getattr(model, "beta", None)
    try:
        yield
    finally:
        model.params_.array[...] = p
        if beta is not None:
            model.beta = beta


def _gradients(model: Any, x: Any, eps: Any, y: Any, seed: int) -> Report:
    p = model.params_
    value = _loss(model, x, eps, y)
    if getattr(model, "dreg", False):
        rows = model.to_device(model.check(x, y), "x").copy()
        value = surrogate(model, rows, model.to_device(np.asarray(eps), "eps").copy())

    def place(tensors: dict[str, Any]) -> None:
        for name, a in tensors.items():
            p[name][...] = a

    def loss(**tensors: Any) -> Any:
        place(tensors)
        return np.asarray(to_numpy(value()))

    def loss_backward(dy: Any, **tensors: Any) -> dict[str, Any]:
        place(tensors)
        gradients = model.loss_and_grad(x, eps, y)[1]
        return {name: array_module(p.array).asarray(float(dy) * g) for name, g in gradients.items()}

    return check(loss, loss_backward, dict(p), seed=seed, name=type(model).__name__)


def _loss(model: Any, x: Any, eps: Any, y: Any) -> Callable[[], Any]:
    """The loss that `loss_and_grad` returns, without the time of its backward.

    A model whose loss changes without its backward keeps it.
    """
    twin = copy(model)  # of the same parameters; the caller's model keeps its backward
    twin.backward = lambda *a, **named: None

    def loss_of(some: Any) -> Callable[[], Any]:
        return lambda: some.loss_and_grad(x, eps, y)[0]

    return loss_of(twin if loss_of(twin)() == loss_of(model)() else model)


def surrogate(model: Any, x: Any, eps: Any) -> Callable[[], Any]:
    """The function whose gradient is the doubly reparameterized estimate.

    The estimate (Tucker et al., arXiv:1810.04152) has the mean of the bound's gradient, but it is
    not the gradient of the bound, so differences of the bound cannot check it. They can check it
    against this function, in which the importance weights w, and q where it is evaluated, are held
    at their values for the current parameters:

        decoder    sum_k w_k   [-log p(x|z_k)]                                       z_k held
        encoder    sum_k w_k^2 [-log p(x|z_k) - log p(z_k) + log q(z_k|x)]     p(x|.) and q held

    Returns a function of no arguments: the mean over the batch of the sum of both lines, at the
    parameters of the time of the call.
    """
    p = model.params_
    held, first = p.array.copy(), model.forward(x, eps)
    B, K = first.log_w.shape
    xp = array_module(p.array)
    w = xp.exp(first.log_w - first.log_w.max(axis=1, keepdims=True))
    w = (w / w.sum(axis=1, keepdims=True)).reshape(B * K)
    mus = xp.repeat(first.mu, K, 0)
    logvars, z, xs = (a.copy() for a in (first.logvars, first.z, first.x))

    def rec(z: Any) -> Any:
        y = model.decoder(z)
        return reconstruction(p, y, xs, model.workspace, model.likelihood).copy()

    def loss() -> Any:
        decoder = w * rec(z)
        moved = model.forward(x, eps).z.copy()
        now = p.array.copy()
        p.array[...] = held
        log_q = -((moved - mus) ** 2 * xp.exp(-logvars) + logvars).sum(axis=1) / 2
        log_p = -(moved**2).sum(axis=1) / 2
        encoder = w * w * (rec(moved) - log_p + log_q)
        p.array[...] = now
        return (decoder + encoder).sum() / B

    return loss


def _refinement(model: Any, x: Any, y: Any, seed: int) -> Finding:
    """The gradient of mu and logvar by which the likelihood regret refines q(z|x)."""
    rows = model.to_device(model.check(x, y), "x").copy()
    x, labels, mu, logvar = regret.start_of(model, rows, 2)
    eps = model.draw_noise(len(x), model.latent_dim, seed=seed, stream=SAMPLE, step=1).copy()

    def cost(mu: Any, logvar: Any) -> Any:
        return regret.forward(model, x, labels, mu, logvar, eps).cost

    def cost_backward(dy: Any, mu: Any, logvar: Any) -> Any:
        return regret.backward(model, dy, regret.forward(model, x, labels, mu, logvar, eps))

    report = check(cost, cost_backward, {"mu": mu, "logvar": logvar}, seed=seed)
    text = "; ".join(leaf.message for leaf in report.leaves if leaf.verdict not in GOOD)
    return Finding("refinement of q", report.verdict, report.error, report.resolution, text)


def _training(model: Any, x: Any, y: Any, steps: int) -> Iterator[Finding]:
    """Take the steps; compare the last with loss_and_grad, and with Adam as in the paper."""
    trainer = Trainer(model, x, y=y, batch_size=len(x), lr=LR)
    p, rows = model.params_.array, trainer.xp.arange(len(x))
    expected = to_numpy(p).copy()
    m, v = np.zeros_like(expected), np.zeros_like(expected)
    for t in range(1, steps + 1):
        before = p.copy()
        noise = model.draw_noise(len(x), seed=model.seed, stream=TRAIN, step=t - 1)
        _, used = trainer.take_step(rows)
        g = to_numpy(used.array).copy()
        # Algorithm 1 of arXiv:1412.6980, line by line
        m = 0.9 * m + (1 - 0.9) * g
        v = 0.999 * v + (1 - 0.999) * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        expected -= LR * m_hat / (np.sqrt(v_hat) + 1e-8)
    after, p[...] = p.copy(), before
    _, gradients = model.loss_and_grad(x, None if noise is None else to_numpy(noise), y)
    p[...] = after
    right = np.concatenate([g.ravel() for g in gradients.values()])
    yield _same("the gradient that a step uses", g, right, "differs from loss_and_grad")
    yield _same("the update of a step", to_numpy(p), expected, "not that of Adam in the paper")


def _same(name: str, found: Any, right: Any, otherwise: str) -> Finding:
    """Whether two arrays are equal up to rounding, relative to the largest entry."""
    limit = 1e4 * float(np.finfo(right.dtype).eps)
    scale = float(np.abs(right).max()) or 1.0
    return within(name, float(np.abs(found - right).max()) / scale, limit, otherwise)
