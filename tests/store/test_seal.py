"""What is believed is sealed: whatever is changed in a record, beside it or in where it lies is found, or harmless."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import around, rewrite, write_reference, write_run

from salmu_core.disk import stamps
from salmu_core.disk.file_hashes import Stamps
from salmu_core.disk.hashing import hash_file, hash_json
from salmu_core.disk.record import Sealed
from salmu_core.errors import SchemaError, StoreError
from salmu_core.judge.figures import read_figures
from salmu_core.judge.results import read_results
from salmu_core.store.folders import METRICS, RUN, Store, key_of, read_metrics, read_record, read_run
from salmu_core.store.records import MetricsRecord, RunRecord
from salmu_core.store.schema import ROWS

ROWS_OF = {"AssocStr": around(0.3)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "GRANULARITY_NS", 0)
    for role in ("clean", "compromised"):
        write_reference(tmp_path / "runs", role, ROWS_OF)
    return write_run(
        tmp_path / "runs", "one", ROWS_OF, config={"lr": 1e-5, "layers": [1, 2]}, scalars={"loss": [(0, 0.1)]}
    )


def listed(run):
    (row,) = read_results(Store(run.parents[3]), ["mini"]).rows
    return row


def test_a_seal_is_the_hash_of_all_the_rest_as_json_has_it(run):
    """As whoever knows JSON and SHA-256 would check it."""
    for name in (RUN, METRICS):
        content = json.loads((run / name).read_text())
        assert content.pop("seal") == hash_json(content)
        for file, sealed in content["files"].items():
            assert sealed == {"size": (run / file).stat().st_size, "sha256": hash_file(run / file)}
    assert (run / RUN).read_text().rstrip().endswith(f'"seal": "{read_run(run).seal}"\n}}')


@pytest.mark.parametrize(("name", "kind"), [(RUN, RunRecord), (METRICS, MetricsRecord)])
def test_every_flipped_byte_of_a_record_is_found_or_changes_nothing(run, name, kind):
    path = run / name
    whole, before = path.read_bytes(), read_record(path, kind)
    rng, harmless = np.random.default_rng(0), []
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            after = read_record(path, kind)
        except StoreError:
            continue
        assert after == before  # and no SchemaError, which would end a study
        harmless.append(whole[place : place + 1])
    assert set(harmless) <= {b" ", b"\n", b"e"}  # a number with an E


@pytest.mark.parametrize("name", [RUN, METRICS])
def test_every_changed_value_of_a_record_is_found(run, name):
    path = run / name
    content = json.loads(path.read_text())

    def changes(value):
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, part in items:
                for other in changes(part):
                    copy = value.copy()
                    copy[key] = other
                    yield copy
        elif isinstance(value, str):
            yield value + "x"
        elif isinstance(value, bool) or value is None:
            yield not value
        else:
            yield value + 1

    assert listed(run).status == "valid"
    for other in changes(content):
        path.write_text(json.dumps(other))
        with pytest.raises(StoreError, match="damaged"):
            read_run(run) and read_metrics(run, read_run(run).checkpoint_hash)
    assert listed(run).status == "damaged"


def test_a_record_of_another_version_is_no_damage(run):
    rewrite(run / RUN, schema_version=2)
    with pytest.raises(SchemaError, match="version 2"):
        read_run(run)
    content = json.loads((run / RUN).read_text())
    del content["seal"]  # as it was before there were seals
    (run / RUN).write_text(json.dumps(content))
    with pytest.raises(SchemaError, match="version 2"):
        read_run(run)


def test_a_record_is_that_of_the_folder_it_lies_in(run):
    record = read_run(run)
    assert run.parts[-4:] == key_of(record).path.parts
    others = {"budget": 7.0, "seed": 77, "method": "two", "config_hash": hash_json({})}
    for field, value in others.items():
        more = {"config": {}} if field == "config_hash" else {}
        rewrite(run / RUN, **{field: value}, **more)
        with pytest.raises(StoreError, match="is the record of another run, mini/"):
            read_run(run)
        assert listed(run).status == "damaged" and read_run(run, copied=True) is not None
        rewrite(run / RUN, **record.model_dump(mode="json", exclude={"files", "seal"}))
    rewrite(run / RUN, config={"lr": 1e-4, "layers": [1, 2]})
    with pytest.raises(StoreError, match="another config than its config_hash says"):
        read_run(run, copied=True)


def test_a_figure_is_the_mean_of_its_rows(run):
    table = pq.read_table(run / ROWS)
    values = table["value"].to_numpy().copy()
    values[0] += 1e-3
    pq.write_table(table.set_column(table.column_names.index("value"), "value", pa.array(values)), run / ROWS)
    rewrite(run / METRICS)  # with the hash of these rows
    with pytest.raises(
        StoreError, match=r"AssocStr is 0\.29452, and its rows in per_row\.parquet that it is 0\.294533"
    ):
        read_figures(run, read_record(run / METRICS, MetricsRecord))
    assert listed(run).status == "damaged"


def test_what_was_found_whole_is_not_looked_at_again_until_it_changes(run, monkeypatch):
    """A warm look at results costs no more than before there were seals."""
    assert listed(run).status == "valid"
    with monkeypatch.context() as patch:
        patch.setattr("salmu_core.store.folders.parse_json", lambda text: pytest.fail("it was known"))
        assert listed(run).status == "valid"
    content = json.loads((run / RUN).read_text())
    (run / RUN).write_text(json.dumps({**content, "seed": 1}))
    with Stamps(run.parents[3]) as hashed:
        for _ in range(2):  # what is damaged is not noted
            with pytest.raises(StoreError, match="seal"):
                read_run(run, hashed)


def test_files_of_a_unit_are_all_sealed(tmp_path):
    from salmu_core.disk.record import damage_of, file_seals

    (tmp_path / "inner").mkdir()
    for name in ("one", "inner/two"):
        (tmp_path / name).write_text(name)
    record = Sealed(files=file_seals(tmp_path))
    assert damage_of(tmp_path, record) == "" and [*record.files] == ["inner/two", "one"]
    (tmp_path / "inner" / "two").write_text("inner/tvo")
    assert "inner/two is damaged" in damage_of(tmp_path, record)
    shutil.rmtree(tmp_path / "inner")
    assert "inner/two is missing" in damage_of(tmp_path, record)
