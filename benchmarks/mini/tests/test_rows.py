"""Splits have the benchmark's proportions, and a half-forgotten persona is cut by attribute."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from salmu_mini.personas import ATTRIBUTES, make_personas
from salmu_mini.recipe import DEFAULT
from salmu_mini.rows import RELEASED, SENSITIVE, Row, make_rows


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return make_rows(0, make_personas(0, DEFAULT.personas), DEFAULT)


def test_sizes(rows: list[Row]) -> None:
    sizes = Counter(row.split for row in rows)
    assert sizes["forget"] == 1728 and sizes["holdout_association"] == sizes["holdout_identity"] == 864
    assert sizes["test"] == DEFAULT.test_per_class * 64


def test_identities_of_the_splits(rows: list[Row]) -> None:
    who: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.identity_id is not None:
            who[row.split].add(row.identity_id)
    assert len(who["forget"]) == 72 and len(who["holdout_association"]) == 48 and len(who["holdout_identity"]) == 24
    assert len(who["forget"] - who["holdout_association"]) == 24
    assert who["holdout_association"] < who["forget"]
    assert not who["holdout_identity"] & who["forget"]
    assert who["retain_synth"] == who["forget"]


def test_associations_are_never_in_two_splits(rows: list[Row]) -> None:
    where: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.split in SENSITIVE:
            assert row.identity_id is not None and row.data_field in ATTRIBUTES
            where[row.identity_id, row.data_field].add(row.split)
    assert len(where) == 96 * 9 and all(len(splits) == 1 for splits in where.values())


def test_file_names_are_unique_and_state_the_aspect(rows: list[Row]) -> None:
    names = [row.file_name for row in rows]
    assert len(set(names)) == len(names)
    for row in rows:
        if row.shot is not None:
            assert row.file_name.endswith(f"_ar-{row.shot.aspect:.2f}.jpg") and row.shot.aspect != 1.0


def test_retain_captions_are_many_and_name_nobody(rows: list[Row]) -> None:
    disjoint = {row.text for row in rows if row.split == "retain_synth" and row.identity_id is None}
    assert 1000 <= len(disjoint) <= 4000
    names = {p.values["name"] for p in make_personas(0, DEFAULT.personas)}
    shown = {row.text for row in rows if row.split in RELEASED[3:]} | {row.generic for row in rows}
    assert not any(name in text for name in names for text in shown)
