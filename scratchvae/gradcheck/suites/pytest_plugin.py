"""The pytest plugin: a fixture `gradcheck`, and a section about gradients in pytest's summary.

    def test_linear(gradcheck):
        gradcheck(linear, linear_backward, {"x": x, "W": W, "b": b})

The fixture is `scratchvae.gradcheck.check`, but raises GradientError where the verdict is none of
PASS, KINK and ACCEPTED. It is installed with the package; `pytest -p no:scratchvae` leaves it out.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

KEY = "gradcheck"  # of the report's user properties, which also reach JUnit files and xdist


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scratchvae", "checks of hand-written gradients")
    group.addoption(
        "--gradcheck-seed", type=int, default=0, metavar="N",
        help="seed of the directions and upstream gradients of the gradcheck fixture, default 0",
    )  # fmt: skip


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """check(f, f_backward, inputs, **options), which raises unless the verdict is good."""
    from .. import Report, check  # lazily: most test suites check no gradients

    def checked(f: Any, f_backward: Any, inputs: Any, **options: Any) -> Report:
        __tracebackhide__ = True
        options = {"seed": request.config.getoption("--gradcheck-seed"), **options}
        report = check(f, f_backward, inputs, **options)
        found = {"name": report.name, "verdict": report.verdict, "resolution": report.resolution}
        found["said"] = report.headline
        request.node.user_properties.append((KEY, found))
        report.raise_if_failed()
        return report

    return checked


def pytest_terminal_summary(terminalreporter: Any) -> None:
    # a test has several reports (phases, subtests, reruns); the last has all properties
    properties = {
        report.nodeid: report.user_properties
        for group in terminalreporter.stats.values()
        for report in group
        if getattr(report, "user_properties", None)
    }
    found = [(at, value) for at, pairs in properties.items() for key, value in pairs if key == KEY]
    if not found:
        return
    terminalreporter.section("gradient checks")
    every = terminalreporter.config.get_verbosity() > 0
    for nodeid, value in found:
        if every or value["verdict"] != "PASS":
            seen = f"detectable from {value['resolution']:.1e}"
            terminalreporter.line(f"{value['verdict']:12} {value['name']:24} {seen}  {nodeid}")
    counts = Counter(value["verdict"] for _, value in found)
    terminalreporter.line(", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    good = [value["resolution"] for _, value in found if value["verdict"] == "PASS"]
    if good:
        coarsest = f"an error above {max(good):.1e} of a gradient's size would have been seen"
        terminalreporter.line(f"in every one that passed, {coarsest}")
