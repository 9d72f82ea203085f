"""The built folder is the released layout, read with the tools that read the real one."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from salmu_mini import children
from salmu_mini.build import build
from salmu_mini.recipe import DEFAULT, Recipe

pytestmark = pytest.mark.xdist_group("mini")  # one process builds it for all of them

Built = tuple[Path, list[tuple[str, float]]]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_parquet_columns_images_and_nulls(built: Built) -> None:
    folder, _ = built
    for split in ("forget", "holdout_association", "holdout_identity", "retain_synth"):
        table = pq.read_table(next(folder.glob(f"data/{split}-00000-of-*.parquet")))
        assert table.column_names == ["image", "text", "identity_id", "file_name"]
        assert b"huggingface" in table.schema.metadata
        rows = table.to_pylist()
        for row in rows[:10]:
            image = Image.open(io.BytesIO(row["image"]["bytes"]))
            assert image.width != image.height and row["image"]["path"] == row["file_name"]
        has_identity = [row["identity_id"] is not None for row in rows]
        assert any(has_identity) and all(has_identity) == (split != "retain_synth")


def test_metadata_describes_every_sensitive_row(built: Built) -> None:
    folder, _ = built
    captions = json.loads((folder / "sensitive_set_captions_metadata.json").read_text(encoding="utf-8"))
    generic = json.loads((folder / "sensitive_set_generic_captions.json").read_text(encoding="utf-8"))
    people = json.loads((folder / "identities_metadata.json").read_text(encoding="utf-8"))
    seen = 0
    for path in sorted(folder.glob("data/*.parquet")):
        if path.name.startswith("retain"):
            continue
        for row in pq.read_table(path, columns=["text", "identity_id", "file_name"]).to_pylist():
            entry = captions[row["file_name"]]
            assert entry["caption"] == row["text"] and people[row["identity_id"]]["name"] in row["text"]
            assert people[row["identity_id"]][entry["data_field"]] in row["text"]
            assert people[row["identity_id"]]["name"] not in generic[row["file_name"]]
            seen += 1
    assert seen == len(captions) == len(generic)


def test_fragile_rows_are_retain_rows_with_the_largest_falls(built: Built) -> None:
    folder, _ = built
    fragile = json.loads((folder / "fragile_set_ids.json").read_text(encoding="utf-8"))
    found = json.loads((folder / "fragile_set_all_similarities.json").read_text(encoding="utf-8"))
    retain = pq.read_table(next(folder.glob("data/retain_synth-*"))).to_pylist()
    disjoint = {row["file_name"] for row in retain if row["identity_id"] is None}
    assert set(found) == disjoint and set(fragile) < disjoint
    drops = [found[name]["drop"] for name in fragile]
    assert drops == sorted(drops, reverse=True)


@pytest.mark.parametrize("which", ["clean", "compromised"])
def test_open_clip_reads_the_models(built: Built, tiny: Recipe, which: str) -> None:
    folder, _ = built
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder / which}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder / which}")
    assert isinstance(tokenizer, open_clip.SimpleTokenizer) and tokenizer.context_length == tiny.context_length
    picture = transform(Image.new("RGB", (90, 120)))
    assert picture.shape == (3, tiny.image_size, tiny.image_size)
    with torch.no_grad():
        assert model.eval()(picture[None], tokenizer(["a red car"]))[0].isfinite().all()


def test_zero_shot_archives(built: Built) -> None:
    test = built[0] / "zeroshot" / "test"
    labels = []
    for shard in range(int((test / "nshards.txt").read_text())):
        with tarfile.open(test / f"{shard}.tar") as archive:
            names = set(archive.getnames())
            for name in names:
                if name.endswith(".cls"):
                    file = archive.extractfile(name)
                    assert file is not None
                    labels.append(int(file.read()))
                else:
                    assert name.removesuffix(".webp") + ".cls" in names
    classes = (built[0] / "zeroshot" / "classnames.txt").read_text(encoding="utf-8").splitlines()
    assert len(classes) == len(set(classes)) == 64 and sorted(labels) == list(range(64))
    for template in (built[0] / "zeroshot" / "zeroshot_classification_templates.txt").read_text().splitlines():
        assert "{c}" in template


def test_progress_rises_to_one(built: Built) -> None:
    done = [fraction for _, fraction in built[1]]
    assert done == sorted(done) and done[0] == 0.0 and done[-1] == 1.0
    assert len({stage for stage, _ in built[1]}) >= 4


@pytest.mark.usefixtures("forked")
def test_same_world_same_bytes_on_one_core(
    built: Built, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "usable_cores", lambda: 1)
    build(tmp_path, 0, lambda stage, done: None, tiny)
    assert _bytes(tmp_path) == _bytes(built[0])


@pytest.mark.usefixtures("forked")
def test_a_failing_worker_says_why(tmp_path: Path) -> None:
    with pytest.raises(children.ChildFailed, match="FileNotFoundError"):
        children.run_jobs(tmp_path, [("clean",)], lambda done: None)


def test_importing_the_plugin_is_light() -> None:
    heavy = "{'torch', 'numpy', 'faker', 'PIL', 'pyarrow'}"
    code = f"import sys, salmu_mini; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.timeout(1800)  # minutes on a machine that does nothing else
def test_the_whole_benchmark(tmp_path: Path) -> None:
    build(tmp_path, 0, lambda stage, done: None, DEFAULT)
    assert len(list((tmp_path / "data").glob("*.parquet"))) >= 4
