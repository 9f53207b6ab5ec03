"""The training loop; rolls back to the last good state after a NaN or Ctrl-C.

Every CHECK steps the losses are checked and a snapshot of the state is taken. It is restored when a
loss is not finite, to find the first tensor that is not, and after Ctrl-C, which may interrupt an
update. Read `Trainer.take_step`, the training step, after `models/vae.py`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, nullcontext
from functools import cache, partial
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Array, noise, to_numpy
from ..data.batches import binarized, to_float
from ..errors import NonFiniteError, whole_number
from ..files.run_folder import COLUMNS
from . import nonfinite
from .callbacks import CheckpointTimer, RunFile, is_best
from .measure import CHUNK, check_binarize, losses, prepare
from .optim import Adam, StepNumbers, adam_settings, check_schedule, check_training, clip, ramp
from .progress import Progress, of_epoch, so_far, speed
from .protocol import Record, TrainableModel
from .snapshot import Snapshot, data_hash, load_arrays, resumed_step

CHECK = 50  # steps between two checks of the losses: each waits for the device

Callback = Callable[["Trainer", Record], Any]


class Trainer:
    """A training run: a built model, its data on its device, an optimiser, and the progress.

    X, X_test     (N,D), as `fit` takes them; X_test may be None
    y, y_test     (N,), their labels, for models with labels
    batch_size    examples per step; the last mini-batch of an epoch may be smaller
    lr            Adam's step size: a number, or a function of the fractional epoch, which may be
                  called for all steps of an epoch before the first one
    adam          other settings of `optim.Adam`: beta1, beta2, eps, v0
    kl_warmup     epochs over which the weight of the KL term (or the capacity) ramps up from 0
    kl_cycle      instead, epochs after which the ramp restarts; it reaches 1 halfway
    binarize      "none"; "static": binarise grey pixels once; "dynamic": sample them at each step
    clip_norm     upper bound of the norm of each step's gradient, which is scaled down to it
    cuda_graphs   on a GPU, replay each step as one CUDA graph instead of launching its kernels
    detect_anomaly  check the output of every op, and stop at the first NaN or infinity: slow
    checkpoint_file  a .npz file for the state of the run; if it exists, the run resumes from it

    `sums` holds rec, kl and loss, summed over the epoch so far, and 1 if all parameters are finite.
    """

    processes = 1  # that share each step

    def __init__(
        self,
        model: TrainableModel,
        X: Any,
        X_test: Any = None,
        *,
        y: Any = None,
        y_test: Any = None,
        batch_size: int = 128,
        lr: float | Callable[[float], float] = 1e-3,
        adam: Mapping[str, float] | None = None,
        kl_warmup: float = 0,
        kl_cycle: float = 0,
        binarize: str = "none",
        clip_norm: float | None = None,
        cuda_graphs: bool = True,
        detect_anomaly: bool = False,
        checkpoint_file: str | Path | None = None,
    ) -> None:
        self.model = model
        self.batch_size, self.lr, self.clip_norm = batch_size, lr, clip_norm
        self.kl_warmup, self.kl_cycle = kl_warmup, kl_cycle
        check_training(self)
        check_schedule(model, self.scheduled)
        self.detect_anomaly = detect_anomaly
        self.binarize = binarize
        self.xp = model.xp
        check_binarize(model, binarize)
        once = "static" if binarize == "static" else "none"
        self.X = self.prepared(partial(prepare, model, X, y, once))
        test = partial(prepare, model, X_test, y_test, binarize)
        self.X_test = None if X_test is None else self.prepared(test)
        self.adam = Adam(model.params_.array, **adam_settings(lr, adam))
        self._noise = noise.Ahead()
        self.sums = self.xp.zeros(4, dtype="float64")
        self._totals = [self.sums[i : i + 1] for i in range(3)]
        self.steps_per_epoch = -(-len(self.X) // self.batch_size)
        self._earlier_epochs = len(model.history_)  # trained before this run
        self.snapshot = Snapshot(self.arrays(), self.step)
        self._data_hash = cache(partial(data_hash, self.X, self.X_test))
        self._test_hash = cache(partial(data_hash, self.X_test))
        self.seconds, self._timed = 0.0, 0  # of the epoch so far, and the rows trained in them
        plain = type(self).take_step is Trainer.take_step  # the step that a graph replays
        self._graphs = None
        if cuda_graphs and plain and not detect_anomaly and self.xp is not np:
            from .cuda_graph import graphs_of  # lazily: only a GPU needs it

            self._graphs = graphs_of(self)
        self._files = [RunFile(checkpoint_file, self)] if checkpoint_file else []

    @property
    def scheduled(self) -> bool:
        """Whether the weight of the KL changes from step to step."""
        return bool(self.kl_warmup or self.kl_cycle)

    @property
    def step(self) -> int:
        """Steps since the parameters were initialised."""
        return self.adam.t

    @property
    def epoch(self) -> int:
        """Epochs completed in this run."""
        return len(self.model.history_) - self._earlier_epochs

    def prepared(self, make: Callable[[], np.ndarray]) -> Array:
        """The rows returned by make(), on the device."""
        return self.xp.asarray(make())

    # -------------------------------------------------------------------------------- the run

    def run(
        self,
        epochs: int,
        *,
        verbose: bool = False,
        callbacks: Callback | Iterable[Callback] = (),
        checkpoint: Callable[["Trainer"], Any] | None = None,
        checkpoint_every: int | str = "10m",
    ) -> None:
        """Train until `epochs` epochs are complete, counted from the initialisation.

        After each epoch its record (a dict of COLUMNS) is appended to `model.history_`, and each
        callback is called with (trainer, record); the run ends if one returns True. Within an
        epoch, `checkpoint` is called with the trainer every `checkpoint_every` steps or interval
        ("90s", "10m", "1h"; tested every CHECK steps), if all numbers are finite. KeyboardInterrupt
        rolls back the state, by at most CHECK steps.
        """
        epochs = whole_number(epochs, "epochs")
        calls: list[Callback] = [callbacks] if callable(callbacks) else list(callbacks)
        calls += self._files
        timer = CheckpointTimer(checkpoint_every, checkpoint or next(iter(self._files), None))
        done = len(self.model.history_)
        if self.snapshot.step is None:  # the previous run was interrupted during a snapshot
            self.take_snapshot()
        try:
            # the checks report overflow, so NumPy need not warn
            with (
                np.errstate(over="ignore", invalid="ignore"),
                nonfinite.detect_anomaly() if self.detect_anomaly else nullcontext(),
                closing(Progress(epochs * self.steps_per_epoch, self.step, verbose)) as progress,
            ):
                while self.epoch < epochs:
                    record = self._epoch(progress, timer)
                    self.model.history_.append(record)
                    stop = any([call(self, record) is True for call in calls])
                    done += 1
                    best = is_best(record, self.model.history_[self._earlier_epochs :])
                    progress.line(of_epoch(record, epochs, self._speed, best))
                    if stop:
                        break
                    timer.restart()
        except KeyboardInterrupt:
            # an epoch is complete only after all its callbacks
            del self.model.history_[done:]
            self.restore_snapshot()
            raise
        except nonfinite.OpError as error:
            del self.model.history_[done:]
            step = min(self.step + 1, (self.epoch + 1) * self.steps_per_epoch)
            raise self._stopped(step, str(error)) from None

    def _epoch(self, progress: Progress, timer: CheckpointTimer) -> Record:
        model, total = self.model, self.steps_per_epoch
        done = self.step - self.epoch * total
        if done == 0:
            self.sums[...] = 0
            self.seconds, self._timed = 0.0, 0
        start = time.perf_counter() - self.seconds
        progress.pace.start(done * self.batch_size, self.seconds)
        untimed = done * self.batch_size - self._timed  # trained by an earlier process
        order = noise.permutation(len(self.X), seed=model.seed, epoch=self.epoch, xp=self.xp)
        if self._graphs:
            self._graphs.begin_epoch(order)
        for i in range(done, total):
            if self._graphs:
                self._graphs.take_step(i)
            else:
                self.take_step(order[i * self.batch_size : (i + 1) * self.batch_size])
            check = self.detect_anomaly or (i + 1) % CHECK == 0 or i + 1 == total
            save = self._must_save(timer, check)
            if check or save:
                losses_so_far = self._check(order)
                self.seconds = time.perf_counter() - start
                if save and i + 1 < total:
                    timer.write(self)
                seen = min((i + 1) * self.batch_size, len(self.X))
                self._timed = seen - untimed
                if self.xp is np:
                    progress.watch(seen, self.seconds, time.perf_counter() - start)
                history = model.history_[self._earlier_epochs :]
                progress.show(self.step, so_far(losses_so_far / seen, history, self._speed))
        rec, kl, loss, _ = (to_numpy(self.sums) / len(self.X)).tolist()
        known = {"epoch": self.epoch + 1, "step": self.step, "train_loss": loss}
        record = dict.fromkeys(COLUMNS, nan) | known | {"rec": rec, "kl": kl}
        X = self.X[:CHUNK] if self.X_test is None else self.X_test
        measured = self.measure(X)  # without a test split, only to check the last update
        if not isfinite(measured["loss"]):
            raise self._stopped(self.step, nonfinite.first_bad_example(self.model, X))
        self.take_snapshot()
        if self.X_test is not None:
            record |= {name: measured[name] for name in ("rec", "kl", "active_units")}
            record["test_loss"] = measured["loss"]
        return record | {"seconds": time.perf_counter() - start}

    def _must_save(self, timer: CheckpointTimer, check: bool) -> bool:
        """Whether a checkpoint is due; time intervals are tested only when losses are checked."""
        return timer.due_by_step(self.step) or (check and timer.due_by_time())

    def measure(self, X: Array) -> dict[str, Any]:
        """The losses of prepared rows (N,D), nats, and the active units: see `measure.losses`."""
        return losses(self.model, X)

    @property
    def _speed(self) -> str:
        """Images or rows of a table per second, without evaluation."""
        return speed(self._timed, self.seconds, self.model.rows_)

    def take_step(self, rows: Array) -> tuple[Any, Any]:
        """One training step on these rows of the data. Returns the activations and gradients."""
        numbers = self.step_numbers(self.step)
        acts = self.forward(rows, numbers)
        self.add_losses(acts)
        self.model.backward(self.model.gradients, acts, numbers.ramp)
        self.update(numbers)
        self.adam.t += 1
        return acts, self.model.gradients

    def step_numbers(self, step: int) -> StepNumbers:
        """The numbers of the KL schedule and of Adam for the step after `step` steps."""
        now = step / self.steps_per_epoch  # in epochs
        lr = self.lr(now) if callable(self.lr) else self.lr
        weight = ramp(now, self.kl_warmup, self.kl_cycle)
        return StepNumbers(step, weight, *self.adam.rates(lr, step + 1))

    def forward(self, rows: Array, numbers: StepNumbers, first: int = 0) -> Any:
        """The activations of these rows, which start at row `first` of the mini-batch."""
        model, B = self.model, len(rows)
        key = {"seed": model.seed, "step": numbers.step, "row": first}
        x = to_float(self.X[rows], model.workspace("x", B, self.X.shape[1]))
        if self.binarize == "dynamic":
            binarized(x[:, : model.n_features_], stream=noise.BINARIZE, **key)
        eps = model.draw_noise(B, draw=self._noise.normal, stream=noise.TRAIN, **key)
        return model.forward(x, eps)

    def add_losses(self, acts: Any) -> None:
        """Add the losses of a mini-batch to the sums of the epoch."""
        for total, value in zip(self._totals, self.losses_of(acts), strict=True):
            total += value

    def losses_of(self, acts: Any) -> list[Array]:
        """rec, kl and loss of a mini-batch, each summed over its examples."""
        terms = acts.rec, acts.kl, self.model.example_losses(acts)
        return [self.xp.sum(values, dtype="float64") for values in terms]

    def update(self, numbers: StepNumbers) -> None:
        """Clip the gradients if required, and update the parameters with Adam."""
        p, g = self.model.params_.array, self.model.gradients.array
        if self.clip_norm is not None:
            clip(g, self.clip_norm)
        self.adam.update(p, g, numbers.rate, numbers.floor)

    # ------------------------------------------------------------------------------- its state

    def arrays(self) -> tuple[Array, ...]:
        """The arrays that a step changes in place."""
        return self.model.params_.array, self.adam.m, self.adam.v, self.sums

    def take_snapshot(self) -> None:
        """Copy the state, for `restore_snapshot`."""
        self.snapshot.take(self.arrays(), self.step)

    def restore_snapshot(self) -> None:
        """Restore the snapshot, unless taking it was interrupted: then keep the state."""
        try:
            if self.snapshot.step is not None:
                self.snapshot.restore(self.arrays())
                self.adam.t = self.snapshot.step
        except KeyboardInterrupt:  # a partly restored state must not be used
            self.restore_snapshot()

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The state of a run for a checkpoint, besides the model: numbers, and named arrays."""
        hashes = {"data": self._data_hash(), "test_data": self._test_hash()}
        own = {"rows": len(self.X), "earlier": self._earlier_epochs}
        numbers = {"step": self.step, **own, **hashes}
        return numbers, {"adam_m": self.adam.m, "adam_v": self.adam.v, "sums": self.sums}

    def resume(self, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Continue from a saved `state`; the model already has its parameters and history.

        Raises InputError if the checkpoint is from other data or inconsistent.
        """
        own = len(self.X), self._data_hash(), len(self.model.history_), self.steps_per_epoch
        step, earlier = resumed_step(numbers, *own)
        load_arrays(self.state()[1], arrays)
        self.adam.t, self._earlier_epochs = step, earlier
        self.take_snapshot()

    def _check(self, order: Array) -> np.ndarray:
        """The sums of rec, kl, loss, on the host. Raises NonFiniteError at a NaN or infinity."""
        self.sums[-1] = self._finite()
        *sums, finite = to_numpy(self.sums)
        if np.isfinite(sums).all() and finite:
            if self.step % self.steps_per_epoch:  # at the end of an epoch, after the evaluation
                self.take_snapshot()
            return np.array(sums)
        raise self._stopped(*nonfinite.first_bad_step(self, order))

    def _finite(self) -> Any:
        """Whether all parameters and moments are finite, on the device."""
        p, m, v = (self.xp.isfinite(a).all() for a in self.arrays()[:3])
        return p & m & v

    def first_bad(self, acts: Any) -> str | None:
        """The first non-finite tensor of the last step; acts are its activations."""
        moments = {"m": self.adam.m, "v": self.adam.v}
        return nonfinite.first_bad(acts, self.model.gradients, self.model.params_, moments)

    def _stopped(self, step: int, what: str) -> NonFiniteError:
        """Restore the snapshot, and return the error that ends the run at this step."""
        self.restore_snapshot()
        return NonFiniteError(f"epoch {self.epoch + 1}, step {step}: {what}; {nonfinite.ADVICE}")
