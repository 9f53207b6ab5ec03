"""Family 3: the contract of every op, and that every op is checked."""

import inspect

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from support.op_calls import call, cast

from scratchvae import ops
from scratchvae.backend import kernels
from scratchvae.backend.registry import OPS, SKIP, backward_of, keyword_only
from scratchvae.gradcheck import draw_inputs
from scratchvae.gradcheck.suites.random_inputs import SIZES
from scratchvae.models import losses, m2

# relu reads only y > 0, and softplus and sigmoid only their output: forward may then overwrite x
IN_PLACE = ("relu", "sigmoid", "tanh")


MODULES = (ops, losses, m2)
# of those modules, what is no op: choices among ops, and what has no use for a gradient
CHOICES = {
    losses: {
        *("reconstruction", "reconstruction_backward", "likelihood_mean", "output_with_mean"),
        *("check_kl_charge", "kl_charge", "kl_charge_backward", "unit_kl", "log_softmax"),
        *("continuous_bernoulli_mean", "likelihood_draw"),
    },
    m2: {"forward", "backward", "encode", "encode_backward", "most_likely", "of_tried"},
}


def test_the_ops_stand_in_the_modules_that_are_looked_at():
    assert {op.forward.__module__ for op in OPS.values()} == {m.__name__ for m in MODULES}


def public_functions():
    return {
        name: f
        for module in MODULES
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and f.__module__ == module.__name__
        and name not in CHOICES.get(module, ())
    }


def unregistered(functions):
    """Public functions that are neither a registered forward nor its backward."""
    known = {op.forward for op in OPS.values()} | {op.backward for op in OPS.values()}
    return {name for name, f in functions.items() if f not in known}


def test_every_public_function_of_ops_is_a_checked_pair():
    assert unregistered(public_functions()) == set()
    assert len(public_functions()) == 2 * len(OPS)


def test_the_closure_test_sees_a_function_without_a_backward():
    def fourth_power(x, *, out=None):
        return x**4

    assert unregistered({**public_functions(), "fourth_power": fourth_power}) == {"fourth_power"}


def test_the_ops_that_the_project_promises_exist():
    assert set(OPS) >= {
        *("linear", "relu", "sigmoid", "tanh", "softplus", "bce", "bce_with_logits", "gaussian_kl"),
        *(
            "reparameterize",
            "squared_error",
            "gaussian_nll",
            "softmax_cross_entropy",
            "log_mean_exp",
        ),
    }


def test_a_backward_that_does_not_fit_its_forward_is_refused():
    def fourth_power(x, *, out=None):
        return x**4

    def fourth_power_backward(dy, z, *, dx=None):
        return 4 * z**3 * dy

    with pytest.raises(TypeError, match="not a backward of fourth_power"):
        backward_of(fourth_power, x="BH")(fourth_power_backward)
    with pytest.raises(TypeError, match="describe its inputs"):
        backward_of(fourth_power)
    assert "fourth_power" not in OPS


@pytest.fixture(params=OPS)
def op(request):
    return OPS[request.param]


@pytest.mark.parametrize("factor", [2.0, -4.0, 0.0])
def test_backward_is_linear_in_dy_bit_for_bit(op, factor):
    inputs = draw_inputs(op.name)
    y, grads = call(op, inputs)
    dy = np.random.default_rng(5).standard_normal(y.shape)
    _, scaled = call(op, inputs, factor * dy)
    for g, s in zip(grads, scaled, strict=True):
        np.testing.assert_array_equal(factor * g, s)


def test_destinations_are_overwritten_and_returned(op):
    inputs = draw_inputs(op.name)
    y, grads = call(op, inputs)
    out = np.full(y.shape, np.nan)
    assert op.forward(**inputs, out=out) is out
    np.testing.assert_array_equal(out, y)
    into = {d: np.full(inputs[d[1:]].shape, np.nan) for d in keyword_only(op.backward)}
    _, written = call(op, inputs, **into)
    for (d, array), g, w in zip(into.items(), grads, written, strict=True):
        assert w is array, d
        np.testing.assert_array_equal(array, g)


# a matrix product wants contiguous memory, which is what models give it
@pytest.mark.parametrize("name", sorted(set(OPS) - {"linear", "linear_each_class"}))
def test_destinations_may_be_parts_of_larger_arrays(name):
    op = OPS[name]
    inputs = draw_inputs(op.name)
    _, grads = call(op, inputs)
    into = {}
    for d in keyword_only(op.backward):
        shape = inputs[d[1:]].shape
        into[d] = np.full((*shape[:-1], 2 * shape[-1]), np.nan)[..., : shape[-1]]
    _, written = call(op, inputs, **into)
    for g, w in zip(grads, written, strict=True):
        np.testing.assert_array_equal(w, g)


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if len(op.gradients) > 1])
def test_a_gradient_that_is_not_needed_is_not_computed(name):
    op = OPS[name]
    names = keyword_only(op.backward)
    inputs = draw_inputs(op.name)
    _, grads = call(op, inputs)
    for skipped in names:
        _, some = call(op, inputs, **{skipped: SKIP})
        for name, g, s in zip(names, grads, some, strict=True):
            if name == skipped:
                assert s is None
            else:
                np.testing.assert_array_equal(s, g)


def test_inputs_stay_untouched(op):
    inputs = draw_inputs(op.name)
    y = op.forward(**inputs)
    dy = np.random.default_rng(5).standard_normal(y.shape)
    for a in (*inputs.values(), dy):
        a.flags.writeable = False  # the line that writes raises
    call(op, inputs, dy)


def test_gradients_do_not_share_memory_with_anything(op):
    inputs = draw_inputs(op.name)
    y = op.forward(**inputs)
    dy = np.random.default_rng(5).standard_normal(y.shape)
    _, grads = call(op, inputs, dy)
    everything = [*inputs.values(), dy, *grads]
    for i, a in enumerate(everything):
        for b in everything[i + 1 :]:
            assert not np.shares_memory(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_kept(op, dtype):
    y, grads = call(op, cast(draw_inputs(op.name), dtype))
    assert {y.dtype, *(g.dtype for g in grads)} == {np.dtype(dtype)}


def test_float32_agrees_with_float64(op):
    exact = cast(draw_inputs(op.name), "float32")
    y32, grads32 = call(op, exact)
    dy = np.random.default_rng(5).standard_normal(y32.shape).astype("float32")
    y64, grads64 = call(op, cast(exact, "float64"), dy.astype("float64"))
    for a, b in zip((y32, *grads32), (y64, *grads64), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * max(1, np.abs(b).max()))


def test_strided_and_fortran_ordered_inputs_give_the_same(op):
    inputs = draw_inputs(op.name)
    y, grads = call(op, inputs)
    for arrange in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
        y2, grads2 = call(op, {name: arrange(a) for name, a in inputs.items()})
        for a, b in zip((y, *grads), (y2, *grads2), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("B", [0, 1])
def test_batches_of_none_and_of_one(op, B):
    inputs = draw_inputs(op.name, sizes={"B": B})
    y, grads = call(op, inputs)
    assert y.shape[0] == B
    for name, g in zip(op.gradients, grads, strict=True):
        assert g.shape == inputs[name].shape
        assert np.isfinite(g).all()
    whole = draw_inputs(op.name, sizes={"B": 4})
    one = {n: a[:B] if op.inputs[n].startswith("B") else a for n, a in whole.items()}
    np.testing.assert_allclose(op.forward(**one), op.forward(**whole)[:B], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_of_rows_give_the_bits_of_the_whole(op, dtype, monkeypatch):
    """On the CPU, the ops that have a kernel compute a large batch in blocks of rows."""
    inputs = cast(draw_inputs(op.name, sizes={"B": 23}), dtype)
    y, grads = call(op, inputs)
    monkeypatch.setattr(kernels, "IN_CACHE", 20)
    np.testing.assert_array_equal(op.forward(*inputs.values(), out=np.empty_like(y)), y)
    into = {d: np.full_like(inputs[d[1:]], np.nan) for d in keyword_only(op.backward)}
    for g, w in zip(grads, call(op, inputs, **into)[1], strict=True):
        np.testing.assert_array_equal(w, g)


@pytest.mark.parametrize("name", IN_PLACE)
def test_activations_may_work_in_place(name):
    op = OPS[name]
    inputs = draw_inputs(name)
    y, grads = call(op, inputs)
    x = inputs["x"].copy()
    assert op.forward(x, out=x) is x
    np.testing.assert_array_equal(x, y)
    dy = np.random.default_rng(5).standard_normal(y.shape)
    assert op.backward(dy, x, dx=dy) is dy
    np.testing.assert_array_equal(dy, grads[0])


def test_sizes_are_distinct_so_that_a_wrong_transpose_cannot_fit():
    assert len(set(SIZES.values())) == len(SIZES)
    for op in OPS.values():
        for spec in op.inputs.values():
            assert set(spec.split()[0]) <= set(SIZES)


# ------------------------------------------------------------- values: oracles, extremes, any input

reals = st.floats(-50, 50, allow_subnormal=False)
matrices = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=reals
)


@given(matrices)
def test_elementwise_ops_are_their_textbook_formulas(x):
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(ops.relu(x), x * (x > 0))
    np.testing.assert_allclose(ops.sigmoid(x), 1 / (1 + np.exp(-x)), **close)
    np.testing.assert_allclose(ops.softplus(x), np.log(1 + np.exp(x)), **close)
    np.testing.assert_allclose(ops.tanh(x), np.sinh(x) / np.cosh(x), **close)


@given(matrices, st.integers(0, 2**32 - 1))
def test_losses_are_their_textbook_formulas(x, seed):
    rng = np.random.default_rng(seed)
    t = rng.random(x.shape)
    close = {"rtol": 1e-9, "atol": 1e-9}
    small = x / 10
    p = 1 / (1 + np.exp(-small))
    textbook = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(ops.bce(p, t), textbook, **close)
    np.testing.assert_allclose(ops.bce_with_logits(small, t), textbook, **close)
    np.testing.assert_allclose(ops.squared_error(x, t), ((x - t) ** 2).sum(axis=1), **close)
    logvar = rng.standard_normal(1)
    density = np.exp(-((t - small) ** 2) / (2 * np.exp(logvar))) / np.sqrt(
        2 * np.pi * np.exp(logvar)
    )
    np.testing.assert_allclose(
        losses.gaussian_nll(small, logvar, t), -np.log(density).sum(axis=1), rtol=1e-8, atol=1e-8
    )
    softmax = np.exp(small) / np.exp(small).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        losses.softmax_cross_entropy(small, t), -(t * np.log(softmax)).sum(axis=1), **close
    )
    np.testing.assert_allclose(losses.log_mean_exp(x), np.log(np.exp(x).mean(axis=1)), **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extremes_neither_overflow_nor_become_nan(dtype):
    """Warnings are errors here, so an overflow inside would show."""
    logits = np.array([[-1e4, -88.0, 0.0, 88.0, 1e4]], dtype=dtype)
    t = np.array([[0.0, 1.0, 0.5, 0.0, 1.0]], dtype=dtype)
    assert ops.bce_with_logits(logits, t)[0] == pytest.approx(88 + np.log(2) + 88, rel=1e-6)
    assert ops.bce_with_logits(-logits, t)[0] == pytest.approx(2e4 + np.log(2), rel=1e-6)
    for f, f_backward in (
        (ops.sigmoid, ops.sigmoid_backward),
        (ops.softplus, ops.softplus_backward),
        (ops.tanh, ops.tanh_backward),
    ):
        y = f(logits)
        assert np.isfinite(y).all()
        assert np.isfinite(f_backward(np.ones_like(y), y)).all()
    one = np.ones(1, dtype=dtype)
    assert np.isfinite(ops.bce_with_logits_backward(one, logits, t)).all()
    assert np.isfinite(losses.log_mean_exp(logits)).all()
    assert np.isfinite(losses.log_mean_exp_backward(one, logits)).all()
    assert np.isfinite(losses.softmax_cross_entropy(logits, t)).all()
    logvar = np.array([[-80.0, 80.0]], dtype=dtype)
    mu = np.zeros_like(logvar)
    assert np.isfinite(ops.gaussian_kl(mu, logvar)).all()
    assert all(np.isfinite(g).all() for g in ops.gaussian_kl_backward(one, mu, logvar))
    assert np.isfinite(ops.reparameterize(mu, logvar, mu + 3)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bce_of_certain_and_wrong_probabilities_is_clamped(dtype):
    p = np.array([[0.0, 1.0, 0.0, 1.0]], dtype=dtype)
    t = np.array([[0.0, 1.0, 1.0, 0.0]], dtype=dtype)
    assert ops.bce(p, t)[0] == 200
    assert np.isfinite(ops.bce_backward(np.ones(1, dtype=dtype), p, t)).all()


def test_the_kl_near_collapse_is_precise_in_float32_and_never_negative(rng):
    mu, logvar = (1e-4 * rng.standard_normal((200, 32)) for _ in range(2))
    exact = ops.gaussian_kl(mu, logvar)
    low = ops.gaussian_kl(mu.astype("f4"), logvar.astype("f4"))
    assert (low >= 0).all()
    np.testing.assert_allclose(low, exact, rtol=1e-3)


def test_bce_does_not_hide_a_nan():
    p = np.array([[np.nan, 0.5]])
    assert np.isnan(ops.bce(p, np.ones((1, 2)))).all()


def test_bce_is_clamped_where_pytorch_clamps_it_and_nowhere_else():
    p, t = np.array([[1e-200, 1e-30, 1e-9]]).T, np.ones((3, 1))
    np.testing.assert_allclose(ops.bce(p, t), [100, -np.log(1e-30), -np.log(1e-9)], rtol=1e-12)
    dp = ops.bce_backward(np.ones(3), p, t)
    np.testing.assert_allclose(dp[:, 0], [-1e12, -1e12, -1e9], rtol=1e-8)
