"""Figures held against their checkpoints once more: a sample of rows, and where that is cheap every figure.

Rows of metrics that say they are the cosine of an image with its own caption are embedded by themselves, from the
benchmark's own pictures: nothing that is cached, and none of the metrics' code, takes part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from salmu_core.benchmark.decoding import decode, transform_of
from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.splits import EvaluationData
from salmu_core.clip.canary import TOLERANCE
from salmu_core.clip.float32 import float32
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.clip.texts import encode_text
from salmu_core.contract.progress import OnStep, Progress
from salmu_core.contract.specs import MetricSpec
from salmu_core.errors import MachineError, SalmuError
from salmu_core.judge.inspection import Checkpoint, Finding
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared
from salmu_core.score.scorer import Scorer
from salmu_core.store.folders import METRICS
from salmu_core.store.records import MetricsRecord
from salmu_core.store.schema import RETRIEVED, ROWS

#: Rows of each metric that are embedded by themselves.
FEW = 32
#: A benchmark with no more rows than this is scored again whole: seconds on two cores.
SMALL = 10_000
#: Of rows that are no cosines but places or hits, the share that another machine's last bits may move.
MOVED = 0.005


class Rescorer:
    """Scores checkpoints of one benchmark again.

    Args:
        benchmark: The benchmark, whose files are those of the results.
        metrics: What is installed; others, and those whose code is another one now, are left out.
        rng: Draws the rows.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        metrics: Sequence[Declared[MetricSpec]],
        device: torch.device,
        progress: Progress,
        rng: Random,
    ) -> None:
        self._benchmark, self._rng, self._device = benchmark, rng, device
        self._installed = {metric.card.name: code_hash(metric.module) for metric in metrics}
        self._scorer = Scorer(benchmark, metrics, device, progress)
        #: Rows, and figures, that were looked at.
        self.looked_at = 0

    def differences(self, checkpoint: Checkpoint, on_step: OnStep) -> Iterator[Finding]:
        """What a checkpoint's figures and rows are, and what it gives instead.

        Raises:
            MachineError: It was not scored, which says nothing of it.
        """
        folder, role, metrics = checkpoint
        remedy = f"delete {folder / METRICS}, and `salmu run` scores it again"
        source = self._benchmark.model(role) if role else str(folder)
        try:
            wrong = [*self._sampled(folder, load_clip(source), metrics)]
            if sum(map(len, self._scorer.data.base.values())) <= SMALL:
                wrong += self._whole(source, folder, metrics, on_step)
        except MachineError:
            raise
        except SalmuError as error:
            wrong = [f"it can't be scored again: {error}"]
        yield from (Finding(folder / METRICS, what, remedy) for what in wrong)

    def _sampled(self, folder: Path, clip: Clip, metrics: MetricsRecord) -> Iterator[str]:
        """Rows that are cosines of pairs, embedded by themselves."""
        columns = {
            entry.declared.columns[0] for entry in metrics.metrics.values() if entry.declared.role == "association"
        }
        if ROWS not in metrics.files:
            return
        clip.model.to(self._device)
        table = pq.read_table(folder / ROWS)
        for column in sorted(columns):
            rows = table.filter(pc.field("column") == column)
            places = sorted(self._rng.sample(range(len(rows)), min(FEW, len(rows))))
            lines = rows.take(places).to_pylist()
            if not lines:
                continue
            self.looked_at += len(lines)
            cosines = self._cosines(lines, clip, self._scorer.data)
            off = [(line, cosine) for line, cosine in zip(lines, cosines, strict=True) if _off(line["value"], cosine)]
            if off:
                line, cosine = off[0]
                yield (
                    f"{len(off)} of {len(lines)} rows of {column} that were drawn are not what its checkpoint gives: "
                    f"{line['file_name']} is {line['value']:.6g} there, and {cosine:.6g} here"
                )

    @torch.inference_mode()
    def _cosines(self, lines: Sequence[Mapping[str, Any]], clip: Clip, data: EvaluationData) -> Sequence[float]:
        """Cosine of the image of each line with its own caption; of a row that does not belong there, NaN."""
        rows, index = data.locate(lines[0]["split"])
        names = [str(line["file_name"]) for line in lines]
        base = [int(index[line["row"]]) if 0 <= line["row"] < len(index) else 0 for line in lines]
        pixels = torch.from_numpy(np.stack([decode(rows, transform_of(clip), i) for i in base]))
        tokens = clip.tokenize([rows.captions[i] for i in base]).to(self._device)
        with float32(self._device):
            images = clip.model.encode_image(clip.normalize(pixels, self._device), normalize=True)
            texts = encode_text(clip.model, tokens, normalize=True)
        cosines = (images.double() * texts.double()).sum(dim=-1).tolist()
        return [c if rows.file_names[i] == n else np.nan for c, i, n in zip(cosines, base, names, strict=True)]

    def _whole(self, source: str, folder: Path, metrics: MetricsRecord, on_step: OnStep) -> Iterator[str]:
        """Every metric whose code is still the same, computed again."""
        scoring = self._scorer.compute(source, metrics.checkpoint_hash, on_step)
        if scoring.failures:
            raise MachineError(f"{folder}: {scoring.failed}")
        same = {
            name: entry
            for name, entry in metrics.metrics.items()
            if entry.code_hash == self._installed.get(name) and name in scoring.record.metrics
        }
        for name, entry in same.items():
            again = scoring.record.metrics[name]
            self.looked_at += len(entry.values)
            if (entry.error, entry.not_measured) != (again.error, again.not_measured):
                yield f"{name} has {entry.error or entry.not_measured or 'figures'} there, and not here"
            alone = {*entry.values} | {*again.values}
            moved = {column for column in alone if _moved(entry.values.get(column), again.values.get(column))}
            if moved:
                column = min(moved)
                yield f"{column} is {entry.values.get(column)} there; its checkpoint gives {again.values.get(column)}"
        for file, here in ((ROWS, scoring.tables.rows), (RETRIEVED, scoring.tables.retrieved)):
            there = pq.read_table(folder / file) if file in metrics.files else here.schema.empty_table()
            yield from self._rows(there, here, metrics, [*same])

    def _rows(self, there: pa.Table, here: pa.Table, metrics: MetricsRecord, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            one, other = (_by_row(table.filter(pc.field("metric") == name)) for table in (there, here))
            self.looked_at += len(one)
            off = [row for row in {**one, **other} if _off(one.get(row), other.get(row))]
            allowed = 0 if metrics.metrics[name].declared.role == "association" else MOVED * len(one)
            if len(off) > allowed:
                column, file_name = off[0]
                yield (
                    f"{len(off)} of {len(one):,} rows of {name} are not what its checkpoint gives: {column!r} of "
                    f"{file_name} is {one.get(off[0])} there, and {other.get(off[0])} here"
                )


def _by_row(table: pa.Table) -> dict[tuple[str, str], float]:
    """Column and image -> value; of what was retrieved, caption and image -> cosine."""
    names = ("column", "file_name", "value") if "column" in table.column_names else ("caption", "file_name", "cosine")
    columns = (table[name].to_pylist() for name in names)
    return {(column, name): value for column, name, value in zip(*columns, strict=True)}


def _off(one: float | None, other: float | None) -> bool:
    """Whether two rows are farther apart than a model from its canary may be."""
    return one is None or other is None or not abs(one - other) <= TOLERANCE


def _moved(one: float | None, other: float | None) -> bool:
    """Whether two figures are, as far as places and hits may move too."""
    return one is None or other is None or not abs(one - other) <= max(TOLERANCE, MOVED) * max(1.0, abs(one))
