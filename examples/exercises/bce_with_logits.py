"""Exercise 3: the gradient of the cross-entropy, from logits.

scratchvae verify examples/exercises/bce_with_logits.py
"""

import numpy as np

from scratchvae.gradcheck import inputs


@inputs("logits", logits="BD", t="BD in [0,1]")
def bce_with_logits(logits, t):
    """y[n] = sum_d log(1 + exp(l[n,d])) - l[n,d] t[n,d], nats.      logits l, t (B,D)  ->  y (B,)

    That is -sum_d [t log p + (1 - t) log(1 - p)] with p = 1 / (1 + exp(-l)).
    """
    return (np.logaddexp(0, logits) - logits * t).sum(axis=1)


def bce_with_logits_backward(dy, logits, t):
    """dy (B,): one number for each example.        ->   {"logits": dlogits (B,D)}

    What is the derivative of log(1 + exp(l))? The answer is a difference of two simple things. A
    division, or a p (1 - p), means that something has not been cancelled yet.
    """
    raise NotImplementedError('return {"logits": dlogits}')
