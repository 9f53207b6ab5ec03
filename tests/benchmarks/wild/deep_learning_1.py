"""Deep Learning from Scratch, the layers of `common`."""

import numpy as np
from benchmarks.wild import Pair, draw, on_path, one_hot, seeded

SOURCE = "oreilly-japan+deep-learning-from-scratch"

IN_PLACE = "writes into"


def of_layer(name, make, params=(), grads=(), **known):
    """make(**params) is a layer; it keeps the gradients of its parameters as attributes."""

    def pair(**inputs):
        def run(x, **params):
            seeded()
            layer = make(**params)
            y = layer.forward(x)

            def back(dy):
                dx = layer.backward(dy)
                return {"x": dx, **{n: getattr(layer, f"d{n}") for n in params}}

            return y, back

        return Pair(name, run, inputs, **known)

    return pair


def pairs(root):
    on_path(root)
    from common import layers

    x, image = draw(5, 4), draw(2, 3, 6, 6)
    relu = {"breaks": IN_PLACE}
    yield of_layer("Relu", layers.Relu, **relu)(x=x)
    yield of_layer("Relu, 4-d", layers.Relu, **relu)(x=image)
    yield of_layer("Sigmoid", layers.Sigmoid)(x=x)
    yield of_layer("Affine", layers.Affine)(x=x, W=draw(4, 3), b=draw(3))
    yield of_layer("Affine of images", layers.Affine)(x=image, W=draw(108, 3), b=draw(3))
    yield of_layer("Dropout", layers.Dropout)(x=draw(8, 8))

    def batch_norm(gamma, beta):
        return layers.BatchNormalization(gamma, beta)

    yield of_layer("BatchNormalization", batch_norm)(x=x, gamma=draw(4, seed=1), beta=draw(4))
    yield of_layer("BatchNormalization of images", batch_norm)(
        x=image, gamma=draw(108, seed=1), beta=draw(108)
    )
    for stride, pad in ((1, 0), (2, 1), (1, 2)):
        make = lambda W, b, s=stride, p=pad: layers.Convolution(W, b, s, p)  # noqa: E731
        yield of_layer(f"Convolution, stride {stride}, pad {pad}", make)(
            x=draw(2, 3, 5, 5), W=draw(2, 3, 3, 3), b=draw(2)
        )
    for stride in (1, 2):
        make = lambda s=stride: layers.Pooling(2, 2, s)  # noqa: E731
        yield of_layer(f"Pooling, stride {stride}", make)(x=image)

    for text, t in (("one-hot", one_hot(5, 4)), ("labels", np.array([0, 3, 1, 1, 2]))):

        def loss(x, t=t):
            layer = layers.SoftmaxWithLoss()
            return layer.forward(x, t), lambda dy: {"x": layer.backward(dy)}

        yield Pair(
            f"SoftmaxWithLoss, {text}",
            loss,
            {"x": x},
            cause="backward ignores dout",
            says="upstream gradient (is|was) ignored|dy is ignored|ignores",
        )
