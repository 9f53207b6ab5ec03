"""The page of a run: one HTML file that shows its numbers, and the pictures that lie beside it."""

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from math import isnan
from typing import Any
from urllib.parse import quote

LAST = 10  # epochs in the table

STYLE = """
:root { color-scheme: light dark; --ink: #1b2a49; --paper: #ffffff; --line: #c9d2e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe6f2; --paper: #12161f; --line: #3a465c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
pre, .wide { overflow-x: auto; overflow-wrap: normal; }
pre { font: 0.85rem/1.45 ui-monospace, monospace; padding: 0.75rem;
  border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.75rem; text-align: right; border-bottom: 1px solid var(--line); }
.settings th, .settings td { text-align: left; }
.pictures { columns: 2 26rem; column-gap: 1.25rem; }
figure { margin: 0 0 1.25rem; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; background: #ffffff;
  border: 1px solid var(--line); border-radius: 6px; }
figcaption { font-size: 0.9rem; padding-top: 0.3rem; }
"""


def page(
    title: str,
    numbers: str,
    history: Sequence[Mapping[str, float]],
    columns: Sequence[str],
    pictures: Mapping[str, str],
    settings: Mapping[str, Any],
    commands: Sequence[Sequence[str]],
) -> str:
    """The whole file.

    numbers    lines that say how good the model is, and how that was measured
    columns    those of the history that the table shows
    pictures   the files beside the page, and what is in each
    commands   command lines to go on with, as lists of words
    """
    shown = history[-LAST:]
    of = "Each epoch"
    if len(shown) < len(history):
        of = f"The last {len(shown)} of {len(history)} epochs"
    figures = "\n".join(_figure(name, words) for name, words in pictures.items())
    lines = "\n".join(shlex.join(words) for words in commands)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<pre>{escape(numbers)}</pre>
<h2>Pictures</h2>
<div class="pictures">
{figures}
</div>
<h2>{of}</h2>
<p>Losses are nats per example, on the whole split.</p>
<div class="wide">
{_table(shown, columns)}
</div>
<h2>Go on with</h2>
<pre><code>{escape(lines)}</code></pre>
<h2>Settings</h2>
<div class="wide">
<table class="settings">
{_settings(settings)}
</table>
</div>
</body>
</html>
"""


def _figure(name: str, words: str) -> str:
    return (
        f'<figure><a href="{quote(name)}"><img src="{quote(name)}" alt="{escape(words)}"></a>'
        f"<figcaption>{escape(words)}</figcaption></figure>"
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
