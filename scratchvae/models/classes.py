"""Operations that treat every class alike: what a model computes where the label is unknown."""

from math import log

from .. import ops
from ..backend import array_module as module
from ..backend.registry import SKIP, backward_of


def linear_each_class(x, W, V, b, *, out=None):
    """y[n,c] = x[n] W + V[c] + b: a linear layer of x joined with each class in turn.

    x (B,I)   W (I,O)   V (C,O), the rows of the one-hot labels   b (O,)   ->   y (B,C,O)
    """
    xp = module(x)
    return xp.add(ops.linear(x, W, b)[:, None], V, out=out)


@backward_of(linear_each_class, x="BI", W="IO", V="CO", b="O")
def linear_each_class_backward(dy, x, W, *, dx=None, dW=None, dV=None, db=None):
    """dL/dV[c,o] = sum_n dy[n,c,o]; the rest is `linear`'s, of the sum over the classes"""
    dV = None if dV is SKIP else module(dy).sum(dy, axis=0, out=dV)
    dx, dW, db = ops.linear_backward(dy.sum(axis=1), x, W, dx=dx, dW=dW, db=db)
    return dx, dW, dV, db


def unknown_class(logits, cost, *, out=None):
    """y = sum_c q_c (cost_c + log q_c), q = softmax(l): the mean cost less the entropy.

    logits, cost (B,C)   ->   y (B,), equation 7 of arXiv:1406.5298 without its sign
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
    logits = logits - module(logits).max(logits, axis=1, keepdims=True)  # else small ones are lost
    return logits - (ops.log_mean_exp(logits) + log(logits.shape[1]))[:, None]
