"""A training step as one CUDA graph: captured once for each size of batch, replayed ever after.

At a batch of 128, launching a step's kernels one by one from Python takes longer than running them.
What is captured are the methods of `Trainer.take_step`, the plain path, for a step whose numbers
lie on the device: the rows of the batch, the step that keys the noise, what the schedules say.
Those of all steps of an epoch go up in one table; each replay reads the next line.
"""

import ctypes
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from .. import backend
from ..backend import Array
from ..backend.kernels import elementwise
from .optim import StepNumbers

WORKSPACE = 32 << 20  # bytes for cuBLAS: what it takes by itself on a Hopper

# line `position` of the table into the numbers of a step, and the place of its rows in the order
NEXT_LINE = """
step = table[position * 4]; ramp = table[position * 4 + 1];
rate = table[position * 4 + 2]; floor = table[position * 4 + 3];
start = position * size; position += 1
"""


class Graphs:
    """The steps of a `Trainer` on a GPU, from graphs; `trainer.take_step` is what they must equal.

    Like CuPy's arrays they belong to one device.
    """

    @classmethod
    def of(cls, trainer: Any) -> Self | None:
        """The graphs of this trainer; None where there is no cuBLAS by a name that we know."""
        try:
            return cls(trainer)
        except OSError:
            return None

    def __init__(self, trainer: Any) -> None:
        xp = self.xp = trainer.xp
        self.trainer = weakref.proxy(trainer)  # a cycle would keep the memory of the device
        self.branches = Branches(xp)
        self.graphs: dict[Any, Any] = {}
        self.table = xp.zeros((trainer.steps_per_epoch, len(StepNumbers._fields)), dtype="float64")
        self.order = xp.zeros(len(trainer.X), dtype="int64")
        self.position, self.start, step = (xp.zeros(1, dtype="uint64") for _ in range(3))
        floats = (xp.zeros(1, dtype=trainer.model.dtype) for _ in range(3))
        self.numbers = StepNumbers(step, *floats)
        self.settings = ""  # that the graphs were captured with
        self.next = -1  # the line that the position on the device points to, if that is known

    def begin_epoch(self, order: Array) -> None:
        """Takes the order of the rows, (N,), and the numbers of each step of the epoch."""
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
        """Step i of the epoch."""
        trainer = self.trainer
        B = min(trainer.batch_size, len(trainer.X) - i * trainer.batch_size)
        arrays = (trainer.X, trainer.model.gradients.array, *trainer.arrays())
        key = (B, *map(id, arrays))  # of arrays that are kept, so no other gets the same
        if key not in self.graphs:
            self.graphs[key] = self._capture(B), arrays
        if i != self.next:
            self.position.fill(i)
        self.next = -1  # until it is sure that the step was taken: Ctrl-C may come here
        self.graphs[key][0][0].launch()
        self.next = i + 1
        trainer.adam.t += 1

    def _capture(self, B: int) -> tuple[Any, ...]:
        """The graph of a step of B rows, and all memory that it writes to, to be kept beside it."""
        trainer, pool = self.trainer, self.xp.cuda.MemoryPool()
        before = [a.copy() for a in trainer.arrays()]
        self.next = -1
        self.position.fill(0)
        self.branches.gradients = trainer.model.gradients.array
        self.xp.cuda.Device().synchronize()  # whatever stream the caller works on
        try:
            with self.xp.cuda.using_allocator(pool.malloc), self.branches.main.stream:
                with self.branches:
                    self._compute(B)  # loads what a capture must not load
                    self.branches.begin_capture()
                    try:
                        acts = self._compute(B)
                    finally:  # a stream must not be left in capture
                        graph = self.branches.end_capture()
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
        # without a schedule the ramp is 1, and a number spares a product on the device
        numbers = self.numbers if trainer.scheduled else self.numbers._replace(ramp=1.0)
        acts = trainer.forward(rows, numbers)
        with self.branches.beside():
            trainer.add_losses(acts)
        trainer.backward(acts, numbers)
        self.branches.join()
        trainer.update(numbers)
        return acts


class Branches:
    """Two streams in capture, and the `matmul` and `sum` that ops get meanwhile.

    The gradients of weights and biases, which nothing waits for until the update, go to the second
    stream: in the graph they are a branch beside the way back to the first layer.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.main, self.side = Blas(xp), Blas(xp)
        self.gradients: Array = None  # the vector that the branch writes into
        self.borrowed: list[Array] = []  # what the branch reads, not to be freed before it ends

    def __enter__(self) -> None:
        self._standing_in = backend.standing_in(matmul=self.matmul, sum=self.sum)
        self._standing_in.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._standing_in.__exit__(*error)

    def begin_capture(self) -> None:
        self.main.stream.begin_capture()
        with self.beside():
            pass  # forked from the first, so that it can be joined, whatever comes between

    def end_capture(self) -> Any:
        try:
            self.join()
        finally:
            graph = self.main.stream.end_capture()
        return graph

    def _are_gradients(self, out: Array) -> bool:
        """Whether this destination lies among the gradients, which nothing reads meanwhile."""
        g = self.gradients
        return out is not None and 0 <= out.data.ptr - g.data.ptr < g.nbytes

    def matmul(self, a: Array, b: Array, out: Array = None) -> Array:
        """a (B,I) b (I,O)  ->  (B,O), of one dtype; along one of its axes each is contiguous."""
        if out is None:
            out = self.xp.empty((a.shape[0], b.shape[1]), dtype=a.dtype)
        elif self._are_gradients(out):
            with self.beside(a, b):
                return self.side.multiply(a, b, out)
        return self.main.multiply(a, b, out)

    def sum(self, a: Array, axis: Any = None, out: Array = None, **options: Any) -> Array:
        """CuPy's."""
        if self._are_gradients(out):
            with self.beside(a):
                return self.xp.sum(a, axis=axis, out=out, **options)
        return self.xp.sum(a, axis=axis, out=out, **options)

    @contextmanager
    def beside(self, *operands: Array) -> Iterator[None]:
        """Within, the second stream does what is asked for, after what was asked of the first."""
        self.side.stream.wait_event(self.main.stream.record())
        self.borrowed += operands
        with self.side.stream:
            yield

    def join(self) -> None:
        """What follows on the first stream waits for the second."""
        self.main.stream.wait_event(self.side.stream.record())
        self.borrowed.clear()


class Blas:
    """A stream and a cuBLAS handle of our own: CuPy refuses its own to a stream in capture."""

    def __init__(self, xp: Any) -> None:
        self.stream = xp.cuda.Stream()
        # CuPy has loaded it; OSError on a system that gives it another name
        self.lib = ctypes.CDLL(f"libcublas.so.{xp.cuda.runtime.runtimeGetVersion() // 1000}")
        self.handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(self.stream.ptr))
        destroy = weakref.finalize(self, self.lib.cublasDestroy_v2, self.handle)
        destroy.atexit = False  # the end of the process frees all
        self.workspace = xp.empty(WORKSPACE, dtype="uint8")
        place, size = _pointer(self.workspace), ctypes.c_size_t(WORKSPACE)
        self._call("cublasSetWorkspace_v2", self.handle, place, size)

    def _call(self, name: str, *args: Any) -> None:
        if status := getattr(self.lib, name)(*args):
            raise RuntimeError(f"{name} failed with status {status}")

    def multiply(self, a: Array, b: Array, out: Array) -> Array:
        """out = a b, launched on the stream."""
        if not (a.ndim == b.ndim == 2 and a.dtype == b.dtype == out.dtype):
            raise TypeError(f"no such product in a graph: {a.dtype} {a.shape}, {b.dtype} {b.shape}")
        double = out.dtype == "float64"
        one, zero = map(ctypes.c_double if double else ctypes.c_float, (1, 0))
        # cuBLAS goes by columns, so it sees the transposes of our matrices: out^T = b^T a^T
        (b_turned, b_step), (a_turned, a_step) = layout(b), layout(a)
        self._call(
            "cublasDgemm_v2" if double else "cublasSgemm_v2",
            *(self.handle, b_turned, a_turned, b.shape[1], a.shape[0], a.shape[1]),
            *(ctypes.byref(one), _pointer(b), b_step, _pointer(a), a_step),
            *(ctypes.byref(zero), _pointer(out), layout(out)[1]),
        )
        return out


def layout(a: Array) -> tuple[int, int]:
    """1 where the columns of a (B,I) are contiguous, 0 where its rows are; and the leading step."""
    down, along = (stride // a.itemsize for stride in a.strides)
    if along == 1 or a.shape[1] == 1:
        return 0, max(down, a.shape[1])
    if down == 1 or a.shape[0] == 1:
        return 1, max(along, a.shape[0])
    raise TypeError(f"neither rows nor columns of this {a.shape} matrix are contiguous")


def _pointer(a: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(a.data.ptr)
