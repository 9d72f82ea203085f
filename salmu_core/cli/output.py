"""What every command prints with: the door between texts of any origin and whoever reads them."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from salmu_core.show.escape import visible_json, visible_lines

#: What rich tells a terminal: colours, lines that are drawn again, the cursor.
_DRAWN = re.compile(r"(\x1b\[[0-9;]*[mKA]|\x1b\[\?25[lh]|\r)")


class Screen(Console):
    """A console that shows texts as they are: nothing in them is markup, a link, or for the terminal to obey."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What a renderable consists of."""
        for text, style, control in super().render(renderable, options):
            if style is not None and style.link:
                style = style.update_link(None)
            yield Segment(text if control else visible_lines(text), style, control)


def console(stderr: bool = False) -> Console:
    """A console that keeps to 100 columns where neither a terminal nor COLUMNS says how wide the output is."""
    made = Screen(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not made.is_terminal and not os.environ.get("COLUMNS"):
        made.width = 100
    return made


def say(text: str, *, stderr: bool = False, style: str = "") -> None:
    """Print sentences as they are: a line that is broken cuts a path in two, and whoever copies it gets half."""
    console(stderr).print(Text(visible_lines(text), style=style), soft_wrap=True)


def print_text(text: str) -> None:
    """Write a text to standard output to the letter, but for what would not show."""
    sys.stdout.write(visible_lines(text))


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    encoding = getattr(sys.stdout, "encoding", None) or ""
    sys.stdout.write(visible_json(value, ascii=not encoding.lower().startswith("utf")) + "\n")


class Guarded(io.TextIOWrapper):
    """A standard stream that lets nothing through that a terminal obeys, but what rich draws with.

    What the stream's encoding lacks comes as an escape. A stream that is full or closed takes what is written to it and
    loses it: a study does not end for that.

    Attributes:
        lost: Why something was lost.
    """

    lost: OSError | None = None

    def __init__(self, stream: Any, closed: bool = False) -> None:
        self._stream = stream  # it would close what both write to
        self._terminal, self._closed = stream.isatty(), closed
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str) -> int:
        """Write a text; of any writer."""
        parts = _DRAWN.split(text) if self._terminal else [text]
        with self._losing():
            if self._closed:
                raise OSError(errno.EBADF, "it is closed")
            super().write("".join(part if place % 2 else visible_lines(part) for place, part in enumerate(parts)))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with self._losing():
            super().flush()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.lost = error
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - what is in the buffer has to go somewhere
                os.dup2(nowhere.fileno(), self.fileno())


def _guard(stream: Any) -> Any:
    if stream is None:
        return Guarded(open(os.devnull, "w", encoding="utf-8"), closed=True)  # noqa: PTH123 - as long as we live
    return Guarded(stream) if hasattr(stream, "buffer") else stream  # what has none is no stream of a process


@contextmanager
def guarded() -> Iterator[list[Guarded]]:
    """Guard standard output and standard error while the block lasts; yields those of the two that there are."""
    for number in range(3):  # what is closed would be the next file that is opened
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    streams = [_guard(stream) for stream in before]
    sys.stdout, sys.stderr = streams
    mine = [stream for stream in streams if isinstance(stream, Guarded)]
    try:
        yield mine
    finally:
        for stream in mine:
            stream.flush()
        sys.stdout, sys.stderr = before
        for stream in mine:
            stream.detach()
