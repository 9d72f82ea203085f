"""Whether the files of a benchmark speak of the same rows and people: looked at once for each content, at opening.

What can't be meant is an error, before anything is unlearned; what may be meant is counted and said.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from salmu_core.benchmark.shards import check_shards, person_ids
from salmu_core.contract import layout
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.notes import note
from salmu_core.disk.reading import read_json
from salmu_core.disk.space import COUNTS
from salmu_core.errors import BenchmarkError, FileError

_FORMAT = "consistency 1"
_PRIVATE = (layout.FORGET, layout.HOLDOUT_ASSOCIATION, layout.HOLDOUT_IDENTITY)
#: Whom a row shows, and the name of its image.
_Row = tuple[str | None, str]


def check_consistency(data: Path, hashes: Mapping[str, str]) -> None:
    """Hold names and people of all splits and JSON files against each other; captions and images are not read.

    Args:
        data: Folder with ``data/*.parquet`` and the JSON files.
        hashes: Path of each file within it -> SHA-256; what was found in these contents is kept in the cache folder.

    Raises:
        BenchmarkError: Files contradict each other, or one is missing, damaged or holds another kind of thing.
    """
    files = {path: sha256 for path, sha256 in hashes.items() if path.startswith("data/") or path in layout.JSON_FILES}
    key = [_FORMAT, files]
    if (kept := recall(COUNTS, key)) is None:
        kept = json.dumps(list(_oddities(data, files))).encode()
        remember(COUNTS, key, kept)
    for sentence in json.loads(kept):
        note(sentence)


def _oddities(data: Path, files: Mapping[str, str]) -> Iterator[str]:
    rows = {split: _rows(data, split, files) for split in layout.BASE_SPLITS}
    _check_people(data, rows)
    owners = {name: person for split in _PRIVATE for person, name in rows[split]}
    times = Counter(name for split in _PRIVATE for _, name in rows[split])
    if twice := [name for name, number in times.items() if number > 1]:
        raise BenchmarkError(
            f"{data / 'data'}: {len(twice):,} file names stand twice in the splits {', '.join(_PRIVATE)}"
            f"{_some(twice)}: the JSON files are by file name, so each must be one row's"
        )
    people = _metadata(data / layout.IDENTITIES)
    captions = _metadata(data / layout.CAPTIONS_METADATA)
    generic = _texts(data / layout.GENERIC_CAPTIONS)
    yield from _unlike(layout.IDENTITIES, people, set(filter(None, owners.values())), "people of the private splits")
    yield from _unlike(layout.CAPTIONS_METADATA, captions, owners.keys(), "rows of the private splits")
    yield from _strangers(layout.GENERIC_CAPTIONS, generic, owners.keys(), "rows of the private splits")
    forget = {name for _, name in rows[layout.FORGET]}
    if lacking := sorted(forget - generic.keys()):
        raise BenchmarkError(
            f"{data / layout.GENERIC_CAPTIONS} has no caption for {_of(lacking, forget)} rows of forget{_some(lacking)}"
        )
    known = {name: fact["identity_id"] for name, fact in captions.items() if name in owners and fact.get("identity_id")}
    if other := [name for name, person in known.items() if str(person).lstrip("0") != str(owners[name]).lstrip("0")]:
        raise BenchmarkError(
            f"{data / layout.CAPTIONS_METADATA}: {_of(other, captions)} entries have another identity_id than their "
            f"rows{_some(other)}"
        )
    yield from _fragile(data, rows[layout.RETAIN_SYNTH])


def _check_people(data: Path, rows: Mapping[str, list[_Row]]) -> None:
    """The splits' rules: part of the forgotten people's pairs are held out, and people who are in no other split."""
    shown = {split: {person for person, _ in rows[split] if person is not None} for split in rows}
    forgotten = shown[layout.FORGET]
    held_out = shown[layout.HOLDOUT_ASSOCIATION]
    if nobodys := sorted(held_out - forgotten):
        raise BenchmarkError(
            f"{data / 'data'}: holdout_association shows {_of(nobodys, held_out)} people who are nobody in forget"
            f"{_some(nobodys)}: it holds other pairs of people of forget{_zeros(nobodys, forgotten)}"
        )
    if both := sorted(shown[layout.HOLDOUT_IDENTITY] & forgotten):
        raise BenchmarkError(
            f"{data / 'data'}: holdout_identity shows {len(both)} people of forget{_some(both)}: it holds people of "
            "whom nothing is to be forgotten"
        )
    everybody = forgotten | shown[layout.HOLDOUT_IDENTITY]
    retained = sorted(shown[layout.RETAIN_SYNTH])
    if retained and not forgotten & set(retained) and _zeros(retained, everybody):
        raise BenchmarkError(
            f"{data / 'data'}: retain_synth shows nobody of the private splits{_zeros(retained, everybody)}"
        )


def _fragile(data: Path, retain: list[_Row]) -> Iterator[str]:
    names = _names(data / layout.FRAGILE_IDS)
    plain, all_rows = {name for person, name in retain if person is None}, {name for _, name in retain}
    strangers = sorted(names - all_rows)
    if names and len(strangers) == len(names):
        raise BenchmarkError(
            f"{data / layout.FRAGILE_IDS}: none of its {len(names):,} names is a file name of retain_synth"
            f"{_some(strangers)}: were the images written anew, with another extension?"
        )
    if strangers:
        yield (
            f"{layout.FRAGILE_IDS}: {_of(strangers, names)} names are of no row of retain_synth{_some(strangers)}: "
            f"what is measured of them is over the other {len(names & plain)}."
        )
    if people := sorted(names & all_rows - plain):
        yield f"{layout.FRAGILE_IDS}: {_of(people, names)} names are of rows that show a person{_some(people)}."


def _unlike(file: str, entries: Mapping[str, Any], wanted: Collection[str], what: str) -> Iterator[str]:
    """Of what a file says nothing, and what it says of nothing that is there."""
    lacking, strangers = sorted(set(wanted) - entries.keys()), sorted(entries.keys() - set(wanted))
    if entries and len(lacking) == len(wanted):
        raise BenchmarkError(
            f"{file} has an entry for none of the {len(wanted):,} {what}: they are called {_some(lacking)[2:-1]}, its "
            f"entries {_some(strangers)[2:-1]}"
        )
    if lacking:
        yield f"{file}: {_of(lacking, wanted)} {what} have no entry{_some(lacking)}."
    yield from _strangers(file, entries, wanted, what)


def _strangers(file: str, entries: Mapping[str, Any], wanted: Collection[str], what: str) -> Iterator[str]:
    if strangers := sorted(entries.keys() - set(wanted)):
        hint = _zeros(strangers, wanted)
        yield f"{file}: {_of(strangers, entries)} entries are of none of the {what}{_some(strangers)}{hint}."


def _rows(data: Path, split: str, files: Mapping[str, str]) -> list[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [path.removeprefix("data/") for path in files if path.startswith("data/")]
    rows: list[_Row] = []
    for shard in check_shards(data / "data", split, names):
        try:
            table = pq.read_table(data / "data" / shard, columns=["identity_id", "file_name"])
            rows += zip(person_ids(table["identity_id"]), table["file_name"].to_pylist(), strict=True)
        except (OSError, ValueError, pa.ArrowException, KeyError) as error:
            raise BenchmarkError(f"{data / 'data' / shard} can't be read as a parquet shard: {error}") from error
    return rows


def _metadata(path: Path) -> dict[str, dict[str, Any]]:
    """Entries of a file by what they are of: tables whose facts are texts, lists of texts, or nothing."""
    entries: dict[str, dict[str, Any]] = read_file(path)
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise BenchmarkError(f"{path}: the entry of {name!r} is {_kind(entry)}, not a table of facts")
        for fact in ("data_field", "caption", "value", *layout.DATA_FIELDS):
            value = entry.get(fact)
            wrong = [v for v in (value if isinstance(value, list) else [value]) if not isinstance(v, str | None)]
            if wrong:
                raise BenchmarkError(
                    f"{path}: {fact!r} of {name!r} is {wrong[0]!r}, {_kind(wrong[0])}: write it as a text, in quotes, "
                    "as the captions have it"
                )
    return entries


def _texts(path: Path) -> dict[str, str]:
    texts: dict[str, str] = read_file(path)
    if wrong := [name for name, text in texts.items() if not isinstance(text, str)]:
        raise BenchmarkError(f"{path}: what stands for {wrong[0]!r} is {_kind(texts[wrong[0]])}, not a caption")
    return texts


def _names(path: Path) -> set[str]:
    names = read_file(path, list)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise BenchmarkError(f"{path}: {wrong[0]!r} is {_kind(wrong[0])}, not a file name")
    return set(names)


def read_file(path: Path, kind: type = dict) -> Any:
    """One of the layout's JSON files; NaN, which data frames write where there is no value, is null.

    Raises:
        BenchmarkError: It is missing or no JSON, or another kind of thing than it should be.
    """
    try:
        return read_json(path, kind, nan_is_null=True)
    except FileError as error:
        raise BenchmarkError(str(error)) from error


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table", str: "a text"}
    return kinds.get(type(value), "nothing")


def _of(some: Collection[str], every: Collection[str]) -> str:
    return f"{len(some):,} of {len(every):,}"


def _some(names: Collection[str]) -> str:
    """The first of some names, in brackets; nothing of none."""
    first = ", ".join(f"{name!r:.80}" for name in sorted(names)[:3])
    return f" ({first}{', ...' if len(names) > 3 else ''})" if names else ""


def _zeros(names: Collection[str], others: Collection[str]) -> str:
    """A guess at why names are no others: numbers that a table program has taken their leading zeros from."""
    stripped = {name.lstrip("0") for name in others}
    if all(name.isdecimal() and name.lstrip("0") in stripped for name in names):
        return "; did an editor of tables take leading zeros away, 00000002 -> 2?"
    return ""
