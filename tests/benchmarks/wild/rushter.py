"""MLAlgorithms: the layers of `neuralnet`. Losses and elementwise derivatives are autograd's."""

from benchmarks.wild import Pair, draw, empty_package, on_path, seeded, stand_in

SOURCE = "rushter+MLAlgorithms"
NOTE = "`autograd` must be installed; only the layers and losses are imported"


def of_layer(name, make, X, params=None, train=False, **known):
    def made():
        seeded()
        layer = make()
        layer.setup(X.shape)
        if train:
            layer.is_training = True
        return layer

    start = getattr(made(), "parameters", None)
    names = list(start.keys()) if start is not None and params is not False else []
    inputs = {"X": X, **{n: draw(*start[n].shape, seed=3) for n in names}}

    def run(X, **params):
        layer = made()
        for n, value in params.items():
            layer.parameters[n] = value
        for kind in "WU":  # a recurrent layer keeps lists of its weights
            if isinstance(getattr(layer, kind, None), list):
                setattr(layer, kind, [params[f"{kind}_{g}"] for g in "ifoc"])
        y = layer.forward_pass(X)

        def back(dy):
            dx = layer.backward_pass(dy)
            return {"X": dx, **{n: layer.parameters.grad[n] for n in params}}

        return y, back

    return Pair(name, run, inputs, **known)


def pairs(root):
    on_path(root)
    for name in ("mla", "mla.neuralnet"):
        empty_package(name, root / name.replace(".", "/"))
    stand_in("six")
    from mla.metrics import metrics
    from mla.neuralnet.layers import basic, convnet, normalization
    from mla.neuralnet.layers.recurrent import lstm, rnn

    x, image, series = draw(5, 4), draw(2, 3, 6, 6), draw(3, 4, 5)
    for act in ("sigmoid", "linear", "softplus", "softsign", "tanh", "relu", "leakyrelu"):
        yield of_layer(f"Activation {act}", lambda a=act: basic.Activation(a), x)
    yield of_layer(
        "Activation softmax",
        lambda: basic.Activation("softmax"),
        x,
        cause="the elementwise derivative of a softmax: the row sums of its Jacobian, which are 0",
        says="zero|sum",
    )
    yield of_layer("Dense", lambda: basic.Dense(3), x)
    yield of_layer("Dropout", lambda: basic.Dropout(0.3), x, train=True)
    yield of_layer(
        "TimeStepSlicer",
        basic.TimeStepSlicer,
        series,
        cause="repeats the gradient over two steps, whatever their number",
        breaks="shape",
        says="shape",
    )
    yield of_layer("TimeDistributedDense", lambda: basic.TimeDistributedDense(3), series)
    yield of_layer("Convolution", lambda: convnet.Convolution(2), image)
    for padding, stride in (((1, 1), (1, 1)), ((0, 0), (3, 3)), ((2, 2), (1, 1))):
        make = lambda p=padding, s=stride: convnet.Convolution(2, padding=p, stride=s)  # noqa: E731
        yield of_layer(f"Convolution, padding {padding}, stride {stride}", make, image)
    for stride in ((1, 1), (2, 2)):
        make = lambda s=stride: convnet.MaxPooling(stride=s)  # noqa: E731
        yield of_layer(f"MaxPooling, stride {stride}", make, image)
    yield of_layer("Flatten", convnet.Flatten, image)
    shape = {
        "cause": "dW has the shape (D,) of a row, W is (1, D)",
        "breaks": "shape",
        "says": "shape",
    }
    yield of_layer("BatchNormalization", normalization.BatchNormalization, x, train=True, **shape)
    yield of_layer(
        "BatchNormalization of images", normalization.BatchNormalization, image, train=True, **shape
    )
    for sequences in (True, False):
        text = "" if sequences else ", last step"
        yield of_layer(
            f"RNN{text}",
            lambda s=sequences: rnn.RNN(3, return_sequences=s),
            series,
            cause="the derivative of tanh is taken at tanh(x), and db and dX lack it"
            + ("" if sequences else "; dX has one step alone"),
            says="" if sequences else "shape",
        )
        yield of_layer(
            f"LSTM{text}",
            lambda s=sequences: lstm.LSTM(3, return_sequences=s),
            series,
            cause="dX is never written, derivatives are taken at their outputs, and steps are lost",
            says="zero everywhere" if sequences else "shape",
        )
    target = draw(5, 4, seed=6, low=0.0, high=1.0)
    from autograd import grad

    for name in ("mse", "mae", "logloss", "mean_squared_log_error", "binary_crossentropy"):
        f = getattr(metrics, name)

        def run(p, f=f):
            return f(target, p), lambda dy: {"p": dy * grad(lambda p: f(target, p))(p)}

        yield Pair(f"{name}, by autograd", run, {"p": draw(5, 4, low=0.1, high=0.9)})
