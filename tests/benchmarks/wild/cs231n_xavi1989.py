"""A solution of cs231n by xavi1989: assignments 1 to 3, of the time of Python 2."""

import numpy as np
from benchmarks.wild import Pair, draw, mended
from benchmarks.wild.cs231n_kantarcise import cached, linear_classifiers, loss

SOURCE = "xavi1989+cs231n"
NOTE = "xrange is range, print a function, and `/stride` divides integers, as in Python 2"


def pairs(root):
    repairs = (
        ("xrange(", "range("),
        (")/stride", ")//stride"),
        ("print 'dx_flat: ', dx_flat.shape", "pass"),
        ("from cs231n.", "from "),
    )
    code = root / "CS231N"
    L = mended("layers_of_xavi", code / "assignment2" / "cs231n" / "layers.py", *repairs)
    R = mended("rnn_of_xavi", code / "assignment3" / "cs231n" / "rnn_layers.py", *repairs)
    x, image, t = draw(5, 4), draw(2, 3, 6, 6), np.array([0, 3, 1, 1, 2])
    yield cached(
        "affine", L.affine_forward, L.affine_backward, x=draw(4, 2, 3), w=draw(6, 3), b=draw(3)
    )()
    yield cached("relu", L.relu_forward, L.relu_backward, x=x)()
    yield loss("softmax_loss", lambda x: L.softmax_loss(x, t), x=x)
    yield loss("svm_loss", lambda x: L.svm_loss(x, t), x=x)
    for text, shape, kind in (("", (5, 4), ""), ("spatial_", (2, 3, 6, 6), "spatial_")):
        f = getattr(L, f"{kind}batchnorm_forward")
        yield cached(
            f"{text}batchnorm",
            lambda *a, f=f: f(*a, {"mode": "train"}),
            getattr(L, f"{kind}batchnorm_backward"),
            x=draw(*shape),
            gamma=draw(shape[1], seed=1),
            beta=draw(shape[1]),
        )()
    for mode in ("train", "test"):
        drop = {"p": 0.4, "mode": mode, "seed": 1}
        yield cached(
            f"dropout, {mode}", lambda x, d=drop: L.dropout_forward(x, d), L.dropout_backward, x=x
        )()
    for stride, pad, known in (
        (1, 1, {}),
        (1, 2, {"cause": "dx loses one row and column of padding, whatever the padding"}),
        (1, 0, {"cause": "dx loses one row and column of padding, whatever the padding"}),
    ):
        conv = {"stride": stride, "pad": pad}
        yield cached(
            f"conv, stride {stride}, pad {pad}",
            lambda *a, c=conv: L.cconv_forward_naive(*a, c),
            L.cconv_backward_naive,
            x=draw(2, 3, 5, 5),
            w=draw(2, 3, 3, 3),
            b=draw(2),
        )(**{"says": "shape", "breaks": "shape", **known} if known else {})
    for stride in (1, 2):
        pool = {"stride": stride, "pool_height": 2, "pool_width": 2}
        overlap = {
            "cause": "windows overlap: a maximum of two windows is assigned where it should add up",
            "says": "overlap|= where \\+=",
        }
        yield cached(
            f"max_pool, stride {stride}",
            lambda x, p=pool: L.max_pool_forward_naive(x, p),
            L.max_pool_backward_naive,
            x=image,
        )(**overlap if stride == 1 else {})

    step = {"x": draw(4, 5), "h": draw(4, 3, seed=1)}
    rnn = {"Wx": draw(5, 3), "Wh": draw(3, 3), "b": draw(3)}
    lstm = {"Wx": draw(5, 12), "Wh": draw(3, 12), "b": draw(12)}
    series = {"x": draw(4, 3, 5), "h0": draw(4, 3, seed=1)}
    yield cached("rnn_step", R.rnn_step_forward, R.rnn_step_backward, **step, **rnn)()
    yield cached("rnn", R.rnn_forward, R.rnn_backward, **series, **rnn)()
    yield cached("lstm", R.lstm_forward, R.lstm_backward, **series, **lstm)()

    def lstm_step(which):
        def run(x, h, c, Wx, Wh, b):
            *both, cache = R.lstm_step_forward(x, h, c, Wx, Wh, b)

            def back(dy):
                other = np.zeros_like(dy)
                up = (dy, other) if which == 0 else (other, dy)
                names = ("x", "h", "c", "Wx", "Wh", "b")
                return dict(zip(names, R.lstm_step_backward(*up, cache), strict=True))

            return both[which], back

        known = {"breaks": "writes into"} if which else {}
        return Pair(
            f"lstm_step, {'hc'[which]}", run, {**step, "c": draw(4, 3, seed=2), **lstm}, **known
        )

    yield lstm_step(0)
    yield lstm_step(1)
    ids = np.array([[0, 3, 3], [1, 5, 0]])
    yield cached(
        "word_embedding",
        lambda W: R.word_embedding_forward(ids, W),
        R.word_embedding_backward,
        W=draw(6, 4),
    )()
    yield cached(
        "temporal_affine",
        R.temporal_affine_forward,
        R.temporal_affine_backward,
        x=draw(4, 3, 5),
        w=draw(5, 2),
        b=draw(2),
    )()
    mask = np.array([[1, 1, 0], [1, 0, 1]])
    yield loss(
        "temporal_softmax_loss",
        lambda x: R.temporal_softmax_loss(x, ids % 5, mask),
        x=draw(2, 3, 5),
    )
    yield from linear_classifiers(code / "assignment1" / "cs231n" / "classifiers", "xavi")
