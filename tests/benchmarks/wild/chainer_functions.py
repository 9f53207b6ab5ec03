"""Chainer: the functions of `chainer.functions` on NumPy, each with a backward of its own."""

import numpy as np
from benchmarks.wild import Pair, draw, on_path, seeded, simplex, stand_in

SOURCE = "chainer+chainer"
NOTE = (
    "np.bool and other names that NumPy 2 dropped are put back; ChainerX, which is C++, is left out"
)


def shims():
    kinds = {
        "bool": bool,
        "int": int,
        "float": float,
        "object": object,
        "complex": complex,
        "str": str,
    }
    for name, kind in kinds.items():
        if name not in np.__dict__:
            setattr(np, name, kind)
    if not hasattr(np, "sctypes"):
        sizes = {"int": "bhiq", "uint": "BHIQ", "float": "efd", "complex": "FD", "others": "?"}
        np.sctypes = {  # noqa: NPY201
            n: [np.dtype(c).type for c in codes] for n, codes in sizes.items()
        }
    stand_in("chainerx._build_info", build_chainerx=False)
    stand_in("chainer._environment_check", check=lambda: None)


def pairs(root):
    shims()
    on_path(root)
    import chainer
    import chainer.functions as F

    def of_function(name, f, inputs, **known):
        def run(**inputs):
            variables = {n: chainer.Variable(x) for n, x in inputs.items()}
            seeded()
            y = f(*variables.values())

            def back(dy):
                y.grad = np.asarray(dy)
                y.backward()
                return {n: v.grad for n, v in variables.items() if v.dtype.kind == "f"}

            return y.array, back

        return Pair(name, run, inputs, **known)

    def one(name, f=None, x=None, **known):
        return of_function(
            name, f or getattr(F, name), {"x": draw(3, 4) if x is None else x}, **known
        )

    def several(name, f=None, **inputs):
        return of_function(name, f or getattr(F, name), inputs)

    positive, unit = draw(3, 4, low=0.5, high=2.0), draw(3, 4, low=-0.8, high=0.8)
    for name in (
        *(
            "clipped_relu",
            "crelu",
            "elu",
            "hard_sigmoid",
            "leaky_relu",
            "log_softmax",
            "relu",
            "relu6",
        ),
        *(
            "selu",
            "sigmoid",
            "softmax",
            "softplus",
            "tanh",
            "exp",
            "expm1",
            "sin",
            "cos",
            "tan",
            "sinh",
        ),
        *(
            "cosh",
            "square",
            "arctan",
            "absolute",
            "logsumexp",
            "cumsum",
            "cumprod",
            "prod",
            "sum",
            "max",
        ),
        *(
            "min",
            "average",
            "fliplr",
            "flipud",
            "flatten",
            "transpose",
            "normalize",
            "erf",
            "erfc",
            "ndtr",
        ),
        *("log_ndtr", "erfcx"),
    ):
        yield one(name)
    for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "digamma", "lgamma"):
        yield one(name, x=positive)
    for name in ("arcsin", "arccos", "arctanh", "erfinv"):
        yield one(name, x=unit)
    yield one("erfcinv", x=1 + unit)
    yield one("ndtri", x=0.5 + unit / 2)
    for axis in (0, 2):
        yield one(f"softmax, axis {axis}", lambda x, a=axis: F.softmax(x, axis=a), draw(2, 3, 4))
        yield one(
            f"log_softmax, axis {axis}", lambda x, a=axis: F.log_softmax(x, axis=a), draw(2, 3, 4)
        )
    for axis in (0, 1):
        for name in ("sum", "max", "min", "prod", "logsumexp", "cumsum", "cumprod"):
            f = getattr(F, name)
            yield one(f"{name}, axis {axis}", lambda x, f=f, a=axis: f(x, axis=a))
    yield one("clip", lambda x: F.clip(x, -0.5, 0.5))
    yield one("pow", lambda x: x**3)
    yield one("reshape", lambda x: F.reshape(x, (2, 6)))
    yield one("broadcast_to", lambda x: F.broadcast_to(x, (3, 4)), draw(1, 4))
    yield one("sum_to", lambda x: F.sum_to(x, (1, 4)))
    yield one("tile", lambda x: F.tile(x, (2, 3)))
    yield one("repeat", lambda x: F.repeat(x, 3, axis=1))
    yield one("pad", lambda x: F.pad(x, 1, "constant"))
    yield one("get_item", lambda x: F.get_item(x, (slice(None), [0, 0, 2])))
    yield one("swapaxes", lambda x: F.swapaxes(x, 0, 2), draw(2, 3, 4))
    yield one("rollaxis", lambda x: F.rollaxis(x, 2), draw(2, 3, 4))
    yield one("depth2space", lambda x: F.depth2space(x, 2), draw(2, 8, 3, 3))
    yield one("space2depth", lambda x: F.space2depth(x, 2), draw(2, 2, 4, 4))
    yield one("maxout", lambda x: F.maxout(x, 2))
    yield one("diagonal", x=draw(4, 4))
    layout = {"breaks": "strided"}  # the forward, too, is another one for strided arguments
    yield one("as_strided", lambda x: F.as_strided(x, (3, 3), (1, 2)), draw(9), **layout)
    yield one("select_item", lambda x: F.select_item(x, np.array([0, 3, 1])))
    yield one("permutate", lambda x: F.permutate(x, np.array([2, 0, 1], "i")))
    square = draw(4, 4)
    spd = square @ square.T + 4 * np.eye(4)
    yield one("inv", x=spd)
    yield one("det", x=spd)
    yield one("batch_inv", x=np.stack([spd, spd + square]))
    yield one("batch_det", x=np.stack([spd, spd + square]))
    yield one(
        "cholesky",
        x=spd,
        cause="a symmetric gradient, of a forward that reads one triangle",
        says="symmetric|triangle",
    )
    yield one("batch_l2_norm_squared")
    yield one("local_response_normalization", x=draw(2, 6, 3, 3))
    resize = lambda x: F.resize_images(F.cast(x, "f"), (5, 7))  # noqa: E731
    yield one("resize_images, in float32", resize, draw(2, 2, 3, 4))
    yield one(
        "spatial_pyramid_pooling_2d",
        lambda x: F.spatial_pyramid_pooling_2d(x, 2, "max"),
        draw(2, 2, 5, 5),
    )
    yield one("decov", x=draw(5, 3))
    yield one("dropout", x=draw(6, 6))
    image = draw(2, 3, 6, 6)
    for name in ("max_pooling_2d", "average_pooling_2d"):
        f = getattr(F, name)
        for size, stride, pad in ((2, 2, 0), (3, 1, 1)):
            yield one(
                f"{name}, {size}, {stride}, {pad}",
                lambda x, f=f, a=(size, stride, pad): f(x, *a),
                image,
            )
    yield one("unpooling_2d", lambda x: F.unpooling_2d(x, 2, cover_all=False), image)
    yield one("im2col", lambda x: F.im2col(x, 3), image)

    a, b = draw(3, 4), draw(3, 4, seed=1)
    for name in (
        "maximum",
        "minimum",
        "fmod",
        "squared_difference",
        "squared_error",
        "absolute_error",
    ):
        if hasattr(F, name):
            yield several(name, a=a, b=b)
    for name in ("mean_squared_error", "mean_absolute_error", "add", "matmul"):
        yield several(name, a=a, b=b.T.copy() if name == "matmul" else b)
    yield several("huber_loss", lambda x, t: F.huber_loss(x, t, 0.7), x=a, t=b)
    yield several("linear", x=draw(5, 4), W=draw(3, 4), b=draw(3))
    single = lambda *xs: F.bilinear(*(F.cast(x, "f") for x in xs))  # noqa: E731
    yield several("bilinear, in float32", single, x=a, y=draw(3, 2), W=draw(4, 2, 3))
    yield several("bias", lambda x, b: F.bias(x, b, axis=0), x=a, b=draw(3))
    yield several("scale", lambda x, b: F.scale(x, b, axis=0), x=a, b=draw(3))
    yield several("prelu", x=a, W=draw(4))
    yield several("swish", x=a, beta=draw(4))
    yield several("linear_interpolate", p=draw(3, 4, low=0, high=1), x=a, y=b)
    yield several("where", lambda x, y: F.where(a > 0, x, y), x=b, y=a)
    yield several("concat", lambda x, y: F.concat((x, y)), x=a, y=b)
    yield several("stack", lambda x, y: F.stack((x, y), 1), x=a, y=b)
    yield several("tensordot", lambda x, y: F.tensordot(x, y, 1), x=draw(2, 3, 4), y=draw(4, 2))
    yield several("einsum", lambda x, y: F.einsum("ij,kj->ki", x, y), x=a, y=draw(2, 4))
    yield several("scatter_add", lambda x, y: F.scatter_add(x, [0, 0, 2], y), x=a, y=b)
    for stride, pad in ((1, 0), (2, 1)):
        conv = {"x": image, "W": draw(2, 3, 3, 3), "b": draw(2)}
        for name in ("convolution_2d", "dilated_convolution_2d"):
            f = getattr(F, name)
            g = lambda x, W, b, f=f, s=stride, p=pad: f(x, W, b, stride=s, pad=p)  # noqa: E731
            yield several(f"{name}, stride {stride}, pad {pad}", g, **conv)
        up = {"x": draw(2, 2, 4, 4), "W": draw(2, 3, 3, 3), "b": draw(3)}
        g = lambda x, W, b, s=stride, p=pad: F.deconvolution_2d(x, W, b, s, p)  # noqa: E731
        yield several(f"deconvolution_2d, stride {stride}, pad {pad}", g, **up)
        deep = {"x": image, "W": draw(2, 3, 3, 3), "b": draw(6)}
        g = lambda x, W, b, s=stride, p=pad: F.depthwise_convolution_2d(x, W, b, s, p)  # noqa: E731
        yield several(f"depthwise_convolution_2d, stride {stride}, pad {pad}", g, **deep)
    norm = {"x": draw(5, 4), "gamma": draw(4), "beta": draw(4, seed=1)}
    yield several("batch_normalization", **norm)
    yield several("layer_normalization", **norm)
    spatial = {"x": image, "gamma": draw(3), "beta": draw(3, seed=1)}
    yield several("batch_normalization, 4-d", F.batch_normalization, **spatial)
    yield several(
        "group_normalization", lambda *a: F.group_normalization(a[0], 1, *a[1:]), **spatial
    )
    fixed = {**norm, "mean": draw(4, seed=2), "var": draw(4, low=0.5, high=2)}
    yield several("fixed_batch_normalization", **fixed)
    ids = np.array([[0, 3], [3, 1]], "i")
    yield several("embed_id", lambda W: F.embed_id(ids, W), W=draw(5, 3))
    labels, binary = np.array([0, 3, 1], "i"), np.array([[0, 1, 1, 0]] * 3, "i")
    yield one("softmax_cross_entropy", lambda x: F.softmax_cross_entropy(x, labels))
    yield one(
        "softmax_cross_entropy, not reduced",
        lambda x: F.softmax_cross_entropy(x, labels, reduce="no"),
    )
    yield one("sigmoid_cross_entropy", lambda x: F.sigmoid_cross_entropy(x, binary))
    yield one("hinge", lambda x: F.hinge(x, labels, "L2"))
    yield one("bernoulli_nll", lambda x: F.bernoulli_nll(chainer.Variable(simplex(3, 4)), x))
    yield several("gaussian_kl_divergence", mean=a, ln_var=b)
    yield several("gaussian_nll", x=a, mean=b, ln_var=draw(3, 4, seed=2))
    yield several("triplet", x=a, y=b, z=draw(3, 4, seed=2))
    yield several(
        "contrastive", lambda x, y: F.contrastive(x, y, np.array([1, 0, 0], "i"), 3.0), x=a, y=b
    )
    yield several("cross_covariance", x=a, y=draw(3, 2))
    yield several(
        "crf1d",
        lambda c, x, y: F.crf1d(c, [x, y], [labels, labels[::-1].copy()]),
        c=square,
        x=a,
        y=b,
    )
    yield several("lstm", lambda c, x: F.lstm(c, x)[1], c=draw(3, 2), x=draw(3, 8))
    yield several(
        "slstm",
        lambda c, d, x, z: F.slstm(c, d, x, z)[1],
        c=a,
        d=b,
        x=draw(3, 16),
        z=draw(3, 16, seed=1),
    )
    ctc = F.connectionist_temporal_classification
    yield several(
        "ctc",
        lambda *xs: ctc(list(xs), labels[:2, None], 2),
        **{n: draw(2, 4, seed=i) for i, n in enumerate("abc")},
    )
