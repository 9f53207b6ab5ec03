"""joelnet."""

from benchmarks.wild import Pair, draw, on_path, seeded

SOURCE = "joelgrus+joelnet"


def pairs(root):
    on_path(root)
    from joelnet import layers, loss, nn

    def of_layer(name, make, **inputs):
        def run(x, **params):
            seeded()
            layer = make()
            layer.params.update(params)
            y = layer.forward(x)
            return y, lambda dy: {"x": layer.backward(dy), **layer.grads}

        return Pair(name, run, inputs)

    yield of_layer("Linear", lambda: layers.Linear(4, 3), x=draw(5, 4), w=draw(4, 3), b=draw(3))
    yield of_layer("Tanh", layers.Tanh, x=draw(5, 4))

    def mse(predicted):
        target = draw(5, 3, seed=9)
        made = loss.MSE()
        return made.loss(predicted, target), lambda dy: {
            "predicted": dy * made.grad(predicted, target)
        }

    yield Pair("MSE", mse, {"predicted": draw(5, 3)})

    def net(x):
        seeded()
        made = nn.NeuralNet([layers.Linear(4, 6), layers.Tanh(), layers.Linear(6, 2)])
        return made.forward(x), lambda dy: {"x": made.backward(dy)}

    yield Pair("NeuralNet", net, {"x": draw(5, 4)})
