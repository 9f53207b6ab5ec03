"""The noise of training, drawn for several steps at once: the same numbers, in fewer calls."""

import numpy as np

from ..backend import Array, noise
from .protocol import TrainableModel

# About as many numbers are drawn at once. A draw is some hundred calls of NumPy, whatever its size,
# and more numbers would not stay in the cache.
AHEAD = 32_768


class NoiseAhead:
    """Draws the noise of a step of training, and keeps that of the next steps."""

    def __init__(self) -> None:
        self._key: tuple[int, ...] = ()  # seed, rows and first row of the noise that is kept
        self._step = 0  # the first step of it
        self._kept: Array = ()  # (steps, n, noise_width)

    def __call__(self, model: TrainableModel, n: int, step: int, first: int = 0) -> Array:
        """The noise (n, noise_width) of rows first to first + n - 1 of a mini-batch.

        None if the model reads none. On a GPU a draw is one call, so nothing is kept.
        """
        key = {"seed": model.seed, "stream": noise.TRAIN}
        if model.xp is not np or not model.noisy:
            return model.draw_noise(n, **key, step=step, row=first)
        if self._key != (model.seed, n, first) or not 0 <= step - self._step < len(self._kept):
            steps = max(1, AHEAD // (n * model.noise_width))
            each = np.arange(step, step + steps, dtype=np.uint64).repeat(n)[:, None]
            row = np.tile(np.arange(first, first + n, dtype=np.uint64), steps)
            drawn = model.draw_noise(steps * n, **key, step=each, row=row)
            self._key, self._step = (model.seed, n, first), step
            self._kept = drawn.reshape(steps, n, -1)
        return self._kept[step - self._step]
