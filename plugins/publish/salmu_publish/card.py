"""The model card of a run. Every text that comes from data is escaped as it enters the template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from salmu_core.judge.diagnosis import CATASTROPHIC, INEFFECTIVE, OVER_GENERALISED, RECOVERABLE, Verdict
from salmu_core.judge.lines import Figure, Line
from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION
from salmu_core.judge.recoverable import Recovery, worst
from salmu_core.judge.single import OneRun
from salmu_core.judge.statistics import Interval
from salmu_core.judge.targets import called
from salmu_core.show.escape import Markdown, fenced, plain, visible_lines
from salmu_core.show.words import held, verdict

PAPER = "https://arxiv.org/abs/2603.26316"
TASK = "zero-shot-image-classification"

_USE = """\
import open_clip

name = {name}  # or local-dir: and the folder this lies in
model, preprocess = open_clip.create_model_from_pretrained(name)
tokenizer = open_clip.get_tokenizer(name)
model.eval()"""

_SAYS = {Verdict.HOLDS: "yes", Verdict.OPEN: "can't be told: the interval lies on both sides", Verdict.CLEAR: "no"}


@dataclass(frozen=True)
class Sound(OneRun):
    """A run that may be published.

    Attributes:
        notice: The sentence the benchmark wants above its tables.
    """

    notice: str


def render(sound: Sound, title: str, licence: str | None, repository: str) -> str:
    """The card: front matter and text.

    Args:
        sound: The run.
        title: The run in a few words.
        licence: Of the weights; None if it is not said.
        repository: Where it will be on the hub; empty if nowhere.
    """
    record, line = sound.record, sound.line
    text = (
        templates()
        .get_template("card.md.jinja")
        .render(
            title=title,
            world=sound.world,
            record=record,
            notice=sound.notice,
            sentence=verdict(line.diagnosis),
            modes=_modes(line, called(sound.columns, "knowledge")),
            attacks=attacks(line.recoveries),
            rows=_rows(sound),
            in_sample=bool(line.in_sample),
            missing={**sound.comparison.results.rows[0].errors, **sound.comparison.results.rows[0].not_measured},
            facts=_facts(sound),
            command=fenced(" ".join(record.command.split())),
            use=fenced(_USE.format(name=json.dumps(f"hf-hub:{repository}" if repository else "local-dir:.")), "python"),
            licence=licence,
            notes=sound.comparison.notes,
            paper=Markdown(PAPER),
        )
    )
    return visible_lines(f"---\n{_front_matter(sound, title, licence)}\n---\n\n{text.strip()}\n")


def templates() -> Environment:
    """Where the card's text stands; whatever enters it is escaped."""
    return Environment(
        loader=PackageLoader("salmu_publish"),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown, not HTML: `plain` escapes for both
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def attacks(found: Sequence[Recovery]) -> list[tuple[str, str, str, str, str]]:
    """Attack, what its attacker holds, the share of the leak that is back, the share without it, and what it shows."""
    return [
        (
            it.label,
            held(it.given),
            _share(it.recovered, ".1%") if it.attacked else it.absence,
            _share(it.before, ".1%"),
            _shown(it),
        )
        for it in found
    ]


def _shown(it: Recovery) -> str:
    if "" in it.not_measured:
        return f"nothing: {it.not_measured['']}"
    if not it.is_judged:
        return "how near it still lies: a diagnosis, not judged"
    if it.verdict is None:
        return "nothing: it brings too little back even from Compromised, or could not be held against it"
    more = f"more than {it.bar:.1%} comes back"
    return {Verdict.HOLDS: more, Verdict.CLEAR: f"no {more}"}.get(it.verdict, f"it can't be told whether {more}")


def _modes(line: Line, knowledge: str) -> list[tuple[str, str, str, str]]:
    """Failure mode, what it asks, what was measured, and what the data say."""
    diagnosis, known = line.diagnosis, line.diagnosis.evidence
    kept = [f"{name} {_share(share, '.0%')}" for name, share in known.retention.items()]
    modes = {
        INEFFECTIVE: (f"under {known.bar:.1%} of the leak is gone", _share(known.reduction, ".1%")),
        CATASTROPHIC: (f"{knowledge} falls by over {MAX_KNOWLEDGE_DROP:.0%}", _share(known.knowledge, "+.1%")),
        OVER_GENERALISED: (f"under {MIN_HOLDOUT_RETENTION:.0%} of the holdouts are kept", "; ".join(kept) or "-"),
    }
    if it := worst(line.recoveries):
        modes[RECOVERABLE] = (f"an attack brings over {it.bar:.1%} of the leak back", f"{it.label}: {it.share}")
    said = {mode: _SAYS[diagnosis.verdicts[mode]] if mode in diagnosis.verdicts else "not measured" for mode in modes}
    return [(mode, *modes[mode], said[mode]) for mode in modes]


def _share(interval: Interval | None, form: str) -> str:
    if interval is None:
        return "-"
    ends = f" ({interval.low:{form}} to {interval.high:{form}})" if _bounded(interval) else ""
    return f"{interval.value:{form}}{ends}"


def _bounded(interval: Interval) -> bool:
    return abs(interval.low) + abs(interval.high) < float("inf")


def _rows(sound: Sound) -> list[dict[str, str]]:
    """The protocol's figures, one a row."""
    rows = []
    for column in sound.columns:
        figure = sound.line.figures.get(column.name)
        if figure is None:
            continue
        references = {
            role: sound.comparison.references.get(role, {}).get(column.name) for role in ("compromised", "clean")
        }
        gap = figure.difference
        rows.append(
            {
                "name": column.name,
                "pillar": column.pillar,
                "value": _number(figure) + ("°" if column.name in sound.line.in_sample else ""),
                "interval": _interval(figure.value),
                **{role: _number(other) if other else "-" for role, other in references.items()},
                "target": column.target.capitalize(),
                "gap": (f"{gap.value:+.4f}" + (" (shown)" if figure.missed else "")) if gap else "-",
            }
        )
    return rows


def _number(figure: Figure) -> str:
    return f"{figure.value.value:.4f}"


def _interval(interval: Interval) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f}" if _bounded(interval) else "-"


def _facts(sound: Sound) -> dict[str, str]:
    """Where it comes from, field by field."""
    record = sound.record
    ledger = record.ledger
    spent = (
        f"{ledger.forget_samples} forget pairs, {ledger.retain_samples} retain pairs, {ledger.steps} steps, "
        f"{ledger.backward_passes} gradients, {ledger.probes} probes, {ledger.seconds:.1f} s; "
        f"{ledger.weights_changed:.1%} of the weights changed"
    )
    return {
        "benchmark": record.benchmark.name,
        "hash of its data": record.benchmark.data_hash,
        "hash of the start model": record.start.checkpoint_hash or record.benchmark.start_model_hash,
        "begun with": ", then ".join(["Compromised", *(run.label for run in record.start.runs)]),
        "to be forgotten": record.request.label or "the whole forget set",
        "hash of these weights": record.checkpoint_hash or "",
        "method": record.method,
        "plugin": f"{record.plugin.distribution} {record.plugin.version}",
        "hash of its code": record.plugin.code_hash,
        "settings": ", ".join(f"{name} = {json.dumps(value)}" for name, value in record.settings.items()) or "none",
        "hash of the settings": record.config_hash,
        "budget": f"{record.budget:g} x the forget set's size",
        "seed": str(record.seed),
        "spent by this run": spent,
        "environment": ", ".join(f"{name} {value}" for name, value in record.environment.items()),
        "made": record.started,
    }


def _front_matter(sound: Sound, title: str, licence: str | None) -> str:
    """What a hub reads: YAML, without the dashes around it."""
    from huggingface_hub import EvalResult, ModelCardData

    record = sound.record
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=sound.world,
            dataset_name=sound.world,
            dataset_args={"data_hash": record.benchmark.data_hash},
            metric_type=name,
            metric_name=name,
            metric_value=round(figure.value.value, 6),
            metric_args=_ends(figure),
            source_name="SALMUBench",
            source_url=PAPER,
        )
        for name, figure in ((column.name, sound.line.figures.get(column.name)) for column in sound.columns)
        if figure is not None
    ]
    data = ModelCardData(
        library_name="open_clip",
        pipeline_tag=TASK,
        license=licence or "unknown",
        tags=["clip", "machine-unlearning", "salmu", "salmubench", record.method],
        model_name=title,
        eval_results=results,
    )
    return str(data.to_yaml())


def _ends(figure: Figure) -> dict[str, Any] | None:
    low, high = figure.value.low, figure.value.high
    return {"low": round(low, 6), "high": round(high, 6)} if abs(low) + abs(high) < float("inf") else None
