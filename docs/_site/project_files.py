"""Links of the pages to files outside of docs/, which then are pages of the site too.

On GitHub `../scratchvae/ops.py` is a file beside the page. The site has no such file, so it gets a
page that shows it: code with its colours, Markdown as text, a folder as a list. A link to what does
not exist stays as it is, and Sphinx warns of it.
"""

import os
import re
from html import escape
from itertools import pairwise
from pathlib import Path

from docutils import nodes
from markdown_it import MarkdownIt
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
LANGUAGES = {".py": "python", ".toml": "toml", ".cff": "yaml", ".sh": "bash"}
STYLES = {"table_open": "docutils", "code_inline": "docutils literal notranslate"}  # the theme's
logger = logging.getLogger(__name__)


def outside(path):
    """Whether it is a file or folder of the project that is no part of the pages."""
    return path.exists() and path.is_relative_to(ROOT) and not path.is_relative_to(DOCS)


def address(path):
    """Where the site has what stands there, seen from its root."""
    if path.is_relative_to(DOCS / "images"):
        return f"_images/{path.name}"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).with_suffix(".html").as_posix()
    return f"files/{path.relative_to(ROOT).as_posix()}.html"


def relative(path, page):
    """The address as a link from a page."""
    return os.path.relpath(address(path), Path(page).parent)


class Links(SphinxTransform):
    """Of the pages, before Sphinx looks for what they lead to."""

    default_priority = 5

    def apply(self):
        kinds = (addnodes.pending_xref, addnodes.download_reference)
        for node in [n for kind in kinds for n in self.document.findall(kind)]:
            target, page = node["reftarget"].partition("#")[0], self.env.docname
            if node.get("refdomain") == "doc":
                target += ".md"  # MyST takes a README for a page, and its ending away
            else:
                target = DOCS / Path(page).parent / target
            path = Path(os.path.normpath(DOCS / target))
            if node.get("reftype") == "myst" and outside(path):
                uri = relative(path, page)
                node.replace_self(nodes.reference("", "", *node.children, refuri=uri))


# ------------------------------------------------------------------------- the pages of the files


def linked(path):
    """What a file or folder leads to: a folder to what is in it, Markdown to what it links to."""
    if path.is_dir():
        return [p for p in sorted(path.iterdir()) if p.name[0] not in "._" or p.is_file()]
    if path.suffix != ".md":
        return []
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    paths = [Path(os.path.normpath(path.parent / t)) for t in targets if "://" not in t]
    return [p for p in paths if outside(p)]


def all_linked():
    """Every file and folder outside that a page leads to, directly or by another."""
    found, todo = set(), [p for page in DOCS.rglob("*.md") for p in linked(page)]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += linked(path)
    return sorted(found)


def folder(path, page):
    items = (
        f'<li><a href="{relative(p, page)}"><code>{escape(p.name)}</code></a></li>'
        for p in linked(path)
    )
    return f"<ul>{''.join(items)}</ul>"


def markdown(path, page, highlight):
    md = MarkdownIt("commonmark").enable("table")
    tokens = md.parse(path.read_text(encoding="utf-8"))
    for heading, inline in pairwise(tokens):  # links to headings, as GitHub has them
        if heading.type == "heading_open":
            name = re.sub(r"[^\w -]", "", inline.content.lower()).replace(" ", "-")
            heading.attrSet("id", name)
    for token in [t for parent in tokens for t in (parent, *(parent.children or ()))]:
        if token.type in STYLES:
            token.attrSet("class", STYLES[token.type])
        name = {"link_open": "href", "image": "src"}.get(token.type)
        target = str(token.attrGet(name)) if name else "#"
        if "://" not in target and target[0] != "#":
            place = Path(os.path.normpath(path.parent / target.partition("#")[0]))
            if not place.exists():
                logger.warning("%s: a link to %s, which does not exist", path.name, target)
            token.attrSet(name, relative(place, page))
    md.renderer.rules["fence"] = lambda tokens, i, *_: highlight(tokens[i].content, tokens[i].info)
    return md.renderer.render(tokens, md.options, {})


def pages(app):
    """(name, context, template) of each page, for Sphinx to write."""

    def highlight(text, language):
        return app.builder.highlighter.highlight_block(text, language or "none")

    for path in all_linked():
        page, name = address(path), path.relative_to(ROOT).as_posix()
        heading = f"<h1><code>{escape(name)}</code></h1>"
        if path.is_dir():
            body = heading + folder(path, page)
        elif path.suffix == ".md":
            body = markdown(path, page, highlight)
        else:
            text = path.read_text(encoding="utf-8")
            body = heading + highlight(text, LANGUAGES.get(path.suffix, "none"))
        yield page.removesuffix(".html"), {"title": name, "body": body}, "page.html"


def setup(app):
    app.add_transform(Links)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
