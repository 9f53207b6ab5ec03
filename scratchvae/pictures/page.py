"""index.html of a run: its numbers and settings, and the pictures in the same folder."""

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from math import isnan
from string import Template
from typing import Any
from urllib.parse import quote

from ..files.run_folder import COLUMNS

LAST = 10  # most epochs in the table


def page(
    title: str, numbers: str, history: Sequence[Mapping[str, float]], pictures: Mapping[str, str],
    absent: Mapping[str, str], settings: Mapping[str, Any], commands: Sequence[Sequence[str]],
) -> str:  # fmt: skip
    """The page as text: `page.html`, filled in.

    numbers    the lines of the evaluation
    pictures   the caption of each picture, by its file name
    absent     why a picture was not drawn, by its file name
    commands   command lines to run next, as lists of words
    """
    shown = history[-LAST:]
    which = "Each epoch"
    if len(shown) < len(history):
        which = f"The last {len(shown)} of {len(history)} epochs"
    template = files(__package__).joinpath("page.html").read_text("utf-8")
    return Template(template).substitute(
        title=escape(title),
        numbers=escape(numbers),
        figures="\n".join(_figure(name, caption) for name, caption in pictures.items()),
        absent=_reasons(absent),
        which_epochs=which,
        columns="".join(f'<th scope="col">{escape(c.replace("_", " "))}</th>' for c in COLUMNS),
        epochs="\n".join(map(_row, shown)),
        commands=escape("\n".join(shlex.join(words) for words in commands)),
        settings="\n".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(_text(value))}</td></tr>'
            for name, value in settings.items()
        ),
    )


def _figure(name: str, caption: str) -> str:
    return (
        f'<figure><a href="{quote(name)}"><img src="{quote(name)}" alt="{escape(caption)}"></a>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _reasons(absent: Mapping[str, str]) -> str:
    """A line for each reason why pictures were not drawn."""
    of = {why: [n for n, w in absent.items() if w == why] for why in absent.values()}
    return "\n".join(
        f"<p>No {escape(' or '.join(names))}: {escape(why)}.</p>" for why, names in of.items()
    )


def _row(record: Mapping[str, float]) -> str:
    return f"<tr>{''.join(f'<td>{_number(record[c])}</td>' for c in COLUMNS)}</tr>"


def _number(value: float) -> str:
    if isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
