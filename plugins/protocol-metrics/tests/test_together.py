"""All ten on a benchmark folder with a real model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from salmu_protocol_metrics import salmu_metrics

from salmu_core.benchmark.splits import read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.score.context import ScoreContext
from salmu_core.score.embeddings import Embedder, Images
from salmu_core.score.figures import figures
from salmu_core.testing import check_metric, write_tiny_benchmark

COLUMNS = {
    "RetFail_MRR", "RetFail_R@1", "AssocStr", "ACS", "IdZSC", "CoreAssoc",
    "GenKnow", "InterIdSim", "IntraIdSim", "VisIdInt", "FragSim",
}  # fmt: skip


test_retfail_conforms, test_assocstr_conforms = check_metric("RetFail"), check_metric("AssocStr")
test_acs_conforms, test_idzsc_conforms = check_metric("ACS"), check_metric("IdZSC")
test_coreassoc_conforms, test_genknow_conforms = check_metric("CoreAssoc"), check_metric("GenKnow")


class CountingEmbedder(Embedder):
    """Keeps the content of everything that goes through a tower."""

    seen: Counter

    def _encode(self, tower, inputs):
        if not hasattr(self, "seen"):
            self.seen = Counter()
        self.seen.update((tower, row.numpy().tobytes()) for row in inputs)
        return super()._encode(tower, inputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_benchmark(tmp_path_factory.mktemp("tiny"), people=12)


def evaluate(folder, specs):
    """Values by column (as hexadecimal text, exact), rows, and the embedder."""
    clip, data = load_clip(folder / "compromised"), read_evaluation(folder, folder / "zeroshot")
    embedder = CountingEmbedder(clip, data, Images(data, clip))
    values, rows = {}, {}
    for spec in specs:
        result = spec.compute(ScoreContext(embedder, spec.reads, spec.name))
        values |= {column: value.hex() for column, value in figures(spec, result).items()}
        given = result.per_row.values
        named = {f"{spec.name}_{f}": v for f, v in given.items()} if spec.figures else {spec.name: given}
        rows[spec.name] = replace(result.per_row, values=named)
        json.dumps(dict(result.details), allow_nan=False)
    return values, rows, embedder


def test_each_image_and_caption_is_encoded_once(folder):
    values, rows, embedder = evaluate(folder, salmu_metrics())
    assert set(values) == COLUMNS
    assert set(embedder.seen.values()) == {1}
    data = embedder.data
    images = {b for rows in data.base.values() for b in rows.encoded} | set(data.zeroshot.encoded)
    assert embedder.images_encoded <= len(images)
    assert embedder.images_encoded + embedder.captions_encoded == len(embedder.seen)
    for spec in salmu_metrics():
        per_row = rows[spec.name]
        size = len(data.zeroshot.keys) if per_row.split == "zeroshot" else len(data.locate(per_row.split)[1])
        for column in spec.columns:
            assert per_row.values[column].dtype == np.float64
            assert float(per_row.values[column].mean()).hex() == values[column]
            assert len(per_row.values[column]) == (size if per_row.index is None else len(per_row.index))
        if per_row.index is not None:
            assert len(set(per_row.index)) == len(per_row.index) and per_row.index.max() < size


def test_order_and_repetition_do_not_show_in_any_bit(folder):
    first, rows, _ = evaluate(folder, salmu_metrics())
    again, rows_again, _ = evaluate(folder, salmu_metrics()[::-1])
    assert first == again
    for name, per_row in rows.items():
        for column, values in per_row.values.items():
            np.testing.assert_array_equal(values, rows_again[name].values[column])


def test_no_global_random_state_is_touched(folder):
    def states():
        return np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()

    def unchanged(by):
        same = dict(zip(("NumPy", "torch"), map(bytes.__eq__, before, states()), strict=True))
        assert all(same.values()), f"{by} changed a global random state: {same}"

    before = states()
    clip = load_clip(folder / "compromised")
    unchanged("load_clip")
    data = read_evaluation(folder, folder / "zeroshot")
    unchanged("read_evaluation")
    embedder = Embedder(clip, data, Images(data, clip))
    for spec in salmu_metrics():
        spec.compute(ScoreContext(embedder, spec.reads, spec.name))
        unchanged(spec.name)


def test_another_process_gets_the_same_bits(bits):
    here, code = bits(), "import json, conftest; print(json.dumps(conftest.fingerprint()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONHASHSEED": "12345", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == here


def test_every_declaration_names_a_function_that_exists_and_its_targets(specs):
    assert {c for spec in specs.values() for c in spec.columns} == COLUMNS
    efficacy = {name for name, spec in specs.items() if spec.pillar == "efficacy"}
    assert efficacy == {"RetFail", "AssocStr", "ACS", "IdZSC", "CoreAssoc"}
    for spec in specs.values():
        assert spec.target == ("clean" if spec.pillar == "efficacy" else "compromised")
