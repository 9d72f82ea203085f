"""Sources of portraits and sentences: the default ones, those of third parties, and those that can't be."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from salmu_dataset.build import build
from salmu_dataset.countries import Country
from salmu_dataset.curation import Judge
from salmu_dataset.drawn import DrawnPortraits
from salmu_dataset.identities import Identity
from salmu_dataset.manifest import Arguments, Captions
from salmu_dataset.manifest import read as read_record
from salmu_dataset.sources import Anchor, Facts, Portrait, Settings, load_captions, load_portraits
from salmu_mini.pictures import encode
from salmu_mini.seeds import stream

from salmu_core import BenchmarkError, UsageError

PEOPLE = [Identity(n, Country("FR", "fr_FR"), ("female", "male")[n % 2]) for n in range(12)]
SETTINGS = Settings(0, 96)


def silent(stage: str, done: float) -> None:
    """A progress bar nobody sees."""


def _anchors() -> tuple[DrawnPortraits, list[Anchor]]:
    source = DrawnPortraits(SETTINGS)
    return source, [source.anchor(person, stream(0, "anchor", person.number)) for person in PEOPLE]


def test_consistency_is_high_with_oneself_and_lower_with_others_of_another_complexion() -> None:
    source, anchors = _anchors()
    own = [source.consistency(a, source.portrait(a, n).image) for a in anchors for n in range(5)]
    other = [source.consistency(a, source.portrait(b, 0).image) for a in anchors for b in anchors if a is not b]
    assert all(source.consistency(a, a.image) == 1 for a in anchors)
    assert np.median(own) > 0.85 and np.mean(np.array(own) > 0.6) > 0.85
    assert np.mean(np.array(other) > 0.6) < 0.5


def test_each_rule_of_curation_rejects_what_it_is_for() -> None:
    source, anchors = _anchors()
    portrait = source.portrait(anchors[0], 0).image
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 72, 3), dtype=np.uint8))
    flat = Image.new("RGB", (72, 96), (128, 128, 128))

    def reason(image: Image.Image, judge: Judge | None = None) -> str | None:
        return (judge or Judge(source, anchors[0], 96, 0.6)).reason(encode(image, "JPEG"))

    assert reason(portrait) is None
    assert reason(portrait.resize((48, 64))) == "size" and reason(portrait.resize((96, 96))) == "size"
    assert reason(portrait.point(lambda v: v // 8)) == "exposure"
    assert reason(flat) == "contrast" and reason(noise) == "inconsistent"
    judge = Judge(source, anchors[0], 96, 0.6)
    assert reason(portrait, judge) is None and reason(portrait.point(lambda v: v * 9 // 10), judge) == "duplicate"


class Squares:
    """A third party's portraits: a person is a colour, and every candidate but the odd ones is that colour."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def anchor(self, identity: Identity, rng: np.random.Generator) -> Anchor:
        colour = tuple(int(v) for v in rng.integers(90, 160, 3))
        return Anchor(identity, Image.new("RGB", (48, 64), colour))

    def portrait(self, anchor: Anchor, number: int) -> Portrait:
        rng = np.random.default_rng([anchor.identity.number, number])
        image = np.asarray(anchor.image.resize((56, 72)), dtype=np.int16) + rng.normal(0, 60, (72, 56, 1))
        return Portrait(Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)), f"square {number}")

    alone = True

    def portraits(self, anchor: Anchor, numbers: range) -> list[Portrait]:
        return [self.portrait(anchor, n) for n in numbers]

    def consistency(self, anchor: Anchor, image: Image.Image) -> float:
        return 1.0


class Shouting:
    """A third party's sentences, with a template whenever the name is short."""

    def __init__(self, settings: Settings) -> None:
        self.fell_back = False
        self._lose = settings.options.get("lose") == "yes"

    def captions(self, facts: Facts, style: int, rng: np.random.Generator) -> str:
        self.fell_back = len(facts.name) < 12
        return f"{facts.name if not self._lose else '?'} - {facts.value}!"


HERE = f"{Path(__file__).stem}"


def test_a_third_partys_sources_are_named_by_module_and_class(
    small: Arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    named = {"portraits": f"{HERE}:Squares", "captions": f"{HERE}:Shouting"}
    arguments = small.model_copy(update={**named, "size": 72})
    # Alone, it needs no second process; one could not import this module.
    finished = build(tmp_path / "out", arguments, 2, silent, until="portraits")
    assert finished is None
    finished = build(tmp_path / "out", arguments, 1, silent, keep_stages=True)
    assert finished is not None and finished.rows["salmu-512-redistributed"]["sensitive"] == 96
    captions = read_record(tmp_path / "out" / ".stages" / "captions.json", Captions)
    assert 0 < captions.fell_back == finished.fell_back < captions.sentences == 96
    losing = arguments.model_copy(update={"caption_options": {"lose": "yes"}})
    with pytest.raises(BenchmarkError, match="lost name or value"):
        build(tmp_path / "lost", losing, 1, silent)


def test_versions_of_a_sources_libraries_are_recorded_and_compared(
    small: Arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, out = small.model_copy(update={"portraits": f"{HERE}:Squares"}), tmp_path / "out"
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    source = importlib.import_module(HERE).Squares
    monkeypatch.setattr(source, "libraries", ("nothing-of-the-kind",), raising=False)
    with pytest.raises(UsageError, match="depends on nothing-of-the-kind"):
        build(out, arguments, 1, silent)
    monkeypatch.setattr(source, "libraries", ("pydantic",))
    build(out, arguments, 1, silent, until="anchors")
    record = out / ".stages" / "build.json"
    record.write_text(record.read_text().replace('"pydantic": "', '"pydantic": "0.'))
    with pytest.raises(UsageError, match=r"other versions of libraries \(pydantic"):
        build(out, arguments, 1, silent)


@pytest.mark.parametrize(
    ("kind", "module", "options"),
    [("diffusion", "diffusers", {"model": ".", "adapter": "."}), ("paraphrase", "transformers", {"model": "."})],
)
def test_a_missing_extra_is_a_sentence_before_anything_is_drawn(
    kind: str, module: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == module else object())
    load = load_portraits if kind == "diffusion" else load_captions
    with pytest.raises(UsageError, match=rf"the module '{module}', .* salmu-dataset\[{kind}\]"):
        load(kind, Settings(0, 96, options))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("drwan", "There is no portrait source 'drwan'. Did you mean 'drawn'"),
        ("nowhere:Thing", "needs the module 'nowhere'"),
        ("salmu_dataset.sources:Thing", "has no attribute 'Thing'"),
        ("salmu_dataset.templates:TemplateCaptions", "has no method 'anchor'"),
    ],
)
def test_sources_that_cannot_be_are_sentences(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_portraits(name, SETTINGS)


def test_options_nobody_knows_are_sentences() -> None:
    with pytest.raises(UsageError, match="no option of the template captions 'tone'"):
        load_captions("templates", Settings(0, 96, {"tone": "warm"}))
    with pytest.raises(UsageError, match="no option of the drawn portraits"):
        load_portraits("drawn", Settings(0, 96, {"steps": "3"}))
