"""``salmu`` itself: its two options, and what becomes of an error. Every command is a file of its own."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from salmu_core.cli.commands import Commands
from salmu_core.cli.output import guarded, say
from salmu_core.errors import SalmuError, UsageError, described, is_machines
from salmu_core.plugins.allowed import VARIABLE
from salmu_core.show.escape import visible

app = typer.Typer(
    name="salmu",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from salmu_core.contract.version import API_VERSION, CORE

        say(f"{CORE} {version(CORE)} (API {API_VERSION})")
        raise typer.Exit


def _only(names: str | None) -> None:
    if names is not None:
        os.environ[VARIABLE] = names.strip() or "off"  # of processes that this one starts too


@app.callback()
def salmu(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the versions of core and API.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only-plugins",
            metavar="NAME[,NAME...]|off",
            envvar=VARIABLE,
            callback=_only,
            is_eager=True,
            help="Use these plugins alone, by their distributions, as if no other were installed; or none.",
        ),
    ] = None,
) -> None:
    """Run, judge and compare unlearning methods for CLIP models under the SALMUBench protocol."""


def run() -> None:
    """Carry out what was typed: errors meant for people become a sentence and an exit code.

    ``SALMU_DEBUG=1`` shows their traceback instead.
    """
    # Threads that wait by spinning starve each other when processes share the cores; read when torch is imported, which
    # a plugin may do.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with guarded() as streams:
        code = _run()
        sys.stdout.flush()
        lost = next((stream.lost for stream in streams if stream.lost), None)
        # `salmu results | head`: whoever read has read enough
        if lost is not None and not isinstance(lost, BrokenPipeError):
            _complain(f"standard output takes no more ({lost.strerror}): a part of what was to be shown is lost.")
            code = code or 1
    sys.exit(code)


def _run() -> int:
    """Do what is asked; returns the exit code."""
    try:
        refuse_empty(sys.argv[1:])
        app()
    except SystemExit as end:
        if isinstance(end.code, str):  # Python's own way to end with a sentence
            say(visible(end.code), stderr=True)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        if os.environ.get("SALMU_DEBUG") or not (isinstance(error, SalmuError) or is_machines(error)):
            traceback.print_exc()
        else:
            _complain(str(error) if isinstance(error, OSError) else described(error))
        return getattr(error, "exit_code", 1)
    return 0


def _complain(sentence: str) -> None:
    say(f"Error: {visible(sentence)}", stderr=True)


def refuse_empty(words: Sequence[str]) -> None:
    """Take no empty word for one that was not given: it is a variable of a script that is not set.

    Raises:
        UsageError: There is one.
    """
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=")
        if not word.strip():
            what = f"What is given for {before}" if before.startswith("-") else "An argument"
        elif word.startswith("--") and equals and not value.strip():
            what = f"What is given for {option}"
        else:
            continue
        raise UsageError(f"{what} is empty. Is a variable not set? Give it, or leave it out.")
