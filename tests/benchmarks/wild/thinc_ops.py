"""thinc: the operations of NumpyOps, layers, and losses."""

import numpy as np
from benchmarks.wild import Pair, draw, one_hot, simplex

SOURCE = "thinc"

STRIDES = {"breaks": "strided|Fortran"}  # Cython that reads X from its pointer


def of_op(ops, name, x=None, text="", given="X", **options):
    known = options.pop("known", {})
    forward, backward = getattr(ops, name), getattr(ops, f"backprop_{name}")

    def run(X):
        Y = forward(X, **options)
        use = {"X": (X,), "Y": (Y,), "XY": (X, Y)}[given]
        return Y, lambda dy: {"X": backward(dy, *use, **options)}

    return Pair(f"ops.{name}{text}", run, {"X": draw(5, 4) * 2 if x is None else x}, **known)


def pairs(root):
    from thinc.api import NumpyOps
    from thinc.loss import CategoricalCrossentropy, CosineDistance, L2Distance

    ops = NumpyOps()
    for name in (
        "relu_k",
        "hard_sigmoid",
        "hard_tanh",
        "hard_swish",
        "hard_swish_mobilenet",
        "dish",
    ):
        yield of_op(ops, name)
    yield of_op(ops, "relu", given="Y")
    yield of_op(ops, "sigmoid", given="Y")
    yield of_op(ops, "swish", given="XY")
    series = "the forward's erf is a series good to 1.5e-7, the derivative is exact"
    yield of_op(ops, "gelu", known={"cause": series, "says": "so small|epsilon"})
    yield of_op(
        ops,
        "gelu_approx",
        known={"cause": "constants of seven digits in the derivative", "says": "so small|epsilon"},
    )
    yield of_op(ops, "mish", known=STRIDES)
    yield of_op(ops, "mish", text=", threshold 1", threshold=1.0, known=STRIDES)
    yield of_op(
        ops, "clipped_linear", text=", slope 2", slope=2.0, offset=0.5, min_val=-1.0, max_val=2.0
    )

    def softmax(temperature):
        def run(X):
            Y = ops.softmax(X, temperature=temperature)
            return Y, lambda dy: {"X": ops.backprop_softmax(Y, dy, temperature=temperature)}

        return Pair(f"ops.softmax, temperature {temperature}", run, {"X": draw(5, 4)})

    yield softmax(1.0)
    yield softmax(2.5)
    lengths = np.array([2, 1, 3], dtype="int32")

    def sequences(X):
        Y = ops.softmax_sequences(X, lengths)
        return Y, lambda dy: {"X": ops.backprop_softmax_sequences(dy, Y, lengths)}

    yield Pair("ops.softmax_sequences", sequences, {"X": draw(6, 4)})

    def maxout(X):
        Y, which = ops.maxout(X)
        return Y, lambda dy: {"X": ops.backprop_maxout(dy, which, X.shape[2])}

    yield Pair("ops.maxout", maxout, {"X": draw(5, 4, 3)})
    for kind in ("sum", "mean"):

        def reduced(X, kind=kind):
            Y = getattr(ops, f"reduce_{kind}")(X, lengths)
            return Y, lambda dy: {"X": getattr(ops, f"backprop_reduce_{kind}")(dy, lengths)}

        yield Pair(f"ops.reduce_{kind}", reduced, {"X": draw(6, 4)})
    for kind in ("first", "last"):

        def picked(X, kind=kind):
            Y, where = getattr(ops, f"reduce_{kind}")(X, lengths)
            return Y, lambda dy: {"X": getattr(ops, f"backprop_reduce_{kind}")(dy, where)}

        yield Pair(f"ops.reduce_{kind}", picked, {"X": draw(6, 4)})

    def reduce_max(X):
        Y, which = ops.reduce_max(X, lengths)
        return Y, lambda dy: {"X": ops.backprop_reduce_max(dy, which, lengths)}

    yield Pair("ops.reduce_max", reduce_max, {"X": draw(6, 4)})
    for window in (1, 2):

        def seq2col(X, window=window):
            Y = ops.seq2col(X, window, lengths=lengths)
            return Y, lambda dy: {"X": ops.backprop_seq2col(dy, window, lengths=lengths)}

        yield Pair(f"ops.seq2col, window {window}", seq2col, {"X": draw(6, 4)})

    guesses, truths = draw(5, 4), draw(5, 4, seed=1)
    for normalize in (True, False):

        def distance(X, cls, n=normalize):
            loss = cls(normalize=n)
            return loss.get_loss(X, truths), lambda dy: {"X": dy * loss.get_grad(X, truths)}

        text = f"normalize {normalize}"
        yield Pair(
            f"L2Distance, {text}",
            lambda X, f=distance: f(X, L2Distance),
            {"X": guesses},
            cause="the loss is the square of its gradient: the factor 2, or 2/n, is lost",
            says="0.5 x|2 x too small|2.5 x|a factor",
        )
        yield Pair(
            f"CosineDistance, {text}", lambda X, f=distance: f(X, CosineDistance), {"X": guesses}
        )

        def entropy(X, n=normalize):
            loss, y = CategoricalCrossentropy(normalize=n), one_hot(5, 4)
            return loss.get_loss(X, y), lambda dy: {"X": dy * loss.get_grad(X, y)}

        yield Pair(
            f"CategoricalCrossentropy, {text}",
            entropy,
            {"X": simplex(5, 4)},
            cause="the loss is the square of its gradient, as in L2Distance",
            says="0.5 x|2 x too small|2.5 x|a factor",
        )
