"""index.html of a run: its numbers and settings, and the pictures in the same folder."""

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from math import isnan
from string import Template
from typing import Any
from urllib.parse import quote

LAST = 10  # most epochs in the table


def page(
    title: str,
    numbers: str,
    history: Sequence[Mapping[str, float]],
    columns: Sequence[str],
    pictures: Mapping[str, str],
    settings: Mapping[str, Any],
    commands: Sequence[Sequence[str]],
) -> str:
    """The page as text: `page.html`, filled in.

    numbers    the lines of the evaluation
    columns    the columns of the history that the table shows
    pictures   the caption of each picture, by its file name
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
        which_epochs=which,
        table=_table(shown, columns),
        commands=escape("\n".join(shlex.join(words) for words in commands)),
        settings=_settings(settings),
    )


def _figure(name: str, caption: str) -> str:
    return (
        f'<figure><a href="{quote(name)}"><img src="{quote(name)}" alt="{escape(caption)}"></a>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _table(history: Sequence[Mapping[str, float]], columns: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(c.replace("_", " "))}</th>' for c in columns)
    rows = [
        "<tr>" + "".join(f"<td>{_number(record[c])}</td>" for c in columns) + "</tr>"
        for record in history
    ]
    return "\n".join(("<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows,
                      "</tbody>", "</table>"))  # fmt: skip


def _number(value: float) -> str:
    if isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _settings(settings: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return ", ".join(map(str, value)) or "none"
        return "none" if value is None else str(value)

    return "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text(value))}</td></tr>'
        for name, value in settings.items()
    )
