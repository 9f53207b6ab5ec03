"""The report of a check: a verdict, the smallest detectable error, the name of the bug.

PASS           the gradient agrees with finite differences to the printed resolution
FAIL           it does not
KINK           x is at a kink: the gradient is a valid choice there, and right nearby
INCONCLUSIVE   finite differences cannot tell; the reason is given
ACCEPTED       its error is within what the caller accepts
RANDOM         the forward returns different values when called again
CONTRACT       backward breaks its contract (see `contract.py`), right or not
ERROR          a function raises: the message says what, and in which line
"""

import re
from dataclasses import dataclass
from math import inf, log10
from textwrap import fill

from ..errors import GREEN, RED, YELLOW, tinted

PASS, FAIL, KINK = "PASS", "FAIL", "KINK"
INCONCLUSIVE, RANDOM, CONTRACT = "INCONCLUSIVE", "RANDOM", "CONTRACT"
ACCEPTED, ERROR = "ACCEPTED", "ERROR"
GOOD = (PASS, KINK, ACCEPTED)
WORST_FIRST = (ERROR, RANDOM, FAIL, CONTRACT, INCONCLUSIVE, ACCEPTED, KINK, PASS)
OF_ITSELF, OF_ALL = "its size", "the output's slope along all inputs"  # units of a resolution
COLOURS = dict.fromkeys(WORST_FIRST, RED) | dict.fromkeys((PASS, KINK), GREEN)
COLOURS |= dict.fromkeys((INCONCLUSIVE, ACCEPTED), YELLOW)


class GradientError(AssertionError):
    """A gradient did not pass. The message is the report, with the worst finding first."""


GradientError.__module__ = __name__.rpartition(".")[0]  # its public home, which tracebacks print


@dataclass(frozen=True)
class Leaf:
    """The result for one gradient. error and resolution are relative to its size, a slope.

    For a gradient of 0 they may be relative to another slope, named by `of`.
    """

    name: str
    verdict: str
    error: float = 0.0
    resolution: float = inf
    message: str = ""
    table: str = ""
    of: str = OF_ITSELF

    @property
    def how(self) -> str:
        """The error and the resolution in words."""
        limit = f"errors above {self.resolution:.1e}"
        if self.verdict not in (PASS, KINK) and self.error < self.resolution:
            return f"relative error {self.error:.2g}; only {limit} are certain to be detected"
        if self.verdict not in (PASS, KINK):
            return f"relative error {self.error:.2g}; {limit} would have been detected"
        if self.resolution == 0:
            return "agrees exactly"
        if self.of != OF_ITSELF:
            return f"{limit} of {self.of} would have been detected"
        digits = f"agrees to {max(0.0, -log10(self.resolution)):.1f} digits"
        return f"{digits}; relative {limit} would have been detected"

    def __str__(self) -> str:
        head = f"d{self.name:<12} {self.verdict:<12} "
        if self.verdict == PASS:
            return f"{head}{self.how}" + f" ({self.message})" * bool(self.message)
        lines = [head + (self.message or self.how)]
        if self.message and self.verdict != INCONCLUSIVE and self.error < inf:
            lines.append(f"{'':27}{self.how}")
        return "\n".join(filter(None, [*lines, self.table]))


def _severity(leaf: Leaf) -> tuple[int, float]:
    """Worst first: by verdict, and wrong ones by their error."""
    return WORST_FIRST.index(leaf.verdict), -leaf.error if leaf.verdict in (FAIL, ACCEPTED) else 0


@dataclass(frozen=True)
class Finding:
    """The result of a test beyond the gradients. error and resolution share a unit, often nats."""

    name: str
    verdict: str
    error: float
    resolution: float
    message: str = ""

    def __str__(self) -> str:
        numbers = f"off by {self.error:.1e}, detectable above {self.resolution:.1e}"
        return f"{self.name}: {self.verdict} ({numbers})" + f": {self.message}" * bool(self.message)


@dataclass(frozen=True)
class Report:
    """The results for each gradient of one subject, and for the subject as a whole."""

    name: str
    leaves: tuple[Leaf, ...] = ()
    violations: tuple[str, ...] = ()  # of the contract
    random: str = ""
    raised: str = ""  # by a function under test
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()  # of a model, beyond its gradients

    @property
    def verdict(self) -> str:
        found = {PASS, *(leaf.verdict for leaf in self.leaves)}
        found |= {finding.verdict for finding in self.findings}
        found |= {CONTRACT} if self.violations else set()
        found |= {RANDOM} if self.random else set()
        found |= {ERROR} if self.raised else set()
        return min(found, key=WORST_FIRST.index)

    @property
    def resolution(self) -> float:
        """The smallest relative error that would have been detected in every gradient."""
        return max((leaf.resolution for leaf in self.leaves), default=inf)

    @property
    def error(self) -> float:
        """The largest error of any gradient, relative to its size."""
        return max((leaf.error for leaf in self.leaves), default=0.0)

    @property
    def headline(self) -> str:
        """The verdict and the worst finding, in one line."""
        worst = sorted(self.leaves, key=_severity)[:1]
        said = [f"d{x.name}: {x.message or x.how}" for x in worst if x.verdict not in GOOD]
        bad = [str(x) for x in self.findings if x.verdict not in GOOD]
        if worst and not worst[0].message:  # a number says less than a sentence
            said = [*self.violations, *said]
        found = [self.raised, self.random, *said, *self.violations, *bad]
        return ": ".join([f"{self.name}: {self.verdict}", *list(filter(None, found))[:1]])

    def __bool__(self) -> bool:
        raise TypeError("a report is not a bool: use report.verdict or report.raise_if_failed()")

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.verdict}"]
        lines += filter(None, [self.raised, self.random])
        lines += [f"contract: {violation}" for violation in self.violations]
        leaves = sorted(self.leaves, key=_severity)
        for part in (*leaves, *self.findings):
            lines += str(part).split("\n")
        lines += self.notes
        return "\n  ".join(lines)

    def raise_if_failed(self) -> None:
        """Raise GradientError, with this report as its message, unless the verdict is in GOOD."""
        __tracebackhide__ = True  # pytest shows the caller's line
        if self.verdict not in GOOD:
            raise GradientError("\n".join([self.headline, *str(self).split("\n")[1:]]))


def folded(text: str, indent: int) -> str:
    """A line wrapped to the terminal, further lines indented; its verdict in colour."""
    from shutil import get_terminal_size  # lazily: it is slow to import

    width = max(60, get_terminal_size((160, 24)).columns)
    return coloured(fill(text, width, subsequent_indent=" " * indent, break_long_words=False))


def coloured(text: str) -> str:
    """A line with its verdict in colour, if the terminal shows colours."""
    return re.sub(
        rf"\b({'|'.join(COLOURS)})\b", lambda m: tinted(m[0], COLOURS[m[0]]), text, count=1
    )


def within(name: str, error: float, limit: float, otherwise: str) -> Finding:
    """PASS if the error is at most the limit; else, and for a NaN, FAIL with the message."""
    if error <= limit:
        return Finding(name, PASS, error, limit)
    return Finding(name, FAIL, error, limit, otherwise)
