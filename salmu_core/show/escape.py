"""Texts that nobody vouches for, in a terminal and in Markdown: a method's name, a reason, a path."""

from __future__ import annotations

import re
from typing import Any


class Markdown(str):
    """Text that is Markdown on purpose, and stands in a template as it is."""

    __slots__ = ()


def visible(value: Any) -> str:
    """Any value on one line of a terminal that obeys nothing in it: what is no printable character is its escape."""
    return "".join(
        " " if c.isspace() else c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)
    )


def plain(value: Any) -> str:
    """Any value so that Markdown and HTML show it as it is, on one line; `Markdown` is left alone."""
    if isinstance(value, Markdown):
        return value
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # What begins a block where the text begins one: a heading, a list, a rule.
    return re.sub(r"^(?:(\d+)(?=[.)](?:\s|$))|(?=[#+=-](?:[\s#=-]|$)))", r"\1\\", text)


def fenced(text: str, language: str = "") -> Markdown:
    """A block of code that nothing in it can end."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{language}\n{text}\n{fence}")
