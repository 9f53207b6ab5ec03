"""A solution of cs231n by hershic: layers and classifiers that keep their gradients."""

import numpy as np
from benchmarks.wild import Pair, draw, mended

SOURCE = "hershic+cs231n"


def pairs(root):
    load = lambda path: mended(path.stem + "_of_hershic", path)  # noqa: E731
    connected = load(root / "layers" / "fully_connected.py").LayerFullyConnected
    relu = load(root / "layers" / "relu.py").LayerReLU
    labels = np.array([0, 3, 1, 1, 2])

    def linear(naive):
        def run(x, W, b):
            layer = connected(W.shape)
            layer.weights, layer.bias = W, b
            y = (layer.forward_naive if naive else layer.forward)(x)

            def back(dy):
                layer.d_bias = np.ones(b.shape)
                return {"x": layer.backward(dy), "W": layer.d_weights, "b": layer.d_bias}

            return y, back

        name = f"LayerFullyConnected, {'naive' if naive else 'vectorized'}"
        return Pair(name, run, {"x": draw(5, 4), "W": draw(4, 3), "b": draw(3)})

    yield linear(True)
    yield linear(False)

    def rectified(x):
        layer = relu()
        return layer.forward(x), lambda dy: {"x": layer.backward(dy)}

    yield Pair("LayerReLU", rectified, {"x": draw(5, 4)})

    def classifier(kind, cls, naive, **known):
        def run(x):
            made = cls(x.shape)
            made.set_batch_labels(labels)
            y = (made.forward_naive if naive else made.forward)(x)
            return y, lambda dy: {"x": dy * made.gradient}

        return Pair(
            f"{kind}, {'naive' if naive else 'vectorized'}", run, {"x": draw(5, 4)}, **known
        )

    softmax = load(root / "classifiers" / "softmax.py").ClassifierSoftmax
    svm = load(root / "classifiers" / "svm.py").ClassifierSVM
    for naive in (True, False):
        yield classifier("ClassifierSoftmax", softmax, naive)
        yield classifier(
            "ClassifierSVM",
            svm,
            naive,
            cause="the gradient is that of a sum over examples, the loss a mean"
            + ("; the label's entry counts margins that are not positive" if naive else ""),
            says="5 x too large|sum where",
        )
