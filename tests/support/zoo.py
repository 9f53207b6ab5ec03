# ruff: noqa: E501 (a table of one mutant a line)
"""Layers with right gradients, and ways to make them wrong: what a checker is measured by.

python tests/support/zoo.py [SEEDS]      prints false alarms, and mutants that were killed, per precision
"""

import sys
from collections import Counter
from copy import copy

import numpy as np

from scratchvae import VAE
from scratchvae.backend import noise
from scratchvae.backend.registry import OPS
from scratchvae.gradcheck import check, draw_inputs
from scratchvae.gradcheck.pair import Pair
from scratchvae.gradcheck.suites.mutants import MUTANTS as EVERY
from scratchvae.gradcheck.suites.mutants import mutants

LAYERS = (
    *("linear", "tanh", "softplus", "relu", "bce_with_logits", "gaussian_kl", "reparameterize"),
    "elbo",
)
SCALES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # of the inputs
UPSTREAMS = (1e-6, 1.0, 1e4)  # of the upstream gradient
MUTANTS = {name: f for name, f in EVERY.items() if name not in ("x 1.0001", "NaN in one entry")}


def layer(name, seed, scale, dtype):
    """A forward, its backward and inputs."""
    if name == "elbo":
        f, f_backward, inputs = elbo(seed, scale)
    else:
        op = OPS[name]
        f, f_backward = op.forward, op.backward
        inputs = draw_inputs(name, seed)
        for key in set(inputs) - {"t", "eps"}:
            inputs[key] = inputs[key] * scale
        if "logvar" in inputs:
            inputs["logvar"] = np.clip(inputs["logvar"], -40, 40)
    inputs = {key: a.astype(dtype) for key, a in inputs.items()}
    pair = Pair(f, f_backward, inputs, name)

    def backward(dy, **kw):
        return pair.backward(dy, kw)

    return f, backward, inputs


def elbo(seed, scale):
    """The loss of a tiny VAE by its parameters; it overflows at scales above 1."""
    vae = VAE(latent_dim=2, hidden=(4,), activation="tanh", dtype="float64", seed=seed).build(5)
    x = noise.uniform(3, 5, seed=seed, stream=noise.DATA, dtype="float64")
    eps = noise.normal(3, 2, seed=seed, stream=noise.DATA, dtype="float64")

    loss_alone = copy(vae)  # of the same parameters
    loss_alone.backward = lambda *a: None

    def run(tensors, model=vae):
        for key, a in tensors.items():
            vae.params_[key][...] = a
        return model.loss_and_grad(x, eps)

    def f(**p):
        return np.asarray(run(p, loss_alone)[0], dtype=next(iter(p.values())).dtype)

    def f_backward(dy, **p):
        return {key: (float(dy) * g).astype(p[key].dtype) for key, g in run(p)[1].items()}

    return f, f_backward, {key: a * scale for key, a in vae.params_.items()}


def measure(seeds, dtype="float64", scales=SCALES, upstreams=UPSTREAMS, layers=LAYERS):
    """Counts: right gradients by verdict, mutants by what became of them; and those that survived."""
    counts, survivors = Counter(), []
    for seed in seeds:
        for name in layers:
            for scale in scales if name != "elbo" else [s for s in scales if s <= 1]:
                for upstream in upstreams:
                    _one(name, seed, scale, upstream, dtype, counts, survivors)
    return counts, survivors


def _one(name, seed, scale, upstream, dtype, counts, survivors):
    f, f_backward, inputs = layer(name, seed, scale, dtype)
    right = check(f, f_backward, inputs, seed=seed, upstream=upstream)
    for found in right.leaves:
        counts[f"right {found.verdict}"] += 1
    counts["right CONTRACT"] += bool(right.violations)
    y = f(**inputs)
    # the upstream gradient that check draws
    dy = (upstream * np.random.default_rng([seed, 1]).standard_normal(y.shape)).astype(y.dtype)
    gradients = f_backward(dy, **inputs)
    leaf = sorted(gradients)[seed % len(gradients)]
    resolution = next(found.resolution for found in right.leaves if found.name == leaf)
    for mutated, mutant, wrong in mutants(f, f_backward, inputs):
        if mutated != leaf or mutant not in MUTANTS:
            continue
        with np.errstate(all="ignore"):
            g, h = (np.asarray(b(dy, **inputs)[leaf], dtype="float64") for b in (f_backward, wrong))
        if not np.linalg.norm(h - g) > resolution * np.linalg.norm(g):
            counts["mutant below the printed resolution"] += 1
            continue
        report = check(f, wrong, inputs, wrt=[leaf], seed=seed, upstream=upstream)
        if report.verdict in ("FAIL", "CONTRACT"):
            counts["mutant killed"] += 1
        else:
            counts[f"mutant {report.verdict}"] += 1
            survivors.append((name, leaf, mutant, scale, upstream, seed, report.verdict))


if __name__ == "__main__":
    for dtype in ("float64", "float32"):
        counts, survivors = measure(range(int(sys.argv[1]) if len(sys.argv) > 1 else 12), dtype)
        print(dtype, *(f"\n  {name}: {n}" for name, n in sorted(counts.items())))
        for survivor in survivors[:20]:
            print("  survived:", *survivor)
