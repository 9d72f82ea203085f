"""What is told while work lasts: a third party's text neither commands the terminal nor is taken for markup."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from salmu_core.cli.progress import Bars, Lines

HOSTILE = "\x1b[31mred \x1b]0;title\x07 [bold]x[/bold] [/] \x9b2J\nnext"


@pytest.mark.parametrize("how", ["bars", "lines"])
def test_what_nobody_vouches_for_is_shown_as_text(how):
    stream = io.StringIO()
    progress = Progress(
        TextColumn("{task.description}"),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(file=stream, force_terminal=True, color_system=None, width=400),
        auto_refresh=False,
    )
    reporter = Bars(progress) if how == "bars" else Lines(stream)
    reporter.EVERY = -1.0
    with progress:
        reporter.at(HOSTILE)
        reporter.building(HOSTILE, 0.5)
        reporter.plan(2)
        reporter.begin(HOSTILE, "attacking")
        reporter.step(1, 2, {HOSTILE: 1.0})
        progress.refresh()
        reporter.say(HOSTILE)
        reporter.end(HOSTILE)
    told = stream.getvalue()
    assert told.count("\\x1b[31mred \\x1b]0;title\\x07 [bold]x[/bold] [/] \\x9b2J next") >= 4
    assert not any(sign in told for sign in ("\x1b[31m", "\x1b]", "\x07", "\x9b"))


def told_of(left, how="lines"):
    stream = io.StringIO()
    progress = Progress(
        *(TextColumn(f"{{task.fields[{name}]}}") for name in ("count", "note")),
        console=Console(file=stream, force_terminal=True, color_system=None, width=400),
        auto_refresh=False,
    )
    whole = Bars(progress) if how == "bars" else Lines(stream)
    with progress:
        whole.plan(5)
        one, other = whole.beside(), whole.beside()
        other.at("node7 (card 1)")
        whole.outlook(2, 2, left)
        other.begin("x", "unlearning")
        one.end("made")
        other.end("made too")
        progress.refresh()
    return stream.getvalue()


def test_a_log_has_the_end_where_it_is_far_and_where_each_was_made():
    far, near = told_of(("unlearning", 4000.0)), told_of(("unlearning", 30.0))
    assert "[1/5] made (2 waiting; unlearning until about " in far and "[2/5] made too on node7 (card 1) (2" in far
    assert "[1/5] made\n[2/5] made too on node7 (card 1)\n" in near and near == told_of(None)


def test_a_terminal_has_what_is_at_work_and_what_waits():
    shown = told_of(("scoring", 4000.0), "bars")
    assert "2 at work, 2 waiting; scoring until about " in shown and "made too on node7 (card 1)" in shown
    assert "2 at work, 2 waiting" in told_of(None, "bars") and "until" not in told_of(None, "bars")
