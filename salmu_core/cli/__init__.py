"""The command line: arguments only. Whatever takes torch is imported inside the command that needs it."""

from __future__ import annotations

import sys

import typer

from salmu_core.cli import inspect, results, run
from salmu_core.errors import SalmuError

app = typer.Typer(
    name="salmu",
    help="Run, judge and compare unlearning methods for CLIP models under the SALMUBench protocol.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("evaluate")(run.evaluate)
app.command("results")(results.results)
app.command("plugins")(inspect.plugins)
app.command("methods")(inspect.methods)
app.command("metrics")(inspect.metrics)
app.command("benchmarks")(inspect.benchmarks)


def main() -> None:
    """Entry point of ``salmu``: errors meant for people become a sentence and an exit code."""
    try:
        app()
    except SalmuError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
