"""How many runs of a study share a card that is made up, by the models and the finished runs of a results folder."""

import json
from types import SimpleNamespace

import open_clip
import pytest

from salmu_core.run.card import Card
from salmu_core.study import on_card as module
from salmu_core.study.on_card import OnCard, on_card

GIB = 2**30
CARD = Card("Drawn Card 9000", 40 * GIB, 48 * GIB, (9, 0))
#: As many as a ViT-B/16 has, in a file of which nothing but the size is looked at.
WEIGHTS = 150_000_000


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A card, a benchmark with a model, one planned run of 16 pairs, and what finished runs took."""
    model = tmp_path / "compromised"
    model.mkdir()
    with (model / "open_clip_model.safetensors").open("wb") as file:
        file.truncate(4 * WEIGHTS)
    config = model / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": open_clip.get_model_config("ViT-B-16")}))
    records = []
    monkeypatch.setattr(module, "first_card", lambda: CARD)
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    monkeypatch.setattr(module, "read_run", lambda folder: records[0] if records else None)
    planned = SimpleNamespace(config=SimpleNamespace(batch_size=16), key=None)
    works = [(SimpleNamespace(model=lambda role: str(model)), [planned])]
    store = SimpleNamespace(folder=lambda key: tmp_path)
    return SimpleNamespace(works=works, planned=planned, store=store, records=records, config=config)


def decide(world):
    return on_card(world.works, world.store, "bf16")


def test_two_small_runs_share_a_card_and_people_are_told(world):
    decision = decide(world)
    assert decision.runs == 2 and decision.why.startswith("2 runs at a time on Drawn Card 9000")
    assert "of the 40.0 GiB" in decision.why and "--processes" in decision.why


def test_one_alone_where_nobody_knows_of_a_card(world, monkeypatch):
    monkeypatch.setattr(module, "first_card", lambda: None)
    assert decide(world) == OnCard()


def test_a_large_batch_has_the_card_to_itself(world):
    world.planned.config.batch_size = 128
    assert decide(world) == OnCard()
    del world.planned.config.batch_size  # a method that has none may look at whole chunks
    assert decide(world) == OnCard()


def test_finished_runs_of_this_card_know_better(world):
    def record(device, gib):
        ledger = SimpleNamespace(peak_memory_bytes=int(gib * GIB))
        return SimpleNamespace(environment={"device": device}, ledger=ledger)

    for device, gib, runs in ((CARD.name, 20, 1), (CARD.name, 12, 2), ("another card", 20, 2), (CARD.name, 0, 2)):
        world.records[:] = [record(device, gib)]
        assert decide(world).runs == runs, (device, gib)


def test_a_model_of_which_nothing_is_known_runs_alone_until_it_was_measured(world):
    world.config.write_text(json.dumps({"model_cfg": open_clip.get_model_config("RN50")}))
    assert decide(world).runs == 1
    ledger = SimpleNamespace(peak_memory_bytes=6 * GIB)
    world.records[:] = [SimpleNamespace(environment={"device": CARD.name}, ledger=ledger)]
    assert decide(world).runs == 2
    world.works[0][0].model = lambda role: "hf-hub:owner/name"
    assert decide(world).runs == 1
