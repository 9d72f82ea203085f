"""The one door for texts that nobody vouches for, wherever they are shown: a method's name, a reason, a path.

What a terminal or a log would obey, and what a reader would not see, comes as an escape: controls, changes of
direction, marks without width, letters without a shape, halves of surrogate pairs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable
from typing import Any

#: Characters of one line, at most.
LINE = 4_000
#: Letters by Unicode's word that nobody sees: fillers and joiners.
_SHAPELESS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"


class Markdown(str):
    """Text that is Markdown on purpose, and stands in a template as it is."""

    __slots__ = ()


def visible(value: Any) -> str:
    """Any value on one line, of bounded length, of a terminal that obeys nothing in it."""
    text = _escaped(re.sub(r"[\t\n\r]", " ", str(value)[: LINE + 1]))
    return text if len(text) <= LINE else f"{text[:LINE]}..."


def visible_lines(text: str) -> str:
    """The same of a text that has lines, and of any length."""
    return "\r\n".join(_escaped(lines, keep="\t\n") for lines in text.split("\r\n"))


def visible_json(value: Any, ascii: bool = False) -> str:
    """Any value as indented JSON that loses nothing and hides nothing: as it was when read again.

    Args:
        ascii: Whether everything that is not ASCII is escaped.

    Raises:
        ValueError: It holds NaN or an infinity, which are none in JSON.
    """
    text = json.dumps(value, indent=2, ensure_ascii=ascii, allow_nan=False)
    for character in _unseen(text, keep="\n"):
        text = text.replace(character, json.dumps(character)[1:-1] if character > "\x7f" else "\\u007f")
    return text


def shell(words: Iterable[str]) -> str:
    """A command for a shell, on one line and without anything that a terminal obeys, or that is no text."""
    return " ".join(map(_word, words))


def _word(word: str) -> str:
    if all(map(_seen, word)):
        return shlex.quote(word)
    parts = (c if _seen(c) and c not in "\\'" else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c)) for c in word)
    return f"$'{''.join(parts)}'"


def _escaped(text: str, keep: str = "") -> str:
    for character in _unseen(text, keep):
        text = text.replace(character, character.encode("unicode_escape").decode())
    return text


def _unseen(text: str, keep: str) -> list[str]:
    """The characters of a text that do not show."""
    return [character for character in set(text) if not _seen(character) and character not in keep]


def _seen(character: str) -> bool:
    """Whether it shows: no control, format or surrogate character, no line separator, no letter without a shape."""
    printable = character.isprintable() and character not in _SHAPELESS
    return printable or unicodedata.category(character) == "Zs"


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
