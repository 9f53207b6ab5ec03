"""What `scratchvae verify` does: every op and every model parameter against differences."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import noise
from .gradcheck import Report, check_model, check_op
from .models import VAE, Autoencoder, Model
from .registry import OPS
from .train import Trainer

STEPS = 20  # of the optimiser, between the two checks of a model
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


def reports(seed: int = 0) -> Iterator[tuple[str, Report]]:
    """Each op; each model at initialisation, and again after steps of the shipped loop."""
    for name in OPS:
        yield name, check_op(name, seed=seed)
    for name, (cls, config) in MODELS.items():
        model = cls(**config, dtype="float64", seed=seed).build(FEATURES)
        key = {"seed": seed, "stream": noise.SAMPLE}
        X = noise.uniform(5 * ROWS, FEATURES, **key, dtype="float64")
        eps = noise.normal(ROWS, model.latent_dim, **key, dtype="float64")
        yield f"{name}: at initialisation", check_model(model, X[:ROWS], eps)
        trainer = Trainer(model, X, batch_size=ROWS, lr=0.01)
        for step in range(STEPS):
            trainer.take_step(np.arange(ROWS) + step % 5 * ROWS)
        yield f"{name}: after {STEPS} steps", check_model(model, X[:ROWS], eps)
