"""Deep Learning from Scratch 2: layers, layers over time, attention."""

import numpy as np
from benchmarks.wild import Pair, draw, on_path, seeded

SOURCE = "oreilly-japan+deep-learning-from-scratch-2"

SINGLE = {"breaks": "is float32, but"}  # "dtype='f'", in forward and backward
EPSILON = {"cause": "an epsilon of 1e-7 in the forward's logarithm alone", "says": "epsilon"}


def of_layer(name, make, params="", xs="x", **known):
    """make(*params) is a layer; forward takes xs, and `grads` is in the order of the parameters."""
    params, xs = params.split(), xs.split()

    def pair(**inputs):
        def run(**inputs):
            seeded()
            layer = make(*(inputs[n] for n in params))
            y = layer.forward(*(inputs[n] for n in xs))

            def back(dy):
                dx = layer.backward(dy)
                dx = dx if isinstance(dx, tuple) else (dx,)
                found = dict(zip(xs, dx, strict=False)) if dx[0] is not None else {}
                return found | {n: g.copy() for n, g in zip(params, layer.grads, strict=False)}

            return y, back

        return Pair(name, run, inputs, **known)

    return pair


def loss(name, make, x, t, **known):
    def run(x):
        layer = make()
        return layer.forward(x, t), lambda dy: {"x": layer.backward(dy)}

    return Pair(name, run, {"x": x}, **known)


def pairs(root):
    on_path(root)
    from ch04 import negative_sampling_layer as sampling
    from ch08 import attention_layer as attention
    from common import layers, time_layers

    x, t, series = draw(5, 4), np.array([0, 3, 1, 1, 2]), draw(3, 4, 5)
    yield of_layer("MatMul", layers.MatMul, "W")(x=x, W=draw(4, 3))
    yield of_layer("Affine", layers.Affine, "W b")(x=x, W=draw(4, 3), b=draw(3))
    yield of_layer("Softmax", layers.Softmax)(x=x)
    yield of_layer("Sigmoid", layers.Sigmoid)(x=x)
    yield of_layer("Dropout", layers.Dropout)(x=draw(8, 8))
    yield of_layer("Embedding", layers.Embedding, "W")(x=t, W=draw(6, 3))
    yield loss("SoftmaxWithLoss", layers.SoftmaxWithLoss, x, t, **EPSILON)
    yield loss("SoftmaxWithLoss, one-hot", layers.SoftmaxWithLoss, x, np.eye(4)[t], **EPSILON)
    binary = np.array([0, 1, 1, 0, 1])
    yield loss("SigmoidWithLoss", layers.SigmoidWithLoss, draw(5), binary, **EPSILON)

    weights = {"Wx": draw(5, 3), "Wh": draw(3, 3), "b": draw(3)}
    lstm = {"Wx": draw(5, 12), "Wh": draw(3, 12), "b": draw(12)}
    gru = {"Wx": draw(5, 9), "Wh": draw(3, 9), "b": draw(9)}
    step = {"x": draw(4, 5), "h": draw(4, 3, seed=1)}
    yield of_layer("RNN, a step", time_layers.RNN, "Wx Wh b", "x h")(**step, **weights)
    yield of_layer("GRU, a step", time_layers.GRU, "Wx Wh b", "x h")(**step, **gru)

    def lstm_step(which):
        def run(x, h, c, Wx, Wh, b):
            layer = time_layers.LSTM(Wx, Wh, b)
            both = layer.forward(x, h, c)

            def back(dy):
                other = np.zeros_like(dy)
                found = layer.backward(*((dy, other) if which == 0 else (other, dy)))
                return dict(zip("xhc", found, strict=True)) | dict(
                    zip(("Wx", "Wh", "b"), layer.grads, strict=True)
                )

            return both[which], back

        return Pair(f"LSTM, a step, {'hc'[which]}", run, {**step, "c": draw(4, 3, seed=2), **lstm})

    yield lstm_step(0)
    yield lstm_step(1)
    for kind, params in (("RNN", weights), ("LSTM", lstm), ("GRU", gru)):
        make = getattr(time_layers, f"Time{kind}")
        yield of_layer(f"Time{kind}, in float32", make, "Wx Wh b", **SINGLE)(x=series, **params)
    both = {f"{n}{i}": draw(*w.shape, seed=i) for i in (1, 2) for n, w in lstm.items()}
    yield of_layer("TimeBiLSTM, in float32", time_layers.TimeBiLSTM, " ".join(both), **SINGLE)(
        x=series, **both
    )
    ids = np.array([[0, 2, 2], [1, 5, 1]])
    yield of_layer("TimeEmbedding, in float32", time_layers.TimeEmbedding, "W", **SINGLE)(
        x=ids, W=draw(6, 3)
    )
    yield of_layer("TimeAffine", time_layers.TimeAffine, "W b")(x=series, W=draw(5, 3), b=draw(3))
    yield of_layer("TimeDropout", time_layers.TimeDropout)(x=series)
    labels = np.array([[0, 1, 2, 3], [4, 4, 0, -1], [1, -1, 2, 3]])
    yield loss("TimeSoftmaxWithLoss, one ignored", time_layers.TimeSoftmaxWithLoss, series, labels)
    yield loss(
        "TimeSigmoidWithLoss, in float32",
        time_layers.TimeSigmoidWithLoss,
        draw(4, 3),
        np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1]]),
        **SINGLE,
    )
    yield of_layer("WeightSum", attention.WeightSum, xs="hs a")(
        hs=series, a=draw(3, 4, low=0, high=1)
    )
    yield of_layer("AttentionWeight", attention.AttentionWeight, xs="hs h")(hs=series, h=draw(3, 5))
    yield of_layer("Attention", attention.Attention, xs="hs h")(hs=series, h=draw(3, 5))
    yield of_layer("TimeAttention", attention.TimeAttention, xs="enc dec")(
        enc=series, dec=draw(3, 2, 5, seed=1)
    )
    yield of_layer("EmbeddingDot", sampling.EmbeddingDot, "W", "h idx")(
        W=draw(6, 3), h=draw(5, 3), idx=np.array([0, 3, 3, 1, 5])
    )

    def negative(h, W):
        seeded()
        layer = sampling.NegativeSamplingLoss(W, np.arange(12) % 6, sample_size=2)
        loss = layer.forward(h, np.array([0, 3, 3, 1, 5]))

        def back(dy):
            return {"h": layer.backward(dy), "W": sum(layer.grads)}

        return loss, back

    yield Pair("NegativeSamplingLoss", negative, {"h": draw(5, 3), "W": draw(6, 3)}, **EPSILON)
