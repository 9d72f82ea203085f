"""The generated pages of metrics, methods and attacks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tables import MARK, code, link, number, prose, table

from salmu_core.contract.config import MethodConfig, TrainingConfig
from salmu_core.contract.layout import PILLARS
from salmu_core.contract.specs import METRIC_ROLES, MethodSpec, MetricSpec
from salmu_core.plugins.zoo import Declared, Zoo

ROOT = Path(__file__).parent.parent


def metrics(zoo: Zoo) -> str:
    """All fields of every metric."""
    shown = ordered(zoo.metrics.values())
    rows = [
        (f"[{s.name}](#{s.name.lower()})", s.pillar, s.target.capitalize(), s.summary, ", ".join(map(code, s.reads)))
        for s in (m.spec for m in shown)
    ]
    parts = [MARK, "# Metrics\n", METRICS_INTRODUCTION, table(("metric", "pillar", "target", "summary", "reads"), rows)]
    for declared in shown:
        spec = declared.spec
        facts = [
            ("pillar", spec.pillar + (", primary" if spec.primary else "")),
            ("role", f"{code(spec.role)}: {METRIC_ROLES[spec.role].meaning}"),
            ("target", f"the value of {spec.target.capitalize()}"),
            ("reads", ", ".join(map(code, spec.reads))),
            ("columns", ", ".join(map(code, spec.columns))),
            ("paper", link(spec.paper)),
            ("plugin", _origin(declared)),
        ]
        parts += [f"## {spec.name}\n", spec.summary + "\n", table(("", ""), facts)]
        parts.append(f"**Departures.** {prose(spec.departures) or 'None known.'}\n")
    return "\n".join(parts)


METRICS_INTRODUCTION = """\
What `salmu metrics NAME` prints, for every metric of this repository. [What the numbers mean](../numbers.md) has what
moves each of them and how it misleads.
"""


def ordered(found: Iterable[Declared[MetricSpec]]) -> list[Declared[MetricSpec]]:
    """Efficacy first, a pillar's primary metric before its others."""
    return sorted(found, key=lambda m: (PILLARS.index(m.spec.pillar), not m.spec.primary))


def departures(zoo: Zoo) -> str:
    """What every metric, method and attack does in another way than its paper, or where the paper is silent."""
    specs = [declared.spec for declared in ordered(zoo.metrics.values())]
    measures = [(f"[{spec.name}](metrics.md#{spec.name.lower()})", prose(spec.departures)) for spec in specs]
    ways = [(f"[{name}](methods/{name}.md)", prose(d.spec.departures)) for name, d in zoo.methods.items()]
    brought = [(f"[{name}](attacks.md#{name}-declared)", prose(d.spec.departures)) for name, d in zoo.attacks.items()]
    none = "None known."
    return "\n".join(
        [
            MARK,
            "# Departures\n",
            "What each declaration says under `departures`; [Protocol and departures](../protocol.md) has the rest.\n",
            "## Metrics\n",
            table(("metric", "departures"), [(name, text or none) for name, text in measures]),
            "## Methods\n",
            table(("method", "departures"), [(name, text or none) for name, text in ways]),
            "## Attacks\n",
            table(("attack", "departures"), [(name, text or none) for name, text in brought]),
        ]
    )


def attacks(zoo: Zoo) -> str:
    """All attacks: what their distribution says of them, and everything that can be read from their declarations."""
    parts = [MARK, "```{include} ../../plugins/attacks/README.md\n```\n", "## Declarations\n", ATTACKS_INTRODUCTION]
    for name, declared in zoo.attacks.items():
        spec = declared.spec
        facts = [
            ("name", code(name)),
            ("given by", f"`{spec.kind}(ctx)`"),
            ("the attacker holds", ", ".join(map(code, spec.given)) or "nothing but the checkpoint"),
            ("paper", link(spec.paper)),
            *([("code", link(spec.code))] if spec.code else []),
            ("plugin", _origin(declared)),
        ]
        parts += [f"### {name}, declared\n", spec.summary + "\n", table(("", ""), facts)]
        parts.append(f"**Departures.** {prose(spec.departures) or 'None known.'}\n")
        if spec.config.model_fields:
            parts += [f"Set one with `--set {name}.FIELD=VALUE`.\n", settings(spec.config, TrainingConfig)]
    return "\n".join(parts)


ATTACKS_INTRODUCTION = """\
What `salmu attacks NAME` prints, for every attack of this repository. [Write an attack](../plugins/attack.md) has what
an attacker may see, and how the share that is brought back is to be read.
"""


def _origin(declared: Declared[Any]) -> str:
    return f"`{declared.distribution}` {declared.version}"


def methods_index(zoo: Zoo, data: Mapping[str, Any]) -> str:
    """All methods, with what `mini` says of them, and the settings they share."""
    runs = {run["method"]: run for run in data["runs"]}
    titles = {name: title(name) for name in zoo.methods}
    rows = [(f"[{titles[name]}]({name}.md)", code(name), d.spec.summary) for name, d in zoo.methods.items()]
    listing = "\n".join(zoo.methods)
    return "\n".join(
        [
            MARK,
            "# Methods\n",
            "All methods of this repository, each a plugin of its own.\n",
            table(("method", "name", "what it does"), rows),
            f"## On `mini`\n\n{MINI_NOTE.format(**data)}\n",
            figures_table(zoo, data, list(runs)),
            "## Settings every trained method has\n",
            "Each method may give these another default; its page has the values.\n",
            settings(TrainingConfig, None),
            f"```{{toctree}}\n:hidden:\n\n{listing}\n```\n",
        ]
    )


MINI_NOTE = """\
`{command}` with all methods installed, budget {budget:g}, seed {seed}. `mini` is an invented miniature: its figures
show directions, not what SALMUBench would measure."""


def figures_table(zoo: Zoo, data: Mapping[str, Any], shown: Sequence[str]) -> str:
    """Some methods' figures between those of the two references, and what they say."""
    measured = data["references"]["clean"]["metrics"]
    columns = [c for m in ordered(zoo.metrics.values()) for c in m.spec.columns if c in measured]
    short = ("RetFail_MRR", "ACS", "GenKnow", "InterIdSim", "IntraIdSim")
    chosen = columns if len(shown) == 1 else [c for c in columns if c in short]
    runs = {run["method"]: run for run in data["runs"]}
    rows = {
        "Compromised": data["references"]["compromised"]["metrics"],
        **{code(name): runs[name]["metrics"] for name in shown},
        "Clean": measured,
    }
    if len(shown) == 1:
        target = {c: m.spec.target.capitalize() for m in zoo.metrics.values() for c in m.spec.columns}
        lines = [(code(c), *(number(v.get(c)) for v in rows.values()), target[c]) for c in columns]
        return table(("figure", *rows, "target"), lines, figures=True)
    modes = {code(name): verdict(runs[name]) for name in shown}
    lines = [(name, *(number(v.get(c)) for c in chosen), modes.get(name, "")) for name, v in rows.items()]
    return table(("", *map(code, chosen), "failure modes"), lines, figures=True)


def verdict(run: Mapping[str, Any]) -> str:
    """The failure modes of a run, or why it has none."""
    if run["status"] != "valid":
        return str(run["status"])
    return "not judged" if run["failure_modes"] is None else ", ".join(run["failure_modes"]) or "none"


def title(name: str) -> str:
    """The heading of a method's README."""
    return (ROOT / "plugins" / name / "README.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def method(declared: Declared[MethodSpec], zoo: Zoo, data: Mapping[str, Any]) -> str:
    """A method's page: its README, and everything that can be read from its declaration and its run."""
    spec = declared.spec
    facts = [
        ("name", code(spec.name)),
        ("given by", "`loss(ctx, step)`" if spec.loss else "`unlearn(ctx)`"),
        ("paper", link(spec.paper)),
        ("code", link(spec.code)),
        ("tags", ", ".join(map(code, declared.tags)) or "none"),
        ("defaults chosen on", code(spec.chosen_on) if spec.chosen_on else "nobody says what"),
        *_recommended(spec.name, zoo),
        ("plugin", f"{_origin(declared)}, `plugins/{spec.name}`"),
    ]
    parts = [
        MARK,
        f"```{{include}} ../../../plugins/{spec.name}/README.md\n```\n",
        "## Declaration\n",
        spec.summary + "\n",
        table(("", ""), facts),
        "### Departures, in full\n",
        (prose(spec.departures) or "None known.") + "\n",
        "### All settings\n",
        f"Set one with `salmu run {spec.name} --set {spec.name}.FIELD=VALUE`.\n",
        settings(spec.config, TrainingConfig),
    ]
    if spec.known_failures:
        rows = [(code(rule), prose(reason)) for rule, reason in spec.known_failures.items()]
        parts += ["### Rules it is known to break\n", table(("rule", "reason"), rows)]
    run = next((run for run in data["runs"] if run["method"] == spec.name), None)
    return "\n".join(parts + (on_mini(run, zoo, data) if run else []))


def _recommended(method: str, zoo: Zoo) -> Iterable[tuple[str, str]]:
    """What benchmarks recommend for a method."""
    for name, declared in zoo.benchmarks.items():
        if advice := declared.spec.settings.get(method):
            settings = [code(f"{field} = {value}") for field, value in advice.config.items()]
            settings += [f"budget {advice.budget:g}"] if advice.budget else []
            text = f"{', '.join(settings) or 'the defaults'}. {prose(advice.source)}"
            yield f"on {code(name)}", " ".join(filter(None, [text, link(advice.link)]))


def on_mini(run: Mapping[str, Any], zoo: Zoo, data: Mapping[str, Any]) -> list[str]:
    """What a method costs and does on the embedded benchmark."""
    name, ledger = run["method"], run["ledger"]
    cost = [
        ("forget pairs drawn", f"{ledger['forget_samples']:,}"),
        ("retain pairs drawn", f"{ledger['retain_samples']:,}"),
        ("pairs whose embeddings under the original it asked for", f"{ledger['reference_samples']:,}"),
        ("images through the model", f"{ledger['forward_images']:,}"),
        ("optimizer steps", f"{ledger['steps']:,}"),
        ("weights changed", f"{ledger['weights_changed']:.1%}"),
        ("seconds", f"{ledger['seconds']:.1f}"),
    ]
    parts = ["## Cost\n", COST_NOTE.format(**data), table(("on `mini`", ""), cost, figures=True)]
    parts += ["## On `mini`\n", MINI_NOTE.format(**data) + "\n"]
    if run["status"] != "valid":
        return [*parts, f"The run is not valid: {run['status']}.\n"]
    reduction = run["leakage_reduction"]
    kept = ", ".join(f"{value:.0%} of `{metric}`" for metric, value in run["holdout_retention"].items())
    judged = f"Failure modes: **{verdict(run)}**. Leakage reduction {reduction:.1%}; of the holdouts it keeps {kept}.\n"
    return [
        *parts,
        judged,
        figures_table(zoo, data, [name]),
        f"```{{picture}} cosines-{name}\nCosines of every pair of five splits, before and after. It should lie where "
        "Clean lies on the first, and where Compromised lies on the others.\n```\n",
        "[How to read this](../../numbers.md) and [the three failure modes](../../failure-modes.md).\n",
    ]


COST_NOTE = """\
At a budget of {budget:g}. Samples and steps are the cost; the seconds are those of one small machine without an
accelerator and compare nothing but the methods with each other. What the original embeds is shared by the runs of a
process, so it is counted for the run that asked first, and reads 0 for one that came later.

"""


def settings(config: type[MethodConfig], base: type[MethodConfig] | None) -> str:
    """The settings table of a configuration; those it has from ``base`` with the same default come last."""
    schema = config.model_json_schema()["properties"]
    inherited = base.model_json_schema()["properties"] if base else {}
    names = sorted(schema, key=lambda name: schema[name] == inherited.get(name))
    rows = [
        (code(name), _type(schema[name]), code(_value(schema[name].get("default"))), prose_code(schema[name]))
        for name in names
    ]
    return table(("setting", "type", "default", "meaning"), rows)


def _value(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)


def prose_code(schema: Mapping[str, Any]) -> str:
    """A field's description, whose code spans are Markdown already."""
    return str(schema.get("description", "")).replace("*", "\\*")


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return ", ".join([schema.get("type", ""), *bounds])
