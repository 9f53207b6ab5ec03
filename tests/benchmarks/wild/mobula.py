"""mobula: layers that are given their input at once, and keep dX, dW and db."""

import numpy as np
from benchmarks.wild import Pair, draw, on_path, one_hot, seeded, simplex

SOURCE = "wkcn+mobula"
NOTE = "`numpy_groupies` must be installed; in the snapshot it is a submodule"


def of_layer(name, make, x, params=False, **known):
    """make(x) is a layer; x an array or a list of arrays."""
    inputs = {f"X{i}": a for i, a in enumerate(x)} if isinstance(x, list) else {"X": x}
    if params:
        layer = make(x)
        layer.reshape()
        inputs |= {n: draw(*getattr(layer, n).shape, seed=2) for n in "Wb"}

    def run(**inputs):
        own = {n: inputs.pop(n) for n in "Wb" if n in inputs}
        xs = list(inputs.values()) if isinstance(x, list) else inputs["X"]
        seeded()
        layer = make(xs)
        layer.reshape()
        for n, value in own.items():
            setattr(layer, n, value)
        layer.forward()
        y = layer.Y

        def back(dy):
            layer.dY, layer.dX = dy, [None] * len(inputs)
            layer.backward()
            dx = layer.dX if isinstance(x, list) else [layer.dX]
            return dict(zip(inputs, dx, strict=True)) | {n: getattr(layer, f"d{n}") for n in own}

        return y, back

    return Pair(name, run, inputs, **known)


def pairs(root):
    on_path(root)
    from mobula import layers

    x, image = draw(5, 4), draw(2, 3, 5, 5)
    for name in ("Sigmoid", "Tanh", "ReLU", "SELU", "PReLU"):
        cls = getattr(layers, name)
        yield of_layer(name, lambda x, c=cls: c(x), x)
    for axis in (0, 1, 2):
        yield of_layer(
            f"Softmax, axis {axis}", lambda x, a=axis: layers.Softmax(x, axis=a), draw(2, 3, 4, 2)
        )
    yield of_layer("FC", lambda x: layers.FC(x, dim_out=3), x, params=True)
    flat = {"cause": "dX of images comes back as rows", "says": "shape", "breaks": "shape"}
    yield of_layer("FC of images", lambda x: layers.FC(x, dim_out=3), image, params=True, **flat)
    for stride, pad in ((1, 0), (2, 1)):
        size = {"dim_out": 2, "kernel": 3, "stride": stride, "pad": pad}
        for name in ("Conv", "ConvT"):
            cls = getattr(layers, name)
            make = lambda x, c=cls, s=size: c(x, **s)  # noqa: E731
            yield of_layer(f"{name}, stride {stride}, pad {pad}", make, image, params=True)
    for kind in ("max", "avg"):
        for stride in (1, 2):
            make = lambda x, k=kind, s=stride: layers.Pool(x, pool=k, kernel=2, stride=s)  # noqa: E731
            yield of_layer(f"Pool, {kind}, stride {stride}", make, image)
    yield of_layer("BatchNorm", layers.BatchNorm, x, params=True)
    yield of_layer(
        "BatchNorm of images",
        layers.BatchNorm,
        image,
        params=True,
        cause="divides by the examples alone, where the mean is over heights and widths, too",
        says="mean|variance|statistic|constant",
    )
    for op in (0, 1, 2):
        name = ("sum", "product", "maximum")[op]
        xs = [draw(3, 4, seed=i) for i in range(3)]
        yield of_layer(
            f"Eltwise, {name}",
            lambda x, o=op: layers.Eltwise(x, op=o, coeffs=[1.0, 2.0, -1.0]),
            xs,
            breaks="writes into" if op == 1 else "",  # x[x == 0] = 1e-10
        )
    yield of_layer("Concat", layers.Concat, [draw(2, 3), draw(2, 4)])
    yield of_layer("Reshape", lambda x: layers.Reshape(x, dims=[0, -1, 1, 1]), image)
    ratio = {
        "cause": "the gradient is that of the sum over examples, the loss a mean",
        "says": "too large|sum where",
    }
    p = draw(5, 4, low=0.1, high=0.9)
    yield of_layer("MSE", lambda x: layers.MSE(x, label=p), x, **ratio)
    yield of_layer("L1Loss", layers.L1Loss, x, **ratio)
    yield of_layer("SmoothL1Loss", layers.SmoothL1Loss, x, **ratio)
    yield of_layer(
        "CrossEntropy", lambda x: layers.CrossEntropy(x, label=simplex(5, 4)), p, **ratio
    )
    yield of_layer(
        "SigmoidCrossEntropy",
        lambda x: layers.SigmoidCrossEntropy(x, label=one_hot(5, 4)),
        x,
        **ratio,
    )
    labels = np.array([0, 3, 1, 1, 2])
    yield of_layer("SoftmaxWithLoss", lambda x: layers.SoftmaxWithLoss(x, label=labels), x, **ratio)

    def contrastive(a, b):
        layer = layers.ContrastiveLoss([a, b, np.array([1, 0, 0, 1])], margin=3.0)
        layer.forward()
        y = layer.Y

        def back(dy):
            layer.dY, layer.dX = dy, [None, None]
            layer.backward()
            return {"a": layer.dX[0], "b": layer.dX[1]}

        return y, back

    yield Pair(
        "ContrastiveLoss",
        contrastive,
        {"a": draw(4, 3), "b": draw(4, 3, seed=1)},
        cause="db lacks the sign: both inputs get the gradient of the first",
        says="db: the sign",
    )
