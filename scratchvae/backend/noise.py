"""Counter-based random numbers: a pure function of seed, stream, step and row.

There is no generator state to save. A resumed run uses the same numbers as an uninterrupted one,
and a mini-batch split over several processes or moved to a GPU uses the same noise. The
generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
ten rounds of multiply-and-swap that turn a 128-bit counter and a 64-bit key into 128 bits.
"""

from functools import cache
from typing import Any

import numpy as np

from ..errors import check_seed as check_seed
from . import Array, array_module, kernels

# Streams make the uses of one seed independent. Append only: their numbers are part of every key.
INIT, TRAIN, TEST, SHUFFLE, BINARIZE, SAMPLE, SCORE, DATA, LABELS, FIXED, PICK, KEYS, DRAW = range(
    13
)

_MASK = 0xFFFFFFFF


def philox(c0: Array, c1: Array, c2: Array, c3: Array, key: int) -> tuple[Array, ...]:
    """Philox4x32-10 on uint64 arrays of 32-bit words; returns four such arrays."""
    k0, k1 = key & _MASK, key >> 32
    for _ in range(10):
        p0 = c0 * 0xD2511F53
        p1 = c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def bits(
    n: int, width: int, *, seed: int, stream: int, step: int = 0, row: Any = 0, xp: Any = np
) -> Array:
    """32 random bits for each entry of n rows: uint64 (n, width), < 2**32.

    row is the number of the first row, or a key of each, uint64 (n,), as `row_keys` returns. step
    is a number or, on the CPU, uint64 (n,1), one for each row. On a GPU this, `uniform` and
    `normal` are one kernel each, and step may be a 1-element array.
    """
    key = {"seed": int(seed), "stream": stream, "step": step, "row": row}
    if xp is not np:
        return kernels.random("bits", xp.empty((n, width), xp.uint64), **key)
    blocks = -(-width // 4)
    block = np.arange(blocks, dtype=np.uint64)[None, :]
    rows = np.arange(row, row + n, dtype=np.uint64) if np.ndim(row) == 0 else row
    zero = np.zeros((n, blocks), dtype=np.uint64)
    words = philox(zero + block, zero + rows[:, None], zero + step, zero + stream, int(seed))
    return np.concatenate(words, axis=1)[:, :width]


def uniform(n: int, width: int, *, dtype: str = "float32", xp: Any = np, **key: Any) -> Array:
    """Uniform in [0, 1), (n, width): multiples of 2**-24, exact in both float32 and float64."""
    if xp is not np:
        return kernels.random("uniform", xp.empty((n, width), dtype), **key)
    return ((bits(n, width, **key) >> 8) * 2.0**-24).astype(dtype)


def normal(n: int, width: int, *, dtype: str = "float32", xp: Any = np, **key: Any) -> Array:
    """Standard normal numbers, shape (n, width), by the Box-Muller transform.

    Computed in float64 for every dtype: logarithm and cosine differ in the last bit between
    devices, and agree after rounding to float32.
    """
    if xp is not np:
        return kernels.random("normal", xp.empty((n, width), dtype), **key)
    half = 2 * -(-width // 4)  # pairs of words become pairs of normals
    w = bits(n, 2 * half, **key)
    radius = np.sqrt(-2.0 * np.log((w[:, :half] + 1) * 2.0**-32))  # 1 - u lies in (0, 1]: no log(0)
    angle = w[:, half:] * (2.0 * np.pi * 2.0**-32)
    z = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)), axis=1)
    return z[:, :width].astype(dtype)


class Ahead:
    """`normal` for the steps of a run: on the CPU it draws the numbers of several steps at once.

    A draw makes about a hundred NumPy calls: few large draws are faster than many small ones.
    """

    SIZE = 32_768  # numbers per draw, approximately: more would not stay in the cache

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()  # of the numbers that are kept, except for the step
        self._step = 0  # the first step of them
        self._kept: Any = ()  # (steps, n, width)

    def normal(self, n: int, width: int, *, step: Any, row: int, xp: Any, **rest: Any) -> Array:
        """Like `normal`, but row must be a number."""
        if xp is not np:
            return normal(n, width, step=step, row=row, xp=xp, **rest)
        key = n, width, row, *rest.items()
        if self._key != key or not 0 <= step - self._step < len(self._kept):
            steps = max(1, self.SIZE // (n * width))
            each = np.arange(step, step + steps, dtype=np.uint64).repeat(n)[:, None]
            rows = np.tile(np.arange(row, row + n, dtype=np.uint64), steps)
            drawn = normal(steps * n, width, step=each, row=rows, **rest)
            self._key, self._step = key, step
            self._kept = drawn.reshape(steps, n, width)
        return self._kept[step - self._step]


def row_keys(x: Array) -> Array:
    """A key of each row's values: x (N,D)  ->  uint64 (N,), < 2**32.

    Rows that are equal as float32 have the same key on every device, at any position. It is the
    upper half of sum_d a_d x_d mod 2**64, with x_d as 32 bits and random a_d: multilinear hashing
    (Lemire & Kaser, arXiv:1202.4961).
    """
    xp = array_module(x)
    with np.errstate(over="ignore"):  # beyond float32
        words = (x.astype("float32", copy=False) + 0).view("uint32")  # -0 + 0 = 0
    if xp is np:  # einsum allocates no (N,D) array of products
        return np.einsum("nd,d->n", words, _host_multipliers(x.shape[1])) >> 32
    return (_multipliers(x.shape[1], xp) * words).sum(axis=1) >> 32


def _multipliers(width: int, xp: Any = np) -> Array:
    a = bits(2, width, seed=0, stream=KEYS, xp=xp)
    return a[0] << 32 | a[1]


_host_multipliers = cache(_multipliers)  # otherwise a third of the time of `row_keys`


def permutation(n: int, *, seed: int, stream: int = SHUFFLE, epoch: int = 0, xp: Any = np) -> Array:
    """A random permutation of range(n), int64 (n,): the argsort of n random 64-bit keys."""
    words = bits(n, 2, seed=seed, stream=stream, step=epoch, xp=xp)
    return xp.argsort((words[:, 0] << 32) | words[:, 1], kind="stable")
