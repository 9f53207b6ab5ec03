"""An embedded data set: 32x32 grey images of a square, an ellipse or a heart, for measuring
disentanglement.

Each image has five independent factors, which `generate` also returns: the shape, its scale, its
rotation, and the position of its centre, as in dSprites (Matthey et al., 2017), but continuous.
A shape is a signed distance (in pixels, negative inside), so its edge is anti-aliased: a pixel is
covered by half a pixel minus the distance. All of it is array arithmetic, keyed by (seed, row).

The factors mean the same for each shape: shapes of equal scale have equal area, the position is
the centre of mass, and the rotation stays within +-0.7 (40 degrees). A square looks the same again
after 90 degrees and an ellipse after 180, so a wider range would give one image two rotations; at
+-45 degrees, both ends of the range would give the same square.

A shape moves by about its own width, so that images of most positions overlap: images that do not
overlap are all equally far apart, whatever the distance of their shapes.
"""

from collections.abc import Mapping
from math import nan
from numbers import Real
from typing import Any

import numpy as np

from ..backend import noise
from ..errors import InputError, whole_number

SIDE = 32
SIZES = {"train": 20_000, "test": 4_000}
STEP = 4  # of the noise; the steps before it are those of `strokes.py`
NAMES = ("square", "ellipse", "heart")  # of the labels

# name: range. shape: a label; scale: the root of the area, in pixels (the side of the square);
# rotation: radians, clockwise; x, y: pixels from the middle of the image, to the right and down.
FACTORS = {
    "shape": (0, len(NAMES) - 1),
    "scale": (5.5, 11.0),
    "rotation": (-0.7, 0.7),
    "x": (-6.0, 6.0),
    "y": (-4.0, 4.0),
}


def generate(
    split: str = "train",
    n: int | None = None,
    *,
    seed: int = 0,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 1024) uint8, labels (n,) uint8 (the shape, in the order of `NAMES`), factors
    (n, 5) float32 in the order of `FACTORS`.

    n defaults to 20,000 for "train" and 4,000 for "test"; image i does not depend on n. ranges
    replaces ranges of `FACTORS` by name, as in {"x": (-4, 4)}; shapes are cut off at the edge of
    the image. Raises InputError for another split, an n that is no positive whole number, an
    invalid seed, or a range that is not two numbers in order (for the scale, at least 1).
    """
    if split not in SIZES:
        raise InputError(f"split must be one of {', '.join(SIZES)}, got {split!r}")
    n = SIZES[split] if n is None else whole_number(n, "n")
    key: Any = {"seed": noise.check_seed(seed), "stream": noise.DATA}
    u = noise.uniform(n, len(FACTORS), **key, step=STEP + list(SIZES).index(split), dtype="float32")
    low, high = np.array(list(_checked(ranges or {}).values()), dtype=np.float32).T
    factors = low + (high - low) * u
    labels = (len(NAMES) * u[:, 0]).astype(np.uint8)
    factors[:, 0] = labels
    images = np.empty((n, SIDE * SIDE), dtype=np.uint8)
    for label, distance in enumerate((_square, _ellipse, _heart)):
        rows = np.flatnonzero(labels == label)
        for chunk in np.array_split(rows, len(rows) // 250 + 1):
            scale, rotation, x, y = factors[chunk, 1:].T[:, :, None]
            across, down = _turned(rotation, x, y)
            covered = np.clip(0.5 - scale * distance(across / scale, down / scale), 0, 1)
            images[chunk] = np.rint(255 * covered)
    return images, labels, factors


def _checked(ranges: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """`FACTORS` with other ranges."""
    own, checked = list(FACTORS)[1:], dict(FACTORS)
    for name, found in ranges.items():
        if name not in own:
            raise InputError(f"ranges may be given for {', '.join(own)}, got {name!r}")
        least = 1.0 if name == "scale" else -1e6
        try:
            low, high = found
        except (TypeError, ValueError):
            low = high = nan
        numbers = isinstance(low, Real) and isinstance(high, Real)
        if not (numbers and least <= low <= high <= 1e6):
            raise InputError(f"the range of {name} must be two numbers in order, got {found!r}")
        checked[name] = (float(low), float(high))
    return checked


def _turned(rotation: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of pixels from a shape's centre, along its own axes: (n, 1024) each, in pixels."""
    grid = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    right, down = np.tile(grid, SIDE) - x, np.repeat(grid, SIDE) - y
    cos, sin = np.cos(rotation), np.sin(rotation)
    return cos * right + sin * down, cos * down - sin * right


# The signed distances of shapes of area 1 whose centre of mass is 0. y points down.


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx, dy = np.abs(x) - 0.5, np.abs(y) - 0.5
    outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
    return outside + np.minimum(np.maximum(dx, dy), 0)


WIDE, HIGH = np.sqrt(2 / np.pi).item(), np.sqrt(0.5 / np.pi).item()  # semi-axes of the ellipse


def _ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """To first order: with f = |(x / a, y / b)|, the edge is f = 1, and f - 1 over the length of
    f's gradient is the distance near it. At the centre, where both are 0, it is -1."""
    f = np.maximum(np.sqrt((x / WIDE) ** 2 + (y / HIGH) ** 2), 1e-6)
    slope = np.sqrt((x / WIDE**2) ** 2 + (y / HIGH**2) ** 2)
    return f * (f - 1) / np.maximum(slope, 1e-6)


# The heart is a square of side h that stands on a corner, with half a disc on each upper side: its
# area is h^2 (1 + pi / 4) = 1. The mass of the half-discs lies 2 h / (3 pi) outside their sides.
H = np.sqrt(1 / (1 + np.pi / 4)).item()
ABOVE = np.sqrt(0.5).item() * H**3 * (np.pi / 8 + 1 / 6)  # centre of mass above the square's middle


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Along the sides of the square, from its lowest corner, a mirrored half is 0 <= v <= u."""
    x, y = np.abs(x), np.sqrt(0.5).item() * H + ABOVE - y  # above the lowest corner
    u, v = np.sqrt(0.5).item() * (y + x), np.sqrt(0.5).item() * (y - x)
    disc = np.sqrt((u - H) ** 2 + (v - H / 2) ** 2) - H / 2
    # below the upper side: the lower side v = 0, or the notch at the top (u, v) = (H, H)
    side = np.sqrt((u - np.clip(u, 0, H)) ** 2 + v**2)
    notch = np.sqrt((u - H) ** 2 + (v - H) ** 2)
    return np.where(u > H, disc, np.where(v > 0, -1, 1) * np.minimum(side, notch))
