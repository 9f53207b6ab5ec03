"""A solution of cs231n by kantarcise: assignments 1 and 2."""

import numpy as np
from benchmarks.wild import Pair, draw, mended

SOURCE = "kantarcise+cs231n"
NOTE = "`past.builtins` is not asked for its xrange, which is not used"

IN_PLACE = {"breaks": "writes into"}


def cached(name, forward, backward, names="", **inputs):
    """forward(*inputs) returns (out, cache); backward(dout, cache) gradients in this order."""

    def run(**inputs):
        out, cache = forward(*inputs.values())

        def back(dy):
            found = backward(dy, cache)
            found = found if isinstance(found, tuple) else (found,)
            return dict(zip(names.split() or inputs, found, strict=False))

        return out, back

    return lambda **known: Pair(name, run, inputs, **known)


def loss(name, f, leaf="x", **inputs):
    """f(*inputs) returns the loss and its gradient by one of them."""

    def run(**inputs):
        value, dx = f(*inputs.values())
        return value, lambda dy: {leaf: dy * dx}

    return Pair(name, run, inputs)


def linear_classifiers(folder, tag):
    X, y, W = draw(6, 5), np.array([0, 2, 1, 1, 0, 2]), draw(5, 3)
    past = ("from past.builtins import xrange", "xrange = range")
    for file in ("linear_svm", "softmax"):
        module = mended(f"{file}_{tag}", folder / f"{file}.py", past, ("xrange(", "range("))
        for f in ("naive", "vectorized"):
            kind = f"{file.removeprefix('linear_')}_loss_{f}"
            g = getattr(module, kind)
            yield loss(kind, lambda W, g=g: g(W, X, y, 0.1), "W", W=W)


def pairs(root):
    code = root / "src" / "assignment2" / "cs231n"
    L = mended("layers_of_kantarcise", code / "layers.py")
    first = mended("layers_1_of_kantarcise", root / "src" / "assignment1" / "cs231n" / "layers.py")
    x, image, t = draw(5, 4), draw(2, 3, 6, 6), np.array([0, 3, 1, 1, 2])
    norm = {"gamma": draw(4, seed=1), "beta": draw(4)}
    affine = {"x": draw(4, 2, 3), "w": draw(6, 3), "b": draw(3)}
    for text, layers in (("", L), (", assignment 1", first)):
        yield cached(f"affine{text}", layers.affine_forward, layers.affine_backward, **affine)()
        yield cached(f"relu{text}", layers.relu_forward, layers.relu_backward, x=x)(**IN_PLACE)
        yield loss(f"softmax_loss{text}", lambda x, f=layers.softmax_loss: f(x, t), x=x)
    yield loss("svm_loss", lambda x: first.svm_loss(x, t), x=x)

    def train(x, gamma, beta):
        return L.batchnorm_forward(x, gamma, beta, {"mode": "train"})

    yield cached("batchnorm", train, L.batchnorm_backward, x=x, **norm)()
    yield cached("batchnorm, alt", train, L.batchnorm_backward_alt, x=x, **norm)()
    yield cached(
        "layernorm", lambda *a: L.layernorm_forward(*a, {}), L.layernorm_backward, x=x, **norm
    )()
    spatial = {"x": image, "gamma": draw(3, seed=1), "beta": draw(3)}
    yield cached(
        "spatial_batchnorm",
        lambda *a: L.spatial_batchnorm_forward(*a, {"mode": "train"}),
        L.spatial_batchnorm_backward,
        **spatial,
    )()
    group = {"x": draw(2, 4, 3, 3), "gamma": draw(1, 4, 1, 1, seed=1), "beta": draw(1, 4, 1, 1)}
    yield cached(
        "spatial_groupnorm",
        lambda *a: L.spatial_groupnorm_forward(*a, 2, {}),
        L.spatial_groupnorm_backward,
        **group,
    )()
    for mode in ("train", "test"):
        drop = {"p": 0.6, "mode": mode, "seed": 1}
        yield cached(
            f"dropout, {mode}", lambda x, d=drop: L.dropout_forward(x, d), L.dropout_backward, x=x
        )()
    for stride, pad, known in (
        (1, 1, {}),
        (
            2,
            1,
            {
                "cause": "dw reads the columns from l, where they begin at l * stride",
                "says": "column|stride|index",
            },
        ),
        (1, 2, {}),
        (
            1,
            0,
            {
                "cause": "dx[pad:-pad] is empty for a padding of 0",
                "breaks": "could not be broadcast",
            },
        ),
    ):
        conv = {"stride": stride, "pad": pad}
        yield cached(
            f"conv, stride {stride}, pad {pad}",
            lambda *a, c=conv: L.conv_forward_naive(*a, c),
            L.conv_backward_naive,
            x=draw(2, 3, 5, 5),
            w=draw(2, 3, 3, 3),
            b=draw(2),
        )(**known)
    for stride in (1, 2):
        pool = {"stride": stride, "pool_height": 2, "pool_width": 2}
        yield cached(
            f"max_pool, stride {stride}",
            lambda x, p=pool: L.max_pool_forward_naive(x, p),
            L.max_pool_backward_naive,
            x=image,
        )()
    yield from linear_classifiers(
        root / "src" / "assignment1" / "cs231n" / "classifiers", "kantarcise"
    )
