"""Exercise 1: the gradient of a linear layer.

Replace the last line, and let the checker grade it, as often as you like:

    scratchvae verify examples/exercises/linear.py
"""

from scratchvae.gradcheck import inputs


@inputs("x", "W", "b", x="BI", W="IO", b="O")
def linear(x, W, b):
    """y[n,o] = sum_i x[n,i] W[i,o] + b[o].        x (B,I)   W (I,O)   b (O,)   ->   y (B,O)"""
    return x @ W + b


def linear_backward(dy, x, W):
    """dy (B,O) is dL/dy, for some loss L.        ->   dx (B,I), dW (I,O), db (O,)

    Each entry of x, W and b has a part in several entries of y, and each of those sends its share
    back: dL/dW[i,o] = sum over all n of dL/dy[n,o] times dy[n,o]/dW[i,o]. Write the three sums down
    with their indices; then see which matrix products they are.
    """
    raise NotImplementedError("return dx, dW, db")
