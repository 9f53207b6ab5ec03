"""Data-parallel training over MPI: each rank computes a part of every mini-batch.

    scratchvae train --workers 4            starts four ranks on this machine
    mpiexec -n 4 scratchvae train --mpi     starts four ranks on any machines

Noise, binary pixels and the order of the data are keyed by row, so any number of ranks gives the
same result up to rounding. The gradients of the parts, weighted by their sizes, are added. Each
rank receives a slice of that sum, updates this slice of the parameters with its slice of Adam's
moments, and sends it to all others. (This shares the work, but not the memory, as stage 1 of ZeRO
does: Rajbhandari et al., arXiv:1910.02054.) The parameters are equal on all ranks to the last bit.
`ranks.py` has how the ranks read the data, start and end together.
"""

import os
from collections.abc import Callable, Mapping
from itertools import pairwise
from math import hypot
from typing import Any, cast

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..backend.memory import CACHE_LINE, Flat, empty
from ..errors import InputError, NonFiniteError
from . import nonfinite
from .callbacks import CheckpointTimer
from .measure import summary, sums_of_losses
from .optim import norm
from .protocol import ChargesMeanKL, Record, TrainableModel
from .ranks import Ranks
from .signals import handling
from .trainer import Trainer


def part(n: int, rank: int, size: int) -> slice:
    """The rows of this rank out of n: consecutive parts, whose sizes differ by at most one."""
    return slice(rank * n // size, (rank + 1) * n // size)


class Slices:
    """Each rank's slice of the vector of all parameters, and their exchange by messages.

    own    the slice of this rank
    On a GPU the messages go through the host, unless MPI reads the device.
    """

    def __init__(self, comm: Any, vector: Array) -> None:
        self.comm, xp = comm, array_module(vector)
        line = CACHE_LINE // vector.itemsize
        lines = -(-vector.size // line)
        ends = [part(lines, rank, comm.size).stop * line for rank in range(comm.size)]
        ends = np.minimum([0, *ends], vector.size).tolist()
        self.own = slice(*ends[comm.rank : comm.rank + 2])
        self._sizes = [stop - start for start, stop in pairwise(ends)]
        self._sum = empty(xp, (self._sizes[comm.rank],), vector.dtype)
        self._sync: Callable[[], Any] = lambda: None
        self._staged: list[np.ndarray] | None = None
        if xp is not np and os.environ.get("SCRATCHVAE_CUDA_AWARE_MPI"):
            self._sync = xp.cuda.get_current_stream().synchronize
        elif xp is not np:  # pinned memory: faster transfers to and from the device
            self._staged = [
                np.frombuffer(xp.cuda.alloc_pinned_memory(a.nbytes), a.dtype, a.size)
                for a in (vector, self._sum)
            ]

    def add(self, vector: Array, factor: float) -> Array:
        """This rank's slice of the sum of all ranks' vectors, times a factor."""
        self._sync()
        if self._staged is None:
            self.comm.Reduce_scatter(vector, self._sum, self._sizes)
        else:
            whole, own = self._staged
            vector.get(out=whole)
            self.comm.Reduce_scatter(whole, own, self._sizes)
            self._sum.set(own)
        self._sum *= factor
        return self._sum

    def gather(self, vector: Array) -> None:
        """Replace all slices of the vector by those of their ranks."""
        from mpi4py import MPI

        self._sync()
        whole = vector
        if self._staged is not None:
            whole = self._staged[0]
            vector.get(out=whole)
        self.comm.Allgatherv(MPI.IN_PLACE, [whole, self._sizes])
        if self._staged is not None:
            vector.set(whole)

    def publish(self, parameters: Array) -> None:
        """Send each rank's updated slice of the parameters to all others."""
        self.gather(parameters)


class SharedSlices(Slices):
    """The same for the ranks of one machine, which share the memory of parameters and gradients.

    `add` is called when all ranks have written their gradients.
    """

    def __init__(self, ranks: Ranks, parameters: Flat, gradients: Flat) -> None:
        super().__init__(ranks.comm, parameters.array)
        n, size = parameters.array.size, self.comm.size
        line = CACHE_LINE // parameters.array.itemsize
        memory = ranks.memory((size + 1, -(-n // line) * line), parameters.array.dtype)[:, :n]
        parameters.move_to(memory[size])
        gradients.move_to(memory[self.comm.rank])
        self._parts = [gradient[self.own] for gradient in memory[:size]]

    def add(self, vector: Array, factor: float) -> "Sum":
        return Sum(self._parts, factor, self._sum)

    def publish(self, parameters: Array) -> None:
        self.comm.Barrier()


class Sum:
    """The sum of arrays, times a factor: computed a slice at a time, where Adam reads it.

    A slice is valid until the next one: both begin in the same memory, which stays in the cache.
    """

    def __init__(self, arrays: list[Array], factor: float, memory: Array) -> None:
        self.arrays, self.factor, self.memory = arrays, factor, memory

    def __getitem__(self, piece: slice) -> Array:
        first, second, *others = (a[piece] for a in self.arrays)
        total = np.add(first, second, out=self.memory[: len(first)])
        for a in others:
            total += a
        total *= self.factor
        return total


class ParallelTrainer(Trainer):
    """A `Trainer` that splits each mini-batch over the ranks, which pass the same arguments.

    Adam's moments are current only in the rank's own slice; `_gather_moments` completes them for
    a checkpoint. Raises InputError for detect_anomaly and checkpoint_file.
    """

    def __init__(self, ranks: Ranks, model: TrainableModel, *data: Any, **settings: Any) -> None:
        if settings.get("detect_anomaly"):
            raise InputError(
                "detect_anomaly would stop one rank and not the others: use one process"
            )
        if settings.get("checkpoint_file"):
            raise InputError(
                "checkpoint_file is for one process: with several, use the command train"
            )
        self.ranks, self.comm, self.processes = ranks, ranks.comm, ranks.comm.size
        super().__init__(model, *data, **settings)
        ranks.agree()
        if not ranks.share_memory and len(set(self.comm.allgather(self._data_hash()))) > 1:
            ranks.agree("the ranks read different data: give all the same files")
        ranks.begun = True
        self._take_from_rank_0()
        if self.xp is np and ranks.share_memory:
            self._slices: Slices = SharedSlices(ranks, model.params_, model.gradients)
        else:
            self._slices = Slices(self.comm, model.params_.array)
        self._signal = 0  # the number of one that this rank has received
        self._stop = 0  # that of one of the ranks, by which all stop
        self.take_snapshot()

    def _take_from_rank_0(self) -> None:
        for a in self.arrays():
            host = to_numpy(a)
            self.comm.Bcast(host)
            a[...] = self.xp.asarray(host)

    def prepared(self, make: Callable[[], np.ndarray]) -> Array:
        return super().prepared(lambda: self.ranks.shared(make))

    def take_step(self, rows: Array) -> tuple[Any, Any]:
        B, model = len(rows), self.model
        p, g = model.params_.array, model.gradients.array
        own = part(B, self.comm.rank, self.comm.size)
        share, even = (own.stop - own.start) / B, B % self.comm.size == 0
        numbers, acts, message = self.step_numbers(self.step), None, np.zeros(4)
        if share:
            acts = self.forward(rows[own], numbers, own.start)
        mean_kl = self._mean_kl(acts, share)
        if share:
            model.backward(model.gradients, acts, numbers.ramp, **mean_kl)
            message[:3] = [to_numpy(total) for total in self.losses_of(acts)]
        if not even:
            g *= share  # weights the mean over a part by its size; 0 without examples
        message[3] = self._signal
        messages = self._of_all(message)
        gradient = self._slices.add(g, share if even else 1.0)
        if self.clip_norm is not None:
            gradient = gradient[:]
            norms = self._of_all(np.array([to_numpy(norm(gradient))], dtype=float))
            gradient *= self.clip_norm / max(hypot(*norms[:, 0]), self.clip_norm)
        mine = self._slices.own
        self.adam.update(p[mine], gradient, numbers.rate, numbers.floor, mine)
        self._slices.publish(p)
        self.adam.t += 1
        self.sums[:3] += self.xp.asarray(messages[:, :3].sum(axis=0))
        self._stop = self._stop or int(messages[:, 3].max())
        return acts, model.gradients

    def _of_all(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers (n,) of each rank: (ranks, n), on all ranks."""
        found = np.empty((self.comm.size, len(numbers)))
        self.comm.Allgather(numbers, found)
        return found

    def _mean_kl(self, acts: Any, share: float) -> dict[str, Array]:
        """The argument mean_kl of `ChargesMeanKL.backward`, if it is needed."""
        model = cast(ChargesMeanKL, self.model)
        if not getattr(model, "free_bits", 0) and getattr(model, "capacity", None) is None:
            return {}
        own = np.zeros(model.latent_dim)
        if share:
            own += share * to_numpy(model.mean_kl(acts))
        mean = self._of_all(own).sum(axis=0)
        return {"mean_kl": self.xp.asarray(mean.astype(model.dtype))}

    def measure(self, X: Array) -> dict[str, Any]:
        """Like `Trainer.measure`; each rank computes a part of the rows."""
        own = part(len(X), self.comm.rank, self.comm.size)
        sums = self._of_all(sums_of_losses(self.model, X[own])).sum(axis=0)
        return summary(sums, self.model.latent_dim, len(X))

    def run(self, epochs: int, **options: Any) -> None:
        """Like `Trainer.run`; after Ctrl-C or SIGTERM all ranks stop at the same step."""

        def ask(number: int, frame: Any) -> None:
            self._signal = number

        with handling(ask):
            try:
                super().run(epochs, **options)
                # of a signal after the last step
                self._stop = int(self._of_all(np.array([self._signal], dtype=float)).max())
                self._stop_if_asked()
            except KeyboardInterrupt:
                self._gather_moments()
                raise

    def _stop_if_asked(self) -> None:
        if self._stop:
            raise KeyboardInterrupt(self._stop)

    def resume(self, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Like `Trainer.resume`, from the checkpoint of rank 0.

        Raises InputError on all ranks if one of them refuses its own, or they differ.
        """
        error = None
        try:
            super().resume(numbers, arrays)
        except InputError as refused:
            error = str(refused)
        self.ranks.agree(error)
        if len(set(self.comm.allgather(self.step))) > 1:
            self.ranks.agree("the ranks read different checkpoints: all must read the same file")
        self._take_from_rank_0()
        self.take_snapshot()

    def _gather_moments(self) -> None:
        for moments in (self.adam.m, self.adam.v):
            self._slices.gather(moments)

    def _must_save(self, timer: CheckpointTimer, check: bool) -> bool:
        """Like in `Trainer`; rank 0 decides when it is time, and its moments are completed."""
        due = super()._must_save(timer, check)
        if check:
            due = self.comm.bcast(due)
        if due:
            self._gather_moments()
        return due

    def _finite(self) -> Any:
        return bool(self._of_all(np.array([to_numpy(super()._finite())], dtype=float)).all())

    def _check(self, order: Array) -> np.ndarray:
        losses = super()._check(order)
        self._stop_if_asked()
        return losses

    def first_bad(self, acts: Any) -> str | None:
        found = None if acts is None else nonfinite.first_bad(acts)
        # first of all ranks' activations, then of what is computed from them
        names = zip(*self.comm.allgather((found, super().first_bad(None))), strict=True)
        return next((name for of_ranks in names for name in of_ranks if name), None)

    def _stopped(self, step: int, what: str) -> NonFiniteError:
        self.comm.Barrier()  # before shared parameters are restored, no rank reads them any more
        return super()._stopped(step, what)

    def _epoch(self, progress: Any, timer: CheckpointTimer) -> Record:
        record: Record = self.comm.bcast(super()._epoch(progress, timer))
        self._gather_moments()
        return record
