"""Check a gradient of your own, find that it is wrong, and see where."""

import numpy as np

from scratchvae.gradcheck import check


def mean_square(x, t):
    """y_n = mean over d of (x_nd - t_nd)^2"""
    return ((x - t) ** 2).mean(axis=1)


def mean_square_backward(dy, x, t):
    return {"x": dy[:, None] * 2 * (x - t)}  # the mean was forgotten


rng = np.random.default_rng(0)
report = check(
    mean_square, mean_square_backward, {"x": rng.random((3, 5)), "t": rng.random((3, 5))}
)
print(report)
