"""The commands that list what is installed: arguments only."""

from __future__ import annotations

from salmu_core.cli.options import Json, Name


def plugins(as_json: Json = False) -> None:
    """List installed plugins, and say what is wrong with those that can't be used."""
    from salmu_core.cli import listings as inspect

    inspect.plugins(as_json)


def methods(name: Name = None, as_json: Json = False) -> None:
    """List installed unlearning methods, or show one with its settings."""
    from salmu_core.cli import listings as inspect

    inspect.methods(name, as_json)


def metrics(name: Name = None, as_json: Json = False) -> None:
    """List installed metrics, or show one in full."""
    from salmu_core.cli import listings as inspect

    inspect.metrics(name, as_json)


def benchmarks(name: Name = None, as_json: Json = False) -> None:
    """List installed benchmarks, or show one and where it lies."""
    from salmu_core.cli import listings as inspect

    inspect.benchmarks(name, as_json)
