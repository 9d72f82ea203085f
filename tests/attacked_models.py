"""Attacks on made-up models: rows drawn around means, of people who differ."""

from dataclasses import replace

import numpy as np
from studies import record

from salmu_core.disk.hashing import hash_json
from salmu_core.judge.attacked import Attacked
from salmu_core.judge.results import Reference, Results, Row
from salmu_core.judge.statistics import Clusters
from salmu_core.store.attacks import AttackRecord, LeakedRef
from salmu_core.store.records import BenchmarkRef, Ledger, PluginRef

PEOPLE = [f"p{i % 24}" for i in range(96)]
KEY = ("relearn", hash_json({})[:12])
X = "Leak_x"


def attack_record(digest="d", code="", given=("leaked",), **config):
    """Of a valid attack, with nothing in it that figures don't need."""
    return AttackRecord(
        status="valid",
        benchmark=BenchmarkRef(name="mini", data_hash="", start_model_hash=""),
        attack="relearn",
        plugin=PluginRef(distribution="d", version="1", code_hash=code),
        kind="model",
        given=given,
        config=config,
        config_hash=hash_json(config),
        seed=0,
        checkpoint_hash="",
        leaked=LeakedRef(rows=4, people=1, digest=digest),
        leaks=(X,),
        computed_by={},
        ledger=Ledger(),
        environment={},
        seconds=0.0,
        started="",
    )


def attacked(before, after, digest="d", code="", given=("leaked",), **config):
    """An attack on a model whose rows were ``before`` and are ``after``."""
    gathered = ({X: Clusters.of(values, PEOPLE)} for values in (after, before))
    return Attacked(attack_record(digest, code, given, **config), "valid", "", *gathered, np.arange(len(after)) + 1.0)


def beside_attacked(results, clean=0.1, compromised=0.9):
    """Results whose reference models were attacked, and have lost and gained nothing by it."""
    attacks = {"clean": spread(clean, clean), "compromised": spread(compromised, compromised)}
    references = {
        world: {role: replace(model, attacks=attacks[role]) for role, model in models.items()}
        for world, models in results.references.items()
    }
    return replace(results, references=references)


def spread(before, after):
    """An attack on rows around two means that lie close together, by its key."""
    noise = 0.001 * np.random.default_rng(0).normal(size=len(PEOPLE))
    return {KEY: attacked(before + noise, after + noise[::-1])}


class Models:
    """Rows of every model of some worlds, drawn around means, with people who differ."""

    def __init__(self, worlds=1, seeds=1, compromised=0.9, clean=0.1, run=0.12, back=0.4, added=0.05):
        self.rows = {}
        for world in range(worlds):
            person = dict(zip(dict.fromkeys(PEOPLE), np.random.default_rng(world).normal(size=24), strict=True))
            of_people = 0.02 * np.array([person[p] for p in PEOPLE])

            def draw(mean, salt, world=world, of_people=of_people):
                noise = np.random.default_rng([world, salt]).normal(size=len(PEOPLE))
                return mean + of_people + 0.01 * noise + 0.02 * np.random.default_rng([world, salt, 1]).normal()

            self.rows[world, "compromised"] = draw(compromised, 1), draw(compromised - 0.02, 2)
            self.rows[world, "clean"] = draw(clean, 3), draw(clean + added, 4)
            for seed in range(seeds):
                self.rows[world, seed] = draw(run, 5 + 2 * seed), draw(back, 6 + 2 * seed)

    def results(self, change=None):
        names = {world: f"mini@{world}" if world else "mini" for world, _ in self.rows}
        made = {key: attacked(*values) for key, values in self.rows.items()} | (change or {})
        references = {
            name: {
                role: Reference({"x": 1}, attacks={KEY: made[world, role]} if made[world, role] else {})
                for role in ("compromised", "clean")
            }
            for world, name in names.items()
        }
        rows = [
            Row(
                f"{world}/{who}", names[world], "one", record("one", seed=who), "valid", attacks={KEY: it} if it else {}
            )
            for (world, who), it in made.items()
            if isinstance(who, int)
        ]
        return rows, Results("mini", references, rows)

    def share(self, world, seed, which=1):
        """Of means, as the definition has it."""
        (top, _), (bottom, found) = (np.mean(self.rows[world, role], axis=1) for role in ("compromised", "clean"))
        return (np.mean(self.rows[world, seed][which]) - (found if which else bottom)) / (top - bottom)
