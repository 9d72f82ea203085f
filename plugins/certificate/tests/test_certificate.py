"""``salmu certify``: one person's page is true to the rows behind it, judged by documented rules, or refused."""

import hashlib
import json
import shutil

import numpy as np
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
    reseal,
)
from salmu_certificate import make
from salmu_certificate.wording import NOT_TRIED
from scipy import stats

from salmu_core.disk.hashing import hash_file
from salmu_core.errors import StoreError

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
