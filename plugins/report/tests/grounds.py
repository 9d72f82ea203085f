"""Results folders written without training or scoring anything, and hostile: what a report must be able to show.

What models would answer is drawn (`drawn`); from there on everything is the real thing: the metrics' own
declarations, the records, the tables, the layout, the hashes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pyarrow.parquet as pq
from drawn import CLEAN, COMPROMISED, Answers, Knows, curves

from salmu_core import Pair, write_json, write_split, write_zeroshot
from salmu_core.benchmark.consistency import read_file
from salmu_core.benchmark.folder import Benchmark, open_benchmark
from salmu_core.benchmark.sources import SOURCES
from salmu_core.benchmark.splits import EvaluationData, read_evaluation
from salmu_core.cli.reading import Reading, reading
from salmu_core.contract import layout
from salmu_core.contract.features import PoolName
from salmu_core.contract.layout import WEIGHTS
from salmu_core.contract.settings import make_config
from salmu_core.disk.files import new_folder
from salmu_core.disk.hashing import hash_file, hash_json, hash_text
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.score.evaluate import compute_one
from salmu_core.score.tables import Tables, write_metrics
from salmu_core.store.folders import RUN, TRACEBACK, RunKey, Store, write_unit
from salmu_core.store.records import BenchmarkRef, Ledger, MetricsRecord, PluginRef, RunRecord, ScoredOn, Status
from salmu_core.testing import write_tiny_benchmark

#: In a name, in captions, in a setting, in reasons, in a notice.
HOSTILE = """<script>alert(1)</script> "double" 'single' </script> & &lt;i&gt; <img src=x onerror=alert(2)>"""
#: Whose name and captions are: somebody wholly forgotten.
HOSTILE_PERSON = "00000000"
NAME = "ground"
#: So small that a curve has some hundred steps.
BATCH = 2
ZEROSHOT_SAMPLES = 240


@dataclass(frozen=True)
class Kind:
    """A method, by what it leaves at a budget of 5.

    Attributes:
        method: Its name; nobody need have installed it.
        knows: What it leaves.
        draws: Pools it draws from; none, and it edits the weights only.
        settings: Of its configuration, beside the learning rate.
    """

    method: str
    knows: Knows
    draws: tuple[PoolName, ...] = ("forget", "retain")
    settings: dict[str, Any] = field(default_factory=dict)


#: Whoever takes the first few has every verdict, every need, and hostile text.
KINDS = (
    Kind("vlunlearn", Knows(-0.6, 0.985, 0.99, 0.985)),
    Kind("descent-to-delete", Knows(0.75, 0.8, 0.82, 0.97), draws=()),
    Kind("direct-similarity", Knows(-0.5, -0.3, -0.1, 0.99), draws=("forget",)),
    Kind("elsewhere", Knows(0.3, 0.7, 0.8, 1), settings={"note": HOSTILE}),
    Kind("negative-gradient", Knows(-0.2, 0.02, 0.05, 0.2), draws=("forget",)),
    Kind("finetuning", Knows(0.9, 0.95, 0.97, 1), draws=("retain",)),
    Kind("cliperase", Knows(0.02, 0.4, 0.6, 1)),
    Kind("delete", Knows(0.1, 0.5, 0.7, 0.98)),
    Kind("generic-captions", Knows(0.2, 0.1, 0.4, 0.95), draws=("forget",)),
    Kind("shuffled-captions", Knows(0, 0.05, 0.3, 0.9), draws=("forget",)),
)


@dataclass(frozen=True)
class Ground:
    """A results folder and the benchmark it is of."""

    runs: Path
    benchmark: Path

    def read(self) -> Reading:
        """As the commands read it."""
        return reading(self.runs, str(self.benchmark))


def write_benchmark(folder: Path, people: int = 40) -> Path:
    """The tiny benchmark with a larger zero-shot set, a notice, and a person whose name and captions do harm."""
    write_tiny_benchmark(folder, people=people)
    notice = f"Drawn, not measured. {HOSTILE}"
    (folder / SOURCES).write_text(f"name = {json.dumps(NAME)}\nnotice = {json.dumps(notice)}\n", encoding="utf-8")
    names, captions = read_file(folder / layout.IDENTITIES), read_file(folder / layout.CAPTIONS_METADATA)
    names[HOSTILE_PERSON]["name"] += f" {HOSTILE}"
    (shard,) = (folder / "data").glob(f"{layout.FORGET}-*.parquet")
    pairs = []
    for row in pq.read_table(shard).to_pylist():
        text = row["text"] + f" {HOSTILE}" * (row["identity_id"] == HOSTILE_PERSON)
        captions[row["file_name"]]["caption"] = text
        pairs.append(Pair(row["image"]["bytes"], text, row["identity_id"], row["file_name"]))
    write_split(folder, layout.FORGET, pairs)
    write_json(folder / layout.IDENTITIES, names)
    write_json(folder / layout.CAPTIONS_METADATA, captions)
    samples = [(pairs[0].image, k % 3) for k in range(ZEROSHOT_SAMPLES)]
    write_zeroshot(folder / layout.ZEROSHOT, ("circle", "square", "star"), ["a photo of a {c}."], samples, 2, "png")
    return folder


def write_small_store(runs: Path, folder: Path) -> Ground:
    """Ten runs of five methods at two budgets, and three that failed."""
    return write_store(runs, folder, KINDS[:5], budgets=(1.0, 5.0))


def write_large_store(runs: Path, folder: Path) -> Ground:
    """A hundred runs of ten methods at two budgets under five seeds, and three that failed."""
    return write_store(runs, folder, KINDS, budgets=(1.0, 5.0), seeds=5)


def write_store(
    runs: Path,
    folder: Path,
    kinds: Sequence[Kind] = KINDS,
    configs: int = 1,
    budgets: Sequence[float] = (5.0,),
    seeds: int = 1,
    worlds: int = 1,
    failures: bool = True,
) -> Ground:
    """Write methods x configs x budgets x seeds x worlds, with both reference models.

    Args:
        runs: The results folder.
        folder: A benchmark folder, of `write_benchmark`; it is world 0, and the others' data are nowhere.
        kinds: The methods.
        configs: Learning rates of each.
        budgets: Budgets; the more, the nearer a method comes to what it leaves at 5.
        seeds: Number of seeds.
        worlds: Number of worlds.
        failures: Whether there are three more runs in world 0: crashed, non-finite and not scored.
    """
    benchmark, zoo, store = open_benchmark(str(folder), discover(), lambda *_: None), discover(), Store(runs)
    data = read_evaluation(benchmark.data, benchmark.zeroshot, benchmark.hashes)
    for number in range(worlds):
        world = World(store, zoo, benchmark, data, number)
        world.write_references()
        for kind in kinds:
            for config in range(configs):
                for budget in budgets:
                    for seed in range(seeds):
                        world.write_run(kind, config, budget, seed)
        if failures and not number:
            strange = replace(KINDS[3], settings={"note": "as the authors have it"})
            world.write_run(strange, 0, budgets[-1], 0, "crashed", f"RuntimeError: {HOSTILE}")
            world.write_run(KINDS[4], 0, 50.0, 0, "non-finite", "the loss became NaN at step 7")
            world.write_run(KINDS[0], 0, budgets[-1], 99, scored=False)
    return Ground(runs, folder)


@dataclass(frozen=True)
class World:
    """One world of a results folder."""

    store: Store
    zoo: Zoo
    benchmark: Benchmark
    data: EvaluationData
    number: int

    @cached_property
    def name(self) -> str:
        return f"{self.benchmark.name}@{self.number}" if self.number else self.benchmark.name

    def _here(self, found: str) -> str:
        """A hash of world 0 as one of this world."""
        return hash_text(f"{found} {self.number}") if self.number else found

    @cached_property
    def scored_on(self) -> ScoredOn:
        return ScoredOn(*map(self._here, self.benchmark.scored_on))

    @cached_property
    def start(self) -> str:
        return self._here(self.benchmark.model_hash("compromised"))

    def write_references(self) -> None:
        for role, knows in (("clean", CLEAN), ("compromised", COMPROMISED)):
            model = self._here(self.benchmark.model_hash(role))
            self._write_metrics(self.store.reference(self.name, role), knows, model)

    def write_run(
        self,
        kind: Kind,
        config: int,
        budget: float,
        seed: int,
        status: Status = "valid",
        reason: str = "",
        scored: bool = True,
    ) -> None:
        settings, plugin = self._declared(kind, config)
        key = RunKey(self.name, kind.method, hash_json(settings), budget, seed)
        folder, salt = self.store.folder(key), crc32(str(key.path).encode())
        ledger = self._ledger(kind, budget)
        with new_folder(folder) as new:
            if status == "valid":
                (new / WEIGHTS).write_text(str(key.path))
            if status == "crashed":
                (new / TRACEBACK).write_text(f"Traceback (most recent call last):\n{reason}\n", encoding="utf-8")
            record = RunRecord(
                status=status,
                reason=reason,
                benchmark=BenchmarkRef(name=self.name, data_hash=self.scored_on.data_hash, start_model_hash=self.start),
                method=kind.method,
                plugin=plugin,
                config=settings,
                config_hash=key.config_hash,
                budget=budget,
                seed=seed,
                ledger=ledger,
                scalars=curves(ledger.steps, kind.knows, salt) if status == "valid" else {},
                environment={"python": "3.11.7", "salmu-core": "0.1.0", "device": "cpu x86_64", "threads": "1"},
                command=f"salmu run {kind.method} --benchmark {self.name} --budget {budget:g} --seed {seed}",
                started="2026-11-23T05:47:07+00:00",
            )
            write_unit(new, RUN, record)
        if status == "valid" and scored:
            strength = min(1.0, budget / 5) ** 0.5 * 0.8**config
            self._write_metrics(folder, kind.knows.after(strength), hash_file(folder / WEIGHTS), 1 + salt)

    def _declared(self, kind: Kind, config: int) -> tuple[dict[str, Any], PluginRef]:
        """A method's settings, and where it came from."""
        if kind.method not in self.zoo.methods:
            return {"lr": 1e-3 / 2**config, "batch_size": BATCH, **kind.settings}, PluginRef(
                distribution="salmu-elsewhere", version="0.3", code_hash=hash_text(kind.method)
            )
        found = self.zoo.methods[kind.method]
        usual = found.spec.config().model_dump()["lr"]
        made = make_config(found.spec, {"lr": usual / 2**config, "batch_size": BATCH, **kind.settings})
        plugin = PluginRef(distribution=found.distribution, version=found.version, code_hash=code_hash(found.module))
        return made.model_dump(mode="json"), plugin

    def _ledger(self, kind: Kind, budget: float) -> Ledger:
        steps = int(budget * len(self.data.base[layout.FORGET])) // BATCH * bool(kind.draws)
        passes = steps * len(kind.draws)
        return Ledger(
            forget_samples=BATCH * steps * ("forget" in kind.draws),
            retain_samples=BATCH * steps * ("retain" in kind.draws),
            forward_passes=passes,
            forward_images=BATCH * passes,
            forward_captions=BATCH * passes,
            backward_passes=steps,
            steps=steps,
            seconds=round(0.4 + 0.012 * passes, 3),
            peak_memory_bytes=1_272_561_664,
            weights_changed=0.08 if kind.draws else 1.0,
        )

    def _write_metrics(self, folder: Path, knows: Knows, model: str, salt: int = 0) -> None:
        """Metrics of a model that knows so much; ``salt`` tells models of the same knowledge apart."""
        results = Answers(self.data, knows, self.number, salt).results()
        embedder: Any = SimpleNamespace(data=self.data)
        entries, tables = {}, []
        for name, declared in self.zoo.metrics.items():
            if name in results:
                spec = declared.spec.model_copy(update={"compute": lambda _, found=results[name]: found})
                entries[name], found = compute_one(replace(declared, load=lambda spec=spec: spec), embedder)
                assert not entries[name].error, entries[name].error
                tables.append(found)
        record = MetricsRecord(
            benchmark=self.name,
            data_hash=self.scored_on.data_hash,
            zeroshot_hash=self.scored_on.zeroshot_hash,
            checkpoint_hash=model,
            metrics=entries,
            images_encoded=sum(map(len, self.data.base.values())),
            captions_encoded=2 * sum(map(len, self.data.base.values())),
            seconds=2.2,
        )
        write_metrics(folder, record, Tables.joined(tables))
