"""The directive ``on-a-card``: the measurements on a card, or that there are none yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import card_figures
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx


class OnACard(SphinxDirective):
    """The section."""

    def run(self) -> list[Node]:
        for path in card_figures.DATA.glob("*.json"):
            self.env.note_dependency(str(path))
        part = nodes.container()
        self.state.nested_parse(StringList(card_figures.text().splitlines(), source=str(card_figures.DATA)), 0, part)
        return part.children


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("on-a-card", OnACard)
    return {"parallel_read_safe": True}
