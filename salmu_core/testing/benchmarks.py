"""What must hold of a benchmark that is built."""

from __future__ import annotations

from pathlib import Path

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_evaluation, read_training
from salmu_core.clip.load import load_clip
from salmu_core.clip.weights import fingerprint
from salmu_core.contract import layout
from salmu_core.contract.specs import BenchmarkSpec
from salmu_core.disk.hashing import hash_file
from salmu_core.plugins.zoo import discover


def assert_sound_benchmark(spec: BenchmarkSpec, scratch: Path, world: int = 0) -> Path:
    """Build a benchmark three times and check that it is one.

    A world has the same bytes each time, another world others; everything of the released layout is there, each split
    has rows, the derived ones too; two different models of one architecture load; progress goes up to its end.

    Args:
        spec: The benchmark.
        scratch: An empty folder.
        world: Which world.

    Returns:
        The folder of the world.
    """
    assert spec.build is not None, f"{spec.name} is a release: there is nothing to build"
    told: list[float] = []
    folders = [scratch / name for name in ("first", "again", "other")]
    for folder, number in zip(folders, (world, world, world + 1), strict=True):
        folder.mkdir()
        spec.build(folder, number, lambda stage, fraction: told.append(fraction))
        assert told == sorted(told) and told[0] >= 0 and told[-1] <= 1, "progress must go from 0 to 1"
        told.clear()
    first, again, other = ({p.relative_to(f): hash_file(p) for p in f.rglob("*") if p.is_file()} for f in folders)
    odd = [str(path) for path in first.keys() | again.keys() if first.get(path) != again.get(path)]
    assert not odd, f"the same world has other bytes in {odd[0]}"
    same = [
        str(path) for path in first if path.suffix in (".parquet", ".safetensors") and first[path] == other.get(path)
    ]
    assert not same, f"two worlds have the same {same[0]}"
    opened = open_benchmark(str(folders[0].resolve()), discover(()), lambda stage, fraction: None)
    read_training(opened.data)
    data = read_evaluation(opened.data, opened.zeroshot)
    assert data.zeroshot is not None, "there is no zero-shot set"
    for split in (*layout.BASE_SPLITS, *layout.DERIVED_SPLITS):
        assert len(data.locate(split)[1]), f"split {split} has no rows"
    clean, compromised = (load_clip(opened.model(role)).model for role in ("clean", "compromised"))
    shapes = [{name: value.shape for name, value in m.state_dict().items()} for m in (clean, compromised)]
    assert shapes[0] == shapes[1], "Clean and Compromised are of different architectures"
    assert fingerprint(clean) != fingerprint(compromised), "Clean and Compromised are the same model"
    return folders[0]
