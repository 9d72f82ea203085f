"""Markdown that the generated pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MARK = "<!-- Written by docs/generate.py: do not edit. -->\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], figures: bool = False) -> str:
    """A Markdown table; cells are escaped, code spans stay."""
    lines = [header, ["---:" if figures and i else "---" for i in range(len(header))], *rows]
    text = "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)
    return f"```{{rst-class}} figures\n```\n\n{text}\n" if figures else f"{text}\n"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def prose(text: str) -> str:
    """Plain text as Markdown in which nothing is read as HTML or emphasis."""
    for sign in "<*_[":
        text = text.replace(sign, "\\" + sign)
    return text


def code(value: object) -> str:
    """A code span."""
    return f"`{value}`"


def link(url: str | None) -> str:
    """A link that shows its own address, shortened where it names a commit."""
    if not url:
        return "-"
    shown = url.removeprefix("https://")
    words = ["".join(w[:10] if len(w) == 40 and w.isalnum() else w) for w in shown.split("/")]
    return f"[{'/'.join(words)}]({url})"


def number(value: float | None) -> str:
    """A figure as the table in the terminal writes it."""
    return "-" if value is None else f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
