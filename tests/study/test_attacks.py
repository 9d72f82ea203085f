"""What of a study's attacks is still to be done, by the files alone; none of it needs torch."""

import itertools
import shutil
from typing import get_args

import pytest
from attack_ground import opened

from salmu_core.disk.hashing import EVERY_BYTE
from salmu_core.disk.record import FileSeal
from salmu_core.errors import StoreError, UnknownNameError, UsageError
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import discover
from salmu_core.store.attacks import ATTACK, AttackRecord, LeakedRef, attack_folders, read_attack
from salmu_core.store.folders import Store, write_record
from salmu_core.store.records import BenchmarkRef, Ledger, PluginRef
from salmu_core.study.asked import Study
from salmu_core.study.attacks import Assault, make_attacks, outstanding_attacks
from salmu_core.study.pieces import Phase, in_phases, in_turn, pieces_of
from salmu_core.study.plan import make_plan
from salmu_core.study.todo import Outstanding

SOURCE = """
from salmu_core import AttackSpec, MethodConfig, hookimpl

class Few(MethodConfig):
    k: int = 5

@hookimpl
def salmu_attacks():
    facts = {"summary": "A test.", "paper": "https://example.org", "query": print}
    return [AttackSpec(name="ask", config=Few, **facts), AttackSpec(name="look", **facts)]
"""
STUDY = Study(methods=("finetuning",), budgets=(1.0,), seeds=(0, 1), attacks=("ask",))


@pytest.fixture
def zoo(install):
    install("asking", SOURCE)
    return discover()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def put(store, opened_benchmark, assault, checkpoint, **change):
    """Write the record of an attack as if it had been made."""
    planned, made_on = assault.planned, opened_benchmark
    record = AttackRecord(
        status="valid",
        benchmark=BenchmarkRef(
            name=made_on.name,
            data_hash=made_on.data_hash,
            start_model_hash=made_on.model_hash("compromised"),
        ),
        attack=planned.attack.card.name,
        plugin=PluginRef(distribution="d", version="1", code_hash=code_hash(planned.attack.module)),
        kind="query",
        given=(),
        config=planned.config.model_dump(mode="json"),
        config_hash=planned.config_hash,
        seed=0,
        checkpoint_hash=checkpoint,
        leaked=LeakedRef(),
        computed_by=dict(planned.computed_by),
        ledger=Ledger(),
        environment={},
        seconds=0.0,
        started="",
    )
    folder = assault.folder(store, made_on.name)
    folder.mkdir(parents=True)
    write_record(folder / ATTACK, record.model_copy(update=change))
    return folder


def test_settings_make_attacks_and_slips_are_named(zoo):
    several = STUDY.model_copy(update={"config": {"ask": [{"k": 1}, {"k": 4}, {"k": 4}]}})
    assert [planned.config.k for planned in make_attacks(several, zoo, {})] == [1, 4]
    assert [planned.config.k for planned in make_attacks(several, zoo, {"ask": {"k": 9}})] == [9]
    assert len(make_plan(several, "mini", zoo, {"ask": {"k": 9}})) == 2
    with pytest.raises(UnknownNameError, match="Did you mean 'look'"):
        make_attacks(STUDY.model_copy(update={"attacks": ("lock",)}), zoo, {})
    with pytest.raises(UnknownNameError, match="setting of ask"):
        make_attacks(STUDY, zoo, {"ask": {"kk": 9}})
    with pytest.raises(UsageError, match="ask: k"):
        make_attacks(STUDY, zoo, {"ask": {"k": "many"}})
    with pytest.raises(UsageError, match="add --attack look"):
        make_plan(STUDY, "mini", zoo, {"look": {"k": 9}})
    fewer = several.model_copy(update={"attacks": ("look",)})  # as `--attack look` over a study file makes it
    assert len(make_plan(fewer, "mini", zoo, {})) == 2
    with pytest.raises(UnknownNameError, match="method or attack 'lock'"):
        make_plan(STUDY.model_copy(update={"config": {"lock": {"k": 1}}}), "mini", zoo, {})


def test_only_what_is_missing_or_of_something_else_is_made(zoo, store, tiny):
    benchmark = opened(tiny)
    (attack,), plan = make_attacks(STUDY, zoo, {}), make_plan(STUDY, benchmark.name, zoo, {})

    def left(unmade=(), redo=False):
        return list(outstanding_attacks([attack], plan, unmade, benchmark, store, EVERY_BYTE, redo))

    every = [Assault(attack, target) for target in (*plan, "clean", "compromised")]
    assert [a.label for a in left({p.key for p in plan})] == [a.label for a in every]
    assert [a.target for a in left()] == ["clean", "compromised"]  # of runs that are not there, nothing can be said

    clean = benchmark.model_hash("clean")
    for change in (
        {"checkpoint_hash": "another"},
        {"benchmark": BenchmarkRef(name="x", data_hash="another", start_model_hash="")},
        {"computed_by": {"RetFail": "older"}},
        {
            "plugin": PluginRef(distribution="d", version="1", code_hash="older")
        },  # or it'd stand beside one of newer code
    ):
        folder = put(store, benchmark, every[2], clean, **change)
        assert [a.target for a in left()] == ["clean", "compromised"], change
        shutil.rmtree(folder)
    for change in ({}, {"status": "crashed"}, {"status": "not-measured"}):
        folder = put(store, benchmark, every[2], clean, **change)
        assert [a.target for a in left()] == ["compromised"], change
        assert [a.target for a in left(redo=True)] == ["clean", "compromised"], change
        (folder / ATTACK).write_text("{")
        assert [a.target for a in left()] == ["clean", "compromised"]
        shutil.rmtree(folder)


def test_an_attack_belongs_to_whoever_makes_the_run(zoo, tiny):
    study = STUDY.model_copy(update={"seeds": tuple(range(5))})
    plan, (attack,) = make_plan(study, "mini", zoo, {}), make_attacks(study, zoo, {})
    targets = [*plan, "clean", "compromised"]
    todo = Outstanding(runs=plan, references=["clean", "compromised"], attacks=[Assault(attack, t) for t in targets])
    assert todo.size == 2 * 5 + 2 + 7
    assert Outstanding(attacks=[Assault(attack, "clean")]).size == 1
    pieces = in_phases(pieces_of("mini", plan, todo))
    assert len(pieces) == 5 + 7 + 7
    for count in (1, 2, 3):
        shares = [in_turn(pieces, [plan], index, count, own=True) for index in range(count)]
        assert sorted(itertools.chain(*shares), key=pieces.index) == pieces
        for part in shares:
            made, scored, attacked = ({p.target for p in part if p.phase == phase} for phase in get_args(Phase))
            assert scored == attacked and made == scored - {"clean", "compromised"}


def test_rows_that_are_not_those_written_are_found_out(zoo, store, tiny):
    benchmark = opened(tiny)
    (attack,) = make_attacks(STUDY, zoo, {})
    files = {"per_row.parquet": FileSeal(size=1, sha256="0" * 64)}
    folder = put(store, benchmark, Assault(attack, "clean"), benchmark.model_hash("clean"), files=files)
    assert list(attack_folders(store.reference(benchmark.name, "clean"))) == [folder]
    with pytest.raises(StoreError, match="is missing"):
        read_attack(folder)
