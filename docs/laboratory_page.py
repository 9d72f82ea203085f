"""The page ``laboratory.md``: text of ``laboratory.md.template``, tables of what ``benchmarks/laboratory`` measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import comb
from pathlib import Path
from string import Template
from typing import Any

from attacks_page import SAYS, share, worst
from tables import MARK, code, number, table

from salmu_core.judge.tails import TAILS

Data = Mapping[str, Any]

TEXT = Path(__file__).parent / "laboratory.md.template"

EFFICACY = ("RetFail_MRR", "RetFail_R@1", "ACS", "AssocStr", "CoreAssoc", "IdZSC")
UTILITY = ("GenKnow", "InterIdSim", "IntraIdSim", "InterIdRet", "IntraIdRet", "VisIdInt", "FragSim")
#: The published one.
BUDGET = 5
MARKS = {"at": " ≈", "off": "*", "": ""}


def laboratory(study: Data, metrics: Data, attacks: Data) -> str:
    """The whole page."""
    seconds, worlds = study["seconds"], len(study["worlds"])
    main = [line for line in study["lines"] if line["budget"] == BUDGET]
    facts = {
        "mark": MARK,
        "worlds": worlds,
        "seeds": "one seed" if len(study["seeds"]) == 1 else f"{len(study['seeds'])} seeds",
        "budgets": listed([f"{budget:g}" for budget in study["budgets"]]),
        "budget": f"{BUDGET:g}",
        "methods": len(main),
        "pairs": comb(len(main), 2),
        "absent": _absent(study),
        "attacked": len(attacks["lines"]),
        "attack_worlds": "all" if len(attacks["worlds"]) == worlds else len(attacks["worlds"]),
        "runs": study["runs"],
        "command": study["command"],
        "minutes": f"{(seconds['unlearning'] + seconds['scoring']) / worlds / 60 / 2:.0f}",
        "unlearning": f"{seconds['unlearning'] / worlds:.0f}",
        "scoring": f"{seconds['scoring'] / worlds:.0f}",
        "torch": study["environment"]["torch"],
        "metric_worlds": len(metrics["worlds"]),
        "metric_command": metrics["command"],
    }
    tables = {
        "tail_meanings": "".join(f"* `{name}`: {meaning}.\n" for name, meaning in TAILS.items()),
        "pattern": _pattern(study),
        "paper": _paper(study),
        "metrics": _metrics(metrics),
        "verdicts": _verdicts(study, main),
        "more": _by_budget(study),
        "recoverable": _recoverable(attacks),
        "efficacy": _figures(study, main, EFFICACY),
        "utility": _figures(study, main, UTILITY),
        "tails": _tails(study, main),
        "places": _places(main),
    }
    return Template(TEXT.read_text(encoding="utf-8")).substitute(facts, **tables)


#: How each of the two sets that are to be kept is looked at: by cosine, and by the rank of the own caption.
SIMILARITY, RETRIEVAL = ("InterIdSim", "IntraIdSim"), ("InterIdRet", "IntraIdRet")


def interval(found: Mapping[str, float | None], form: str = "") -> str:
    """A value with the longer half of its interval."""
    value, low, high = found["value"], found["low"], found["high"]
    assert value is not None
    shown = format(value, form) if form else number(value)
    if low is None or high is None:
        return shown
    half = max(high - value, value - low)
    if form:
        return f"{shown} ±{format(half, form.lstrip('+z'))}"
    return f"{shown} ±{half:.{4 if 0 < abs(value) < 0.01 else 3}f}".replace("±0.", "±.")


def _absent(study: Data) -> str:
    """What is said of methods and worlds that are not there at every budget, if any are not."""
    absent: Mapping[str, Sequence[str]] = study["absent"]
    everywhere = set.intersection(*map(set, absent.values()))
    said = [f"Not among them are {listed(_codes(everywhere))}."] if everywhere else []
    for budget, names in absent.items():
        missing = [f"no runs of {listed(_codes(only))}"] if (only := set(names) - everywhere) else []
        if (worlds := study["worlds_at"][budget]) < len(study["worlds"]):
            missing.append(f"runs in {worlds} of these worlds alone")
        said += [f"At a budget of {budget} there are {', and '.join(missing)}."] if missing else []
    return " ".join(said) + "\n" * bool(said)


def _codes(names: Collection[str]) -> list[str]:
    return [code(name) for name in sorted(names)]


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


#: Between figures of one cell, which stay on one line.
BESIDE = "\N{NARROW NO-BREAK SPACE}/\N{NARROW NO-BREAK SPACE}"


def _by_budget(study: Data) -> str:
    """What leads of every method at every budget, which share a cell; methods are in the order of the other tables."""
    budgets, lines = study["budgets"], {(line["method"], line["budget"]): line for line in study["lines"]}

    def kept(line: Data) -> list[float]:
        return [share["value"] for share in line["holdout_retention"].values()]

    columns: Mapping[str, Callable[[Data], str]] = {
        "% of the leak gone": lambda line: f"{100 * line['leakage_reduction']['value']:.1f}",
        "% change of GenKnow": lambda line: f"{100 * line['knowledge_change']['value']:+z.1f}",
        "% of the holdouts kept": lambda line: f"{100 * min(kept(line)):z.0f}",
        "s": lambda line: f"{line['seconds']:.0f}",
    }
    rows = [
        (code(name), *(BESIDE.join(say(at) if at else "-" for at in found) for say in columns.values()))
        for name in (line["method"] for line in study["lines"] if line["budget"] == BUDGET)
        if (found := [lines.get((name, budget)) for budget in budgets])
    ]
    at = BESIDE.join(f"{budget:g}" for budget in budgets)
    return table((f"at {at}", *columns), rows, figures=True)


def _recoverable(attacks: Data) -> str:
    """What the attack that brings back most brings back from each method."""
    rows = []
    for line in attacks["lines"]:
        name, most = worst(line) or ("-", {"recovered": None})
        said = SAYS[line["failure_modes"].get("recoverable")]
        rows.append((code(line["method"]), share(line["leak_gone"], ".1%"), code(name), share(most["recovered"]), said))
    return table(
        ("", "leak gone", "by", "brought back", ""), sorted(rows, key=lambda row: (row[4], row[0])), figures=True
    )


def _verdicts(study: Data, lines: list[Data]) -> str:
    rows = []
    for line in lines:
        kept = line["holdout_retention"]
        least = [min((kept[n] for n in names), key=lambda each: each["value"]) for names in (SIMILARITY, RETRIEVAL)]
        rows.append(
            (
                code(line["method"]),
                ", ".join(study["tags"][line["method"]]),
                interval(line["leakage_reduction"], ".1%"),
                LIKE[line["unlike_clean"]],
                interval(line["knowledge_change"], "+z.1%"),
                *(interval(each, "z.0%") for each in least),
                modes_of(line),
                f"{line['seconds']:.1f}",
            )
        )
    header = (
        "method",
        "kind",
        "leak gone",
        "and Clean",
        "GenKnow",
        "similarity kept",
        "retrieval kept",
        "failure modes",
        "s",
    )
    return table(header, rows, figures=True)


LIKE = {"clear": "equal", "holds": "differs", "open": "open", None: "-"}


def modes_of(line: Data) -> str:
    """The modes a method fails by, with what each is of; open ones have a question mark."""
    modes: dict[str, str] = line["failure_modes"]
    said = {
        "ineffective": " (≠Clean)" * line["only_unlike_clean"],
        "over-generalised": " (<0)" * line["worse_than_never_seen"],
    }
    shown = [mode + said.get(mode, "") for mode, v in modes.items() if v == "holds"]
    return ", ".join([*shown, *(f"{mode}?" for mode, v in modes.items() if v == "open")]) or "none"


def _figures(study: Data, lines: list[Data], names: tuple[str, ...]) -> str:
    rows = [
        (role.capitalize(), *(interval(study["references"][role][name]) for name in names))
        for role in ("compromised", "clean")
    ]
    rows += [
        (
            code(line["method"]),
            *(interval(line["figures"][name]) + MARKS[line["figures"][name]["mark"]] for name in names),
        )
        for line in lines
    ]
    return table(("", *map(code, names)), rows, figures=True)


def _tails(study: Data, lines: list[Data]) -> str:
    rows = [
        (role.capitalize(), *(interval(study["references"][role][name]) for name in TAILS))
        for role in ("compromised", "clean")
    ]
    rows += [(code(line["method"]), *(interval(line["tails"][name]) for name in TAILS)) for line in lines]
    return table(("", *map(code, TAILS)), rows, figures=True)


def _places(lines: list[Data]) -> str:
    def place(line: Data, aim: str) -> str:
        first, last = line["places"].get(aim, ("-", "-"))
        return str(first) if first == last else f"{first} - {last}"

    rows = [
        (
            code(line["method"]),
            *(place(line, aim) for aim in ("leak", "knowledge", "holdouts")),
            *(line["fronts"].get(aim, "-") for aim in ("knowledge", "holdouts")),
        )
        for line in lines
    ]
    header = ("", "least leak", "GenKnow kept", "holdouts kept", "front with GenKnow", "with the holdouts")
    return table(header, rows, figures=True)


def _pattern(study: Data) -> str:
    rows = [(code(claim["method"]), claim["claim"], claim["holds"], claim["found"]) for claim in study["pattern"]]
    return table(("method", "in the paper", "here", "what is found at a budget of 5"), rows)


def _paper(study: Data) -> str:
    pairs, rho = study["paper"]["pairs"], study["paper"]["rho"]
    names = list(pairs)
    rows = [
        (code(method), *(f"{pairs[name][method][0]:.3f} / {pairs[name][method][1]:.3f}" for name in names))
        for method in pairs[names[0]]
    ]
    rows.append(("Spearman's rho", *(f"{rho[name]:+.2f}" for name in names)))
    return table(("published / here", *map(code, names)), rows, figures=True)


def _metrics(found: Data) -> str:
    rows = []
    for name, each in found["figures"].items():
        response = [each["response"][share] for share in ("25", "50", "75")]
        order = "-" if each["order"] is None else f"{each['order']:+.2f}"
        rows.append(
            (
                code(name),
                number(each["clean"]),
                number(each["compromised"]),
                "yes" if each["separated"] else "**no**",
                " ".join("-" if share is None else f"{share:.2f}" for share in response),
                order,
                *(_percent(each["moved"][change]) for change in ("resized", "reworded")),
            )
        )
    header = ("", "Clean", "Compromised", "separated", "at 25, 50, 75%", "order", "resized", "reworded")
    return table(header, rows, figures=True)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
