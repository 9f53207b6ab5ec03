"""Steps replayed from a CUDA graph, and fused kernels, against the plain path on one device."""

import gc
import weakref

import numpy as np
import pytest
from support.devices import real_cupy
from support.op_calls import call, cast

from scratchvae import IWAE, VAE, Autoencoder, ConditionalVAE, SemiSupervisedVAE, ops
from scratchvae.backend import kernels, noise
from scratchvae.backend.registry import OPS, SKIP, Op
from scratchvae.errors import NonFiniteError
from scratchvae.gradcheck import draw_inputs
from scratchvae.train import Trainer
from scratchvae.train.cuda_graph import Blas, layout
from scratchvae.train.optim import Adam

N, D = 43, 9


@pytest.fixture(params=["double", "early double", pytest.param("cupy", marks=pytest.mark.gpu)])
def gpu(request):
    """The double of CuPy, of two tempers, or CuPy where there is a GPU."""
    if request.param == "cupy":
        return real_cupy()
    double = request.getfixturevalue("double")
    double.early = request.param == "early double"
    return double


def data(labels):
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    return (rng.random((N, D)) * 255).astype(np.uint8), (y - (y == 2) * 3 if labels else y)


def trainer(cls, config, settings, graphs, device="cuda"):
    X, y = data(cls is SemiSupervisedVAE)
    model = cls(latent_dim=3, hidden=(7,), dtype="float64", device=device, **config)
    labels = y if cls in (ConditionalVAE, SemiSupervisedVAE) else None
    return Trainer(
        model.build_from(X, labels), X, X,
        y=labels, y_test=labels, batch_size=8, cuda_graphs=graphs,
        **settings,
    )  # fmt: skip


RUNS = {
    "plain": (VAE, {}, {}),
    "binary": (VAE, {}, {"binarize": "dynamic"}),
    "schedules": (VAE, {"beta": 2.0}, {"kl_warmup": 1.5, "lr": lambda epoch: 0.01 / (1 + epoch)}),
    "cycles": (VAE, {"activation": "tanh"}, {"kl_cycle": 0.7, "adam": {"beta2": 0.9, "v0": 1e-3}}),
    "free bits": (VAE, {"free_bits": 0.1}, {"kl_warmup": 2}),
    "capacity": (VAE, {"capacity": 2.0}, {"kl_warmup": 2}),
    "gaussian": (VAE, {"likelihood": "gaussian", "activation": "softplus", "scale": "bytes"}, {}),
    "continuous": (VAE, {"likelihood": "continuous_bernoulli"}, {}),
    "autoencoder": (Autoencoder, {}, {}),
    "iwae": (IWAE, {"k": 4}, {"binarize": "dynamic"}),
    "dreg": (IWAE, {"k": 4, "dreg": True}, {}),
    "conditional": (ConditionalVAE, {}, {"kl_warmup": 1}),
    "m2": (SemiSupervisedVAE, {}, {"kl_warmup": 1}),
    "m2, two classes": (SemiSupervisedVAE, {"beta": 3.0, "top": 2}, {}),
}


@pytest.mark.parametrize("run", RUNS)
def test_a_replayed_step_is_the_plain_one(gpu, run):
    plain, replayed = (trainer(*RUNS[run], graphs) for graphs in (False, True))
    for t in (plain, replayed):
        t.run(3)
        assert t.step == 3 * 6
    assert len(replayed._graphs.graphs) == 2, "one for whole batches, one for the last of an epoch"
    for a, b in zip(plain.arrays(), replayed.arrays(), strict=True):
        np.testing.assert_allclose(b.get(), a.get(), rtol=1e-10, atol=1e-13)
    for first, second in zip(plain.model.history_, replayed.model.history_, strict=True):
        for name in ("train_loss", "test_loss", "rec", "kl"):
            assert second[name] == pytest.approx(first[name], rel=1e-10)


def test_every_step_but_the_looks_is_a_launch_of_its_graph(double):
    t = trainer(VAE, {}, {"binarize": "dynamic"}, True)
    t.run(1)
    double.counts.clear()
    t.run(2)
    assert double.counts["replay"] == 6
    assert double.counts["upload"] == 1, "the numbers of the epoch's steps"
    assert double.counts["sync"] <= 3, "a look at the losses, the sums of the epoch, the evaluation"


def test_gradients_of_weights_are_a_branch_of_their_own(double):
    t = trainer(VAE, {}, {}, True)
    double.counts.clear()
    t.take_step(double.asarray(np.arange(8)))
    assert double.counts["beside"] == 0
    t.run(1)
    # twice for each of two graphs: four products, four sums, and eight operations on the losses
    assert double.counts["beside"] == 4 * (4 + 4 + 8)


def test_a_run_goes_on_from_any_step_of_an_epoch(gpu):
    straight, stopped = (trainer(VAE, {}, {"kl_warmup": 2}, True) for _ in range(2))
    straight.run(2)
    launch = stopped._graphs.take_step

    def interrupted(i):
        launch(i)
        if stopped.step == 9:
            stopped._graphs.take_step = launch
            raise KeyboardInterrupt

    stopped._graphs.take_step = interrupted
    with pytest.raises(KeyboardInterrupt):
        stopped.run(2)
    assert stopped.step < 9
    stopped.run(2)
    for a, b in zip(straight.arrays(), stopped.arrays(), strict=True):
        np.testing.assert_array_equal(b.get(), a.get())


def test_ctrl_c_between_launch_and_count_repeats_the_step(gpu):
    straight, stopped = (trainer(VAE, {}, {}, True) for _ in range(2))
    straight.run(1)
    order = noise.permutation(N, seed=0, xp=gpu)
    graphs = stopped._graphs
    graphs.begin_epoch(order)
    graphs.take_step(0)
    stopped.take_snapshot()
    (graph, *rest), arrays = graphs.graphs.popitem()[1]

    class Interrupted:
        def launch(self):
            graph.launch()
            raise KeyboardInterrupt

    key = (8, *map(id, arrays))
    graphs.graphs[key] = (Interrupted(), *rest), arrays
    with pytest.raises(KeyboardInterrupt):
        graphs.take_step(1)
    stopped.restore_snapshot()
    graphs.graphs[key] = (graph, *rest), arrays
    for i in range(1, 6):
        graphs.take_step(i)
    np.testing.assert_array_equal(
        stopped.model.params_.array.get(), straight.model.params_.array.get()
    )


def test_a_graph_lives_on_when_the_workspace_grows(gpu):
    plain, replayed = (trainer(VAE, {}, {}, graphs) for graphs in (False, True))
    replayed._graphs.begin_epoch(noise.permutation(N, seed=0, xp=gpu))
    replayed._graphs.take_step(0)
    own = {id(a) for a in replayed.model.workspace.buffers.values()}
    replayed.run(1)
    X, _ = data(False)
    replayed.model.reconstruct(np.repeat(X, 10, axis=0))  # larger buffers take the place of its own
    kept = {id(a) for graph, _ in replayed._graphs.graphs.values() for a in graph[-1].values()}
    assert own <= kept, "the memory of the graph is not given to others"
    assert not own <= {id(a) for a in replayed.model.workspace.buffers.values()}
    replayed.run(2)
    plain.run(2)
    np.testing.assert_allclose(
        replayed.model.params_.array.get(), plain.model.params_.array.get(), rtol=1e-10, atol=1e-13
    )


def test_new_arrays_get_a_new_graph(gpu):
    t = trainer(VAE, {}, {}, True)
    t.run(1)
    t.X = t.X * 1
    t.run(2)
    assert len(t._graphs.graphs) == 4
    straight = trainer(VAE, {}, {}, True)
    straight.run(2)
    np.testing.assert_array_equal(t.model.params_.array.get(), straight.model.params_.array.get())


def test_settings_may_change_between_epochs(gpu):
    def callback(trainer, record):
        trainer.model.beta, trainer.adam.beta1 = 3.0, 0.5
        if record["epoch"] == 2:
            trainer.binarize, trainer.kl_warmup = "dynamic", 20.0

    plain, replayed = (trainer(VAE, {}, {}, graphs) for graphs in (False, True))
    for t in (plain, replayed):
        t.run(3, callbacks=callback)
    assert len(replayed._graphs.graphs) == 2, "graphs of other settings are given up"
    np.testing.assert_allclose(
        replayed.model.params_.array.get(), plain.model.params_.array.get(), rtol=1e-10, atol=1e-13
    )


@pytest.mark.parametrize("settings", [{"lr": 1e300}, {"binarize": "dynamic", "lr": 1e300}])
def test_a_nan_is_named_as_on_the_plain_path(gpu, settings):
    """The shorter batch at the end is captured when the numbers are bad already."""
    errors = []
    for graphs in (False, True):
        t = trainer(VAE, {}, settings, graphs)
        with pytest.raises(NonFiniteError) as error:
            t.run(2)
        errors.append(str(error.value))
        assert np.isfinite(t.model.params_.array.get()).all()
        assert t.step < 3
    assert errors[0] == errors[1]


@pytest.mark.parametrize("when", [0, 1])
@pytest.mark.parametrize("where", ["forward", "backward", "update"])
def test_an_interrupted_capture_leaves_all_as_it_was(double, where, when):
    """In the step that warms up, and in the one that is captured."""
    t = trainer(VAE, {}, {}, True)
    before = [a.get() for a in t.arrays()]
    owner = t.model if where == "backward" else t
    right, calls = getattr(owner, where), []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == when + 1:
            setattr(owner, where, right)
            raise KeyboardInterrupt
        return right(*args)

    setattr(owner, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        t.run(1)
    assert double.captured is None
    assert t.step == 0
    for a, b in zip(before, t.arrays(), strict=True):
        np.testing.assert_array_equal(b.get(), a)
    t.run(1)
    straight = trainer(VAE, {}, {}, True)
    straight.run(1)
    np.testing.assert_array_equal(t.model.params_.array.get(), straight.model.params_.array.get())


def test_a_trainer_that_is_done_with_frees_the_device(double):
    gc.disable()
    try:
        alive = []
        for _ in range(2):
            t = trainer(VAE, {}, {}, True)
            t.run(1)
            alive += [weakref.ref(t), weakref.ref(t._graphs), weakref.ref(t._graphs.branches)]
        t = None
        assert [ref() for ref in alive] == [None] * 6
    finally:
        gc.enable()


def test_a_trainer_with_a_step_of_its_own_keeps_it(double):
    class Clipped(Trainer):
        def take_step(self, rows):
            return super().take_step(rows)

    X, _ = data(False)
    t = Clipped(VAE(latent_dim=2, hidden=(3,), device="cuda").build(D), X)
    assert t._graphs is None


def test_without_cublas_the_kernels_are_launched_one_by_one(double, monkeypatch):
    def missing(xp):
        raise OSError("libcublas.so.12: cannot open shared object file")

    monkeypatch.setattr("scratchvae.train.cuda_graph.Blas", missing)
    t = trainer(VAE, {}, {}, True)
    t.run(1)
    assert double.counts["replay"] == 0
    assert t.step == 6


# -------------------------------------------------------------------------------- the kernels


def fused_of(op):
    return [f.__name__ for f in (op.forward, op.backward) if hasattr(f, "__wrapped__")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [op.name for op in OPS.values() if fused_of(op)])
def test_a_fused_op_is_its_body(gpu, name, dtype):
    op, inputs = OPS[name], cast(draw_inputs(name), dtype)
    plain = Op(name, *(getattr(f, "__wrapped__", f) for f in (op.forward, op.backward)), op.inputs)
    inputs = {key: gpu.asarray(a) for key, a in inputs.items()}
    shape = plain.forward(**inputs).shape
    dy = gpu.asarray(np.random.default_rng(5).standard_normal(shape).astype(dtype))
    tolerance = {"float32": 3e-6, "float64": 1e-14}[dtype]
    (y, grads), (y2, grads2) = (call(f, inputs, dy) for f in (plain, op))
    for a, b in zip((y, *grads), (y2, *grads2), strict=True):
        assert a.dtype == b.dtype == dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(b.get(), a.get(), rtol=tolerance, atol=tolerance)


def test_fused_cross_entropy_bears_extremes(gpu):
    logits = gpu.asarray(np.array([[-1e4, -100.0, 0.0, 100.0, 1e4]], dtype="float32"))
    t = gpu.asarray(np.array([[0, 0.5, 0.5, 0.5, 1]], dtype="float32"))
    assert ops.bce_with_logits(logits, t).get()[0] == pytest.approx(100 + np.log(2))
    slopes = ops.bce_with_logits_backward(gpu.asarray(np.ones(1, "float32")), logits, t).get()
    np.testing.assert_array_equal(slopes, [[0, -0.5, 0, 0.5, 0]])


def test_a_fused_op_runs_its_body_where_a_gradient_is_not_needed(gpu):
    mu, logvar, dy = (gpu.asarray(np.full(s, 0.3)) for s in ((4, 2), (4, 2), (4,)))
    dmu, dlogvar = ops.gaussian_kl_backward(dy, mu, logvar, dlogvar=SKIP)
    assert dlogvar is None
    np.testing.assert_allclose(dmu.get(), 0.09)


@pytest.mark.parametrize("kind", ["bits", "uniform", "normal"])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 32, 33])
def test_random_kernels_are_noise(gpu, kind, width):
    key = {"seed": 2**64 - 3, "stream": 7, "step": 2**40 + 1, "row": 2**33}
    ours = getattr(noise, kind)(6, width, **key)
    theirs = getattr(noise, kind)(6, width, **key, xp=gpu).get()
    assert theirs.dtype == ours.dtype
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=0 if kind != "normal" else 1e-6)
    counted = gpu.asarray(np.array([2**40 + 1], dtype="uint64"))
    again = getattr(noise, kind)(6, width, **{**key, "step": counted}, xp=gpu).get()
    np.testing.assert_array_equal(again, theirs)


def test_the_order_of_the_rows_is_that_of_the_cpu(gpu):
    np.testing.assert_array_equal(
        noise.permutation(1000, seed=5, epoch=2, xp=gpu).get(),
        noise.permutation(1000, seed=5, epoch=2),
    )


def test_adams_kernel_is_adam(gpu):
    rng = np.random.default_rng(0)
    p, grads = rng.standard_normal(1000), rng.standard_normal((5, 1000))
    q = gpu.asarray(p)
    ours, theirs = Adam(p, lr=0.01, v0=1e-4), Adam(q, lr=0.01, v0=1e-4)
    for g in grads:
        ours.step(p, g)
        theirs.step(q, gpu.asarray(g))
    for a, b in ((p, q), (ours.m, theirs.m), (ours.v, theirs.v)):
        np.testing.assert_allclose(b.get(), a, rtol=1e-13, atol=1e-15)


# ------------------------------------------------------------------------------- the products


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 4), (4, 1), (1, 1)])
def test_what_cublas_is_told_of_a_matrix(rows, columns):
    """cuBLAS reads a line after every `step` numbers; turned, the lines are our columns."""
    whole = np.arange(float(rows * columns * 4)).reshape(rows * 2, columns * 2)
    for a in (
        np.ascontiguousarray(whole[:rows, :columns]),
        np.ascontiguousarray(whole[:rows, :columns].T).T,
        whole[:rows, :columns],
        whole[:rows, :columns].T,
    ):
        turned, step = layout(a)
        flat = np.lib.stride_tricks.as_strided(a, shape=(a.shape[turned], a.shape[1 - turned]),
                                               strides=(8 * step, 8))  # fmt: skip
        np.testing.assert_array_equal(flat.T if turned else flat, a)


def test_a_line_is_never_shorter_than_it_is_wide():
    single = np.lib.stride_tricks.as_strided(np.arange(4.0), shape=(1, 4), strides=(8, 8))
    assert layout(single) == (0, 4)
    assert layout(single.T)[1] >= 1


def test_products_that_cublas_cannot_do_are_refused():
    with pytest.raises(TypeError, match=r"neither rows nor columns of this \(4, 3\) matrix"):
        layout(np.zeros((4, 6))[:, ::2])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_cupys(dtype):
    cupy = real_cupy()
    rng = np.random.default_rng(0)
    blas = Blas(cupy)
    for B, inner, outer in ((128, 784, 400), (1, 5, 3), (5, 1, 3), (5, 3, 1), (1, 1, 1)):
        shapes = (B, inner), (inner, outer)
        a, b = (cupy.asarray(rng.standard_normal(s).astype(dtype)) for s in shapes)
        for x, y in ((a, b), (a.T.copy().T, b), (a, b.T.copy().T), (b.T, a.T)):
            theirs = cupy.matmul(x, y)
            cupy.cuda.Device().synchronize()
            with blas.stream:
                ours = blas.multiply(x, y, cupy.full_like(theirs, cupy.nan))
            blas.stream.synchronize()
            tolerance = {"float32": 1e-4, "float64": 1e-11}[dtype]
            cupy.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_a_formula_must_be_one_that_both_languages_read(gpu):
    with pytest.raises(ValueError, match="no sum of a term"):
        kernels._row_sum(gpu.ReductionKernel, "f", "T x", "y = x")
