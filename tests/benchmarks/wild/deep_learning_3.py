"""Deep Learning from Scratch 3: the functions of dezero, each with its own backward."""

import numpy as np
from benchmarks.wild import Pair, draw, on_path, seeded

SOURCE = "oreilly-japan+deep-learning-from-scratch-3"


def of_function(dezero, name, f, inputs, **known):
    """f(*variables) is a graph of dezero functions; backward goes through it."""
    floats = [n for n, x in inputs.items() if x.dtype.kind == "f"]

    def run(**inputs):
        variables = {n: dezero.Variable(x) for n, x in inputs.items()}
        seeded()
        y = f(*variables.values())

        def back(dy):
            y.grad = dezero.Variable(np.asarray(dy))
            y.backward(retain_grad=True)
            grads = {n: variables[n].grad for n in floats}
            return {n: None if g is None else g.data for n, g in grads.items()}

        return y.data, back

    return Pair(name, run, inputs, **known)


def pairs(root):
    on_path(root)
    import dezero
    import dezero.functions as F
    import dezero.functions_conv as C

    def one(name, f, x=None, **known):
        return of_function(dezero, name, f, {"x": draw(3, 4) if x is None else x}, **known)

    def two(name, f, a, b, **known):
        return of_function(dezero, name, f, {"a": a, "b": b}, **known)

    positive = draw(3, 4, low=0.5, high=2.0)
    for f in (F.sin, F.cos, F.tanh, F.exp, F.sigmoid, F.sigmoid_simple, F.relu, F.leaky_relu):
        yield one(f.__name__, f)
    for f in (F.softmax, F.softmax_simple, F.log_softmax, F.transpose, F.flatten):
        yield one(f.__name__, f)
    yield one("log", F.log, positive)
    yield one("softmax over axis 0", lambda x: F.softmax(x, 0))
    yield one("pow", lambda x: x**3)
    yield one("neg", lambda x: -x)
    yield one("reshape", lambda x: F.reshape(x, (2, 6)))
    yield one("transpose, 3-d", lambda x: F.transpose(x, (1, 2, 0)), draw(2, 3, 4))
    yield one("get_item, a slice", lambda x: x[1])
    yield one("get_item, repeated", lambda x: F.get_item(x, np.array([0, 0, 2])))
    yield one("expand_dims", lambda x: F.expand_dims(x, 1))
    for axis, keep in ((None, False), (0, False), (1, True), ((0, 1), False)):
        yield one(f"sum, axis {axis}, keepdims {keep}", lambda x, a=axis, k=keep: F.sum(x, a, k))
    yield one("sum_to", lambda x: F.sum_to(x, (1, 4)))
    yield one("broadcast_to", lambda x: F.broadcast_to(x, (5, 4)), draw(1, 4))
    yield one("average", lambda x: F.average(x, 0))
    for f in (F.max, F.min):
        for axis in (None, 0, 1):
            yield one(f"{f.__name__}, axis {axis}", lambda x, f=f, a=axis: f(x, a))
    yield one("clip", lambda x: F.clip(x, -0.5, 0.5))
    yield one("dropout", F.dropout)
    yield two("add", F.add, draw(3, 4), draw(3, 4, seed=1))
    for f in (F.add, F.mul, F.sub, F.div):
        yield two(f"{f.__name__}, broadcast", f, draw(3, 4), draw(1, 4, low=0.5, high=2))
    for f in (dezero.core.mul, dezero.core.div, dezero.core.sub):
        yield two(f.__name__, f, draw(3, 4), draw(3, 4, low=0.5, high=2))
    yield two("matmul", F.matmul, draw(3, 4), draw(4, 2))
    yield two("mean_squared_error", F.mean_squared_error, draw(3, 4), draw(3, 4, seed=1))
    yield two(
        "mean_squared_error_simple", F.mean_squared_error_simple, draw(3, 4), draw(3, 4, seed=1)
    )
    linear = {"x": draw(3, 4), "W": draw(4, 2), "b": draw(2)}
    yield of_function(dezero, "linear", F.linear, linear)
    yield of_function(dezero, "linear_simple", F.linear_simple, linear)
    t = np.array([0, 3, 1])
    for f in (F.softmax_cross_entropy, F.softmax_cross_entropy_simple):
        yield one(f.__name__, lambda x, f=f: f(x, dezero.Variable(t)))
    target = np.array([[0.0, 1, 1, 0]] * 3)
    yield one(
        "sigmoid_cross_entropy", lambda x: F.sigmoid_cross_entropy(x, dezero.Variable(target))
    )
    yield one(
        "binary_cross_entropy",
        lambda x: F.binary_cross_entropy(x, dezero.Variable(target)),
        draw(3, 4, low=0.1, high=0.9),
    )
    for text, shape in (("", (5, 3)), (", 4-d", (2, 3, 2, 2))):

        def norm(x, gamma, beta):
            return F.batch_nrom(x, gamma, beta, np.zeros(3), np.ones(3))

        inputs = {"x": draw(*shape), "gamma": draw(3), "beta": draw(3, seed=1)}
        yield of_function(dezero, f"batch_nrom{text}", norm, inputs)
    yield of_function(
        dezero, "embed_id", lambda W: F.embed_id(np.array([0, 3, 3, 1]), W), {"W": draw(6, 3)}
    )

    image, kernel = draw(2, 3, 5, 5), draw(2, 3, 3, 3)
    for stride, pad in ((1, 0), (2, 1)):
        conv = {"x": image, "W": kernel, "b": draw(2)}
        f = lambda x, W, b, a=(stride, pad): C.conv2d(x, W, b, *a)  # noqa: E731
        yield of_function(dezero, f"conv2d, stride {stride}, pad {pad}", f, conv)
        f = lambda x, W, b, a=(stride, pad): C.conv2d_simple(x, W, b, *a)  # noqa: E731
        yield of_function(dezero, f"conv2d_simple, stride {stride}, pad {pad}", f, conv)
        deconv = {"x": draw(2, 2, 4, 4), "W": kernel, "b": draw(3)}
        f = lambda x, W, b, a=(stride, pad): C.deconv2d(x, W, b, *a)  # noqa: E731
        yield of_function(dezero, f"deconv2d, stride {stride}, pad {pad}", f, deconv)
        yield one(
            f"pooling, stride {stride}", lambda x, a=(stride, pad): C.pooling(x, 2, *a), image
        )
        yield one(
            f"average_pooling, stride {stride}",
            lambda x, a=(stride, pad): C.average_pooling(x, 2, *a),
            image,
        )
        yield one(f"im2col, stride {stride}", lambda x, a=(stride, pad): C.im2col(x, 3, *a), image)
