"""The page ``attacks.md``: its text, and tables of what ``benchmarks/laboratory/attacks.py`` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from tables import MARK, code, table

Data = Mapping[str, Any]

TEXT = Path(__file__).parent / "attacks.md.template"
NOT_YET = "**Not measured yet.**\n"
#: Signs that are shown of each attack, those that go along with it most.
SIGNS = 3
#: Verdict -> how the page says it.
SAYS = {"holds": "**recoverable**", "open": "recoverable?", "clear": "not recoverable", None: "-"}


def page(found: Data) -> str:
    """The whole page.

    Args:
        found: What was measured.
    """
    lines = sorted(found["lines"], key=lambda line: (_verdict(line) == "holds", -_gone(line)))
    attacks = by_cost(found)
    facts = {
        "mark": MARK,
        "worlds": len(found["worlds"]),
        "first": found["worlds"][0].partition("@")[2] or "0",
        "last": found["worlds"][-1].partition("@")[2],
        "budget": f"{lines[0]['budget']:g}",
        "methods": len(lines),
        "commands": "\n".join(found["commands"]),
        "attacks": len(attacks),
        "recoverable": sum(_verdict(line) == "holds" for line in lines),
        "alone": sum(line["worlds_shown"] == len(found["worlds"]) for line in lines),
        "cleared": sum(_verdict(line) == "clear" for line in lines),
        "seconds": f"{sum(found['attacks'][name]['seconds'] for name in attacks):.0f}",
        "untrained": f"{sum(it['seconds'] for it in found['attacks'].values() if not it['steps']):.0f}",
        "pairs": len(found["foretold"]),
        "shown": sum(one["p_holm"] < 0.05 for one in found["foretold"]),
    }
    tables = {
        "table_methods": _methods(lines, len(found["worlds"])),
        "table_controls": _controls(found, attacks),
        "table_towers": _towers(lines),
        "table_curves": _curves(lines, [name for name in attacks if found["attacks"][name]["steps"]]),
        "table_signs": _signs(found["foretold"]),
    }
    return Template(TEXT.read_text(encoding="utf-8")).substitute(facts, **tables)


def by_cost(found: Data) -> list[str]:
    """Attacks, those that a verdict may rest on first, the cheapest first."""
    attacks = found["attacks"]
    return sorted(attacks, key=lambda name: ("original" in attacks[name]["given"], attacks[name]["seconds"]))


def share(found: Data | None, form: str = ".0%") -> str:
    """A share with the ends of its interval."""
    if not found:
        return "-"
    value = format(round(found["value"], 4) + 0.0, form)
    if found["low"] is None:
        return value
    return f"{value} [{format(found['low'], form)}, {format(found['high'], form)}]"


def worst(line: Data) -> tuple[str, Data] | None:
    """The attack that the verdict rests on, by its name: of those that may be, what brings back most."""
    judged = {name: it for name, it in line["attacks"].items() if it["verdict"] and it["recovered"]}
    name = max(judged, key=lambda name: judged[name]["recovered"]["value"], default=None)
    return (name, judged[name]) if name else None


def _verdict(line: Data) -> str | None:
    found: str | None = line["failure_modes"].get("recoverable")
    return found


def _gone(line: Data) -> float:
    return float(line["leak_gone"]["value"]) if line["leak_gone"] else 0.0


def _methods(lines: list[Data], worlds: int) -> str:
    rows = []
    for line in lines:
        name, attack = worst(line) or ("-", {"recovered": None, "query": ""})
        rows.append(
            (
                code(line["method"]),
                share(line["leak_gone"], ".1%"),
                code(name),
                attack["query"],
                share(attack["recovered"]),
                SAYS[_verdict(line)],
                f"{line['worlds_shown']} of {worlds}",
            )
        )
    header = ("method", "leak gone", "what brings back most", "", "share that is back", "so it is", "by itself in")
    return table(header, rows, figures=True)


def _controls(found: Data, attacks: list[str]) -> str:
    harmless = (found["harmless"] or {"attacks": {}})["attacks"]
    rows = []
    for name in attacks:
        it, known = found["attacks"][name], harmless.get(name)
        rows.append(
            (
                code(name),
                it["kind"],
                ", ".join(it["given"]) or "nothing",
                share(known and known["recovered"]),
                f"{known['added_to_clean']['value']:+.4f}" if known and known["added_to_clean"] else "-",
                f"{it['steps']:.0f}" if it["steps"] else "none",
                f"{it['seconds']:.0f}",
            )
        )
    header = ("", "kind", "given", "back from Compromised after a harmless step", "added to Clean's MRR", "steps", "s")
    return table(header, rows, figures=True)


def _stages(line: Data, attack: str) -> list[Data]:
    found = line["attacks"].get(attack)
    return list(found["stages"]) if found else []


def _towers(lines: list[Data]) -> str:
    labels = list(dict.fromkeys(stage["label"] for line in lines for stage in _stages(line, "reload")))
    rows = []
    for line in lines:
        back = {stage["label"]: stage.get("recovered") for stage in _stages(line, "reload")}
        cells = [back.get(label) for label in labels]
        rows.append((code(line["method"]), *("-" if cell is None else f"{cell:.0%}" for cell in cells)))
    return table(("original part put back", *labels), rows, figures=True) if labels else NOT_YET


def _curves(lines: list[Data], labels: list[str]) -> str:
    rows = []
    for line in lines:
        found = [line["attacks"].get(label, {"curves": ()})["curves"] for label in labels]
        rows.append((code(line["method"]), *(cell for curves in found for cell in (_area(curves), _half(curves)))))
    header = ("method", *(f"{code(label)}: {what}" for label in labels for what in ("area", "half")))
    return table(header, rows, figures=True) if labels else NOT_YET


def _area(curves: Sequence[Data]) -> str:
    """The mean share that is back on the way, of the curve of which it is largest."""
    means = [curve["mean"] for curve in curves if curve["mean"]]
    return share(max(means, key=lambda mean: float(mean["value"]), default=None))


def _half(curves: Sequence[Data]) -> str:
    """After how many steps half of the leak is there, by the curve of which that is soonest."""
    soonest = min((curve["half"] for curve in curves if curve["half"] is not None), default=None)
    return "-" if soonest is None else f"{soonest:.0f}"


def _signs(foretold: list[Data]) -> str:
    rows = []
    for attack in dict.fromkeys(one["attack"] for one in foretold):
        told = sorted((one for one in foretold if one["attack"] == attack), key=lambda one: -abs(one["rho"]))
        signs = [f"{one['figure']} {one['rho']:+.2f} (p {one['p']:.2g})" for one in told[:SIGNS]]
        rows.append((code(attack), told[0]["methods"], "; ".join(signs)))
    return table(("share of what was gone that is back by", "methods", "goes along most with, Spearman"), rows)
