"""The pytest plugin: a fixture `gradcheck`, and a section about gradients in pytest's summary.

    def test_linear(gradcheck):
        gradcheck(linear, linear_backward, {"x": x, "W": W, "b": b})

The fixture is `scratchvae.gradcheck.check`, but raises GradientError unless the verdict is PASS,
KINK or ACCEPTED. Its attributes are the other checks: `gradcheck.layer` is `check_layer`. The
plugin is installed with the package; `pytest -p no:scratchvae` disables it.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

FORMS = ("hvp", "jax", "jvp", "layer", "loss", "torch", "vjp")
GOOD = ("PASS", "KINK", "ACCEPTED")  # of `report`, which is loaded with the first check
KEY = "gradcheck"  # of the report's user properties, which also reach JUnit files and xdist


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scratchvae", "checks of hand-written gradients")
    group.addoption(
        "--gradcheck-seed", type=int, default=0, metavar="N",
        help="seed of the gradcheck fixture's directions and upstream gradients, default 0",
    )  # fmt: skip


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """check(f, f_backward, inputs, **options) that raises unless the verdict is good."""

    def raising(name: str) -> Callable[..., Any]:
        def checked(*arguments: Any, **options: Any) -> Any:
            __tracebackhide__ = True
            from ... import gradcheck as checks  # lazily: most test suites check no gradients

            options = {"seed": request.config.getoption("--gradcheck-seed"), **options}
            report = getattr(checks, name)(*arguments, **options)
            found = {"name": report.name, "verdict": report.verdict}
            found |= {"resolution": report.resolution, "said": report.headline}
            request.node.user_properties.append((KEY, found))
            report.raise_if_failed()
            return report

        return checked

    fixture = raising("check")
    for form in FORMS:
        setattr(fixture, form, raising(f"check_{form}"))
    return fixture


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
            if value["verdict"] not in GOOD:
                seen = value["said"].partition(f"{value['verdict']}: ")[2]
            terminalreporter.line(f"{value['verdict']:12} {value['name']:24} {seen}  {nodeid}")
    counts = Counter(value["verdict"] for _, value in found)
    terminalreporter.line(", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    good = [value["resolution"] for _, value in found if value["verdict"] == "PASS"]
    if good:
        coarsest = f"relative errors above {max(good):.1e} would have been detected"
        terminalreporter.line(f"in every one that passed, {coarsest}")
