"""`scratchvae verify` and `verify --teeth`: what is checked, and the tables that are printed.

`show` checks every op and every model. `show_teeth` checks the checks: it switches on each bug of
`known_bugs.py`, and applies every mutant of `mutants.py` to every gradient of every op. A wrong
gradient that passes is a hole in the checks.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import noise
from ..backend.registry import OPS
from ..data.labels import UNLABELLED
from ..gradcheck import check
from ..gradcheck.report import GOOD, Finding, Leaf, Report, coloured, folded
from ..gradcheck.suites.mutants import mutants
from ..models import IWAE, VAE, Autoencoder, ConditionalVAE, Labelled, Model, SemiSupervisedVAE
from .known_bugs import BUGS
from .model import check_model
from .ops import check_op, draw_inputs

ROWS, FEATURES = 4, 9

SMALL = {"latent_dim": 3, "hidden": (7,)}
DEEP = {"latent_dim": 2, "hidden": (7, 5)}
LINEAR = {"latent_dim": 3, "hidden": ()}
GAUSSIAN = {"likelihood": "gaussian"}

SUBJECTS: dict[str, tuple[type[Model], dict[str, Any]]] = {
    "vae": (VAE, SMALL),
    "vae, gaussian": (VAE, SMALL | GAUSSIAN),
    "vae, deep, tanh, beta 4": (VAE, DEEP | {"activation": "tanh", "beta": 4.0}),
    "vae, layers of one width": (VAE, {"latent_dim": 6, "hidden": (6, 6, 6)}),
    "vae, softplus": (VAE, {"latent_dim": 3, "hidden": (6,), "activation": "softplus"}),
    "vae, linear, gaussian": (VAE, LINEAR | GAUSSIAN),
    "vae, continuous bernoulli": (VAE, SMALL | {"likelihood": "continuous_bernoulli"}),
    "vae, gaussian of variance 0.3": (VAE, SMALL | GAUSSIAN | {"x_variance": 0.3}),
    "vae, free bits": (VAE, SMALL | {"free_bits": 0.1}),
    "vae, capacity": (VAE, SMALL | {"capacity": 2.0, "beta": 5.0}),
    "iwae": (IWAE, SMALL | {"k": 5}),
    "iwae, gaussian, deep, tanh, k 2": (IWAE, DEEP | GAUSSIAN | {"activation": "tanh", "k": 2}),
    "iwae, objective vae": (IWAE, SMALL | {"k": 4, "objective": "vae"}),
    "iwae, dreg": (IWAE, SMALL | {"k": 5, "dreg": True}),
    "cvae": (ConditionalVAE, SMALL),
    "cvae, linear, gaussian": (ConditionalVAE, LINEAR | GAUSSIAN),
    "m2": (SemiSupervisedVAE, SMALL | {"alpha": 2.0}),
    "m2, deep, softplus, gaussian": (
        SemiSupervisedVAE,
        DEEP | GAUSSIAN | {"activation": "softplus", "alpha": 0.5},
    ),
    "m2, beta 3, the two most likely classes": (SemiSupervisedVAE, SMALL | {"beta": 3.0, "top": 2}),
    "ae": (Autoencoder, SMALL),
    "ae, gaussian, tanh": (Autoencoder, SMALL | GAUSSIAN | {"activation": "tanh"}),
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


def show(seed: int, seen: list[tuple[str, Report]], verbose: bool = False) -> int:
    """Print one table of all checks; return 1 if anything failed, else 0.

    The reports are appended to `seen`, which starts empty. verbose: also a line for each gradient
    and each finding of a model, and the report of every failure, not only of ops, or the first.
    """
    print("ops, models and their meaning, in float64: error found, and smallest detectable error;")
    print("relative for gradients, in nats for a bound or a KL\n")
    print(f"{'':44} {'error':>8} {'detectable':>10}")
    failed: list[str] = []
    for name, report in reports(seed):
        seen.append((name, report))
        if name in OPS:
            gradients = ", ".join(f"d{leaf.name}" for leaf in report.leaves)
            print(_row(f"{name:22} {gradients}", report))
        else:
            counted = f"{len(report.leaves)} gradients, {len(report.findings)} other checks"
            print(f"\n{name}" if verbose else _row(f"{name:32}", report) + f"  {counted}")
            for leaf in report.leaves if verbose else ():
                print(_row(f"  d{leaf.name}", leaf))
            for finding in report.findings if verbose else ():
                print(_row(f"  {finding.name}", finding))
        if report.verdict not in GOOD:
            if verbose or name in OPS or not failed:  # what fails after an op may only use it
                print(f"\n{report}\n")
            failed.append(name)
    passed = f"{len(seen) - len(failed)} of {len(seen)} ops and models passed"
    worst = max(report.error for _, report in seen)
    print(f"\n{passed}; the largest relative error of a gradient is {worst:.1e}")
    verdicts = {name: report.verdict for name, report in seen}
    for name in failed:
        print(f"{verdicts[name]} {name}")
    ops = [name for name in failed if name in OPS]
    if ops and len(failed) > len(ops):
        print(f"fix this first: {', '.join(ops)}; the models that fail may use it")
    elif len(failed) > 1 and not verbose:
        print(f"above is the report on {failed[0]}; -v prints those of the others")
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
    """What failed in a report: gradients, findings, and the contract."""
    leaves = [f"d{leaf.name}" for leaf in report.leaves if leaf.verdict not in GOOD]
    found = [f"gradient {', '.join(leaves)}"] if leaves else []
    found += [finding.name for finding in report.findings if finding.verdict not in GOOD]
    found += [f"contract: {text}" for text in report.violations]
    return "; ".join(filter(None, [*found, report.random, report.raised]))


def show_teeth(seed: int = 0) -> int:
    """Print each mutant and what killed it; return 1 if one survived, else 0."""
    killed = total = 0
    for name, killer in teeth(seed):
        total += 1
        killed += bool(killer)
        print(folded(f"{name:50} {killer or 'SURVIVED'}", 51))
    print(f"\nkilled {killed} of {total}")
    return 0 if killed == total else 1
