"""The command line: words that are typed become calls."""

from salmu_core.cli.entry import app, main

__all__ = ["app", "main"]
