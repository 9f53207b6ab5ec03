"""Data-parallel training over MPI: each rank computes a part of every mini-batch.

    mpiexec -n 4 scratchvae train --mpi ...

Noise, binary pixels and the order of the data are keyed by row, so the result is the same for any
number of ranks, except for the rounding of one sum: the gradients of the parts, weighted by their
sizes, in one all-reduce per step, with the losses in the same message. Each rank holds all data and
all parameters. These stay equal to the last bit, which a hash verifies after each epoch.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend import Array, to_numpy
from ..backend.memory import empty
from ..errors import InputError, NonFiniteError
from .nonfinite import first_bad
from .protocol import Record, TrainableModel
from .signals import handling
from .snapshot import data_hash
from .trainer import Trainer

EXTRA = 4  # numbers after the gradients in the message: sums of rec, kl, loss; requests to stop


def world() -> Any:
    """MPI's communicator of all ranks. Raises InputError if mpi4py or its MPI is not installed."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):  # RuntimeError: there is no MPI library to load
        raise InputError(
            "--mpi needs mpi4py and an MPI library: pip install 'scratchvae[mpi]' mpich"
        ) from None
    return MPI.COMM_WORLD


def part(n: int, rank: int, size: int) -> slice:
    """The rows of this rank out of n: consecutive parts, whose sizes differ by at most one."""
    return slice(rank * n // size, (rank + 1) * n // size)


class Ranks:
    """A communicator, and whether its ranks have started together."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.begun = self.refused = False

    def begin(self, error: str | None = None) -> None:
        """Synchronise all ranks once. Raises InputError on all if one of them passes an error."""
        errors = [text for text in self.comm.allgather(error) if text]
        self.begun, self.refused = True, bool(errors)
        if errors:
            raise InputError(errors[0])

    def run(self, task: Callable[[], int]) -> int:
        """Run task() on every rank; an error is reported once, and leaves no rank waiting."""
        try:
            try:
                return task()
            except InputError as error:
                if not self.begun:
                    self.begin(str(error))
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


class ParallelTrainer(Trainer):
    """A `Trainer` that splits each mini-batch over the ranks, which pass the same arguments.

    Raises InputError for a loss that is not a mean over examples (free bits, a capacity), and for
    detect_anomaly.
    """

    def __init__(self, ranks: Ranks, model: TrainableModel, *data: Any, **settings: Any) -> None:
        if getattr(model, "free_bits", 0) or getattr(model, "capacity", None) is not None:
            raise InputError(
                "free_bits and capacity need the mean KL of a whole mini-batch, but each rank "
                "computes a part of it: leave them out"
            )
        if settings.get("detect_anomaly"):
            raise InputError(
                "detect_anomaly would stop one rank and not the others: use one process"
            )
        super().__init__(model, *data, **settings)
        ranks.begin()
        self.comm = ranks.comm
        size = model.params_.array.size
        self._message = empty(self.xp, (size + EXTRA,), model.dtype)
        model.gradients = model.params_.like(self.xp, self._message[:size])
        if self.xp is not np:  # pinned memory: faster transfers to and from the device
            memory = self.xp.cuda.alloc_pinned_memory(self._message.nbytes)
            self._staged = np.frombuffer(memory, model.dtype, len(self._message))
        self._wants_to_stop, self._signal = 0, int(signal.SIGINT)
        self._stop = self.xp.zeros(1, dtype=model.dtype)
        for a in self.arrays():  # all ranks start from rank 0's values
            host = to_numpy(a)
            self.comm.Bcast(host)
            a[...] = self.xp.asarray(host)
        self.take_snapshot()

    def take_step(self, rows: Array) -> tuple[Any, Any]:
        B, message = len(rows), self._message
        own, tail = part(B, self.comm.rank, self.comm.size), message[-EXTRA:]
        numbers, acts = self.step_numbers(self.step), None
        message.fill(0)
        if own.start < own.stop:
            acts = self.forward(rows[own], numbers, own.start)
            self.backward(acts, numbers)
            message[:-EXTRA] *= (own.stop - own.start) / B  # weight the part's mean by its size
            for i, values in enumerate((acts.rec, acts.kl, self.model.example_losses(acts))):
                tail[i] = self.xp.sum(values)
        tail[-1] = self._wants_to_stop
        self._all_reduce()
        self.sums[:3] += tail[:3]
        self._stop += tail[-1]
        self.update(numbers)
        self.adam.t += 1
        return acts, self.model.gradients

    def _all_reduce(self) -> None:
        """Replace each rank's message by the sum of all."""
        from mpi4py import MPI

        if self.xp is np:
            self.comm.Allreduce(MPI.IN_PLACE, self._message)
        elif os.environ.get("SCRATCHVAE_CUDA_AWARE_MPI"):
            self.xp.cuda.get_current_stream().synchronize()
            self.comm.Allreduce(MPI.IN_PLACE, self._message)
        else:
            self._message.get(out=self._staged)
            self.comm.Allreduce(MPI.IN_PLACE, self._staged)
            self._message.set(self._staged)

    def run(self, epochs: int, **options: Any) -> None:
        """As `Trainer.run`; after Ctrl-C or SIGTERM all ranks stop at the same step."""

        def ask(number: int, frame: Any) -> None:
            self._wants_to_stop, self._signal = 1, number

        with handling(ask):
            super().run(epochs, **options)

    def resume(self, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """As `Trainer.resume`. Raises InputError unless all ranks resume at the same step."""
        super().resume(numbers, arrays)
        if len(set(self.comm.allgather(self.step))) > 1:
            raise InputError("the ranks read different checkpoints: all must read the same file")

    def _check(self, order: Array) -> np.ndarray:
        losses = super()._check(order)
        if to_numpy(self._stop)[0]:
            raise KeyboardInterrupt(self._signal)
        return losses

    def _first_bad(self, acts: Any) -> str | None:
        found = self.comm.allgather(None if acts is None else first_bad(acts))
        return next(filter(None, found), None) or super()._first_bad(None)

    def _epoch(self, progress: Any, timer: Any) -> Record:
        record: Record = self.comm.bcast(super()._epoch(progress, timer))
        if len(set(self.comm.allgather(data_hash(self.model.params_.array)))) > 1:
            raise InputError(
                f"after epoch {self.epoch + 1} the ranks hold different parameters: all must run "
                "the same versions on the same kind of processor"
            )
        return record
