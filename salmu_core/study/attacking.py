"""The attacks of a study being made, once no method runs any more in this process and everything is scored."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from salmu_core.attack.metrics import leak_metrics
from salmu_core.attack.outcome import AttackOutcome
from salmu_core.attack.run import run_attack
from salmu_core.attack.session import AttackSession
from salmu_core.benchmark.folder import Benchmark
from salmu_core.clip.model import Clip
from salmu_core.disk.files import new_folder
from salmu_core.disk.hashing import EVERY_BYTE, hash_json
from salmu_core.errors import CheckpointError, StoreError, described
from salmu_core.machine import environment, without_secrets
from salmu_core.plugins.code import code_hash
from salmu_core.run.reporter import Reporter
from salmu_core.store.attacks import ATTACK, AttackRecord, LeakedRef
from salmu_core.store.folders import TRACEBACK, Store, read_run, write_unit
from salmu_core.store.records import BenchmarkRef, PluginRef
from salmu_core.store.schema import ROWS
from salmu_core.study.attacks import SEED, Assault, lacks_attack
from salmu_core.train.observer import Observer


def attack(
    assaults: Sequence[Assault],
    session: AttackSession,
    benchmark: Benchmark,
    store: Store,
    reporter: Reporter,
    redo: bool = False,
) -> None:
    """Make attacks on one checkpoint, which is loaded once; one that fails by a mistake is a record with its reason.

    Args:
        assaults: At least one, all on the same run or reference model.
        redo: Whether those that have a result are made again.

    Raises:
        Exception: One of them was not made, which was said, and the others were.
    """
    owner = assaults[0].owner(store, benchmark.name)
    target: Clip | None = None
    failure: Exception | None = None
    with store.claim(owner) as claimed:
        for assault in assaults:
            if not claimed:
                reporter.end(f"{assault.label}: left to another process")
                continue
            try:
                source, checkpoint_hash = _checkpoint(assault, owner, benchmark)
                wanted = redo or lacks_attack(assault, checkpoint_hash, benchmark, store, EVERY_BYTE)
                if not checkpoint_hash or not wanted:
                    reporter.end(f"{assault.label}: nothing to attack here")
                    continue
                target = target or session.load(source)
            except (StoreError, CheckpointError) as error:
                reporter.end(f"{assault.label}: not attacked: {error}")
                continue
            reporter.begin(assault.label, "attacking")
            started, start = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), time.perf_counter()
            planned = assault.planned
            observer = Observer(on_step=reporter.step)
            try:
                outcome = run_attack(planned.attack.spec, planned.config, SEED, target, session, observer)
                seconds = time.perf_counter() - start
                record = _record(assault, outcome, session, benchmark, checkpoint_hash, started, seconds)
                benchmark.check_unchanged()
                _write(assault.folder(store, benchmark.name), record, outcome)
            except Exception as error:  # the machine's: of the attack's own mistakes there is an outcome
                (reporter.end if failure else reporter.say)(f"{assault.label}: not attacked: {described(error)}")
                failure, target = error, None
                continue
            reporter.end(f"{assault.label}: {outcome.status}, {outcome.reason or f'{seconds:.1f} s'}")
            if outcome.status == "altered":  # what attacks share may be what was altered
                target = None
                session.reopen(benchmark)
    if failure is not None:
        raise failure


def _checkpoint(assault: Assault, owner: Path, benchmark: Benchmark) -> tuple[str, str]:
    """Name and hash of what is attacked; the hash is empty where there is nothing."""
    if isinstance(assault.target, str):
        return benchmark.model(assault.target), benchmark.model_hash(assault.target)
    record = read_run(owner)
    valid = record is not None and record.status == "valid"
    return str(owner), (record.checkpoint_hash or "") if record is not None and valid else ""


def _record(
    assault: Assault,
    outcome: AttackOutcome,
    session: AttackSession,
    benchmark: Benchmark,
    checkpoint_hash: str,
    started: str,
    seconds: float,
) -> AttackRecord:
    planned, spec = assault.planned, assault.planned.attack.card
    rows, accelerator = session.training.rows, session.accelerator
    names = [rows.forget.rows.file_names[row] for row in outcome.leaked]
    people = {rows.asked.identity_ids[row] for row in outcome.leaked}
    leaked = LeakedRef(rows=len(names), people=len(people), digest=hash_json(names) if names else "")
    return AttackRecord(
        status=outcome.status,
        reason=without_secrets(outcome.reason),
        benchmark=BenchmarkRef(
            name=benchmark.name, data_hash=benchmark.data_hash, start_model_hash=benchmark.model_hash("compromised")
        ),
        attack=spec.name,
        plugin=PluginRef(
            distribution=planned.attack.distribution,
            version=planned.attack.version,
            code_hash=code_hash(planned.attack.module),
        ),
        kind=spec.kind,
        given=spec.given,
        config=planned.config.model_dump(mode="json"),
        config_hash=planned.config_hash,
        seed=SEED,
        checkpoint_hash=checkpoint_hash,
        leaked=leaked,
        metrics=dict(outcome.metrics),
        leaks=tuple(m.card.columns[0] for m in leak_metrics(session.metrics) if m.card.name in outcome.metrics),
        computed_by=dict(planned.computed_by),
        details=dict(outcome.details),
        not_measured={label: without_secrets(why) for label, why in outcome.not_measured.items()},
        fits=outcome.fits,
        scalars=dict(outcome.scalars),
        ledger=outcome.ledger,
        environment=environment(accelerator.device, accelerator.mixed_precision),
        seconds=round(seconds, 3),
        started=started,
    )


def _write(folder: Path, record: AttackRecord, outcome: AttackOutcome) -> None:
    with new_folder(folder) as new:
        if outcome.traceback:
            (new / TRACEBACK).write_text(without_secrets(outcome.traceback), encoding="utf-8")
        if record.status == "valid":
            pq.write_table(outcome.rows.unify_dictionaries(), new / ROWS)
        write_unit(new, ATTACK, record)
