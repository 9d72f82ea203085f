"""What an attack brought back, and whether that shows that a method has hidden what it was to delete. Needs no torch.

Of many attacks and stages the worst is taken, so that it brings back too much is shown for all of them at once; clear
is who stays below the bar in every one of them, where nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from salmu_core.contract.kinds import is_judged
from salmu_core.judge.diagnosis import Verdict
from salmu_core.judge.protocol import MAX_RECOVERED
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.statistics import CONFIDENCE, Clusters, Interval, holm, interval_json


@dataclass(frozen=True)
class Recovery:
    """What one attack brings back from the runs of a line, by one figure x that tells what leaks.

    Attributes:
        attack: Its name.
        label: The same, with the settings that tell its configurations apart.
        config_hash: Of its configuration, the beginning.
        figure: The figure.
        recovered: (attacked run - attacked Clean) / (Compromised - Clean); None where it can't be told.
        before: The same without an attack: (run - Clean) / (Compromised - Clean).
        gained: What the attack adds to that.
        control: What the attack brings from Compromised itself: an attack that brings nothing there shows nothing.
        clean: What it adds to Clean, which has nothing to give: attacked Clean - Clean, in units of the figure.
        attacked: The figure of the attacked runs.
        rank: Median rank of the attacked runs' captions; None where the metric has none.
        leaked: Forget rows that the attacker held.
        query: Label of the query by which all models were asked, or of the stage at which they were: of several the
            one by which the runs are furthest above Clean.
        queries: Among how many it was chosen; intervals are so wide that they hold for all of them at once.
        given: What the attacker held beside the checkpoint.
        bar: What may be recovered: 1%, or what guessing reaches where that is more, as on a small benchmark.
        shares: The share that is recovered by each query or at each stage; one without a label where there are none.
        p: Of the share being no more than the bar, for all queries or stages and all attacks at once.
        incomplete: Whether it has no result on some run, though it has one on both reference models.
        not_measured: Query, reading or stage that there is nothing for -> why; by an empty label the whole attack.
        verdict: What it shows of whether the leak can be recovered; None where it can show nothing, or is a diagnosis.
        stages: Of an attack by stages ``label``, ``curve`` and ``step`` of each, the figure of the runs (``attacked``),
            ``clean`` and ``compromised`` there, and the share that is ``recovered``, where it can be told.
        curves: Of each curve of several stages, from the checkpoint (step 0) to ``steps``, the ``mean`` share that is
            back on the way, and the step by which ``half`` of the leak is; None: by none.
        problems: What went wrong, in sentences.
    """

    attack: str
    label: str
    config_hash: str
    figure: str = ""
    recovered: Interval | None = None
    before: Interval | None = None
    gained: Interval | None = None
    control: Interval | None = None
    clean: Interval | None = None
    attacked: Interval | None = None
    rank: float | None = None
    leaked: int = 0
    query: str = ""
    queries: int = 1
    stages: tuple[Mapping[str, Any], ...] = ()
    curves: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    bar: float = MAX_RECOVERED
    shares: Mapping[str, Repeats] = field(default_factory=dict, repr=False)
    p: float | None = None
    incomplete: bool = False
    not_measured: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def is_judged(self) -> bool:
        """Whether a verdict may rest on it: the attacker holds no more than one has who needs an attack."""
        return is_judged(self.given)

    @property
    def share(self) -> str:
        """The share that is recovered, with its interval."""
        it = self.recovered
        return f"{it.value:.1%} ({it.low:.1%} to {it.high:.1%})" if it else self.absence

    @property
    def absence(self) -> str:
        """What stands in the place of its figures where it has none."""
        return "not measured" if "" in self.not_measured else "no result"

    @property
    def gaps(self) -> list[str]:
        """What went wrong, then what is not measured, in sentences."""
        labels: dict[str, list[str]] = {}
        for label, why in self.not_measured.items():
            labels.setdefault(why, []).append(label)
        by = {why: f" by {', '.join(those)}" if any(those) else "" for why, those in labels.items()}
        return [*self.problems, *(f"{self.label}{those} is not measured: {why}" for why, those in by.items())]

    @property
    def shown(self) -> bool:
        """Whether the attack is shown to bring back something that the method had hidden."""
        return self.gained is not None and self.gained.low > 0

    @property
    def weak(self) -> bool:
        """Whether the attack is not shown to bring back anything even from Compromised."""
        return self.control is not None and not self.control.low > 0

    def as_json(self) -> dict[str, Any]:
        """As ``salmu results --json`` prints it."""
        shares = {"recovered": self.recovered, "before": self.before, "gained": self.gained}
        shares |= {"from_compromised": self.control, "added_to_clean": self.clean, "attacked": self.attacked}
        return {
            "attack": self.attack,
            "label": self.label,
            "config_hash": self.config_hash,
            "figure": self.figure,
            **{name: interval_json(interval) if interval else None for name, interval in shares.items()},
            "median_rank": self.rank,
            "leaked": self.leaked,
            "given": list(self.given),
            "is_judged": self.is_judged,
            "bar": self.bar,
            "p": self.p,
            "verdict": self.verdict,
            "query": self.query,
            "queries": self.queries,
            "stages": [dict(stage) for stage in self.stages],
            "curves": [{**curve, "mean": curve["mean"] and interval_json(curve["mean"])} for curve in self.curves],
            "weak": self.weak,
            "not_measured": dict(self.not_measured),
            "problems": list(self.problems),
        }


def judged(found: Sequence[Recovery]) -> tuple[Recovery, ...]:
    """What attacks on one line show, with their verdicts: the worst is looked at, so p is adjusted over all of them."""
    adjusted = holm({n: _p(it) for n, it in enumerate(found) if it.is_judged and it.recovered is not None})
    tested = (replace(it, p=adjusted.get(n)) for n, it in enumerate(found))
    return tuple(replace(it, verdict=_verdict(it)) for it in tested)


def worst(found: Sequence[Recovery]) -> Recovery | None:
    """The attack that decides: of those that show most, the one that brings back most beyond its bar."""

    def shown(it: Recovery) -> tuple[int, float]:
        return -[None, *Verdict].index(it.verdict), it.recovered.value - it.bar if it.recovered else -float("inf")

    return max((it for it in found if it.verdict), key=shown, default=None)


def _verdict(it: Recovery) -> Verdict | None:
    if not it.is_judged:
        return None
    if not it.figure:  # what makes attacks fail is not clear for it
        return Verdict.OPEN if it.incomplete else None
    if it.recovered is None or it.control is None or it.p is None:
        return None
    if it.recovered.low > it.bar and it.p < 1 - CONFIDENCE:
        return Verdict.HOLDS
    if not it.control.low > it.bar:  # too weak to bring back as much from Compromised: it can't clear anybody
        return None
    below = all(share.interval().high <= it.bar for share in it.shares.values())
    return Verdict.CLEAR if below and not it.incomplete else Verdict.OPEN


def _p(it: Recovery) -> float:
    """Of the share being no more than its bar, whichever stage was chosen; two-sided, as intervals are."""
    worlds = {
        world: {seed: Clusters(x.names, x.sums - it.bar * x.counts, x.counts) for seed, x in runs.items()}
        for world, runs in it.shares[it.query].worlds.items()
    }
    beyond = Repeats(worlds)
    return min(1.0, it.queries * beyond.p_value()) if beyond.value > 0 else 1.0
