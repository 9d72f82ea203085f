"""Which attacks a study makes, and on what: each valid run, Compromised and Clean. Nothing here needs torch.

Of several requests in sequence, what the last one left is attacked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from salmu_core.attack.metrics import attacked_metrics
from salmu_core.benchmark.folder import Benchmark
from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.layout import ROLES
from salmu_core.contract.settings import Settings, make_config
from salmu_core.disk.hashing import Hashes
from salmu_core.errors import StoreError
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared, Zoo
from salmu_core.store.attacks import AttackKey, attack_folder, read_attack
from salmu_core.store.folders import RUN, RunKey, Store, read_record
from salmu_core.store.records import RunRecord
from salmu_core.study.asked import Study
from salmu_core.study.plan import Planned, config_hash

#: Of every attack: the same rows leak to whoever attacks whichever checkpoint.
SEED = 0


@dataclass(frozen=True)
class PlannedAttack:
    """An attack with one configuration, to be made on every checkpoint."""

    attack: Declared[AttackSpec]
    config: MethodConfig
    computed_by: Mapping[str, str]
    """Metric to be computed -> SHA-256 of its code."""

    @property
    def config_hash(self) -> str:
        """Of its configuration."""
        return config_hash(self.config)

    @property
    def key(self) -> AttackKey:
        """What its results are called by."""
        return self.attack.card.name, self.config_hash[:12]


@dataclass(frozen=True)
class Assault:
    """An attack on one checkpoint."""

    planned: PlannedAttack
    target: Planned | str
    """A run, or ``compromised`` or ``clean``."""

    @property
    def label(self) -> str:
        """For people."""
        target = self.target.capitalize() if isinstance(self.target, str) else self.target.key
        return f"{self.planned.attack.card.name} on {target}"

    def owner(self, store: Store, benchmark: str) -> Path:
        """The folder of what is attacked."""
        role = self.target
        return store.reference(benchmark, role) if isinstance(role, str) else store.folder(role.key)

    def folder(self, store: Store, benchmark: str) -> Path:
        """Where its results lie, or will."""
        return attack_folder(self.owner(store, benchmark), self.planned.key)


def make_attacks(study: Study, zoo: Zoo, overrides: Mapping[str, Settings]) -> list[PlannedAttack]:
    """Every attack of a study, each configuration validated.

    Args:
        overrides: Settings that go over the study's, by name.

    Raises:
        UnknownNameError: An attack or a field does not exist.
        UsageError: A value is not allowed.
    """
    computed_by = {m.card.name: code_hash(m.module) for m in attacked_metrics(zoo.metrics.values())}
    planned: dict[tuple[str, str], PlannedAttack] = {}
    for name in dict.fromkeys(study.attacks):
        declared = zoo.attacks[name]
        given = study.config.get(name, {})
        for settings in given if isinstance(given, list) else [given]:
            config = make_config(declared.spec, {**settings, **overrides.get(name, {})})
            planned[name, config_hash(config)] = PlannedAttack(declared, config, computed_by)
    return list(planned.values())


def outstanding_attacks(
    attacks: Sequence[PlannedAttack],
    plan: Sequence[Planned],
    unmade: Collection[RunKey],
    benchmark: Benchmark,
    store: Store,
    hashed: Hashes,
    redo: bool = False,
) -> Iterator[Assault]:
    """Attacks that have no result yet, or one of something else than what is there now.

    Args:
        unmade: Those that are still to be made.
        redo: Whether those that have one are made again.
    """
    made: list[tuple[Planned | str, str]] = []
    for planned in plan if attacks else ():
        if planned.request.number < planned.request.count:
            continue  # what is asked for later is still there
        record = None if planned.key in unmade else read_record(store.folder(planned.key) / RUN, RunRecord)
        if planned.key in unmade or (record is not None and record.status == "valid"):
            made.append((planned, (record and record.checkpoint_hash) or ""))
    for target, checkpoint_hash in [*made, *((role, benchmark.model_hash(role)) for role in ROLES)]:
        for assault in (Assault(attack, target) for attack in attacks):
            if redo or not checkpoint_hash or lacks_attack(assault, checkpoint_hash, benchmark, store, hashed):
                yield assault


def lacks_attack(assault: Assault, checkpoint_hash: str, benchmark: Benchmark, store: Store, hashed: Hashes) -> bool:
    """Whether an attack on a checkpoint has no result, or one of another checkpoint, other data or other code.

    Unlike a method's, a finished attack of older code is made again: beside one of newer code it says nothing.
    """
    planned = assault.planned
    try:
        record = read_attack(assault.folder(store, benchmark.name), hashed)
    except StoreError:
        return True
    if record is None:
        return True
    made_of = (record.checkpoint_hash, record.benchmark.data_hash, record.benchmark.start_model_hash)
    made_by = (record.plugin.code_hash, record.computed_by)
    return (made_of, made_by) != (
        (checkpoint_hash, benchmark.data_hash, benchmark.model_hash("compromised")),
        (code_hash(planned.attack.module), planned.computed_by),
    )
