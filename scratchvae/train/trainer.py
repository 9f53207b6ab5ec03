"""The training loop: what happens in which order, and what is kept when something goes wrong.

How far a run has come is `state.py`. A copy of that is taken every CHECK steps, when the losses are
looked at: the loop goes back to it when a loss is not finite, to find the tensor that went wrong
first, and after Ctrl-C, which may have come in the middle of an update.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from math import isfinite, nan
from typing import Any

import numpy as np

from ..backend import Array, noise, to_numpy
from ..data.batches import binarized, to_float
from ..errors import InputError, NonFiniteError, finite_number, whole_number
from ..evaluate.evaluation import check_binarize, losses, prepare
from ..models.model import CHUNK, Model
from .callbacks import EarlyStopping as EarlyStopping
from .callbacks import Record as Record
from .callbacks import is_best
from .graph import Graphs
from .nonfinite import first_bad, stopped_at
from .optim import Adam, Dials, clip, ramp
from .progress import Progress, of_epoch, so_far
from .snapshot import Due, State
from .watch import BadOp, watching

CHECK = 50  # steps between two looks at the losses: each look waits for the device
COLUMNS = ("epoch", "step", "train_loss", "test_loss", "rec", "kl", "active_units", "seconds")

Callback = Callable[["Trainer", Record], Any]


class Trainer(State):
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
    """

    def __init__(
        self,
        model: Model,
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
        super().__init__(Adam(model.params_.array, **settings, **(adam or {})))
        self._totals = [self.sums[i : i + 1] for i in range(3)]
        self.seconds, self._timed = 0.0, 0  # of the epoch so far, and the images that they took
        plain = type(self).take_step is Trainer.take_step  # that is what a graph repeats
        graphs = cuda_graphs and plain and not detect_anomaly and self.xp is not np
        self._graphs = Graphs.of(self) if graphs else None

    @property
    def scheduled(self) -> bool:
        """Whether the weight of the KL changes from step to step."""
        return bool(self.kl_warmup or self.kl_cycle)

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
        due = Due(checkpoint_every, checkpoint)
        done = len(self.model.history_)
        if self._kept_step is None:  # it was interrupted while a copy was taken
            self.keep()
        try:
            # overflow is looked for at each check, and named; NumPy need not warn too
            with (
                np.errstate(over="ignore", invalid="ignore"),
                watching() if self.detect_anomaly else nullcontext(),
                Progress(total, self.step, verbose) as progress,
            ):
                while self.epoch < epochs:
                    record = self._epoch(progress, due)
                    self.model.history_.append(record)
                    enough = any([call(self, record) is True for call in calls])
                    done += 1
                    best = is_best(record, self.model.history_[self._before :])
                    progress.line(of_epoch(record, epochs, self._speed, best))
                    if enough:
                        break
                    due.begin()
        except KeyboardInterrupt:
            # an epoch whose callbacks were not all called has not ended
            del self.model.history_[done:]
            self.go_back()
            raise
        except BadOp as error:
            del self.model.history_[done:]
            step = min(self.step + 1, (self.epoch + 1) * self.steps_per_epoch)
            self.go_back()
            raise stopped_at(self.epoch + 1, step, str(error)) from None

    def _epoch(self, progress: Progress, due: Due) -> Record:
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
            save = due.by_step(self.step) or (look and due.by_time())
            if look or save:
                losses_so_far = self._check(order)
                self.seconds = time.perf_counter() - start
                if save and i + 1 < total:
                    due.make(self)
                seen = min((i + 1) * self.batch_size, len(self.X))
                self._timed = seen - untimed
                history = model.history_[self._before :]
                progress.show(self.step, so_far(losses_so_far / seen, history, self._speed))
        rec, kl, loss, _ = to_numpy(self.sums) / len(self.X)
        record = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "train_loss": float(loss),
            "test_loss": nan,
            "rec": float(rec),
            "kl": float(kl),
            "active_units": nan,
            "seconds": 0.0,
        }
        X = self.X[:CHUNK] if self.X_test is None else self.X_test
        measured = losses(model, X)  # without a test split, to see that the last step did no harm
        if not isfinite(measured["loss"]):
            error = self._error(self.step, self._first_bad_in(X))
            self.go_back()
            raise error
        self.keep()
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
        dials = self.dials(self.step)
        acts = self.forward(rows, dials)
        self.add_up(acts)
        self.backward(acts, dials)
        self.update(dials)
        self.adam.t += 1
        return acts, self.model.gradients

    def dials(self, step: int) -> Dials:
        """The numbers of the step after so many."""
        now = step / self.steps_per_epoch  # epochs, fractions counted
        lr = self.lr(now) if callable(self.lr) else self.lr
        return Dials(step, ramp(now, self.kl_warmup, self.kl_cycle), *self.adam.rates(lr, step + 1))

    def forward(self, rows: Array, dials: Dials, first: int = 0) -> Any:
        """The activations of these rows, which stand in the batch from `first` on."""
        model, B = self.model, len(rows)
        key = {"seed": model.seed, "step": dials.step, "row": first}
        x = to_float(self.X[rows], model.workspace("x", B, self.X.shape[1]))
        if self.binarize == "dynamic":
            binarized(x[:, : model.n_features_], stream=noise.BINARIZE, **key)
        return model.forward(x, model.draw_noise(B, stream=noise.TRAIN, **key))

    def backward(self, acts: Any, dials: Dials) -> None:
        """Writes the gradients of the batch."""
        self.model.backward(self.model.gradients, acts, dials.ramp)

    def add_up(self, acts: Any) -> None:
        """Adds the losses of a batch to the sums of the epoch."""
        for total, values in zip(self._totals, self._losses(acts), strict=True):
            total += self.xp.sum(values, dtype="float64")

    def _losses(self, acts: Any) -> tuple[Array, Array, Array]:
        return acts.rec, acts.kl, self.model.example_losses(acts)

    def update(self, dials: Dials) -> None:
        """Adam's, from the gradients of the batch."""
        p, g = self.model.params_.array, self.model.gradients.array
        if self.clip_norm is not None:
            clip(g, self.clip_norm)
        self.adam.update(p, g, dials.rate, dials.floor)

    # ------------------------------------------------------------------- when it goes wrong

    def _check(self, order: Array) -> np.ndarray:
        """The sums of rec, kl, loss, on the host; NonFiniteError for a bad number anywhere."""
        finite = [self.xp.isfinite(a).all() for a in self.arrays()[:3]]
        self.sums[-1] = finite[0] & finite[1] & finite[2]
        *sums, finite = to_numpy(self.sums)
        if np.isfinite(sums).all() and finite:
            if self.step % self.steps_per_epoch:  # at an epoch's end, the evaluation comes first
                self.keep()
            return np.array(sums)
        last = self.step
        self.go_back()
        while self.step < last:
            self.keep()
            i = self.step - self.epoch * self.steps_per_epoch
            acts, _ = self.take_step(order[i * self.batch_size : (i + 1) * self.batch_size])
            if name := self._first_bad(acts):
                step = self.step
                self.go_back()
                raise self._error(step, name)
        raise self._error(
            last, "a loss, though not when the last steps are repeated, so this device"
        )

    def _first_bad(self, acts: Any) -> str | None:
        moments = {"m": self.adam.m, "v": self.adam.v}
        return first_bad(acts, self.model.gradients, self.model.params_, moments)

    def _first_bad_in(self, X: Array) -> str:
        model = self.model
        for row in range(len(X)):
            x = to_float(X[row : row + 1], model.workspace("x", 1, self.X.shape[1]))
            eps = model.draw_noise(1, seed=model.seed, stream=noise.TEST, step=0, row=row)
            if name := first_bad(model.forward(x, eps)):
                return f"{name} of example {row}, in the evaluation,"
        return "the mean of the losses in the evaluation"

    def _error(self, step: int, name: str) -> NonFiniteError:
        return stopped_at(
            self.epoch + 1, step, f"{name} is the first tensor that holds a NaN or an infinity"
        )
