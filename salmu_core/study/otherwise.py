"""What is said of finished runs that were computed in another way than a command asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from salmu_core.store.folders import RUN, Store, read_record
from salmu_core.store.records import RunRecord
from salmu_core.study.plan import Planned
from salmu_core.study.prepare import Options
from salmu_core.study.todo import Outstanding


def otherwise(plan: Sequence[Planned], todo: Outstanding, store: Store, options: Options) -> Iterator[str]:
    """Say how many finished runs differ from those to be made in their last bits; a precision makes them other runs."""
    unmade = {planned.key for planned in todo.runs}
    records = (read_record(store.folder(p.key) / RUN, RunRecord) for p in plan if p.key not in unmade)
    ways = Counter(way for record in records if record for way in _ways(record.environment, options))
    for way, number in sorted(ways.items()):
        were = "run was" if number == 1 else "runs were"
        yield (
            f"{number} finished {were} computed {way}: what this command asks for shows in the last bits; --redo makes "
            "them again."
        )


def _ways(environment: Mapping[str, str], options: Options) -> Iterator[str]:
    if (threads := environment.get("threads")) != str(options.threads):
        yield f"with {threads} CPU threads and not {options.threads}"
    if options.micro_batch and (size := environment.get("micro-batch", "")) != str(options.micro_batch):
        yield f"with {size or 'all'} pairs embedded at a time and not {options.micro_batch}"
    if options.compile != "auto" and bool(environment.get("compiled")) != (options.compile == "on"):
        yield "with" + ("out" if options.compile == "on" else "") + " compiled towers"
