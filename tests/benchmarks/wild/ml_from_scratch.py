"""ML-From-Scratch: layers, activations and losses of `deep_learning`."""

from benchmarks.wild import (
    Pair,
    draw,
    elementwise,
    empty_package,
    on_path,
    seeded,
    simplex,
    stand_in,
)

SOURCE = "eriklindernoren+ML-From-Scratch"
NOTE = "only `deep_learning` is imported; an optimizer that keeps the gradient stands in for theirs"


class Keeps:
    """An optimizer that does not change a parameter, and remembers its gradient."""

    def update(self, w, gradient):
        self.gradient = gradient
        return w


def of_layer(name, make, shape, params=(), opts="{}_opt", **known):
    inputs = {"X": draw(3, *shape)}

    def made():
        seeded()
        layer = make()
        layer.set_input_shape(shape)
        if hasattr(layer, "initialize"):
            layer.initialize(Keeps())
        return layer

    inputs |= {n: draw(*getattr(made(), n).shape, seed=2) for n in params}

    def run(X, **params):
        layer = made()
        for n, value in params.items():
            setattr(layer, n, value)
        y = layer.forward_pass(X, training=True)

        def back(dy):
            dx = layer.backward_pass(dy)
            return {"X": dx, **{n: getattr(layer, opts.format(n)).gradient for n in params}}

        return y, back

    return Pair(name, run, inputs, **known)


def pairs(root):
    on_path(root)
    empty_package("mlfromscratch", root / "mlfromscratch")
    empty_package("mlfromscratch.deep_learning", root / "mlfromscratch" / "deep_learning")
    stand_in("mlfromscratch.utils", accuracy_score=None)
    from mlfromscratch.deep_learning import activation_functions as acts
    from mlfromscratch.deep_learning import layers, loss_functions

    for name in ("Sigmoid", "TanH", "ReLU", "LeakyReLU", "ELU", "SELU", "SoftPlus"):
        act = getattr(acts, name)()
        yield elementwise(name, act, act.gradient)
    diagonal = {"cause": "the diagonal of the Jacobian alone", "says": "diagonal"}
    yield elementwise("Softmax", acts.Softmax(), acts.Softmax().gradient, **diagonal)
    yield of_layer("Activation softmax", lambda: layers.Activation("softmax"), (4,), **diagonal)
    for name in ("relu", "tanh"):
        yield of_layer(f"Activation {name}", lambda n=name: layers.Activation(n), (4,))
    y = simplex(3, 4, seed=8)
    for loss in (loss_functions.SquareLoss(), loss_functions.CrossEntropy()):
        yield elementwise(
            type(loss).__name__,
            lambda p, loss=loss: loss.loss(y, p),
            lambda p, loss=loss: loss.gradient(y, p),
            simplex(3, 4),
        )
    image = (2, 4, 4)
    yield of_layer("Dense", lambda: layers.Dense(3), (4,), ("W", "w0"))
    yield of_layer("BatchNormalization", layers.BatchNormalization, (4,), ("gamma", "beta"))
    yield of_layer(
        "BatchNormalization of images", layers.BatchNormalization, image, ("gamma", "beta")
    )
    for padding in ("same", "valid"):
        make = lambda p=padding: layers.Conv2D(2, (3, 3), padding=p)  # noqa: E731
        yield of_layer(f"Conv2D, {padding}", make, image, ("W", "w0"))
    make = lambda: layers.Conv2D(2, (2, 2), padding="valid", stride=2)  # noqa: E731
    yield of_layer("Conv2D, stride 2", make, image, ("W", "w0"))
    for truncated, text in ((5, ""), (1, ", truncated after 1 step")):
        make = lambda t=truncated: layers.RNN(3, "tanh", t, (4, 2))  # noqa: E731
        yield of_layer(
            f"RNN{text}",
            make,
            (4, 2),
            ("U", "V", "W"),
            cause="dX of a step lacks the steps after it"
            + ("; dU and dW are cut short" if text else ""),
            says="first 3 slices",
        )
    yield of_layer("ConstantPadding2D", lambda: layers.ConstantPadding2D((1, 2), 3), image)
    yield of_layer("ZeroPadding2D", lambda: layers.ZeroPadding2D(((1, 0), (2, 1))), image)
    yield of_layer("Flatten", layers.Flatten, image)
    yield of_layer("Reshape", lambda: layers.Reshape((4, 8)), image)
    yield of_layer("Dropout", layers.Dropout, (8,))
    yield of_layer(
        "UpSampling2D",
        layers.UpSampling2D,
        image,
        cause="takes one of the four copies of an entry, where it should add them up",
        says="contributions|copies|lacks|lost|one of",
    )
