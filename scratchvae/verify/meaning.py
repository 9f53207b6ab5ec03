"""Tests of what finite differences cannot see: whether the loss is that of a VAE.

A model that samples with exp(logvar) as its standard deviation, or forgets its KL, has correct
gradients of a wrong loss. Each test here compares two parts of a model, using its own sampler.
Random quantities may differ by five standard errors.
"""

from collections.abc import Iterator
from math import log
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..backend.noise import INIT, SAMPLE, normal
from ..data.batches import chunks
from ..data.labels import UNLABELLED
from ..gradcheck.report import Finding, within
from ..train.measure import CHUNK

DRAWS = 20_000  # of z, over all examples
ROWS = 2_000  # of the bounds
EXAMPLES = 16  # so that each has many draws
ERRORS = 5.0  # standard errors
RMS = 1.5  # of mu and logvar, at most, at the random parameters: so every part matters
EXTREME = 40.0  # a logit at which a clamp, or a sigmoid that rounds to 1, shows


def findings(model: Any, x: Any, eps: Any, y: Any, seed: int) -> Iterator[Finding]:
    """All tests, at random parameters. x (B,D), eps (B,Z), y (B,).

    Parameters and beta stay changed: a Bernoulli's logits are then of the order of EXTREME.
    """
    x, eps = np.asarray(x)[:EXAMPLES], np.asarray(eps)[:EXAMPLES]
    if y is not None:  # every row gets a label: without one, a bound is a mean over the classes
        y = np.asarray(y)[:EXAMPLES]
        y = np.where(y == UNLABELLED, model.classes_[0], y)
    rows = model.check(x, y)
    _randomize(model, rows, eps, seed)
    yield from _sampler(model, rows, seed)
    # with free bits or a capacity the loss is not linear in beta, nor a mean over examples
    if not getattr(model, "free_bits", 0) and getattr(model, "capacity", None) is None:
        if hasattr(model, "beta"):
            yield _beta(model, x, eps, y)
        yield _batch(model, x, eps, y)
    yield from _bounds(model, x, y)
    yield _likelihood(model, rows, eps, "rec is -log p(x|z)")
    if model.likelihood != "gaussian":
        b = model.params_.out_b
        b[...] = EXTREME
        b[::2] = -EXTREME
        yield _likelihood(model, rows, eps, f"rec at logits of {EXTREME:.0f}")


def _forward(model: Any, rows: np.ndarray, eps: Any) -> Any:
    """Activations with one sample of z for each row, also if the model trains with several."""
    eps = np.asarray(eps)[:, : model.latent_dim]
    return model.forward(model.to_device(rows, "x"), model.to_device(eps, "eps"))


def _of_label(acts: Any, *names: str) -> list[Any]:
    """Activations on the host; if the model tries several classes, those of the row's label."""
    arrays = [getattr(acts, f"{name}s", getattr(acts, name, None)) for name in names]
    if not hasattr(acts, "tried"):
        return [to_numpy(a) for a in arrays]
    t = to_numpy((acts.tried * acts.t[:, None]).sum(axis=2))  # (B,K)
    return [to_numpy(a).reshape(*t.shape, -1)[t > 0] for a in arrays]


def _randomize(model: Any, x: np.ndarray, eps: Any, seed: int) -> None:
    """Draw random parameters, so small that mu and logvar are of the order of 1."""
    p = model.params_.array
    n = normal(1, p.size, seed=seed, stream=INIT, dtype="float64")[0]
    p[...] = model.xp.asarray(n)
    for _ in range(60):
        acts = _forward(model, x, eps)
        if max(np.sqrt(np.mean(a**2)) for a in _of_label(acts, "mu", "logvar")) <= RMS:
            break
        p /= 2


def _sampler(model: Any, x: np.ndarray, seed: int) -> Iterator[Finding]:
    """Samples have mean mu and deviation exp(logvar/2); the mean of log q/p over them is the KL."""
    B = len(x)
    rows = np.arange(DRAWS) % B

    def draw(part: slice) -> tuple[Any, ...]:
        picked = x[rows[part]]
        key = {"seed": seed, "stream": SAMPLE, "step": 0, "row": part.start}
        noise = model.draw_noise(len(picked), width=model.latent_dim, **key)
        acts = model.forward(model.to_device(picked, "x"), noise)
        prior = log(acts.t.shape[1]) if hasattr(acts, "t") else 0.0  # -log p(y)
        found = *_of_label(acts, "mu", "logvar", "z"), acts.kl - prior
        return tuple(to_numpy(a).copy() for a in found)

    parts = zip(*(draw(part) for part in chunks(DRAWS, CHUNK)), strict=True)
    mu, logvar, z, kl = (np.concatenate(part) for part in parts)
    u = (z - mu) * np.exp(-logvar / 2)
    limit = ERRORS / DRAWS**0.5
    off = float(np.abs(u.mean(axis=0)).max())
    yield within("mean of the samples", off, limit, "differs from mu (in units of exp(logvar/2))")
    std = u.std(axis=0)
    worst = float(std[np.abs(std - 1).argmax()])
    text = f"it is {worst:.3g} times exp(logvar/2), the std that the KL assumes"
    yield within("spread of the samples", abs(worst - 1), ERRORS / (2 * DRAWS) ** 0.5, text)
    # noise that units share shows in the correlation, noise that is not normal in the fourth moment
    shared = float(np.abs(u.T @ u / DRAWS - np.diag((u * u).mean(axis=0))).max())
    text = "latent units share their noise"
    yield within("samples are independent", shared, limit, text)
    fourth = float(np.abs((u**4).mean(axis=0) - 3).max())
    text = "the fourth moment of the noise is not that of a normal distribution"
    yield within("samples are normal", fourth, ERRORS * (96 / DRAWS) ** 0.5, text)
    # log q(z|x) - log p(z), whose mean over z is the KL; the constants cancel
    ratio = ((z * z - u * u - logvar) / 2).sum(axis=1)
    error, limit, text = 0.0, np.inf, ""
    for b in range(B):
        draws = ratio[rows == b]
        found = float(draws.mean() - kl[b])
        standard = ERRORS * float(draws.std()) / len(draws) ** 0.5
        if abs(found) / standard >= error / limit:
            error, limit = abs(found), standard
            text = f"{kl[b]:.4g} nats in closed form, {draws.mean():.4g} over the model's samples"
    yield within("KL by Monte Carlo", error, limit, text)


def _beta(model: Any, x: np.ndarray, eps: Any, y: Any) -> Finding:
    losses = []
    for beta in (1.0, 2.0):
        model.beta = beta
        losses.append(model.loss_and_grad(x, eps, y)[0])
    kl = float(_forward(model, model.check(x, y), eps).kl.mean())
    gain = losses[1] - losses[0]
    text = f"from beta 1 to 2 the loss grows by {gain:.4g} nats, but the KL is {kl:.4g}"
    model.beta = 1.0
    error = abs(gain - kl) / kl if kl > 0 else np.inf
    rounding = 1e4 * float(np.finfo(float).eps) * max(1.0, abs(losses[1]) / kl if kl > 0 else 1.0)
    return within("beta times the KL", error, rounding, text)


def _batch(model: Any, x: np.ndarray, eps: Any, y: Any) -> Finding:
    whole, _ = model.loss_and_grad(x, eps, y)
    each = [slice(i, i + 1) for i in range(len(x))]
    alone = [model.loss_and_grad(x[i], eps[i], None if y is None else y[i])[0] for i in each]
    mean = float(np.mean(alone))
    text = f"the loss of the batch is {whole:.4g}, the mean over its examples {mean:.4g}"
    return within("mean of the examples", abs(whole - mean) / abs(whole), 1e-9, text)


def _bounds(model: Any, x: np.ndarray, y: Any) -> Iterator[Finding]:
    """ELBO = L_1 on average, L_k = log mean exp of k L_1, and L_1 <= L_10 <= L_100.

    Burda et al., arXiv:1509.00519.
    """
    B, D = x.shape
    if x.dtype == np.uint8:
        x = x / 255

    def scores(n: int, k: int | None) -> np.ndarray:
        """(B,n): n independent scores of each example."""
        labels = None if y is None else np.repeat(y, n)
        # equal rows have equal noise, so the copies differ by up to 1e-6
        digits = np.arange(n)[:, None] // 4 ** np.arange(D) % 4
        copies = (x[:, None] - digits * 2.0**-22).reshape(-1, D)
        return model.score_samples(copies, k, y=labels).reshape(B, n)

    def gap(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        """The difference of the means, and the limit of ERRORS standard errors."""
        variance = a.var(axis=1) / a.shape[1] + b.var(axis=1) / b.shape[1]
        return float(b.mean() - a.mean()), ERRORS * float(np.sqrt(variance.mean() / B))

    n = 10 * max(1, ROWS // 10 // B)
    one, ten, hundred = scores(n, 1), scores(n // 10, 10), scores(max(n // 100, 2), 100)
    off = one - scores(n, None)
    found, limit = gap(np.zeros_like(off), off)
    yield within("ELBO is L_1 on average", abs(found), limit, f"L_1 is {found:+.3g} nats away")
    groups = one.reshape(B, -1, 10)
    top = groups.max(axis=2)
    found, limit = gap(top + np.log(np.exp(groups - top[..., None]).mean(axis=2)), ten)
    yield within("L_10 of ten samples", abs(found), limit, f"it is {found:+.3g} nats away")
    gaps = [gap(one, ten), gap(ten, hundred)]
    lost, limit = max((-found, limit) for found, limit in gaps)
    yield within("L_1 <= L_10 <= L_100", max(0.0, lost), limit, "more samples loosen the bound")


def _likelihood(model: Any, x: np.ndarray, eps: Any, name: str) -> Finding:
    acts = _forward(model, x, eps)
    (y, t), rec = _of_label(acts, "y", "x"), to_numpy(acts.rec)
    if model.likelihood == "bernoulli":
        right = (np.logaddexp(0, y) - t * y).sum(axis=1)
    elif model.likelihood == "continuous_bernoulli":
        # log of the integral of exp(y t) over t from 0 to 1: (exp(y) - 1) / y
        size = np.maximum(np.abs(y), 1e-300)
        log_integral = np.maximum(y, 0) + np.log(-np.expm1(-size)) - np.log(size)
        right = (log_integral - t * y).sum(axis=1)
    else:
        s = float(model.params_.x_logvar[0])
        right = ((t - y) ** 2 * np.exp(-s) + s + np.log(2 * np.pi)).sum(axis=1) / 2
    worst = int(np.abs(rec / right - 1).argmax())
    text = f"rec is {rec[worst]:.6g} nats, -log p(x|z) {right[worst]:.6g}"
    return within(name, float(abs(rec[worst] / right[worst] - 1)), 1e-9, text)
