"""Numpy-CNN: convolution and max pooling of one image."""

import numpy as np
from benchmarks.wild import Pair, draw, mended, on_path, stand_in

SOURCE = "Alescontrela+Numpy-CNN"
NOTE = "in the forward, bias[f] is read as bias[f][0]: NumPy 2 stores no array in an entry"


def pairs(root):
    on_path(root)
    stand_in("tqdm", tqdm=iter)
    forward = mended(
        "CNN.forward", root / "CNN" / "forward.py", ("+ bias[curr_f]", "+ bias[curr_f][0]")
    )
    from CNN import backward

    def conv(stride):
        def run(image, filt, bias):
            y = forward.convolution(image, filt, bias, stride)
            names = ("image", "filt", "bias")
            return y, lambda dy: dict(
                zip(names, backward.convolutionBackward(dy, image, filt, stride), strict=True)
            )

        inputs = {"image": draw(2, 7, 7), "filt": draw(3, 2, 3, 3), "bias": draw(3, 1)}
        return Pair(f"convolution, stride {stride}", run, inputs)

    def pool(size, stride, **known):
        def run(image):
            y = forward.maxpool(image, size, stride)
            return y, lambda dy: {"image": backward.maxpoolBackward(dy, image, size, stride)}

        return Pair(
            f"maxpool, window {size}, stride {stride}", run, {"image": draw(2, 6, 6)}, **known
        )

    yield conv(1)
    yield conv(2)
    yield pool(2, 2)
    overlap = {
        "cause": "windows overlap: a maximum of two windows is assigned where it should add up",
        "says": "overlap|= for \\+=|add",
    }
    yield pool(2, 1, **overlap)
    yield pool(3, 2, **overlap)
    label = np.eye(4)[[2]].T

    def loss(z):
        p = forward.softmax(z)
        return forward.categoricalCrossEntropy(p, label), lambda dy: {"z": dy * (p - label)}

    yield Pair(
        "softmax and categoricalCrossEntropy, as network.conv has them", loss, {"z": draw(4, 1)}
    )
