"""What plugins bring, by name. Importing this costs nothing."""

from collections.abc import Collection

#: The project's name to pluggy, and the group of its entry points.
PROJECT = "salmu"
#: What can be declared; the hook that returns declarations of a kind is ``salmu_methods`` and so on.
KINDS = ("method", "metric", "benchmark", "attack")
#: The three ways of an attack, of which each has one; the fields of `AttackSpec` that are functions.
ATTACK_KINDS = ("model", "query", "readout")


def hook_of(kind: str) -> str:
    """Name of the hook that returns declarations of a kind."""
    return f"{PROJECT}_{kind}s"


def is_judged(given: Collection[str]) -> bool:
    """Whether a verdict may rest on an attack, by what its attacker holds: who has the original has the leak."""
    return "original" not in given


def columns_of(metric: str, figures: tuple[str, ...]) -> tuple[str, ...]:
    """The names that a metric's figures carry in every table and file."""
    return tuple(f"{metric}_{figure}" for figure in figures) or (metric,)
