"""The docstrings of the package, which are plain text, as reStructuredText.

Paragraphs stay paragraphs, a column of names with their meaning becomes a list of definitions, and
whatever else is laid out by hand, as formulas are, is shown as it stands.
"""

import re
from itertools import groupby

from scratchvae.backend.registry import OPS

NAME_AND_TEXT = re.compile(r"(\S+(?: \S+)*) {2,}(\S.*)")
TEXT_AND_SHAPES = re.compile(r"([^=]*[.:]) {3,}(\S.*->.*)")


def escaped(text):
    """Prose: names in backquotes are code, and nothing else is markup."""
    text = re.sub(r"([*|\\]|_\b)", r"\\\1", text)
    return re.sub(r"`([^`]+)`", lambda m: f"``{m[1]}``".replace("\\", ""), text)


def definitions(lines):
    """(name, text) of each, if all texts begin in one column; else None."""
    first = NAME_AND_TEXT.fullmatch(lines[0])
    if not first or re.search("=|->", lines[0]):
        return None
    column, found = first.start(2), []
    for line in lines:
        match = NAME_AND_TEXT.fullmatch(line)
        if match and match.start(2) == column:
            found.append((match[1], match[2]))
        elif line[:column].strip() == "" and line[column:] == line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            return None
    return found


def restructured(lines):
    """The lines of a docstring, as reStructuredText."""
    for is_text, group in groupby(lines, key=lambda line: bool(line.strip())):
        if not is_text:
            continue
        paragraph = [line.rstrip() for line in group]
        laid_out = any(re.search(r"^ |\S {3,}\S", line) for line in paragraph)
        if not laid_out:
            yield escaped(" ".join(paragraph))
        elif match := TEXT_AND_SHAPES.fullmatch("\n".join(paragraph)):
            yield f"{escaped(match[1])} ``{match[2]}``"
        elif found := definitions(paragraph):
            for name, text in found:
                yield f"``{name}``\n    {escaped(text)}"
        else:
            yield "\n".join([".. code-block:: none", "", *(f"    {line}" for line in paragraph)])
        yield ""


def process(app, what, name, obj, options, lines):
    text = "\n".join(restructured(lines)).split("\n")
    op = OPS.get(name.rpartition(".")[2])
    if op and op.forward is obj:
        text += [f"Derived on the page of :doc:`/ops/{op.name}`.", ""]
    lines[:] = text


def setup(app):
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
