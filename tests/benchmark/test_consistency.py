"""The files of a benchmark speak of the same rows and people, or it is said; nothing is unlearned before."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from salmu_core.benchmark import consistency
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_evaluation, read_training
from salmu_core.benchmark.zeroshot import read_zeroshot
from salmu_core.contract import layout
from salmu_core.disk import notes
from salmu_core.errors import BenchmarkError
from salmu_core.plugins.zoo import discover


@pytest.fixture
def folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(tiny, tmp_path / "copy")


@pytest.fixture
def said(monkeypatch, caplog):
    """Opens a benchmark; returns what was said."""
    monkeypatch.setattr(notes.LOG, "propagate", True)

    def opened(folder):
        monkeypatch.setattr(notes, "_said", set())
        caplog.clear()
        open_benchmark(str(folder), discover(()), lambda *_: None)
        return [record.getMessage() for record in caplog.records]

    return opened


def change(folder, split, column, make):
    """Change a column of the one shard of a split."""
    (shard,) = (folder / "data").glob(f"{split}-*.parquet")
    table = pq.read_table(shard)
    values = pa.array([make(value) for value in table[column].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, values), shard)


def rewrite(folder, name, make):
    path = folder / name
    path.write_text(json.dumps(make(json.loads(path.read_text()))))


def number(identity):
    return None if identity is None else int(identity)


def test_a_benchmark_that_agrees_says_nothing_and_is_looked_at_once(folder, said, monkeypatch):
    assert said(folder) == []
    monkeypatch.setattr(consistency, "_rows", lambda *_: pytest.fail("read again"))
    assert said(folder) == []


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("holdout_association", r"shows 4 of 4 people who are nobody in forget \('2', '3', '4', ...\).*leading zeros"),
        ("forget", r"shows 4 of 4 people who are nobody in forget \('00000002'"),
        ("holdout_identity", "identities_metadata.json: 2 of 8 people"),
        ("retain_synth", "retain_synth shows nobody of the private splits; did an editor of tables take leading zeros"),
    ],
)
def test_ids_that_lost_their_zeros_are_named(folder, said, split, words):
    change(folder, split, "identity_id", number)
    if split == "holdout_identity":
        assert any(words in sentence for sentence in said(folder))
        return
    with pytest.raises(BenchmarkError, match=words):
        said(folder)


def test_people_who_are_to_be_forgotten_are_in_no_split_of_others(folder, said):
    change(folder, "holdout_identity", "identity_id", lambda _: "00000000")
    with pytest.raises(BenchmarkError, match=r"holdout_identity shows 1 people of forget \('00000000'\)"):
        said(folder)


def test_a_file_name_is_one_rows(folder, said):
    change(folder, "holdout_identity", "file_name", lambda name: name.replace("00000006_001", "00000000_001"))
    with pytest.raises(BenchmarkError, match=r"1 file names stand twice.*'00000000_001_ar-0.75.jpg'"):
        said(folder)


def jpg_to_png(name):
    return name.replace(".jpg", ".png")


def test_fragile_names_of_no_row_are_counted_and_if_all_are_it_is_an_error(folder, said):
    rewrite(folder, layout.FRAGILE_IDS, lambda names: [names[0], *map(jpg_to_png, names[1:])])
    names = json.loads((folder / layout.FRAGILE_IDS).read_text())
    (sentence,) = said(folder)
    assert f"{len(names) - 1} of {len(names)} names are of no row" in sentence and repr(names[1]) in sentence
    assert said(folder) == [sentence]  # from the cache
    rewrite(folder, layout.FRAGILE_IDS, lambda names: list(map(jpg_to_png, names)))
    with pytest.raises(BenchmarkError, match=f"none of its {len(names)} names"):
        said(folder)


def test_metadata_of_nobody_and_none_of_somebody_are_counted(folder, said):
    rewrite(folder, layout.IDENTITIES, lambda people: {"99": people.pop("00000001"), **people})
    rewrite(folder, layout.CAPTIONS_METADATA, lambda facts: dict(list(facts.items())[1:]))
    assert [sentence.partition(" (")[0] for sentence in said(folder)] == [
        "identities_metadata.json: 1 of 8 people of the private splits have no entry",
        "identities_metadata.json: 1 of 8 entries are of none of the people of the private splits",
        "sensitive_set_captions_metadata.json: 1 of 32 rows of the private splits have no entry",
    ]
    rewrite(folder, layout.IDENTITIES, lambda people: {str(number(name)): facts for name, facts in people.items()})
    with pytest.raises(BenchmarkError, match="has an entry for none of the 8 people"):
        said(folder)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        (layout.IDENTITIES, lambda p: p["00000001"].update(iban=4711), "'iban' of '00000001' is 4711, a number"),
        (layout.IDENTITIES, lambda p: p["00000001"].update(iban=4.9e10), "is 49000000000.0, a number"),
        (layout.IDENTITIES, lambda p: p.update({"00000001": ["x"]}), "entry of '00000001' is a list"),
        (layout.CAPTIONS_METADATA, lambda f: f["00000000_000_ar-0.75.jpg"].update(identity_id="7"), "another identity"),
        (layout.GENERIC_CAPTIONS, lambda g: g.pop("00000000_000_ar-0.75.jpg"), "no caption for 1 of 16 rows of forget"),
        (layout.GENERIC_CAPTIONS, lambda g: g.update(dict.fromkeys(g, 3)), "is a number, not a caption"),
        (layout.FRAGILE_IDS, lambda names: names.append(3), "3 is a number, not a file name"),
    ],
)
def test_other_kinds_of_values_are_refused_by_name(folder, said, name, make, words):
    rewrite(folder, name, lambda content: [content, make(content)][0])
    with pytest.raises(BenchmarkError, match=words):
        said(folder)


@pytest.mark.parametrize(
    "missing",
    [
        layout.IDENTITIES,
        layout.CAPTIONS_METADATA,
        layout.FRAGILE_IDS,
        "data/holdout_identity-00000-of-00001.parquet",
        "clean/open_clip_model.safetensors",
        "zeroshot/test/1.tar",
    ],
)
def test_what_scoring_needs_is_there_before_anything_is_unlearned(folder, said, missing):
    (folder / missing).unlink()
    with pytest.raises(BenchmarkError, match=missing.rpartition("/")[2].partition("-0")[0]):
        said(folder)


@pytest.mark.parametrize("text", ['{"a": {}, "a": {}}', '{"a": {"b": Infinity}}', '{"a": {"b": 1e999}}', "[" * 200])
def test_json_is_strict(folder, said, text):
    (folder / layout.IDENTITIES).write_text(text)
    with pytest.raises(BenchmarkError, match=layout.IDENTITIES):
        said(folder)


@pytest.mark.parametrize("absent", [None, float("nan")])
def test_what_a_data_frame_has_no_value_for_is_no_value(folder, said, absent):
    rewrite(folder, layout.IDENTITIES, lambda people: {k: {**facts, "iban": absent} for k, facts in people.items()})
    assert said(folder) == []
    data, asked = read_evaluation(folder, folder / "zeroshot"), read_training(folder).asked
    assert {facts["iban"] for facts in data.identities.values()} == {None}
    assert {value for field, value in zip(asked.fields, asked.values, strict=True) if field == "iban"} == {None}


def test_classes_without_samples_and_names_that_stand_twice_are_counted(folder, monkeypatch, caplog):
    monkeypatch.setattr(notes.LOG, "propagate", True)
    monkeypatch.setattr(notes, "_said", set())
    (folder / "zeroshot/classnames.txt").write_text("circle\nsquare\nstar\nstar\nmoon\n")
    assert len(read_zeroshot(folder / "zeroshot").keys) == 12
    assert "2 of 5 classes" in caplog.text and "'star' among them" in caplog.text
    assert "1 class names stand twice" in caplog.text
