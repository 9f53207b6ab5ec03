"""One hint a run, where training falls below half of its best speed; no clock here is real."""

from types import SimpleNamespace

import numpy as np
import pytest

from scratchvae import VAE
from scratchvae.train import Trainer, callbacks, trainer
from scratchvae.train.progress import Pace

BATCH, ROWS = 4, 1600  # 400 steps an epoch, so 8 checks of 50 steps
QUIET, BUSY = 0.02, 0.05  # seconds of a step: windows of 1 and of 2.5 seconds


class Clock:
    """Time passes only in steps, and where a test lets it pass."""

    def __init__(self, seconds):
        self.now, self.steps = 0.0, 0
        self.seconds = seconds  # of a step, by its number

    def perf_counter(self):
        return self.now

    monotonic = perf_counter

    def step(self):
        self.now += self.seconds(self.steps)
        self.steps += 1


@pytest.fixture(autouse=True)
def threads_are_not_set(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)


@pytest.fixture
def hints(monkeypatch, capsys):
    """hints(seconds of step i, ...): what a run of some epochs says on stderr."""

    def run(seconds, *, epochs=2, verbose=True, evaluation=0.0, rows=ROWS, **options):
        clock = Clock(seconds)
        monkeypatch.setattr(trainer, "time", clock)
        monkeypatch.setattr(callbacks, "time", clock)

        class Fake(Trainer):
            def take_step(self, rows):
                clock.step()
                self.adam.t += 1

        def evaluated(*arguments):
            clock.now += evaluation
            return {"loss": 0.0}

        def written(of):
            clock.now += 60

        monkeypatch.setattr(trainer, "losses", evaluated)
        X = np.random.default_rng(0).integers(0, 256, (rows, 3), dtype=np.uint8)
        run = Fake(VAE(latent_dim=1, hidden=(1,)).build(3), X, batch_size=BATCH)
        run.run(epochs, verbose=verbose, checkpoint=written, **options)
        return capsys.readouterr().err

    return run


def busy_from(first, last=10**9):
    return lambda i: BUSY if first <= i < last else QUIET


def test_one_hint_a_run_says_what_to_do(hints):
    err = hints(busy_from(200), epochs=5)
    assert err.count("\n") == 1
    assert err.startswith("scratchvae: warning: training runs at less than half its best speed")
    assert "other programs use the cores" in err
    assert "--threads 1, or OPENBLAS_NUM_THREADS=1 in the environment" in err
    assert hints(busy_from(200), epochs=5) == err, "the next run has its own"


def test_with_one_thread_there_is_only_to_wait(hints, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    err = hints(busy_from(200))
    assert err.endswith("use the cores: it speeds up when they end\n")
    assert "OPENBLAS" not in err


def test_a_quiet_run_gets_no_hint(hints):
    assert hints(busy_from(200), verbose=False) == ""


@pytest.mark.parametrize(
    ("seconds", "options"),
    [
        (busy_from(0), {}),
        (lambda i: QUIET if i >= 150 else BUSY, {}),
        (lambda i: 0.9 * 2 * QUIET if i >= 100 else QUIET, {"epochs": 4}),
        (busy_from(200, 300), {}),
        (lambda i: BUSY if i // 50 % 2 else QUIET, {"epochs": 9}),
        (lambda i: 8 * 3600.0 if i == 220 else QUIET, {}),
        (lambda i: QUIET, {"evaluation": 60.0, "epochs": 9}),
        (lambda i: QUIET, {"evaluation": 60.0, "epochs": 90, "rows": 100}),
        (lambda i: QUIET, {"checkpoint_every": 70, "epochs": 4}),
        (lambda i: QUIET, {"checkpoint_every": "1s", "epochs": 4}),
    ],
    ids=[
        *("slow from the start", "slow first checks", "above half", "less than 5 seconds"),
        *("now and then", "sleep", "evaluation", "evaluation of short epochs"),
        *("checkpoints by step", "checkpoints by time"),
    ],
)
def test_this_is_no_slowness(hints, seconds, options):
    assert hints(seconds, **options) == ""


def test_epochs_of_a_few_steps_are_measured_together(hints):
    assert "best speed" in hints(busy_from(300), epochs=120, rows=18)
    assert "best speed" in hints(busy_from(300), epochs=30, rows=100, evaluation=60.0)


def test_one_fast_step_sets_no_best_speed():
    """Checks at each step, as with detect_anomaly: a single step is too short to be measured."""
    pace, now = Pace(), 0.0
    pace.start(0, now)
    for i in range(5000):
        now += 0.001 if i == 700 else 0.01
        assert not pace.is_slow(i + 1, now)


def test_the_bar_is_cleared_for_the_hint_and_goes_on_below():
    from scratchvae.train import progress

    calls = []
    shown = progress.Progress(100, 0, verbose=False)
    shown.verbose, shown.bar = True, SimpleNamespace(clear=lambda: calls.append("cleared"))
    for i in range(40):
        shown.watch(100 * (i + 1) if i < 9 else 900 + i, float(i + 1), float(i + 1))
    assert calls == ["cleared"]
