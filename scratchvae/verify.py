"""What `scratchvae verify` does: every op and every model, its gradients and what they mean."""

from collections.abc import Iterator
from typing import Any

from . import noise
from .gradcheck import Report, check_model, check_op
from .gradcheck.report import GOOD, Finding, Leaf
from .models import VAE, Autoencoder, Model
from .registry import OPS

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
    "ae": (Autoencoder, {"latent_dim": 3, "hidden": (7,)}),
    "ae, gaussian, tanh": (
        Autoencoder,
        {"latent_dim": 3, "hidden": (7,), "activation": "tanh", "likelihood": "gaussian"},
    ),
}


def subject(name: str, seed: int = 0) -> tuple[Model, Any, Any]:
    """A fresh model of that name, with data and noise for one batch."""
    cls, config = MODELS[name]
    model = cls(**config, dtype="float64", seed=seed).build(FEATURES)
    key = {"seed": seed, "stream": noise.SAMPLE}
    x = noise.uniform(ROWS, FEATURES, **key, dtype="float64")
    return model, x, noise.normal(ROWS, model.latent_dim, **key, dtype="float64")


def reports(seed: int = 0) -> Iterator[tuple[str, Report]]:
    """Each op, then each model."""
    for name in OPS:
        yield name, check_op(name, seed=seed)
    for name in MODELS:
        yield name, check_model(*subject(name, seed), seed=seed)


def show(seed: int = 0) -> int:
    """Print one table of all that is checked; 1 if anything failed, else 0."""
    print("ops, models and their meaning, in float64: the error that was found, and the smallest")
    print("that would have failed; of a gradient relative to its size, of a bound or KL in nats\n")
    print(f"{'':44} {'error':>8} {'seen from':>10}")
    worst, failed, count = 0.0, [], 0
    for name, report in reports(seed):
        count += 1
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
    print(f"\nworst error {worst:.1e}; {count - len(failed)} of {count} checks passed")
    for line in failed:
        print(line)
    return 1 if failed else 0


def _row(text: str, found: Report | Leaf | Finding) -> str:
    return f"{text:44} {found.error:8.1e} {found.resolution:10.1e}  {found.verdict}"
