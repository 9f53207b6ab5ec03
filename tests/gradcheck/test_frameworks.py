"""`check_torch` and `check_jax`, where the framework is installed: see `make test-frameworks`."""

import numpy as np
import pytest

from scratchvae.errors import InputError
from scratchvae.gradcheck import check_file, check_jax, check_torch


def leaves(report):
    return {leaf.name: leaf.verdict for leaf in report.leaves}


# ----------------------------------------------------------------------------------------- PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture
def scaled_exp(torch):
    """scaled_exp(factor): a Function exp(x) k whose gradient is multiplied by the factor."""

    def make(factor):
        class ScaledExp(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, k):
                y = k * torch.exp(x)
                ctx.save_for_backward(y)
                return y

            @staticmethod
            def backward(ctx, dy):
                return factor * dy * ctx.saved_tensors[0], None

        return ScaledExp

    return make


def test_a_function_of_autograd(torch, scaled_exp):
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    report = check_torch(scaled_exp(1).apply, (x, 2.0))
    assert (report.name, leaves(report)) == ("ScaledExp", {"x": "PASS"})
    report = check_torch(scaled_exp(2).apply, (x, 2.0))
    assert report.headline == "ScaledExp: FAIL: dx: 2 x too large at all 12 entries"
    assert check_torch(scaled_exp(1).apply, {"x": x, "k": 2.0}).verdict == "PASS"


def test_what_is_declared_for_float32_alone(torch):
    class Single(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            if x.dtype != torch.float32:
                raise TypeError("float32 alone")
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy * ctx.saved_tensors[0]

    x = torch.linspace(-1, 2, 6)
    assert check_torch(Single.apply, x).raised.startswith("Single raises TypeError in line")
    report = check_torch(Single.apply, x, dtype="float32")
    assert (report.verdict, report.notes) == ("PASS", ())
    with pytest.raises(InputError, match="dtype must be float64 or float32, got bfloat16"):
        check_torch(Single.apply, x, dtype="bfloat16")


def test_the_parameters_of_a_module_are_checked(torch):
    layers = torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    module = torch.nn.Sequential(*layers)
    before = {n: p.clone() for n, p in module.state_dict().items()}
    report = check_torch(module, torch.randn(5, 3))
    names = ["input", *(n for n, _ in module.named_parameters())]
    assert leaves(report) == dict.fromkeys(names, "PASS")
    for name, value in module.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name]), name


def test_dropout_is_named(torch):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout())
    assert check_torch(module, torch.randn(5, 3)).random.endswith("with module.eval()")
    assert check_torch(module.eval(), torch.randn(5, 3)).verdict == "PASS"


def test_several_outputs_and_recurrence(torch):
    report = check_torch(torch.nn.LSTM(3, 2, batch_first=True), torch.randn(2, 4, 3))
    assert set(leaves(report).values()) == {"PASS"}
    assert len(report.leaves) == 5


def test_nested_tensors_integers_and_complex_numbers(torch):
    def f(p, at):
        return {"y": p["w"][at] @ p["x"], "n": torch.arange(3)}

    p = {"w": torch.randn(4, 3), "x": torch.randn(3)}
    report = check_torch(f, (p, torch.tensor([0, 0, 2])))
    assert leaves(report) == {"p.w": "PASS", "p.x": "PASS"}
    z = torch.randn(3, dtype=torch.complex64)
    assert leaves(check_torch(lambda z: z * z, z)) == {"z.real": "PASS", "z.imag": "PASS"}


def test_what_is_detached_claims_zero(torch):
    x = torch.linspace(0.5, 2, 4)
    assert "it is zero everywhere" in check_torch(lambda x: x.detach() * 2, x).headline
    assert "2 x too small" in check_torch(lambda x: x.detach() * x, x).headline
    held = check_torch(lambda x, t: (x - t.detach()) ** 2, (x, 0 * x), treat_as={"t": "constant"})
    assert leaves(held) == {"x": "PASS", "t": "PASS"}


def test_the_line_of_a_function_that_raises(torch):
    class Flat(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return dy.view(7)

    report = check_torch(Flat.apply, torch.randn(4, 3))
    assert report.raised.startswith("Flat.backward raises RuntimeError in line")
    assert "return dy.view(7)" in report.raised


def test_a_backward_that_takes_its_arguments_for_contiguous(torch):
    class Strides(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum(dim=0)

        @staticmethod
        def backward(ctx, dy):
            flat = torch.as_strided(dy, (dy.numel(),), (1,))
            return flat.expand(4, 3).clone()

    report = check_torch(Strides.apply, torch.randn(4, 3))
    assert any("returns a different" in violation for violation in report.violations), report


def test_masks_and_writes_in_place_and_no_grad(torch):
    q, k, v = torch.randn(3, 2, 4, 5).unbind()
    mask = torch.full((4, 4), -torch.inf).triu(1)
    attention = torch.nn.functional.scaled_dot_product_attention
    report = check_torch(attention, (q, k, v, mask))
    assert set(leaves(report).values()) == {"PASS"}
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(inplace=True))
    assert check_torch(module, torch.randn(5, 3)).verdict == "PASS"
    assert check_torch(torch.nn.ReLU(inplace=True), torch.randn(5, 3)).verdict == "PASS"
    with torch.no_grad():
        assert leaves(check_torch(lambda dy: dy**2, torch.randn(3))) == {"dy": "PASS"}
    with pytest.raises(InputError, match="device='no_such' cannot be used"):
        check_torch(torch.sin, torch.randn(3), device="no_such")


def test_ways_of_calling(torch, scaled_exp):
    f, x = scaled_exp(1), torch.linspace(0, 1, 3)
    for function, arguments in ((f, (x, 2.0)), (f.apply, [x, 2.0]), (f.apply, (x.numpy(), 2.0))):
        assert leaves(check_torch(function, arguments)) == {"x": "PASS"}
    assert check_torch(f, (x, 2.0), dtype=torch.float32).verdict == "PASS"
    with pytest.raises(InputError, match="check_torch takes tensors"):
        check_torch(lambda x: x, 1.0)


def test_inputs_that_require_no_gradient_are_constants(torch):
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(scale)
            return x * scale

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0], None

    x, scale = torch.linspace(0, 1, 3), torch.linspace(1, 2, 3)
    assert leaves(check_torch(Product, (x, scale))) == {"x": "PASS", "scale": "FAIL"}
    assert leaves(check_torch(Product, (x.requires_grad_(), scale))) == {"x": "PASS"}
    assert x.grad is None
    assert (
        "held constant, as others require a gradient: scale"
        in check_torch(Product, (x, scale)).notes
    )


def test_a_derivative_of_a_derivative(torch):
    def slope(x):
        return torch.autograd.grad((x**3).sum(), x, create_graph=True)[0]

    assert leaves(check_torch(slope, torch.linspace(1, 2, 4))) == {"x": "PASS"}


def test_a_backward_that_writes_into_its_argument(torch):
    class Writes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, dy):
            dx = 2 * dy
            dy.mul_(2)
            return dx

    report = check_torch(Writes, torch.linspace(1, 2, 4))
    assert report.violations[0].startswith("the backward writes into its arguments: dy")
    assert leaves(report) == {"x": "PASS"}, "apart from that it is right"


def test_a_double_backward_that_ignores_dy(torch):
    """The recipe of docs/gradient_checks.md: with an upstream gradient of ones, it would pass."""

    class Slope(torch.autograd.Function):
        @staticmethod
        def forward(ctx, dy, x):
            ctx.save_for_backward(dy, x)
            return 2 * dy * x

        @staticmethod
        def backward(ctx, d):
            dy, _ = ctx.saved_tensors
            return 0 * d, 2 * dy * d

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, dy):
            return Slope.apply(dy, ctx.saved_tensors[0])

    def twice(f):
        return lambda x, v: torch.autograd.grad(f(x), x, v, create_graph=True)[0]

    x, v = torch.linspace(1, 2, 4), torch.linspace(-1, 1, 4)
    assert leaves(check_torch(twice(Square.apply), (x, v))) == {"x": "PASS", "v": "FAIL"}
    assert leaves(check_torch(twice(torch.square), (x, v))) == {"x": "PASS", "v": "PASS"}


def test_a_forward_that_writes_into_its_input(torch):
    def function(forward_):
        class Writes(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return forward_(ctx, x)

            @staticmethod
            def backward(ctx, dy):
                return 2 * dy

        return Writes

    def by_data(ctx, x):
        x.data.add_(1)
        return 2 * x

    def undeclared(ctx, x):
        return x.mul_(2)

    def declared(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    def without_gradient(x):
        with torch.no_grad():
            x.add_(1)
        return 2 * x

    x = torch.linspace(1, 2, 4)
    for f in (function(by_data), function(undeclared), without_gradient):
        report = check_torch(f, x)
        assert report.violations == ("the forward writes into its arguments: x",), f
    assert check_torch(function(declared), x).verdict == "PASS", "autograd knows of this one"
    assert check_torch(lambda x: x.mul_(2), x).verdict == "PASS", "and of this one"


def test_none_for_an_input_that_requires_a_gradient(torch):
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(w)
            return x * w

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0], None

    x, w = torch.linspace(1, 2, 4), torch.linspace(2, 3, 4).requires_grad_()
    text = "Scale.backward returned None for w, which requires a gradient: check ctx.needs_input"
    with pytest.raises(InputError, match=text):
        check_torch(Scale, (x, w))


# --------------------------------------------------------------------------------------------- JAX


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed")


@pytest.fixture
def scaled_softplus(jax):
    def make(factor):
        @jax.custom_vjp
        def scaled_softplus(x, s):
            return s * jax.numpy.logaddexp(0, x)

        def forward(x, s):
            return scaled_softplus(x, s), (x, s)

        def backward(kept, dy):
            x, s = kept
            return factor * dy * s * jax.nn.sigmoid(x), (dy * jax.numpy.logaddexp(0, x)).sum()

        scaled_softplus.defvjp(forward, backward)
        return scaled_softplus

    return make


def test_a_custom_vjp(jax, scaled_softplus):
    x = jax.numpy.linspace(-1, 2, 5)
    assert leaves(check_jax(scaled_softplus(1), (x, 1.5))) == {"x": "PASS", "s": "PASS"}
    report = check_jax(scaled_softplus(0.5), (x, 1.5))
    assert report.headline == "scaled_softplus: FAIL: dx: 2 x too small at all 5 entries"
    assert jax.numpy.asarray(np.ones(2)).dtype == "float32", "as it was before the check"


def test_a_rule_with_another_output_than_the_function(jax):
    np_ = jax.numpy
    x = np_.linspace(0.5, 2, 5)

    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (1.01 * x**2, x), lambda x, dy: (2 * x * dy,))

    @jax.custom_jvp
    def sine(x):
        return np_.sin(x)

    sine.defjvp(lambda p, t: (2 * np_.sin(p[0]), np_.cos(p[0]) * t[0]))
    for f in (square, sine):
        report = check_jax(f, x)
        name = f.__name__
        text = f"the derivative rule of {name} returns a different output from {name}"
        assert (leaves(report), report.violations) == ({"x": "PASS"}, (text,))


def test_what_a_forward_keeps_from_an_earlier_call(jax):
    kept = []

    @jax.custom_vjp
    def square(x):
        return x**2

    def forward(x):
        kept.append(x)
        return x**2, kept[-2] if len(kept) > 1 else x

    square.defvjp(forward, lambda x, dy: (2 * x * dy,))
    report = check_jax(square, jax.numpy.linspace(0.5, 2, 5))
    assert any("depends on hidden state" in violation for violation in report.violations)


def test_arguments_that_are_no_arrays_of_numbers(jax):
    np_, x = jax.numpy, jax.numpy.linspace(0.5, 2, 5)

    def apply(f, x):
        return f(x)

    assert leaves(check_jax(apply, (np_.tanh, x))) == {"x": "PASS"}
    assert leaves(check_jax(apply, (jax.jit(np_.tanh), x))) == {"x": "PASS"}

    def noisy(x, key):
        return x * jax.random.normal(key, x.shape)

    assert leaves(check_jax(noisy, (x, jax.random.key(0)))) == {"x": "PASS"}


def test_pytrees_of_other_kinds_masks_and_half_precision(jax):
    import dataclasses

    np_ = jax.numpy

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Line:
        slope: object
        offset: object

    report = check_jax(lambda line: line.slope * 3 + line.offset, Line(np_.ones(2), 0.5))
    assert leaves(report) == {"line.slope": "PASS", "line.offset": "PASS"}
    mask = np_.array([0, -np_.inf, 0])
    report = check_jax(lambda x, m: jax.nn.softmax(x + m), (np_.arange(3.0), mask))
    assert (leaves(report), report.notes) == ({"x": "PASS"}, ("held constant, as not finite: m",))
    assert leaves(check_jax(np_.sin, np_.ones(3, dtype=np_.bfloat16))) == {"x": "PASS"}
    assert leaves(check_jax(lambda p: p["a"] ** 2, {"a": np_.ones(3)})) == {"p.a": "PASS"}
    assert leaves(check_jax(lambda dy: dy**2, np_.ones(3))) == {"dy": "PASS"}


def test_a_number_that_is_no_argument_to_differentiate_by(jax):
    from functools import partial

    np_ = jax.numpy

    @partial(jax.custom_vjp, nondiff_argnums=(1,))
    def clipped(x, most):
        return np_.minimum(x, most) ** 2

    def backward(most, x, dy):
        return (2 * dy * x * (x < most),)

    clipped.defvjp(lambda x, most: (clipped(x, most), x), backward)
    assert leaves(check_jax(clipped, (np_.linspace(0.1, 2, 5), 0.8))) == {"x": "PASS"}


def test_a_rule_that_is_not_linear(jax):
    @jax.custom_jvp
    def cube(x):
        return x**3

    cube.defjvp(lambda p, t: (cube(*p), 3 * p[0] ** 2 * abs(t[0])))
    report = check_jax(cube, jax.numpy.linspace(0.5, 2, 5))
    assert report.raised.endswith("is the rule not linear in the tangents?")


def test_python_that_depends_on_values(jax):
    def f(x):
        return 2 * x if x.sum() > 0 else -x

    assert leaves(check_jax(f, jax.numpy.linspace(0.5, 2, 5))) == {"x": "PASS"}


def test_a_custom_jvp(jax):
    @jax.custom_jvp
    def cube(x):
        return x**3

    cube.defjvp(lambda p, t: (cube(*p), 2 * p[0] ** 2 * t[0]))
    report = check_jax(cube, jax.numpy.linspace(0.5, 2, 5))
    assert report.headline == "cube: FAIL: dx: 1.5 x too small at all 5 entries"


def test_pytrees_integers_and_complex_numbers_of_jax(jax):
    np_ = jax.numpy

    def f(p, at):
        return {"y": np_.tanh(p["w"][at] @ p["x"]), "n": np_.arange(3)}, (p["x"] ** 2,)

    p = {"w": np_.linspace(-1, 1, 12).reshape(4, 3), "x": np_.arange(3.0) + 0.5}
    report = check_jax(f, (p, np_.array([0, 0, 2])))
    assert leaves(report) == {"p.w": "PASS", "p.x": "PASS"}
    z = np_.array([1 + 2j, 0.3 - 1j])
    assert leaves(check_jax(lambda z: z * z, z)) == {"z.real": "PASS", "z.imag": "PASS"}


def test_a_function_of_jax_that_raises(jax):
    report = check_jax(lambda x: x @ x.T @ x[:2], jax.numpy.ones((3, 4)))
    assert report.verdict == "ERROR"
    assert "raises TypeError in line" in report.raised


# ---------------------------------------------------------------------------- files of either kind


def test_a_file_of_functions_and_modules(torch, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        """
import torch

class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, dy):
        return dy

def inputs_Twice():
    return {"x": torch.linspace(0, 1, 4)}

net = torch.nn.Linear(3, 2)

def inputs_net():
    return {"input": torch.ones(4, 3)}

def cube(x):
    return x**3

def inputs_cube():
    return {"x": torch.linspace(1, 2, 4)}
"""
    )
    found = {report.name: report.verdict for report in check_file(path)}
    assert found == {"Twice": "FAIL", "net": "PASS", "cube": "PASS"}


def test_a_file_of_functions_of_jax(jax, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        """
import jax
import jax.numpy as jnp

@jax.custom_vjp
def double(x):
    return 2 * x

double.defvjp(lambda x: (double(x), None), lambda kept, dy: (dy,))

def inputs_double():
    return {"x": jnp.linspace(0, 1, 4)}

@jax.jit
def cube(x):
    return x**3

inputs_cube = inputs_double

from scratchvae.gradcheck import inputs

@inputs(x="BD")
@jax.custom_vjp
def triple(x):
    return 3 * x

triple.defvjp(lambda x: (triple(x), None), lambda kept, dy: (dy,))
"""
    )
    found = {report.name: report.verdict for report in check_file(path)}
    assert found == {"double": "FAIL", "cube": "PASS", "triple": "FAIL"}
