"""The page ``beyond.md``: its text, and tables of what ``benchmarks/laboratory/beyond.py`` measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any

from laboratory_page import EFFICACY, UTILITY, interval
from tables import MARK, code, number, table

Data = Mapping[str, Any]

TEXT = Path(__file__).parent / "beyond.md.template"
METHOD, BESIDE = "counterfactual", "cliperase"
AS_IT_IS = "as it is"
NOT_YET = "**Not measured yet.**\n"
CARRIES = {
    "architecture": "A world of `mini` with models that are deeper and wider: a text tower of 3 layers and width 96",
    "full": "60,053 drawn pairs of 774 people, the forget set 18 times `mini`'s, a text tower of 2 layers and width 64",
}


def beyond(found: Data, tried: int) -> str:
    """The whole page.

    Args:
        found: What was measured.
        tried: Number of trials in the log.
    """
    part = found["confirmation"]
    line = _line(part, METHOD)
    rows = goals(line, _line(part, BESIDE))
    first = goals(*(_line(found["first"], method) for method in (METHOD, BESIDE)))
    facts = {
        "mark": MARK,
        "worlds": line["worlds"],
        "first": part["worlds"][0].partition("@")[2],
        "last": part["worlds"][-1].partition("@")[2],
        "seeds": line["runs"] // line["worlds"],
        "runs": line["runs"],
        "command": part["command"],
        "reached": sum(reached == "yes" for _, _, reached in rows),
        "number": len(rows),
        "first_reached": sum(reached == "yes" for _, _, reached in first),
        "tried": tried,
        "cost": _cost(line),
        **_summed_up(line, _line(part, BESIDE)),
    }
    tables = {
        "goals": table(
            ("goal", "measured", "reached", "first version, worlds 210 to 214"),
            [(*row, before) for row, (_, before, _) in zip(rows, first, strict=True)],
        ),
        "confirmation": _figures(part, found.get("others")),
        "attacks": _attacks(part, [METHOD, BESIDE]),
        "reworded": _reworded(found.get("reworded")),
        "ablation": _summary(found.get("ablation"), _changed(found.get("ablation"))),
        "carry": "\n".join(f"{title}:\n\n{_summary(found.get(name), {})}" for name, title in CARRIES.items()),
        "requests": _summary(_some_requests(found.get("requests")), {}),
    }
    return Template(TEXT.read_text(encoding="utf-8")).substitute(facts, **tables)


def _summed_up(line: Data, beside: Data) -> dict[str, str]:
    """The figures of the page's first paragraphs."""
    brought, theirs = (
        {name: _percent(attack["recovered"]) for name, (attack,) in _leading(of).items()} for of in (line, beside)
    )
    return {
        "gone": f"{line['leak_gone']['value']:.1%}",
        "inter": _percent(line["kept"]["InterIdSim"]),
        "intra": _percent(line["kept"]["IntraIdSim"]),
        "beside_inter": _percent(beside["kept"]["InterIdSim"]),
        "beside_intra": _percent(beside["kept"]["IntraIdSim"]),
        "inter_rank": _percent(line["retrieval"]["InterIdRet"]),
        "intra_rank": _percent(line["retrieval"]["IntraIdRet"]),
        "readout": brought["linear-readout"],
        "relearned": brought["relearn-leaked"],
        "beside_readout": theirs["linear-readout"],
        "beside_relearned": theirs["relearn-leaked"],
        "knowledge": f"{line['knowledge']['value']:+.1%}",
    }


def _percent(found: Data) -> str:
    return f"{round(found['value'], 2) + 0.0:.0%}"  # no "-0%"


def goals(line: Data, beside: Data) -> list[tuple[str, str, str]]:
    """What was to be reached, what is measured, and whether the whole interval lies there."""
    figures = line["figures"]
    rows = [
        ("at least 99% of the leak gone", _share(line["leak_gone"], ".2%"), _at_least(line["leak_gone"], 0.99)),
        (
            "RetFail as Clean's, by two one-sided tests at 5%",
            interval(figures["RetFail_MRR"]),
            {"clear": "yes", "holds": "no"}.get(line["like_clean"], "open"),
        ),
        (
            "85% to 115% of the gap of AssocStr closed",
            _share(line["gap_closed"]),
            _within(line["gap_closed"], 0.85, 1.15),
        ),
    ]
    rows += [
        (f"at least 90% of {code(name)} kept", _share(kept), _at_least(kept, 0.9))
        for name, kept in line["kept"].items()
    ]
    rows += [
        (f"at least 85% of Compromised's {code(name)}", _share(kept), _at_least(kept, 0.85))
        for name, kept in line["retrieval"].items()
    ]
    rows += [
        (f"{code(name)} within 2% of Compromised's", _share(kept), _within(kept, 0.98, 1.02))
        for name, kept in line["visual"].items()
    ]
    rows += [
        (
            "`GenKnow` down by no more than 1%",
            interval(line["knowledge"], "+.1%"),
            _at_least(line["knowledge"], -0.01),
        ),
        ("`ACS` no more than .65", interval(figures["ACS"]), _at_least(_negative(figures["ACS"]), -0.65)),
    ]
    for attack, (mine, theirs) in _leading(line, beside).items():
        shown = f"{_share(mine['recovered'])}, {code(BESIDE)} {_share(theirs['recovered'])}"
        less = _at_least(_negative(mine["recovered"]), -theirs["recovered"]["low"])
        less = "open" if less == "no" and mine["recovered"]["low"] <= theirs["recovered"]["high"] else less
        rows.append((f"no more back by {code(attack)} than of {code(BESIDE)}", shown, less))
    return rows


def _leading(*lines: Data) -> dict[str, tuple[Data, ...]]:
    """What each attack brings back of lines, by the figure that counts; where it is known of all of them."""
    found = [
        {a["attack"]: a for a in line["attacks"] if a["recovered"] and a["median_rank"] is not None} for line in lines
    ]
    return {name: tuple(of[name] for of in found) for name in found[0] if all(name in of for of in found)}


def _line(part: Data, method: str) -> Data:
    line: Data = next(line for line in part["lines"] if line["method"] == method)
    return line


def _share(found: Data, form: str = ".1%") -> str:
    """A share with the ends of its interval."""
    value = format(found["value"], form)
    if found["low"] is None:
        return value
    return f"{value} [{format(found['low'], form)}, {format(found['high'], form)}]"


def _at_least(found: Data, bar: float) -> str:
    if found["low"] is None:
        return "open"
    return "yes" if found["low"] >= bar else "no" if found["high"] < bar else "open"


def _within(found: Data, low: float, high: float) -> str:
    if found["low"] is None:
        return "open"
    if found["low"] >= low and found["high"] <= high:
        return "yes"
    return "no" if found["high"] < low or found["low"] > high else "open"


def _negative(found: Data) -> Data:
    if found["low"] is None:
        return {"value": -found["value"], "low": None, "high": None}
    return {"value": -found["value"], "low": -found["high"], "high": -found["low"]}


def _figures(part: Data, others: Data | None) -> str:
    known = {line["method"] for line in part["lines"]}
    more = [line for line in (others["lines"] if others else ()) if line["method"] not in known]
    lines, text = [*part["lines"], *more], ""
    for names in (EFFICACY, UTILITY):
        rows = [
            (role.capitalize(), *(interval(part["references"][role][name]) for name in names))
            for role in ("compromised", "clean")
        ]
        rows += [(code(line["label"]), *(interval(line["figures"][name]) for name in names)) for line in lines]
        text += table(("", *map(code, names)), rows, figures=True) + "\n"
    return text


def _attacks(part: Data, methods: Sequence[str]) -> str:
    rows = []
    for name, found in _leading(*(_line(part, method) for method in methods)).items():
        cells = [f"{_share(attack['recovered'])}, rank {attack['median_rank']:,.0f}" for attack in found]
        rows.append((code(name), *cells, _share(found[0]["from_compromised"], ".0%")))
    return table(("back by", *map(code, methods), "from Compromised"), rows, figures=True)


def _reworded(part: Data | None) -> str:
    if part is None:
        return NOT_YET
    names = list(next(iter(part["methods"].values())))
    rows = [(code(method), *(_share(found[name]) for name in names)) for method, found in part["methods"].items()]
    return table(("", "leak gone", *(f"{code(name)} kept" for name in names[1:])), rows, figures=True)


def _summary(part: Data | None, names: Mapping[str, str]) -> str:
    """One row a line: the figures that the goals are about."""
    if part is None:
        return NOT_YET
    header = ("", "leak gone", "gap closed", "ACS", "GenKnow", "similarity kept", "retrieval kept", "s")
    attacks = sorted({name for line in part["lines"] for name in _leading(line)})
    rows = []
    for line in sorted(part["lines"], key=lambda line: names.get(line["label"], "") != AS_IT_IS):
        label, brought = line["label"], _leading(line)
        rows.append(
            (
                names.get(label, label.removeprefix(f"{METHOD} ")),
                f"{line['leak_gone']['value']:.1%}",
                f"{line['gap_closed']['value']:.0%}",
                number(line["figures"]["ACS"]["value"]),
                f"{line['knowledge']['value']:+.1%}",
                _both(line["kept"]),
                _both(line["retrieval"]),
                f"{line['seconds']:.0f}",
                *(_percent(brought[name][0]["recovered"]) if name in brought else "" for name in attacks),
            )
        )
    return table((*header, *(f"back by {code(name)}" for name in attacks)), rows, figures=True)


def _some_requests(part: Data | None) -> Data | None:
    """The first, the second, the middle one, the last, and all of them; a method after the other."""
    if part is None:
        return None
    asked = re.compile(r"all \d+ requests|request (1|2|5|10) of")
    lines = [line for line in part["lines"] if asked.search(line["label"])]
    return {"lines": sorted(lines, key=lambda line: (line["method"] != METHOD, "all" in line["label"]))}


def _changed(part: Data | None) -> dict[str, str]:
    """What is not as in most lines, by label."""
    labels = [line["label"] for line in (part["lines"] if part else ())]
    settings = {label: label.removeprefix(METHOD).split() for label in labels}
    usual = {setting for setting, lines in Counter(chain(*settings.values())).items() if 2 * lines > len(labels)}
    return {
        label: ", ".join(code(it) for it in each if it not in usual) or AS_IT_IS for label, each in settings.items()
    }


def _both(found: Mapping[str, Data]) -> str:
    return " / ".join(f"{kept['value']:.0%}" for kept in found.values())


def _cost(line: Data) -> str:
    return (
        f"At a budget of {line['budget']:g} a run on `mini` takes {line['seconds']:.0f} s on one core and sends "
        f"{line['captions']:,.0f} captions through the text tower, and {line['images']:,.0f} images through the other "
        "one; its vectors of images are the original's."
    )


def trials(lines: Iterable[str]) -> int:
    """Number of trials in the log."""
    return sum(1 for line in lines if line.strip()) - 1
