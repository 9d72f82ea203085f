"""What a metric retrieved is written beside its rows, or is the metric's own error."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from salmu_core import MetricResult, MetricSpec, Retrieved
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.errors import StoreError
from salmu_core.plugins.zoo import Declared
from salmu_core.score.evaluate import compute_one
from salmu_core.score.tables import Tables, write_metrics
from salmu_core.store.folders import read_metrics
from salmu_core.store.records import MetricsRecord
from salmu_core.store.schema import RETRIEVED

CAPTIONS = ("one", "two", "never found")


@pytest.fixture(scope="module")
def data(tiny):
    return read_evaluation(tiny, tiny / "zeroshot")


def scored(data, retrieved, reads=("forget",), name="RetFail"):
    def compute(ctx):
        return MetricResult(0.5, retrieved=retrieved)

    spec = MetricSpec(
        name=name,
        summary="Looks for captions.",
        pillar="efficacy",
        target="clean",
        role="leak" if name == "RetFail" else "other",
        bounds=(0, 1),
        reads=reads,
        compute=compute,
        paper="https://example.org",
    )
    return compute_one(Declared.of(spec, "d", "1", __name__), SimpleNamespace(data=data))


def record_of(entry):
    return MetricsRecord(
        benchmark="b",
        data_hash="",
        checkpoint_hash="h",
        metrics={"RetFail": entry},
        images_encoded=0,
        captions_encoded=0,
        seconds=0,
    )


def arrays(data, k=2):
    n = len(data.base["forget"])
    found = np.arange(n * k).reshape(n, k) % 2
    found[0, 1:] = -1
    return found, np.linspace(-1, 1, n * k).reshape(n, k)


def test_it_is_read_back_as_it_was_found(data, tmp_path):
    found, cosines = arrays(data)
    entry, tables = scored(data, Retrieved("forget", CAPTIONS, found, cosines))
    assert entry.error is None and entry.values == {"RetFail": 0.5}
    record = record_of(entry)
    other = scored(data, Retrieved("forget", ("somebody else's",), np.zeros_like(found), cosines), name="Another")[1]
    write_metrics(tmp_path, record, Tables.joined([tables, other]))
    names = data.base["forget"].file_names
    table = pq.read_table(tmp_path / RETRIEVED)
    back = {name: [] for name in names}
    for line in sorted(table.to_pylist(), key=lambda line: line["place"]):
        if line["metric"] == "RetFail" and line["split"] == "forget":
            back[line["file_name"]].append((line["caption"], line["cosine"]))
    for row, name in enumerate(names):
        kept = [(CAPTIONS[i], c) for i, c in zip(found[row], cosines[row], strict=True) if i >= 0]
        assert back[name] == kept
    captions = table["caption"].combine_chunks()
    assert set(captions.to_pylist()) == {"one", "two", "somebody else's"}


def test_a_table_that_was_touched_is_refused(data, tmp_path):
    entry, tables = scored(data, Retrieved("forget", CAPTIONS, *arrays(data)))
    record = record_of(entry)
    write_metrics(tmp_path, record, Tables.joined([tables]))
    assert read_metrics(tmp_path, "h") is not None
    (tmp_path / RETRIEVED).write_bytes((tmp_path / RETRIEVED).read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"retrieved\.parquet is damaged"):
        read_metrics(tmp_path, "h")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda found, cosines: ("forget", found[:-1], cosines[:-1]), "for [0-9]+ rows of forget"),
        (lambda found, cosines: ("forget", found, cosines[:, :1]), "with cosines"),
        (lambda found, cosines: ("forget", found + 3, cosines), "not among those it returned"),
        (lambda found, cosines: ("forget", found - 2, cosines), "not among those it returned"),
        (lambda found, cosines: ("holdout_identity", found, cosines), "does not declare to read"),
        (lambda found, cosines: ("forget", found, cosines * np.nan), "NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_the_metrics_error(data, change, said):
    split, found, cosines = change(*arrays(data))
    entry, tables = scored(data, Retrieved(split, CAPTIONS, found, cosines))
    assert entry.values == {} and len(tables.rows) == len(tables.retrieved) == 0
    assert re.search(said, entry.error)
