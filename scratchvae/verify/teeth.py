"""Do the checks have teeth? What `scratchvae verify --teeth` does.

It switches on each bug of `bugs`, and makes every gradient of every op wrong in every way of
`gradcheck.mutants`, one after the other. What passes for right would be a hole in the checks.
"""

from collections.abc import Iterator

from ..backend.registry import OPS
from ..gradcheck import Report, check, check_model, draw_inputs
from ..gradcheck.mutants import mutants
from ..gradcheck.report import GOOD, folded
from .bugs import BUGS
from .table import subject


def results(seed: int = 0) -> Iterator[tuple[str, str]]:
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


def show(seed: int = 0) -> int:
    """Print each mutant with what killed it; 1 if one survived, else 0."""
    killed = total = 0
    for name, killer in results(seed):
        total += 1
        killed += bool(killer)
        print(folded(f"{name:50} {killer or 'SURVIVED'}", 51))
    print(f"\nkilled {killed} of {total}")
    return 0 if killed == total else 1
