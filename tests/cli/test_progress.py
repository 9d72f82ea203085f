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
