import numpy as np
import pytest
import torch
from salmu_attacks import deja_vu as plugin

from salmu_core.testing import attack_context, check_attack, run_attack

test_conformance = check_attack("deja-vu")


@pytest.mark.parametrize("k", [1, 5])
def test_a_caption_is_the_mean_of_the_public_images_that_are_nearest_to_it(tiny_benchmark, k):
    ctx = attack_context(plugin.DEJA_VU, tiny_benchmark, k=k)
    reading, forget = plugin.attack(ctx), ctx.features()
    public = ctx.features("retain").image.numpy().astype(float)
    captions = [*ctx.forget.captions, "something else"]
    asked = ctx.texts(captions).numpy().astype(float)
    expected = [public[sorted(range(len(public)), key=lambda n, text=text: -text @ public[n])[:k]] for text in asked]
    assert reading.texts(captions).numpy() == pytest.approx(
        np.array([found.mean(axis=0) for found in expected]), abs=1e-6
    )
    assert torch.equal(reading.image, forget.image)
    assert reading.details["k"] == k and reading.details["images"] == len(public) == len(ctx.retain)


def test_all_forget_rows_are_scored(tiny_benchmark):
    outcome = run_attack(plugin.DEJA_VU, tiny_benchmark, k=3)
    assert outcome.status == "valid" and outcome.leaked == (), outcome.traceback or outcome.reason
    rows = len(attack_context(plugin.DEJA_VU, tiny_benchmark).forget)
    assert len({each["file_name"] for each in outcome.rows.to_pylist()}) == rows
    assert outcome.details["captions"] > 0 and 0 <= outcome.details["share_shown"] <= outcome.details["shown_once"] <= 1


def test_more_images_than_there_are_is_all_of_them(tiny_benchmark):
    ctx = attack_context(plugin.DEJA_VU, tiny_benchmark, k=10_000)
    reading, public = plugin.attack(ctx), ctx.features("retain").image
    told = reading.texts(ctx.forget.captions)
    assert torch.allclose(told, public.mean(dim=0).expand_as(told), atol=1e-6)
    assert reading.details["k"] == len(public)


def test_whom_the_found_images_show_is_counted_for_people_who_are_shown_at_all():
    found = torch.tensor([[0, 1, 2], [0, 2, 4], [3, 4, 1], [1, 2, 3]])
    told = plugin.shown(found, ["a", "a", "b", None, "c"], ["a", "c", None, "z"])
    assert told == {"captions": 2, "share_shown": pytest.approx((2 + 1) / 6), "shown_once": 1.0}
    assert plugin.shown(found, ["a", "a", "b", None, "c"], ["b", "b", "b", "b"])["share_shown"] == pytest.approx(3 / 12)
    assert plugin.shown(found, ["a", "a", "b", None, "c"], ["b", "b", "b", "b"])["shown_once"] == 0.75
    assert plugin.shown(found, [None] * 5, ["a"] * 4) == {"captions": 0}
