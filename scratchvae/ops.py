"""Every op of the VAE and its gradient, written by hand.

An op is a pair of pure functions, `f` and `f_backward`. Backward takes the upstream gradient `dy`,
the gradient of the loss with respect to f's output, and returns the gradient with respect to each
input. Its signature names what it needs from forward: an input by its name, the output as `y`.
Losses return one value per example, in nats; weighting and averaging are left to the model.

On a first reading, ignore these five:
  module(x)            numpy, or cupy if x is on a GPU
  out=, dx=, dW=, ...  the array that a result is written to; None allocates one
  SKIP                 in place of such an array: this gradient is not needed
  @fused("...")        the body as one formula, which a GPU computes in one kernel
  ws("name", ...)      in `nets.py` and the models: a workspace buffer, reused at each step

To keep this file short, ops that only one likelihood or model needs are defined with it: the other
densities, log_mean_exp and softmax_cross_entropy in `models/losses.py`, linear_each_class in
`models/m2.py`. Sizes: B batch, I inputs, O outputs, D pixels, H hidden, Z latents. Read `nets.py`
next.
"""

from .backend import array_module as module
from .backend.kernels import fused
from .backend.registry import SKIP, backward_of


def _times(dy, slope, out):
    """The chain rule for an elementwise op: dy * slope"""
    return None if out is SKIP else module(dy).multiply(dy, slope, out=out)


# ------------------------------------------------------------------------------------------- layers


def linear(x, W, b, *, out=None):
    """y = x W + b.        x (B,I)   W (I,O)   b (O,)   ->   y (B,O)"""
    y = module(x).matmul(x, W, out=out)
    y += b
    return y


@backward_of(linear, x="BI", W="IO", b="O")
def linear_backward(dy, x, W, *, dx=None, dW=None, db=None):
    """From y[n,o] = sum_i x[n,i] W[i,o] + b[o]:

    dL/dx[n,i] = sum_o dy[n,o] W[i,o]    dx = dy W^T    (B,I)
    dL/dW[i,o] = sum_n x[n,i] dy[n,o]    dW = x^T dy    (I,O)
    dL/db[o]   = sum_n dy[n,o]           db = 1^T dy    (O,)
    """
    xp = module(dy)
    dx = None if dx is SKIP else xp.matmul(dy, W.T, out=dx)
    dW = None if dW is SKIP else xp.matmul(x.T, dy, out=dW)
    db = None if db is SKIP else xp.sum(dy, axis=0, out=db)
    return dx, dW, db


# -------------------------------------------------------------------------------------- activations
# Backward reads only the output, so forward may overwrite x (out=x) and backward dy (dx=dy).


def relu(x, *, out=None):
    """y = max(x, 0), elementwise.        x (B,H)   ->   y (B,H)"""
    return module(x).maximum(x, 0, out=out)


@backward_of(relu, x="BH away from 0")
@fused("dx = dy * (y > 0)")
def relu_backward(dy, y, *, dx=None):
    """dy/dx = 1 where x > 0, else 0. At x = 0 there is no derivative; by convention, use 0."""
    # forward: y = max(x, 0), so the gradient passes where y > 0
    return _times(dy, y > 0, dx)


def sigmoid(x, *, out=None):
    """y = 1 / (1 + exp(-x)) = (1 + tanh(x/2)) / 2, which cannot overflow.   x (B,H)  ->  y (B,H)"""
    xp = module(x)
    y = xp.multiply(x, 0.5, out=out)
    xp.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y


@backward_of(sigmoid, x="BH")
def sigmoid_backward(dy, y, *, dx=None):
    """dy/dx = exp(-x) / (1 + exp(-x))^2 = y (1 - y)"""
    slope = 1 - y
    slope *= y
    return _times(dy, slope, dx)


def tanh(x, *, out=None):
    """y = tanh(x), elementwise.        x (B,H)   ->   y (B,H)"""
    return module(x).tanh(x, out=out)


@backward_of(tanh, x="BH")
def tanh_backward(dy, y, *, dx=None):
    """dy/dx = 1 - tanh(x)^2 = 1 - y^2"""
    slope = y * y
    return _times(dy, module(y).subtract(1, slope, out=slope), dx)


def softplus(x, *, out=None):
    """y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)).        x (B,H)   ->   y (B,H)"""
    tail = _log1p_exp_minus_abs(x)
    y = module(x).maximum(x, 0, out=out)
    y += tail
    return y


@backward_of(softplus, x="BH")
def softplus_backward(dy, y, *, dx=None):
    """dy/dx = sigmoid(x) = 1 - exp(-y), because exp(y) = 1 + exp(x)"""
    xp = module(dy)
    slope = xp.expm1(xp.negative(y))
    return _times(dy, xp.negative(slope, out=slope), dx)


def _log1p_exp_minus_abs(x):
    """log(1 + exp(-|x|)) = softplus(x) - max(x, 0), which cannot overflow"""
    xp = module(x)
    tail = xp.abs(x)
    xp.exp(xp.negative(tail, out=tail), out=tail)
    return xp.log1p(tail, out=tail)


# ------------------------------------------------------------------------------ the latent variable


@fused("y = exp(logvar / 2) * eps + mu")
def reparameterize(mu, logvar, eps, *, out=None):
    """z = mu + exp(logvar/2) eps, a sample of N(mu, exp(logvar)) if eps ~ N(0, 1).        (B,Z)

    The noise is an argument, so z is a deterministic, differentiable function of mu and logvar
    (Kingma & Welling, arXiv:1312.6114, section 2.4). logvar is the log of the variance, hence the
    half.
    """
    xp = module(mu)
    z = xp.multiply(logvar, 0.5, out=out)
    xp.exp(z, out=z)
    z *= eps
    z += mu
    return z


@backward_of(reparameterize, mu="BZ", logvar="BZ", eps="BZ")
@fused("dmu = dy; dlogvar = dy * (exp(logvar / 2) * eps / 2)")
def reparameterize_backward(dy, logvar, eps, *, dmu=None, dlogvar=None):
    """dz/dmu = 1,    dz/dlogvar = exp(logvar/2) eps / 2"""
    slope = logvar * 0.5
    module(dy).exp(slope, out=slope)
    slope *= eps
    slope *= 0.5
    return _times(dy, 1, dmu), _times(dy, slope, dlogvar)


@fused("y = sum(expm1(logvar) - logvar + mu * mu) / 2")
def gaussian_kl(mu, logvar, *, out=None):
    """KL(N(mu, exp(logvar)) || N(0, 1)) = sum_z (mu^2 + exp(logvar) - 1 - logvar) / 2

    mu, logvar (B,Z)   ->   y (B,).  Kingma & Welling, arXiv:1312.6114, appendix B.
    """
    xp = module(mu)
    term = xp.expm1(logvar)  # exp(logvar) - 1 would lose its digits near logvar = 0
    term -= logvar
    term += mu * mu
    y = xp.sum(term, axis=1, out=out)
    y *= 0.5
    return y


@backward_of(gaussian_kl, mu="BZ", logvar="BZ")
@fused("dmu = dy * mu; dlogvar = dy * (expm1(logvar) / 2)")
def gaussian_kl_backward(dy, mu, logvar, *, dmu=None, dlogvar=None):
    """dKL/dmu = mu,    dKL/dlogvar = (exp(logvar) - 1) / 2"""
    slope = module(dy).expm1(logvar)
    slope *= 0.5
    return _times(dy[:, None], mu, dmu), _times(dy[:, None], slope, dlogvar)


# ----------------------------------------------------------- losses: one value per example, in nats


def bce(p, t, *, out=None):
    """-sum_d [t log p + (1 - t) log(1 - p)]: cross-entropy of probabilities.   p, t (B,D) -> y (B,)

    log 0 is clamped to -100, as in PyTorch, so the loss stays finite. Models use `bce_with_logits`,
    which needs no clamp: once a sigmoid has rounded to 1, log(1 - p) cannot be recovered.
    """
    xp = module(p)

    def clamped_log(q):
        return xp.maximum(xp.log(xp.maximum(q, 1e-44)), -100)  # exp(-100) is 4e-44

    y = xp.sum(t * clamped_log(p) + (1 - t) * clamped_log(1 - p), axis=1, out=out)
    return xp.negative(y, out=y)


@backward_of(bce, p="BD in (0,1)", t="BD in [0,1]")
def bce_backward(dy, p, t, *, dp=None):
    """dy/dp = (1 - t)/(1 - p) - t/p = (p - t) / (p (1 - p)), with the denominator >= 1e-12"""
    dp = module(dy).subtract(p, t, out=dp)
    dp /= module(dy).maximum(p * (1 - p), 1e-12)
    dp *= dy[:, None]
    return dp


@fused("y = sum(max(logits, T(0)) - logits * t + log1p(exp(-fabs(logits))))")
def bce_with_logits(logits, t, *, out=None):
    """Cross-entropy of p = sigmoid(l), from the logits l = log(p / (1 - p)).   l, t (B,D) -> y (B,)

    y = sum_d [log(1 + exp(l)) - l t] = sum_d [max(l, 0) - l t + log(1 + exp(-|l|))], for any l
    """
    xp = module(logits)
    term = xp.maximum(logits, 0)
    term -= logits * t  # exactly 0 where l > 0 and t = 1, so the last term keeps all its digits
    term += _log1p_exp_minus_abs(logits)
    return xp.sum(term, axis=1, out=out)


@backward_of(bce_with_logits, logits="BD", t="BD in [0,1]")
@fused("dlogits = ((tanh(logits / 2) + 1) / 2 - t) * dy")
def bce_with_logits_backward(dy, logits, t, *, dlogits=None):
    """dy/dl = sigmoid(l) - t: the derivatives of loss and sigmoid cancel, with no division"""
    dlogits = sigmoid(logits, out=dlogits)
    dlogits -= t
    dlogits *= dy[:, None]
    return dlogits


def squared_error(x, t, *, out=None):
    """y = sum_d (x - t)^2.        x, t (B,D)   ->   y (B,)"""
    diff = x - t
    diff *= diff
    return module(x).sum(diff, axis=1, out=out)


@backward_of(squared_error, x="BD", t="BD")
def squared_error_backward(dy, x, t, *, dx=None):
    """dy/dx = 2 (x - t)"""
    dx = module(dy).subtract(x, t, out=dx)
    dx *= 2 * dy[:, None]
    return dx
