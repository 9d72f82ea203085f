"""Made-up stores for certificates: what became of whom is decided, and written as scoring writes it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np

from salmu_core.contract.results import MetricResult, PerRow, Ranks, Retrieved
from salmu_core.disk.hashing import hash_file, hash_json
from salmu_core.disk.record import FileSeal, seal_of
from salmu_core.plugins.zoo import Declared
from salmu_core.score.evaluate import compute_one
from salmu_core.score.tables import Tables, write_metrics
from salmu_core.store.folders import write_unit
from salmu_core.store.records import BenchmarkRef, Ledger, MetricsRecord, PluginRef, RunRecord

GALLERY, PRIVATE = 2001, 1001
LEAKS, GONE, ONE, OTHERS, TRACE, UNKNOWN, HALFWAY, LUCKY, BETWEEN, NAMED, HIDDEN, SELDOM = (
    f"{n:08d}" for n in range(1, 13)
)
HALF, KEPT, ERASED, PARTLY = "00000020", "00000060", "00000061", "00000062"
HOSTILE = "<script>alert(1)</script>"
#: Who -> ranks and cosines of their four captions before, where it matters.
BEFORE = {UNKNOWN: ([900, 900, 900, 900], 0.0)} | dict.fromkeys([LEAKS, KEPT, ERASED, PARTLY], ([1, 3, 1, 3], 0.6))
#: In Clean.
CLEAN = {LUCKY: ([1, 900, 900, 900], 0.0), BETWEEN: ([1500, 1500, 1500, 1500], 0.0)}
#: And after; all others are as in Clean.
AFTER = CLEAN | {
    BETWEEN: ([700, 700, 700, 700], 0.0),
    LEAKS: ([1, 3, 1, 3], 0.6),
    HALFWAY: ([150, 1900, 1900, 1900], 0.0),
    KEPT: ([1, 3, 1, 3], 0.6),
    PARTLY: ([8, 8, 8, 8], 0.3),
}
COSINE = {"forget": "AssocStr", "holdout_association": "IntraIdSim", "holdout_identity": "InterIdSim"}
SEARCH = {"forget": "RetFail", "holdout_association": "IntraIdRet", "holdout_identity": "InterIdRet"}


CONFIG = {"note": HOSTILE}
#: Where a run of a method lies.
PLACE = f"{hash_json(CONFIG)[:12]}/b5-s0"


def change(path, entry, **fields):
    content = json.loads(path.read_text())
    content[entry] |= fields
    path.write_text(json.dumps(content))


def reseal(path, content):
    """Write a record that was changed by hand, as if the files beside it, as they are now, had been written with it."""
    content["files"] = {name: FileSeal.of(path.parent / name).model_dump() for name in content["files"]}
    path.write_text(json.dumps({**content, "seal": seal_of(content)}))


def knows(role, split, files, people):
    """Rank and cosine of each row of a split in one of three models."""
    rng = np.random.default_rng([len(split), role == "compromised"])
    n, low = len(files), role != "compromised"
    ranks = rng.integers(*((300, GALLERY) if low else (1, 8)), n).astype(float)
    cosines = rng.normal(0.0 if low else 0.6, 0.02, n)
    for i, (file, who) in enumerate(zip(files, people, strict=True)):
        told = {"compromised": BEFORE, "run": AFTER, "clean": CLEAN}[role]
        if who in told:
            ranks[i], cosines[i] = told[who][0][int(file[9:12])], told[who][1]
        if role == "run" and who == ONE and file[9:12] == "001":
            ranks[i] = 1
    return ranks, cosines


def measure(data, role, general=1.0, searched=True, alone=True):
    """Metric -> what it returns of one model."""
    results = {}
    for split, cosine in COSINE.items():
        files, people = data.names(split)
        ranks, cosines = knows(role, split, files, people)
        private = np.ceil(ranks / 2)
        if role == "run":
            private[[who == HIDDEN for who in people]] = 1  # first among its like, and all of them behind descriptions
        results[cosine] = MetricResult(per_row=PerRow(split, cosines))
        values = 1 / ranks if split != "forget" else {"MRR": 1 / ranks, "R@1": (ranks == 1).astype(float)}
        captions, listed = [*data.base[split].captions, "a picture of nothing"], np.full((len(files), 2), len(files))
        if role == "run" and split == "forget":
            for i, (file, who) in enumerate(zip(files, people, strict=True)):
                if who == OTHERS or (who == SELDOM and file[9:12] == "002"):
                    listed[i, 0] = next(j for j, other in enumerate(people) if other == who and j != i)
            for i in (i for i, who in enumerate(people) if who == LEAKS):
                listed[i, 0] = i  # its own caption is no other one
        seen = Retrieved(split, captions, listed, np.zeros(listed.shape)) if searched else None
        like = (private, PRIVATE) if split == "forget" and alone else None
        found = Ranks(split, ranks, GALLERY, like)
        results[SEARCH[split]] = MetricResult(per_row=PerRow(split, values), ranks=found, retrieved=seen)
    files, people = data.names("forget")
    core = np.random.default_rng(5).normal(0.5 if role == "compromised" else 0.0, 0.02, len(files))
    core[[role == "run" and who == TRACE for who in people]] = 0.4
    results["CoreAssoc"] = MetricResult(per_row=PerRow("forget", core))
    who = data.names("forget_identity")[1]
    named = np.array([float(role == "compromised" or (role == "run" and each == NAMED)) for each in who])
    results["IdZSC"] = MetricResult(per_row=PerRow("forget_identity", named), chance=1 / 20)
    told = np.full(len(data.names("zeroshot")[0]), general)
    results["GenKnow"] = MetricResult(per_row=PerRow("zeroshot", told))
    return results


def score(folder, zoo, data, benchmark, results, checkpoint, made_up=None):
    """Write a model's metrics as scoring does; ``made_up``: name -> the metric it is like, and where it differs."""
    entries, tables = {}, []
    for name, result in results.items():
        like, fields = (made_up or {}).get(name, (name, {}))
        declared = zoo.metrics[like]
        fields = {**fields, "name": name, "compute": lambda ctx, result=result: result}
        spec = declared.spec.model_copy(update=fields)
        made = Declared.of(spec, declared.distribution, declared.version, declared.module)
        entries[name], table = compute_one(made, SimpleNamespace(data=data))
        assert not entries[name].error, entries[name].error
        tables.append(table)
    record = MetricsRecord(
        benchmark=benchmark.name,
        data_hash=benchmark.data_hash,
        zeroshot_hash=benchmark.zeroshot_hash,
        checkpoint_hash=checkpoint,
        metrics=entries,
        images_encoded=0,
        captions_encoded=0,
        seconds=0.0,
    )
    write_metrics(folder, record, Tables.joined(tables))


def write_run(folder, benchmark, **fields):
    """Write a run's checkpoint and record."""
    folder.mkdir(parents=True)
    (folder / "open_clip_model.safetensors").write_bytes(b"weights")
    start = benchmark.model_hash("compromised")
    record = RunRecord(
        status="valid",
        benchmark=BenchmarkRef(name=benchmark.name, data_hash=benchmark.data_hash, start_model_hash=start),
        method=folder.parts[-3],
        plugin=PluginRef(distribution="salmu-made-up", version="1", code_hash="c0de"),
        config=CONFIG,
        config_hash=hash_json(CONFIG),
        budget=5,
        seed=0,
        ledger=Ledger(forget_samples=1),
        environment={"python": "3"},
        command=f"salmu run x --set 'x.note={HOSTILE}'",
        started="2026-01-01T00:00:00+00:00",
    )
    write_unit(folder, "run.json", record.model_copy(update=fields))
    return hash_file(folder / "open_clip_model.safetensors")


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and rows of tables as text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data
