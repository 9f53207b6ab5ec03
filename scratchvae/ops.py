"""Every op of the project and its gradient: all the calculus, written by hand.

An op is a pair of pure functions, `f` and `f_backward`. Backward takes the gradient of the loss with respect to
f's output, `dy`, and returns the gradient with respect to each input. What it needs from forward stands in its
signature: an input by its own name, the output as `y`. Arguments after the star are destinations: an array is
overwritten and returned, None allocates, and SKIP means that nobody wants this gradient.

Losses return one value per example, in nats, so that weights and means stay with the model, where they can be
seen. Sizes: B batch, I inputs, O outputs, D pixels, H hidden units, Z latents, C classes, K samples. Read `nets.py` next, then `models/vae.py`.
"""

from math import log, pi
from typing import Any

from .backend import Array
from .backend import array_module as module
from .registry import SKIP, backward_of

LOG_2PI = log(2 * pi)

# ------------------------------------------------------------------------------------------------ layers


def linear(x: Array, W: Array, b: Array, *, out: Array = None) -> Array:
    """y = x W + b.        x (B,I)   W (I,O)   b (O,)   ->   y (B,O)"""
    y = module(x).matmul(x, W, out=out)
    y += b
    return y


@backward_of(linear, x="BI", W="IO", b="O")
def linear_backward(
    dy: Array, x: Array, W: Array, *, dx: Array = None, dW: Array = None, db: Array = None
) -> Any:
    """From y[n,o] = sum_i x[n,i] W[i,o] + b[o]:

    dL/dx[n,i] = sum_o dy[n,o] W[i,o]    dx = dy W^T    (B,I)
    dL/dW[i,o] = sum_n x[n,i] dy[n,o]    dW = x^T dy    (I,O)
    dL/db[o]   = sum_n dy[n,o]           db = 1^T dy    (O,)
    """
    xp = module(dy)
    return (
        None if dx is SKIP else xp.matmul(dy, W.T, out=dx),
        None if dW is SKIP else xp.matmul(x.T, dy, out=dW),
        None if db is SKIP else xp.sum(dy, axis=0, out=db),
    )


# ------------------------------------------------------------------------------------------- activations
# Each backward reads only the output y, so forward may overwrite its input (out=x) and backward its dy (dx=dy).


def relu(x: Array, *, out: Array = None) -> Array:
    """y = max(x, 0), entry by entry.        x (B,H)   ->   y (B,H)"""
    return module(x).maximum(x, 0, out=out)


@backward_of(relu, x="BH away from 0")
def relu_backward(dy: Array, y: Array, *, dx: Array = None) -> Array:
    """dy/dx = 1 where x > 0, else 0; at x = 0, where there is no derivative, we take 0, as everybody does."""
    # forward: y = max(x, 0), so the gradient passes where y > 0
    return module(dy).multiply(dy, y > 0, out=dx)


def sigmoid(x: Array, *, out: Array = None) -> Array:
    """y = 1 / (1 + exp(-x)), computed as (1 + tanh(x/2)) / 2, which cannot overflow.   x (B,H) -> y (B,H)"""
    xp = module(x)
    y = xp.multiply(x, 0.5, out=out)
    xp.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y


@backward_of(sigmoid, x="BH")
def sigmoid_backward(dy: Array, y: Array, *, dx: Array = None) -> Array:
    """dy/dx = exp(-x) / (1 + exp(-x))^2 = y (1 - y)"""
    slope = 1 - y
    slope *= y
    return module(dy).multiply(dy, slope, out=dx)


def tanh(x: Array, *, out: Array = None) -> Array:
    """y = tanh(x), entry by entry.        x (B,H)   ->   y (B,H)"""
    return module(x).tanh(x, out=out)


@backward_of(tanh, x="BH")
def tanh_backward(dy: Array, y: Array, *, dx: Array = None) -> Array:
    """dy/dx = 1 - tanh(x)^2 = 1 - y^2"""
    slope = y * y
    module(y).subtract(1, slope, out=slope)
    return module(dy).multiply(dy, slope, out=dx)


def softplus(x: Array, *, out: Array = None) -> Array:
    """y = log(1 + exp(x)), computed as max(x, 0) + log(1 + exp(-|x|)).        x (B,H)   ->   y (B,H)"""
    xp = module(x)
    tail = xp.abs(x)
    xp.exp(xp.negative(tail, out=tail), out=tail)
    xp.log1p(tail, out=tail)
    y = xp.maximum(x, 0, out=out)
    y += tail
    return y


@backward_of(softplus, x="BH")
def softplus_backward(dy: Array, y: Array, *, dx: Array = None) -> Array:
    """dy/dx = sigmoid(x) = 1 - exp(-y), because exp(y) = 1 + exp(x)"""
    xp = module(dy)
    slope = xp.negative(y)
    xp.negative(xp.expm1(slope, out=slope), out=slope)
    return xp.multiply(dy, slope, out=dx)


# -------------------------------------------------------------------------------- the latent variable


def reparameterize(mu: Array, logvar: Array, eps: Array, *, out: Array = None) -> Array:
    """z = mu + exp(logvar/2) eps: a sample of N(mu, exp(logvar)) when eps is one of N(0, 1).   all (B,Z)

    The noise is an argument, so z is an ordinary function of mu and logvar, with ordinary derivatives
    (Kingma & Welling, arXiv:1312.6114, section 2.4). logvar is the log of the variance, hence the half.
    """
    xp = module(mu)
    z = xp.multiply(logvar, 0.5, out=out)
    xp.exp(z, out=z)
    z *= eps
    z += mu
    return z


@backward_of(reparameterize, mu="BZ", logvar="BZ", eps="BZ")
def reparameterize_backward(
    dy: Array, logvar: Array, eps: Array, *, dmu: Array = None, dlogvar: Array = None
) -> Any:
    """From z = mu + exp(logvar/2) eps:

    dz/dmu     = 1                          dmu     = dz
    dz/dlogvar = exp(logvar/2) eps / 2      dlogvar = dz exp(logvar/2) eps / 2
    """
    xp = module(dy)
    slope = xp.multiply(logvar, 0.5)
    xp.exp(slope, out=slope)
    slope *= eps
    slope *= 0.5
    return (
        None if dmu is SKIP else xp.multiply(dy, 1, out=dmu),
        None if dlogvar is SKIP else xp.multiply(dy, slope, out=dlogvar),
    )


def gaussian_kl(mu: Array, logvar: Array, *, out: Array = None) -> Array:
    """KL(N(mu, exp(logvar)) || N(0, 1)) = sum_z (mu^2 + exp(logvar) - 1 - logvar) / 2.    (B,Z) -> y (B,)

    Kingma & Welling, arXiv:1312.6114, appendix B.
    """
    xp = module(mu)
    term = xp.exp(logvar)
    term += mu * mu
    term -= logvar
    term -= 1
    y = xp.sum(term, axis=1, out=out)
    y *= 0.5
    return y


@backward_of(gaussian_kl, mu="BZ", logvar="BZ")
def gaussian_kl_backward(
    dy: Array, mu: Array, logvar: Array, *, dmu: Array = None, dlogvar: Array = None
) -> Any:
    """dKL/dmu = mu,    dKL/dlogvar = (exp(logvar) - 1) / 2"""
    xp, dy = module(dy), dy[:, None]
    slope = xp.expm1(logvar)
    slope *= 0.5
    return (
        None if dmu is SKIP else xp.multiply(dy, mu, out=dmu),
        None if dlogvar is SKIP else xp.multiply(dy, slope, out=dlogvar),
    )


# ---------------------------------------------------------------------- losses: one value per example, in nats


def bce(p: Array, t: Array, *, out: Array = None) -> Array:
    """-sum_d [t log p + (1 - t) log(1 - p)]: binary cross-entropy of probabilities.   p, t (B,D) -> y (B,)

    Logarithms are clamped at -100, as PyTorch has it, so that p = 0 costs 100 nats and not infinity. Models use
    `bce_with_logits`, which needs no clamp: a sigmoid that has rounded to 1 has already lost what log(1 - p) asks.
    """
    xp = module(p)
    tiny = float(xp.finfo(p.dtype).tiny)

    def clamped_log(q: Array) -> Array:
        return xp.where(q > 0, xp.maximum(xp.log(xp.maximum(q, tiny)), -100), -100)

    y = xp.sum(t * clamped_log(p) + (1 - t) * clamped_log(1 - p), axis=1, out=out)
    return xp.negative(y, out=y)


@backward_of(bce, p="BD in (0,1)", t="BD in [0,1]")
def bce_backward(dy: Array, p: Array, t: Array, *, dp: Array = None) -> Array:
    """dy/dp = (1 - t)/(1 - p) - t/p = (p - t) / (p (1 - p)), the denominator kept above 1e-12, as in PyTorch"""
    xp = module(dy)
    dp = xp.subtract(p, t, out=dp)
    dp /= xp.maximum(p * (1 - p), 1e-12)
    dp *= dy[:, None]
    return dp


def bce_with_logits(logits: Array, t: Array, *, out: Array = None) -> Array:
    """Binary cross-entropy of p = sigmoid(l), from the logits l = log(p / (1 - p)).   l, t (B,D) -> y (B,)

    y = sum_d [log(1 + exp(l)) - l t] = sum_d [max(l, 0) - l t + log(1 + exp(-|l|))], exact at any l.
    """
    xp = module(logits)
    term = xp.abs(logits)
    xp.exp(xp.negative(term, out=term), out=term)
    xp.log1p(term, out=term)
    term += xp.maximum(logits, 0)
    term -= logits * t
    return xp.sum(term, axis=1, out=out)


@backward_of(bce_with_logits, logits="BD", t="BD in [0,1]")
def bce_with_logits_backward(dy: Array, logits: Array, t: Array, *, dlogits: Array = None) -> Array:
    """dy/dl = sigmoid(l) - t: the loss and the sigmoid cancel to a difference, without a division"""
    dlogits = sigmoid(logits, out=dlogits)
    dlogits -= t
    dlogits *= dy[:, None]
    return dlogits


def squared_error(x: Array, t: Array, *, out: Array = None) -> Array:
    """y = sum_d (x - t)^2.        x, t (B,D)   ->   y (B,)"""
    xp = module(x)
    diff = xp.subtract(x, t)
    diff *= diff
    return xp.sum(diff, axis=1, out=out)


@backward_of(squared_error, x="BD", t="BD")
def squared_error_backward(dy: Array, x: Array, t: Array, *, dx: Array = None) -> Array:
    """dy/dx = 2 (x - t)"""
    dx = module(dy).subtract(x, t, out=dx)
    dx *= 2 * dy[:, None]
    return dx


def gaussian_nll(mu: Array, logvar: Array, t: Array, *, out: Array = None) -> Array:
    """-log N(t; mu, exp(logvar)) = sum_d [(t - mu)^2 exp(-logvar) + logvar + log 2 pi] / 2

    mu, t (B,D)   logvar (1,): one noise level, shared by all pixels and examples   ->   y (B,)
    (Rybkin et al., arXiv:2006.13202: learned like any parameter, it needs no weight between the two terms.)
    """
    xp = module(mu)
    y = squared_error(mu, t, out=out)
    y *= xp.exp(-logvar)
    y += mu.shape[1] * (logvar + LOG_2PI)
    y *= 0.5
    return y


@backward_of(gaussian_nll, mu="BD", logvar="1", t="BD")
def gaussian_nll_backward(
    dy: Array, mu: Array, logvar: Array, t: Array, *, dmu: Array = None, dlogvar: Array = None
) -> Any:
    """dy/dmu     = (mu - t) exp(-logvar)
    dy/dlogvar = (D - sum_d (t - mu)^2 exp(-logvar)) / 2, summed over the examples, which share it
    """
    xp, precision = module(dy), module(dy).exp(-logvar)
    if dlogvar is not SKIP:
        slope = mu.shape[1] - squared_error(mu, t) * precision
        dlogvar = xp.sum(dy * slope * 0.5, axis=0, keepdims=True, out=dlogvar)
    if dmu is not SKIP:
        dmu = xp.subtract(mu, t, out=dmu)
        dmu *= dy[:, None] * precision
    return (None if dmu is SKIP else dmu, None if dlogvar is SKIP else dlogvar)


def softmax_cross_entropy(logits: Array, t: Array, *, out: Array = None) -> Array:
    """y = sum_c t_c [log sum_k exp(l_k) - l_c]: cross-entropy of softmax(l).        l, t (B,C)   ->   y (B,)

    t holds one-hot rows or soft targets. The largest logit is subtracted first, so that exp cannot overflow.
    """
    xp = module(logits)
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_sum = xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    return xp.sum(t * (log_sum - shifted), axis=1, out=out)


@backward_of(softmax_cross_entropy, logits="BC", t="BC in [0,1]")
def softmax_cross_entropy_backward(
    dy: Array, logits: Array, t: Array, *, dlogits: Array = None
) -> Array:
    """dy/dl_c = softmax(l)_c sum_k t_k - t_c, and the sum is 1 where t is a distribution"""
    dlogits = _softmax(logits, out=dlogits)
    dlogits *= module(dy).sum(t, axis=1, keepdims=True)
    dlogits -= t
    dlogits *= dy[:, None]
    return dlogits


def log_mean_exp(x: Array, *, out: Array = None) -> Array:
    """y = log[(1/K) sum_k exp(x_k)], the largest x_k taken out of the sum first.        x (B,K)   ->   y (B,)"""
    xp = module(x)
    top = xp.max(x, axis=1, keepdims=True)
    y = xp.sum(xp.exp(x - top), axis=1, out=out)
    xp.log(y, out=y)
    y += top[:, 0]
    y -= log(x.shape[1])
    return y


@backward_of(log_mean_exp, x="BK")
def log_mean_exp_backward(dy: Array, x: Array, *, dx: Array = None) -> Array:
    """dy/dx_k = exp(x_k) / sum_j exp(x_j) = softmax(x)_k: each sample counts by its share of the mean"""
    dx = _softmax(x, out=dx)
    dx *= dy[:, None]
    return dx


def _softmax(x: Array, *, out: Array = None) -> Array:
    xp = module(x)
    y = xp.subtract(x, xp.max(x, axis=1, keepdims=True), out=out)
    xp.exp(y, out=y)
    y /= xp.sum(y, axis=1, keepdims=True)
    return y
