"""A fitted model may be read by any number of threads: each gets the bytes that one thread gets."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from support.shared_model import THREADS, calls, fitted, in_threads, raw

from scratchvae import VAE, load_data
from scratchvae.models import MODELS

ROUNDS = 6


@contextmanager
def read_meanwhile(read: Callable[[], Any]) -> Iterator[None]:
    """Call `read` in another thread again and again; raises what it raises."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            read()

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(run)
        try:
            yield
        finally:
            stop.set()
        reader.result()


@pytest.mark.parametrize("kind", MODELS)
def test_threads_get_the_bytes_of_one_thread(kind: str) -> None:
    model = fitted(kind)
    for name, call in calls(model).items():
        alone = [raw(call(i)) for i in range(THREADS)]
        together = in_threads(lambda i, call=call: [raw(call(i)) for _ in range(ROUNDS)])
        wrong = sum(result != alone[i] for i in range(THREADS) for result in together[i])
        assert not wrong, f"{name}: {wrong} of {THREADS * ROUNDS} results differ"


@pytest.mark.parametrize("kind", MODELS)
def test_reading_a_model_during_fit_changes_nothing_that_it_learns(kind: str) -> None:
    X, y = load_data("strokes")
    alone, model = fitted(kind), fitted(kind)
    found = calls(model)
    alone.fit(X[:300], y[:300], epochs=3)
    with read_meanwhile(lambda: [call(0) for call in found.values()]):
        model.fit(X[:300], y[:300], epochs=3)
    assert model.params_.array.tobytes() == alone.params_.array.tobytes()


def test_calls_leave_no_buffers_behind() -> None:
    model = fitted("vae")
    X, _ = load_data("strokes", split="test")
    before = {name: id(a) for name, a in model.workspace.buffers.items()}
    in_threads(lambda i: model.score_samples(np.tile(X, (2, 1))))
    assert {name: id(a) for name, a in model.workspace.buffers.items()} == before


def test_the_first_call_of_a_model_without_parameters_builds_it_at_once() -> None:
    X, _ = load_data("strokes")
    eps = np.random.default_rng(0).standard_normal((30, 4))

    def fresh() -> VAE:
        return VAE(latent_dim=4, hidden=(32,), seed=1)

    alone = raw(fresh().loss_and_grad(X[:30], eps))
    for _ in range(20):
        model = fresh()
        found = in_threads(lambda i, model=model: raw(model.loss_and_grad(X[:30], eps)))
        assert all(result == alone for result in found)
