"""The site's extensions of Sphinx, as far as they run without it; `make docs` tests the rest."""

import runpy
from pathlib import Path

import pytest

from scratchvae.cli.parser import parser

SITE = Path(__file__).parents[2] / "docs" / "_site"


@pytest.fixture
def restructured():
    f = runpy.run_path(str(SITE / "docstrings.py"))["restructured"]
    return lambda text: "\n".join(f(text.split("\n"))).strip()


def test_the_page_of_the_command_line_has_every_argument_of_every_command():
    site = runpy.run_path(str(SITE / "command_line.py"))
    assert site["MARK"] in (SITE.parent / "reference" / "command_line.md").read_text()
    sections = "\n".join(site["markdown"]()).split("## ")[1:]
    commands = parser()._subparsers._group_actions[0].choices
    assert [section.split("\n")[0] for section in sections] == list(commands)
    for section, command in zip(sections, commands.values(), strict=True):
        for action in command._actions:
            for name in action.option_strings or [action.metavar]:
                assert name.replace("|", r"\|") in section or name in ("-h", "--help"), name
            if action.dest != "help":
                assert f" | {action.help} |" in section


def test_prose_stays_prose_and_its_signs_are_no_markup(restructured):
    text = "|x| of `x_test` * 2,\nand data_ too."
    assert restructured(text) == r"\|x\| of ``x_test`` \* 2, and data\_ too."


def test_a_column_of_names_becomes_definitions(restructured):
    text = "X, y    the data,\n        as `fit` takes them\nlr      a step"
    assert restructured(text) == (
        "``X, y``\n    the data, as ``fit`` takes them\n``lr``\n    a step"
    )


@pytest.mark.parametrize("text", ["y = x W.    x (B,I)   ->   y (B,O)", "one of\n  a    first"])
def test_what_is_laid_out_stays_so(restructured, text):
    lines = [f"    {line}" for line in text.split("\n")]
    assert restructured(text) == "\n".join([".. code-block:: none", "", *lines])
