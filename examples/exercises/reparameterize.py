"""Exercise 4: the gradient of a sample.

scratchvae verify examples/exercises/reparameterize.py
"""

import numpy as np

from scratchvae.gradcheck import inputs


@inputs("mu", "logvar", mu="BZ", logvar="BZ", eps="BZ")
def reparameterize(mu, logvar, eps):
    """z = mu + exp(logvar/2) eps: a sample of N(mu, exp(logvar)), if eps is one of N(0, 1).   (B,Z)

    The noise is an argument, so z is an ordinary function of mu and logvar.
    """
    return mu + np.exp(logvar / 2) * eps


def reparameterize_backward(dy, logvar, eps):
    """dy (B,Z), the gradient by z.        ->   {"mu": dmu, "logvar": dlogvar}, (B,Z) each"""
    raise NotImplementedError('return {"mu": dmu, "logvar": dlogvar}')
