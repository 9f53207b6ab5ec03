"""Code that the pages show, copied from its source so that it is read on GitHub too.

    python docs/_site/shown_code.py      after a change of that code; a test holds the copies equal

A page names the file and the function in a comment above the block:
<!-- code: ../../scratchvae/ops.py linear -->
"""

import ast
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
SHOWN = re.compile(r"(<!-- code: (\S+) (\w+) -->\n)```py\n.*?^```$", re.DOTALL | re.MULTILINE)


def function(path, name):
    """The source of a function or method, with its decorators, moved to the left margin."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    defined = {node.name: node for scope in scopes for node in scope.body if hasattr(node, "name")}
    node = defined[name]
    first = min(part.lineno for part in (node, *node.decorator_list))
    lines = text.splitlines()[first - 1 : node.end_lineno]
    return "\n".join(line[node.col_offset :] for line in lines)


def updated(page):
    """The page's text with each copy as its source is now."""

    def copy(match):
        return f"{match[1]}```py\n{function(page.parent / match[2], match[3])}\n```"

    return SHOWN.sub(copy, page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for page in DOCS.rglob("*.md"):
        page.write_text(updated(page), encoding="utf-8")
