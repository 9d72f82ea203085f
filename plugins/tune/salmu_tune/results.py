"""What a search found: the chosen settings, the log of all trials, the table at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial
from rich.table import Table

from salmu_core.disk.files import write_text
from salmu_core.study.tuned import TUNED, Tuned, read_tuned, tuned_text
from salmu_tune.journal import REASON, WORLDS

if TYPE_CHECKING:
    from salmu_tune.search import Searched, Tuning

LOG = "trials.tsv"
#: Of a trial's run in a world, what the log has.
_FACTS = (
    *("status", "seconds", "forget_mrr", "forget_similarity", "retain_mrr", "retain_similarity", "retain_agreement"),
    *("forgotten", "kept", "objective"),
)
#: Worlds that a sentence names one by one, at most.
_NAMED = 4
_COLUMNS = ("method", "code", "budget", "seed", "world", "trial", "settings", *_FACTS, "mean", "chosen", "reason")


@dataclass(frozen=True)
class Found:
    """What was found for one method.

    Attributes:
        searched: The method and its trials.
        trials: Those that are finished, the default first.
    """

    searched: Searched
    trials: Sequence[FrozenTrial]

    @property
    def chosen(self) -> FrozenTrial:
        """The best trial; of several, the first: the default, if no other is better."""
        return max(self.trials, key=_value)

    @property
    def failed(self) -> int:
        """Trials without a valid model in some world."""
        return sum(any(it["status"] != "valid" for it in _worlds(trial)) or not _worlds(trial) for trial in self.trials)

    def settings(self, trial: FrozenTrial) -> dict[str, Any]:
        """A trial's."""
        return self.searched.trials.settings(trial)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The log: a row for each trial and world."""
        facts = self.searched.facts
        common = {"method": facts["method"], "code": facts["code"], "budget": facts["budget"], "seed": facts["seed"]}
        for trial in self.trials:
            own = {"trial": trial.number, "settings": json.dumps(self.settings(trial)), "mean": trial.value}
            own |= {"chosen": "*" if trial is self.chosen else "", "reason": trial.user_attrs[REASON]}
            worlds = trial.user_attrs[WORLDS] or {"": {"status": "refused", "objective": trial.value}}
            for world, found in worlds.items():
                reason = found.get("reason") or own["reason"]
                yield {**common, **own, "world": world, **{n: found.get(n) for n in _FACTS}, "reason": reason}


@dataclass(frozen=True)
class Results:
    """What a search found for all its methods."""

    folder: Path
    worlds: Sequence[str]
    found: Sequence[Found]

    @classmethod
    def of(cls, tuning: Tuning) -> Results:
        """Those of a search that is finished."""
        found = [Found(it, it.trials.finished[: tuning.asked.trials]) for it in tuning.methods]
        return cls(tuning.folder, tuning.worlds, found)

    def write(self, export: Path | None) -> list[Path]:
        """Write the chosen settings and the log into the search's folder, and the log somewhere else if asked to."""
        chosen = read_tuned(self.folder) if (self.folder / TUNED).exists() else {}
        chosen |= {found.searched.name: self._tuned(found) for found in self.found}
        write_text(self.folder / TUNED, tuned_text(chosen))
        log = self._log()
        logs = [self.folder / LOG, *([export] if export else [])]
        for file in logs:
            write_text(file, log)
        return [self.folder / TUNED, *logs]

    def _tuned(self, found: Found) -> Tuned:
        facts, count = found.searched.facts, len(found.trials)
        on = ", ".join(self.worlds) if len(self.worlds) <= _NAMED else f"{len(self.worlds)} worlds"
        how = f"trial {found.chosen.number} of {count} (0 is the default), seed {facts['seed']}"
        return Tuned(
            config=found.settings(found.chosen),
            source=f"salmu tune chose them by probe() alone on {on}, budget {facts['budget']:g}: {how}",
            tuned_on=tuple(self.worlds),
            code_hash=facts["code"],
        )

    def _log(self) -> str:
        rows = [dict(zip(_COLUMNS, _COLUMNS, strict=True)), *(row for found in self.found for row in found.rows())]
        return "".join("\t".join(_cell(row[name]) for name in _COLUMNS) + "\n" for row in rows)

    def table(self) -> Table:
        """For a terminal: a method a row."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("method", no_wrap=True)
        for name in ("default", "chosen", "trials", "failed"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("settings", overflow="fold")
        for found in self.found:
            values = f"{_value(found.trials[0]):.3f}", f"{_value(found.chosen):.3f}"
            settings = ", ".join(f"{name} = {_short(value)}" for name, value in found.settings(found.chosen).items())
            settings = settings if found.chosen.number else "its default"
            table.add_row(found.searched.name, *values, str(len(found.trials)), str(found.failed), settings)
        return table

    def as_json(self) -> dict[str, Any]:
        """The table's content, in full."""
        methods = [
            {
                "method": found.searched.name,
                "default": _value(found.trials[0]),
                "chosen": _value(found.chosen),
                "trial": found.chosen.number,
                "settings": found.settings(found.chosen),
                "trials": len(found.trials),
                "failed": found.failed,
            }
            for found in self.found
        ]
        return {"worlds": list(self.worlds), "methods": methods}


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _worlds(trial: FrozenTrial) -> list[dict[str, Any]]:
    return list(trial.user_attrs[WORLDS].values())


def _cell(value: object) -> str:
    """A value of the log: nothing in it ends a cell or a line."""
    return "" if value is None else " ".join(str(value).split())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
