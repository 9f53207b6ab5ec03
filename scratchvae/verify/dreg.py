"""The function whose gradient the doubly reparameterized estimate is, written without it.

The estimate (Tucker et al., arXiv:1810.04152) has the mean of the bound's gradient, but is not the
gradient of the bound, so differences of the bound cannot check it. They can check it against this:
the importance weights w, and q where it is evaluated, are numbers that do not move.

    decoder    sum_k w_k   [-log p(x|z_k)]                                       z_k held
    encoder    sum_k w_k^2 [-log p(x|z_k) - log p(z_k) + log q(z_k|x)]     p(x|.) and q held
"""

from collections.abc import Callable
from typing import Any

from ..backend import array_module as module
from ..models import losses as likelihoods


def surrogate(model: Any, x: Any, eps: Any) -> Callable[[], Any]:
    """The mean over the batch of the sum of both lines, of the parameters as they are when called.

    What is held is what it was at the parameters of now.
    """
    p = model.params_
    held, first = p.array.copy(), model.forward(x, eps)
    B, K = first.log_w.shape
    xp = module(p.array)
    w = xp.exp(first.log_w - first.log_w.max(axis=1, keepdims=True))
    w = (w / w.sum(axis=1, keepdims=True)).reshape(B * K)
    mus, logvars, z, xs = xp.repeat(first.mu, K, 0), *(
        a.copy() for a in (first.logvars, first.z, first.x)
    )  # fmt: skip

    def rec(z: Any) -> Any:
        y = model.decoder(z)
        return likelihoods.reconstruction(p, y, xs, model.workspace, model.likelihood).copy()

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
