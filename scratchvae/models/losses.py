"""The densities of the models: p(x|z), by the name of the likelihood, and p(z) against q(z|x).

"bernoulli"              y are logits; pixels are 0 or 1, or grey, as practice has it
"continuous_bernoulli"   y are logits; pixels in [0, 1], with the constant that the former lacks
"gaussian"               y are means; any numbers, with one variance, learned or fixed

The costs of the first and the last stand in `ops.py`. Read `models/vae.py` next.
"""

from .. import ops
from ..backend import array_module as module
from ..backend.registry import SKIP, backward_of

LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian")


def reconstruction(p, y, x, ws, likelihood):
    """y, x (B,D)  ->  -log p(x|z), (B,), nats: y are logits (Bernoulli) or means (Gaussian)."""
    rec = ws("rec", len(x))
    if likelihood == "bernoulli":
        return ops.bce_with_logits(y, x, out=rec)
    if likelihood == "continuous_bernoulli":
        return continuous_bernoulli(y, x, out=rec)
    return ops.gaussian_nll(y, p.x_logvar, x, out=rec)


def reconstruction_backward(p, g, drec, y, x, ws, likelihood):
    """drec (B,)  ->  dy (B,D)"""
    dy = ws("dy", *y.shape)
    if likelihood == "bernoulli":
        return ops.bce_with_logits_backward(drec, y, x, dlogits=dy)
    if likelihood == "continuous_bernoulli":
        return continuous_bernoulli_backward(drec, y, x, dlogits=dy)
    dx_logvar = g.get("x_logvar", SKIP)  # the variance is learned, or fixed
    dy, _ = ops.gaussian_nll_backward(drec, y, p.x_logvar, x, dmu=dy, dlogvar=dx_logvar)
    return dy


def mean(y, likelihood):
    """The mean of p(x|z): y (B,D)  ->  (B,D)"""
    if likelihood == "bernoulli":
        return ops.sigmoid(y, out=y)
    return continuous_bernoulli_mean(y) if likelihood == "continuous_bernoulli" else y


def with_mean(mean, likelihood):
    """The y whose `mean` this is, where pixels keep 0.001 from 0 and 1.        (D,)  ->  (D,)"""
    if likelihood == "gaussian":
        return mean
    xp = module(mean)
    mean = xp.clip(mean, 0.001, 0.999)
    if likelihood == "bernoulli":
        return xp.log(mean / (1 - mean))
    low, high = xp.full_like(mean, -1e4), xp.full_like(mean, 1e4)
    for _ in range(60):  # A' increases: halve the interval
        middle = (low + high) / 2
        below = continuous_bernoulli_mean(middle) < mean
        low, high = xp.where(below, middle, low), xp.where(below, high, middle)
    return (low + high) / 2


def continuous_bernoulli(logits, t, *, out=None):
    """-log p(t) = A(l) - l t, with A(l) = log[(exp(l) - 1) / l].        l, t (B,D)   ->   y (B,)

    The density on [0, 1] that is proportional to exp(l t): the Bernoulli's, normalised for t
    between 0 and 1 (Loaiza-Ganem & Cunningham, arXiv:1907.06845). At any l,
    A = max(l, 0) + log[(1 - exp(-|l|)) / |l|], and A(0) = 0.
    """
    xp = module(logits)
    size = xp.maximum(xp.abs(logits), float(xp.finfo(logits.dtype).tiny))
    term = xp.log(-xp.expm1(-size) / size)
    term += xp.maximum(logits, 0)
    term -= logits * t
    return xp.sum(term, axis=1, out=out)


@backward_of(continuous_bernoulli, logits="BD", t="BD in [0,1]")
def continuous_bernoulli_backward(dy, logits, t, *, dlogits=None):
    """dy/dl = A'(l) - t, and A'(l) is the mean of the density"""
    dlogits = module(dy).subtract(continuous_bernoulli_mean(logits), t, out=dlogits)
    dlogits *= dy[:, None]
    return dlogits


def continuous_bernoulli_mean(logits):
    """A'(l) = 1 / (1 - exp(-l)) - 1/l = 1/2 + l/12 - l^3/720 + ... , entry by entry

    The difference loses its digits near 0, where the series has them all.
    """
    xp = module(logits)
    small = xp.abs(logits) < 0.1
    far = xp.where(small, 1, logits)
    near = xp.where(small, logits, 0)
    square = near * near
    series = 0.5 + near * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600)))
    tail = -xp.expm1(-xp.abs(far))  # 1 - exp(-|l|), which cannot overflow
    closed = xp.where(far > 0, 1, tail - 1) / tail - 1 / far
    return xp.where(small, series, closed)


def log_prior_ratio(z, logvar, eps, *, out=None):
    """log p(z) - log q(z|x) = sum_z (eps^2 + logvar - z^2) / 2, where (z - mu) / std is eps.

    z, logvar, eps (B,Z)   ->   y (B,), nats; the constants of the two densities cancel
    """
    xp = module(z)
    term = eps * eps
    term += logvar
    term -= z * z
    y = xp.sum(term, axis=1, out=out)
    y *= 0.5
    return y


@backward_of(log_prior_ratio, z="BZ", logvar="BZ", eps="BZ")
def log_prior_ratio_backward(dy, z, *, dz=None, dlogvar=None):
    """dy/dz = -z,    dy/dlogvar = 1/2: eps is given, whatever mu and logvar are"""
    xp = module(dy)
    dz = None if dz is SKIP else xp.multiply(dy[:, None], -z, out=dz)
    half = xp.full_like(z, 0.5)
    return dz, None if dlogvar is SKIP else xp.multiply(dy[:, None], half, out=dlogvar)
