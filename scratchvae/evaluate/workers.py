"""The importance-weighted bound, with its rows shared among processes of this machine.

NumPy computes most of it on one core; processes keep all of them busy. They exchange nothing: each
gets the model and its rows, and returns their bounds. The bounds equal those of one process with as
many BLAS threads.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from .. import startup
from ..data.batches import chunks
from ..errors import InputError, whole_number
from ..models import MODELS, Model, bounds
from ..models.model import BLOCK
from ..train.signals import handling

Child = tuple[BaseProcess, Connection]


def bounds_of_rows(
    model: Model, rows: np.ndarray, k: int, seed: int, workers: int | str = 1
) -> np.ndarray:
    """`bounds.of_rows` of the validated rows (N,D), computed by several processes: (N,), nats.

    workers can be "auto": the number of usable cores. The processes divide the cores among their
    BLAS threads, unless the environment sets the number. A script with more than one worker must
    do its work under `if __name__ == "__main__":`, since each process imports it.
    Raises InputError if a process ends early.
    """
    if workers == startup.AUTO:
        workers = startup.usable_cores()
    workers = whole_number(workers, "workers")
    check_workers(model, workers)
    share = -(-len(rows) // (BLOCK * workers)) * BLOCK  # whole blocks, which `map_rows` pads to
    parts = list(chunks(len(rows), share))
    if len(parts) == 1:
        return bounds.of_rows(model, rows, k, seed)
    children: list[Child] = []
    try:
        with _environment(max(1, startup.usable_cores() // len(parts))):
            for part in parts:
                children.append(_start(model, rows[part], k, seed))
        return np.concatenate([_answer(pipe) for _, pipe in children])
    finally:
        for process, pipe in children:
            process.kill()
            process.join()
            pipe.close()


def check_workers(model: Model, workers: int) -> None:
    """Raises InputError if the model cannot be shared among processes."""
    if workers > 1 and model.xp is not np:
        raise InputError("workers are for the CPU: leave them out, or use device 'cpu'")
    if workers > 1 and type(model) not in MODELS.values():
        raise InputError(
            f"workers know only scratchvae's models, not {type(model).__name__}: leave them out"
        )


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Context manager: processes started here inherit BLAS threads and a blocked Ctrl-C.

    The caller ends them; signals to this process wait until all have started.
    """
    new = {k: v for k, v in startup.threads(threads).items() if k not in os.environ}
    os.environ.update(new)
    came: list[int] = []
    try:
        with handling(lambda number, frame: came.append(number)), _blocked(signal.SIGINT):
            yield
    finally:
        for name in new:
            del os.environ[name]
    for number in came:
        signal.raise_signal(number)


@contextmanager
def _blocked(number: int) -> Iterator[None]:
    """Block a signal in this thread."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(*question: Any) -> Child:
    context = multiprocessing.get_context("spawn")
    pipe, its_end = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(its_end, *question), daemon=True)
    process.start()
    its_end.close()  # so that the end of the process is the end of the pipe
    return process, pipe


def _answer(pipe: Connection) -> np.ndarray:
    try:
        answer = pipe.recv()
    except EOFError:
        raise InputError(
            "a worker ended before its rows were evaluated: if memory is short, use fewer workers; "
            'a script must do its work under `if __name__ == "__main__":`'
        ) from None
    if isinstance(answer, InputError):
        raise answer
    return np.asarray(answer)


def _serve(pipe: Connection, model: Model, rows: np.ndarray, k: int, seed: int) -> None:
    """Send the bounds of the rows, or an InputError."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer: Any
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            answer = bounds.of_rows(model, rows, k, seed)
    except InputError as error:
        answer = error
    except MemoryError:
        answer = InputError("a worker ran out of memory: use fewer workers")
    with suppress(BrokenPipeError):
        pipe.send(answer)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        signal.raise_signal(signal.SIGTERM)
