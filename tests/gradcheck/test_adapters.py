"""Gradients in other forms than a pair: losses, layers, and derivatives that are functions."""

import numpy as np
import pytest

from scratchvae.errors import InputError
from scratchvae.gradcheck import check_hvp, check_jvp, check_layer, check_loss, check_vjp


@pytest.fixture
def draw():
    return np.random.default_rng(0).standard_normal


def leaves(report):
    return {leaf.name: leaf.verdict for leaf in report.leaves}


# ------------------------------------------------------------------------------------------ losses

A = np.random.default_rng(1).standard_normal((4, 4))
A = A @ A.T


def quadratic(x):
    return 0.5 * x @ A @ x, A @ x


def test_a_loss_with_its_gradient(draw):
    assert leaves(check_loss(quadratic, draw(4))) == {"x": "PASS"}
    report = check_loss(lambda x: (quadratic(x)[0], 2 * quadratic(x)[1]), draw(4))
    assert report.headline.endswith("FAIL: dx: 2 x too large at all 4 entries")


def test_other_arguments_of_a_loss_are_constants(draw):
    def loss(theta, t):
        return ((theta - t) ** 2).sum(), 2 * (theta - t)

    report = check_loss(loss, (draw(4), draw(4)))
    assert (leaves(report), report.notes) == ({"theta": "PASS"}, ("not checked: t",))
    both = check_loss(lambda a, t: (loss(a, t)[0], {"a": 2 * (a - t), "t": 2 * (t - a)}),
                      {"a": draw(4), "t": draw(4)})  # fmt: skip
    assert leaves(both) == {"a": "PASS", "t": "PASS"}


def test_the_parameters_of_a_loss_may_be_nested(draw):
    x = draw((5, 3))

    def loss(params):
        r = x @ params["w"] + params["b"]
        return (r * r).sum(), {"w": 2 * x.T @ r, "b": 2 * r.sum()}

    report = check_loss(loss, ({"w": draw(3), "b": 0.5},))
    assert leaves(report) == {"params.w": "PASS", "params.b": "PASS"}


def softmax_objective(scores, labels, half=1.0):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return -(labels * np.log(p)).sum(), p - labels, half * p * (1 - p)


def test_the_diagonal_of_a_hessian(draw):
    scores, labels = draw((5, 3)), np.eye(3)[[0, 1, 2, 1, 0]]
    report = check_loss(lambda z: softmax_objective(z, labels), scores)
    assert leaves(report) == {"z": "PASS", "2z": "PASS"}
    report = check_loss(lambda z: softmax_objective(z, labels, 2.0), scores)
    assert leaves(report) == {"z": "PASS", "2z": "FAIL"}
    assert "d2z: 2 x too large at all 15 entries" in report.headline
    report = check_loss(lambda t: ((t**3).sum(), 3 * t**2, 6 * t), draw(4))
    assert leaves(report) == {"t": "PASS", "2t": "PASS"}


@pytest.mark.parametrize("returned", [1.0, (1.0,), (np.ones(2), np.ones(2)), (1.0, 1.0, 1.0, 1.0)])
def test_what_is_no_loss_with_a_gradient(returned):
    with pytest.raises(
        InputError, match=r"must return \(loss, gradient\) or \(loss, gradient, hes"
    ):
        check_loss(lambda x: returned, np.ones(2))


def test_a_loss_that_raises_is_reported():
    def loss(x):
        raise KeyError("no such thing")

    report = check_loss(loss, np.ones(3))
    assert report.verdict == "ERROR"
    assert "loss raises KeyError in line" in report.raised
    assert 'raise KeyError("no such thing")' in report.raised


# ------------------------------------------------------------------------------------------ layers


class Dense:
    """Gradients in attributes, made by each backward."""

    bias = 1.0  # what its gradient is multiplied by

    def __init__(self, dtype="float64"):
        draw = np.random.default_rng(2).standard_normal
        self.W, self.b = draw((3, 4)).astype(dtype), draw(4).astype(dtype)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, self.bias * dy.sum(axis=0)
        return dy @ self.W.T


class Buffers(Dense):
    """Lists of parameters and gradients, in memory of its own that is used again."""

    def __init__(self, dtype="float64"):
        super().__init__(dtype)
        self.params, self.grads = [self.W, self.b], [0 * self.W, 0 * self.b]

    def backward(self, dy):
        self.grads[0][...] = self.x.T @ dy
        self.grads[1][...] = self.bias * dy.sum(axis=0)
        return dy @ self.W.T


class Dicts(Dense):
    def __init__(self, dtype="float64"):
        super().__init__(dtype)
        self.parameters = {"kernel": self.W, "offset": self.b}
        self.gradients = {}

    def backward(self, dy):
        self.gradients = {"kernel": self.x.T @ dy, "offset": self.bias * dy.sum(axis=0)}
        return dy @ self.parameters["kernel"].T


class AddsUp(Buffers):
    def backward(self, dy):
        self.grads[0] += self.x.T @ dy
        self.grads[1] += self.bias * dy.sum(axis=0)
        return dy @ self.W.T


class Reset(AddsUp):
    def zero_grad(self):
        for g in self.grads:
            g[...] = 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("layer", "names"), [(Dense, "W b"), (Buffers, "W b"), (Dicts, "kernel offset"), (Reset, "W b")]
)
def test_parameters_are_found_with_their_gradients(draw, layer, names, dtype):
    x = draw((5, 3)).astype(dtype)
    report = check_layer(layer(dtype), x)
    assert leaves(report) == dict.fromkeys(["x", *names.split()], "PASS")
    assert report.resolution < 1e-10, "it is checked in float64"
    wrong = type("Wrong", (layer,), {"bias": 1 / 5})
    report = check_layer(wrong(dtype), x)
    assert [n for n, verdict in leaves(report).items() if verdict == "FAIL"] == names.split()[1:]
    assert "5 x too small at all 4 entries: a mean where" in report.headline


def test_a_layer_is_left_as_it_is(draw):
    layer = Buffers("float32")
    kept = [a.copy() for a in (*layer.params, *layer.grads)]
    check_layer(layer, draw((5, 3)))
    assert not hasattr(layer, "x")
    for a, b in zip(kept, (*layer.params, *layer.grads), strict=True):
        assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes())


def test_gradients_that_add_up_need_a_zero_grad(draw):
    report = check_layer(AddsUp(), draw((5, 3)))
    text = "each call adds to dW, db: backward accumulates"
    assert text in report.violations


def test_a_backward_that_trains(draw):
    class Trains(Dense):
        def backward(self, dy):
            dx = dy @ self.W.T
            self.W -= 0.1 * self.x.T @ dy
            return dx

    assert check_layer(Trains(), draw((5, 3))).violations == ("backward modifies W",)


def test_a_layer_whose_forward_keeps_statistics(draw):
    class Keeps(Dense):
        mean = np.ones(3)

        def __init__(self):
            super().__init__()
            self.running = np.ones(3)

        def forward(self, x):
            self.running = 0.9 * self.running + 0.1 * x.mean(axis=0)
            return super().forward(x)

    assert check_layer(Keeps(), draw((5, 3))).verdict == "PASS"


def test_names_of_ones_own(draw):
    class Own(Dense):
        def backward(self, dy):
            self.slope, self.shift = self.x.T @ dy, dy.sum(axis=0)
            return dy @ self.W.T

    report = check_layer(Own(), draw((5, 3)))
    assert leaves(report) == {"x": "PASS"}
    text = "no gradient was found for W, b: if they are parameters, pass params=[...], grads"
    assert report.notes[-1].startswith(text)
    named = check_layer(Own(), draw((5, 3)), params=["W", "b"], grads=["slope", "shift"])
    assert leaves(named) == dict.fromkeys("xWb", "PASS")
    with pytest.raises(InputError, match="params and grads must be lists of attributes"):
        check_layer(Own(), draw((5, 3)), params=["W"])
    with pytest.raises(InputError, match="Own has no array kernel"):
        check_layer(Own(), draw((5, 3)), params=["kernel"], grads=["slope"])
    with pytest.raises(InputError, match="params names 2 attributes, grads 1"):
        check_layer(Own(), draw((5, 3)), params=["W", "b"], grads=["slope"])
    bad = check_layer(Own(), draw((5, 3)), params=["W"], grads=["no_such"])
    assert bad.violations == ("backward sets no gradient for W",)


def test_a_layer_of_several_inputs(draw):
    class Product:
        def forward(self, a, b):
            self.a, self.b = a, b
            return a * b

        def backward(self, dy):
            return dy * self.b, dy * self.a

    report = check_layer(Product(), (draw(4), draw(4)))
    assert (leaves(report), report.notes) == ({"x0": "PASS", "x1": "PASS"}, ())
    by_name = check_layer(Product(), {"left": draw(4), "right": draw(4)})
    assert leaves(by_name) == {"left": "PASS", "right": "PASS"}


class Chain:
    def __init__(self, *layers):
        self.layers = list(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


class Twice(Dense):
    def __init__(self):
        super().__init__()
        self.W = self.W[:, :3]
        self.b = self.b[:3]


def test_the_layers_that_a_layer_holds(draw):
    report = check_layer(Chain(Twice(), Dense()), draw((5, 3)))
    names = ["x", "layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"]
    assert leaves(report) == dict.fromkeys(names, "PASS")
    wrong = type("Wrong", (Dense,), {"bias": 2.0})
    report = check_layer(Chain(Twice(), wrong()), draw((5, 3)))
    assert "dlayers.1.b: 2 x too large" in report.headline


def test_parameters_that_are_objects(draw):
    class Parameter:
        def __init__(self, data):
            self.data, self.grad = data, None

    class Boxed:
        factor = 1.0

        def __init__(self):
            self.W = Parameter(np.random.default_rng(2).standard_normal((3, 4)))

        def forward(self, x):
            self.x = x
            return x @ self.W.data

        def backward(self, dy):
            self.W.grad = self.factor * self.x.T @ dy
            return dy @ self.W.data.T

    assert leaves(check_layer(Boxed(), draw((5, 3)))) == {"x": "PASS", "W": "PASS"}
    wrong = type("Wrong", (Boxed,), {"factor": 2.0})
    assert leaves(check_layer(wrong(), draw((5, 3)))) == {"x": "PASS", "W": "FAIL"}


def test_a_layer_with_slots(draw):
    class Slots:
        __slots__ = ("W", "dW", "x")

        def __init__(self):
            self.W = np.random.default_rng(2).standard_normal((3, 4))

        def forward(self, x):
            self.x = x
            return x @ self.W

        def backward(self, dy):
            self.dW = 2 * self.x.T @ dy
            return dy @ self.W.T

    assert leaves(check_layer(Slots(), draw((5, 3)))) == {"x": "PASS", "W": "FAIL"}


def test_a_gradient_that_is_not_summed_or_not_left(draw):
    class NotSummed(Dense):
        def backward(self, dy):
            self.dW, self.db = self.x.T @ dy, dy
            return dy @ self.W.T

    report = check_layer(NotSummed(), draw((5, 3)))
    assert report.violations == ("db has shape (5, 4), but b has (4,)",)

    class Lost(Dicts):
        def backward(self, dy):
            self.gradients = {"kernel": self.x.T @ dy}
            return dy @ self.parameters["kernel"].T

    assert check_layer(Lost(), draw((5, 3))).violations == ("backward sets no gradient for offset",)

    class Short(Buffers):
        def __init__(self):
            super().__init__()
            self.grads = self.grads[:1]

        def backward(self, dy):
            self.grads[0][...] = self.x.T @ dy
            return dy @ self.W.T

    assert check_layer(Short(), draw((5, 3))).violations == ("backward sets no gradient for b",)

    class Mixed(Dense):
        def __init__(self):
            super().__init__()
            self.params, self.grads = [self.W], [0 * self.W]

        def backward(self, dy):
            self.grads[0][...], self.db = self.x.T @ dy, 2 * dy.sum(axis=0)
            return dy @ self.W.T

    assert leaves(check_layer(Mixed(), draw((5, 3)))) == {"x": "PASS", "W": "PASS", "b": "FAIL"}


def test_what_a_layer_keeps_of_its_input_is_no_parameter(draw):
    class Keeps(Dense):
        def __init__(self):
            super().__init__()
            self.x = self.dx = np.zeros((5, 3))

        def backward(self, dy):
            self.dx = super().backward(dy)
            return self.dx

    assert leaves(check_layer(Keeps(), draw((5, 3)))) == dict.fromkeys("xWb", "PASS")


def test_a_number_is_a_setting_and_no_parameter(draw):
    class Step:
        def __init__(self):
            self.t, self.dt = 1.0, 0.1

        def forward(self, x):
            return x + self.dt * x

        def backward(self, dy):
            return dy + self.dt * dy

    assert leaves(check_layer(Step(), draw((5, 3)))) == {"x": "PASS"}


@pytest.mark.parametrize("labels", [np.array([0, 2, 1, 2, 0]), np.eye(3)[[0, 2, 1, 2, 0]]])
def test_a_layer_that_is_a_loss(draw, labels):
    class CrossEntropy:
        def forward(self, logits, labels):
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            self.p = e / e.sum(axis=1, keepdims=True)
            self.hot = labels if labels.ndim == 2 else np.eye(3)[labels]
            return -(self.hot * np.log(self.p)).sum() / len(logits)

        def backward(self, dy):
            return dy * (self.p * self.hot.sum(axis=1, keepdims=True) - self.hot) / len(self.p)

    report = check_layer(CrossEntropy(), (draw((5, 3)), labels))
    assert leaves(report) == {"x0": "PASS"}
    by_name = check_layer(CrossEntropy(), {"logits": draw((5, 3)), "labels": labels})
    assert leaves(by_name) == {"logits": "PASS"}


def test_a_layer_that_makes_its_parameters_at_the_first_input(draw):
    class Lazy(Dense):
        def __init__(self):
            self.W = None

        def forward(self, x):
            if self.W is None:
                Dense.__init__(self)
            return super().forward(x)

    assert leaves(check_layer(Lazy(), draw((5, 3)))) == dict.fromkeys("xWb", "PASS")


def test_a_layer_that_raises_or_is_none(draw):
    report = check_layer(Dense(), draw((5, 2)))
    assert report.raised.startswith("Dense.forward raises ValueError in line")
    assert report.raised.endswith("it was called with x (5, 2)")

    class Uncopied(Dense):
        def __deepcopy__(self, memo):
            raise TypeError("cannot be copied")

    report = check_layer(Uncopied(), draw((5, 3)))
    assert report.raised.startswith("copying Uncopied raises TypeError")
    with pytest.raises(InputError, match="list has no method forward or forward_pass or"):
        check_layer([1], draw(3))

    class Named(Dense):
        def __init__(self):
            super().__init__()
            self.gain, self.dgain = np.ones(3), np.ones(3)

    with pytest.raises(InputError, match="has a parameter gain: give the input another name"):
        check_layer(Named(), {"gain": draw((5, 3))})


# -------------------------------------------------------- derivatives that are functions themselves


def product(x, w):
    return np.sin(x @ w)


def test_a_pull_back(draw):
    def vjp(x, w):
        def pull_back(dy):
            d = dy * np.cos(x @ w)
            return d @ w.T, x.T @ d

        return product(x, w), pull_back

    inputs = draw((2, 3)), draw((3, 4))
    assert leaves(check_vjp(product, vjp, inputs)) == {"x": "PASS", "w": "PASS"}
    bad = check_vjp(product, lambda x, w: (0, lambda dy: (vjp(x, w)[1](dy)[0], w)), inputs)
    assert leaves(bad) == {"x": "PASS", "w": "FAIL"}
    with pytest.raises(InputError, match=r"product must return \(y, pullback\)"):
        check_vjp(product, product, inputs)


def test_a_pull_back_that_keeps_what_was_before(draw):
    kept = []

    def vjp(x):
        kept.append(x)
        of = kept[-2] if len(kept) > 1 else x
        return x * x, lambda dy: 2 * dy * of

    report = check_vjp(lambda x: x * x, vjp, draw(4))
    assert any("depends on hidden state" in text for text in report.violations)


def test_derivatives_that_come_with_another_output(draw):
    vjp = check_vjp(np.sin, lambda x: (2 * np.sin(x), lambda dy: dy * np.cos(x)), draw(3))
    jvp = check_jvp(np.sin, lambda p, t: (np.cos(p[0]), np.cos(p[0]) * t[0]), draw(3))
    for report in (vjp, jvp):
        assert leaves(report) == {"x": "PASS"}
        assert report.violations == ("<lambda> returns a different output from sin",)


def forward_mode(primals, tangents):
    (x, w), (dx, dw) = primals, tangents
    return np.sin(x @ w), np.cos(x @ w) * (dx @ w + x @ dw)


def test_a_derivative_in_forward_mode(draw):
    inputs = draw((2, 3)), draw((3, 4))
    assert leaves(check_jvp(product, forward_mode, inputs)) == {"x": "PASS", "w": "PASS"}
    alone = check_jvp(product, lambda p, t: forward_mode(p, t)[1], inputs)
    assert alone.verdict == "PASS"
    lost = check_jvp(product, lambda p, t: forward_mode(p, (t[0], 0 * t[1])), inputs)
    assert leaves(lost) == {"x": "PASS", "w": "FAIL"}


def test_a_derivative_that_is_not_linear(draw):
    report = check_jvp(np.exp, lambda p, t: np.exp(p[0]) * abs(t[0]), draw(3))
    assert report.violations == ("<lambda> is not linear in the tangents",)
    assert leaves(report) == {"x": "PASS"}, "along each axis it is right"
    report = check_hvp(lambda x: 4 * x**3, lambda x, v: 12 * x**2 * abs(v), draw(3))
    assert report.violations == ("<lambda> is not linear in the tangents",)


def test_a_derivative_that_raises_for_other_tangents(draw):
    def jvp(primals, tangents):
        if np.count_nonzero(tangents[0]) > 1:
            raise ValueError("one at a time")
        return primals[1] * tangents[0]

    report = check_jvp(lambda x, k: k * x, jvp, (draw(3), 2))
    assert report.verdict == "ERROR"
    assert "raises ValueError in line" in report.raised


def test_a_derivative_of_nested_arguments(draw):
    def f(p):
        return {"y": p["a"] * p["b"]}

    def jvp(primals, tangents):
        (p,), (t,) = primals, tangents
        return {"y": t["a"] * p["b"] + p["a"] * t["b"]}

    report = check_jvp(f, jvp, ({"a": draw(3), "b": draw(3)},))
    assert leaves(report) == {"p.a": "PASS", "p.b": "PASS"}


def test_forms_of_a_derivative(draw):
    cube = check_jvp(lambda x: x**3, lambda p, t: 3 * p[0] ** 2 * t[0], 1.5)
    assert leaves(cube) == {"x": "PASS"}
    two = check_jvp(lambda x: (x, 2 * x), lambda p, t: (t[0], 2 * t[0]), draw(3))
    assert leaves(two) == {"x": "PASS"}, "a derivative of two outputs, alone"
    both = check_jvp(
        lambda x: (x, 2 * x), lambda p, t: ((p[0], 2 * p[0]), (t[0], 2 * t[0])), draw(3)
    )
    assert leaves(both) == {"x": "PASS"}
    lost = check_jvp(lambda x: np.full(5, x.sum()), lambda p, t: t[0].sum(), draw(3))
    text = "<lambda> returns a derivative of shape (), but the output has (5,)"
    assert lost.violations == (text,)


def test_a_function_may_have_an_argument_dy(draw):
    dy, w = draw(3), draw(3)

    def scaled(dy, w):
        return dy * w

    vjp = check_vjp(scaled, lambda dy, w: (dy * w, lambda g: (g * w, g * dy)), (dy, w))
    jvp = check_jvp(scaled, lambda p, t: t[0] * p[1] + p[0] * t[1], (dy, w))
    loss = check_loss(lambda dy: ((dy * dy).sum(), 2 * dy), dy)
    assert leaves(vjp) == leaves(jvp) == {"dy": "PASS", "w": "PASS"}
    assert leaves(loss) == leaves(check_hvp(lambda dy: 2 * dy, lambda dy, v: 2 * v, dy))


def test_a_dict_may_be_the_only_argument(draw):
    def loss(params):
        return (params["a"] ** 2).sum(), {"a": 2 * params["a"]}

    assert leaves(check_loss(loss, {"a": draw(3)})) == {"params.a": "PASS"}


def test_a_hessian_that_is_no_diagonal(draw):
    with pytest.raises(InputError, match="must be its diagonal, an array of the shape of x"):
        check_loss(lambda x: (quadratic(x)[0], quadratic(x)[1], A), draw(4))


def test_a_derivative_that_would_be_called_too_often():
    with pytest.raises(InputError, match="called for each of 4000 entries: pass fewer than 3000"):
        check_jvp(np.exp, lambda p, t: t, np.ones(4000))
    with pytest.raises(InputError, match="check_jvp takes only real arguments"):
        check_jvp(np.exp, lambda p, t: t, np.ones(4) + 1j)


def test_a_hessian_times_a_vector(draw):
    def gradient(theta):
        return 4 * theta**3 + A @ theta

    right = check_hvp(gradient, lambda x, v: 12 * x**2 * v + A @ v, draw(4))
    assert leaves(right) == {"theta": "PASS"}
    by = check_hvp(lambda x, k: k * x**3, lambda x, v, k: 3 * k * x**2 * v, (draw(4), 2.0))
    assert leaves(by) == {"x": "PASS"}
    wrong = check_hvp(gradient, lambda x, v: 12 * x**2 * v, draw(4))
    assert leaves(wrong) == {"theta": "FAIL"}
