"""The site: `make docs` builds it into build/docs. Its own extensions are in `_site`."""

import re
import sys
from pathlib import Path

import scratchvae

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_site"))

project = "scratchvae"
author = copyright = "The scratchvae authors"
version = release = scratchvae.__version__

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"),
    *("command_line", "docstrings", "mathml", "playground", "project_files"),  # of _site
]
exclude_patterns = ["_site"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # links to headings, as GitHub has them

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give shapes, which types cannot express
python_display_short_literal_types = True

html_theme = "furo"
html_title = f"scratchvae {version}"
html_math_renderer = "mathml"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_copy_source = False


def without_empty_globs(app, docname, source):
    """Do not warn about empty sections of the contents."""
    source[0] = re.sub(
        r"^\w+/\*\n", lambda m: m[0] if [*DOCS.glob(m[0].strip())] else "", source[0], flags=re.M
    )


def setup(app):
    app.connect("source-read", without_empty_globs)
