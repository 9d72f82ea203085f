"""What came of a conformance run, as data and as a report to paste into a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from salmu_core.testing.conformance.rules import Rule

#: ``advice`` fails nobody; ``known`` is a failure the declaration gives a reason for.
Verdict = Literal["passed", "advice", "known", "failed", "not run"]
_MARK: dict[str, str] = {"passed": "passed", "advice": "advice", "known": "known", "failed": "**FAILED**"}


@dataclass(frozen=True)
class Finding:
    """Whether one rule holds.

    Attributes:
        sentence: For anything but ``passed``: who, which rule, what, and the remedy.
    """

    rule: str
    verdict: Verdict
    sentence: str = ""


@dataclass(frozen=True)
class Report:
    """A conformance run.

    Attributes:
        kind: ``method``, ``metric``, ``attack`` or ``benchmark``.
        plugin: Distribution and version it came with.
        code_hash: SHA-256 of its source, or nothing where it can't be read.
        environment: What computed.
        findings: One for each rule, in order.
    """

    kind: str
    name: str
    plugin: str
    code_hash: str
    environment: Mapping[str, str]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether no rule failed that has no known reason to, nor one was missed but for such a reason."""
        verdicts = {f.verdict for f in self.findings}
        return "failed" not in verdicts and ("not run" not in verdicts or "known" in verdicts)

    def __getitem__(self, rule: str) -> Finding:
        return next(f for f in self.findings if f.rule == rule)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {**asdict(self), "environment": dict(self.environment), "sound": self.sound}

    def markdown(self, rules: Sequence[Rule]) -> str:
        """The report for a pull request."""
        demands = {rule.name: rule.demand for rule in rules}
        held = sum(f.verdict in ("passed", "advice") for f in self.findings)
        computed = (f"{name} {value}" for name, value in self.environment.items())
        facts = [self.plugin, f"code {self.code_hash[:12] or 'unknown'}", *computed, f"{self.seconds:.1f} s"]
        lines = [
            f"### {self.kind} `{self.name}`: {held} of {len(self.findings)} rules hold",
            "",
            " · ".join(facts),
            "",
            "| rule | | what must hold |",
            "|---|---|---|",
            *(f"| {f.rule} | {_MARK[f.verdict]} | {demands[f.rule]} |" for f in self.findings if f.verdict in _MARK),
        ]
        missed = [f.rule for f in self.findings if f.verdict == "not run"]
        if missed:
            lines.append(f"| {', '.join(missed)} | not run | What failed stood in the way. |")
        told = [
            f"- **{f.rule}** ({f.verdict}): {f.sentence}"
            for f in self.findings
            if f.sentence and f.verdict != "not run"
        ]
        return "\n".join([*lines, *(["", *told] if told else [])])
