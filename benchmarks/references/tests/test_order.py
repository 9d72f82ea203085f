"""Which pair is seen when: a pure function of the step, whoever asks."""

from __future__ import annotations

import pickle  # noqa: TID251 - what a reader process gets
from pathlib import Path

import numpy as np
import pytest
import torch
from salmu_references.batches import Batches, Cut, sensitive_until, share
from salmu_references.recipe import Recipe
from salmu_references.sources import Pairs, Part, find_retain, find_sensitive, measure

from salmu_core.train.order import Order

SIZES = [7, 0, 19, 4, 30, 1]


@pytest.mark.parametrize("shuffle", [1, 12, 1000])
def test_every_pair_once_an_epoch_and_any_draw_without_those_before_it(shuffle: int) -> None:
    order, total = Order(SIZES, shuffle, 3, "retain"), sum(SIZES)
    expected = {(part, place) for part, size in enumerate(SIZES) for place in range(size)}
    epochs = [order.at(epoch * total, (epoch + 1) * total) for epoch in range(3)]
    for drawn in epochs:
        assert len(drawn) == total and set(map(tuple, drawn.tolist())) == expected
    assert not (epochs[0] == epochs[1]).all()
    whole = np.concatenate(epochs)
    for start, stop in ((50, 75), (5, 6), (100, 180), (60, 62), (9, 9)):
        fresh = Order(SIZES, shuffle, 3, "retain")
        assert (fresh.at(start, stop) == whole[start:stop]).all()
        assert (pickle.loads(pickle.dumps(order)).at(start, stop) == whole[start:stop]).all()
    assert not (Order(SIZES, shuffle, 4, "retain").at(0, total) == epochs[0]).all()


def test_few_parts_are_in_use_at_a_time() -> None:
    drawn = Order([10] * 50, 40, 0).at(0, 500)[:, 0]
    for start in range(0, 480, 40):
        assert len(set(drawn[start : start + 40].tolist())) == 4


def test_sensitive_pairs_are_spread_evenly_and_add_up() -> None:
    counts = np.diff([sensitive_until(step, 700, 1234) for step in range(701)])
    assert counts.sum() == 1234 and counts.max() - counts.min() == 1
    assert abs(counts[:350].sum() - 617) <= 1


@pytest.mark.parametrize(("total", "world"), [(37, 1), (37, 2), (37, 5), (5, 5)])
def test_shares_are_all_there_is(total: int, world: int) -> None:
    bounds = [share(total, rank, world) for rank in range(world)]
    assert [n for begin, end in bounds for n in range(begin, end)] == list(range(total))
    sizes = [end - begin for begin, end in bounds]
    assert max(sizes) - min(sizes) <= 1


def _sets() -> tuple[Pairs, Pairs]:
    def made(name: str, sizes: list[int]) -> Pairs:
        return Pairs(name, [Part(Path(f"{name}{i}"), "", str(i), size) for i, size in enumerate(sizes)], 100)

    return made("retain", SIZES), made("sensitive", [9, 8])


def _draws(cut: Cut, world: int, step: int) -> list[list[tuple[int, int, int, int]]]:
    return [Batches(cut, None, None, rank, world).draws(step) for rank in range(world)]  # type: ignore[arg-type]


def test_processes_cut_the_same_batches_and_compromised_sees_the_same_retain_pairs() -> None:
    retain, sensitive = _sets()
    recipe = Recipe(batch=11, steps=40, warmup=1, sensitive_passes=5, shuffle=20)
    clean, compromised = Cut(recipe, retain, None, 40), Cut(recipe, retain, sensitive, 40)
    seen: list[tuple[int, int]] = []
    for step in range(40):
        (whole,) = _draws(compromised, 1, step)
        for world in (2, 3, 7):
            assert [draw for part in _draws(compromised, world, step) for draw in part] == whole
        assert len(whole) == compromised.size(step)
        assert [draw for draw in whole if draw[0] == 0] == _draws(clean, 1, step)[0]
        assert len(_draws(clean, 1, step)[0]) == 11
        seen += [draw[2:] for draw in whole if draw[0] == 1]
    assert len(seen) == compromised.draws == 85
    assert {seen.count(pair) for pair in seen} == {5} and len(set(seen)) == 17


def test_a_set_reads_every_pair_of_its_parts_and_notices_change(data: Path, tmp_path: Path) -> None:
    parts = [measure(*each) for each in find_retain([str(data / "{00000..00002}.tar")])]
    pairs = Pairs("retain", parts, 1)
    captions = [pairs.read(part, place)[2] for part, size in enumerate(pairs.sizes) for place in range(size)]
    assert sorted(captions) == sorted(
        f"thing {i} of shard {s}" for s, size in enumerate((12, 13, 14)) for i in range(size)
    )
    folder = [measure(*each) for each in find_sensitive(data / "sensitive")]
    private = Pairs("sensitive", folder, 1)
    assert len(private) == 15 and private.read(2, 4)[2] == "number 4 of holdout_identity"
    assert private.read(1, 3)[1].startswith(b"\x89PNG")
    moved = Pairs("retain", [Part(parts[0].path, "", "0" * 64, 12)], 1)
    with pytest.raises(Exception, match="has changed since the training began"):
        moved.read(0, 0)


def test_crops_are_a_function_of_seed_and_draw_and_leave_global_state_alone(data: Path) -> None:
    from salmu_references.batches import train_transform

    pairs = Pairs("retain", [measure(*each) for each in find_retain([str(data)])], 100)
    recipe = Recipe(batch=8, steps=20, warmup=1)
    config = {"preprocess_cfg": {"interpolation": "bicubic"}}
    cut = Cut(recipe, pairs, None, 20)

    def tokens(texts: list[str]) -> list[str]:
        return texts

    before = torch.get_rng_state()
    one = Batches(cut, train_transform(config, 16, recipe), tokens, 0, 1)
    images, captions, replaced = one[13]
    assert images.shape == (8, 3, 16, 16) and images.dtype == torch.uint8 and replaced == 0
    again = [Batches(cut, train_transform(config, 16, recipe), tokens, rank, 2)[13] for rank in (0, 1)]
    assert torch.equal(torch.cat([part[0] for part in again]), images)
    assert [text for part in again for text in part[1]] == captions
    assert torch.equal(torch.get_rng_state(), before)
