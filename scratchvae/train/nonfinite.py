"""Find the tensor, or the op, that first held a NaN or an infinity in training.

`first_bad` checks the tensors of a step, once its loss is not finite. `detect_anomaly` checks the
output of every op: slow, since each check waits for the device, but it also describes the op's
inputs.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from inspect import unwrap
from math import log, sqrt
from types import FrameType
from typing import Any

import numpy as np

from ..backend import Array, array_module, share_memory, to_numpy
from ..backend.kernels import fused
from ..backend.registry import OPS, keyword_only, positional
from ..data.batches import to_float
from ..errors import NonFiniteError
from .measure import evaluated
from .protocol import TrainableModel

IS_FIRST = "is the first tensor that holds a NaN or an infinity"
ADVICE = (
    "the model keeps its last finite parameters: check the scale of the data (scale='standard', "
    "--scale standard) and beta, try a smaller lr, or clip the gradient norm"
)
FUSED = fused("y = x")(lambda x: x).__code__  # the same for all ops with a kernel


class OpError(NonFiniteError):
    """An op returned a NaN or an infinity; the message names the op."""


def first_bad(acts: Any, *mappings: Mapping[str, Array]) -> str | None:
    """The name of the first tensor with a NaN or an infinity, in the order of computation.

    acts: the activations of a model's forward, or None; mappings: its gradients, its parameters,
    and Adam's moments.
    """

    def tensors() -> Iterator[tuple[str, Array]]:
        for field in fields(acts) if acts else ():
            value = getattr(acts, field.name)
            if isinstance(value, list):
                yield from ((f"{field.name}[{i}]", a) for i, a in enumerate(value))
            elif value is not None:
                yield field.name, value
        for kind, mapping in zip(("gradient", "parameter", "moment"), mappings, strict=False):
            yield from ((f"the {kind} {name}", a) for name, a in reversed(list(mapping.items())))

    return next((name for name, a in tensors() if not _finite(a)), None)


def first_bad_step(trainer: Any, order: Array) -> tuple[int, str]:
    """The number of the first non-finite step since a trainer's snapshot, and what is not finite.

    order: the rows of the epoch. The steps are repeated from the snapshot; the state before the
    first bad one is kept.
    """
    last = trainer.step
    trainer.restore_snapshot()
    while trainer.step < last:
        trainer.take_snapshot()
        start = (trainer.step - trainer.epoch * trainer.steps_per_epoch) * trainer.batch_size
        acts, _ = trainer.take_step(order[start : start + trainer.batch_size])
        if name := trainer.first_bad(acts):
            return trainer.step, f"{name} {IS_FIRST}"
    trainer.take_snapshot()
    name = "a loss, but not when the last steps are repeated, so this device"
    return last, f"{name} {IS_FIRST}"


def first_bad_example(model: TrainableModel, X: Array) -> str:
    """The tensor and example with the first NaN or infinity in evaluating X (N,D), in words."""
    for row in range(len(X)):
        x = to_float(X[row : row + 1], model.workspace("x", 1, X.shape[1]))
        if name := first_bad(evaluated(model, x)):
            return f"{name} of example {row}, in the evaluation, {IS_FIRST}"
    return f"the mean of the losses in the evaluation {IS_FIRST}"


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Context manager: raise OpError at the first op, forward or backward, with a NaN or infinity.

        with detect_anomaly():
            model.loss_and_grad(x, eps)

    The message names the op and its output, and describes its inputs. An op called by another op
    counts as part of it. The first error ends the check in its thread. Threads started inside the
    context are also checked. It uses `sys.setprofile`, so no function is replaced; an active
    profiler is suspended. It does not work during the capture of a CUDA graph
    (`Trainer(cuda_graphs=False)`).
    """
    profile, of_threads = _OpProfile(), threading.getprofile()
    profile.ended = False
    before: Any = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield
    finally:
        profile.ended = True
        sys.setprofile(None)
        threading.setprofile(of_threads)
        if hasattr(before, "enable"):  # cProfile, whose object cannot be passed to setprofile
            before.enable()
        else:
            sys.setprofile(before)


class _OpProfile(threading.local):
    """The profile function; in each thread it follows the outermost op that is running."""

    __slots__ = ("ended",)  # shared, unlike the rest, by all threads: some may still be running
    frame: FrameType | None = None  # of that op

    def __call__(self, frame: FrameType, event: str, result: Any) -> None:
        if event == "call" and self.frame is None and not self.ended:
            if called := _called(frame):
                self.frame, (self.op, self.inputs) = frame, called
                self.quiet = np.errstate(all="ignore")  # OpError is more specific than a warning
                self.quiet.__enter__()
        elif event == "return" and frame is self.frame:
            self.frame = None
            self.quiet.__exit__(None, None, None)
            if result is None:  # it raised
                return
            values = result if isinstance(result, tuple) else (result,)
            for name, a in zip(keyword_only(self.op), values, strict=True):
                if a is not None and not _finite(a):
                    output = "y" if name == "out" else name
                    raise OpError(_describe(self.op.__name__, output, a, self.inputs))


def _called(frame: FrameType) -> tuple[Callable[..., Any], dict[str, Any]] | None:
    """The op called in this frame, and its inputs; None for any other function."""
    wrapped = frame.f_code is FUSED
    name = frame.f_locals["op"].__name__ if wrapped else frame.f_code.co_name
    op = OPS.get(name.removesuffix("_backward"))
    f: Any = op and (op.backward if name.endswith("_backward") else op.forward)
    if not f or frame.f_code not in (f.__code__, unwrap(f).__code__):
        return None
    given = frame.f_locals
    if wrapped:
        given = dict(zip(positional(f), given["args"], strict=False)) | given["named"]
    inputs = {name: given[name] for name in positional(f)}
    for name, a in inputs.items():
        if any(share_memory(a, given.get(output)) for output in keyword_only(f)):
            inputs[name] = a.copy()  # as it was before the op overwrites it
    return f, inputs


def _finite(a: Array) -> bool:
    return bool(array_module(a).isfinite(a).all())


def _describe(op: str, output: str, a: Array, inputs: Mapping[str, Any]) -> str:
    """The op's bad output, its inputs, and any evident cause, in words."""
    arrays = {name: np.asarray(to_numpy(x)) for name, x in inputs.items()}
    summary = ", ".join(f"{name} {_summary(x)}" for name, x in arrays.items())
    return f"{op}: {output} {_summary(to_numpy(a))}; from {summary}{_hint(arrays)}"


def _summary(a: np.ndarray) -> str:
    """Shape, dtype, range, and entries that are not finite: "(4, 3) float32 in [-1, 2]"."""
    text, fine = f"{a.shape} {a.dtype}", np.isfinite(a)
    if not fine.all():
        index = np.argwhere(~fine)[0].tolist()
        text += f" with {(~fine).sum()} of {a.size} entries not finite, the first {a[*index]} at "
        text += f"{index}, the others"
    return f"{text} in [{a[fine].min():.4g}, {a[fine].max():.4g}]" if fine.any() else f"{text} none"


def _hint(arrays: Mapping[str, np.ndarray]) -> str:
    if bad := [name for name, a in arrays.items() if not np.isfinite(a).all()]:
        return f". The cause is before this op: {' and '.join(bad)} already not finite"
    for name, a in arrays.items():
        if a.dtype.kind == "f" and a.size:
            size, limit = float(np.abs(a).max()), float(np.finfo(a.dtype).max)
            if "logvar" in name and size > log(limit):
                return f". exp({log(limit):.1f}) is the largest {a.dtype}: check {name}"
            if size > sqrt(limit):
                return f". {sqrt(limit):.1e} squared is the largest {a.dtype}: check {name}"
    return ""
