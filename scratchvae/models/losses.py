"""The terms of the models' losses, in nats, one value per example.

Start with the first two functions, -log p(x|z) and its gradient, for each likelihood:

"bernoulli"              y are logits; pixels are 0 or 1, or grey (common practice)
"continuous_bernoulli"   y are logits; pixels in [0, 1], with the normalising constant
"gaussian"               y are means; any numbers, with one variance, learned or fixed

The rest is for other models, free bits and capacity. Read `vae.py` next.
"""

from math import log, pi

from .. import ops
from ..backend import array_module as module
from ..backend.registry import SKIP, backward_of
from ..errors import InputError, finite_number

LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian")


def reconstruction(p, y, x, ws, likelihood):
    """y, x (B,D)  ->  -log p(x|z), (B,), nats: y are logits (Bernoulli) or means (Gaussian)."""
    rec = ws("rec", len(x))
    if likelihood == "bernoulli":
        return ops.bce_with_logits(y, x, out=rec)
    if likelihood == "continuous_bernoulli":
        return continuous_bernoulli(y, x, out=rec)
    return gaussian_nll(y, p.x_logvar, x, out=rec)


def reconstruction_backward(p, g, drec, y, x, ws, likelihood):
    """drec (B,)  ->  dy (B,D)"""
    dy = ws("dy", *y.shape)
    if likelihood == "bernoulli":
        return ops.bce_with_logits_backward(drec, y, x, dlogits=dy)
    if likelihood == "continuous_bernoulli":
        return continuous_bernoulli_backward(drec, y, x, dlogits=dy)
    dx_logvar = g.get("x_logvar", SKIP)  # no gradient if the variance is fixed
    dy, _ = gaussian_nll_backward(drec, y, p.x_logvar, x, dmu=dy, dlogvar=dx_logvar)
    return dy


# --------------------------------------------------------- what a student's first reading can skip


def likelihood_mean(y, likelihood):
    """The mean of p(x|z): y (B,D)  ->  (B,D)"""
    if likelihood == "bernoulli":
        return ops.sigmoid(y, out=y)
    return continuous_bernoulli_mean(y) if likelihood == "continuous_bernoulli" else y


def likelihood_draw(p, y, noise, likelihood):
    """A draw from p(x|z): y (B,D)  ->  (B,D)

    noise (B,D) is standard normal for "gaussian", and uniform in [0, 1) for the others.
    """
    xp = module(y)
    if likelihood == "gaussian":
        return y + xp.exp(p.x_logvar / 2) * noise
    if likelihood == "bernoulli":
        return xp.less(noise, ops.sigmoid(y, out=y), out=noise)
    # the inverse of F(x) = (exp(l x) - 1) / (exp(l) - 1) at the noise, for l = -|y|, which cannot
    # overflow; l > 0 mirrors the density at 1/2, and l = 0 makes it uniform
    size = xp.maximum(xp.abs(y), 1e-6)
    x = xp.log1p(noise * xp.expm1(-size)) / -size
    return xp.where(y > 0, 1 - x, x)


def output_with_mean(mean, likelihood):
    """Inverse of `likelihood_mean`: mean (D,)  ->  y (D,). Pixels are clipped to [0.001, 0.999]."""
    if likelihood == "gaussian":
        return mean
    xp = module(mean)
    mean = xp.clip(mean, 0.001, 0.999)
    if likelihood == "bernoulli":
        return xp.log(mean / (1 - mean))
    low, high = xp.full_like(mean, -1e4), xp.full_like(mean, 1e4)
    for _ in range(60):  # bisection: A' is increasing
        middle = (low + high) / 2
        below = continuous_bernoulli_mean(middle) < mean
        low, high = xp.where(below, middle, low), xp.where(below, high, middle)
    return (low + high) / 2


# ------------------------------------------------------------------------ the weight of the KL
# Two remedies for a KL that dominates early training. With free bits (Kingma et al.,
# arXiv:1606.04934, section 2.3), a unit's KL costs a constant below a threshold. A capacity
# (Burgess et al., arXiv:1804.03599) is a target for the KL. Both use the mean over the batch.


def check_kl_charge(beta, free_bits, capacity):
    """Raises InputError if a value is invalid, or if both free_bits and capacity are set."""
    finite_number(beta, "beta")
    finite_number(free_bits, "free_bits")
    if capacity is not None:
        finite_number(capacity, "capacity")
        if free_bits:
            raise InputError("free_bits and capacity exclude each other: choose one")


def kl_charge(acts, beta, free_bits, capacity):
    """The KL term of the loss, in nats, at the end of its warm-up.

    beta KL                            by default
    beta sum_j max(KL_j, free_bits)    with free bits; KL_j is the mean KL of unit j
    beta |KL - capacity|               with a capacity
    """
    if free_bits:
        units = unit_kl(acts.mu, acts.logvar)
        return beta * module(units).maximum(units, free_bits).sum()
    if capacity is not None:
        return beta * abs(acts.kl.mean() - capacity)
    return beta * acts.kl.mean()


def kl_charge_backward(acts, beta, free_bits, capacity, ramp=1.0, mean_kl=None):
    """Derivative of `kl_charge` with respect to the mean KL of each unit: a scalar, or (Z,).

    ramp in [0, 1] is the progress of the warm-up, which raises beta or the capacity from 0.
    mean_kl (Z,) is each unit's mean KL over the whole batch, needed if acts are a part of it.
    """
    if free_bits:
        units = unit_kl(acts.mu, acts.logvar) if mean_kl is None else mean_kl
        return beta * ramp * (units > free_bits).astype(units.dtype)
    if capacity is not None:
        kl = acts.kl.mean() if mean_kl is None else mean_kl.sum()
        return beta * module(acts.kl).sign(kl - ramp * capacity)
    return beta * ramp


def unit_kl(mu, logvar):
    """Each unit's KL, averaged over the batch: mu, logvar (B,Z)  ->  (Z,), nats"""
    return (mu * mu + module(mu).expm1(logvar) - logvar).mean(axis=0) / 2


# ------------------------------------------------------------------------- ops of one likelihood


def gaussian_nll(mu, logvar, t, *, out=None):
    """-log N(t; mu, exp(logvar)) = [exp(-logvar) sum_d (t - mu)^2 + D (logvar + log 2 pi)] / 2

    mu, t (B,D)   logvar (1,), one noise level for all pixels, learned like a weight   ->   y (B,)
    (Rybkin et al., arXiv:2006.13202)
    """
    y = ops.squared_error(mu, t, out=out)
    y *= 0.5 * module(mu).exp(-logvar)
    y += 0.5 * mu.shape[1] * (logvar + log(2 * pi))
    return y


@backward_of(gaussian_nll, mu="BD", logvar="1", t="BD")
def gaussian_nll_backward(dy, mu, logvar, t, *, dmu=None, dlogvar=None):
    """dy/dmu     = exp(-logvar) (mu - t)
    dy/dlogvar = [D - exp(-logvar) sum_d (t - mu)^2] / 2, summed over the examples, which share it
    """
    xp, D, precision = module(dy), mu.shape[1], module(dy).exp(-logvar)
    dmu = None if dmu is SKIP else xp.multiply(dy[:, None] * precision, mu - t, out=dmu)
    if dlogvar is SKIP:
        return dmu, None
    # sum before multiplying: otherwise the sum could be inf - inf
    squares = xp.sum(dy * ops.squared_error(mu, t), keepdims=True)
    return dmu, xp.subtract(0.5 * D * dy.sum(), 0.5 * precision * squares, out=dlogvar)


def continuous_bernoulli(logits, t, *, out=None):
    """-log p(t) = A(l) - l t, with A(l) = log[(exp(l) - 1) / l].        l, t (B,D)   ->   y (B,)

    The density on [0, 1] proportional to exp(l t): a Bernoulli normalised over t in [0, 1]
    (Loaiza-Ganem & Cunningham, arXiv:1907.06845). The form that is stable for every l is
    A = max(l, 0) + log[(1 - exp(-|l|)) / |l|], with A(0) = 0.
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
    """A'(l) = 1 / (1 - exp(-l)) - 1/l = 1/2 + l/12 - l^3/720 + ... , elementwise

    Near 0 the difference cancels, so the series is used there.
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


# ------------------------------------------------------------------------------- ops of the IWAE


def log_prior_ratio(z, logvar, eps, *, out=None):
    """log p(z) - log q(z|x) = sum_z (eps^2 + logvar - z^2) / 2, with eps = (z - mu) / std.

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
    """dy/dz = -z,    dy/dlogvar = 1/2: eps is held constant"""
    xp = module(dy)
    dz = None if dz is SKIP else xp.multiply(dy[:, None], -z, out=dz)
    half = xp.full_like(z, 0.5)
    return dz, None if dlogvar is SKIP else xp.multiply(dy[:, None], half, out=dlogvar)


def log_mean_exp(x, *, out=None):
    """y = log[(1/K) sum_k exp(x_k)], shifted by max_k x_k for stability.   x (B,K)  ->  y (B,)"""
    xp = module(x)
    top, least = xp.max(x, axis=1, keepdims=True), float(xp.finfo(x.dtype).min)
    y = xp.mean(xp.exp(x - xp.maximum(top, least)), axis=1, out=out)
    xp.log(xp.maximum(y, 1e-30), out=y)  # y >= 1/K, unless all x_k are -inf
    y += top[:, 0]
    return y


@backward_of(log_mean_exp, x="BK")
def log_mean_exp_backward(dy, x, *, dx=None):
    """dy/dx_k = exp(x_k) / sum_j exp(x_j) = softmax(x)_k"""
    dx = _softmax(x, out=dx)
    dx *= dy[:, None]
    return dx


def _softmax(x, *, out=None):
    """exp(x_k) / sum_j exp(x_j) along each row; zeros for a row of -inf"""
    xp = module(x)
    top, least = xp.max(x, axis=1, keepdims=True), float(xp.finfo(x.dtype).min)
    y = xp.subtract(x, xp.maximum(top, least), out=out)
    xp.exp(y, out=y)
    y /= xp.maximum(xp.sum(y, axis=1, keepdims=True), 1)  # the sum is >= exp(0), or 0 for -inf
    return y


# ---------------------------------------------------------------------- ops of the classifier, M2


def softmax_cross_entropy(logits, t, *, out=None):
    """y = sum_c t_c [log sum_k exp(l_k) - l_c]: cross-entropy of softmax(l).   l, t (B,C) -> y (B,)

    t holds one-hot rows or soft targets.
    """
    xp = module(logits)
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_sum = xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    return xp.sum(t * (log_sum - shifted), axis=1, out=out)


@backward_of(softmax_cross_entropy, logits="BC", t="BC in [0,1]")
def softmax_cross_entropy_backward(dy, logits, t, *, dlogits=None):
    """dy/dl_c = softmax(l)_c sum_k t_k - t_c; the sum is 1 if t is a distribution"""
    dlogits = _softmax(logits, out=dlogits)
    dlogits *= module(dy).sum(t, axis=1, keepdims=True)
    dlogits -= t
    dlogits *= dy[:, None]
    return dlogits


def unknown_class(logits, cost, *, out=None):
    """y = sum_c q_c (cost_c + log q_c), q = softmax(l): the mean cost minus the entropy of q.

    logits, cost (B,C)   ->   y (B,), the negative of equation 7 of arXiv:1406.5298
    """
    xp = module(logits)
    log_q = log_softmax(logits)
    return xp.sum(xp.exp(log_q) * (cost + log_q), axis=1, out=out)


@backward_of(unknown_class, logits="BC", cost="BC")
def unknown_class_backward(dy, logits, cost, *, dlogits=None, dcost=None):
    """dy/dl_c = q_c (cost_c + log q_c - y), because the q sum to 1;    dy/dcost_c = q_c"""
    xp = module(dy)
    log_q = log_softmax(logits)
    q = xp.exp(log_q)
    surplus = cost + log_q
    surplus -= xp.sum(q * surplus, axis=1, keepdims=True)
    q *= dy[:, None]
    dlogits = None if dlogits is SKIP else xp.multiply(q, surplus, out=dlogits)
    return dlogits, None if dcost is SKIP else xp.multiply(q, 1, out=dcost)


def log_softmax(logits):
    """log q_c = l_c - log sum_k exp(l_k).        (B,C)  ->  (B,C)"""
    logits = logits - module(logits).max(logits, axis=1, keepdims=True)  # prevents underflow
    return logits - (log_mean_exp(logits) + log(logits.shape[1]))[:, None]
