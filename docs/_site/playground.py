"""The playground, written into the site at each build, and a link to it in the place of a mark."""

from pathlib import Path

from scratchvae.pictures import playground

MARK = "<!-- a link to the playground stands here on the site -->"
PLACE = "_static/playground.html"
LINK = f'<p><a href="{PLACE}"><strong>Open the playground</strong></a></p>'


def link(app, docname, source):
    source[0] = source[0].replace(MARK, LINK)


def write(app, error):
    if error is None:
        (Path(app.outdir) / PLACE).write_text(playground.page(), encoding="utf-8")


def setup(app):
    app.connect("source-read", link)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
