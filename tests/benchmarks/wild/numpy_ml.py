"""numpy-ml: activations, losses, layers and modules."""

import numpy as np
from benchmarks.wild import (
    Pair,
    draw,
    elementwise,
    empty_package,
    on_path,
    one_hot,
    seeded,
    simplex,
)

SOURCE = "ddbourgin+numpy-ml"
NOTE = "only `neural_nets` is imported, without the package's other modules"

MIXED = "the forward is the tanh approximation, the derivative mixes it with the exact density"
AFFINE = "Affine(slope=2, intercept=1)"


def of_layer(name, make, xs, params=True, **known):
    """A layer whose parameters and gradients are dicts, with lists of what it was given."""

    def built(inputs):
        seeded()
        layer = make()
        if not params:
            return layer, []
        layer.forward(*(inputs[n] for n in xs))  # makes the parameters
        names = [n for n in layer.gradients if isinstance(layer.gradients[n], np.ndarray)]
        layer.flush_gradients()
        return layer, names

    layer, names = built(xs)
    shapes = {n: np.shape(layer.parameters[n]) for n in names}
    inputs = {**xs, **{n: draw(*shape, seed=4) for n, shape in shapes.items()}}

    def run(**inputs):
        layer, names = built(inputs)
        for n in names:
            layer.parameters[n] = inputs[n]
        y = layer.forward(*(inputs[n] for n in xs))

        def back(dy):
            dx = layer.backward(dy)
            dx = dx if isinstance(dx, tuple) else (dx,)
            floats = [n for n in xs if xs[n].dtype.kind == "f"]
            found = dict(zip(floats, dx, strict=False)) if floats else {}
            return found | {n: layer.gradients[n] for n in names}

        return y, back

    return Pair(name, run, inputs, **known)


def activations(nets):
    for act in (
        *(nets.Sigmoid(), nets.ReLU(), nets.LeakyReLU(), nets.Tanh(), nets.Affine(2, 1)),
        *(nets.Identity(), nets.ELU(), nets.Exponential(), nets.SELU(), nets.HardSigmoid()),
        *(nets.SoftPlus(), nets.GELU()),
    ):
        known = {"cause": MIXED} if isinstance(act, nets.GELU) else {}
        yield elementwise(f"{act}", act.fn, act.grad, **known)
        yield elementwise(
            f"{act}, second derivative",
            lambda x, act=act: act.grad(x) * 1.0,
            act.grad2,
            cause="constants and a term 1 that are not in the derivative" if known else "",
        )


def losses(nets, activations):
    y, p = one_hot(5, 4), simplex(5, 4)

    def squared(z):
        act = activations.Tanh()
        return nets.SquaredError.loss(p, act.fn(z)), lambda dy: {
            "z": dy * nets.SquaredError.grad(p, act.fn(z), z, act)
        }

    yield Pair("SquaredError after Tanh", squared, {"z": draw(5, 4)})

    def cross_entropy(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        soft = e / e.sum(axis=1, keepdims=True)
        loss = nets.CrossEntropy.loss
        return loss(y, soft), lambda dy: {"z": dy * nets.CrossEntropy.grad(y, soft)}

    yield Pair("CrossEntropy after a softmax", cross_entropy, {"z": draw(5, 4)})

    def vae(p, mean, logvar):
        def back(dy):
            dp, dlogvar, dmean = nets.VAELoss.grad(target, p, mean, logvar)
            return {"p": dy * dp, "mean": dy * dmean, "logvar": dy * dlogvar}

        return nets.VAELoss.loss(target, p, mean, logvar), back

    target = draw(5, 6, low=0.0, high=1.0)
    inputs = {"p": draw(5, 6, low=0.1, high=0.9), "mean": draw(5, 3), "logvar": draw(5, 3, seed=1)}
    yield Pair("VAELoss", vae, inputs)

    def critic(fake, real, interpolated):
        loss = nets.WGAN_GPLoss()

        def back(dy):
            found = loss.grad(fake, "C", real, interpolated)
            return dict(zip(("fake", "real", "interpolated"), (dy * g for g in found), strict=True))

        return loss.loss(fake, "C", real, interpolated), back

    inputs = {"fake": draw(6), "real": draw(6, seed=1), "interpolated": draw(6, 3)}
    yield Pair(
        "WGAN_GPLoss, critic",
        critic,
        inputs,
        cause="both means have the other sign than in the loss",
        says="sign",
    )

    def generator(fake):
        loss = nets.WGAN_GPLoss()
        return loss.loss(fake, "G"), lambda dy: {"fake": dy * loss.grad(fake, "G")}

    yield Pair("WGAN_GPLoss, generator", generator, {"fake": draw(6)})


def layers(nets):
    x, image = draw(5, 4), draw(2, 6, 6, 3)
    for act in (None, "Sigmoid", "ReLU", "Tanh", "SELU", "SoftPlus", AFFINE):
        yield of_layer(f"FullyConnected, {act}", lambda a=act: nets.FullyConnected(3, a), {"X": x})
    yield of_layer("Softmax", nets.Softmax, {"X": x})
    yield of_layer(
        "Softmax over axis 0",
        lambda: nets.Softmax(dim=0),
        {"X": x},
        cause="the backward goes over rows whatever the axis",
        says="axis",
    )
    yield of_layer("BatchNorm1D", nets.BatchNorm1D, {"X": x})
    yield of_layer("BatchNorm2D", nets.BatchNorm2D, {"X": image})
    yield of_layer("LayerNorm1D", nets.LayerNorm1D, {"X": x})
    yield of_layer("LayerNorm2D", nets.LayerNorm2D, {"X": image})
    yield of_layer("Flatten", nets.Flatten, {"X": image})
    yield of_layer("Flatten, last kept", lambda: nets.Flatten("last"), {"X": image})
    for scale in (True, False):
        qkv = {n: draw(5, 4, seed=i) for i, n in enumerate("QKV")}
        make = lambda s=scale: nets.DotProductAttention(scale=s)  # noqa: E731
        yield of_layer(f"DotProductAttention, scale {scale}", make, qkv, params=False)
    heads = {n: draw(2, 3, 4, seed=i) for i, n in enumerate("QKV")}
    yield of_layer("DotProductAttention, 3-d", nets.DotProductAttention, heads, params=False)
    for kind in ("Add", "Multiply"):
        for act in (None, "Tanh"):
            yield of_list(nets, kind, act)
    ids = np.array([[0, 2, 5], [1, 3, 4]])
    again = np.array([[0, 2, 2], [1, 1, 1]])
    for pool in (None, "sum", "mean"):
        for text, X in (("", ids), (", repeated ids", again)):
            wrong = pool and text
            yield of_embedding(
                nets,
                f"Embedding, pool {pool}{text}",
                pool,
                X,
                cause="= for +=: dW[ids] += g adds once to each id" if wrong else "",
                says="repeated|= for \\+=" if wrong else "",
            )
    for stride, pad, dilation in ((1, 0, 0), (2, 1, 0), (1, "same", 1), (1, "causal", 0)):
        make = lambda a=(pad, stride, dilation): nets.Conv1D(3, 2, *a, act_fn="Tanh")  # noqa: E731
        yield of_layer(
            f"Conv1D, stride {stride}, pad {pad}, dilation {dilation}", make, {"X": draw(2, 6, 3)}
        )
    for stride, pad, dilation in ((1, 0, 0), (2, 1, 0), (1, "same", 0), (1, 2, 1)):
        make = lambda a=(pad, stride, dilation): nets.Conv2D(2, (2, 2), *a, act_fn="Tanh")  # noqa: E731
        yield of_layer(
            f"Conv2D, stride {stride}, pad {pad}, dilation {dilation}", make, {"X": image}
        )
    for stride, pad in ((1, 0), (2, 0), (1, 1)):
        make = lambda a=(pad, stride): nets.Deconv2D(2, (2, 2), *a, act_fn="Tanh")  # noqa: E731
        yield of_layer(f"Deconv2D, stride {stride}, pad {pad}", make, {"X": draw(2, 4, 4, 3)})
    for mode in ("max", "average"):
        for stride, pad in ((2, 0), (1, 0), (2, 1)):
            make = lambda a=(stride, pad, mode): nets.Pool2D((2, 2), *a)  # noqa: E731
            fails = mode == "max" and pad
            yield of_layer(
                f"Pool2D, {mode}, stride {stride}, pad {pad}",
                make,
                {"X": image},
                cause="backward looks for windows in X without its padding, and finds empty ones"
                if fails
                else "",
                breaks="zero-size array" if fails else "",
            )
    series = {"X": draw(3, 4, 5)}
    for act in ("Tanh", "ReLU", "Sigmoid"):
        yield of_layer(
            f"RNNCell over time, {act}", lambda a=act: recurrent(nets.RNNCell(3, a)), series
        )
        yield of_layer(
            f"LSTMCell over time, {act}", lambda a=act: recurrent(nets.LSTMCell(3, a)), series
        )


def recurrent(cell):
    """A cell over the last axis: the layers RNN and LSTM cannot be made at this commit."""

    class Whole:
        def forward(self, X):
            steps = [cell.forward(X[:, :, t]) for t in range(X.shape[2])]
            return np.stack([y[0] if isinstance(y, tuple) else y for y in steps], axis=2)

        def backward(self, dy):
            steps = [cell.backward(dy[:, :, t]) for t in reversed(range(dy.shape[2]))]
            return np.stack(steps[::-1], axis=2)

        def flush_gradients(self):
            cell.flush_gradients()
            for name in ("dLdA_accumulator", "dLdC_accumulator"):
                if name in cell.derived_variables:
                    cell.derived_variables[name] = None

        @property
        def parameters(self):
            return cell.parameters

        @property
        def gradients(self):
            return cell.gradients

    return Whole()


def of_list(nets, kind, act):
    def run(a, b, c):
        layer = getattr(nets, kind)(act)
        y = layer.forward([a, b, c])
        return y, lambda dy: dict(zip("abc", layer.backward(dy), strict=True))

    return Pair(f"{kind}, {act}", run, {n: draw(3, 4, seed=i) for i, n in enumerate("abc")})


def of_embedding(nets, name, pool, ids, **known):
    def run(W):
        layer = nets.Embedding(4, vocab_size=6, pool=pool)
        layer.parameters["W"] = W
        y = layer.forward(ids)

        def back(dy):
            layer.gradients["W"] = np.zeros_like(W)
            layer.backward(dy)
            return {"W": layer.gradients["W"]}

        return y, back

    return Pair(name, run, {"W": draw(6, 4)}, **known)


def modules(nets, activations):
    image = draw(2, 5, 5, 3)

    def of_module(name, make, xs, **known):
        """Its parameters are drawn by its components, with a seed."""

        def run(**inputs):
            seeded()
            module = make()
            y = module.forward(*inputs.values())

            def back(dy):
                dx = module.backward(dy)
                return dict(zip(xs, dx if isinstance(dx, tuple) else (dx,), strict=True))

            return y, back

        return Pair(name, run, xs, **known)

    yield of_module(
        "SkipConnectionIdentityModule",
        lambda: nets.SkipConnectionIdentityModule(3, (3, 3), (3, 3), act_fn=activations.Tanh()),
        {"X": image},
    )
    yield of_module(
        "SkipConnectionConvModule",
        lambda: nets.SkipConnectionConvModule(
            3, 3, (3, 3), (3, 3), (3, 3), pad1=1, pad2=1, act_fn=activations.Tanh()
        ),
        {"X": image},
    )
    for mode in ("concat", "sum", "average", "multiply"):
        yield of_module(
            f"BidirectionalLSTM, {mode}",
            lambda m=mode: nets.BidirectionalLSTM(3, merge_mode=m),
            {"X": draw(2, 4, 3)},
            cause="backward has no branch for products" if mode == "multiply" else "",
            breaks="UnboundLocalError" if mode == "multiply" else "",
        )
    yield of_module(
        "MultiHeadedAttentionModule",
        lambda: nets.MultiHeadedAttentionModule(n_heads=2),
        {n: draw(3, 4, seed=i) for i, n in enumerate("QKV")},
        breaks="writes into",  # dLdy *= 1 / (1 - p), in the wrapper for dropout
    )


def pairs(root):
    on_path(root)
    empty_package("numpy_ml", root / "numpy_ml")
    empty_package("numpy_ml.neural_nets", root / "numpy_ml" / "neural_nets")
    empty_package("numpy_ml.utils", root / "numpy_ml" / "utils")
    from numpy_ml.neural_nets import activations as acts
    from numpy_ml.neural_nets import layers as nets
    from numpy_ml.neural_nets import losses as costs
    from numpy_ml.neural_nets import modules as parts

    yield from activations(acts)
    yield from losses(costs, acts)
    yield from layers(nets)
    yield from modules(parts, acts)
