"""The directive ``speed``: the measurements of one script, or, for ``short``, what falls short of its aim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import speed_figures
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx


class Speed(SphinxDirective):
    """A table."""

    required_arguments = 1

    def run(self) -> list[Node]:
        self.env.note_dependency(str(speed_figures.DATA))
        lines = speed_figures.text(self.arguments[0]).splitlines()
        part = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(speed_figures.DATA)), 0, part)
        return part.children


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("speed", Speed)
    return {"parallel_read_safe": True}
