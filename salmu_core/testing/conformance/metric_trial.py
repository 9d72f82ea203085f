"""Finds out whether the rules hold of a metric, by computing it for a few small models."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from salmu_core.benchmark.splits import EvaluationData, read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.contract.metric_context import MetricContext
from salmu_core.contract.specs import MetricSpec
from salmu_core.disk.hashing import hash_json
from salmu_core.plugins.zoo import Declared
from salmu_core.score.context import ScoreContext
from salmu_core.score.embeddings import Embedder, Images
from salmu_core.score.evaluate import compute_one
from salmu_core.testing.conformance.witness import Witness
from salmu_core.testing.tiny import tiny_model, write_tiny_benchmark

if TYPE_CHECKING:
    from salmu_core.testing.conformance.journal import Journal
    from salmu_core.testing.conformance.request import Request

#: Benchmark -> how many people, and what decides its hidden part.
BENCHMARKS = {"tiny": (12, 0), "small": (4, 0)}


@dataclass
class _Computed:
    """A metric's values of one model, their exact bits, and what went wrong."""

    values: dict[str, float]
    error: str | None
    bits: str
    without_rows: list[str]


class _Recording(ScoreContext):
    """Remembers which splits were asked for."""

    def __init__(self, embedder: Embedder, spec: MetricSpec, asked: set[str]) -> None:
        super().__init__(embedder, spec.reads, spec.name)
        self._asked = asked

    def _allowed(self, split: str) -> str:
        self._asked.add(split)
        return super()._allowed(split)


class _Bench:
    """A small benchmark, and models to score on it."""

    def __init__(self, scratch: Path, name: str) -> None:
        people, hidden = BENCHMARKS[name]
        self.folder = write_tiny_benchmark(scratch / name, people=people, hidden=hidden)
        self.data: EvaluationData = read_evaluation(self.folder, self.folder / "zeroshot")
        self._compromised: Clip = load_clip(self.folder / "compromised")
        self._images = Images(self.data, self._compromised)

    def embedder(self, model: str) -> Embedder:
        """Of ``compromised``, ``clean``, or an untrained model of another name."""
        clip = self._compromised
        if model == "clean":
            clip = load_clip(self.folder / model)
        elif model != "compromised":
            clip = replace(clip, model=tiny_model(model))
        return Embedder(clip, self.data, self._images)


def examine(declared: Declared[MetricSpec], request: Request, journal: Journal, witness: Witness) -> None:
    """Compute a metric often enough to know; the second process looks at the models the other way round."""
    torch.set_num_threads(1)
    journal.at("opening the benchmark")
    bench = _Bench(request.scratch, "tiny")
    embedder = bench.embedder("compromised")
    if request.twice:
        journal.at("computing it in another process")
        for model in ("clean", "compromised"):
            journal.fact(model, _compute(declared, bench.embedder(model)).bits)
        return
    asked: set[str] = set()
    before = _embeddings(embedder, declared.spec)
    journal.at("computing it")
    first = _compute(declared, embedder, witness, asked)
    _report(declared.spec, first, asked, witness, request.scratch, journal)
    if first.error:
        return
    journal.fact("compromised", first.bits)
    journal.rule("untouched", None if _embeddings(embedder, declared.spec) == before else "it changed them in place")
    lacking = f"it returns none for {', '.join(first.without_rows)}" if first.without_rows else None
    journal.rule("rows", lacking, advice=True)
    journal.at("computing it again")
    for use_up in (random.random, np.random.rand, lambda: torch.rand(1)):
        use_up()
    witness.forget_draws()
    again = _compute(declared, embedder, witness)
    witness.tell_draws(journal)
    repeated = again.bits == _compute(declared, bench.embedder("compromised")).bits == first.bits
    journal.rule("same-bits", None if repeated else "computed again for the same model, it is another value")
    if not request.rules & {"elsewhere", "responds", "small"}:
        return
    journal.at("computing it for other models")
    others = [_compute(declared, bench.embedder(name)) for name in ("clean", "a", "b", "c")]
    journal.fact("clean", others[0].bits)
    constant = all(other.bits == first.bits for other in others)
    # Untrained models may all be at the end of a scale, where a share is 0 or 1.
    at_an_end = all(value in (0.0, 1.0) for value in first.values.values())
    problem = f"five models have the very same {first.values}" if constant else None
    journal.rule("responds", problem, advice=at_an_end)
    journal.at("computing it on a dozen rows")
    if "small" in request.rules:
        small = _compute(declared, _Bench(request.scratch, "small").embedder("compromised"))
        journal.rule("small", small.error)


def _compute(
    declared: Declared[MetricSpec], embedder: Embedder, witness: Witness | None = None, asked: set[str] | None = None
) -> _Computed:
    def compute(ctx: MetricContext) -> Any:
        own = declared.spec.compute if witness is None else witness.watched(declared.spec.compute)
        return own(ctx if asked is None else _Recording(embedder, declared.spec, asked))

    watched = declared.spec.model_copy(update={"compute": compute})
    entry, tables = compute_one(replace(declared, load=lambda: watched), embedder)
    exact = {name: value.hex() for name, value in entry.values.items()}
    rows = [table.to_pydict() for table in tables]
    with_rows = set(rows[0]["column"])
    bits = hash_json([exact, entry.chance, entry.gallery, entry.details, rows, entry.error])
    return _Computed(entry.values, entry.error, bits, [c for c in declared.spec.columns if c not in with_rows])


def _report(
    spec: MetricSpec, first: _Computed, asked: set[str], witness: Witness, scratch: Path, journal: Journal
) -> None:
    witness.tell(journal, scratch)
    undeclared, unread = sorted(asked - set(spec.reads)), sorted(set(spec.reads) - asked)
    if undeclared:
        journal.rule("splits", f"it asks for {', '.join(undeclared)}, which `reads` does not list")
    elif first.error is None:
        unused = f"`reads` lists {', '.join(unread)}, which it never asks for" if unread else None
        journal.rule("splits", unused, advice=True)
    journal.rule("computes", first.error)


def _embeddings(embedder: Embedder, spec: MetricSpec) -> str:
    """The very bits of what the context hands out, and of what the benchmark knows."""
    ctx = ScoreContext(embedder, spec.reads, spec.name)
    found = [hash_json([dict(embedder.data.identities), dict(embedder.data.captions_metadata)])]
    for split in spec.reads:
        found.append(ctx.images(split).numpy().tobytes().hex())
        if split != "zeroshot":
            found.append(ctx.texts(ctx.captions(split)).numpy().tobytes().hex())
    return hash_json(found)
