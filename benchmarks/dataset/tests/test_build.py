"""The build as a whole: what it writes, and that neither an end in the middle nor more processes change a byte."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from salmu_dataset import curation, manifest, workers
from salmu_dataset.build import build, state
from salmu_dataset.identities import make_identities
from salmu_dataset.manifest import Arguments, Curation, Finished
from salmu_dataset.plan import totals
from salmu_dataset.stages import NAMES
from salmu_dataset.workshop import read_pictures
from salmu_dataset.writing import EVALUATION, TRAINING

from salmu_core import BenchmarkError, UsageError, layout
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.disk.hashing import hash_file


def silent(stage: str, done: float) -> None:
    """A progress bar nobody sees."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a finished build."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and ".stages" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


Built = tuple[Path, list[tuple[str, float]]]


def _rows(folder: Path, split: str) -> list[dict[str, object]]:
    return [row for path in sorted(folder.glob(f"data/{split}-*")) for row in pq.read_table(path).to_pylist()]


def test_the_evaluation_folder_is_the_released_layout(built: Built, small: Arguments) -> None:
    folder, wanted = built[0] / EVALUATION, totals(small.identities, small.pairs)
    data = read_evaluation(folder, folder / "zeroshot")
    sizes = {split: len(data.names(split)[0]) for split in (*layout.BASE_SPLITS, *layout.DERIVED_SPLITS)}
    assert sizes == {
        "forget": wanted.forget,
        "forget_identity": wanted.forget_identity,
        "forget_association": wanted.forget_association,
        "holdout_association": wanted.holdout_association,
        "holdout_identity": wanted.holdout_identity,
        "retain_synth": wanted.retain,
        "retain_joint": wanted.joint,
        "retain_disjoint": wanted.strangers + wanted.scenes,
        "fragile_set": wanted.strangers,
    }
    assert len(set(data.names("forget")[1])) == wanted.forgotten + wanted.half
    assert set(data.names("holdout_identity")[1]).isdisjoint(data.names("forget")[1])
    people = data.identities
    assert len(people) == small.identities and list(next(iter(people.values())))[:3] == ["name", "city", "country_code"]


def test_every_sensitive_row_says_name_and_value_and_has_a_generic_caption(built: Built) -> None:
    folder = built[0] / EVALUATION
    read = {name: json.loads((folder / name).read_text(encoding="utf-8")) for name in layout.JSON_FILES}
    captions, people = read[layout.CAPTIONS_METADATA], read[layout.IDENTITIES]
    seen, associations = set(), {}
    for split in ("forget", "holdout_association", "holdout_identity"):
        for row in _rows(folder, split):
            entry, person = captions[row["file_name"]], people[row["identity_id"]]
            assert entry["caption"] == row["text"] and entry["identity_id"] == row["identity_id"]
            assert person["name"] in row["text"] and person[entry["data_field"]] in row["text"]
            generic = read[layout.GENERIC_CAPTIONS][row["file_name"]]
            assert generic and person["name"] not in generic
            assert associations.setdefault((row["identity_id"], entry["data_field"]), split) == split
            seen.add(row["file_name"])
    assert seen == set(captions) == set(read[layout.GENERIC_CAPTIONS])
    assert len(associations) == 9 * len(people)


def test_pictures_are_jpegs_of_the_size_asked_for_and_named_after_their_format(built: Built, small: Arguments) -> None:
    for split in ("forget", "retain_synth"):
        for row in _rows(built[0] / EVALUATION, split):
            image = Image.open(io.BytesIO(row["image"]["bytes"]))  # type: ignore[index]
            assert image.format == "JPEG" and max(image.size) == small.size and image.width != image.height
            name = str(row["file_name"])
            assert name.endswith(f"_ar-{image.width / image.height:.2f}.jpg")
            assert name.startswith(f"{row['identity_id'] or '1'}")


def test_the_training_folder_holds_the_same_rows(built: Built) -> None:
    training, evaluation = built[0] / TRAINING, built[0] / EVALUATION
    sensitive = {row["file_name"]: row for row in _rows(training, "sensitive")}
    parts = [row for s in ("forget", "holdout_association", "holdout_identity") for row in _rows(evaluation, s)]
    assert sensitive == {row["file_name"]: row for row in parts} and len(parts) == len(sensitive)
    assert _rows(training, "retain_synth") == _rows(evaluation, "retain_synth")


def test_curation_says_what_it_rejected_and_why(built: Built, small: Arguments) -> None:
    curated = manifest.read(built[0] / ".stages" / "curation.json", Curation)
    rejected = [why for person in curated.rejected.values() for why in person.values()]
    assert Counter(rejected) == Counter({why: n for why, n in curated.reasons.items() if n})
    assert curated.made == curated.kept + curated.surplus + len(rejected) and rejected
    assert curated.kept == sum((Counter(curated.balance)).values()) and set(curated.balance) == set(curated.passed)
    # Somebody had too many rejected for the usual number of candidates, and got more.
    assert curated.made > small.candidates * small.identities
    shown = {name[:12] for name in json.loads((built[0] / EVALUATION / layout.CAPTIONS_METADATA).read_text())}
    assert not shown & {f"{i}_{n:03d}" for i, person in curated.rejected.items() for n in person}


def test_progress_names_the_stages_and_ends_at_one(built: Built) -> None:
    parts = [done for _, done in built[1]]
    assert parts == sorted(parts) and parts[-1] == pytest.approx(1)
    assert len({says for says, _ in built[1]}) == len(NAMES)


def test_two_processes_make_the_same_bytes(built: Built, small: Arguments, tmp_path: Path) -> None:
    build(tmp_path / "two", small, 2, silent)
    assert contents(tmp_path / "two") == contents(built[0])
    assert not (tmp_path / "two" / ".stages").exists()


@pytest.mark.parametrize("stage", ["anchors", "retain"])
def test_a_build_that_stops_after_a_stage_goes_on(built: Built, small: Arguments, tmp_path: Path, stage: str) -> None:
    assert build(tmp_path / "out", small, 1, silent, until=stage) is None
    assert not (tmp_path / "out" / EVALUATION).exists()
    made = {name: there == count for name, there, count in state(tmp_path / "out")}
    assert made == {name: NAMES.index(name) <= NAMES.index(stage) for name in NAMES}
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / ".stages" / stage).iterdir()}
    assert build(tmp_path / "out", small, 1, silent, keep_stages=True) is not None
    assert contents(tmp_path / "out") == contents(built[0])
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_lost_files_and_records_are_made_again(built: Built, small: Arguments, tmp_path: Path) -> None:
    begun = tmp_path / "out"
    (begun / ".stages").parent.mkdir()
    shutil.copytree(built[0] / ".stages", begun / ".stages")
    stages = begun / ".stages"
    (stages / "anchors" / "00000003.png").unlink()
    (stages / "portraits" / "00000005.parquet").write_bytes(b"cut off")
    (stages / "curation" / "00000005.parquet").unlink()
    (stages / "curation.json").unlink()
    (stages / "captions" / "00000001.json").unlink()
    build(begun, small, 1, silent)
    assert contents(begun) == contents(built[0])


def test_what_came_from_a_file_that_changed_is_made_again(built: Built, small: Arguments, tmp_path: Path) -> None:
    shutil.copytree(built[0] / ".stages", tmp_path / "out" / ".stages")
    stages = tmp_path / "out" / ".stages"
    shutil.copy(stages / "anchors" / "00000001.png", stages / "anchors" / "00000000.png")
    (stages / "anchors.json").unlink()
    before = (stages / "portraits" / "00000002.parquet").stat().st_mtime_ns
    build(tmp_path / "out", small, 1, silent, until="portraits")
    record = manifest.read(stages / "portraits.json", manifest.Portraits)
    assert record.inputs == hash_file(stages / "anchors.json")
    assert (stages / "portraits" / "00000002.parquet").stat().st_mtime_ns > before


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        write(path, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        manifest.replace(tmp_path / "unit.parquet", b"a whole file")
    assert not (tmp_path / "unit.parquet").exists()


def test_a_build_killed_among_the_portraits_goes_on(built: Built, small: Arguments, tmp_path: Path) -> None:
    options = {name: getattr(small, name) for name in ("identities", "countries", "size", "pairs", "candidates")}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from salmu_dataset.cli import app; app()", "build", *flags, "--out", str(out)]
    child = subprocess.Popen([*command, "--processes", "1"], stderr=subprocess.DEVNULL)
    portraits, deadline = out / ".stages" / "portraits", time.monotonic() + 60
    while len(list(portraits.glob("0*.parquet"))) < 2 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.005)
    child.kill()
    child.wait()
    assert 2 <= len(list(portraits.glob("0*.parquet"))) < small.identities
    build(out, small, 1, silent)
    assert contents(out) == contents(built[0])


def test_a_finished_build_is_left_alone(built: Built, small: Arguments) -> None:
    before = {p: p.stat().st_mtime_ns for p in built[0].rglob("*") if p.is_file()}
    finished = build(built[0], small, 1, silent, keep_stages=True)
    assert isinstance(finished, Finished) and finished.rows[TRAINING]["sensitive"] == 96
    assert before == {p: p.stat().st_mtime_ns for p in before}


@pytest.mark.parametrize("stages", [True, False])
def test_a_finished_build_that_lost_files_says_so(built: Built, small: Arguments, tmp_path: Path, stages: bool) -> None:
    out = shutil.copytree(built[0], tmp_path / "out")
    if not stages:
        shutil.rmtree(out / ".stages")
    assert all(there == count for _, there, count in state(out))
    (out / EVALUATION / layout.IDENTITIES).write_text("{}")
    shutil.rmtree(out / TRAINING)
    for call in (lambda: build(out, small, 1, silent), lambda: state(out)):
        with pytest.raises(UsageError, match="manifest.json and give" if stages else f"empty {out} and give"):
            call()
    if stages:
        (out / "manifest.json").unlink()
        build(out, small, 1, silent)
        assert contents(out) == contents(built[0])


def test_values_run_out_before_anything_is_drawn(tmp_path: Path) -> None:
    seed = next(s for s in range(200) if make_identities(s, 1, 1)[0].country.code == "DO")
    arguments = Arguments(identities=301, countries=1, seed=seed, size=72, pairs=12)
    with pytest.raises(BenchmarkError, match="no unused phone number"):
        build(tmp_path / "out", arguments, 1, silent)
    assert not (tmp_path / "out").exists()


def test_another_seed_is_another_data_set(small: Arguments, built: Built, tmp_path: Path) -> None:
    build(tmp_path / "out", small.model_copy(update={"seed": 1}), 1, silent, until="pii", keep_stages=True)
    names = {p.name for p in manifest.read(tmp_path / "out/.stages/pii.json", manifest.Pii).people.values()}
    others = {p.name for p in manifest.read(built[0] / ".stages/pii.json", manifest.Pii).people.values()}
    assert not names & others


def test_other_arguments_in_the_folder_are_a_sentence(built: Built, small: Arguments, tmp_path: Path) -> None:
    changed = small.model_copy(update={"seed": 7, "size": 80})
    with pytest.raises(UsageError, match=r"other arguments \(seed: 0, now 7; size: 72, now 80\)"):
        build(built[0], changed, 1, silent)
    build(tmp_path / "out", small, 1, silent, until="anchors")
    with pytest.raises(UsageError, match="other arguments"):
        build(tmp_path / "out", changed, 1, silent)
    record = tmp_path / "out" / ".stages" / "build.json"
    record.write_text(record.read_text().replace('"faker": "', '"faker": "0.'))
    with pytest.raises(UsageError, match="other versions of libraries"):
        build(tmp_path / "out", small, 1, silent)
    record.write_text("{")
    with pytest.raises(BenchmarkError, match="can't be read"):
        build(tmp_path / "out", small, 1, silent)


def test_a_folder_with_something_else_in_it_is_a_sentence(small: Arguments, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="name an empty folder"):
        build(tmp_path, small, 1, silent)
    with pytest.raises(UsageError, match="There is no stage 'portrait'"):
        build(tmp_path / "out", small, 1, silent, until="portrait")


def test_a_threshold_nothing_reaches_is_a_sentence(small: Arguments, tmp_path: Path) -> None:
    strict = small.model_copy(update={"consistency": 1.0})
    with pytest.raises(BenchmarkError, match=r"curation keeps \d+ of \d+ portraits .*rejected as inconsistent"):
        build(tmp_path / "out", strict, 1, silent)


def test_a_second_build_in_the_folder_is_a_sentence(
    small: Arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    def meanwhile(crew: workers.Crew, *rest: object) -> None:
        with pytest.raises(UsageError, match="Another build is at work") as error:
            build(tmp_path / "out", small, 1, silent)
        said.append(error)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers.Crew, "run", meanwhile)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", small, 1, silent)
    assert said


def test_the_hash_tells_pictures_apart_and_not_their_light(built: Built) -> None:
    pictures = list(read_pictures(built[0] / ".stages" / "portraits" / "00000000.parquet"))
    images = [Image.open(io.BytesIO(p.data)).convert("L") for p in pictures]
    marks = [curation.perceptual_hash(image) for image in images]
    dimmed = [curation.perceptual_hash(image.point(lambda v: int(0.8 * v))) for image in images]
    assert all((a ^ b).bit_count() <= 6 for a, b in zip(marks, dimmed, strict=True))
    assert sum((marks[0] ^ other).bit_count() > curation.DUPLICATE_BITS for other in marks[1:]) >= 10


@pytest.mark.slow
def test_a_tenth_of_the_released_size_has_a_tenth_of_its_rows(tmp_path: Path) -> None:
    finished = build(tmp_path / "out", Arguments(identities=77, countries=65, size=96), 2, silent)
    assert finished is not None
    assert finished.rows[EVALUATION] == {
        "forget": 3031,
        "holdout_association": 1487,
        "holdout_identity": 1457,
        "retain_synth": 1665,
    }
