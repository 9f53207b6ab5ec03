"""`scratchvae verify` and `verify --teeth`: what is checked, and the tables that are printed.

`show` checks every op and every model. `show_teeth` checks the checks: it switches on each bug of
`known_bugs.py`, and makes every gradient of every op wrong in every way of `gradcheck.mutants`. A
wrong gradient that passes is a hole in the checks.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import noise
from ..backend.registry import OPS
from ..data.labels import UNLABELLED
from ..gradcheck import check
from ..gradcheck.mutants import mutants
from ..gradcheck.report import GOOD, Finding, Leaf, Report, coloured, folded
from ..models import IWAE, VAE, Autoencoder, ConditionalVAE, Labelled, Model, SemiSupervisedVAE
from .known_bugs import BUGS
from .model import check_model
from .ops import check_op, draw_inputs

ROWS, FEATURES = 4, 9

SUBJECTS: dict[str, tuple[type[Model], dict[str, Any]]] = {
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
    cls, config = SUBJECTS[name]
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
    for name in SUBJECTS:
        yield name, check_model(*subject(name, seed), seed=seed)


def show(seed: int = 0, seen: list[tuple[str, Report]] | None = None) -> int:
    """Print one table of all that is checked; 1 if anything failed, else 0.

    The reports are appended to `seen`.
    """
    print("ops, models and their meaning, in float64: the error that was found, and the smallest")
    print("that would have failed; of a gradient relative to its size, of a bound or KL in nats\n")
    print(f"{'':44} {'error':>8} {'detectable':>10}")
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


def teeth(seed: int = 0) -> Iterator[tuple[str, str]]:
    """Each mutant, and what killed it: "" if nothing did."""
    for name, switch in BUGS.items():
        model, x, eps, _ = subject("vae", seed)
        with switch():
            report = check_model(model, x, eps, seed=seed)
        yield name, killers(report)
    for name, op in OPS.items():
        inputs = draw_inputs(name, seed)
        for leaf, mutant, wrong in mutants(op.forward, op.backward, inputs, name):
            report = check(op.forward, wrong, inputs, wrt=op.gradients, seed=seed, name=name)
            yield f"{name}: d{leaf} {mutant}", killers(report)


def killers(report: Report) -> str:
    """What in a report is not right: gradients, findings, and the contract."""
    leaves = [f"d{leaf.name}" for leaf in report.leaves if leaf.verdict not in GOOD]
    found = [f"gradient {', '.join(leaves)}"] if leaves else []
    found += [finding.name for finding in report.findings if finding.verdict not in GOOD]
    found += [f"contract: {text}" for text in report.violations]
    return "; ".join(found + [text for text in (report.random,) if text])


def show_teeth(seed: int = 0) -> int:
    """Print each mutant with what killed it; 1 if one survived, else 0."""
    killed = total = 0
    for name, killer in teeth(seed):
        total += 1
        killed += bool(killer)
        print(folded(f"{name:50} {killer or 'SURVIVED'}", 51))
    print(f"\nkilled {killed} of {total}")
    return 0 if killed == total else 1
