"""The page: everything a results folder says, in one file that needs nothing else. Needs no torch."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version

from markupsafe import Markup

from salmu_core.judge.compare import labels
from salmu_core.judge.diagnosis import RECOVERABLE, Verdict
from salmu_core.judge.lines import HOLDOUT_PLACE, KNOWLEDGE, LEAK, Line
from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION, MIN_LEAKAGE_REDUCTION
from salmu_core.judge.tails import TAILS
from salmu_core.judge.targets import called, leading
from salmu_core.machine import without_secrets
from salmu_core.show.columns import kept_groups
from salmu_core.show.table import table
from salmu_report import series
from salmu_report.drawings import attributes, drawings, people
from salmu_report.filters import FILTERS
from salmu_report.html import assets, pages
from salmu_report.report import Report

_ROOM = "salmu_report"
_SCRIPTS = ("common.js", "tables.js", "charts.js", "explorer.js")
_STYLES = ("base.css", "report.css")
#: What the script of the drawing library is asked to make known.
_EMBED = "window.vegaEmbed = vegaEmbed;"

#: Split -> which pairs it holds.
SPLIT_PAIRS = {
    "forget": "the associations to be forgotten",
    "holdout_association": "other associations of people who are half forgotten; no method sees them",
    "holdout_identity": "associations of people of whom nothing is forgotten; no method sees them",
    "retain_joint": "ordinary pictures of people who are in the forget set",
    "fragile_set": "ordinary pairs that unlearning harms first",
}


def render(report: Report) -> str:
    """The page as HTML."""
    environment = pages(_ROOM)
    environment.filters |= FILTERS
    scripts = [Markup(bundle()), assets(*((_ROOM, name) for name in _SCRIPTS))]
    results = report.results
    valid = [row for row in results.rows if row.status == "valid"]
    line_labels = labels(results.rows)
    return environment.get_template("report.html.jinja").render(
        report=report,
        results=results,
        lines=report.comparison.lines,
        valid=valid,
        run_name=lambda row: series.run_name(row, line_labels),
        styles=assets(*((_ROOM, name) for name in _STYLES)),
        scripts=scripts,
        policy=f"default-src 'none'; script-src {' '.join(map(_digest, scripts))}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        data={**drawings(report), "worlds": people(report)},
        attributes=attributes(report),
        pillars=[
            (pillar, [c for c in report.figures if c.pillar == pillar])
            for pillar in dict.fromkeys(c.pillar for c in report.figures)
        ],
        meanings={c.header: c.meaning for c in table(report.comparison, report.figures).columns},
        fronts=series.FRONTS.values(),
        tails=TAILS,
        all_needs=sorted({line.needs for view in report.views for line in view.comparison.lines}),
        worlds_with_data=len(report.summaries.albums),
        groups=_groups(report),
        aims={LEAK: "leak", KNOWLEDGE: called(report.figures, "knowledge"), HOLDOUT_PLACE: "holdouts"},
        leak=leading(report.figures, "leak"),
        knowledge=called(report.figures, "knowledge"),
        bars={"leak": MIN_LEAKAGE_REDUCTION, "knowledge": MAX_KNOWLEDGE_DROP, "kept": MIN_HOLDOUT_RETENTION},
        asked=min((line.diagnosis.evidence.bar for line in report.comparison.lines), default=MIN_LEAKAGE_REDUCTION),
        corner={row["role"]: row for row in series.references(report.comparison)},
        numbers={str(row.folder): number for number, row in enumerate(results.runs)},
        missing=_grouped(report.summaries.missing),
        finding=finding(report.comparison.lines),
        splits=SPLIT_PAIRS,
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        core=version("salmu-core"),
        verdict_of=series.verdict_of,
    )


@cache
def bundle() -> str:
    """Vega, Vega-Lite and their embedding as one script; its names stay its own."""
    import vl_convert

    return f"(()=>{{{vl_convert.javascript_bundle(_EMBED)}\n}})()"


def _digest(script: str) -> str:
    """How a content security policy names a script: whatever else gets into the page can't run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _grouped(missing: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> the worlds it holds of."""
    worlds_by_reason: dict[str, list[str]] = {}
    for world, reason in missing.items():
        worlds_by_reason.setdefault(without_secrets(reason), []).append(world)
    return worlds_by_reason


def finding(lines: Sequence[Line]) -> str:
    """What the table comes to, in a sentence."""
    judged = [line.diagnosis for line in lines if line.diagnosis.judged]
    if not judged:
        return ""
    counts = Counter(mode for diagnosis in judged for mode in diagnosis.modes(Verdict.HOLDS))
    back, attacked = counts.pop(RECOVERABLE, 0), sum(RECOVERABLE in diagnosis.verdicts for diagnosis in judged)
    failing = ", ".join(f"{count} {mode}" for mode, count in counts.most_common())
    free = [
        f"{line.label}, b {line.budget:g}"
        for line in lines
        if line.diagnosis.judged and all(mode == RECOVERABLE for mode, *_ in line.diagnosis.remarks())
    ]
    avoiding = f"{len(free)} shown to avoid all three failures" if free else "none is shown to avoid all three failures"
    some = f" ({'; '.join(free)})" if 0 < len(free) <= 3 else ""
    tried = f" Recoverable: {back} of {attacked} that were attacked." if attacked else ""
    return f"Of {len(judged)} lines that could be judged, {avoiding}{some}{f': {failing}' if failing else ''}.{tried}"


def _groups(report: Report) -> dict[str, list[str]]:
    """Holdout figures that belong together, those that some line has; by cosine in any case."""
    lines, groups = report.comparison.lines, kept_groups(report.figures)
    shown = {header: names for header, names in groups.items() if any(line.least_kept(names) for line in lines)}
    return {
        header.removesuffix(" kept"): names
        for header, names in ({"cosine kept": groups["cosine kept"]} | shown).items()
    }
