"""Results made by hand: rows of people, in several worlds and under several seeds."""

from pathlib import Path

import numpy as np
from entries import entries

from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Reference, Results, Row
from salmu_core.judge.statistics import Clusters
from salmu_core.store.records import BenchmarkRef, Ledger, PluginRef, RunRecord

PEOPLE = [f"p{i % 40}" for i in range(120)]


def alone(rows):
    """A figure of one world and one seed."""
    return Repeats({"w": {0: rows}})


def record(method, budget=5.0, seed=0, status="valid", reason="", config=None):
    """A run's record, with nothing in it that a table does not show."""
    return RunRecord(
        status=status,
        reason=reason,
        benchmark=BenchmarkRef(name="mini", data_hash="", start_model_hash=""),
        method=method,
        plugin=PluginRef(distribution="d", version="1", code_hash=""),
        config=config or {},
        config_hash=str(sorted((config or {}).items())),
        budget=budget,
        seed=seed,
        ledger=Ledger(seconds=12.3),
        environment={},
        command="",
        started="",
    )


class Maker:
    """Draws rows around given means, the same people with the same noise in every model of a world."""

    def __init__(self, references, noise=0.02, chance=None, people=PEOPLE):
        self.references, self.noise, self.people, self.chance = references, noise, people, chance or {}

    def figures(self, means, world, salt=0, spread=0.0):
        """Column -> rows; ``spread`` moves every world's mean by so much."""
        found = {}
        for number, (name, mean) in enumerate(sorted(means.items())):
            rng = np.random.default_rng([world, number])
            person = dict(zip(dict.fromkeys(self.people), rng.normal(size=len(set(self.people))), strict=True))
            own = np.random.default_rng([world, number, salt])
            scale = self.noise * abs(mean)
            values = mean + scale * np.array([person[p] for p in self.people])
            values += 0.2 * scale * own.normal(size=len(values)) + spread * own.normal() * abs(mean)
            found[name] = Clusters.of(values - values.mean() + mean * (1 + spread * own.normal()), self.people)
        return found

    def row(self, method, means, world=0, seed=0, budget=5.0, spread=0.0, **more):
        """One valid run."""
        figures = self.figures(means, world, salt=1 + seed + sum(map(ord, method)), spread=spread)
        name = f"mini@{world}" if world else "mini"
        made = record(method, budget, seed, config=more.pop("config", None))
        folder = Path(f"runs/{name}/{method}/{made.config_hash}/b{budget:g}-s{seed}")
        values = {column: rows.mean for column, rows in figures.items()}
        return Row(folder, name, method, made, "valid", "", values, {}, figures, **more)

    def results(self, rows, worlds=1, spread=0.0):
        """These rows beside both reference models of each world."""
        references = {}
        for world in range(worlds):
            models = {}
            for salt, (role, means) in enumerate(sorted(self.references.items())):
                figures = self.figures(means, world, salt=1000 + salt, spread=spread)
                values = {name: found.mean for name, found in figures.items()}
                models[role] = Reference(values, figures, {}, entries(self.chance))
            references[f"mini@{world}" if world else "mini"] = models
        return Results("mini", references, rows)
