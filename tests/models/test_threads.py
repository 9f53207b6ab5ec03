"""A fitted model may be read by any number of threads: each gets the bytes that one thread gets."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from scratchvae import load_data
from scratchvae.models import MODELS, Labelled, Model

THREADS = 8
ROUNDS = 12


def fitted(kind: str) -> Model:
    X, y = load_data("strokes")
    settings = {"k": 3} if kind == "iwae" else {}
    model = MODELS[kind](latent_dim=4, hidden=(32,), seed=1, **settings)
    return model.fit(X[:300], y[:300], epochs=1)


def calls(model: Model) -> dict[str, Callable[[int], Any]]:
    """Each call that reads a model, of the data of one thread."""
    X, _ = load_data("strokes", split="test")
    rng = np.random.default_rng(0)
    Xs = [X[rng.permutation(len(X))[: 40 + 9 * i]] for i in range(THREADS)]
    ys = [rng.choice(10, len(x)) for x in Xs]
    zs = [rng.standard_normal((len(x), 4)) for x in Xs]
    eps = [rng.standard_normal((len(x), model.noise_width)) for x in Xs]

    def labels(i: int) -> dict[str, Any]:
        return {"y": ys[i]} if isinstance(model, Labelled) else {}

    found: dict[str, Callable[[int], Any]] = {
        "encode": lambda i: model.encode(Xs[i], **labels(i)),
        "transform": lambda i: model.transform(Xs[i], **labels(i)),
        "decode": lambda i: model.decode(zs[i], **labels(i)),
        "inverse_transform": lambda i: model.inverse_transform(zs[i], **labels(i)),
        "reconstruct": lambda i: model.reconstruct(Xs[i], **labels(i)),
        "score_samples": lambda i: model.score_samples(Xs[i], **labels(i)),
        "sample": lambda i: model.sample(len(Xs[i]), seed=i),
        "loss_and_grad": lambda i: model.loss_and_grad(Xs[i], eps[i], **labels(i)),
    }
    if model.noisy:
        found["score_samples, k"] = lambda i: model.score_samples(Xs[i], 3, **labels(i))
    if isinstance(model, Labelled):
        del found["inverse_transform"]  # it takes no labels
    if model.kind == "m2":
        found["predict"] = lambda i: model.predict(Xs[i])
        found["predict_proba"] = lambda i: model.predict_proba(Xs[i])
    return found


def raw(result: Any) -> Any:
    """The bytes of a result, whatever its structure."""
    if isinstance(result, dict):
        return {name: raw(value) for name, value in result.items()}
    if isinstance(result, tuple):
        return [raw(value) for value in result]
    return np.asarray(result).tobytes()


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """work(0) to work(THREADS - 1) in threads that start together; raises what one raises."""
    barrier = threading.Barrier(THREADS)

    def run(i: int) -> Any:
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


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
