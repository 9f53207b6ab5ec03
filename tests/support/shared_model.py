"""Calls that read a fitted model, and threads that make them at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from scratchvae import load_data
from scratchvae.evaluate import evaluate
from scratchvae.models import MODELS, Labelled, Model

THREADS = 8


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
        "evaluate": lambda i: str(evaluate(model, Xs[i], ys[i] if labels(i) else None)).encode(),
        "sample": lambda i: model.sample(len(Xs[i]), seed=i),
        "sample, drawn": lambda i: model.sample(len(Xs[i]), draw=True, seed=i),
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
