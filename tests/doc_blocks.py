"""What the documentation shows, taken apart: code blocks, inline code, headings and links of each page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SHELL = ("bash", "sh", "shell", "console")
_FILE = re.compile(r"<!--\s*file:\s*(\S+)\s*-->")

#: What a shell puts another value in the place of; any value does for parsing.
_VARIABLE = re.compile(r"\$(\(\(.*?\)\)|\{.*?\}|\w+)")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        page: Where it stands.
        line: Number of its first line of code.
        language: Its first word, e.g. ``python``; of a directive, its braces and all.
        text: The code.
        file: The path a comment above it gives it, if any.
    """

    page: Path
    line: int
    language: str
    text: str
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every hand-written or generated page, and the two files beside them that people read first."""
    found = [p for p in sorted(DOCS.rglob("*.md")) if "_build" not in p.relative_to(DOCS).parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *found]


def readmes() -> list[Path]:
    """What the plugins say of themselves; the methods' pages include it."""
    return sorted((ROOT / "plugins").glob("*/README.md"))


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    """A page as markdown-it reads it."""
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")))


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    file = None
    for token in tokens(page):
        if token.type == "fence" and token.map is not None:
            language = (token.info.split() or [""])[0]
            yield Block(page, token.map[0] + 2, language, token.content, file)
        marked = _FILE.search(token.content) if token.type == "html_block" else None
        file = marked.group(1) if marked else None


def inline_code(page: Path) -> Iterator[tuple[str, str]]:
    """Where it stands, and the text of each code span."""
    for token in tokens(page):
        line = token.map[0] + 1 if token.map else 0
        for child in token.children or []:
            if child.type == "code_inline":
                yield f"{page.relative_to(ROOT)}:{line}", child.content


def links(page: Path) -> Iterator[str]:
    """Where a page links to."""
    for token in tokens(page):
        for child in token.children or []:
            if child.type == "link_open":
                yield str(child.attrs["href"])


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    found = tokens(page)
    titles = [found[i + 1].content for i, token in enumerate(found) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def salmu_calls(text: str) -> Iterator[list[str]]:
    """The arguments of every call of ``salmu`` in a shell script, however it is wrapped."""
    for line in text.replace("\\\n", " ").splitlines():
        if "salmu" not in line:
            continue
        line = _VARIABLE.sub("1", line.removeprefix("$ "))
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if word and not set(word) <= set(";&|"):
                command.append(word)
                continue
            if "salmu" in command and command[0] not in ("pip", "cd"):
                yield command[command.index("salmu") + 1 :]
            elif "salmu_core" in command and command[command.index("salmu_core") - 1] == "-m":
                yield command[command.index("salmu_core") + 1 :]
            command = []


def plugin_pages() -> Iterator[tuple[Path, dict[str, str]]]:
    """Pages that build a plugin step by step: the page, and the files it tells the reader to write."""
    for page in pages():
        files = {block.file: block.text for block in blocks(page) if block.file}
        if "pyproject.toml" in files:
            yield page, files


#: Every page of the documentation, and every README.
ALL = [*pages(), *readmes()]


def name(page: Path) -> str:
    """A page's path in the repository."""
    return str(page.relative_to(ROOT))
