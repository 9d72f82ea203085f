"""Results folders made by hand: runs and reference models with the records and tables that a study leaves behind."""

import json

import numpy as np
import pyarrow as pa
from entries import declaration, entry

from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.hashing import hash_file, hash_json
from salmu_core.disk.record import FileSeal, seal_of
from salmu_core.score.tables import Tables, write_metrics
from salmu_core.store.folders import Store, key_of, write_unit
from salmu_core.store.records import BenchmarkRef, Ledger, MetricsRecord, PluginRef, RunRecord

#: Twenty people with four rows each.
PEOPLE = [f"{row // 4:08d}" for row in range(80)]
ENVIRONMENT = {"python": "3.11", "salmu-core": "0.1.0", "torch": "2.15.0"}


def rewrite(path, **fields):
    """Change a record, as if it had been written so beside the files that lie there now."""
    content = json.loads(path.read_text())
    content["files"] = {name: FileSeal.of(path.parent / name).model_dump() for name in content["files"]}
    content |= fields
    path.write_text(json.dumps({**content, "seal": seal_of(content)}))


def runs(root):
    """The folders of all finished runs in a folder."""
    return sorted(path.parent for path in root.rglob("run.json"))


def around(mean, seed=0, spread=0.05):
    """A value of each row, drawn around a mean; people differ."""
    rng = np.random.default_rng(seed)
    person = np.repeat(rng.normal(size=len(PEOPLE) // 4), 4)
    return mean + spread * person + spread / 2 * rng.normal(size=len(PEOPLE))


def leak(ranks):
    """What RetFail says of its rows, by their ranks."""
    ranks = np.asarray(ranks, dtype=float)
    return {"RetFail_MRR": 1 / ranks, "RetFail_R@1": (ranks == 1).astype(float), "rank": ranks}


def write_scored(
    folder, rows, weights, data="data", zeroshot="zero", alone=None, errors=None, people=PEOPLE, search="RetFail"
):
    """Metrics of a model: column -> value of each forget row; ``alone``: without rows; ``search``: who ranks."""
    parts, entries = [], {}
    empty = Tables.joined([])
    for column, values in rows.items():
        metric = search if column.startswith(search) or column == "rank" else column
        figures = entries.setdefault(metric, {})
        if column != "rank":
            figures[column] = float(np.mean(values))
        n = len(values)
        table = {
            name: pa.array([text] * n).dictionary_encode() for name, text in (("metric", metric), ("column", column))
        }
        table["split"] = pa.array(["forget"] * n).dictionary_encode()
        table |= {"row": np.arange(n), "file_name": [f"{person}_{i:03d}.jpg" for i, person in enumerate(people[:n])]}
        parts.append(pa.table({**table, "identity_id": people[:n], "value": values}, schema=empty.rows.schema))
    entries |= {name: {name: value} for name, value in (alone or {}).items()}
    made = {name: entry(name, values=values) for name, values in entries.items() if name != search}
    if search in entries:
        columns = tuple(name.replace("RetFail", search) for name in declaration("RetFail").columns)
        declared = declaration("RetFail").model_copy(update={"columns": columns})
        made[search] = entry(search, declared, values=entries[search])
    made |= {name: entry(name, error=why) for name, why in (errors or {}).items()}
    record = MetricsRecord(
        benchmark=folder.parents[1].name if folder.parent.name == "_references" else folder.parents[2].name,
        data_hash=data,
        zeroshot_hash=zeroshot,
        checkpoint_hash=weights,
        metrics=made,
        images_encoded=0,
        captions_encoded=0,
        seconds=0,
    )
    write_metrics(folder, record, Tables(pa.concat_tables(parts), empty.retrieved))
    return folder


def write_reference(root, role, rows, benchmark="mini", **more):
    """A reference model."""
    return write_scored(Store(root).reference(benchmark, role), rows, role, **more)


def write_run(root, method, rows, benchmark="mini", budget=5.0, seed=0, config=None, data="data", **more):
    """A run with a checkpoint of a few bytes; ``more``: fields of its record, and what `write_scored` takes."""
    scoring = {name: more.pop(name) for name in ("zeroshot", "alone", "errors", "people", "search") if name in more}
    facts = {
        "status": "valid",
        "benchmark": BenchmarkRef(name=benchmark, data_hash=data, start_model_hash="compromised"),
        "plugin": PluginRef(distribution=f"salmu-{method}", version="1.0", code_hash="0" * 64),
        "ledger": Ledger(forget_samples=40, seconds=12.5),
        "environment": ENVIRONMENT,
        "command": "salmu run",
        "started": "2026-01-01T00:00:00+00:00",
        **more,
    }
    facts |= {"config": config or {}, "config_hash": hash_json(config or {}), "budget": budget, "seed": seed}
    made = RunRecord(method=method, **facts)
    folder = Store(root).folder(key_of(made))
    folder.mkdir(parents=True)
    if made.status == "valid":
        (folder / WEIGHTS).write_bytes(f"{method} {config} {budget} {seed} {made.request.digest}".encode())
    write_unit(folder, "run.json", made)
    if rows:
        write_scored(folder, rows, hash_file(folder / WEIGHTS), data, **scoring)
    return folder
