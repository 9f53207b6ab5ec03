"""Adam (Kingma & Ba, arXiv:1412.6980) on one flat vector, and the schedule of the KL term."""

from math import sqrt
from typing import Any

import numpy as np

from .backend import Array, array_module

# On the CPU the update walks the vector in pieces that stay in the cache for all its passes.
BLOCK = 65_536


class Adam:
    """m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2,  p -= lr (m / c1) / (sqrt(v / c2) + eps)

    with c1 = 1 - b1^t and c2 = 1 - b2^t, t counting the steps from 1; v begins at v0.

    Epsilon stands outside the square root of the bias-corrected second moment, as in the paper's
    algorithm 1.
    """

    def __init__(
        self,
        p: Array,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        v0: float = 0.0,
    ) -> None:
        xp = array_module(p)
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.t = 0
        self.m = xp.zeros_like(p)
        self.v = xp.full_like(p, v0)
        self._block = min(BLOCK, p.size) if xp is np else p.size
        self._tmp = xp.empty(self._block, dtype=p.dtype)

    def step(self, p: Array, g: Array) -> None:
        """One update of the parameters p, in place, from the gradient g; both flat vectors."""
        xp: Any = array_module(p)
        self.t += 1
        root2 = sqrt(1 - self.beta2**self.t)
        # with r2 = sqrt(c2): (m/c1) / (sqrt(v)/r2 + eps) = (r2/c1) m / (sqrt(v) + r2 eps)
        scale = self.lr * root2 / (1 - self.beta1**self.t)
        for start in range(0, p.size, self._block):
            piece = slice(start, start + self._block)
            pi, gi, m, v = p[piece], g[piece], self.m[piece], self.v[piece]
            tmp = self._tmp[: pi.size]
            xp.subtract(gi, m, out=tmp)
            tmp *= 1 - self.beta1
            m += tmp
            xp.multiply(gi, gi, out=tmp)
            tmp -= v
            tmp *= 1 - self.beta2
            v += tmp
            xp.sqrt(v, out=tmp)
            tmp += root2 * self.eps
            xp.divide(m, tmp, out=tmp)
            tmp *= scale
            pi -= tmp


def ramp(epoch: float, warmup: float = 0, cycle: float = 0) -> float:
    """How far the KL term has come in, from 0 to 1, fractions of an epoch counted.

    It grows linearly over the first `warmup` epochs; with `cycle`, over the first half of each
    `cycle` epochs, to begin anew after each (Fu et al., arXiv:1903.10145). At once if both are 0.
    """
    if cycle > 0:
        return min(1.0, 2 * (epoch % cycle) / cycle)
    return min(1.0, epoch / warmup) if warmup > 0 else 1.0
