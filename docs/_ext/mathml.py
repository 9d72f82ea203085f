"""Formulas as MathML, written when the documentation is built: a page loads no program to show them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def mathml(node: nodes.Element, display: str) -> str:
    """A formula as a ``<math>`` element; one that can't be read is a warning, and stands as it was written."""
    latex = node.astext()
    try:
        found: str = convert(latex, display=display)
    except Exception as error:  # the converter raises whatever its tokenizer meets
        logger.warning("the formula %r can't be read: %r", latex, error, location=node)
        return escape(latex)
    if "\\" in found:
        logger.warning("the formula %r has a command that is not known", latex, location=node)
    return found


def inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    # A wide formula scrolls by itself instead of widening the page.
    self.body.append(f'<div class="formula">{mathml(node, "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
