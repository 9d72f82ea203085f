"""Figures of the measured study inside hand-written pages, so that none is typed by hand.

The role ``mini`` takes words: `cliperase GenKnow` is a figure, `cliperase kept` the smaller holdout retention,
`cliperase retrieved` the same of their retrieval,
`cliperase reduction` the leakage reduction, `cliperase modes` the verdict, `budget` a fact of the study, `chance` the
RetFail_MRR of guessing. The directive ``terminal`` shows the table as ``salmu run`` printed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pictures
from docutils import nodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

if TYPE_CHECKING:
    from docutils.nodes import Node, system_message
    from sphinx.application import Sphinx


def value(words: list[str]) -> str:
    """What the words ask for, as it stands in a sentence.

    Raises:
        KeyError: There is no such run, figure or fact.
    """
    table = pictures.measured()
    if len(words) == 1:
        return f"{pictures.chance_mrr():.4f}" if words[0] == "chance" else _fact(table, words[0])
    name, column = words
    if name in ("Clean", "Compromised"):
        return _number(table["references"][name.lower()]["metrics"][column])
    run = {run["method"]: run for run in table["runs"]}[name]
    match column:
        case "kept":
            return f"{min(run['holdout_retention'][name] for name in pictures.HOLDOUTS):.0%}"
        case "retrieved":
            return f"{min(run['holdout_retention'][name] for name in ('InterIdRet', 'IntraIdRet')):.0%}"
        case "reduction":
            return f"{run['leakage_reduction']:.1%}"
        case "modes":
            return ", ".join(run["failure_modes"]) or "none"
    return _number(run["metrics"][column])


def _fact(table: dict[str, Any], name: str) -> str:
    found = {**table["environment"], **table, "gallery": table["gallery"]["gallery"]}[name]
    return f"{found:,}" if isinstance(found, int) else f"{found:g}" if isinstance(found, float) else str(found)


def _number(figure: float) -> str:
    return f"{figure:.4f}" if 0 < abs(figure) < 0.01 else f"{figure:.3f}"


class Mini(SphinxRole):
    """The role."""

    def run(self) -> tuple[list[Node], list[system_message]]:
        self.env.note_dependency(str(pictures.DATA))
        try:
            return [nodes.Text(value(self.text.split()))], []
        except (KeyError, ValueError) as error:
            return [], [self.inliner.reporter.error(f"mini: {self.text!r}: there is no {error}", line=self.lineno)]


class Terminal(SphinxDirective):
    """The table, or the part of it that has a title of the given first word."""

    optional_arguments = 1

    def run(self) -> list[Node]:
        self.env.note_dependency(str(pictures.DATA))
        lines: dict[str, list[str]] = pictures.measured()["terminal"]
        text = "\n\n".join("\n".join(part) for name, part in lines.items() if self.arguments in ([], [name]))
        if not text:
            raise self.error(f"there is no part {self.arguments[0]!r}; there are {', '.join(lines)}")
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("mini", Mini())
    app.add_directive("terminal", Terminal)
    return {"parallel_read_safe": True}
