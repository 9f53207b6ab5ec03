"""A layer of your own: the checker finds its wrong gradient, and passes the right one.

    python examples/check_your_gradient.py

The layer is a layer normalization with a gain. As layers often do, it stores what backward needs.
"""

import numpy as np

from scratchvae.gradcheck import check_layer


class LayerNorm:
    """y = gain (x - mean) / std, over the features of each row.        x (B,D), gain (D,)"""

    def forward(self, x, gain):
        self.std = x.std(axis=1, keepdims=True)
        self.normal = (x - x.mean(axis=1, keepdims=True)) / self.std
        self.gain = gain
        return gain * self.normal

    def backward(self, dy):
        """Wrong: ignores that the mean and the std depend on x, too."""
        return dy * self.gain / self.std, (dy * self.normal).sum(axis=0)


class RightLayerNorm(LayerNorm):
    def backward(self, dy):
        dn = dy * self.gain
        along = (dn * self.normal).mean(axis=1, keepdims=True)
        dx = (dn - dn.mean(axis=1, keepdims=True) - self.normal * along) / self.std
        return dx, (dy * self.normal).sum(axis=0)


rng = np.random.default_rng(0)
inputs = {"x": rng.standard_normal((4, 6)), "gain": rng.standard_normal(6)}
print(check_layer(LayerNorm(), inputs, batch=["x"]))
print()
report = check_layer(RightLayerNorm(), inputs, batch=["x"])
print(report)
report.raise_if_failed()
