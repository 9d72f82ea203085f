"""A row's score and its twin are those of plain loops; who has no twin is left out."""

from __future__ import annotations

import numpy as np
import pytest
import salmu_text_membership as plugin
import torch

from salmu_core.errors import NotMeasuredError
from salmu_core.testing import check_metric, metric_context, write_tiny_benchmark

(SPEC,) = plugin.salmu_metrics()
NAMES = ["Ada Bell", "Bea Cruz", "Cy", "Dot van Eck", "Ada Fox"]

test_conformance = check_metric("TextMIA")


def test_a_stranger_has_the_first_name_and_the_last_name_of_somebody_else():
    found = plugin.strangers(NAMES, {*NAMES, "Bea Fox"})
    assert found["Ada Bell"] == ["Ada Cruz", "Ada van Eck"]  # Ada Fox there is
    assert found["Bea Cruz"] == ["Bea van Eck", "Bea Bell"]  # Bea Fox, too
    assert found["Dot van Eck"] == ["Dot Fox", "Dot Bell", "Dot Cruz"] and "Cy" not in found
    assert plugin.strangers(["Ada Bell", "Ada Fox"], {"Ada Bell", "Ada Fox"})["Ada Bell"] == ["Ada Fox"]
    assert plugin.strangers(["Ada Bell"], set()) == {"Ada Bell": []}


def test_a_twin_is_the_same_sentence_about_a_stranger_and_each_time_about_the_next():
    captions = [
        "Call Ada Bell on 1",
        "Ada Bell's town, where Ada Bell lives",
        "Ada Bells",
        "Bea: Bea Cruz",
        "of Cy",
        "it",
    ]
    names = ["Ada Bell", "Ada Bell", "Ada Bell", "Bea Cruz", "Cy", None]
    assert plugin.twins(captions, names, {"Bea Cruz"}) == [
        "Call Ada Cruz on 1",
        "Ada Cruz's town, where Ada Cruz lives",
        None,
        "Bea: Bea Bell",
        None,
        None,
    ]
    made = plugin.twins(["Ada Bell"] * 3, ["Ada Bell"] * 3, set())
    assert made == [None] * 3  # there is nobody to borrow a name from
    assert plugin.twins(["A B, A B", "A B", "C D", "E F"], ["A B", "A B", "C D", "E F"], set()) == [
        "A D, A D",
        "A F",
        "C F",
        "E B",
    ]


def test_nearness_is_the_mean_of_the_highest_cosines():
    rng = np.random.default_rng(0)
    texts, images = (rng.normal(size=(n, 6)).astype(np.float32) for n in (7, 40))
    got = plugin.nearness(torch.tensor(texts), torch.tensor(images))
    for text, value in zip(texts, got, strict=True):
        cosines = sorted((float(text.astype(np.longdouble) @ image) for image in images), reverse=True)
        assert value == pytest.approx(sum(cosines[:5]) / 5)
    assert plugin.nearness(torch.tensor(texts), torch.tensor(images[:2])) == pytest.approx(
        (texts @ images[:2].T).mean(1)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_benchmark(tmp_path_factory.mktemp("tiny"), people=12)


def named(ctx, change):
    """The same context, in which captions and people are what ``change`` makes of them."""
    captions, person = ctx.captions, ctx.person
    ctx.captions = lambda split: tuple(map(change, captions(split)))
    ctx.person = lambda who: {"name": change(f"Person Number{int(who)}")} if person(who) else {}
    return ctx


FIRST = ["Ada", "Bea", "Cleo", "Dot", "Eve", "Fay", "Gil", "Hal", "Ivo", "Jon", "Kit", "Leo"]


def rename(text):
    for number in reversed(range(12)):
        text = text.replace(f"Person Number{number}", f"{FIRST[number]} Last{number}")
    return text


def test_a_row_says_whether_its_caption_is_nearer_to_public_images_than_its_twin(folder):
    seen = set()
    for model in ("clean", "compromised"):
        ctx = named(metric_context(SPEC, folder, model), rename)
        result, captions = SPEC.compute(ctx), ctx.captions("forget")
        who = [int(person) for person in ctx.identity_ids("forget")]
        people, images = [*dict.fromkeys(who)], ctx.images("retain_synth").numpy().astype(float)
        times = dict.fromkeys(people, 0)
        expected = []
        for caption, person in zip(captions, who, strict=True):
            times[person] += 1
            other = people[(people.index(person) + times[person]) % len(people)]
            twin = caption.replace(f"{FIRST[person]} Last{person} ", f"{FIRST[person]} Last{other} ")
            assert twin != caption
            near = [
                np.sort(images @ ctx.texts([text])[0].numpy().astype(float))[-5:].mean() for text in (caption, twin)
            ]
            expected.append(float(near[0] > near[1]))
        np.testing.assert_array_equal(result.per_row.values, expected)
        assert result.per_row.index.tolist() == [*range(len(captions))] and result.chance == 0.5
        assert result.details == {"nearest": 5, "images": len(images), "left_out": 0}
        seen |= set(expected)
    assert seen == {0, 1}


def test_a_model_that_maps_all_texts_to_one_point_has_a_half(folder):
    ctx = named(metric_context(SPEC, folder), rename)
    ctx.texts = lambda captions: torch.full((len(captions), 16), 0.25)
    assert set(SPEC.compute(ctx).per_row.values) == {0.5}


def test_rows_without_a_twin_are_left_out_and_where_there_are_none_else_it_is_not_measured(folder):
    ctx = named(metric_context(SPEC, folder), lambda text: rename(text).replace("Ada Last0", "Ada"))
    result, people = SPEC.compute(ctx), [int(person) for person in ctx.identity_ids("forget")]
    kept = [row for row, person in enumerate(people) if person != 0]
    assert result.per_row.index.tolist() == kept and result.details["left_out"] == len(people) - len(kept) > 0
    nobody = named(metric_context(SPEC, folder), lambda text: text.replace("Person Number", "P"))
    with pytest.raises(NotMeasuredError, match="no forget caption holds its person's name"):
        SPEC.compute(nobody)


def test_it_is_shown_and_takes_part_in_no_verdict():
    assert (SPEC.pillar, SPEC.target, SPEC.role, SPEC.reads[0]) == ("efficacy", "clean", "other", "forget")
