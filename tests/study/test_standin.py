"""The generators of stand-ins write what the readers read."""

import importlib.util
import json
from pathlib import Path

import pytest

from salmu_core.benchmark.retain import Stream
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.benchmark.zeroshot import read_zeroshot
from salmu_core.contract import layout

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "laboratory" / "standin.py"


@pytest.fixture(scope="module")
def standin():
    pytest.importorskip("salmu_mini")
    spec = importlib.util.spec_from_file_location("standin", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))


def test_a_slice_keeps_people_whole_and_the_kinds_apart(standin, tiny, tmp_path):
    standin.cut(tiny, tmp_path / "slice", 0.5)
    whole, part = (read_evaluation(folder, tiny / "zeroshot") for folder in (tiny, tmp_path / "slice"))
    for split in layout.BASE_SPLITS[:3]:
        found = dict.fromkeys(part.base[split].identity_ids)
        assert 0 < len(found) < len(set(whole.base[split].identity_ids))
        for identity in found:
            kept, all_of = (
                [d.base[split].captions[i] for i, who in enumerate(d.base[split].identity_ids) if who == identity]
                for d in (part, whole)
            )
            assert kept == all_of
    assert set(part.base["holdout_association"].identity_ids) <= set(part.base["forget"].identity_ids)
    assert 0 < len(part.base["retain_synth"]) < len(whole.base["retain_synth"])
    assert part.identities.keys() < whole.identities.keys()
    fragile = json.loads((tmp_path / "slice" / layout.FRAGILE_IDS).read_text())
    assert set(fragile) <= set(part.base["retain_synth"].file_names)


def test_scenes_are_read_as_a_zero_shot_set_and_as_a_stream(standin, tmp_path):
    standin.zeroshot(tmp_path / "zeroshot", per_class=1, side=48, shards=2)
    found = read_zeroshot(tmp_path / "zeroshot")
    assert len(found.keys) == len(found.class_names) == len(set(found.labels.tolist()))
    standin.web(tmp_path / "web", shards=2, per_shard=3, side=48)
    stream = Stream.open([f"{tmp_path}/web/{{00000..00001}}.tar"], 0.5, lambda *_: None)
    assert len(stream.rows) == 6 and len(set(stream.rows.encoded)) == 6 and all(stream.rows.captions)
