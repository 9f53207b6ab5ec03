"""A training step as one CUDA graph: captured once per mini-batch size, and replayed.

At a batch of 128, launching a step's kernels one by one from Python takes longer than running them.
The capture calls the same methods as `Trainer.take_step`, with the numbers that vary between steps
on the device: the rows of the mini-batch, the step that keys the noise, the schedules. A table of
them for all steps of an epoch is copied to the device at once; each replay reads the next line.
"""

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..backend.kernels import elementwise
from .optim import StepNumbers

WORKSPACE = 32 << 20  # bytes for cuBLAS: its default on Hopper

# reads line `position` of the table into the numbers of a step, and the start of its rows
NEXT_LINE = """
step = table[position * 4]; ramp = table[position * 4 + 1];
rate = table[position * 4 + 2]; floor = table[position * 4 + 3];
start = position * size; position += 1
"""


def graphs_of(trainer: Any) -> "Graphs | None":
    """The graphs of a trainer's steps; None without the cuBLAS library."""
    try:
        return Graphs(trainer)
    except OSError:
        return None


class Graphs:
    """The steps of a `Trainer` on one GPU, as graphs that must equal `trainer.take_step`.

    Raises OSError if the cuBLAS library is not found.
    """

    def __init__(self, trainer: Any) -> None:
        xp = self.xp = trainer.xp
        self.trainer = weakref.proxy(trainer)  # a reference cycle would delay freeing GPU memory
        self.branches = Branches(xp)
        self.graphs: dict[Any, Any] = {}
        self.table = xp.zeros((trainer.steps_per_epoch, len(StepNumbers._fields)), dtype="float64")
        self.order = xp.zeros(len(trainer.X), dtype="int64")
        self.position, self.start, step = (xp.zeros(1, dtype="uint64") for _ in range(3))
        floats = (xp.zeros(1, dtype=trainer.model.dtype) for _ in range(3))
        self.numbers = StepNumbers(step, *floats)
        self.settings = ""  # at the time of capture
        self.next = -1  # the value of `position` on the device; -1 if unknown

    def begin_epoch(self, order: Array) -> None:
        """Copy the order of the rows, (N,), and the numbers of all steps to the device."""
        trainer, first = self.trainer, self.trainer.epoch * self.trainer.steps_per_epoch
        self.order[...] = order
        settings = [trainer.model.get_params(), trainer.adam.beta1, trainer.adam.beta2]
        settings += [trainer.binarize, trainer.scheduled, trainer.clip_norm]
        if str(settings) != self.settings:
            self.settings = str(settings)
            self.graphs.clear()
        lines = [trainer.step_numbers(first + i) for i in range(trainer.steps_per_epoch)]
        self.table[...] = self.xp.asarray(np.array(lines, dtype="float64"))

    def take_step(self, i: int) -> None:
        """Take step i of the epoch."""
        trainer = self.trainer
        B = min(trainer.batch_size, len(trainer.X) - i * trainer.batch_size)
        arrays = (trainer.X, trainer.model.gradients.array, *trainer.arrays())
        key = (B, *map(id, arrays))  # the ids stay unique, because `graphs` refers to the arrays
        if key not in self.graphs:
            self.graphs[key] = self._capture(B), arrays
        if i != self.next:
            self.position.fill(i)
        self.next = -1  # unknown during the launch, which Ctrl-C may interrupt
        self.graphs[key][0][0].launch()
        self.next = i + 1
        trainer.adam.t += 1

    def _capture(self, B: int) -> tuple[Any, ...]:
        """The graph of a step of B rows, and all memory that it uses, which must stay allocated."""
        trainer, branches, pool = self.trainer, self.branches, self.xp.cuda.MemoryPool()
        before = [a.copy() for a in trainer.arrays()]
        self.next = -1
        self.position.fill(0)
        branches.gradients = trainer.model.gradients.array
        self.xp.cuda.Device().synchronize()  # the caller may use any stream
        try:
            with (
                self.xp.cuda.using_allocator(pool.malloc),
                branches.main.stream,
                backend.standing_in(matmul=branches.matmul, sum=branches.sum),
            ):
                self._compute(B)  # compiles and loads kernels, which a capture must not do
                graph, acts = branches.capture(lambda: self._compute(B))
        finally:
            self.xp.cuda.Device().synchronize()
            for a, copy in zip(trainer.arrays(), before, strict=True):
                a[...] = copy
        return graph, pool, acts, dict(trainer.model.workspace.buffers)

    def _compute(self, B: int) -> Any:
        xp, trainer = self.xp, self.trainer
        outputs = "uint64 position, uint64 start, uint64 step, T ramp, T rate, T floor"
        inputs, kernel = "raw float64 table, uint64 size", xp.ElementwiseKernel
        next_line = elementwise(kernel, "next_line", inputs, outputs, NEXT_LINE)
        next_line(self.table, trainer.batch_size, self.position, self.start, *self.numbers)
        rows = xp.empty(B, dtype="int64")
        inputs, formula = "raw int64 order, uint64 start", "rows = order[start + i]"
        elementwise(kernel, "rows", inputs, "int64 rows", formula)(self.order, self.start, rows)
        # without a schedule the ramp is the constant 1, which saves a product on the device
        numbers = self.numbers if trainer.scheduled else self.numbers._replace(ramp=1.0)
        acts = trainer.forward(rows, numbers)
        with self.branches.beside():
            trainer.add_losses(acts)
        trainer.model.backward(trainer.model.gradients, acts, numbers.ramp)
        self.branches.join()
        trainer.update(numbers)
        return acts


class Branches:
    """Two streams in capture, and the `matmul` and `sum` of ops during it.

    Gradients of weights and biases, which only the update needs, are computed on the second stream:
    in the graph they are a branch parallel to backpropagation.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.main, self.side = Blas(xp), Blas(xp)
        self.gradients: Array = None  # the vector that the branch writes into
        self.borrowed: list[Array] = []  # inputs of the branch, kept allocated until it ends

    def capture(self, compute: Callable[[], Any]) -> tuple[Any, Any]:
        """The graph of what compute() launches, and its result."""
        self.main.stream.begin_capture()
        try:
            with self.beside():
                pass  # forks the second stream from the first, so that `join` is always valid
            try:
                result = compute()
            finally:
                self.join()
        finally:  # a stream must not be left in capture
            graph = self.main.stream.end_capture()
        return graph, result

    def _are_gradients(self, out: Array) -> bool:
        """Whether `out` is a view of the gradients, which only the update reads."""
        g = self.gradients
        return out is not None and 0 <= out.data.ptr - g.data.ptr < g.nbytes

    def matmul(self, a: Array, b: Array, out: Array = None) -> Array:
        """a (B,I) b (I,O)  ->  (B,O), of one dtype; each contiguous along one of its axes."""
        if self._are_gradients(out):
            with self.beside(a, b):
                return self.side.multiply(a, b, out)
        if out is None:
            out = self.xp.empty((a.shape[0], b.shape[1]), dtype=a.dtype)
        return self.main.multiply(a, b, out)

    def sum(self, a: Array, axis: Any = None, out: Array = None, **options: Any) -> Array:
        """CuPy's `sum`; gradients are summed on the second stream."""
        with self.beside(a) if self._are_gradients(out) else nullcontext():
            return self.xp.sum(a, axis=axis, out=out, **options)

    @contextmanager
    def beside(self, *operands: Array) -> Iterator[None]:
        """Context manager: launch on the second stream, after the first one's earlier work."""
        self.side.stream.wait_event(self.main.stream.record())
        self.borrowed += operands
        with self.side.stream:
            yield

    def join(self) -> None:
        """Make later work on the first stream wait for the second."""
        self.main.stream.wait_event(self.side.stream.record())
        self.borrowed.clear()


class Blas:
    """A stream with its own cuBLAS handle: CuPy's cannot be used on a stream in capture."""

    def __init__(self, xp: Any) -> None:
        self.stream = xp.cuda.Stream()
        # CuPy has loaded it; OSError if it has another name on this system
        self.lib = ctypes.CDLL(f"libcublas.so.{xp.cuda.runtime.runtimeGetVersion() // 1000}")
        self.handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(self.stream.ptr))
        destroy = weakref.finalize(self, self.lib.cublasDestroy_v2, self.handle)
        destroy.atexit = False  # freed with the process
        self.workspace = xp.empty(WORKSPACE, dtype="uint8")
        place, size = _pointer(self.workspace), ctypes.c_size_t(WORKSPACE)
        self._call("cublasSetWorkspace_v2", self.handle, place, size)

    def _call(self, name: str, *args: Any) -> None:
        if status := getattr(self.lib, name)(*args):
            raise RuntimeError(f"{name} failed with status {status}")

    def multiply(self, a: Array, b: Array, out: Array) -> Array:
        """out = a b, launched on the stream."""
        if not (a.ndim == b.ndim == 2 and a.dtype == b.dtype == out.dtype):
            raise TypeError(f"unsupported in a graph: {a.dtype} {a.shape} @ {b.dtype} {b.shape}")
        double = out.dtype == "float64"
        one, zero = map(ctypes.c_double if double else ctypes.c_float, (1, 0))
        # cuBLAS is column-major, so it sees the transposes of our matrices: out^T = b^T a^T
        (b_transposed, b_step), (a_transposed, a_step) = layout(b), layout(a)
        self._call(
            "cublasDgemm_v2" if double else "cublasSgemm_v2",
            *(self.handle, b_transposed, a_transposed, b.shape[1], a.shape[0], a.shape[1]),
            *(ctypes.byref(one), _pointer(b), b_step, _pointer(a), a_step),
            *(ctypes.byref(zero), _pointer(out), layout(out)[1]),
        )
        return out


def layout(a: Array) -> tuple[int, int]:
    """1 if the columns of a (B,I) are contiguous, 0 if its rows are; and the leading dimension."""
    down, along = (stride // a.itemsize for stride in a.strides)
    if along == 1 or a.shape[1] == 1:
        return 0, max(down, a.shape[1])
    if down == 1 or a.shape[0] == 1:
        return 1, max(along, a.shape[0])
    raise TypeError(f"neither rows nor columns of this {a.shape} matrix are contiguous")


def _pointer(a: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(a.data.ptr)
