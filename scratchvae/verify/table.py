"""What `scratchvae verify` does: every op and every model, its gradients and what they mean."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import noise
from ..backend.registry import OPS
from ..data.labels import UNLABELLED
from ..gradcheck import Report, check_model, check_op
from ..gradcheck.report import GOOD, Finding, Leaf, coloured
from ..models import IWAE, VAE, Autoencoder, ConditionalVAE, Labelled, Model, SemiSupervisedVAE

ROWS, FEATURES = 4, 9

MODELS: dict[str, tuple[type[Model], dict[str, Any]]] = {
    "vae": (VAE, {"latent_dim": 3, "hidden": (7,)}),
    "vae, gaussian": (VAE, {"latent_dim": 3, "hidden": (7,), "likelihood": "gaussian"}),
    "vae, deep, tanh, beta 4": (
        VAE,
        {"latent_dim": 2, "hidden": (7, 5), "activation": "tanh", "beta": 4.0},
    ),
    "vae, layers of one width": (VAE, {"latent_dim": 6, "hidden": (6, 6, 6)}),
    "vae, softplus": (VAE, {"latent_dim": 3, "hidden": (6,), "activation": "softplus"}),
    "vae, linear, gaussian": (VAE, {"latent_dim": 3, "hidden": (), "likelihood": "gaussian"}),
    "vae, continuous bernoulli": (
        VAE,
        {"latent_dim": 3, "hidden": (7,), "likelihood": "continuous_bernoulli"},
    ),
    "vae, gaussian of variance 0.3": (
        VAE,
        {"latent_dim": 3, "hidden": (7,), "likelihood": "gaussian", "x_variance": 0.3},
    ),
    "vae, free bits": (VAE, {"latent_dim": 3, "hidden": (7,), "free_bits": 0.1}),
    "vae, capacity": (VAE, {"latent_dim": 3, "hidden": (7,), "capacity": 2.0, "beta": 5.0}),
    "iwae": (IWAE, {"latent_dim": 3, "hidden": (7,), "k": 5}),
    "iwae, gaussian, deep, tanh, k 2": (
        IWAE,
        {"latent_dim": 2, "hidden": (7, 5), "activation": "tanh", "likelihood": "gaussian", "k": 2},
    ),
    "iwae, objective vae": (IWAE, {"latent_dim": 3, "hidden": (7,), "k": 4, "objective": "vae"}),
    "iwae, dreg": (IWAE, {"latent_dim": 3, "hidden": (7,), "k": 5, "dreg": True}),
    "cvae": (ConditionalVAE, {"latent_dim": 3, "hidden": (7,)}),
    "cvae, linear, gaussian": (
        ConditionalVAE,
        {"latent_dim": 3, "hidden": (), "likelihood": "gaussian"},
    ),
    "m2": (SemiSupervisedVAE, {"latent_dim": 3, "hidden": (7,), "alpha": 2.0}),
    "m2, deep, softplus, gaussian": (
        SemiSupervisedVAE,
        {
            "latent_dim": 2,
            "hidden": (7, 5),
            "activation": "softplus",
            "likelihood": "gaussian",
            "alpha": 0.5,
        },
    ),
    "ae": (Autoencoder, {"latent_dim": 3, "hidden": (7,)}),
    "ae, gaussian, tanh": (
        Autoencoder,
        {"latent_dim": 3, "hidden": (7,), "activation": "tanh", "likelihood": "gaussian"},
    ),
}


def subject(name: str, seed: int = 0) -> tuple[Model, Any, Any, Any]:
    """A fresh model of that name; data, noise, and perhaps labels, for one batch."""
    cls, config = MODELS[name]
    model, y = cls(**config, dtype="float64", seed=seed), None
    if isinstance(model, Labelled):
        model.build(FEATURES, 3)
        y = np.array([2, 0, 1, 2] if model.needs_labels else [2, UNLABELLED, 0, UNLABELLED])
    else:
        model.build(FEATURES)
    key = {"seed": seed, "stream": noise.SAMPLE}
    x = noise.uniform(ROWS, FEATURES, **key, dtype="float64")
    return model, x, noise.normal(ROWS, model.noise_width, **key, dtype="float64"), y


def reports(seed: int = 0) -> Iterator[tuple[str, Report]]:
    """Each op, then each model."""
    for name in OPS:
        yield name, check_op(name, seed=seed)
    for name in MODELS:
        yield name, check_model(*subject(name, seed), seed=seed)


def show(seed: int = 0, seen: list[tuple[str, Report]] | None = None) -> int:
    """Print one table of all that is checked; 1 if anything failed, else 0.

    The reports are appended to `seen`.
    """
    print("ops, models and their meaning, in float64: the error that was found, and the smallest")
    print("that would have failed; of a gradient relative to its size, of a bound or KL in nats\n")
    print(f"{'':44} {'error':>8} {'seen from':>10}")
    worst, failed, count = 0.0, [], 0
    for name, report in reports(seed):
        count += 1
        if seen is not None:
            seen.append((name, report))
        worst = max([worst, *(leaf.error for leaf in report.leaves)])
        if name in OPS:
            gradients = ", ".join(f"d{leaf.name}" for leaf in report.leaves)
            print(_row(f"{name:22} {gradients}", report))
        else:
            print(f"\n{name}")
            for leaf in report.leaves:
                print(_row(f"  d{leaf.name}", leaf))
            for finding in report.findings:
                print(_row(f"  {finding.name}", finding))
        if report.verdict not in GOOD:
            print(f"\n{report}\n")
            failed.append(f"{report.verdict} {name}")
    passed = f"{count - len(failed)} of {count} ops and models passed"
    print(f"\n{passed}; the worst gradient is off by {worst:.1e} of its size")
    for line in failed:
        print(line)
    return 1 if failed else 0


def _row(text: str, found: Report | Leaf | Finding) -> str:
    numbers = f"{found.error:8.1e} {found.resolution:10.1e}"
    return f"{text:44} {numbers}  {coloured(found.verdict)}"
