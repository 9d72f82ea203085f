"""``salmu references recipe``: what can be set."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from salmu_core.cli.output import console
from salmu_references.recipe import Recipe, read_recipe


def describe(config: Path | None) -> None:
    """Print the fields of a recipe.

    Raises:
        UsageError: The file can't be read, or is no recipe.
    """
    recipe = read_recipe(config, [], None)
    table = Table(box=None, pad_edge=False)
    for column in ("field", "value", "meaning"):
        table.add_column(column)
    for name, field in Recipe.model_fields.items():
        value = getattr(recipe, name)
        table.add_row(name, "" if value is None else json.dumps(value), field.description)
    console().print(table)
