"""The last stage: two folders in the released layout, written row by row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from salmu_core import Pair, layout, write_json, write_split_stream
from salmu_dataset.retain import BASE, blocks
from salmu_dataset.workshop import Workshop, read_pictures

#: Names of the two folders, as the released repositories are called.
TRAINING: Final = "salmu-512-redistributed"
EVALUATION: Final = "salmubench-512-redistributed"
SENSITIVE: Final = "sensitive"
ROWS_PER_SHARD: Final = 2000

FRAGILE_RULE: Final = (
    "Every retain row that shows a person of no split is fragile. The published set was chosen by the similarities of "
    "two models; here no model was asked, and fragile_set_all_similarities.json says 1 for a person and 0 for none."
)


class Row(NamedTuple):
    """A row, and what only the JSON files say of it; `data_field` is None for generic portraits."""

    pair: Pair
    split: str
    data_field: str | None
    generic: str


def person_rows(shop: Workshop, number: int) -> Iterator[Row]:
    """Somebody's rows: sensitive ones in order of attributes, then generic portraits for `retain_synth`."""
    identity, share = shop.identities[number].identity_id, shop.shares[number]
    sentences = json.loads(shop.unit("captions", number, "json").read_bytes())
    for place, picture in enumerate(read_pictures(shop.unit("curation", number, "parquet"))):
        name = picture.file_name(f"{identity}_{picture.number:03d}")
        if place < len(sentences):
            text, field = sentences[place]["text"], sentences[place]["data_field"]
            yield Row(Pair(picture.data, text, identity, name), share.split[field], field, picture.caption)
        else:
            yield Row(Pair(picture.data, picture.caption, identity, name), layout.RETAIN_SYNTH, None, picture.caption)


def other_rows(shop: Workshop) -> Iterator[tuple[bool, Pair]]:
    """Rows of `retain_synth` without identity, and whether each shows a person."""
    for block in blocks(shop):
        for picture in read_pictures(shop.unit("retain", block, "parquet")):
            name = picture.file_name(f"{BASE + picture.number:08d}_000")
            yield picture.number < shop.totals.strangers, Pair(picture.data, picture.caption, None, name)


def write_folders(shop: Workshop, into: Path, done: Iterator[None]) -> dict[str, dict[str, int]]:
    """Write both folders into `into`, and say how many rows each split has.

    Args:
        shop: A build with all other stages complete.
        into: An empty folder.
        done: Advanced once a person and split.
    """
    total = shop.totals
    rows = {
        TRAINING: {SENSITIVE: total.sensitive, layout.RETAIN_SYNTH: total.retain},
        EVALUATION: {
            layout.FORGET: total.forget,
            layout.HOLDOUT_ASSOCIATION: total.holdout_association,
            layout.HOLDOUT_IDENTITY: total.holdout_identity,
            layout.RETAIN_SYNTH: total.retain,
        },
    }
    captions: dict[str, dict[str, str | None]] = {}
    generic: dict[str, str] = {}

    def people(split: str) -> Iterator[Pair]:
        for number in range(len(shop.identities)):
            share = shop.shares[number]
            if split == layout.RETAIN_SYNTH and not share.joint:
                continue
            if split not in (SENSITIVE, layout.RETAIN_SYNTH) and split not in share.split.values():
                continue
            for row in person_rows(shop, number):
                if split == SENSITIVE and row.data_field:
                    entry = {
                        "data_field": row.data_field,
                        "caption": row.pair.text,
                        "identity_id": row.pair.identity_id,
                    }
                    captions[row.pair.file_name], generic[row.pair.file_name] = entry, row.generic
                    yield row.pair
                elif split == row.split:
                    yield row.pair
            next(done, None)

    shows_person: dict[str, float] = {}

    def retain() -> Iterator[Pair]:
        yield from people(layout.RETAIN_SYNTH)
        for person, pair in other_rows(shop):
            shows_person[pair.file_name] = float(person)
            yield pair

    for repository, splits in rows.items():
        for split, count in splits.items():
            if (repository, split) == (EVALUATION, layout.RETAIN_SYNTH):
                for shard in sorted((into / TRAINING / "data").glob(f"{split}-*")):
                    shutil.copyfile(shard, into / EVALUATION / "data" / shard.name)
            else:
                pairs = retain() if split == layout.RETAIN_SYNTH else people(split)
                write_split_stream(into / repository, split, pairs, count, ROWS_PER_SHARD)
    folder = into / EVALUATION
    write_json(folder / layout.IDENTITIES, {i: person.metadata() for i, person in shop.people.items()})
    write_json(folder / layout.CAPTIONS_METADATA, captions)
    write_json(folder / layout.GENERIC_CAPTIONS, generic)
    write_json(folder / layout.FRAGILE_IDS, [name for name, person in shows_person.items() if person])
    write_json(folder / layout.FRAGILE_SIMILARITIES, shows_person)
    return rows
