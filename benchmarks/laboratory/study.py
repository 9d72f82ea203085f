"""Boil a study over worlds down to what ``docs/laboratory.md`` shows: ``python benchmarks/laboratory/study.py RUNS``.

The folder is one that ``salmu run --all`` made on several worlds of ``mini``, at budgets of 1 and 5 and larger ones,
with several seeds. What comes out, ``study.json`` beside this file, holds no run, only figures with their intervals;
times are of the machine that made it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salmu_core.contract.layout import ROLES
from salmu_core.judge.compare import compare
from salmu_core.judge.diagnosis import CATASTROPHIC, INEFFECTIVE, Verdict
from salmu_core.judge.lines import Comparison, Line
from salmu_core.judge.protocol import MIN_HOLDOUT_RETENTION
from salmu_core.judge.results import read_results
from salmu_core.judge.statistics import interval_json
from salmu_core.plugins.zoo import discover
from salmu_core.store.folders import METRICS, Store, read_record
from salmu_core.store.records import MetricsRecord

HERE = Path(__file__).parent
DATA = HERE / "study.json"
DIGITS = 5
BUDGET = 5.0
#: "At Clean": no more than this of the way from Clean to Compromised is kept.
A_TENTH = 0.1


def rounded(value: Any) -> Any:
    """The same, with as many digits as anybody reads."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


#: Facts of a line that say where it stands.
LEADING = ("method", "budget", "leakage_reduction", "knowledge_change", "holdout_retention", "failure_modes")
#: What the paper measures of the holdouts.
HOLDOUTS = ("InterIdSim", "IntraIdSim")


def pattern(lines: Mapping[str, Line], few: Mapping[str, Line]) -> list[dict[str, Any]]:
    """What the paper found, claim by claim, and what is found here.

    Args:
        lines: Method -> its line at the published budget.
        few: Method -> its line at the smaller budget.
    """

    def says(method: str) -> str:
        evidence = lines[method].diagnosis.evidence
        assert evidence.reduction and evidence.knowledge
        kept = min(evidence.retention[name].value for name in HOLDOUTS)
        return (
            f"{evidence.reduction.value:.1%} of the leak gone, GenKnow {evidence.knowledge.value:+.1%}, "
            f"{kept:.0%} of the holdouts kept"
        )

    def verdict(method: str, mode: str) -> Verdict:
        return lines[method].diagnosis.verdicts[mode]

    def forgets(method: str) -> bool:
        evidence = lines[method].diagnosis.evidence
        return evidence.reduction is not None and evidence.reduction.low >= evidence.bar

    def at_clean(method: str) -> bool:
        return all(lines[method].diagnosis.evidence.retention[name].value <= A_TENTH for name in HOLDOUTS)

    def between(method: str) -> bool:
        kept = [lines[method].diagnosis.evidence.retention[name] for name in HOLDOUTS]
        return all(share.low > 0 and share.high < MIN_HOLDOUT_RETENTION for share in kept)

    def fails_or_trades(method: str) -> bool:
        return Verdict.HOLDS in (verdict(method, INEFFECTIVE), verdict(method, CATASTROPHIC))

    def front(method: str) -> bool:
        before, after = few[method].diagnosis.evidence, lines[method].diagnosis.evidence
        assert before.reduction and before.knowledge and after.reduction and after.knowledge
        return after.reduction.value >= before.reduction.value and after.knowledge.value <= before.knowledge.value

    def keeps(method: str) -> Verdict:
        return verdict(method, CATASTROPHIC)

    claims: Sequence[tuple[str, str, Callable[[str], bool | Verdict]]] = [
        ("shuffled-captions", "catastrophic", lambda m: verdict(m, CATASTROPHIC) is Verdict.HOLDS),
        ("direct-similarity", "catastrophic", lambda m: verdict(m, CATASTROPHIC) is Verdict.HOLDS),
        *((m, "forgets fully (the bar of the leak that is gone)", forgets) for m in ("delete", "cliperase")),
        *((m, "keeps GenKnow", keeps) for m in ("delete", "cliperase")),
        *(
            (m, "holdout similarity at or below Clean's, or a tenth of the way up", at_clean)
            for m in ("delete", "cliperase")
        ),
        ("vlunlearn", "holdout similarity between Clean's and Compromised's", between),
        *(
            (m, "ineffective, or trading one aim for the other", fails_or_trades)
            for m in ("generic-captions", "finetuning")
        ),
        ("negative-gradient", "forgets more and knows less as its budget grows", front),
    ]
    words = {True: "yes", False: "no", Verdict.CLEAR: "yes", Verdict.OPEN: "open", Verdict.HOLDS: "no"}
    return [{"method": m, "claim": claim, "holds": words[holds(m)], "found": says(m)} for m, claim, holds in claims]


def line_json(line: Line) -> dict[str, Any]:
    """A line without what can be read from its neighbours; at other budgets than `BUDGET`, what leads alone."""
    facts = line.as_json()
    own = {"runs": len(line.rows), "seconds": line.seconds}
    if line.budget != BUDGET:
        return {name: facts[name] for name in LEADING} | own
    keep = ("method", "budget", "tails", "leakage_reduction", "leakage_bar", "unlike_clean", "knowledge_change")
    marks = {name: "at" if f.equivalent else "off" if f.missed else "" for name, f in line.figures.items()}
    figures = {
        name: {**{k: figure[k] for k in ("value", "low", "high")}, "mark": marks[name]}
        for name, figure in facts["figures"].items()
    }
    more = ("holdout_retention", "failure_modes", "only_unlike_clean", "worse_than_never_seen", "places", "fronts")
    return {
        **{key: facts[key] for key in keep},
        "figures": figures,
        **{key: facts[key] for key in more},
        **own,
    }


def measure(runs: Path) -> dict[str, Any]:
    """Everything the page shows."""
    store = Store(runs)
    worlds = [name for name in store.benchmarks() if name.partition("@")[0] == "mini"]
    results = read_results(store, worlds)
    comparison = compare(results, results.columns)
    if results.invalid:
        raise SystemExit(f"{runs} holds runs without a result: {results.invalid[0].folder}")
    records = [row.record for row in results.rows if row.record]
    seeds = sorted({record.seed for record in records})
    budgets = sorted({line.budget for line in comparison.lines})
    at = {budget: {line.label: line for line in comparison.lines if line.budget == budget} for budget in budgets}
    tags = {name: sorted(declared.tags) for name, declared in discover().methods.items()}
    ours = {label: {name: f.repeats.value for name, f in line.figures.items()} for label, line in at[BUDGET].items()}
    pairs, rho = paper_table().beside(ours)
    table = {
        "command": (
            f"salmu run --all --world 0-{len(results.worlds) - 1} --seed {ranged(seeds)} --budget {spelled(budgets)}"
        ),
        "worlds": results.worlds,
        "seeds": seeds,
        "budgets": budgets,
        "tags": {name: tags[name] for name in at[BUDGET]},
        "absent": {f"{budget:g}": sorted(tags.keys() - at[budget].keys()) for budget in budgets},
        "worlds_at": {f"{budget:g}": worlds_of(list(at[budget].values())) for budget in budgets},
        "runs": len(records),
        "environment": {k: v for k, v in records[0].environment.items() if k != "platform"},
        "seconds": {"unlearning": sum(r.ledger.seconds for r in records), "scoring": scoring(store, comparison)},
        "references": {
            role: {name: interval_json(f.value) for name, f in figures.items()}
            for role, figures in comparison.references.items()
        },
        "margins": {name: f.margin for name, f in comparison.lines[0].figures.items() if f.margin is not None},
        "lines": [line_json(line) for line in comparison.lines],
        "pattern": pattern(at[BUDGET], at[1.0]),
        "paper": {"pairs": pairs, "rho": rho},
    }
    return rounded(table)


def worlds_of(lines: Sequence[Line]) -> int:
    """In how many worlds all methods of a budget ran; a study that is not at its end has no such number."""
    counts = {(line.worlds, len(line.rows)): line.label for line in lines}
    if len(counts) > 1:
        said = [f"{label} has {runs} runs in {worlds} worlds" for (worlds, runs), label in sorted(counts.items())]
        raise SystemExit(
            f"at budget {lines[0].budget:g} {' and '.join((said[0], said[-1]))}: "
            "let the study come to its end, or give a copy without what is unfinished"
        )
    return min(counts)[0]


def ranged(seeds: Sequence[int]) -> str:
    """Seeds from 0 on, as the command line takes them."""
    return "0" if len(seeds) == 1 else f"0-{seeds[-1]}"


def spelled(budgets: Sequence[float]) -> str:
    """Budgets, likewise."""
    return ",".join(f"{budget:g}" for budget in budgets)


def scoring(store: Store, comparison: Comparison) -> float:
    """Seconds spent on all metrics of all models."""
    folders = [row.folder for row in comparison.results.rows]
    folders += [store.reference(world, role) for world in comparison.results.worlds for role in ROLES]
    records = [read_record(folder / METRICS, MetricsRecord) for folder in folders]
    return sum(record.seconds for record in records if record)


def paper_table() -> Any:
    """The module ``paper_table.py`` beside this file, wherever this one is run from."""
    spec = importlib.util.spec_from_file_location("paper_table", HERE / "paper_table.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=DATA)
    given = parser.parse_args()
    given.out.write_text(json.dumps(measure(given.runs), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
