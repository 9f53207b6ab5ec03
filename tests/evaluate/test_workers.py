"""The bound of rows that are shared among processes is that of one process, to the last bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE, SemiSupervisedVAE, startup
from scratchvae.errors import InputError
from scratchvae.evaluate import evaluate, workers
from scratchvae.models import bounds


@pytest.fixture
def started(monkeypatch):
    """The processes that are started while the test runs."""
    children, start = [], workers._start

    def noted(*question):
        children.append(start(*question))
        return children[-1]

    monkeypatch.setattr(workers, "_start", noted)
    yield children
    assert not any(process.is_alive() for process, _ in children)


@pytest.mark.parametrize("n", [2, 3, "auto"])
def test_as_one_process(started, monkeypatch, rng, n):
    monkeypatch.setattr(startup, "usable_cores", lambda: 2)
    X = rng.random((300, 12))
    for model in (VAE(3, (8,)).build(12), SemiSupervisedVAE(2, (6,)).build(12, 3)):
        rows = model.check(X)
        found = workers.bounds_of_rows(model, rows, 5, 1, n)
        np.testing.assert_array_equal(found, bounds.of_rows(model.view(), rows, 5, 1))
    assert len(started) == 2 * (3 if n == 3 else 2)


def test_evaluate_gives_the_same_numbers(started, rng):
    model, X = VAE(3, (8,)).build(12), rng.random((200, 12))
    assert evaluate(model, X, k=4, workers=2) == evaluate(model, X, k=4)
    assert len(started) == 2


def test_no_process_more_than_there_are_blocks(started, rng):
    model, X = VAE(3, (8,)).build(12), rng.random((300, 12))
    evaluate(model, X[:128], k=2, workers=4)
    evaluate(model, X, k=2, workers=1)
    assert started == []
    evaluate(model, X, k=2, workers=50)
    assert len(started) == 3


def test_what_they_inherit(monkeypatch):
    """Threads of the BLAS where the environment names none, and a blocked SIGINT."""
    for name in startup.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    before, mask = dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with workers._environment(3):
        added = dict.fromkeys(startup.VARIABLES, "3") | {"MKL_NUM_THREADS": "7"}
        assert os.environ == before | added
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert os.environ == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_far_rows_and_broken_parameters(started, rng):
    """No warning of an overflow, and the sentence of one process."""
    model = VAE(3, (8,), likelihood="gaussian").build(12)
    X = rng.random((200, 12))
    X[150] = 1e30
    assert workers.bounds_of_rows(model, X, 2, 0, 2)[150] == -np.inf
    model.params_.out_b[0] = np.nan
    with pytest.raises(InputError, match="a parameter of the model is NaN or infinite"):
        workers.bounds_of_rows(model, X, 2, 0, 2)


def test_a_worker_that_dies(started, monkeypatch, rng):
    answer = workers._answer

    def after_a_death(pipe):
        started[1][0].kill()
        return answer(pipe)

    monkeypatch.setattr(workers, "_answer", after_a_death)
    with pytest.raises(InputError, match="a worker ended before its rows were evaluated"):
        workers.bounds_of_rows(VAE(3, (8,)).build(12), rng.random((300, 12)), 999, 0, 2)


@pytest.mark.parametrize("number", [0, 1.5, True, "many"])
def test_a_number_that_is_none(rng, number):
    with pytest.raises(InputError, match="workers must be"):
        evaluate(VAE(3, (8,)).build(12), rng.random((9, 12)), k=2, workers=number)


def test_an_interrupt_ends_all(started, monkeypatch, rng):
    def interrupted(child):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.bounds_of_rows(VAE(3, (8,)).build(12), rng.random((300, 12)), 10**9, 0, 2)
    assert len(started) == 2


class Own(VAE):
    pass


def test_models_that_workers_do_not_know(rng):
    with pytest.raises(InputError, match="workers know only scratchvae's models, not Own"):
        evaluate(Own(3, (8,)).build(12), rng.random((9, 12)), k=2, workers=2)


def test_on_a_gpu(double):
    model = VAE(3, (8,), device="cuda").build(12)
    with pytest.raises(InputError, match="workers are for the CPU"):
        evaluate(model, np.zeros((9, 12)), k=2, workers=2)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_takes_its_workers_with_it(tmp_path, rng, number):
    VAE(3, (8,)).build(12).save(tmp_path / "m.npz")
    np.save(tmp_path / "X.npy", rng.random((300, 12)))
    command = subprocess.Popen(
        [*(sys.executable, "-m", "scratchvae", "evaluate", "m.npz", "--data", "X.npy"),
         *("--samples", "1000000000", "--workers", "2")],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    own = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    while len(pids := own.read_text().split()) < 3:  # one keeps track of resources
        time.sleep(0.01)
    command.send_signal(number)
    out, err = command.communicate()
    assert command.returncode == (130 if number == signal.SIGINT else -number)
    if number != signal.SIGKILL:  # which may hit while they start
        assert (out, err.strip()) == ("", "")
    for _ in range(6000):
        if not any(_runs(pid) for pid in pids):
            return
        time.sleep(0.01)
    pytest.fail("a worker goes on without the command")


def _runs(pid):
    """Whether there is such a process, and it is no zombie that waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_all_have_started(number):
    reached = []

    def start():
        with workers._environment(1):
            signal.raise_signal(number)
            reached.append("the end")

    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        signal.signal(number, before)
    assert reached == ["the end"]
