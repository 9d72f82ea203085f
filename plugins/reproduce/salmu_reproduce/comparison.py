"""A run and the same run made again: whether they are equal, and how their surroundings differ.

Needs torch only where weights differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmu_core.contract.layout import WEIGHTS
from salmu_core.judge.changes import Fact
from salmu_core.store.folders import read_metrics, read_run
from salmu_core.store.records import Ledger, MetricsRecord, RunRecord
from salmu_core.store.schema import RETRIEVED, ROWS, STATE

#: What a ledger has of the moment.
_OF_THE_MOMENT = {"seconds", "peak_memory_bytes"}
#: Columns of a table that say which line is meant, and, last, the one with its number.
_LINES = {
    ROWS: ("metric", "column", "split", "row", "file_name", "identity_id", "value"),
    RETRIEVED: ("metric", "split", "file_name", "place", "caption", "cosine"),
}
_TENSORS = {"weights": WEIGHTS, "state": STATE}
_TABLES = {"rows": ROWS, "captions found": RETRIEVED}
#: Names of things that differ in one line, at most.
_NAMED = 4


@dataclass(frozen=True)
class Point:
    """One thing in which a run and its repetition should be equal.

    Attributes:
        text: Of what is equal, how much; else by how much it differs.
    """

    name: str
    equal: bool
    text: str


@dataclass(frozen=True)
class Reproduction:
    """A run held against its repetition.

    Attributes:
        points: All in which both should be equal.
        surroundings: What they were made with where that differs: of the run, and of its repetition.
    """

    folder: Path
    points: Sequence[Point]
    surroundings: Sequence[Fact]

    @property
    def equal(self) -> bool:
        """Whether they are in every point."""
        return all(point.equal for point in self.points)

    @property
    def verdict(self) -> str:
        """What follows, in a sentence or two."""
        if self.equal:
            other = ", though it was made with something else" if self.surroundings else ""
            return f"Reproduced: made again from its record, it is the same to the last bit{other}."
        if self.surroundings:
            names = ", ".join(fact.name for fact in self.surroundings)
            return (
                f"Not comparable bit by bit: it was made with another {names} than there is here, which may be why it "
                "differs. With what its record names, it should be the same."
            )
        return (
            "Not reproduced, though all that its record says of what made it is the same here. Its record or its files "
            "were changed (`salmu verify` looks at them), its method does not do the same twice (`salmu check` tells), "
            "or something decides that no record holds, such as another processor of the same kind."
        )

    def as_json(self) -> dict[str, Any]:
        """As ``salmu reproduce --json`` prints it."""
        return {
            "folder": str(self.folder),
            "equal": self.equal,
            "points": [vars(point) for point in self.points],
            "surroundings": [{"name": fact.name, "then": fact.a, "now": fact.b} for fact in self.surroundings],
            "verdict": self.verdict,
        }


def compare_again(folder: Path, again: Path) -> Reproduction | None:
    """Hold a run against its repetition; None where that was not made.

    Args:
        folder: The run's, or a copy of it.
        again: Where it was made again.

    Raises:
        StoreError: One of them is damaged.
    """
    one, other = read_run(folder, copied=True), read_run(again, copied=True)
    if one is None or other is None:
        return None
    points = [
        _compared("outcome", "facts", _outcome(one), _outcome(other)),
        *(_tensors(name, folder / file, again / file, one, other) for name, file in _TENSORS.items()),
        _compared("settings", "settings", _settings(one), _settings(other)),
        _compared("log", "numbers", _log(one), _log(other)),
        _compared("ledger", "counts", _spent(one.ledger), _spent(other.ledger)),
    ]
    scored, now = (_metrics(path, record) for path, record in ((folder, one), (again, other)))
    if scored:
        points.append(_compared("figures", "figures", _figures(scored, scored), _figures(now, scored)))
        points += [
            _compared(name, "lines", _lines(folder / file, scored), _lines(again / file, scored))
            for name, file in _TABLES.items()
        ]
    made, made_now = _made_with(one, scored, scored), _made_with(other, now, scored)
    differing = [name for name in {**made, **made_now} if made.get(name) != made_now.get(name)]
    return Reproduction(folder, points, [Fact("code", name, made.get(name), made_now.get(name)) for name in differing])


def _compared(name: str, what: str, one: Mapping[Any, Any], other: Mapping[Any, Any]) -> Point:
    """A point of things by their keys."""
    keys = {**one, **other}
    off = [key for key in keys if key not in one or key not in other or one[key] != other[key]]
    if not off:
        return Point(name, True, f"all {len(keys):,} {what}" if keys else f"no {what}")
    text = f"{len(off):,} of {len(keys):,} {what}"
    pairs = [(one.get(key), other.get(key)) for key in off]
    if gaps := [abs(a - b) for a, b in pairs if isinstance(a, int | float) and isinstance(b, int | float)]:
        text += f", the largest difference {max(gaps):.2g}"
    named = [key if isinstance(key, str) else " ".join(map(str, key)) for key in off[:_NAMED]]
    return Point(name, False, f"{text}: {', '.join(named)}{', ...' * (len(off) > _NAMED)}")


def _tensors(name: str, one: Path, other: Path, record: RunRecord, again: RunRecord) -> Point:
    """A point of two files of tensors; byte by byte, and by their numbers where they differ."""
    hashes = record.sha256_of(one.name), again.sha256_of(one.name)
    if hashes[0] == hashes[1]:
        return Point(name, True, f"the same bytes, {hashes[0][:12]}" if hashes[0] else "none")
    if None in hashes:
        return Point(name, False, "none before" if hashes[0] is None else "none this time")
    from safetensors import safe_open

    with safe_open(one, "pt") as before, safe_open(other, "pt") as after:
        names = {*before.keys()} | {*after.keys()}
        shared = [tensor for tensor in {*before.keys()} & {*after.keys()}]
        pairs = [(before.get_tensor(tensor), after.get_tensor(tensor)) for tensor in sorted(shared)]
        alike = [(a.double(), b.double()) for a, b in pairs if a.shape == b.shape]
        total, off = sum(a.numel() for a, _ in alike), sum(int((a != b).sum()) for a, b in alike)
        largest = max((float((a - b).abs().max()) for a, b in alike if a.numel()), default=0.0)
    text = f"{off:,} of {total:,} numbers ({off / max(total, 1):.2%}), the largest difference {largest:.2g}"
    others = len(names) - len(alike)
    return Point(name, False, text + f"; {others} tensors of other names or shapes" * bool(others))


def _outcome(record: RunRecord) -> dict[str, str]:
    return {"status": record.status, "reason": record.reason}


def _settings(record: RunRecord) -> dict[str, Any]:
    """All that it was asked to do; not where what it began with lies, or that lies elsewhere."""
    runs = [run.model_dump(exclude={"folder"}) for run in record.start.runs]
    asked = record.model_dump(include={"method", "config_hash", "budget", "seed", "retain", "request"})
    begun = {"start": (record.start.checkpoint_hash, record.start.role, runs)}
    return {**asked, **begun, **{f"{record.method}.{name}": value for name, value in record.config.items()}}


def _log(record: RunRecord) -> dict[tuple[Any, ...], Any]:
    logged = {(name, step, i): x for name, line in record.scalars.items() for i, (step, x) in enumerate(line)}
    return {**logged, **{("fit", i): fit for i, fit in enumerate(record.fits)}}


def _spent(ledger: Ledger) -> dict[str, Any]:
    return ledger.model_dump(exclude=_OF_THE_MOMENT)


def _metrics(folder: Path, record: RunRecord) -> MetricsRecord | None:
    return read_metrics(folder, record.checkpoint_hash) if record.checkpoint_hash else None


def _figures(metrics: MetricsRecord | None, scored: MetricsRecord) -> dict[str, Any]:
    """The figures, and the errors, of what was scored then; a metric that came since has nothing to be held against."""
    entries = {name: entry for name, entry in metrics.metrics.items() if name in scored.metrics} if metrics else {}
    values = {column: value for entry in entries.values() for column, value in entry.values.items()}
    return {
        **values,
        **{name: entry.error or entry.not_measured for name, entry in entries.items() if not entry.values},
    }


def _lines(path: Path, scored: MetricsRecord) -> dict[tuple[Any, ...], float]:
    """The lines of a table that are of metrics that were scored then."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return {}
    *names, value = _LINES[path.name]
    table = pq.read_table(path, columns=[*names, value])
    columns = [table[name].to_pylist() for name in names]
    lines = zip(zip(*columns, strict=True), table[value].to_pylist(), strict=True)
    return {line: number for line, number in lines if line[0] in scored.metrics}


def _made_with(record: RunRecord, metrics: MetricsRecord | None, scored: MetricsRecord | None) -> dict[str, str]:
    """All that is known to decide about the bits of a run and its figures."""
    plugin = record.plugin
    made = {
        **record.environment,
        "plugin": f"{plugin.distribution} {plugin.version}",
        "method's code": plugin.code_hash,
    }
    if metrics and scored:
        entries = {name: entry for name, entry in metrics.metrics.items() if name in scored.metrics}
        made |= {f"code of {name}": entry.code_hash for name, entry in entries.items()}
        made |= {"data": metrics.data_hash, "zero-shot set": metrics.zeroshot_hash}
    return made
