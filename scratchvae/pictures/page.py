"""index.html of a run: its numbers and settings, and the pictures in the same folder."""

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from math import isnan
from string import Template
from typing import Any
from urllib.parse import quote

from ..files.run_folder import COLUMNS, EXPLORER

LAST = 10  # most epochs in the table
SHOWN = ("model", "data", "epochs", "seed")  # settings that are shown even if they are the default
LINK = "Explore the latent space"
NO_EXPLORER = "<!-- explorer -->"  # where its link stands once there is one


def page(
    title: str, numbers: Sequence[tuple[str, str, str]], protocol: str,
    history: Sequence[Mapping[str, float]], pictures: Mapping[str, str],
    absent: Mapping[str, str], settings: Mapping[str, Any], defaults: Mapping[str, Any],
    commands: Sequence[Sequence[str]],
) -> str:  # fmt: skip
    """The page as text: `page.html`, filled in.

    numbers    name, value and explanation of each number of the evaluation
    protocol   how they were measured
    pictures   the caption of each picture, by its file name
    absent     why a picture was not drawn, by its file name
    defaults   the default of each setting; settings that equal it are folded away
    commands   command lines to run next, as lists of words
    """
    shown = history[-LAST:]
    which = "Each epoch"
    if len(shown) < len(history):
        which = f"The last {len(shown)} of {len(history)} epochs"
    texts = {name: _text(value) for name, value in settings.items()}
    usual = {n for n in texts if n in defaults and texts[n] == _text(defaults[n])} - {*SHOWN}
    here = files(__package__)
    return Template(here.joinpath("page.html").read_text("utf-8")).substitute(
        palette=here.joinpath("explorer", "palette.css").read_text("utf-8"),
        title=escape(title),
        tiles="\n".join(map(_tile, numbers)),
        protocol=escape(protocol.strip()),
        figures="\n".join(_figure(name, caption) for name, caption in pictures.items()),
        absent=_reasons(absent),
        which_epochs=which,
        columns="".join(f'<th scope="col">{escape(c.replace("_", " "))}</th>' for c in COLUMNS),
        epochs="\n".join(map(_row, shown)),
        commands="\n".join(
            f"<li><code>{escape(shlex.join(words))}</code></li>" for words in commands
        ),
        settings=_settings({n: v for n, v in texts.items() if n not in usual}),
        usual=_settings({n: v for n, v in texts.items() if n in usual}),
        how_many=len(usual),
    )


def with_explorer(text: str) -> str:
    """The text of a page with its link to the explorer, which lies in the same folder."""
    return text.replace(NO_EXPLORER, f'<p><a class="button" href="{EXPLORER}">{LINK}</a></p>')


def _tile(number: tuple[str, str, str]) -> str:
    name, value, words = (escape(text.strip().replace("+- ", "±")) for text in number)
    name, value = (text.replace("-", "\N{MINUS SIGN}") for text in (name, value))
    return f"<div><dt>{name}</dt><dd><strong>{value}</strong> {words}</dd></div>"


def _settings(texts: Mapping[str, str]) -> str:
    return "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>'
        for name, text in texts.items()
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
        f"<p>No {escape(', '.join(names[:-1]))}{' or ' * (len(names) > 1)}{escape(names[-1])}: "
        f"{escape(why)}.</p>"
        for why, names in of.items()
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
