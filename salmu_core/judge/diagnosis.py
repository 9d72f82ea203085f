"""What a method's figures say: leakage reduction, holdout retention, and in which ways it failed.

Three of them are derived after the paper's words, the fourth, of attacked results, is this project's, as the
thresholds are, and documented as such. Rules look at intervals, not
at points: a failure mode *holds* where the data show it, is *clear* where they show its absence, and is *open* where
they show neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION, MIN_LEAKAGE_REDUCTION
from salmu_core.judge.statistics import Interval

INEFFECTIVE, CATASTROPHIC, OVER_GENERALISED = "ineffective", "catastrophic", "over-generalised"
RECOVERABLE = "recoverable"
#: The last one is judged only of what was attacked: without an attack nobody asked, and nothing is missing.
MODES = INEFFECTIVE, CATASTROPHIC, OVER_GENERALISED, RECOVERABLE


class Verdict(StrEnum):
    """What the data say of a failure mode."""

    HOLDS = "holds"
    OPEN = "open"
    CLEAR = "clear"


@dataclass(frozen=True)
class Leak:
    """What is gone of the leak by one figure x.

    Attributes:
        reduction: 1 - x / x(Compromised).
        bar: The reduction that is asked for: 99%, or what Clean or guessing reach where that is less, as on a small
            benchmark.
        unlike_clean: Whether the leak differs from Clean's by more than Clean models differ between worlds; None
            with fewer than three worlds, where that can't be told.
        known: Whether Compromised is shown to leak more than Clean does: else there is nothing to be forgotten.
    """

    reduction: Interval
    bar: float = MIN_LEAKAGE_REDUCTION
    unlike_clean: Verdict | None = None
    known: bool = True

    @property
    def verdicts(self) -> list[Verdict]:
        """Whether too much of it is left, and whether what is left is unlike Clean's."""
        return [_short_of(self.reduction, self.bar), *([self.unlike_clean] if self.unlike_clean is not None else [])]


@dataclass(frozen=True)
class Evidence:
    """What a diagnosis is made from: every figure of each role.

    Attributes:
        leaks: Leak -> what is gone of it.
        changes: Figure x of general knowledge -> x / x(Compromised) - 1.
        retention: Holdout figure x -> (x - Clean) / (Compromised - Clean): 1 keeps everything, 0 is as if never seen,
            below 0 is worse than never seen. Of those of which Compromised is shown to know more than Clean.
        lacking: Failure modes that can't be judged, because a figure or a reference is missing.
        recoverable: What attacks show of whether the leak can be recovered; None where none was made that tells.
    """

    leaks: Mapping[str, Leak] = field(default_factory=dict)
    changes: Mapping[str, Interval] = field(default_factory=dict)
    retention: Mapping[str, Interval] = field(default_factory=dict)
    lacking: frozenset[str] = frozenset()
    recoverable: Verdict | None = None

    @property
    def leak(self) -> Leak | None:
        """The one that stays furthest below its bar, of those there are in Compromised."""
        known = [leak for leak in self.leaks.values() if leak.known] or self.leaks.values()
        return min(known, key=lambda leak: leak.reduction.value - leak.bar, default=None)

    @property
    def reduction(self) -> Interval | None:
        """What is gone of the leak."""
        return self.leak.reduction if self.leak else None

    @property
    def bar(self) -> float:
        """The reduction that is asked for."""
        return self.leak.bar if self.leak else MIN_LEAKAGE_REDUCTION

    @property
    def knowledge(self) -> Interval | None:
        """The relative change of general knowledge, by the figure that falls most."""
        return min(self.changes.values(), key=lambda change: change.value, default=None)

    @property
    def unlike_clean(self) -> Verdict | None:
        """Whether any leak differs from Clean's; None where that can't be told."""
        told = [x.unlike_clean for x in self.leaks.values() if x.known and x.unlike_clean is not None]
        return _any(told) if told else None


@dataclass(frozen=True)
class Diagnosis:
    """The verdict on each failure mode, and why.

    Attributes:
        evidence: What it is made from.
        verdicts: Failure mode -> verdict; a mode whose figures are missing is not there.
        worse_than_never_seen: Whether some holdouts are shown to lie below a model that never saw them.
    """

    evidence: Evidence
    verdicts: Mapping[str, Verdict]
    worse_than_never_seen: bool = False

    @property
    def only_unlike_clean(self) -> bool:
        """Whether enough of the leak is gone, and it is ineffective only because the rest is unlike Clean's."""
        leaks = [leak.verdicts for leak in self.evidence.leaks.values() if leak.known]
        enough = bool(leaks) and all(verdicts[0] is Verdict.CLEAR for verdicts in leaks)
        return enough and self.evidence.unlike_clean is Verdict.HOLDS

    @property
    def judged(self) -> bool:
        """Whether the figures of any mode were there."""
        return bool(self.verdicts)

    @property
    def not_measured(self) -> list[str]:
        """Failure modes whose figures are missing; not the one that asks for attacks."""
        return [mode for mode in MODES if mode not in self.verdicts and mode != RECOVERABLE]

    def remarks(self) -> list[tuple[str, Verdict | None, str]]:
        """What is to be said: modes that are not clear, their verdicts (None: not measured) and notes.

        The notes: ``≠Clean``, only because what is left of the leak is unlike Clean's; ``<0``, worse than never seen.
        """
        notes = {INEFFECTIVE: "≠Clean"} if self.only_unlike_clean else {}
        notes |= {OVER_GENERALISED: "<0"} if self.worse_than_never_seen else {}
        remarks: list[tuple[str, Verdict | None, str]] = [
            (mode, Verdict.HOLDS, notes.get(mode, "")) for mode in self.modes(Verdict.HOLDS)
        ]
        remarks += [(mode, Verdict.OPEN, "") for mode in self.modes(Verdict.OPEN)]
        return remarks + [(mode, None, "") for mode in self.not_measured]

    def modes(self, verdict: Verdict) -> list[str]:
        """Failure modes of which the data say this."""
        return [mode for mode in self.verdicts if self.verdicts[mode] is verdict]


def diagnose(evidence: Evidence) -> Diagnosis:
    """Judge a method against the two reference models; several modes may hold at once, and none is the aim.

    A mode holds where any figure of its role shows it, and is clear where all of them do.
    """
    retention = evidence.retention.values()
    signs = {
        INEFFECTIVE: [verdict for leak in evidence.leaks.values() if leak.known for verdict in leak.verdicts],
        CATASTROPHIC: [_short_of(change, -MAX_KNOWLEDGE_DROP) for change in evidence.changes.values()],
        OVER_GENERALISED: [_short_of(kept, MIN_HOLDOUT_RETENTION) for kept in retention],
        RECOVERABLE: [evidence.recoverable] if evidence.recoverable else [],
    }
    verdicts = {mode: _any(found) for mode, found in signs.items() if found and mode not in evidence.lacking}
    worse = verdicts.get(OVER_GENERALISED) is Verdict.HOLDS and any(kept.high < 0 for kept in retention)
    return Diagnosis(evidence, verdicts, worse)


def unlike(difference: Interval, narrow: Interval, margin: float) -> Verdict:
    """Whether two models differ by more than a margin: a two-sided test of equivalence.

    Args:
        difference: With its 95% interval.
        narrow: With its 90% interval, which two one-sided tests at 5% look at (Schuirmann 1987).
        margin: What counts as no difference.
    """
    if narrow.within(-margin, margin):
        return Verdict.CLEAR
    return Verdict.HOLDS if difference.low > margin or difference.high < -margin else Verdict.OPEN


def _short_of(value: Interval, bar: float) -> Verdict:
    if value.high < bar:
        return Verdict.HOLDS
    return Verdict.CLEAR if value.low >= bar else Verdict.OPEN


def _any(verdicts: Sequence[Verdict]) -> Verdict:
    if Verdict.HOLDS in verdicts:
        return Verdict.HOLDS
    return Verdict.OPEN if Verdict.OPEN in verdicts else Verdict.CLEAR
