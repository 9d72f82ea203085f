"""The stages: what each makes, unit by unit, and what it says when it is complete.

A unit is one person (or one block of other pictures), independent of all others, and written whole or not at all. So a
build can be ended anywhere, and it doesn't matter which process makes which unit.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from salmu_mini.captions import STYLES
from salmu_mini.seeds import stream

from salmu_core import BenchmarkError
from salmu_dataset import curation, manifest
from salmu_dataset.manifest import UnitFile
from salmu_dataset.retain import blocks, make_block
from salmu_dataset.sources import Facts
from salmu_dataset.workshop import Picture, Workshop, read_note, read_pictures, write_pictures

#: A person for whom so many times the usual number of candidates doesn't suffice ends the build.
PATIENCE: Final = 5


@dataclass(frozen=True)
class StageDef:
    """A stage.

    Attributes:
        name: As in `--stage`.
        says: What it does, for the progress bar.
        suffix: File type of its units.
        kind: Form of its record.
        units: Numbers of its units.
        make: Makes one unit's file.
        record: What it says once all files are there.
    """

    name: str
    says: str
    suffix: str
    kind: type[manifest.Stage]
    units: Callable[[Workshop], Sequence[int]]
    make: Callable[[Workshop, int], None]
    record: Callable[[Workshop, str, tuple[UnitFile, ...]], manifest.Stage]


def _everybody(shop: Workshop) -> Sequence[int]:
    return range(len(shop.identities))


def _make_anchor(shop: Workshop, number: int) -> None:
    anchor = shop.portraits.anchor(shop.identities[number], stream(shop.arguments.seed, "anchor", number))
    buffer = io.BytesIO()
    anchor.image.save(buffer, "PNG")
    manifest.replace(shop.unit("anchors", number, "png"), buffer.getvalue())


def _cell(shop: Workshop, number: int) -> str:
    identity = shop.identities[number]
    return f"{identity.country.code} {identity.gender}"


def _anchors(shop: Workshop, inputs: str, files: tuple[UnitFile, ...]) -> manifest.Stage:
    balance = Counter(_cell(shop, number) for number in _everybody(shop))
    return manifest.Anchors(inputs=inputs, files=files, balance=dict(sorted(balance.items())))


def candidates(shop: Workshop, number: int) -> int:
    """How many portraits of somebody are made before curation: a tenth more than rows need, if that is more."""
    return max(shop.arguments.candidates, -(-shop.shares[number].portraits * 11 // 10))


def _make_portraits(shop: Workshop, number: int) -> None:
    anchor = shop.anchor(number)
    several = getattr(shop.portraits, "portraits", None)
    wanted = range(candidates(shop, number))
    if several is None:
        pictures = [shop.draw(anchor, n) for n in wanted]
    else:
        pictures = [shop.stored(made, n) for n, made in zip(wanted, several(anchor, wanted), strict=True)]
    write_pictures(shop.unit("portraits", number, "parquet"), pictures)


def _portraits(shop: Workshop, inputs: str, files: tuple[UnitFile, ...]) -> manifest.Stage:
    made = sum(candidates(shop, number) for number in _everybody(shop))
    return manifest.Portraits(inputs=inputs, files=files, candidates=made)


def _curate(shop: Workshop, number: int) -> None:
    """Judge somebody's candidates, make more where too few pass, and store those that rows will show."""
    anchor, need = shop.anchor(number), shop.shares[number].portraits
    judge = curation.Judge(shop.portraits, anchor, shop.arguments.size, shop.arguments.consistency)
    kept: list[Picture] = []
    rejected: dict[int, str] = {}
    surplus = made = 0

    def consider(picture: Picture) -> None:
        nonlocal surplus, made
        made += 1
        why = judge.reason(picture.data)
        if why is not None:
            rejected[picture.number] = why
        elif len(kept) < need:
            kept.append(picture)
        else:
            surplus += 1

    for picture in read_pictures(shop.unit("portraits", number, "parquet")):
        consider(picture)
    usual = made
    while len(kept) < need:
        if made >= PATIENCE * usual:
            identity, common = shop.identities[number].identity_id, Counter(rejected.values()).most_common(1)[0]
            raise BenchmarkError(
                f"curation keeps {len(kept)} of {made} portraits of {identity}, and {need} are needed; most are "
                f"rejected as {common[0]} ({common[1]}). Take a lower --consistency, fewer --pairs or another --seed."
            )
        consider(shop.draw(anchor, made))
    note = {"made": made, "surplus": surplus, "rejected": rejected}
    write_pictures(shop.unit("curation", number, "parquet"), kept, note)


def _curation(shop: Workshop, inputs: str, files: tuple[UnitFile, ...]) -> manifest.Stage:
    made, kept, surplus = Counter[str](), Counter[str](), Counter[str]()
    rejected: dict[str, dict[int, str]] = {}
    for number in _everybody(shop):
        said = read_note(shop.unit("curation", number, "parquet"))
        cell = _cell(shop, number)
        made[cell] += said["made"]
        kept[cell] += shop.shares[number].portraits
        surplus[cell] += said["surplus"]
        rejected[shop.identities[number].identity_id] = {int(n): why for n, why in said["rejected"].items()}
    reasons = Counter(why for person in rejected.values() for why in person.values())
    return manifest.Curation(
        inputs=inputs,
        files=files,
        made=made.total(),
        kept=kept.total(),
        surplus=surplus.total(),
        reasons={why: reasons[why] for why in curation.REASONS},
        rejected=rejected,
        balance=dict(sorted(kept.items())),
        passed={cell: round((kept[cell] + surplus[cell]) / made[cell], 4) for cell in sorted(made)},
    )


def _no_units(shop: Workshop) -> Sequence[int]:
    return ()


def _nothing(shop: Workshop, number: int) -> None:
    """A stage that is quick enough to be one piece."""


def _pii(shop: Workshop, inputs: str, files: tuple[UnitFile, ...]) -> manifest.Stage:
    # Takes half a second to import, which no worker needs to spend.
    from salmu_dataset.pii import make_people

    return manifest.Pii(inputs=inputs, files=files, people=make_people(shop.arguments.seed, shop.identities))


def _make_captions(shop: Workshop, number: int) -> None:
    """Give each of somebody's portraits a sentence of its own: style after style, attribute after attribute."""
    person, share, seed = shop.people[shop.identities[number].identity_id], shop.shares[number], shop.arguments.seed
    rows: list[dict[str, Any]] = []
    for field, (data_field, count) in enumerate(share.pairs.items()):
        facts = Facts(person.name, data_field, str(getattr(person, data_field)))
        styles = stream(seed, "styles", number, field).permutation(STYLES)
        for pair in range(count):
            style = int(styles[pair % STYLES])
            text = shop.captions.captions(facts, style, stream(seed, "caption", number, field, pair))
            if facts.name not in text or facts.value not in text:
                raise BenchmarkError(
                    f"caption source {shop.arguments.captions!r} lost name or value of {facts.data_field}: {text!r}"
                )
            fell_back = bool(getattr(shop.captions, "fell_back", False))
            rows.append({"data_field": data_field, "style": style, "text": text, "fell_back": fell_back})
    manifest.replace(shop.unit("captions", number, "json"), json.dumps(rows, ensure_ascii=False, indent=0).encode())


def _captions(shop: Workshop, inputs: str, files: tuple[UnitFile, ...]) -> manifest.Stage:
    rows = [row for n in _everybody(shop) for row in json.loads(shop.unit("captions", n, "json").read_bytes())]
    fell_back = sum(row["fell_back"] for row in rows)
    return manifest.Captions(inputs=inputs, files=files, sentences=len(rows), fell_back=fell_back)


def _retain(shop: Workshop, inputs: str, files: tuple[UnitFile, ...]) -> manifest.Stage:
    return manifest.Retain(inputs=inputs, files=files, strangers=shop.totals.strangers, scenes=shop.totals.scenes)


#: All stages whose results stay in the work folder; `splits`, the last one, writes what leaves it.
STAGES: Final = (
    StageDef("anchors", "drawing anchors", "png", manifest.Anchors, _everybody, _make_anchor, _anchors),
    StageDef("portraits", "drawing portraits", "parquet", manifest.Portraits, _everybody, _make_portraits, _portraits),
    StageDef("curation", "curating", "parquet", manifest.Curation, _everybody, _curate, _curation),
    StageDef("pii", "inventing private data", "json", manifest.Pii, _no_units, _nothing, _pii),
    StageDef("captions", "writing captions", "json", manifest.Captions, _everybody, _make_captions, _captions),
    StageDef("retain", "drawing strangers and scenes", "parquet", manifest.Retain, blocks, make_block, _retain),
)
SPLITS: Final = "splits"
NAMES: Final = (*(stage.name for stage in STAGES), SPLITS)
