"""Reads the rows of every model once and keeps what the report shows of them. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from salmu_core.contract.layout import ROLES
from salmu_core.disk.file_hashes import Stamps
from salmu_core.errors import SalmuError, UnknownNameError
from salmu_core.judge.results import Results
from salmu_core.store.folders import METRICS, Store, read_record
from salmu_core.store.records import MetricsRecord
from salmu_report.album import Album
from salmu_report.associations import Associations, read_associations
from salmu_report.attributes import Attributes, by_attribute
from salmu_report.cast import cast
from salmu_report.histograms import Counts, count
from salmu_report.people import People

#: Told what is being read, and which part of all is done, from 0 to 1.
Progress = Callable[[str, float], None]


@dataclass
class Summaries:
    """What the rows say, model by model.

    Attributes:
        histograms: Split -> a model's place -> its counts.
        attributes: A model's place -> its figures by attribute.
        albums: World -> the leak explorer's content.
        galleries: World -> split -> captions that are searched.
        missing: World -> why there is nothing of its people.
    """

    histograms: dict[str, dict[str, Counts]] = field(default_factory=lambda: defaultdict(dict))
    attributes: dict[str, Attributes] = field(default_factory=dict)
    albums: dict[str, Album] = field(default_factory=dict)
    galleries: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def place(world: str, role: str) -> str:
    """How a reference model is called among `Summaries`; a run is called by its folder."""
    return f"{world}/{role}"


def summarise(
    store: Store,
    results: Results,
    people: Mapping[str, People],
    missing: Mapping[str, str],
    wanted: int,
    named: Sequence[str],
    progress: Progress,
) -> Summaries:
    """Read everything once.

    Args:
        store: The results folder.
        results: Its runs.
        people: World -> its people; a world without has neither attributes nor portraits.
        missing: World -> why it has none.
        wanted: How many people to show in all.
        named: Identities that must be among them.
        progress: Told how far it is.

    Raises:
        UnknownNameError: Nobody in any world is called as asked.
    """
    summaries = Summaries(missing=dict(missing))
    for number, (world, inhabitants) in enumerate(people.items()):
        rows = [row for row in results.runs if row.world == world and row.status == "valid"]
        share = wanted // len(people) + (number < wanted % len(people))
        known = [identity for identity in named if inhabitants.knows(identity)]
        summaries.albums[world] = Album(
            cast(inhabitants, share, known, rows, results.references[world], results.columns)
        )
    for identity in named:
        if people and not any(inhabitants.knows(identity) for inhabitants in people.values()):
            raise UnknownNameError("identity", identity, sorted({who for p in people.values() for who in p.by_id}))
    models = [(world, place(world, role), store.reference(world, role)) for world in results.worlds for role in ROLES]
    models += [(row.world, str(row.folder), row.folder) for row in results.runs if row.status == "valid"]
    with Stamps(store.root) as stamps:
        for number, (world, name, folder) in enumerate(models):
            progress("reading the rows", number / len(models))
            if (associations := _associations(folder, stamps)) is not None:
                _keep(summaries, world, name, associations, people.get(world))
    return summaries


def _associations(folder: Path, stamps: Stamps) -> Associations | None:
    try:
        record = read_record(folder / METRICS, MetricsRecord, stamps)
        return None if record is None else read_associations(folder, record, stamps)
    except SalmuError:  # a damaged reference: the table says so
        return None


def _keep(summaries: Summaries, world: str, name: str, associations: Associations, people: People | None) -> None:
    for split, rows in associations.cosines.items():
        summaries.histograms[split][name] = count(rows.values)
    galleries = {split: found[0].gallery for split, found in associations.searches.items()}
    summaries.galleries.setdefault(world, {}).update(galleries)
    if people is not None:
        summaries.attributes[name] = by_attribute(associations, people.fields)
        summaries.albums[world].add(name, associations)
