"""Nested inputs and outputs, caches, complex numbers, and gradients that are meant to differ."""

from collections import namedtuple

import numpy as np
import pytest

from scratchvae.errors import InputError
from scratchvae.gradcheck import check

Layer = namedtuple("Layer", "W b")


@pytest.fixture
def draw():
    return np.random.default_rng(0).standard_normal


def net(x, params):
    h = np.tanh(x @ params["layers"][0].W + params["layers"][0].b)
    out = h @ params["layers"][1].W + params["layers"][1].b
    return {"out": params["scale"] * out, "hidden": h, "width": 4}


def net_backward(dy, x, params, db=1.0):
    """db: what the first bias is multiplied by."""
    assert dy["width"] is None, "an integer output has no upstream gradient"
    one, two = params["layers"]
    h = np.tanh(x @ one.W + one.b)
    d = params["scale"] * dy["out"]
    dz = (d @ two.W.T + dy["hidden"]) * (1 - h * h)
    scale = (dy["out"] * (h @ two.W + two.b)).sum()
    layers = [Layer(x.T @ dz, db * dz.sum(axis=0)), Layer(h.T @ d, d.sum(axis=0))]
    return dz @ one.W.T, {"layers": layers, "scale": scale}


@pytest.fixture
def inputs(draw):
    layers = [Layer(draw((3, 4)), draw(4)), Layer(draw((4, 2)), draw(2))]
    return {"x": draw((5, 3)), "params": {"layers": layers, "scale": 1.5, "act": "tanh"}}


def leaves(report):
    return {leaf.name: leaf.verdict for leaf in report.leaves}


# ------------------------------------------------------------------------------------------- trees


def test_parameters_and_outputs_may_be_nested(inputs):
    report = check(net, net_backward, inputs, batch=["x"])
    assert report.verdict == "PASS", report
    names = ["layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b", "scale"]
    assert leaves(report) == dict.fromkeys(["x", *(f"params.{n}" for n in names)], "PASS")


def test_the_wrong_one_is_named_by_its_path(inputs):
    report = check(net, lambda dy, x, params: net_backward(dy, x, params, 2.0), inputs)
    assert [n for n, verdict in leaves(report).items() if verdict == "FAIL"] == [
        "params.layers.0.b"
    ]
    assert report.headline == "net: FAIL: dparams.layers.0.b: 2 x too large at all 4 entries"


@pytest.mark.parametrize(
    ("wrt", "checked"),
    [
        (["x"], {"x"}),
        (["params.layers.1"], {"params.layers.1.W", "params.layers.1.b"}),
        (["params.scale", "x"], {"params.scale", "x"}),
    ],
)
def test_wrt_takes_paths(inputs, wrt, checked):
    assert leaves(check(net, net_backward, inputs, wrt=wrt)).keys() == checked


def test_each_output_counts(inputs):
    def backward(dy, x, params):
        return net_backward({**dy, "hidden": 0 * dy["hidden"]}, x, params)

    wrong = {n for n, verdict in leaves(check(net, backward, inputs)).items() if verdict == "FAIL"}
    assert wrong == {"x", "params.layers.0.W", "params.layers.0.b"}


@pytest.mark.parametrize(
    "backward",
    [
        lambda dy, ws: [dy @ ws[1].T, ws[0].T @ dy],
        lambda dy, ws: (dy @ ws[1].T, ws[0].T @ dy),
        lambda dy, ws: {"ws": [dy @ ws[1].T, ws[0].T @ dy]},
        lambda dy, ws: {"ws.0": dy @ ws[1].T, "ws.1": ws[0].T @ dy},
    ],
)
def test_a_list_of_weights_has_a_list_of_gradients(draw, backward):
    report = check(lambda ws: ws[0] @ ws[1], backward, {"ws": [draw((2, 3)), draw((3, 4))]})
    assert leaves(report) == {"ws.0": "PASS", "ws.1": "PASS"}


def test_the_only_dict_may_be_answered_by_its_keys(draw):
    def backward(dy, p):
        return {"dw": dy * p["b"], "b": dy * p["w"]}

    report = check(lambda p: p["w"] * p["b"], backward, {"p": {"w": draw(3), "b": draw(3)}})
    assert leaves(report) == {"p.w": "PASS", "p.b": "PASS"}


def test_parts_without_a_gradient_are_mentioned_and_none_claims_zero(draw):
    inputs = {"p": {"w": draw(3), "b": draw(3)}}
    report = check(lambda p: p["w"] * p["b"], lambda dy, p: {"w": dy * p["b"]}, inputs)
    assert (report.verdict, report.notes) == ("PASS", ("not checked: p.b",))
    report = check(lambda p: p["w"] * p["b"], lambda dy, p: {"w": dy * p["b"], "b": None}, inputs)
    assert leaves(report) == {"p.w": "PASS", "p.b": "FAIL"}
    assert "it is None, which means zero" in str(report)
    whole = {**inputs, "s": 2.0}
    report = check(lambda p, s: s * p["w"] * p["b"], lambda dy, p, s: (None, dy.sum()), whole)
    assert leaves(report) == {"p.w": "FAIL", "p.b": "FAIL", "s": "FAIL"}


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        ({"q": 1.0}, "backward returns a gradient of p.q, which is not an input"),
        ({"p": {"q": 1.0}}, "backward returns a gradient of p.q, which is not an input"),
        ({"p": [1.0, 2.0]}, "the gradient of p must be a dict, like p"),
        ({"p": {"ws": [1.0]}}, "the gradient of p.ws must have 2 parts, like p.ws, got 1"),
        (
            {"p": {"ws": np.ones(2)}},
            "the gradient of p.ws must have 2 parts, like p.ws, got ndarray",
        ),
    ],
)
def test_structures_that_differ_are_told(draw, gradient, message):
    inputs = {"p": {"ws": [draw(2), draw(2)]}}
    with pytest.raises(InputError, match=message):
        check(lambda p: p["ws"][0] * p["ws"][1], lambda dy, p: gradient, inputs)


def test_two_inputs_of_one_path(draw):
    with pytest.raises(InputError, match=r"two inputs have the path p\.w: rename one"):
        check(lambda **p: 1.0, lambda dy: dy, {"p": {"w": draw(2)}, "p.w": draw(2)})


def test_what_is_no_array_is_handed_on_as_it_is(draw):
    class Scale:
        by = 3.0

    seen = []

    def f(x, how, shape, scale, axis):
        seen.append((how, shape, type(scale), axis))
        return (x * scale.by).reshape(shape).sum(axis=axis)

    def backward(dy, x, shape, scale):
        return np.broadcast_to(dy, shape).reshape(x.shape) * scale.by

    inputs = {"x": draw(6), "how": "sum", "shape": (2, 3), "scale": Scale(), "axis": 0}
    assert check(f, backward, inputs).verdict == "PASS"
    assert set(seen) == {("sum", (2, 3), Scale, 0)}


def test_arrays_of_a_framework_are_refused_with_the_way_out():
    Tensor = type("Tensor", (), {"__module__": "torch", "shape": (3,)})
    with pytest.raises(
        InputError, match=r"x is a torch array: .* scratchvae.gradcheck.check_torch"
    ):
        check(lambda x: x, lambda dy: dy, {"x": Tensor()})


# ------------------------------------------------------------------------------- outputs and caches


def test_several_outputs(draw):
    def f(x):
        return x * x, np.sin(x)

    x = {"x": draw(5)}
    assert check(f, lambda dy, x: 2 * dy[0] * x + dy[1] * np.cos(x), x).verdict == "PASS"
    report = check(f, lambda dy, x: 2 * dy[0] * x, x)
    assert report.verdict == "FAIL"
    assert "f returns two outputs, so dy has two parts" in report.notes[-1]


def test_a_backward_that_needs_nested_outputs(draw):
    def f(x):
        return {"e": np.exp(x), "count": x.size}

    def backward(dy, y):
        assert y["count"] == 5
        return dy["e"] * y["e"]

    assert check(f, backward, {"x": draw(5)}).verdict == "PASS"


def affine(x, w, b):
    out = x.reshape(len(x), -1) @ w + b
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, _ = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)


def test_a_cache_is_handed_on(draw):
    inputs = {"x": draw((4, 2, 3)), "w": draw((6, 5)), "b": draw(5)}
    assert leaves(check(affine, affine_backward, inputs)) == dict.fromkeys("xwb", "PASS")

    def bad(dout, cache):
        dx, dw, db = affine_backward(dout, cache)
        return dx, 2 * dw, db

    assert leaves(check(affine, bad, inputs)) == {"x": "PASS", "w": "FAIL", "b": "PASS"}
    with pytest.raises(InputError, match=r"asks for cache, so <lambda> must return \(y, cache\)"):
        check(lambda x: x, lambda dy, cache: dy, {"x": draw(2)})


# ------------------------------------------------------------------- what the wild added to these


def test_a_gradient_of_a_wrong_shape_does_not_hide_the_others(draw):
    inputs = {"x": draw((5, 4)), "g": draw(4), "b": draw(4)}

    def backward(dy, x, g, b):
        return 7 * dy * g, (dy * x).sum(0), dy.sum(0, keepdims=True)

    report = check(lambda x, g, b: x * g + b, backward, inputs, batch=["x"])
    assert report.violations == ("db has shape (1, 4), but b has (4,)",)
    assert leaves(report) == {"x": "FAIL", "g": "PASS"}
    assert "7 x too large" in report.headline
    assert not any(note.startswith("not checked") for note in report.notes)


def test_a_gradient_in_extended_precision_is_compared(draw):
    wide = np.longdouble
    x = {"x": draw((5, 4))}
    report = check(lambda x: np.tanh(x) * x, lambda dy, x: (dy * x).astype(wide), x)
    assert report.verdict == "FAIL"
    if np.dtype(wide) != float:
        assert report.violations == (f"dx is {np.dtype(wide)}, but x is float64",)


def test_the_line_of_a_module_that_a_function_calls(tmp_path, monkeypatch):
    (tmp_path / "their_layers.py").write_text("def forward(x):\n    return x.no_such_thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    import their_layers

    report = check(lambda x: their_layers.forward(x), lambda dy: dy, {"x": np.ones(3)})
    where = "raises AttributeError in line 2 of their_layers.py: return x.no_such_thing"
    assert where in report.raised


def test_a_constant_may_hold_an_infinity(draw):
    def attend(a, mask):
        e = np.exp(a + mask - (a + mask).max())
        return e / e.sum()

    def backward(dy, a, mask):
        p = attend(a, mask)
        return {"a": p * (dy - (dy * p).sum())}

    inputs = {"a": draw(4), "mask": np.array([0, -np.inf, 0, 0])}
    report = check(attend, backward, inputs)
    assert leaves(report) == {"a": "PASS"}
    assert report.notes == ("held constant, as not finite: mask",)
    for options in ({"wrt": ["mask"]}, {"wrt": ["a", "mask"]}):
        with pytest.raises(InputError, match="the input mask contains NaN or infinity"):
            check(attend, backward, inputs, **options)
    both = check(attend, lambda dy, a, mask: (backward(dy, a, mask)["a"], dy), inputs)
    assert (leaves(both), both.notes) == (leaves(report), report.notes), "it cannot be compared"


def test_a_method_has_parameters_that_are_not_checked(draw):
    class Layer:
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    for backward, name in (
        (lambda y: 2 * y, "y"),
        (lambda w, x: x, "w"),
        (lambda y, x: 2 * x, "y"),
    ):
        inputs = {"x": draw(3), "w": draw(3)}
        message = (
            rf"the first argument of <lambda> must be .*, but it is {name}, .* add an argument dy"
        )
        with pytest.raises(InputError, match=message):
            check(lambda x, w: w * x, backward, inputs)
    report = check(Layer().forward, Layer().backward, {"x": draw(3)})
    text = "forward is a method: check_layer also checks the parameters of its object"
    assert (report.verdict, report.notes) == ("PASS", (text,))


# ---------------------------------------------------------------------------------- complex numbers

Z = np.array([0.3 - 1.2j, -0.7 + 0.4j, 1.1 + 0.9j])
PYTORCH, JAX = "pytorch", "jax"


@pytest.mark.parametrize("precision", ["complex128", "complex64"])
@pytest.mark.parametrize(
    ("f", "backward", "convention"),
    [
        (lambda z: z * z, lambda dy, z: dy * np.conj(2 * z), PYTORCH),
        (lambda z: z * z, lambda dy, z: dy * 2 * z, JAX),
        (lambda z: np.abs(z) ** 2, lambda dy, z: dy * 2 * z, PYTORCH),
        (lambda z: np.abs(z) ** 2, lambda dy, z: dy * 2 * np.conj(z), JAX),
        (lambda z: {"re": z.real}, lambda dy, z: dy["re"] + 0j, PYTORCH),
    ],
)
def test_both_conventions(f, backward, convention, precision):
    z = {"z": Z.astype(precision)}
    good = check(f, backward, z, complex_gradients=convention)
    assert leaves(good) == {"z.real": "PASS", "z.imag": "PASS"}


def test_the_other_convention_is_named():
    report = check(lambda z: z * z, lambda dy, z: dy * 2 * z, {"z": Z})
    assert report.headline.endswith("right in the other convention: pass complex_gradients='jax'")
    report = check(lambda z: z * z, lambda dy, z: dy * 3 * z, {"z": Z})
    assert report.verdict == "FAIL"
    assert "convention" not in str(report)


def test_a_complex_output_of_a_real_input(draw):
    x = {"x": draw(8)}
    assert check(np.fft.fft, lambda dy, a: dy, {"a": draw(8)}).verdict != "PASS"
    right = check(lambda x: np.fft.fft(x), lambda dy, x: np.fft.ifft(dy).real * x.size, x)
    assert right.verdict == "PASS"
    other = check(lambda x: np.fft.fft(x), lambda dy, x: np.fft.fft(dy).real, x)
    assert "complex_gradients='jax'" in other.headline


def test_a_wrong_convention_is_refused():
    with pytest.raises(InputError, match="complex_gradients must be pytorch or jax, got 'numpy'"):
        check(lambda z: z, lambda dy: dy, {"z": Z}, complex_gradients="numpy")


# -------------------------------------------------------------------- gradients meant to be others


def quadratic(x, t):
    return (x - t) ** 2


def test_a_stop_gradient(draw):
    inputs = {"x": draw(8), "t": draw(8)}

    def stopped(dy, x, t):
        return 2 * dy * (x - t), None

    assert leaves(check(quadratic, stopped, inputs))["t"] == "FAIL"
    report = check(quadratic, stopped, inputs, treat_as={"t": "constant"})
    assert leaves(report) == {"x": "PASS", "t": "PASS"}
    assert "dt is checked as the gradient of a constant" in report.notes

    def leaks(dy, x, t):
        return 2 * dy * (x - t), -2 * dy * (x - t)

    report = check(quadratic, leaks, inputs, treat_as={"t": "constant"})
    assert leaves(report) == {"x": "PASS", "t": "FAIL"}


def test_a_constant_need_not_have_a_gradient(draw):
    inputs = {"x": draw(8), "t": draw(8)}
    how = {"t": "constant"}
    report = check(quadratic, lambda dy, x, t: {"x": 2 * dy * (x - t)}, inputs, treat_as=how)
    assert report.verdict == "PASS"
    assert not any(note.startswith("not checked") for note in report.notes)


def test_a_straight_through_estimator(draw):
    def rounded(x, w):
        return w * np.round(x)

    def identity(x, w):
        return w * x

    def backward(dy, x, w):
        return dy * w, (dy * np.round(x)).sum()

    inputs = {"x": draw(8), "w": np.array(1.7)}
    report = check(rounded, backward, inputs, treat_as={"x": identity})
    assert leaves(report) == {"x": "PASS", "w": "PASS"}
    assert "dx is checked as the gradient of identity" in report.notes
    wrong = check(rounded, lambda dy, x, w: {"x": dy}, inputs, treat_as={"x": identity})
    assert leaves(wrong) == {"x": "FAIL"}
    lost = check(rounded, lambda dy, x, w: {"w": (dy * np.round(x)).sum()}, inputs, wrt=["x", "w"],
                 treat_as={"x": identity})  # fmt: skip
    assert lost.violations == ("<lambda> returns no dx",)


def test_what_is_ignored(draw, inputs):
    def backward(dy, x, params):
        return net_backward(dy, x, params, 2.0)

    report = check(net, backward, inputs, ignore=["params.layers.0.b"])
    assert (report.verdict, report.notes) == ("PASS", ("ignored: params.layers.0.b",))
    with pytest.raises(InputError, match="every gradient is ignored, so there is nothing to check"):
        check(net, backward, inputs, ignore=["x", "params"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ["q"]}, r"ignore must be a list of names among x, t, got \['q'\]"),
        ({"ignore": "x"}, "ignore must be a list of names among x, t, got 'x'"),
        ({"treat_as": {"q": "constant"}}, "treat_as must be a list of names among x, t"),
        (
            {"treat_as": {"x": "zero"}},
            "treat_as of x must be \"constant\" or a function, got 'zero'",
        ),
    ],
)
def test_options_that_name_no_input(draw, options, message):
    with pytest.raises(InputError, match=message):
        check(quadratic, lambda dy, x, t: dy, {"x": draw(3), "t": draw(3)}, **options)


# -------------------------------------------------------------------- what a strict reader found


def test_whole_numbers_in_lists_stay_as_they_are(draw):
    seen = []

    def f(x, shape, flags, limits):
        seen.append((shape, flags, limits == (0.0, 1.0)))
        return x.reshape([*shape, 1])

    inputs = {"x": draw(6), "shape": [2, 3], "flags": [True, False], "limits": (0.0, 1.0)}
    assert check(f, lambda dy, x: dy.reshape(x.shape) * 1, inputs).verdict == "PASS"
    assert seen[0] == ([2, 3], [True, False], True)
    assert all(type(flags[0]) is bool and shape == [2, 3] for shape, flags, _ in seen)
    values = {"x": [0.5, 1.5]}
    assert leaves(check(lambda x: x * x, lambda dy, x: 2 * dy * x, values)) == {"x": "PASS"}
    with pytest.raises(InputError, match="x is a list of rows of different lengths"):
        check(lambda x: x, lambda dy: dy, {"x": [[1.0], [2.0, 3.0]]})


def test_dicts_of_a_class_of_their_own_stay_so(draw):
    class Config(dict):
        def __getattr__(self, name):
            return self[name]

    report = check(lambda p: p.w * 2, lambda dy, p: {"w": 2 * dy}, {"p": Config(w=draw(3))})
    assert leaves(report) == {"p.w": "PASS"}


@pytest.mark.parametrize("gradient", [{"x": 9.0, "dx": 1.0}, {"dx": 1.0, "x": 9.0}])
def test_two_gradients_of_one_input_are_refused(draw, gradient):
    with pytest.raises(InputError, match=r"returns two gradients for one input: (x, dx|dx, x)"):
        check(lambda x: x, lambda dy: gradient, {"x": draw(3)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": ["s"]}, "batch: s is a scalar and has no first axis"),
        ({"treat_as": "constant"}, "treat_as must map input names to functions"),
        ({"accept": 10}, "accept must be a relative error below 1, got 10"),
        (
            {"treat_as": {"x": "constant"}, "ignore": ["x"]},
            "ignore and treat_as name x more than once",
        ),
        (
            {"treat_as": {"x": lambda x, s: x.sum()}},
            "the function for x has a different output shape",
        ),
    ],
)
def test_options_that_cannot_be_meant(draw, options, message):
    with pytest.raises(InputError, match=message):
        check(lambda x, s: x * s, lambda dy, s: {"x": dy * s}, {"x": draw(3), "s": 2.0}, **options)


def test_a_function_to_treat_as_that_raises_is_reported(draw):
    def other(x):
        raise KeyError("not here")

    report = check(lambda x: x, lambda dy: 1 * dy, {"x": draw(3)}, treat_as={"x": other})
    assert report.verdict == "ERROR"
    assert "raise KeyError" in report.raised


def test_a_straight_through_gradient_must_be_returned(draw):
    inputs = {"x": draw(3), "w": draw(3)}
    report = check(lambda x, w: np.round(x) * w, lambda dy, x, w: {"w": dy * np.round(x)}, inputs,
                   treat_as={"x": lambda x, w: x * w})  # fmt: skip
    assert report.violations == ("<lambda> returns no dx",)


def test_writing_into_what_is_nested_or_complex():
    def into_dy(dy, z):
        dy *= 2
        return dy * np.conj(z)

    report = check(lambda z: z * z, into_dy, {"z": Z})
    assert report.violations[0] == "the backward writes into its arguments: dy"
    assert leaves(report) == {"z.real": "PASS", "z.imag": "PASS"}

    def into_cache(dy, cache):
        cache["x"] *= 2
        return dy * cache["x"]

    report = check(lambda x: (x * x, {"x": x.copy()}), into_cache, {"x": np.array([0.5, 2.0])})
    assert report.violations == ("the backward writes into its arguments: cache",)


def test_who_writes_into_dy_is_right_apart_from_that(draw):
    def unlocks(dy, x):
        dx = 2 * dy * x
        dy.flags.writeable = True
        dy *= 2
        return dx

    report = check(lambda x: x * x, unlocks, {"x": draw(4)})
    assert report.violations == ("the backward writes into its arguments: dy",)
    assert leaves(report) == {"x": "PASS"}


@pytest.mark.parametrize(
    "backward",
    [
        lambda dy, y, **inputs: dy * y,
        lambda dy, *, y: dy * y,
    ],
)
def test_the_output_is_handed_on_however_it_is_asked_for(draw, backward):
    assert check(lambda x: np.exp(x), backward, {"x": draw(3)}).verdict == "PASS"


@pytest.mark.parametrize(
    "backward",
    [
        lambda dy, cache=None: dy * cache,
        lambda dy, *, cache: dy * cache,
        lambda dy, cache, **x: dy * cache,
    ],
)
def test_a_cache_is_handed_on_however_it_is_asked_for(draw, backward):
    assert check(lambda x: (np.exp(x), np.exp(x)), backward, {"x": draw(3)}).verdict == "PASS"


def test_inputs_may_have_any_name(draw):
    inputs = {"f": draw(3), "who": draw(3), "error": draw(3)}
    report = check(lambda f, who, error: f * who, lambda dy, f, who: {"f": dy * who}, inputs)
    assert leaves(report) == {"f": "PASS"}


def test_a_forward_that_ends_the_program_is_reported():
    def f(x):
        raise SystemExit(3)

    assert "raises SystemExit in line" in check(f, lambda dy: dy, {"x": np.ones(2)}).raised
