"""The ranks of an MPI job: how they start, share the data of a machine, and end together."""

import mmap
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from math import prod
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

import numpy as np

from ..errors import InputError, NonFiniteError

Made = TypeVar("Made")
PAGE = mmap.ALLOCATIONGRANULARITY  # bytes: each shared array begins with a page


def world() -> Any:
    """MPI's communicator of all ranks. Raises InputError if mpi4py or its MPI is not installed."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):  # RuntimeError: there is no MPI library to load
        raise InputError(
            "MPI needs mpi4py and an MPI library: pip install 'scratchvae[mpi]' mpich"
        ) from None
    return MPI.COMM_WORLD


class Ranks:
    """A communicator, and whether its ranks have started together.

    share_memory    whether all are on one machine
    begun           from then on, an error on one rank ends the job
    """

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self.comm = comm
        self.node = comm.Split_type(MPI.COMM_TYPE_SHARED)
        if self.node.size > 1:
            try:
                self._memory(1)
            except OSError:  # in containers of their own, or on Windows
                self.node = comm.Split(comm.rank)
        self.share_memory = all(comm.allgather(self.node.size == comm.size > 1))
        self.begun = self.refused = False

    def agree(self, error: str | None = None) -> None:
        """Wait for all ranks. Raises InputError on all if one of them passes an error."""
        errors = [text for text in self.comm.allgather(error) if text]
        if errors:
            self.refused = True
            raise InputError(errors[0])

    def shared(self, make: Callable[[], Made]) -> Made:
        """make(), called by one rank of each machine; all ranks map the large arrays in its result.

        They are read-only. Raises InputError on all ranks if make does on one.
        """
        from mpi4py import MPI

        made, error = None, None
        if self.node.rank == 0:
            try:
                made = make()
            except InputError as refused:
                error = str(refused)
        self.agree(error)
        if self.node.size == 1:
            return made  # type: ignore[return-value]
        head, arrays = MPI.pickle.dumps_oob(made) if self.node.rank == 0 else (b"", [])
        del made  # the arrays of rank 0 are also replaced by the shared ones
        ends = [0]
        for array in arrays:
            ends.append(ends[-1] + -(-array.nbytes // PAGE) * PAGE)
        head, ends, sizes = self.node.bcast((head, ends, [array.nbytes for array in arrays]))
        memory = self._memory(ends[-1])
        parts = [memory[start : start + n] for start, n in zip(ends, sizes, strict=False)]
        for part, array in zip(parts, arrays, strict=False):
            part[:] = array
        self.node.Barrier()
        return MPI.pickle.loads_oob(head, [part.toreadonly() for part in parts])

    def memory(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of zeros, in memory that the ranks of this machine share."""
        dtype = np.dtype(dtype)
        return np.ndarray(shape, dtype, self._memory(prod(shape) * dtype.itemsize))

    def _memory(self, size: int) -> memoryview:
        """This many bytes, zeroed, that the ranks of this machine share: an unnamed file.

        MPI's own windows are in /dev/shm, which has 64 MB in a Docker container. Raises OSError
        on all of these ranks if one cannot open the file.
        """
        memory = None
        with _file() if self.node.rank == 0 else nullcontext((None, "")) as (file, name):
            if file is not None:
                os.truncate(file.fileno(), max(size, 1))  # an empty file cannot be mapped
            with suppress(OSError), open(self.node.bcast(name), "r+b") as same:
                memory = memoryview(mmap.mmap(same.fileno(), 0))
            opened = self.node.allgather(memory is not None)
        if memory is None or not all(opened):
            raise OSError("the ranks of this machine cannot map the same file")
        return memory

    def run(self, task: Callable[[], int]) -> int:
        """Run task() on every rank; an error is reported once and leaves no rank waiting."""
        try:
            try:
                return task()
            except InputError as error:
                if not (self.begun or self.refused):
                    self.agree(str(error))
                raise
        except BaseException as error:
            # all ranks raise these two; any other error may be on this rank only
            if self.refused or isinstance(error, NonFiniteError):
                if self.comm.rank == 0:
                    raise
                return 2
            if isinstance(error, KeyboardInterrupt):
                self.comm.Abort(130)
                raise
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            where = f"rank {self.comm.rank}: {kind}{error}; all ranks stop"
            print(f"scratchvae: error: {where}", file=sys.stderr, flush=True)
            time.sleep(0.5)  # lets mpiexec forward the message before it ends all ranks
            self.comm.Abort(2)
            return 2  # where Abort has returned before mpiexec ends this rank


@contextmanager
def _file() -> Iterator[tuple[Any, str]]:
    """A file that is removed at the end, and a name for other processes to open it."""
    if hasattr(os, "memfd_create"):  # Linux: memory alone
        with open(os.memfd_create("scratchvae"), "w+b") as file:
            yield file, f"/proc/{os.getpid()}/fd/{file.fileno()}"
    else:
        with NamedTemporaryFile(prefix="scratchvae-") as file:
            yield file, file.name
