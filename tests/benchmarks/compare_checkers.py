"""The zoo of wrong gradients, shown to the gradient checkers of PyTorch, JAX and SciPy.

    python -m venv .venv-checkers
    .venv-checkers/bin/pip install torch 'jax[cpu]' scipy -e .
    .venv-checkers/bin/python tests/benchmarks/compare_checkers.py [SEEDS]    (2, unless given)

Prints the versions and two Markdown tables; two seeds take about four minutes.

Each checker runs at its defaults, in float64, on the layers of tests/support/zoo.py at its scales
of inputs and upstream gradients. One input of a layer, chosen by the seed as in the zoo, is the
variable; the others are constants. Its right gradient is checked, then every mutant that changes it
by more than 1e-9 of its size (2-norms, at a normal upstream gradient). A right gradient that is
rejected is a false alarm, a mutant that passes is missed. Only `scratchvae` can say that it is
undecided.

PyTorch and JAX choose the upstream gradient themselves (slow mode: unit vectors; fast mode:
positive numbers; JAX: normal ones) and SciPy has none. To them its scale is therefore a weight of
the layer in a loss: the function is weight * f(x), and its backward passes weight * dy to the
backward under test. `scratchvae` takes the scale as an argument, which makes the gradient as large.
Weights of 1e-6 and 1e4 are hard on absolute tolerances: the fair columns to them are those at 1.

SciPy's `check_grad` wants a scalar: it gets the outputs times the normal numbers that `scratchvae`
draws too, summed. It returns the distance of two gradients, and no verdict: here it passes up to
1e-6 as it is, and in a row of its own up to 1e-6 of the size of the numeric gradient.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # three libraries in one process need not fight over threads

import platform
import sys
import warnings
from collections import Counter, namedtuple
from itertools import product
from pathlib import Path

import jax
import numpy as np
import scipy
import torch
from jax.test_util import check_grads
from scipy.optimize import approx_fprime, check_grad

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.zoo import LAYERS, MUTANTS, SCALES, UPSTREAMS, layer

import scratchvae
from scratchvae.gradcheck import check
from scratchvae.gradcheck.suites.mutants import mutants

OUTCOMES = PASSED, REJECTED, UNDECIDED = "passed", "rejected", "undecided"  # else a crash's name
VERDICTS = {"PASS": PASSED, "KINK": PASSED, "INCONCLUSIVE": UNDECIDED}  # all others: rejected
CRASHES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)

Check = namedtuple("Check", "checker mutant layer scale upstream seed outcome")


class Case(namedtuple("Case", "f backward inputs leaf upstream seed")):
    """A gradient under test: of f by the input named leaf, as backward has it."""

    def y(self, x):
        return np.asarray(self.upstream * self.f(**{**self.inputs, self.leaf: np.asarray(x)}))

    def dx(self, dy, x):
        inputs = {**self.inputs, self.leaf: np.asarray(x)}
        return np.asarray(self.backward(self.upstream * np.asarray(dy), **inputs)[self.leaf])


def by_torch(case, **mode):
    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.from_numpy(case.y(x.detach().numpy()))

        @staticmethod
        def backward(ctx, dy):
            return torch.from_numpy(case.dx(dy.numpy(), ctx.saved_tensors[0].detach().numpy()))

    x = torch.tensor(case.inputs[case.leaf], requires_grad=True)
    right = torch.autograd.gradcheck(Layer.apply, x, raise_exception=False, **mode)
    return PASSED if right else REJECTED


def by_jax(case):
    x = case.inputs[case.leaf]
    like_x, like_y = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (x, case.y(x)))

    @jax.custom_vjp
    def f(x):
        return jax.pure_callback(case.y, like_y, x)

    f.defvjp(lambda x: (f(x), x), lambda x, dy: (jax.pure_callback(case.dx, like_x, dy, x),))
    try:
        check_grads(f, (x,), order=1, modes=["rev"])
    except AssertionError:
        return REJECTED
    return PASSED


def by_scipy(case, relative):
    x = case.inputs[case.leaf]
    v = np.random.default_rng([case.seed, 1]).standard_normal(case.y(x).shape)

    def f(flat):
        return (v * case.y(flat.reshape(x.shape))).sum()

    distance = check_grad(f, lambda flat: case.dx(v, flat.reshape(x.shape)).ravel(), x.ravel())
    size = np.linalg.norm(approx_fprime(x.ravel(), f)) if relative else 1.0
    return PASSED if distance <= 1e-6 * size else REJECTED


def by_scratchvae(case):
    f, backward, inputs, leaf, upstream, seed = case
    report = check(f, backward, inputs, wrt=[leaf], seed=seed, upstream=upstream)
    return VERDICTS.get(report.verdict, REJECTED)


CHECKERS = {
    "PyTorch `gradcheck`": by_torch,
    "PyTorch `gradcheck(fast_mode=True)`": lambda case: by_torch(case, fast_mode=True),
    'JAX `check_grads(order=1, modes=["rev"])`': by_jax,
    "SciPy `check_grad` <= 1e-6": lambda case: by_scipy(case, relative=False),
    "SciPy `check_grad` <= 1e-6 relative": lambda case: by_scipy(case, relative=True),
    "scratchvae `check`": by_scratchvae,
}


def outcome(checker, case):
    try:
        return CHECKERS[checker](case)
    except CRASHES as error:
        return type(error).__name__


def cases(seed, name, scale, upstream):
    """The right gradient, named "", and the mutants."""
    f, backward, inputs = layer(name, seed, scale, "float64")
    gradients = backward(np.ones(np.shape(f(**inputs))), **inputs)
    leaf = sorted(gradients)[seed % len(gradients)]
    yield "", Case(f, backward, inputs, leaf, upstream, seed)
    for mutated, mutant, wrong in mutants(f, backward, inputs):
        if mutated == leaf and mutant in MUTANTS:
            yield mutant, Case(f, wrong, inputs, leaf, upstream, seed)


def measure(seeds):
    """Every check that was made."""
    checks = []
    for seed, name in product(range(seeds), LAYERS):
        print("seed", seed, name, file=sys.stderr, flush=True)
        scales = [s for s in SCALES if s <= 1] if name == "elbo" else SCALES
        for at in product(scales, UPSTREAMS):
            for mutant, case in cases(seed, name, *at):
                for checker in CHECKERS:
                    checks.append(Check(checker, mutant, name, *at, seed, outcome(checker, case)))
        jax.clear_caches()  # each check is compiled
    return checks


def cells(checks):
    right = Counter(c.outcome for c in checks if not c.mutant)
    wrong = Counter(c.outcome for c in checks if c.mutant)
    yield f"{right[REJECTED]} of {right.total()}"
    yield f"{wrong[PASSED]} of {wrong.total()}"
    yield f"{right[UNDECIDED]} + {wrong[UNDECIDED]}"


def row(*cells):
    print("|", " | ".join(map(str, cells)), "|")


def main():
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    jax.config.update("jax_enable_x64", True)
    warnings.filterwarnings("ignore", "Backwards compatibility", UserWarning)  # PyTorch rejects
    checks = measure(seeds)
    fair = [c for c in checks if c.upstream == 1]

    versions = {m.__name__: m.__version__ for m in (np, torch, jax, scipy, scratchvae)}
    print("python", platform.python_version(), *(f"{n} {v}" for n, v in versions.items()))
    print(f"float64, {seeds} seeds; undecided: right + wrong gradients\n")
    head = "false alarms", "missed", "undecided"
    row("checker", *head, *(f"{h}, upstream 1" for h in head), "could not run")
    row("---", *["---:"] * 7)
    for checker in CHECKERS:
        mine, fairly = ([c for c in part if c.checker == checker] for part in (checks, fair))
        crashes = Counter(c.outcome for c in mine if c.outcome not in OUTCOMES)
        kinds = ", ".join(f"{n} {kind}" for kind, n in crashes.items())
        row(checker, *cells(mine), *cells(fairly), kinds or 0)

    print("\nMissed at upstream 1, by mutant:\n")
    row("mutant", "checks", *CHECKERS)
    row("---", *["---:"] * (1 + len(CHECKERS)))
    for mutant in MUTANTS:
        of_kind = [c for c in fair if c.mutant == mutant]
        missed = Counter(c.checker for c in of_kind if c.outcome == PASSED)
        row(mutant, len(of_kind) // len(CHECKERS), *(missed[checker] for checker in CHECKERS))


if __name__ == "__main__":
    main()
