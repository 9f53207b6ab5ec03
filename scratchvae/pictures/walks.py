"""Codes to decode for a picture: straight and curved walks, one unit at a time, and a plane."""

from statistics import NormalDist

import numpy as np


def interpolated(first: np.ndarray, second: np.ndarray, steps: int) -> np.ndarray:
    """Codes on the straight line from first to second, both (N,Z), ends included: (N,steps,Z)"""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * first[:, None] + t * second[:, None]


def slerped(first: np.ndarray, second: np.ndarray, steps: int) -> np.ndarray:
    """The same by spherical interpolation of the directions; lengths are interpolated linearly.

    With the angle a between the directions: u(t) = [sin((1-t) a) u0 + sin(t a) u1] / sin a. For
    equal and for opposite directions, where sin a = 0, the codes lie on the straight line.
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


def traversed(z: np.ndarray, units: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The code z (Z,) with one unit at a time set to each of its values (U,S): (U,S,Z)"""
    codes = np.tile(z, (*values.shape, 1))
    codes[np.arange(len(units)), :, units] = values
    return codes


def quantiles(n: int) -> np.ndarray:
    """Medians of the n intervals that divide N(0, 1) into equal probabilities: (n,)"""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])


def plane(
    centre: np.ndarray, units: tuple[int, int], across: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Codes (n,n,Z) in the order of a picture: the first unit grows to the right, the second up."""
    codes = np.tile(centre, (len(up), len(across), 1))
    codes[:, :, units[0]] = across
    codes[:, :, units[1]] = up[::-1, None]
    return codes
