"""The README's first table: what a newcomer's methods do, of what ``benchmarks/laboratory`` measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from laboratory_page import BUDGET, RETRIEVAL, SIMILARITY, Data, listed, modes_of
from tables import code, table

from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION


def first_table(study: Data, names: Collection[str]) -> str:
    """What a newcomer sees first, at the published budget, in the order of every table, but for controls.

    Args:
        names: Methods that have a line; of the others it is said who does as well.
    """

    def passing(shares: Sequence[Data], bar: float, form: str) -> str:
        """The least of some shares, bold where all are shown to pass."""
        said = format(min(share["value"] for share in shares), form)
        return f"**{said}**" if all(share["low"] >= bar for share in shares) else said

    def kept(line: Data, names: tuple[str, ...]) -> str:
        return passing([line["holdout_retention"][name] for name in names], MIN_HOLDOUT_RETENTION, "z.0%")

    lines = [line for line in study["lines"] if line["budget"] == BUDGET]
    controls = {name for name, tags in study["tags"].items() if "control" in tags}
    shown = sorted((line for line in lines if line["method"] in names), key=lambda line: line["method"] in controls)
    others = [line for line in lines if line["method"] not in names]
    rows = [
        (
            code(line["method"]) + " (control)" * (line["method"] in controls),
            passing([line["leakage_reduction"]], line["leakage_bar"], ".1%"),
            passing([line["knowledge_change"]], -MAX_KNOWLEDGE_DROP, "+z.1%"),
            kept(line, SIMILARITY),
            kept(line, RETRIEVAL),
            modes_of(line),
        )
        for line in shown
    ]
    (bar,) = {line["leakage_bar"] for line in lines}
    header = ("method", "leak gone", "general knowledge", "holdouts' similarity kept", "their retrieval", "fails by")
    said = (
        f"What `salmu run --all` finds in {len(study['worlds'])} worlds of `mini`, budget {BUDGET:g}. *Holdouts* are "
        "what was not to be forgotten: other people, and other facts of the same people. **Bold**: shown to pass "
        f"({bar:.1%} of the leak gone, at most {MAX_KNOWLEDGE_DROP:.0%} of general knowledge lost, "
        f"{MIN_HOLDOUT_RETENTION:.0%} of the holdouts kept). *≠Clean*: the leak is gone, "
        "and what is left of it is shown to be unlike a model that never knew. "
        "[The laboratory](docs/laboratory.md) has the intervals, who is shown to differ, and "
        f"{len(others)} more methods{_as_good(shown, others)}.\n"
    )
    return f"{said}\n{table(header, rows)}"


def _as_good(shown: Sequence[Data], others: Sequence[Data]) -> str:
    """Which others fail in no more ways than the best that is shown and ends a leak."""
    ending = [line for line in shown if ends_leak(line)]
    fewest = min((len(fails_by(line)) for line in ending), default=0)
    good = [code(line["method"]) for line in others if ends_leak(line) and len(fails_by(line)) <= fewest]
    return f", of which {listed(good)} fail in as few ways as the best of these" if good else ""


def ends_leak(line: Data) -> bool:
    """Whether next to nothing of the leak is left."""
    return bool(line["leakage_reduction"]["low"] >= line["leakage_bar"])


def fails_by(line: Data) -> list[str]:
    """Modes by which a method fails, or may."""
    modes = line["failure_modes"].items()
    return [mode + "?" * (verdict == "open") for mode, verdict in modes if verdict in ("holds", "open")]
