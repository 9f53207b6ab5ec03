"""Loads the results of PyTorch that golden/make_golden.py stored."""

from collections import defaultdict
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "golden"
PLAIN = FOLDER / "plain.safetensors"  # weights that PyTorch wrote
CASES = {
    "blog": {"latent_dim": 3, "hidden": (7,)},
    "deep": {"latent_dim": 4, "hidden": (9, 5), "activation": "tanh", "beta": 2.5},
    "linear": {"latent_dim": 2, "hidden": ()},
    "soft": {"latent_dim": 2, "hidden": (6, 4, 5), "activation": "softplus"},
    "gaussian": {"latent_dim": 3, "hidden": (6,), "likelihood": "gaussian"},
}


def golden(case):
    """x, eps and losses as arrays; weight, gradient and after as dicts by PyTorch's names."""
    parts = defaultdict(dict)
    with np.load(FOLDER / "steps.npz", allow_pickle=False) as content:
        for path, a in content.items():
            name, part, *key = path.split("/")
            if name == case:
                parts[part] = a if not key else parts[part] | {key[0]: a}
    return parts
