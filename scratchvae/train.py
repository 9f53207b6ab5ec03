"""The training loop: what happens in which order, and what is kept when something goes wrong.

Shuffling is keyed by (seed, epoch) and noise by (seed, step), so the state of a run is its
parameters, the optimiser's moments and how far it has come. A copy of that is taken every CHECK
steps, when the losses are looked at: the loop goes back to it when a loss is not finite, to find
the tensor that went wrong first, and after Ctrl-C, which may have come in the middle of an update.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from math import isfinite, isnan, nan
from typing import Any

import numpy as np

from . import noise
from .backend import Array, to_numpy
from .data.batches import binarized, to_float
from .errors import InputError, NonFiniteError, finite_number, whole_number
from .evaluate import check_binarize, losses, prepare
from .graph import Graphs
from .models.base import CHUNK, Model
from .nonfinite import first_bad
from .optim import Adam, Dials, ramp
from .progress import GREEN, Progress, tinted

CHECK = 50  # steps between two looks at the losses: each look waits for the device
COLUMNS = ("epoch", "step", "train_loss", "test_loss", "rec", "kl", "active_units", "seconds")

Record = dict[str, float]
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
    cuda_graphs   on a GPU, replay each step as one CUDA graph instead of launching its kernels
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
        cuda_graphs: bool = True,
    ) -> None:
        self.model = model
        self.batch_size = whole_number(batch_size, "batch_size")
        self.lr = lr if callable(lr) else finite_number(lr, "lr", above=0)
        self.kl_warmup = finite_number(kl_warmup, "kl_warmup")
        self.kl_cycle = finite_number(kl_cycle, "kl_cycle")
        if kl_warmup and kl_cycle:
            raise InputError("kl_warmup and kl_cycle exclude each other: choose one")
        if self.scheduled and not model.scheduled:
            name = type(model).__name__
            raise InputError(f"{name} has no KL term to schedule: leave kl_warmup, kl_cycle out")
        self.binarize = binarize
        self.xp = model._ws.xp
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
        # over the epoch so far: sums of rec, kl and loss; and 1 while all parameters are finite
        self.sums = self.xp.zeros(4, dtype="float64")
        self._totals = [self.sums[i : i + 1] for i in range(3)]
        self.seconds = 0.0  # of the epoch so far
        self.steps_per_epoch = -(-len(X) // self.batch_size)
        self._before = len(model.history_)  # epochs that the model had learned before this run
        self._kept = [a.copy() for a in self.arrays()]
        self._kept_step: int | None = self.step
        plain = type(self).take_step is Trainer.take_step  # that is what a graph repeats
        self._graphs = Graphs.of(self) if cuda_graphs and plain and self.xp is not np else None

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
        return len(self.model.history_) - self._before

    def arrays(self) -> tuple[Array, ...]:
        """What a step changes, in place."""
        return self.model.params_.array, self.adam.m, self.adam.v, self.sums

    def keep(self) -> None:
        """Take a copy of the state, for `go_back`."""
        self._kept_step = None  # half a copy is none
        for copy, a in zip(self._kept, self.arrays(), strict=True):
            copy[...] = a
        self._kept_step = self.step

    def go_back(self) -> None:
        """Return to the copy that `keep` took; stay, if `keep` was interrupted."""
        if self._kept_step is not None:
            for copy, a in zip(self._kept, self.arrays(), strict=True):
                a[...] = copy
            self.adam.t = self._kept_step

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a checkpoint keeps of a run besides the model: numbers, and arrays by name."""
        numbers = {"step": self.step, "seconds": self.seconds, "rows": len(self.X)}
        return numbers, {"adam_m": self.adam.m, "adam_v": self.adam.v, "sums": self.sums}

    def resume(self, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; the model has its parameters and its history already."""
        if numbers.get("rows") != len(self.X):
            raise InputError(
                f"the run was trained on {numbers.get('rows')} examples, but the data now hold "
                f"{len(self.X)}: resume with the same data"
            )
        for name, live in self.state()[1].items():
            if name not in arrays or arrays[name].shape != live.shape:
                raise InputError(
                    f"the checkpoint holds no usable {name}: the run cannot be resumed"
                )
            live[...] = self.xp.asarray(arrays[name])
        self._before = 0
        self.adam.t, self.seconds = int(numbers["step"]), float(numbers["seconds"])
        self.keep()

    # -------------------------------------------------------------------------------- the run

    def run(
        self, epochs: int, *, verbose: bool = False, callbacks: Callback | Iterable[Callback] = ()
    ) -> None:
        """Train until `epochs` epochs are complete, counted from fresh parameters.

        After each epoch its record (a dict of COLUMNS) is appended to `model.history_`, and each
        callback is called with (trainer, record); the run ends when one returns True. On
        KeyboardInterrupt the state is as it was at most CHECK steps ago.
        """
        epochs = whole_number(epochs, "epochs")
        calls = [callbacks] if callable(callbacks) else list(callbacks)
        total = epochs * self.steps_per_epoch
        try:
            # overflow is looked for at each check, and named; NumPy need not warn too
            with (
                np.errstate(over="ignore", invalid="ignore"),
                Progress(total, self.step, verbose) as progress,
            ):
                while self.epoch < epochs:
                    record = self._epoch(progress)
                    self.model.history_.append(record)
                    progress.line(self._line(record, epochs))
                    if any([call(self, record) is True for call in calls]):
                        break
        except KeyboardInterrupt:
            self.go_back()
            raise

    def _epoch(self, progress: Progress) -> Record:
        model, total = self.model, self.steps_per_epoch
        done = self.step - self.epoch * total
        if done == 0:
            self.sums[...] = 0
            self.seconds = 0.0
        start = time.perf_counter() - self.seconds
        order = noise.permutation(len(self.X), seed=model.seed, epoch=self.epoch, xp=self.xp)
        if self._graphs:
            self._graphs.begin_epoch(order)
        for i in range(done, total):
            if self._graphs:
                self._graphs.take_step(i)
            else:
                self.take_step(order[i * self.batch_size : (i + 1) * self.batch_size])
            if (i + 1) % CHECK == 0 or i + 1 == total:
                losses_so_far = self._check(order)
                self.seconds = time.perf_counter() - start
                seen = min((i + 1) * self.batch_size, len(self.X))
                progress.show(self.step, self._now(losses_so_far / seen, seen))
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

    def take_step(self, rows: Array) -> tuple[Any, Any]:
        """One update from these rows of the data; returns the activations and the gradients."""
        dials = self.dials(self.step)
        acts = self.forward(rows, dials)
        self.add_up(acts)
        self.backward(acts, dials)
        self.update(dials)
        self.adam.t += 1
        return acts, self.model._grads

    def dials(self, step: int) -> Dials:
        """The numbers of the step after so many."""
        now = step / self.steps_per_epoch  # epochs, fractions counted
        lr = self.lr(now) if callable(self.lr) else self.lr
        return Dials(step, ramp(now, self.kl_warmup, self.kl_cycle), *self.adam.rates(lr, step + 1))

    def forward(self, rows: Array, dials: Dials, first: int = 0) -> Any:
        """The activations of these rows, which stand in the batch from `first` on."""
        model, B = self.model, len(rows)
        key = {"seed": model.seed, "step": dials.step, "row": first}
        x = to_float(self.X[rows], model._ws("x", B, self.X.shape[1]))
        if self.binarize == "dynamic":
            binarized(x[:, : model.n_features_], stream=noise.BINARIZE, **key)
        return model._forward(x, model._draw(B, stream=noise.TRAIN, **key))

    def backward(self, acts: Any, dials: Dials) -> None:
        """Writes the gradients of the batch."""
        self.model._backward(self.model._grads, acts, dials.ramp)

    def add_up(self, acts: Any) -> None:
        """Adds the losses of a batch to the sums of the epoch."""
        for total, values in zip(self._totals, self._losses(acts), strict=True):
            total += self.xp.sum(values, dtype="float64")

    def _losses(self, acts: Any) -> tuple[Array, Array, Array]:
        return acts.rec, acts.kl, self.model._loss(acts)

    def update(self, dials: Dials) -> None:
        """Adam's, from the gradients of the batch."""
        p, g = self.model.params_.array, self.model._grads.array
        self.adam.update(p, g, dials.rate, dials.floor)

    # ------------------------------------------------------------------------- what it says

    def _now(self, means: np.ndarray, seen: int) -> str:
        """The epoch so far: means of rec, kl, loss; the active units are those of the last one."""
        rec, kl, loss = means
        parts = [f"epoch {self.epoch + 1}", f"loss {loss:.1f}", f"rec {rec:.1f}", f"kl {kl:.1f}"]
        if self.epoch and not isnan(active := self.model.history_[-1]["active_units"]):
            parts.append(f"active {active:.0f}")
        return "  ".join([*parts, self._speed(seen)])

    def _speed(self, seen: int) -> str:
        return f"{seen / max(self.seconds, 1e-9):.0f} images/s"

    def _line(self, record: Record, epochs: int) -> str:
        """A whole epoch: losses of the split; a test loss that is the best so far is green."""
        parts = [f"epoch {record['epoch']:3.0f}/{epochs}", f"train {record['train_loss']:8.2f}"]
        if not isnan(record["test_loss"]):
            test = f"test {record['test_loss']:8.2f}"
            best = min(r["test_loss"] for r in self.model.history_[self._before :])
            parts.append(tinted(test, GREEN) if record["test_loss"] == best else test)
            parts.append(f"active {record['active_units']:3.0f}")
        parts += [f"rec {record['rec']:8.2f}", f"kl {record['kl']:6.2f}"]
        return "  ".join([*parts, f"{record['seconds']:6.1f} s", self._speed(len(self.X))])

    # ------------------------------------------------------------------- when it goes wrong

    def _check(self, order: Array) -> np.ndarray:
        """The sums of rec, kl, loss, on the host; NonFiniteError for bad ones or parameters."""
        self.sums[-1] = self.xp.isfinite(self.model.params_.array).all()
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
        return first_bad(acts, self.model._grads, self.model.params_)

    def _first_bad_in(self, X: Array) -> str:
        model = self.model
        for row in range(len(X)):
            x = to_float(X[row : row + 1], model._ws("x", 1, self.X.shape[1]))
            eps = model._draw(1, seed=model.seed, stream=noise.TEST, step=0, row=row)
            if name := first_bad(model._forward(x, eps)):
                return f"{name} of example {row}, in the evaluation,"
        return "the mean of the losses in the evaluation"

    def _error(self, step: int, name: str) -> NonFiniteError:
        return NonFiniteError(
            f"epoch {self.epoch + 1}, step {step}: {name} is the first tensor that holds a NaN or "
            "an infinity; the model keeps its parameters from before: try a smaller lr, and look "
            "at the scale of the data and at beta"
        )


class EarlyStopping:
    """A callback that ends the run when the test loss has not improved for `patience` epochs."""

    def __init__(self, patience: int) -> None:
        self.patience = whole_number(patience, "patience")

    def __call__(self, trainer: Trainer, record: Record) -> bool:
        if isnan(record["test_loss"]):
            raise InputError("early stopping needs a test split to look at: pass X_test")
        series = [r["test_loss"] for r in trainer.model.history_]
        return len(series) - 1 - int(np.argmin(series)) >= self.patience
