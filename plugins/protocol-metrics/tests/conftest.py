"""The real metric context over embeddings given as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from salmu_protocol_metrics import salmu_metrics

if TYPE_CHECKING:
    from salmu_core.score.embeddings import Embedder

from salmu_core import MetricResult, MetricSpec, ZeroShot
from salmu_core.score.context import ScoreContext
from salmu_core.score.figures import figures, rows


def unit(array: Any) -> np.ndarray:
    """Rows of length 1, float32."""
    array = np.asarray(array, dtype=np.float64)
    normalised: np.ndarray = array / np.linalg.norm(array, axis=-1, keepdims=True)
    return normalised.astype(np.float32)


@dataclass
class Split:
    image: np.ndarray
    captions: Sequence[str]
    identity_ids: Sequence[str | None] = ()
    facts: Sequence[Mapping[str, Any]] = ()

    @property
    def file_names(self) -> list[str]:
        return [f"{id(self)}-{i}" for i in range(len(self.captions))]


@dataclass
class World:
    """What `Embedder` would say of a benchmark and a checkpoint."""

    splits: dict[str, Split]
    text: dict[str, np.ndarray] = field(default_factory=dict)
    identities: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    zero: ZeroShot | None = None
    metrics: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def data(self) -> World:
        return self

    @cached_property
    def captions_metadata(self) -> dict[str, Mapping[str, Any]]:
        return {n: f for s in self.splits.values() for n, f in zip(s.file_names, s.facts, strict=False)}

    def locate(self, split: str) -> tuple[Split, np.ndarray]:
        found = self.splits[split]
        return found, np.arange(len(found.captions))

    def names(self, split: str) -> tuple[list[str], list[str | None]]:
        found = self.splits[split]
        return found.file_names, list(found.identity_ids)

    def images(self, split: str) -> torch.Tensor:
        return torch.from_numpy(self.splits[split].image)

    def texts(self, captions: Sequence[str]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self.text[c] for c in captions]))

    def zeroshot(self) -> ZeroShot:
        assert self.zero is not None
        return self.zero

    def say(self, rng: np.random.Generator, texts: Sequence[str], d: int) -> None:
        """Give texts that have none a random embedding."""
        for text in texts:
            if text not in self.text:
                self.text[text] = unit(rng.normal(size=d))


SPECS = {spec.name: spec for spec in salmu_metrics()}


def evaluate(name: str, world: World) -> MetricResult:
    """Compute a metric by name; what it does not declare, it can't read."""
    spec = SPECS[name]
    return spec.compute(ScoreContext(cast("Embedder", world), spec.reads, name))


def fingerprint() -> dict[str, str]:
    """All ten metrics of one world, every bit of value and rows: made anew, so that processes can be compared."""
    rng = np.random.default_rng(3)
    splits: dict[str, Split] = {}
    identities: dict[str, Mapping[str, Any]] = {str(i): {"name": f"N{i}", "city": f"C{i}"} for i in range(9)}
    reads: set[str] = {split for spec in SPECS.values() for split in spec.reads}
    for name in sorted(reads):
        kind = "forget" if name.startswith("forget") else name
        splits[name] = Split(
            unit(rng.normal(size=(1500, 32))),
            [f"{kind} {i}" for i in range(1500)],
            [str(i % 9) for i in range(1500)],
            [{"data_field": "city"}] * 1500,
        )
    zero = ZeroShot(("a", "b", "c"), ("one {c}", "{c}"), np.arange(1500) % 3, tuple(splits["zeroshot"].captions), ())
    world = World(splits, identities=identities, zero=zero)
    texts = [c for name in sorted(splits) for c in splits[name].captions]
    texts += [t for i in range(9) for t in (f"N{i} C{i}", f"C{i} N{i}", f"a photo of N{i}")]
    world.say(rng, [*texts, *(t.replace("{c}", n) for n in "abc" for t in zero.templates)], 32)
    bits = {}
    for name in sorted(SPECS, key=hash):  # in an order that differs from process to process
        spec, result = SPECS[name], evaluate(name, world)
        ranks = {"rank": result.ranks.values} if result.ranks else {}
        arrays = [(column, values.tobytes().hex()) for column, values in {**rows(spec, result), **ranks}.items()]
        bits[name] = f"{figures(spec, result)} {hashlib.sha256(repr(arrays).encode()).hexdigest()}"
    return dict(sorted(bits.items()))


@pytest.fixture(scope="session")
def specs() -> dict[str, MetricSpec]:
    return SPECS


@pytest.fixture(scope="session")
def compute() -> Callable[[str, World], MetricResult]:
    return evaluate


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World


@pytest.fixture(scope="session")
def split() -> type[Split]:
    return Split


@pytest.fixture(scope="session")
def units() -> Callable[[Any], np.ndarray]:
    return unit


@pytest.fixture(scope="session")
def bits() -> Callable[[], dict[str, str]]:
    return fingerprint
