"""A multilayer perceptron, forward and backward: linear layers, each followed by an activation.

Layer i of the stack "enc" has the tensors `enc{i}_W` and `enc{i}_b`. Read the first part of
`models/losses.py` next.
"""

from itertools import pairwise

from . import ops
from .backend.registry import SKIP

ACTIVATIONS = {
    "relu": (ops.relu, ops.relu_backward),
    "tanh": (ops.tanh, ops.tanh_backward),
    "softplus": (ops.softplus, ops.softplus_backward),
}


def layer_shapes(name, sizes):
    """Names and shapes of the tensors of a stack; sizes (784, 400, 200) mean two layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        shapes |= {f"{name}{i}_W": (fan_in, fan_out), f"{name}{i}_b": (fan_out,)}
    return shapes


def mlp(p, name, x, activation, ws):
    """h_0 = x,  h_{i+1} = f(h_i W_i + b_i).        x (B,I)   ->   [h_0 (B,I), h_1 (B,H_1), ...]"""
    f, _ = ACTIVATIONS[activation]
    hs = [x]
    while f"{name}{len(hs) - 1}_W" in p:
        i = len(hs) - 1
        W, b = p[f"{name}{i}_W"], p[f"{name}{i}_b"]
        a = ops.linear(hs[i], W, b, out=ws(f"{name}{i}", len(x), W.shape[1]))
        hs.append(f(a, out=a))  # in place: backward reads the output only
    return hs


def mlp_backward(p, g, name, hs, dh, activation, ws, dx=SKIP):
    """Backward of `mlp`, last layer first: writes dW_i and db_i into g, returns dL/dx or None.

    dh (B,H), the gradient of the last h, is overwritten; dL/dx is written to dx (B,I).
    """
    _, f_backward = ACTIVATIONS[activation]
    for i in reversed(range(len(hs) - 1)):
        W, b = f"{name}{i}_W", f"{name}{i}_b"
        # forward: h_{i+1} = f(a),  a = h_i W + b
        da = f_backward(dh, hs[i + 1], dx=dh)
        dh = ws(f"d{name}{i}", *hs[i].shape) if i else dx
        dh, _, _ = ops.linear_backward(da, hs[i], p[W], dx=dh, dW=g[W], db=g[b])
    return dh
