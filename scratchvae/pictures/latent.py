"""Walks through the latent space: the codes that the pictures of it decode.

Plain functions on NumPy arrays; no model is known here. `commands/looking.py` decodes the codes.
"""

from statistics import NormalDist

import numpy as np

ACROSS = 2.5  # standard deviations of the prior, to both sides


def interpolated(first: np.ndarray, second: np.ndarray, steps: int) -> np.ndarray:
    """Codes on the straight line: two of (N,Z)  ->  (N,steps,Z), both ends among them."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * first[:, None] + t * second[:, None]


def slerped(first: np.ndarray, second: np.ndarray, steps: int) -> np.ndarray:
    """The same along an arc: directions turn evenly, lengths go from the one to the other.

    With the angle a between directions: u(t) = [sin((1-t) a) u0 + sin(t a) u1] / sin a. Opposite
    ends, and equal ones, have no arc, and are joined by a straight line.
    """
    t = np.linspace(0, 1, steps)[:, None]
    n0, n1 = (np.linalg.norm(z, axis=1, keepdims=True)[:, None] for z in (first, second))
    u0, u1 = first[:, None] / np.maximum(n0, 1e-12), second[:, None] / np.maximum(n1, 1e-12)
    angle = np.arccos(np.clip((u0 * u1).sum(axis=2, keepdims=True), -1, 1))
    straight = np.sin(angle) < 1e-6
    u = np.sin((1 - t) * angle) * u0 + np.sin(t * angle) * u1
    u /= np.where(straight, 1, np.sin(angle))
    length = (1 - t) * n0 + t * n1
    return np.where(straight, interpolated(first, second, steps), length * u)


def pairs(n: int, y: np.ndarray) -> np.ndarray:
    """At most n pairs of rows, each of one label of y (N,), the labels in turn: (n,2)"""
    found = []
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        found += list(enumerate(zip(rows[0::2], rows[1::2], strict=False)))
    found.sort(key=lambda item: item[0])
    return np.array([pair for _, pair in found[:n]], dtype=int).reshape(-1, 2)


def traversed(z: np.ndarray, units: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The code z (Z,) with each of the units moved through its values (U,S): (U,S,Z)"""
    codes = np.tile(z, (*values.shape, 1))
    for row, unit in enumerate(units):
        codes[row, :, unit] = values[row]
    return codes


def quantiles(n: int) -> np.ndarray:
    """n values that cut N(0, 1) into parts of equal probability, in the middle of each: (n,)"""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])


def plane(
    centre: np.ndarray, units: tuple[int, int], across: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Codes (n,n,Z) as a picture has them: the first unit grows to the right, the second up."""
    codes = np.tile(centre, (len(up), len(across), 1))
    codes[:, :, units[0]] = across[None, :]
    codes[:, :, units[1]] = up[::-1, None]
    return codes
