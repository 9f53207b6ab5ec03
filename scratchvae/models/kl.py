"""What the loss charges for the KL, where that is not simply beta times the KL.

Two remedies for a KL that pulls too hard at the start: free bits (Kingma et al., arXiv:1606.04934,
section 2.3), a share that each unit has for nothing, and a capacity (Burgess et al.,
arXiv:1804.03599), an amount of nats that the KL is drawn to. Both look at the mean over the batch.
"""

from ..backend import array_module as module
from ..errors import InputError, finite_number


def check(beta, free_bits, capacity):
    """InputError for an unusable number, or for both remedies at once."""
    finite_number(beta, "beta")
    finite_number(free_bits, "free_bits")
    if capacity is not None:
        finite_number(capacity, "capacity")
        if free_bits:
            raise InputError("free_bits and capacity exclude each other: choose one")


def charge(acts, beta, free_bits, capacity):
    """The charge, in nats, where no schedule lowers it.

    beta KL                            without either
    beta sum_j max(KL_j, free_bits)    KL_j being the mean KL of unit j
    beta |KL - capacity|
    """
    if free_bits:
        units = unit_kl(acts.mu, acts.logvar)
        return beta * module(units).maximum(units, free_bits).sum()
    if capacity is not None:
        return beta * abs(acts.kl.mean() - capacity)
    return beta * acts.kl.mean()


def charge_backward(acts, beta, free_bits, capacity, ramp=1.0):
    """The charge's derivative by the mean KL of each unit: one number for all, or (Z,).

    ramp in [0, 1] is how far a schedule has come, which raises beta, or the capacity, from 0.
    """
    if free_bits:
        units = unit_kl(acts.mu, acts.logvar)
        return beta * ramp * (units > free_bits).astype(units.dtype)
    if capacity is not None:
        return beta * module(acts.kl).sign(acts.kl.mean() - ramp * capacity)
    return beta * ramp


def unit_kl(mu, logvar):
    """The mean over the batch of each unit's KL: mu, logvar (B,Z)  ->  (Z,), nats"""
    return (mu * mu + module(mu).expm1(logvar) - logvar).mean(axis=0) / 2
