"""A benchmark of eighty people, and runs of it whose figures are known."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from certificates import GONE, HOSTILE, LEAKS, PLACE, change, measure, score, write_run
from salmu_certificate.cli import certify as certificate_of
from salmu_certificate.records import Certificate

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.plugins.zoo import discover
from salmu_core.testing import write_tiny_benchmark


@pytest.fixture(scope="session")
def zoo():
    return discover()


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    """A benchmark of eighty people; one has a name and a caption that must not run, and an image that is none."""
    folder = write_tiny_benchmark(tmp_path_factory.mktemp("ground") / "ground", people=80)
    change(folder / "sensitive_set_captions_metadata.json", f"{LEAKS}_003_ar-0.75.jpg", data_field="city")
    change(folder / "sensitive_set_captions_metadata.json", f"{GONE}_003_ar-0.75.jpg", data_field=f'"{HOSTILE}')
    change(folder / "identities_metadata.json", GONE, name=f'A "B" {HOSTILE}<img src=x onerror=alert(2)>')
    (shard,) = (folder / "data").glob("forget-*.parquet")
    table = pq.read_table(shard).to_pydict()
    where = table["file_name"].index(f"{GONE}_000_ar-0.75.jpg")
    table["text"][where] = f"{HOSTILE} & <b>bold</b>"
    table["image"][where] = {"bytes": b"no image", "path": None}
    pq.write_table(pa.table(table, schema=pq.read_schema(shard)), shard)
    return folder


@pytest.fixture(scope="session")
def made(ground, zoo, tmp_path_factory):
    """Three runs beside their reference models: a good one, one that wrecked the model, one without lists."""
    benchmark = open_benchmark(str(ground), zoo, lambda *_: None)
    data = read_evaluation(benchmark.data, benchmark.zeroshot)
    root = tmp_path_factory.mktemp("made") / "runs" / benchmark.name
    for role in ("compromised", "clean"):
        score(root / "_references" / role, zoo, data, benchmark, measure(data, role), benchmark.model_hash(role))
    lacking = {"unlisted": {"searched": False}, "mixed": {"alone": False}}
    for method, more in {"good": {}, "wrecked": {"general": 0.2}, **lacking}.items():
        folder = root / method / PLACE
        checkpoint = write_run(folder, benchmark)
        score(folder, zoo, data, benchmark, measure(data, "run", **more), checkpoint)
    return root


@pytest.fixture
def run(made, tmp_path):
    """A run that may be changed."""
    return shutil.copytree(made.parent, tmp_path / "runs") / made.name / "good" / PLACE


@pytest.fixture
def certify(ground, tmp_path):
    """Certify a person; returns the certificate as it was written, and the page."""

    def make_one(run, identity, data=ground):
        page = tmp_path / "certificates" / f"{identity}.html"
        certificate_of(run, identity, page, str(data))
        text = page.with_suffix(".json").read_text(encoding="utf-8")
        return Certificate.model_validate_json(text), page.read_text(encoding="utf-8")

    return make_one


@pytest.fixture
def good(made):
    return made / "good" / PLACE
