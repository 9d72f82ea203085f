"""What can not be certified is refused in a sentence, and a page is written whole or not at all."""

import hashlib
import json
import os
import shutil
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from certificates import HALF, KEPT, LEAKS, reseal
from salmu_certificate import make
from salmu_certificate.cli import certify as certificate_of
from salmu_certificate.records import Certificate
from salmu_report.people import read_people

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.errors import BenchmarkError, StoreError, UnknownNameError, UsageError


def fail_scoring(run):
    content = json.loads((run / "metrics.json").read_text())
    content["metrics"]["RetFail"] |= {"values": {}, "details": {}, "error": "out of memory"}
    reseal(run / "metrics.json", content)


def drop_ranks(run):
    """As a metric that keeps no ranks leaves its tables."""
    table = pq.read_table(run / "per_row.parquet")
    kept = table.filter([column != "rank" for column in table["column"].to_pylist()])
    pq.write_table(kept, run / "per_row.parquet")
    content = json.loads((run / "metrics.json").read_text())
    reseal(run / "metrics.json", content)


def crash(run):
    content = json.loads((run / "run.json").read_text())
    reseal(run / "run.json", {**content, "status": "crashed", "reason": "it broke"})


def other_code(run):
    content = json.loads((run / "metrics.json").read_text())
    content["metrics"]["RetFail"]["code_hash"] = "0ld"
    reseal(run / "metrics.json", content)


def clean_of(run):
    return run.parents[2] / "_references" / "clean"


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda run: (run / "run.json").unlink(), UsageError, "is no run folder"),
        (lambda run: (run / "metrics.json").unlink(), UsageError, "not scored: it has no metrics yet: run `salmu run`"),
        (crash, UsageError, "it is crashed: it broke"),
        (lambda run: (run / "open_clip_model.safetensors").write_bytes(b"other"), StoreError, "is damaged"),
        (lambda run: (run / "per_row.parquet").write_bytes(b"other"), StoreError, "is missing|damaged"),
        (lambda run: (clean_of(run) / "retrieved.parquet").unlink(), StoreError, "is missing|damaged"),
        (lambda run: shutil.rmtree(clean_of(run)), UsageError, "Clean of .* is not scored"),
        (drop_ranks, UsageError, "RetFail of .* keeps no ranks of captions. Without it nothing can be said of"),
        (lambda run: drop_ranks(clean_of(run)), UsageError, "RetFail of Clean keeps no ranks of captions"),
        (fail_scoring, UsageError, "RetFail of .* has no value: out of memory. Without it nothing can be said of"),
        (other_code, UsageError, "RetFail of .* and of Compromised were computed by different code"),
    ],
)
def test_what_can_not_be_certified_is_refused_in_a_sentence(run, certify, tmp_path, damage, error, says):
    damage(run)
    with pytest.raises(error, match=says):
        certify(run, LEAKS)
    assert not (tmp_path / "certificates").exists()


def test_people_and_data_that_are_not_there_are_refused(good, certify, ground, tmp_path, tiny_benchmark):
    with pytest.raises(UnknownNameError, match=r"no identity '00000099'\. Did you mean '00000079'"):
        certify(good, "00000099")
    assert certify(good, "1")[0].person.identity_id == LEAKS  # leading zeros may be left out
    with pytest.raises(BenchmarkError, match="are of other data than"):
        certify(good, LEAKS, tiny_benchmark)
    with pytest.raises(UsageError, match=r"is of ground-.*, not of mini, and there is no such folder"):
        certify(good, LEAKS, "mini")
    with pytest.raises(BenchmarkError, match="give its folder as --benchmark PATH"):
        certificate_of(good, LEAKS, tmp_path / "x.html", None)


def test_captions_of_unknown_attributes_are_refused(ground, zoo, tmp_path, good):
    from salmu_certificate.evidence import gather, open_run

    benchmark = open_benchmark(str(ground), zoo, lambda *_: None)
    people = read_people(benchmark)
    assert people.find(KEPT).associations[0].field
    data = shutil.copytree(ground, tmp_path / "ground")
    path = data / "sensitive_set_captions_metadata.json"
    facts = {name: fact for name, fact in json.loads(path.read_text()).items() if not name.startswith(KEPT)}
    path.write_text(json.dumps(facts))
    bare = SimpleNamespace(data=data, folder=data, hashes=benchmark.hashes, data_hash=benchmark.data_hash)
    with pytest.raises(BenchmarkError, match=rf"does not tell which attribute {KEPT}_000.* is about"):
        gather(open_run(good), bare, KEPT)


def test_both_files_are_written_or_neither_and_nothing_else_is_replaced(good, ground, tmp_path, monkeypatch):
    page = tmp_path / "a.html"

    def certify(out):
        certificate_of(good, LEAKS, out, str(ground))

    with pytest.raises(UsageError, match=r"ends in \.html"):
        certify(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"mine": 1}')
    with pytest.raises(UsageError, match="is there already and is no certificate"):
        certify(page)
    assert (tmp_path / "a.json").read_text() == '{"mine": 1}' and not page.exists()
    (tmp_path / "a.json").unlink()
    page.write_text("a thesis")
    with pytest.raises(UsageError, match="no certificate beside it"):
        certify(page)
    assert page.read_text() == "a thesis"
    page.unlink()
    with pytest.raises(UnknownNameError):  # as of a variable that is not set
        certificate_of(good, "", page, str(ground))
    (tmp_path / "b.json").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        certify(tmp_path / "b.html")
    with monkeypatch.context() as patch:
        patch.setattr(make, "as_json", lambda certificate: "\ud800")  # can't be encoded: the second file fails
        patch.setattr(make, "hash_text", lambda text: "")
        with pytest.raises(UnicodeEncodeError):
            certify(page)
    assert not list(tmp_path.glob("*a.*"))
    certify(page)
    first = page.read_text()
    certify(page)  # a certificate may be made again
    assert page.exists() and len(page.read_text()) == len(first)
    monkeypatch.chdir(tmp_path)
    certify(None)
    assert (tmp_path / f"certificate-{LEAKS}.html").exists() and (tmp_path / f"certificate-{LEAKS}.json").exists()


def test_wherever_its_writer_is_killed_no_page_stands_beside_anothers_json(certify, good, tmp_path, monkeypatch):
    one, other = (certify(good, identity)[0] for identity in (LEAKS, HALF))
    page, states = tmp_path / "a.html", []
    killed = 9
    while killed:
        make.write(page, one, {})
        pid = os.fork()
        if not pid:
            left = [len(states)]

            def dying(step, left=left):
                def call(*given, **more):
                    if not left[0]:
                        os._exit(9)
                    left[0] -= 1
                    return step(*given, **more)

                return call

            for name in ("fsync", "replace", "unlink"):
                monkeypatch.setattr(os, name, dying(getattr(os, name)))
            make.write(page, other, {})
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        text = page.with_suffix(".json").read_text(encoding="utf-8")
        states.append(Certificate.model_validate_json(text).person.identity_id)
        assert not page.exists() or hashlib.sha256(text.encode()).hexdigest() in page.read_text(encoding="utf-8")
    assert [*dict.fromkeys(states)] == [LEAKS, HALF] and len(states) > 5
