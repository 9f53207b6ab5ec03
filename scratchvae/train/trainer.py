"""The training loop; rolls back to the last good state after a NaN or Ctrl-C.

A snapshot of the state is taken every CHECK steps, when the losses are looked at. It is restored
when a loss is not finite, to find the tensor that went wrong first, and after Ctrl-C, which may
interrupt an update. `Trainer.take_step` is the step: read it after `models/vae.py`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import cache, partial
from math import isfinite, nan
from typing import Any

import numpy as np

from ..backend import Array, noise, to_numpy
from ..data.batches import binarized, to_float
from ..errors import InputError, NonFiniteError, finite_number, whole_number
from ..files.run_folder import COLUMNS
from . import nonfinite
from .callbacks import CheckpointTimer, is_best
from .measure import CHUNK, check_binarize, losses, prepare
from .optim import Adam, StepNumbers, clip, ramp
from .progress import Progress, of_epoch, so_far
from .protocol import Record, TrainableModel
from .snapshot import Snapshot, data_hash, load_arrays, resumed_step

CHECK = 50  # steps between two looks at the losses: each look waits for the device

Callback = Callable[["Trainer", Record], Any]


class Trainer:
    """A run: a built model, its data on its device, an optimiser, and how far it has come.

    X, X_test     (N,D), as `fit` takes them; X_test may be None
    y, y_test     (N,), their labels, for models with labels
    batch_size    examples a step; the last batch of an epoch may be smaller
    lr            Adam's step size: a number, or a function of the epoch (fractions counted), which
                  may be asked for the steps of an epoch before it begins
    adam          other settings of `optim.Adam`: beta1, beta2, eps, v0
    kl_warmup     epochs over which the weight of the KL term (or the capacity) grows from 0
    kl_cycle      instead, it grows over the first half of each so many epochs
    binarize      "none"; "static": grey pixels made binary once; "dynamic": drawn anew each step
    clip_norm     scale the gradient of a step down to this norm, where its own is larger
    cuda_graphs   on a GPU, replay each step as one CUDA graph instead of launching its kernels
    detect_anomaly
                  look at what every op returns, and stop at the first NaN or infinity: slow, and
                  says more than what the loop finds by itself

    Its `sums` are rec, kl and loss over the epoch so far, and 1 while all parameters are finite.
    """

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
    ) -> None:
        self.model = model
        self.batch_size = whole_number(batch_size, "batch_size")
        self.lr = lr if callable(lr) else finite_number(lr, "lr", above=0)
        self.kl_warmup = finite_number(kl_warmup, "kl_warmup")
        self.kl_cycle = finite_number(kl_cycle, "kl_cycle")
        self.clip_norm = clip_norm
        if clip_norm is not None:
            self.clip_norm = finite_number(clip_norm, "clip_norm", above=0)
        self.detect_anomaly = detect_anomaly
        if kl_warmup and kl_cycle:
            raise InputError("kl_warmup and kl_cycle exclude each other: choose one")
        if self.scheduled and not model.scheduled:
            name = type(model).__name__
            raise InputError(f"{name} has no KL term to schedule: leave kl_warmup, kl_cycle out")
        self.binarize = binarize
        self.xp = model.xp
        check_binarize(model, binarize)
        X = prepare(model, X, y, "static" if binarize == "static" else "none", step=0)
        self.X = self.xp.asarray(X)
        self.X_test = None
        if X_test is not None:
            self.X_test = self.xp.asarray(prepare(model, X_test, y_test, binarize, step=1))
        if adam and "lr" in adam:
            raise InputError("the step size is the argument lr, not one of Adam's other settings")
        settings = {} if callable(self.lr) else {"lr": self.lr}
        self.adam = Adam(model.params_.array, **settings, **(adam or {}))
        self.sums = self.xp.zeros(4, dtype="float64")
        self._totals = [self.sums[i : i + 1] for i in range(3)]
        self.steps_per_epoch = -(-len(self.X) // self.batch_size)
        self._earlier_epochs = len(model.history_)  # that the model had learned before this run
        self.snapshot = Snapshot(self.arrays(), self.step)
        self._data_hash = cache(partial(data_hash, self.X, self.X_test))
        self.seconds, self._timed = 0.0, 0  # of the epoch so far, and the images that they took
        plain = type(self).take_step is Trainer.take_step  # that is what a graph repeats
        self._graphs = None
        if cuda_graphs and plain and not detect_anomaly and self.xp is not np:
            from .cuda_graph import Graphs  # on use: only a GPU needs it

            self._graphs = Graphs.of(self)

    @property
    def scheduled(self) -> bool:
        """Whether the weight of the KL changes from step to step."""
        return bool(self.kl_warmup or self.kl_cycle)

    @property
    def step(self) -> int:
        """Steps taken since the parameters were fresh."""
        return self.adam.t

    @property
    def epoch(self) -> int:
        """Epochs completed, of this run."""
        return len(self.model.history_) - self._earlier_epochs

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
        """Train until `epochs` epochs are complete, counted from fresh parameters.

        After each epoch its record (a dict of COLUMNS) is appended to `model.history_`, and each
        callback is called with (trainer, record); the run ends when one returns True. Within an
        epoch `checkpoint` is called with the trainer, after so many steps or so much time
        ("90s", "10m", "1h"; looked at every CHECK steps), when all numbers are sound. On
        KeyboardInterrupt the state is as it was at most CHECK steps ago.
        """
        epochs = whole_number(epochs, "epochs")
        calls = [callbacks] if callable(callbacks) else list(callbacks)
        total = epochs * self.steps_per_epoch
        timer = CheckpointTimer(checkpoint_every, checkpoint)
        done = len(self.model.history_)
        if self.snapshot.step is None:  # the run before was interrupted while it took one
            self.take_snapshot()
        try:
            # overflow is looked for at each check, and named; NumPy need not warn too
            with (
                np.errstate(over="ignore", invalid="ignore"),
                nonfinite.detect_anomaly() if self.detect_anomaly else nullcontext(),
                Progress(total, self.step, verbose) as progress,
            ):
                while self.epoch < epochs:
                    record = self._epoch(progress, timer)
                    self.model.history_.append(record)
                    enough = any([call(self, record) is True for call in calls])
                    done += 1
                    best = is_best(record, self.model.history_[self._earlier_epochs :])
                    progress.line(of_epoch(record, epochs, self._speed, best))
                    if enough:
                        break
                    timer.restart()
        except KeyboardInterrupt:
            # an epoch whose callbacks were not all called has not ended
            del self.model.history_[done:]
            self.restore_snapshot()
            raise
        except nonfinite.OpError as error:
            del self.model.history_[done:]
            step = min(self.step + 1, (self.epoch + 1) * self.steps_per_epoch)
            self.restore_snapshot()
            raise nonfinite.stopped_at(self.epoch + 1, step, str(error)) from None

    def _epoch(self, progress: Progress, timer: CheckpointTimer) -> Record:
        model, total = self.model, self.steps_per_epoch
        done = self.step - self.epoch * total
        if done == 0:
            self.sums[...] = 0
            self.seconds, self._timed = 0.0, 0
        start = time.perf_counter() - self.seconds
        untimed = done * self.batch_size - self._timed  # by a process before this one
        order = noise.permutation(len(self.X), seed=model.seed, epoch=self.epoch, xp=self.xp)
        if self._graphs:
            self._graphs.begin_epoch(order)
        for i in range(done, total):
            if self._graphs:
                self._graphs.take_step(i)
            else:
                self.take_step(order[i * self.batch_size : (i + 1) * self.batch_size])
            look = self.detect_anomaly or (i + 1) % CHECK == 0 or i + 1 == total
            save = timer.due_by_step(self.step) or (look and timer.due_by_time())
            if look or save:
                losses_so_far = self._check(order)
                self.seconds = time.perf_counter() - start
                if save and i + 1 < total:
                    timer.write(self)
                seen = min((i + 1) * self.batch_size, len(self.X))
                self._timed = seen - untimed
                history = model.history_[self._earlier_epochs :]
                progress.show(self.step, so_far(losses_so_far / seen, history, self._speed))
        rec, kl, loss, _ = to_numpy(self.sums) / len(self.X)
        record = dict.fromkeys(COLUMNS, nan) | {"epoch": self.epoch + 1, "step": self.step}
        record |= {"train_loss": float(loss), "rec": float(rec), "kl": float(kl)}
        X = self.X[:CHUNK] if self.X_test is None else self.X_test
        measured = losses(model, X)  # without a test split, to see that the last step did no harm
        if not isfinite(measured["loss"]):
            error = self._error(self.step, nonfinite.first_bad_example(self.model, X))
            self.restore_snapshot()
            raise error
        self.take_snapshot()
        if self.X_test is not None:
            record |= {name: measured[name] for name in ("rec", "kl", "active_units")}
            record["test_loss"] = measured["loss"]
        return record | {"seconds": time.perf_counter() - start}

    @property
    def _speed(self) -> float:
        """Images a second, evaluation not counted."""
        return self._timed / max(self.seconds, 1e-9)

    def take_step(self, rows: Array) -> tuple[Any, Any]:
        """One update from these rows of the data; returns the activations and the gradients."""
        numbers = self.step_numbers(self.step)
        acts = self.forward(rows, numbers)
        self.add_losses(acts)
        self.backward(acts, numbers)
        self.update(numbers)
        self.adam.t += 1
        return acts, self.model.gradients

    def step_numbers(self, step: int) -> StepNumbers:
        """What the schedules and Adam say of the step that follows `step` steps."""
        now = step / self.steps_per_epoch  # epochs, fractions counted
        lr = self.lr(now) if callable(self.lr) else self.lr
        weight = ramp(now, self.kl_warmup, self.kl_cycle)
        return StepNumbers(step, weight, *self.adam.rates(lr, step + 1))

    def forward(self, rows: Array, numbers: StepNumbers, first: int = 0) -> Any:
        """The activations of these rows, which stand in the batch from `first` on."""
        model, B = self.model, len(rows)
        key = {"seed": model.seed, "step": numbers.step, "row": first}
        x = to_float(self.X[rows], model.workspace("x", B, self.X.shape[1]))
        if self.binarize == "dynamic":
            binarized(x[:, : model.n_features_], stream=noise.BINARIZE, **key)
        return model.forward(x, model.draw_noise(B, stream=noise.TRAIN, **key))

    def backward(self, acts: Any, numbers: StepNumbers) -> None:
        """Writes the gradients of the batch."""
        self.model.backward(self.model.gradients, acts, numbers.ramp)

    def add_losses(self, acts: Any) -> None:
        """Add the losses of a batch to the sums of the epoch."""
        for total, values in zip(self._totals, self._losses(acts), strict=True):
            total += self.xp.sum(values, dtype="float64")

    def _losses(self, acts: Any) -> tuple[Array, Array, Array]:
        return acts.rec, acts.kl, self.model.example_losses(acts)

    def update(self, numbers: StepNumbers) -> None:
        """Adam's, from the gradients of the batch."""
        p, g = self.model.params_.array, self.model.gradients.array
        if self.clip_norm is not None:
            clip(g, self.clip_norm)
        self.adam.update(p, g, numbers.rate, numbers.floor)

    # ------------------------------------------------------------------------------- its state

    def arrays(self) -> tuple[Array, ...]:
        """What a step changes, in place."""
        return self.model.params_.array, self.adam.m, self.adam.v, self.sums

    def take_snapshot(self) -> None:
        """Copy the state, for `restore_snapshot`."""
        self.snapshot.take(self.arrays(), self.step)

    def restore_snapshot(self) -> None:
        """Return to the snapshot; keep the state as it is, where taking one was interrupted."""
        try:
            if self.snapshot.step is not None:
                self.snapshot.restore(self.arrays())
                self.adam.t = self.snapshot.step
        except KeyboardInterrupt:  # a partly restored state must not be used
            self.restore_snapshot()

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a checkpoint holds of a run besides the model: numbers, and arrays by name."""
        numbers = {"step": self.step, "rows": len(self.X), "data": self._data_hash()}
        return numbers, {"adam_m": self.adam.m, "adam_v": self.adam.v, "sums": self.sums}

    def resume(self, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Continue from what `state` gave; the model has its parameters and its history already.

        Raises InputError where the checkpoint is of other data, or contradicts itself.
        """
        epochs = len(self.model.history_)
        step = resumed_step(numbers, len(self.X), self._data_hash(), epochs, self.steps_per_epoch)
        load_arrays(self.state()[1], arrays)
        self._earlier_epochs = 0
        self.adam.t = step
        self.take_snapshot()

    # ------------------------------------------------------------------- when it goes wrong

    def _check(self, order: Array) -> np.ndarray:
        """The sums of rec, kl, loss, on the host; NonFiniteError for a bad number anywhere."""
        finite = [self.xp.isfinite(a).all() for a in self.arrays()[:3]]
        self.sums[-1] = finite[0] & finite[1] & finite[2]
        *sums, finite = to_numpy(self.sums)
        if np.isfinite(sums).all() and finite:
            if self.step % self.steps_per_epoch:  # at an epoch's end, the evaluation comes first
                self.take_snapshot()
            return np.array(sums)
        last = self.step
        self.restore_snapshot()
        while self.step < last:
            self.take_snapshot()
            i = self.step - self.epoch * self.steps_per_epoch
            acts, _ = self.take_step(order[i * self.batch_size : (i + 1) * self.batch_size])
            if name := self._first_bad(acts):
                step = self.step
                self.restore_snapshot()
                raise self._error(step, name)
        name = "a loss, though not when the last steps are repeated, so this device"
        raise self._error(last, name)

    def _first_bad(self, acts: Any) -> str | None:
        moments = {"m": self.adam.m, "v": self.adam.v}
        return nonfinite.first_bad(acts, self.model.gradients, self.model.params_, moments)

    def _error(self, step: int, name: str) -> NonFiniteError:
        what = f"{name} is the first tensor that holds a NaN or an infinity"
        return nonfinite.stopped_at(self.epoch + 1, step, what)
