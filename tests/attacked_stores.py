"""Attacks in results folders made by hand: what a model's rows of the leading leak are under attack is decided."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salmu_core.disk.hashing import hash_json
from salmu_core.store.attacks import ATTACK, QUERY, AttackRecord, LeakedRef, attack_folder
from salmu_core.store.folders import METRICS, read_record, write_unit
from salmu_core.store.records import BenchmarkRef, Ledger, MetricsRecord, PluginRef
from salmu_core.store.schema import ROWS


def write_attack(owner, after, name="relearn", given=("leaked",), config=None, metric="RetFail", column="RetFail_MRR"):
    """An attack on a run or reference model.

    Args:
        owner: Its folder.
        after: ``after(values)``: values of the column's rows under attack, in order; several by the label of a stage.
        name: Of the attack.
        given: What its attacker held.
        config: Its settings.
        metric: The metric that tells the leak.
        column: Its figure.
    """
    scored, config = read_record(owner / METRICS, MetricsRecord), config or {}
    rows = pq.read_table(owner / ROWS)
    rows = rows.filter((pc.field("metric") == metric) & pc.field("column").isin([column, "rank"]))
    tables, stages = [], []
    for number, (label, change) in enumerate((after if isinstance(after, dict) else {"": after}).items()):
        leak = rows["column"].to_pylist()
        values = rows["value"].to_numpy().copy()
        values[[each == column for each in leak]] = change(values[[each == column for each in leak]])
        table = rows.set_column(rows.column_names.index("value"), rows.schema.field("value"), pa.array(values))
        mean = float(values[[each == column for each in leak]].mean())
        stages.append({"label": label, "curve": "one", "step": 10.0 * (number + 1), "values": {column: mean}})
        tables.append(table.append_column(QUERY, pa.array([label] * len(table), pa.string())) if label else table)
    worst = max(stages, key=lambda stage: stage["values"][column])
    entry = scored.metrics[metric].model_copy(update={"values": dict(worst["values"])})
    record = AttackRecord(
        status="valid",
        benchmark=BenchmarkRef(name=scored.benchmark, data_hash=scored.data_hash, start_model_hash=""),
        attack=name,
        plugin=PluginRef(distribution="d", version="1", code_hash=""),
        kind="model",
        given=given,
        config=config,
        config_hash=hash_json(config),
        seed=0,
        checkpoint_hash=scored.checkpoint_hash,
        leaked=LeakedRef(),
        metrics={metric: entry},
        leaks=(column,),
        computed_by={},
        details={"stages": stages, "worst": worst["label"]} if worst["label"] else {},
        ledger=Ledger(),
        environment={},
        seconds=0.0,
        started="",
    )
    folder = attack_folder(owner, (name, record.config_hash[:12]))
    folder.mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables).unify_dictionaries(), folder / ROWS)
    write_unit(folder, ATTACK, record)
    return folder


def write_not_measured(owner, reason, **facts):
    """An attack on a run or reference model whose benchmark has nothing for it."""
    folder = write_attack(owner, lambda values: values, **facts)
    record = read_record(folder / ATTACK, AttackRecord)
    for file in (ROWS, ATTACK):
        (folder / file).unlink()
    write_unit(
        folder,
        ATTACK,
        record.model_copy(update={"status": "not-measured", "reason": reason, "metrics": {}, "leaks": ()}),
    )
