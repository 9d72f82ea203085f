"""How long work shows on a terminal, and how in a log."""

from __future__ import annotations

import copy
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from rich.markup import escape
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from salmu_core.cli.output import console
from salmu_core.disk.space import size_limit
from salmu_core.run.reporter import Reporter, listening
from salmu_core.show.escape import visible


@contextmanager
def reporting(to_stderr: bool, what: str = "benchmark", first: bool = True) -> Iterator[Reporter]:
    """A reporter for where the output goes: bars on a terminal, plain lines elsewhere.

    What is wrong with the cache is said through it too.

    Args:
        to_stderr: Keep standard output free for JSON.
        what: Is being built, where something is.
        first: Whether this is the first of several processes, the only one that shows anything itself.

    Raises:
        UsageError: The cache is to be kept within something that is no size.
    """
    size_limit()
    with _reporter(to_stderr, what, first) as reporter, listening(reporter):
        yield reporter


@contextmanager
def _reporter(to_stderr: bool, what: str, first: bool) -> Iterator[Reporter]:
    if not first:
        yield Reporter()
    elif (screen := console(to_stderr)).is_terminal:
        fixed = partial(Column, no_wrap=True)
        progress = Progress(
            TextColumn("{task.description}", table_column=fixed(min_width=36, max_width=44)),
            BarColumn(bar_width=12, table_column=fixed(min_width=12)),
            TextColumn("{task.fields[count]}", table_column=fixed(min_width=7)),
            _Left(compact=True, table_column=fixed(min_width=5)),
            # The only one that may give way: on a narrow terminal the later loss terms are cut off.
            TextColumn("{task.fields[note]}", markup=False, table_column=fixed(ratio=1, overflow="ellipsis")),
            console=screen,
            expand=True,
            transient=True,
            auto_refresh=False,  # by a thread, that is, beside which no process could be forked
        )
        with progress:
            yield Bars(progress, what)
    else:
        yield Lines(sys.stderr if to_stderr else sys.stdout, what)


class _Left(TimeRemainingColumn):
    """What is left of a piece by its speed; of a whole study what is told, for its pieces are unlike."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["left"], "progress.remaining") if "left" in task.fields else super().render(task)


class Bars(Reporter):
    """An overall bar over the pieces of work, and one inside the current piece of each process."""

    #: Seconds between two pictures, at least.
    EVERY = 0.1

    def __init__(self, progress: Progress, what: str = "benchmark") -> None:
        self._progress = progress
        self._what = what
        self._overall: TaskID | None = None
        self._inner: TaskID | None = None
        self._begun = 0.0
        self._drawn = [0.0]
        self._place = ""

    def at(self, place: str) -> None:
        self._place = f" on {visible(place)}"

    def beside(self) -> Bars:
        self._drop_inner()  # what was prepared is there
        return copy.copy(self)

    def building(self, stage: str, fraction: float) -> None:
        if self._inner is None:
            self._inner = self._progress.add_task("", total=1.0, count="", note="")
        self._progress.update(self._inner, description=f"[bold]{self._what}[/] {_shown(stage)}", completed=fraction)
        self._draw()

    def plan(self, total: int) -> None:
        self._drop_inner()
        self._overall = self._progress.add_task("[bold]all[/]", total=total, count=f"0/{total}", note="", left="")

    def outlook(self, waiting: int, running: int, left: tuple[str, float] | None) -> None:
        if self._overall is not None:
            note = f"{running} at work, {waiting} waiting" + (f"; {_end(*left)}" if left else "")
            self._progress.update(self._overall, note=note, left=_span(left[1]) if left else "")

    def begin(self, label: str, activity: str) -> None:
        self._drop_inner()
        self._begun = time.monotonic()
        self._inner = self._progress.add_task(
            f"{activity} [bold]{_shown(label)}[/]{escape(self._place)}", total=None, count="", note=""
        )
        self._draw()

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        if self._inner is None:
            return
        rate = done / max(1e-9, time.monotonic() - self._begun)
        self._progress.update(
            self._inner,
            completed=done,
            total=of or None,
            count=f"{done}/{of}" if of else str(done),
            note=f"{rate:.1f}/s  " + "  ".join(f"{visible(name)} {value:.3g}" for name, value in values.items()),
        )
        self._draw()

    def end(self, note: str) -> None:
        self._drop_inner()
        self._progress.console.print(Text(visible(note) + self._place), soft_wrap=True)
        if self._overall is not None:
            self._progress.advance(self._overall)
            task = next(t for t in self._progress.tasks if t.id == self._overall)
            self._progress.update(self._overall, count=f"{int(task.completed)}/{int(task.total or 0)}")

    def say(self, text: str) -> None:
        self._progress.console.print(Text(visible(text), "yellow"), soft_wrap=True)

    def _draw(self) -> None:
        if time.monotonic() - self._drawn[0] > self.EVERY:
            self._drawn[0] = time.monotonic()
            self._progress.refresh()

    def _drop_inner(self) -> None:
        if self._inner is not None:
            self._progress.remove_task(self._inner)
            self._inner = None


class Lines(Reporter):
    """Plain lines for logs: one when a piece of work ends, one now and then while it lasts."""

    EVERY = 10.0
    #: Seconds that must be left for it to be worth a word.
    LONG = 60.0

    def __init__(self, stream: TextIO, what: str = "benchmark") -> None:
        self._stream = stream
        self._what = what
        self._label = ""
        self._total = 0
        self._ended = itertools.count(1)
        self._last = 0.0
        self._stage = self._place = ""
        self._outlook: dict[str, str] = {}

    def at(self, place: str) -> None:
        self._place = f" on {place}"

    def outlook(self, waiting: int, running: int, left: tuple[str, float] | None) -> None:
        long = left is not None and left[1] > self.LONG
        self._outlook["note"] = f" ({waiting} waiting; {_end(*left)})" if left and long else ""

    def building(self, stage: str, fraction: float) -> None:
        if stage != self._stage or time.monotonic() - self._last > self.EVERY:
            self._stage = stage
            self._print(f"{self._what}: {stage}" + (f" ({fraction:.0%})" if 0 < fraction < 1 else ""))

    def plan(self, total: int) -> None:
        self._total = total

    def begin(self, label: str, activity: str) -> None:
        self._label = f"{activity} {label}"
        self._last = time.monotonic()

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        if time.monotonic() - self._last > self.EVERY:
            terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            self._print(f"{self._label}: {done}{f'/{of}' if of else ''} {terms}".rstrip())

    def end(self, note: str) -> None:
        count = f"[{next(self._ended)}/{self._total}] " if self._total else ""
        self._print(f"{count}{note}{self._place}{self._outlook.get('note', '')}")

    def say(self, text: str) -> None:
        self._print(text)

    def beside(self) -> Lines:
        return copy.copy(self)  # it counts on with the same counter

    def _print(self, text: str) -> None:
        self._last = time.monotonic()
        self._stream.write(f"{visible(text)}\n")
        self._stream.flush()


def _span(seconds: float) -> str:
    """A time ahead, as it is to be read at a glance."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes:02}:{rest:02}"


def _end(phase: str, seconds: float) -> str:
    """When a phase will have ended."""
    return f"{phase} until about {time.strftime('%H:%M', time.localtime(time.time() + seconds))}"


def _shown(text: str) -> str:
    """A part of a line in rich's markup: text that may be anybody's."""
    return escape(visible(text))
