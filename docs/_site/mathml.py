"""Formulas as MathML, which browsers draw themselves: no script, nothing from another server.

A formula that docutils cannot translate is a warning, so a typing error in one fails the build.
"""

import re
from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

FUNCTION = "(<mi>(?:log|tanh|exp)</mi>)"
# docutils sets the index of a letter with a bar below the letter, and the bar as an accent, which
# touches the letter where no font for formulas is installed
BAR = re.compile(r"<(munderover|mover)[^>]*>(<mi>.</mi>)((?:(?!over>).)*?)<mo[^>]*>ˉ</mo></\1>")
SPACE = '<mspace width="0.17em"/>'
logger = logging.getLogger(__name__)


def barred(found):
    letter = f'<mover accent="false">{found[2]}<mo stretchy="false">¯</mo></mover>'
    return f"<msub>{letter}{found[3]}</msub>" if found[3] else letter


def mathml(node, block):
    tex = node.astext().strip()
    try:
        tree = re.sub(r"\n\s*", "", tex2mathml(tex, as_block=block))
        tree = BAR.sub(barred, tree)
        # TeX leaves a thin space on both sides of a function, but none before a bracket
        tree = re.sub(rf"{FUNCTION}(?!<mo>[(])", rf"\1{SPACE}", tree)
        return re.sub(rf"(?<=</mi>|msub>){FUNCTION}", rf"{SPACE}\1", tree)
    except MathError as error:
        logger.warning("formula %r: %s", tex, error, location=node)
        return f"<code>{escape(tex)}</code>"


def visit_inline(translator, node):
    translator.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def visit_block(translator, node):
    translator.body.append(f'<div class="formula">{mathml(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
