"""An embedded data set: synthetic 28x28 grey images of handwritten digits.

Each digit has one or more skeletons: strokes through control points. An image is drawn by
perturbing the control points of a skeleton (wobble), rotating and slanting it, and moving a soft
pen along it. All of it is array arithmetic, keyed by (seed, row), and `generate` also returns the
parameters of each image: the true factors of variation.
"""

from typing import Any

import numpy as np

from ..backend import noise
from ..errors import InputError, whole_number

SIDE = 28
SIZES = {"train": 10_000, "test": 2_000}

# name: range. slant: shear; scale: 1 is a height of 20 pixels; rotation: radians, clockwise;
# thickness: width of the pen's profile in pixels; wobble: shift of control points, in heights.
FACTORS = {
    "slant": (-0.12, 0.45),
    "scale": (0.85, 1.08),
    "rotation": (-0.2, 0.2),
    "thickness": (0.7, 1.2),
    "wobble": (0.0, 0.05),
}

# Skeletons: control points (x, y) in tenths of the digit's height, y downwards; "|" lifts the pen.
# A digit with several handwriting variants has several skeletons.
SKELETONS = {
    0: ["5 0, 2 1, .5 5, 2 9, 5 10, 7.5 8, 8 4.5, 7 1.5, 5 0, 3.6 .4"],
    1: [
        "5 0, 5 3, 4.8 7, 4.6 10",
        "2.5 2.5, 5 0, 5 5, 5 10",
        "2.5 2.6, 4.8 0, 4.8 5, 4.8 10 | 2 10, 5 9.9, 7.6 10",
    ],
    2: [
        "1.2 2.6, 2.5 .5, 5 0, 7 1.5, 6.6 4, 4.5 6.6, 1 9.6, 4.5 9.7, 8.4 9.6",
        "1 2.2, 3 .2, 6 .3, 7.2 2.6, 5.6 5.8, 3 8.6, 1.2 9.4, 1.4 7.8, 3.4 8.2, 6 9.8, 8.6 9",
    ],
    3: [
        "1.4 1.2, 4 0, 6.8 1.2, 6.4 3.6, 3.8 4.7, 6.6 5.4, 7.5 7.6, 5.6 9.7, 2.8 9.9, .8 8.6",
        "1.2 .4, 4.2 .2, 7.2 .4, 5.6 2.6, 4 4.2, 6.8 5.2, 7.4 7.6, 5.4 9.8, 2.6 9.9, .8 8.8",
    ],
    4: [
        "2.4 .2, 1.8 3, 1.2 5.6, 4.2 5.7, 7.8 5.4 | 6.8 .6, 6.4 5, 6 10",
        "5.6 0, 3.4 3.2, .8 6.6, 4.2 6.7, 8 6.5 | 5.8 0, 5.7 5, 5.6 10",
    ],
    5: [
        "7.4 .3, 4.8 .3, 2.4 .5, 2.1 2.6, 1.8 4.6, 4.4 4, 6.8 5.2, 7.2 7.4, 5.4 9.6, 3 9.9, 1 8.8",
        "2.6 .4, 2.2 2.6, 2 4.6, 4.6 4.2, 6.8 5.6, 6.8 8, 4.8 9.8, 2.6 9.8, 1.2 8.8"
        "| 2.6 .5, 5 .4, 7.8 .1",
    ],
    6: ["6.2 .2, 3.8 2, 2 5, 1.6 8, 3.4 9.9, 6 9.4, 7 7.4, 5.6 5.6, 3.6 5.8, 2 7.6"],
    7: [
        "1 .8, 4 .6, 7.6 .4, 6.4 3, 5 6, 3.8 10",
        "1 1.6, 1.4 .5, 4.4 .6, 7.6 .3, 6 3.6, 4.6 7, 4.2 10 | 3 5.2, 5 5.1, 7.2 4.9",
    ],
    8: [
        "6.6 1.4, 4.6 0, 2.4 1.4, 2.8 3.6, 5 5, 6.8 6.8, 6.2 9.2, 4 10, 1.8 8.8, 2 6.6, 4.4 4.9,"
        "6.4 3.2, 6.6 1.4",
    ],
    9: [
        "6.8 2.6, 5.4 .4, 3 .4, 1.6 2.6, 2.6 4.8, 5 4.8, 6.8 2.6, 6.8 1.4, 6.6 5, 6.2 10",
        "7 2.2, 5.2 .2, 2.8 .8, 1.8 3, 3.2 4.9, 5.6 4.2, 7 2.2, 6.8 5.4, 5.6 8.8, 3.4 9.9, 1.6 9",
    ],
}  # fmt: skip

POINTS = 56  # pen positions along one digit
MOVES = 14  # control points with noise; no skeleton has more


def generate(
    split: str = "train", n: int | None = None, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 784) uint8, labels (n,) uint8, factors (n, 5) float32 in the order of `FACTORS`.

    n defaults to 10,000 for "train" and 2,000 for "test"; image i does not depend on n.
    """
    if split not in SIZES:
        raise InputError(f"split must be one of {', '.join(SIZES)}, got {split!r}")
    n = SIZES[split] if n is None else whole_number(n, "n")
    key: Any = {"seed": noise.check_seed(seed), "stream": noise.DATA}
    step = 2 * list(SIZES).index(split)
    u = noise.uniform(n, len(FACTORS) + 2, **key, step=step, dtype="float32")
    moves = noise.normal(n, 2 * MOVES, **key, step=step + 1, dtype="float32").reshape(n, MOVES, 2)
    low, high = np.array(list(FACTORS.values()), dtype=np.float32).T
    factors = low + (high - low) * u[:, 2:]
    labels = (10 * u[:, 0]).astype(np.uint8)
    images = np.empty((n, SIDE * SIDE), dtype=np.uint8)
    for digit, variants in SKELETONS.items():
        choice = (len(variants) * u[:, 1]).astype(int)
        for variant, skeleton in enumerate(variants):
            rows = np.flatnonzero((labels == digit) & (choice == variant))
            for chunk in np.array_split(rows, len(rows) // 500 + 1):
                images[chunk] = _draw(skeleton, factors[chunk], moves[chunk])
    return images, labels, factors


def _draw(skeleton: str, factors: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Images (n, 784) of one skeleton: factors (n,5), moves (n,MOVES,2) of the control points."""
    controls, basis, joined = _parse(skeleton)
    slant, scale, rotation, thickness, wobble = factors.T[:, :, None]
    bent = controls + 10 * wobble[..., None] * moves[:, : len(controls)]
    # (n,POINTS) each, in pixels: a tenth of the height of 20 pixels is 2 pixels
    x, y = 2.0 * np.moveaxis(basis @ bent, -1, 0)
    x, y = x * scale, y * scale
    x -= slant * y
    x, y = np.cos(rotation) * x - np.sin(rotation) * y, np.sin(rotation) * x + np.cos(rotation) * y
    x += SIDE / 2 - 0.5 - (x.min(axis=1) + x.max(axis=1))[:, None] / 2
    y += SIDE / 2 - 0.5 - (y.min(axis=1) + y.max(axis=1))[:, None] / 2

    # The ink is a sum of Gaussians along the stroke, one at each point, weighted by the length of
    # stroke around it. A 2-D Gaussian is a product of two 1-D ones, so the sum over points is a
    # matrix product.
    length = np.hypot(np.diff(x), np.diff(y)) * joined
    weight = (np.pad(length, ((0, 0), (0, 1))) + np.pad(length, ((0, 0), (1, 0)))) / (2 * thickness)
    grid = np.arange(SIDE, dtype=np.float32)
    across = np.exp(-0.5 * ((grid - x[..., None]) / thickness[..., None]) ** 2)  # (n,POINTS,28)
    down = np.exp(-0.5 * ((grid - y[..., None]) / thickness[..., None]) ** 2)
    ink = (down * weight[..., None]).transpose(0, 2, 1) @ across  # (n,28,28)
    ink = np.clip(1.1 * ink - 0.55, 0, 1)
    return np.rint(255 * ink).astype(np.uint8).reshape(len(ink), SIDE * SIDE)


def _parse(skeleton: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Control points (C,2); the matrix (POINTS,C) from them to points; and (POINTS - 1,), 1 where a
    point is joined to the next, 0 where the pen is lifted."""
    strokes = [
        np.array([point.split() for point in stroke.split(",")], dtype=np.float32)
        for stroke in skeleton.split("|")
    ]
    lengths = np.array([np.hypot(*np.diff(stroke.T)).sum() for stroke in strokes])
    counts = np.maximum(2, (POINTS * lengths / lengths.sum()).astype(int))
    counts[0] += POINTS - counts.sum()
    basis = np.zeros((POINTS, sum(map(len, strokes))), dtype=np.float32)
    row = column = 0
    joined = np.ones(POINTS - 1, dtype=np.float32)
    for stroke, count in zip(strokes, counts, strict=True):
        basis[row : row + count, column : column + len(stroke)] = _catmull_rom(len(stroke), count)
        row, column = row + count, column + len(stroke)
        joined[row - 1 : row] = 0
    return np.concatenate(strokes), basis, joined


def _catmull_rom(controls: int, points: int) -> np.ndarray:
    """The matrix (points, controls) of a Catmull-Rom spline through the controls."""
    at = np.linspace(0, controls - 1, points)
    i = np.minimum(at.astype(int), controls - 2)
    t = at - i
    weights = (
        (-t + 2 * t**2 - t**3) / 2,
        (2 - 5 * t**2 + 3 * t**3) / 2,
        (t + 4 * t**2 - 3 * t**3) / 2,
        (-(t**2) + t**3) / 2,
    )
    matrix = np.zeros((points, controls), dtype=np.float32)
    for offset, w in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(matrix, (np.arange(points), np.clip(i + offset, 0, controls - 1)), w)
    return matrix
