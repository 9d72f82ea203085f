"""What attacks bring back, as columns of the table and as lines of the first screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from salmu_core.judge.lines import Comparison, Line
from salmu_core.judge.recoverable import Recovery
from salmu_core.judge.statistics import Interval
from salmu_core.show import words
from salmu_core.show.cells import ENDS, Cell, Part, TableColumn, cell, ends_of
from salmu_core.show.words import Word

_SHARES = ("recovered", "before", "gained", "from_compromised", "added_to_clean", "attacked")
CAPTION = (
    "Share of the leak that is left under attack, (attacked run - attacked Clean) / (Compromised - Clean), of rows "
    "that the attacker didn't hold, and the share before; then the attacked figure, its median rank, and of queries, "
    "readings or stages the one that counts. Weak: brings back nothing from Compromised either. What is given the "
    "original is a diagnosis: no verdict rests on it."
)
#: Attacks of which the first screen speaks.
_SCREEN = 2


def attacks(comparison: Comparison) -> Iterator[TableColumn]:
    """A column for each attack and each figure that tells what leaks."""
    found = {(r.label, r.figure): r for line in comparison.lines for r in line.recoveries if r.figure}
    named = dict.fromkeys(label for label, _ in found)
    failed = {r.label: r for line in comparison.lines for r in line.recoveries if r.label not in named}
    for recovery in [*found.values(), *failed.values()]:
        yield _column(recovery, several=sum(label == recovery.label for label, _ in found) > 1)


def _column(known: Recovery, several: bool) -> TableColumn:
    name = f"{known.label} {known.figure}" if several else known.label
    short = known.figure.rpartition("_")[2]

    def line(line: Line) -> Cell:
        return _said(_of(line, known))

    def role(role: str) -> Cell:
        if role == "clean":
            added = known.clean
            return cell("-" if added is None else f"{short} {words.signed(added.value)}", tone="faint")
        weak = ", weak" if known.weak else ""
        return cell("-" if known.control is None else f"{_share(known.control)}{weak}", tone="bad" if weak else "faint")

    prefix = f"attacks.{known.label}.{known.figure or 'none'}"
    more = (f"{prefix}.median_rank", f"{prefix}.verdict")
    fields = (*(f"{prefix}.{share}.{end}" for share in _SHARES for end in ENDS), *more)
    return TableColumn(name, Part.ATTACKS, line, role, fields=fields, meaning="share of the leak that is back")


def _of(line: Line, known: Recovery) -> Recovery | None:
    same = [r for r in line.recoveries if r.label == known.label]
    return next((r for r in same if r.figure == known.figure), same[0] if same and not same[0].figure else None)


def _said(recovery: Recovery | None) -> Cell:
    if recovery is None:
        return cell("not made", tone="faint")
    if recovery.attacked is None:
        return cell(recovery.absence, tone="faint" if "" in recovery.not_measured else "bad")
    shares = (recovery.recovered, recovery.before, recovery.gained, recovery.control, recovery.clean, recovery.attacked)
    fields = tuple(end for share in shares for end in ends_of(share))
    said = [Word(_share(recovery.recovered), "bad" if recovery.shown else "")]
    if recovery.before is not None:
        said.append(Word(f"before {words.percent(recovery.before.value)}", "faint"))
    said.append(Word(f"{recovery.figure.rpartition('_')[2]} {words.number(recovery.attacked.value)}", "faint"))
    if recovery.rank is not None:
        said.append(Word(f"rank {recovery.rank:g}", "faint"))
    if recovery.query:
        said.append(Word(f"by {recovery.query}", "faint"))
    return Cell(tuple(said), fields=(*fields, recovery.rank, recovery.verdict))


def _share(interval: Interval | None) -> str:
    """A share with half of its interval, on one line."""
    if interval is None:
        return "not told"
    return f"{words.percent(interval.value)} {words.half(interval, '.0%')}".rstrip()


def highlights(lines: Sequence[Line]) -> list[str]:
    """What the first screen says of attacks: the most that each is shown to add, without those by the original."""
    every = [(recovery, line) for line in lines for recovery in line.recoveries]
    most: dict[str, tuple[float, str]] = {}
    for it, line in every:
        if it.is_judged and it.gained is not None and it.before is not None and it.shown and not it.weak:
            said = f"{it.label} {_share(it.recovered)} from {words.percent(it.before.value)} ({line.label})"
            most[it.label] = max(most.get(it.label, (0.0, "")), (it.gained.value, said))
    made = len({recovery.label for recovery, _ in every if recovery.attacked is not None and recovery.is_judged})
    strongest = [said for _, said in sorted(most.values(), reverse=True)]
    parts = strongest[:_SCREEN]
    parts += [f"{len(strongest) - _SCREEN} more"] * (len(strongest) > _SCREEN)
    parts += [f"{made - len(strongest)} of {made} nothing that is shown"] * (len(strongest) < made)
    gaps = len({line.label for recovery, line in every if recovery.problems})
    missing = [f"Attacks without a result: on {words.count(gaps, 'line')}, see the notes."] * (gaps > 0)
    return [f"Of the leak, attacks bring back at most: {'; '.join(parts)}."] * (made > 0) + missing
