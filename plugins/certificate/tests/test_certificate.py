"""``salmu certify``: one person's page is true to the rows behind it, judged by documented rules, or refused."""

import hashlib
import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from certificates import (
    BETWEEN,
    COSINE,
    ERASED,
    GALLERY,
    GONE,
    HALF,
    HALFWAY,
    HIDDEN,
    HOSTILE,
    KEPT,
    LEAKS,
    LUCKY,
    NAMED,
    ONE,
    OTHERS,
    PARTLY,
    PLACE,
    SEARCH,
    SELDOM,
    TRACE,
    UNKNOWN,
    Page,
    change,
    measure,
    reseal,
    score,
    write_run,
)
from salmu_certificate import make
from salmu_certificate.cli import certify as certificate_of
from salmu_certificate.records import Certificate
from salmu_certificate.wording import NOT_TRIED
from scipy import stats

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.people import read_people
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.contract.results import MetricResult, PerRow, Ranks
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import BenchmarkError, StoreError, UnknownNameError, UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.testing import write_tiny_benchmark


@pytest.fixture(scope="module")
def zoo():
    return discover()


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A benchmark of eighty people; one has a name and a caption that must not run, and an image that is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SALMU_CACHE", str(tmp_path_factory.mktemp("cache")))
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
        yield folder


@pytest.fixture(scope="module")
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


# What is on it


@pytest.mark.parametrize("identity", [LEAKS, HALF, ERASED])
def test_every_association_is_as_the_tables_have_it(certify, good, made, ground, identity):
    certificate, text = certify(good, identity)
    tables = {
        role: pq.read_table(folder / "per_row.parquet").to_pylist()
        for role, folder in (
            ("before", made / "_references" / "compromised"),
            ("after", good),
            ("clean", made / "_references" / "clean"),
        )
    }
    shards = [pq.read_table(shard).to_pylist() for split in COSINE for shard in (ground / "data").glob(f"{split}-*")]
    captions = {row["file_name"]: row["text"] for rows in shards for row in rows if row["identity_id"] == identity}
    fields = json.loads((ground / "sensitive_set_captions_metadata.json").read_text())
    assert {pair.file_name for pair in certificate.pairs} == set(captions) and len(certificate.pairs) == 4
    rows = {row[-7].split()[-1]: row[-6:] for row in Page(text).rows if len(row) >= 8}
    for pair in certificate.pairs:
        assert pair.caption == captions[pair.file_name] and pair.field == fields[pair.file_name]["data_field"]
        for role, table in tables.items():
            mine = {(r["metric"], r["column"]): r for r in table if r["file_name"] == pair.file_name}
            assert getattr(pair.rank, role) == mine[SEARCH[pair.split], "rank"]["value"]
            assert getattr(pair.cosine, role) == mine[COSINE[pair.split], COSINE[pair.split]]["value"]
        shown = [cell.split()[0].rstrip("=▲▼?") for cell in rows[pair.file_name]]
        expected = [getattr(each, role) for each in (pair.rank, pair.cosine) for role in tables]
        assert [float(cell) for cell in shown] == pytest.approx(expected, abs=0.0006)


def jackknife(values, groups):
    """Student's interval of a mean on the jackknife over groups, by hand."""
    names = sorted(set(groups))
    without = [np.mean([v for v, g in zip(values, groups, strict=True) if g != name]) for name in names]
    g, mean = len(names), np.mean(values)
    half = stats.t.ppf(0.975, g - 1) * np.sqrt((g - 1) / g * ((without - mean) ** 2).sum())
    return mean - half, mean + half


def test_intervals_are_over_attributes_not_captions(certify, good):
    certificate, _ = certify(good, LEAKS)
    pairs = certificate.pairs
    groups = [pair.field for pair in pairs]
    assert sorted(groups) == ["city", "city", "iban", "phone_number"]
    rank, cosine = (each for each in certificate.summaries if each.part == "forget")
    assert (rank.rows, rank.unit, rank.units, rank.gallery) == (4, "attribute", 3, GALLERY)
    for role in ("before", "after", "clean"):
        values = [1 / getattr(pair.rank, role) for pair in pairs]
        low, high = jackknife(values, groups)
        ends = getattr(rank, role)
        assert ends.value == pytest.approx(np.mean(values))
        assert (ends.low, ends.high) == pytest.approx((max(low, 1 / GALLERY), min(high, 1)))
    values = [pair.cosine.clean for pair in pairs]
    assert (cosine.clean.low, cosine.clean.high) == pytest.approx(jackknife(values, groups))
    (judgement,) = certificate.verdicts
    assert judgement.allowed["guessing"].value == pytest.approx(np.mean([1 / k for k in range(1, GALLERY + 1)]))
    excess = judgement.allowed["1% of before"].excess
    low, high = jackknife([1 / p.rank.after - 0.01 / p.rank.before for p in pairs], groups)
    assert (excess.low, excess.high) == pytest.approx((low, high))


def test_standing_and_trials_are_counted_over_the_right_people(certify, good):
    certificate, _ = certify(good, LEAKS)
    table = pq.read_table(good / "per_row.parquet").to_pylist()
    people = {}
    for row in table:
        if row["column"] == "RetFail_MRR":
            people.setdefault(row["identity_id"], []).append(row["value"])
    means = {who: np.mean(values) for who, values in people.items()}
    (place,) = certificate.standing
    assert place.place == 1 + sum(mean > means[LEAKS] for mean in means.values()) == 1 and place.of == len(means) == 60
    assert place.better_off == 1.0 and place.worst.field == "iban" and place.worst.best_rank == 1
    trials = {trial.column: trial for trial in certificate.trials}
    assert trials["RetFail_MRR"].values.after == pytest.approx(means[LEAKS])
    assert trials["IdZSC"].guessing == 1 / 20 and trials["IdZSC"].people == 20
    assert (trials["RetFail_MRR"].stand, trials["AssocStr"].stand, trials["IdZSC"].stand) == (
        "above Clean",
        "above Clean",
        "as in Clean",
    )
    assert not certificate.not_measured and "InterIdSim" not in trials


def test_hashes_are_those_of_the_files_and_the_page_names_its_json(certify, good, made, ground):
    certificate, text = certify(good, LEAKS)
    record, hashes = json.loads((good / "run.json").read_text()), certificate.hashes
    assert hashes.checkpoint == hashlib.sha256(b"weights").hexdigest()
    assert (hashes.start_model, hashes.data) == tuple(record["benchmark"][n] for n in ("start_model_hash", "data_hash"))
    clean = json.loads((made / "_references" / "clean" / "metrics.json").read_text())
    assert hashes.method_code == "c0de" and hashes.clean_model == clean["checkpoint_hash"]
    assert hashes.rows["after"] == hashlib.sha256((good / "per_row.parquet").read_bytes()).hexdigest()
    assert hashes.rows["clean"] == hash_file(made / "_references" / "clean" / "per_row.parquet")
    page = Page(text).text
    assert all(each in page for each in (hashes.checkpoint, hashes.data, hashes.start_model, record["command"]))
    assert hashlib.sha256(make.as_json(certificate).encode()).hexdigest() in page
    assert all(line in page for line in (*NOT_TRIED, *certificate.shows, *certificate.does_not_show))


# Verdicts


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (LEAKS, {"forget": "still retrievable"}),
        (GONE, {"forget": "not retrievable any more"}),
        (ONE, {"forget": "still retrievable"}),
        (OTHERS, {"forget": "still retrievable"}),
        (TRACE, {"forget": "not retrievable, but not as if never seen"}),
        (UNKNOWN, {"forget": "never shown to be retrievable"}),
        (HALFWAY, {"forget": "can't be told"}),
        (LUCKY, {"forget": "not retrievable any more"}),  # what Clean finds by luck is no leak
        (NAMED, {"forget": "still retrievable"}),  # by name alone
        (HIDDEN, {"forget": "still retrievable"}),  # among its like alone
        (SELDOM, {"forget": "can't be told"}),  # one photograph brings another caption, and in Clean none does
        (BETWEEN, {"forget": "not retrievable any more"}),  # shown to be above Clean, and below guessing
        (KEPT, {"keep": "kept"}),
        (ERASED, {"keep": "erased by mistake"}),
        (PARTLY, {"keep": "kept only in part"}),
        (HALF, {"forget": "not retrievable any more", "keep": "erased by mistake"}),
    ],
)
def test_the_verdict(certify, good, identity, words):
    certificate, text = certify(good, identity)
    assert {each.part: each.word for each in certificate.verdicts} == words
    page = Page(text).text
    assert all(word[0].upper() + word[1:] in page for word in words.values())
    assert ("nothing was to be forgotten:" in page) == (set(words) == {"keep"})


def test_the_reasons_name_what_was_found(certify, good, made):
    one, _ = certify(good, ONE)
    assert (
        one.verdicts[0].found == (f"{ONE}_001_ar-0.75.jpg",) and "phone number at place 1" in one.verdicts[0].reasons[1]
    )
    assert [pair.found for pair in one.pairs] == [pair.file_name[9:12] == "001" for pair in one.pairs]
    others, _ = certify(good, OTHERS)
    assert not others.verdicts[0].found and "for 4 of 4 photographs another caption" in others.verdicts[0].reasons[2]
    assert "for 0 of 4 photographs another caption" in certify(good, LEAKS)[0].verdicts[0].reasons[2]
    unlisted, _ = certify(made / "unlisted" / PLACE, OTHERS)
    assert unlisted.verdicts[0].word == "can't be told" and "not looked at" in unlisted.verdicts[0].reasons[2]
    hidden, page = certify(good, HIDDEN)
    assert all(pair.found and pair.rank.after > 100 for pair in hidden.pairs)
    assert "(1 among captions to be forgotten)" in hidden.verdicts[0].reasons[1]
    assert "place 1 among captions to be forgotten" in Page(page).text
    named, _ = certify(good, NAMED)
    assert named.verdicts[0].named and not named.verdicts[0].found
    assert any("for 100% of the photographs the right name" in each for each in named.verdicts[0].reasons)
    assert certify(good, HALF)[0].verdicts[0].named is None and certify(good, GONE)[0].verdicts[0].named is False
    trace, _ = certify(good, TRACE)
    assert (
        trace.verdicts[0].unlike_clean == ("CoreAssoc",) and "above Clean: CoreAssoc" in trace.verdicts[0].reasons[-1]
    )


def test_nobody_is_called_forgotten_for_want_of_evidence(certify, run, made):
    for folder, lacks in (("unlisted", "which captions come first"), ("mixed", "captions to be forgotten alone")):
        found, _ = certify(made / folder / PLACE, GONE)
        assert found.verdicts[0].word == "can't be told" and found.verdicts[0].unasked == (lacks,)
        assert f"Not looked at: {lacks}" in found.verdicts[0].reasons[-1]
        assert certify(made / folder / PLACE, LEAKS)[0].verdicts[0].word == "still retrievable"
    assert certify(run, NAMED)[0].verdicts[0].word == "still retrievable"
    record = json.loads((run / "metrics.json").read_text())
    record["metrics"]["IdZSC"] |= {"values": {}, "error": "out of memory"}
    reseal(run / "metrics.json", record)
    found, _ = certify(run, NAMED)
    assert found.verdicts[0].word == "can't be told" and found.verdicts[0].unasked == ("the name",)
    assert found.not_measured == {"IdZSC": "no value of the run: out of memory"}
    assert certify(run, HALF)[0].verdicts[0].word == "not retrievable any more"  # whose name nobody asks for


def test_figures_of_another_model_are_no_reference(certify, run):
    clean = run.parents[2] / "_references" / "clean"
    for name in ("metrics.json", "per_row.parquet", "retrieved.parquet"):
        shutil.copy(run / name, clean / name)
    with pytest.raises(StoreError, match=r"Clean in .* are of another model"):
        certify(run, LEAKS)


def test_success_on_a_wrecked_model_is_said_to_mean_little(certify, good, made):
    certificate, text = certify(made / "wrecked" / PLACE, GONE)
    assert certificate.verdicts[0].word == "not retrievable any more"
    assert (
        "general knowledge is damaged" in certificate.population.caution
        and certificate.population.caution in Page(text).text
    )
    assert {m.mode: m.says for m in certificate.population.modes}["catastrophic"] == "shown"
    assert "general knowledge" not in certify(good, GONE)[0].population.caution


# Metrics of others


@pytest.fixture(scope="module")
def others(ground, zoo, tmp_path_factory):
    """A run scored without the protocol's search: by one of another name, one more, and a leak without ranks."""
    benchmark = open_benchmark(str(ground), zoo, lambda *_: None)
    data = read_evaluation(benchmark.data, benchmark.zeroshot)
    root = tmp_path_factory.mktemp("others") / "runs" / benchmark.name
    people = data.names("forget")[1]
    made_up = {name: ("RetFail", {}) for name in ("Whisper", "Murmur")}
    made_up["Echo"] = ("AssocStr", {"role": "leak", "bounds": (0, 1)})

    def results(role, names):
        found = measure(data, role)
        found["Whisper"] = found.pop("RetFail")
        heard = [role == "compromised" or (role == "run" and who == TRACE) for who in people]
        quiet = np.random.default_rng(9).uniform(0, 0.1, len(people))
        echo = MetricResult(per_row=PerRow("forget", np.where(heard, 0.9, quiet)))
        ranks = np.where([role == "compromised" or (role == "run" and who == GONE) for who in people], 1.0, 900.0)
        rows = {"MRR": 1 / ranks, "R@1": (ranks == 1).astype(float)}
        murmur = MetricResult(per_row=PerRow("forget", rows), ranks=Ranks("forget", ranks, GALLERY))
        return found | {name: made for name, made in (("Echo", echo), ("Murmur", murmur)) if name in names}

    runs = {}
    for method, names in {"whisper": (), "echo": ("Echo",), "murmur": ("Murmur",)}.items():
        home = root.parent / method / root.name
        for role in ("compromised", "clean"):
            weights = benchmark.model_hash(role)
            score(home / "_references" / role, zoo, data, benchmark, results(role, names), weights, made_up)
        runs[method] = home / method / PLACE
        checkpoint = write_run(runs[method], benchmark)
        score(runs[method], zoo, data, benchmark, results("run", names), checkpoint, made_up)
    return runs


def test_a_search_of_another_name_says_what_the_protocols_says(certify, good, others):
    for identity in (LEAKS, GONE, ONE, HIDDEN, UNKNOWN, HALF):
        known, _ = certify(good, identity)
        found, _ = certify(others["whisper"], identity)
        assert [v.word for v in found.verdicts] == [v.word for v in known.verdicts]
        assert found.pairs == known.pairs and found.standing == known.standing and found.summaries == known.summaries
        assert found.verdicts[0].said == known.verdicts[0].said
    trials = {trial.column: trial for trial in found.trials}
    assert "Whisper_MRR" in trials and not any(name.startswith("RetFail") for name in trials)
    assert trials["Whisper_MRR"].what == {t.column: t.what for t in known.trials}["RetFail_MRR"]
    assert "Whisper_MRR" in found.population.figures


def test_a_leak_without_ranks_can_show_that_something_is_left(certify, others):
    trace, _ = certify(others["echo"], TRACE)
    verdict = trace.verdicts[0]
    assert (verdict.word, verdict.leaking, verdict.found) == ("still retrievable", ("Echo",), ())
    assert "By Echo: 0.900 (0.900 before, " in " ".join(verdict.reasons)
    gone, page = certify(others["echo"], GONE)
    assert gone.verdicts[0].word == "not retrievable any more" and gone.verdicts[0].leaking == ()
    assert "Echo" in Page(page).text


def test_what_any_search_finds_is_found(certify, others):
    found, _ = certify(others["murmur"], GONE)
    verdict = found.verdicts[0]
    assert verdict.word == "still retrievable" and len(verdict.found) == 4
    assert "mean reciprocal rank 1.0000" in verdict.said  # by the search by which more is left
    assert certify(others["murmur"], TRACE)[0].verdicts[0].found == ()


# A page that is safe to open


@pytest.mark.parametrize("identity", [GONE, KEPT])
def test_text_from_data_stays_text_and_nothing_is_fetched(certify, good, identity):
    certificate, text = certify(good, identity)
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe", "object", "b2"} & set(names) and names.count("html") == 1
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert all(attrs["src"].startswith("data:image/") and attrs["alt"] for tag, attrs in page.tags if tag == "img")
    assert not any("href" in attrs for _, attrs in page.tags) and "url(" not in text and "@import" not in text
    policy = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert len(policy) == 1 and policy[0].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th") and ("html", {"lang": "en"}) in page.tags
    assert f"note={HOSTILE}" in page.text and page.text.count("identity") >= 1
    if identity == GONE:
        assert f"{HOSTILE} & <b>bold</b>" in page.text and certificate.person.name in page.text
        assert "no portrait" in page.text and names.count("img") == 3


# Refusals


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
