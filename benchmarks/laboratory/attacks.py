"""What attacks bring back, of every method: ``python benchmarks/laboratory/attacks.py RUNS``.

The folder is one in which `COMMANDS` were run. What comes out, ``attacks.json`` beside this file, holds figures with
their intervals and no run: what each attack brings back from each method, what it brings from Compromised after a
harmless step and what it teaches Clean, what it takes, and what could have foretold it. Worlds that `salmu run` built
must still be there: distances between weights are of the models themselves.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scipy import stats
from study import rounded

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.contract.layout import ROLES, WEIGHTS
from salmu_core.judge.compare import compare
from salmu_core.judge.lines import Line
from salmu_core.judge.recoverable import Recovery
from salmu_core.judge.results import Results, Row, read_results
from salmu_core.judge.statistics import holm, interval_json
from salmu_core.plugins.zoo import discover
from salmu_core.store.folders import Store

HERE = Path(__file__).parent
DATA = HERE / "attacks.json"
#: A budget at which finetuning takes a few steps, at a learning rate at which they change next to nothing.
HARMLESS = 0.05
STUDY = "--config benchmarks/laboratory/attacks.toml"
COMMANDS = (f"salmu run --all {STUDY}", f"salmu run finetuning {STUDY} --set finetuning.lr=1e-7 --budget {HARMLESS:g}")
#: Of a method that deletes less than this, what an attack "brings back" was never gone.
GONE = 0.5
#: What is kept of an attack on a method, and attacks whose stages the page tells apart.
SHOWN = ("recovered", "before", "added_to_clean", "verdict", "query", "curves")
STAGED = ("reload", "relearn-retain", "relearn-leaked", "relearn-person")
#: Resamples of a permutation test.
RESAMPLES = 99_999


def weights(folder: Path) -> np.ndarray:
    """All weights of an open_clip folder ``[n]``, float64, in order of their names."""
    tensors = load_file(folder / WEIGHTS)
    return np.concatenate([tensors[name].astype(np.float64).ravel() for name in sorted(tensors)])


@cache
def references(world: str) -> dict[str, np.ndarray]:
    """Role -> the weights of a world's reference models."""
    benchmark = open_benchmark(world, discover(), lambda *_: None)
    folders = {role: benchmark.model_folder(role) for role in ROLES}
    return {role: weights(folder) for role, folder in folders.items() if folder}


def distances(row: Row) -> dict[str, float]:
    """Role -> L2 distance of a run's weights to that model's, as a share of the distance between the two models."""
    models, own = references(row.world), weights(row.folder)
    apart = np.linalg.norm(models["compromised"] - models["clean"])
    return {role: float(np.linalg.norm(own - model) / apart) for role, model in models.items()}


def leading(line: Line) -> dict[str, Recovery]:
    """Attack -> what it brings back by the figure that leads."""
    found: dict[str, Recovery] = {}
    for recovery in line.recoveries:
        found.setdefault(recovery.label, recovery)
    return found


def line_json(line: Line) -> dict[str, Any]:
    """One method."""
    evidence, every = line.diagnosis.evidence, [distances(row) for row in line.rows]
    return {
        "label": line.label,
        "method": line.method,
        "budget": line.budget,
        "leak_gone": interval_json(evidence.reduction) if evidence.reduction else None,
        "failure_modes": dict(line.diagnosis.verdicts),
        "figures": {name: figure.value.value for name, figure in line.figures.items() if figure.value},
        "distance": {role: float(np.mean([each[role] for each in every])) for role in ROLES},
        "attacks": {label: attack_json(recovery) for label, recovery in leading(line).items()},
    }


def attack_json(recovery: Recovery) -> dict[str, Any]:
    """What an attack brings back, as far as the page shows it, and of its stages what a picture needs."""
    found, wanted = recovery.as_json(), ("label", "curve", "step", "recovered")
    stages = [{n: stage[n] for n in wanted if n in stage} for stage in found["stages"]]
    return {name: found[name] for name in SHOWN} | {"stages": stages if recovery.label in STAGED else []}


def costs(results: Results, labels: Mapping[tuple[str, str], str]) -> dict[str, dict[str, Any]]:
    """Attack -> what it took on a checkpoint, in the mean over all that were attacked.

    Args:
        labels: What an attack with its settings is called, by both.
    """
    taken: dict[str, list[Any]] = defaultdict(list)
    models = [model for roles in results.references.values() for model in roles.values()]
    for attacks in [row.attacks for row in results.rows] + [model.attacks for model in models]:
        for key, attacked in attacks.items():
            if attacked.record and attacked.status == "valid":
                taken[labels[key]].append(attacked.record)
    return {
        name: {
            "kind": records[0].kind,
            "given": list(records[0].given),
            "seconds": float(np.mean([record.seconds for record in records])),
            "steps": float(np.mean([record.ledger.steps for record in records])),
            "checkpoints": len(records),
        }
        for name, records in sorted(taken.items())
    }


def returned(attack: Mapping[str, Any]) -> float | None:
    """Of the leak that a method had taken away, the share that an attack brings back."""
    before, recovered = (attack[name] and attack[name]["value"] for name in ("before", "recovered"))
    return (recovered - before) / (1 - before) if before is not None and 1 - before >= GONE else None


def foretold(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Attack and figure -> Spearman's correlation over methods of the figure and what is returned.

    p is of a permutation test, adjusted by Holm over all pairs.
    """
    pairs = []
    for attack in sorted({name for line in lines for name in line["attacks"]}):
        share = [returned(line["attacks"][attack]) if attack in line["attacks"] else None for line in lines]
        kept = [(line, value) for line, value in zip(lines, share, strict=True) if value is not None]
        if len(kept) < 5:
            continue
        signs = {name: [line["figures"].get(name) for line, _ in kept] for name in kept[0][0]["figures"]}
        signs |= {f"distance to {role}": [line["distance"][role] for line, _ in kept] for role in ROLES}
        for name, values in signs.items():
            if None not in values and len({*values}) > 1:
                pairs.append((attack, name, values, [value for _, value in kept]))
    told = [
        {"attack": attack, "figure": name, "methods": len(x), "rho": stats.spearmanr(x, y).statistic, "p": _p(x, y)}
        for attack, name, x, y in pairs
    ]
    adjusted = holm({n: one["p"] for n, one in enumerate(told)})
    return [one | {"p_holm": adjusted[n]} for n, one in enumerate(told)]


def _p(x: Sequence[float], y: Sequence[float]) -> float:
    """Two-sided, over pairings; ranks do not change with them, so of Spearman's rho a product is enough."""
    ranks, others = stats.rankdata(x), stats.rankdata(y) - (len(y) + 1) / 2

    def product(shuffled: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.tensordot(shuffled, others, axes=([axis], [0]))

    test = stats.permutation_test(
        (ranks,), product, permutation_type="pairings", n_resamples=RESAMPLES, vectorized=True, rng=0
    )
    return float(test.pvalue)


def shown_alone(store: Store) -> dict[str, int]:
    """Line -> in how many worlds it is shown to be recoverable where there is no other world: over people."""
    shown: dict[str, int] = defaultdict(int)
    for world in store.benchmarks():
        results = read_results(store, [world])
        for line in compare(results, results.columns).lines:
            shown[line.label] += line.diagnosis.verdicts.get("recoverable") == "holds"
    return shown


def measure(folder: Path) -> dict[str, Any]:
    """Everything the page shows."""
    store = Store(folder)
    results = read_results(store, store.benchmarks())
    if results.invalid:
        raise SystemExit(f"{folder} holds runs without a result: {results.invalid[0].folder}")
    alone = shown_alone(store)
    compared = [line for line in compare(results, results.columns).lines if line.rows]
    labels = {(one.attack, one.config_hash): one.label for line in compared for one in line.recoveries}
    lines = [line_json(line) | {"worlds_shown": alone[line.label]} for line in compared]
    harmless = [line for line in lines if line["budget"] == HARMLESS]
    methods = [line for line in lines if line["budget"] != HARMLESS]
    return rounded(
        {
            "commands": COMMANDS,
            "worlds": results.worlds,
            "attacks": costs(results, labels),
            "lines": methods,
            "harmless": harmless[0] if harmless else None,
            "foretold": foretold(methods),
        }
    )


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=DATA)
    options = parser.parse_args(given)
    text = json.dumps(measure(options.folder), indent=1, ensure_ascii=False)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
