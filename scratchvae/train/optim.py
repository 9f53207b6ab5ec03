"""Adam (Kingma & Ba, arXiv:1412.6980) on one flat vector, gradient clipping, the KL schedule."""

from collections.abc import Mapping
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, array_module, kernels
from ..backend.memory import empty
from ..errors import InputError, finite_number, whole_number

# On the CPU the update processes the vector in blocks that fit into the cache.
BLOCK = 65_536
# Where a gradient stays zero, its moments decay until they are subnormal, and arithmetic on those
# can be a hundred times slower. So the tiniest are set to zero every FLUSH steps. (CuPy's kernels
# treat subnormal numbers as zero anyway.)
FLUSH = 50
# the settings of a `Trainer` that are also hyper-parameters of the models
TRAINING = ("batch_size", "lr", "kl_warmup", "kl_cycle", "binarize", "clip_norm")


def check_training(of: Any) -> None:
    """Raises InputError if one of these attributes, numbers of TRAINING, is invalid."""
    whole_number(of.batch_size, "batch_size")
    if not callable(of.lr):
        finite_number(of.lr, "lr", above=0)
    finite_number(of.kl_warmup, "kl_warmup")
    finite_number(of.kl_cycle, "kl_cycle")
    if of.clip_norm is not None:
        finite_number(of.clip_norm, "clip_norm", above=0)
    if of.kl_warmup and of.kl_cycle:
        raise InputError("kl_warmup and kl_cycle exclude each other: choose one")


def check_schedule(model: Any, scheduled: bool) -> None:
    """Raises InputError if the model has no KL term to schedule."""
    if scheduled and not model.scheduled:
        name = type(model).__name__
        raise InputError(f"{name} has no KL term to schedule: leave out kl_warmup and kl_cycle")


def adam_settings(lr: Any, others: Mapping[str, float] | None) -> dict[str, float]:
    """The arguments of `Adam`; a step size that is a function is passed at each step instead."""
    if others and "lr" in others:
        raise InputError("pass the step size as lr, not among Adam's other settings")
    return ({} if callable(lr) else {"lr": lr}) | dict(others or {})


class Adam:
    """m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2,  p -= lr (m / c1) / (sqrt(v / c2) + eps)

    with c1 = 1 - b1^t and c2 = 1 - b2^t, where t counts the steps from 1; the initial v is v0.

    Epsilon is added outside the square root of the bias-corrected second moment, as in algorithm 1
    of the paper. The square of a gradient beyond 1.8e19 overflows float32: v becomes infinite, and
    the parameter NaN one step later, which `Trainer` detects. (A parameter that merely stopped
    changing would go unnoticed.)
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
        self.lr, self.beta1, self.beta2, self.eps, self.v0 = lr, beta1, beta2, eps, v0
        self.t = 0
        self.m, self.v = (empty(xp, p.shape, p.dtype) for _ in range(2))
        self.m.fill(0)
        self.v.fill(v0)
        self._tmp = empty(xp, (max(1, min(BLOCK, p.size)),), p.dtype) if xp is np else None

    def step(self, p: Array, g: Array) -> None:
        """One update of the parameters p, in place, from the gradient g; both flat vectors."""
        self.update(p, g, *self.rates(self.lr, self.t + 1))
        self.t += 1

    def rates(self, lr: float, t: int) -> tuple[float, float]:
        """rate and floor, such that step t is p -= rate m / (sqrt(v) + floor)

        With r = sqrt(c2): lr (m / c1) / (sqrt(v) / r + eps) = (lr r / c1) m / (sqrt(v) + r eps).
        """
        root = sqrt(1 - self.beta2**t)
        return lr * root / (1 - self.beta1**t), root * self.eps

    def update(self, p: Array, g: Array, rate: Any, floor: Any, part: slice = slice(None)) -> None:
        """The update with the numbers of `rates`, which may be 1-element arrays on a GPU.

        p and g may be a slice of the vector.
        """
        keep1, keep2 = 1 - self.beta1, 1 - self.beta2
        all_m, all_v = self.m[part], self.v[part]
        if self._tmp is None:
            return kernels.adam(p, all_m, all_v, g, keep1, keep2, rate, floor)
        info = np.finfo(p.dtype)
        # adding and subtracting these makes 0 of an m below 2^15 times, a v below 2 times `tiny`
        small_m, small_v = (float(info.tiny) * 2.0 ** (info.nmant + n) for n in (17, 3))
        for start in range(0, p.size, len(self._tmp)):
            piece = slice(start, start + len(self._tmp))
            pi, gi, m, v = p[piece], g[piece], all_m[piece], all_v[piece]
            tmp = self._tmp[: pi.size]
            np.subtract(gi, m, out=tmp)
            tmp *= keep1
            m += tmp
            np.multiply(gi, gi, out=tmp)
            tmp -= v
            tmp *= keep2
            v += tmp
            np.sqrt(v, out=tmp)
            tmp += floor
            np.divide(m, tmp, out=tmp)
            tmp *= rate
            pi -= tmp
            if self.t % FLUSH == FLUSH - 1:
                m += small_m
                m -= small_m
                if self.eps**2 > small_v:  # otherwise such a v is not negligible beside eps
                    v += small_v
                    v -= small_v


def clip(g: Array, max_norm: float) -> None:
    """Scale g, in place, so that its Euclidean norm is at most max_norm.

    Pascanu et al., arXiv:1211.5063, algorithm 1. It does not synchronise with the device.
    """
    g *= max_norm / array_module(g).maximum(norm(g), max_norm)


def norm(g: Array) -> Array:
    """The Euclidean norm of g, which overflows only beyond float64."""
    xp = array_module(g)
    tiny = float(xp.finfo(g.dtype).tiny)
    # scaled by the largest, the squares cannot overflow; a rank's slice may be empty
    top = xp.maximum(xp.abs(g).max(), tiny) if g.size else 1.0
    return top * xp.sqrt(xp.sum(xp.square(g / top), dtype="float64"))


class StepNumbers(NamedTuple):
    """The numbers that vary with the step; 1-element arrays on a GPU."""

    step: Any  # steps before this one: the key of the noise
    ramp: Any  # the schedule of the KL weight, from 0 to 1
    rate: Any  # see `Adam.rates`
    floor: Any


def ramp(epoch: float, warmup: float = 0, cycle: float = 0) -> float:
    """The schedule of the KL weight, from 0 to 1, at a fractional epoch.

    It grows linearly over the first `warmup` epochs, or over the first half of each `cycle` epochs
    (Fu et al., arXiv:1903.10145). It is always 1 if both are 0.
    """
    if cycle > 0:
        return min(1.0, 2 * (epoch % cycle) / cycle)
    return min(1.0, epoch / warmup) if warmup > 0 else 1.0
