"""Attacks that leave the checkpoint as it is: what is read from its embeddings, and what else it is asked."""

import numpy as np
import pytest
import torch
from attack_ground import attack, by_name, unattacked

from salmu_core import Pairs, Query, Reading
from salmu_core.attack.leaks import leaked_rows
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.contract.layout import FORGET
from salmu_core.errors import NotMeasuredError


def test_half_of_each_persons_rows_leak_to_a_readout(ground):
    handed = []

    def read(ctx):
        handed.append((ctx.leaked, ctx.forget.identity_ids))
        own = ctx.features()
        return Reading(own.image)

    outcome = ground(attack(read, "readout", given=("leaked",)))
    (leaked, people), held = handed[0], set(handed[0][0])
    assert outcome.status == "valid" and tuple(leaked) == outcome.leaked
    for person in set(people):
        rows = [row for row, shown in enumerate(people) if shown == person]
        assert len(held & set(rows)) == len(rows) // 2
    spec = attack(read, "readout", given=("leaked",))
    asked = ground.session.training.rows.asked
    assert leaked_rows(spec, spec.config(), asked, 0) == outcome.leaked != leaked_rows(spec, spec.config(), asked, 1)


def test_a_reading_of_the_own_embeddings_is_the_checkpoints_own_figure(ground):
    outcome = ground(attack(lambda ctx: Reading(3 * ctx.features().image), "readout", given=("leaked",)))
    own = by_name(unattacked(ground, "exchanged").rows, "RetFail_MRR")
    read = by_name(outcome.rows, "RetFail_MRR")
    assert read == {name: pytest.approx(own[name]) for name in read} and len(read) == len(own) - len(outcome.leaked)


def test_a_readout_of_a_linear_map_is_what_numpy_makes_of_it(ground, trained):
    """Fitted on the leaked rows, read on the others, against a gallery of all forget and all unrelated captions."""

    def read(ctx):
        own, leaked = ctx.features(), list(ctx.leaked)
        assert not own.image.is_inference() and ctx.inner("visual.transformer.resblocks.0").shape[0] == len(own.image)
        weights = torch.linalg.lstsq(own.image[leaked], own.text[leaked]).solution
        return Reading(own.image @ weights, details={"rows": len(leaked)})

    outcome = ground(attack(read, "readout", given=("leaked",)), "compromised")
    assert outcome.details == {"rows": len(outcome.leaked)}
    data, clip = read_evaluation(trained / "data", trained / "data/zeroshot"), ground.clips["data/compromised"]
    forget, (retain, disjoint) = data.base[FORGET], data.locate("retain_disjoint")
    with torch.no_grad():
        pool = ground.session.training.pools["forget"]
        image = clip.model.encode_image(pool.images(np.arange(len(forget))), normalize=True).numpy().astype(float)
        captions = [*forget.captions, *(retain.captions[i] for i in disjoint)]
        text = clip.model.encode_text(clip.tokenize(captions), normalize=True).numpy().astype(float)
    held = list(outcome.leaked)
    weights = np.linalg.lstsq(image[held], text[held], rcond=None)[0]
    scores = image @ weights @ text.T  # a row's length changes no rank
    expected = {}
    for row, name in enumerate(forget.file_names):
        if row not in held:
            expected[name] = 1 + float((scores[row] > scores[row, row]).sum())
    assert by_name(outcome.rows, "rank") == expected


def test_a_readout_of_the_retain_set_has_its_embeddings_and_is_scored_on_every_row(ground):
    handed = []

    def read(ctx):
        handed.append((ctx.retain, ctx.features("retain")))
        return Reading(ctx.features("forget").image)

    outcome = ground(attack(read, "readout", given=("retain",)), "compromised")
    assert outcome.status == "valid" and outcome.leaked == (), outcome.reason
    assert by_name(outcome.rows, "RetFail_MRR") == by_name(unattacked(ground, "compromised").rows, "RetFail_MRR")
    (pairs, features), data, clip = handed[0], ground.session.scorer.data, ground.clips["data/compromised"]
    rows = data.base["retain_synth"]
    assert (
        pairs.captions == rows.captions and pairs.identity_ids == rows.identity_ids and set(pairs.identity_ids) > {None}
    )
    embedder = ground.session.scorer.embedder(clip)
    assert torch.allclose(features.image, embedder.images("retain_synth"), atol=1e-6)
    assert torch.allclose(features.text, embedder.texts(rows.captions), atol=1e-6)


@pytest.mark.parametrize(
    ("read", "given", "name"),
    [
        (lambda ctx: ctx.retain, "leaked", "retain"),
        (lambda ctx: ctx.features("retain"), "leaked", "retain"),
        (lambda ctx: ctx.leaked, "retain", "leaked"),
    ],
)
def test_a_readout_is_refused_what_it_is_not_given(ground, read, given, name):
    outcome = ground(attack(read, "readout", given=(given,)))
    assert outcome.status == "crashed" and f"not given {name!r}: what an attacker is taken to hold" in outcome.reason


def test_a_readout_goes_by_something():
    with pytest.raises(ValueError, match="add 'leaked' or 'retain'"):
        attack(lambda ctx: None, "readout")
    with pytest.raises(ValueError, match="`leaked` and `whole_facts` are about leaked rows"):
        attack(lambda ctx: None, "readout", given=("retain",), leaked=lambda pairs, config, random: [0])


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda ctx: None, "must return a Reading"),
        (lambda ctx: Reading(ctx.features().image[1:]), "a row an image"),
        (lambda ctx: Reading(ctx.features().image[:, 1:]), "which have 16 columns"),
        (lambda ctx: Reading(ctx.features().image * float("nan")), "NaN or infinite"),
        (lambda ctx: Reading(ctx.features().image, lambda texts: torch.ones(1, 16)), "Reading.texts gave [1, 16]"),
        (lambda ctx: Reading(ctx.features().image, details={"x": object()}), "can't stand in a record"),
        (lambda ctx: Reading(ctx.inner("nowhere")), "no such part"),
        (lambda ctx: Reading(ctx.inner("transformer")), "it gives nothing"),
        (lambda ctx: [], "a list of at least one"),
        (lambda ctx: [Reading(ctx.features().image)] * 2, "two of one label"),
        (lambda ctx: [Reading(ctx.features().image), Reading(ctx.features().image[1:], label="x")], "a row an image"),
    ],
)
def test_a_reading_that_makes_no_sense_is_refused(ground, read, said):
    outcome = ground(attack(read, "readout", given=("leaked",)))
    assert outcome.status == "crashed" and said in outcome.reason, outcome.reason


def test_a_space_of_the_attacks_own_is_compared_in_itself(ground):
    """Both sides through one rotation into more dimensions: nothing changes."""
    turn = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(0))).Q[:16]

    def read(ctx):
        return Reading(ctx.features().image @ turn, lambda captions: 2 * ctx.texts(captions) @ turn)

    outcome = ground(attack(read, "readout", given=("leaked",)), "compromised")
    own = by_name(unattacked(ground, "compromised").rows, "rank")
    assert outcome.status == "valid", outcome.reason
    assert by_name(outcome.rows, "rank") == {name: own[name] for name in by_name(outcome.rows, "rank")}


def test_of_several_readings_the_one_that_reads_most_is_reported_and_all_are_kept(ground):
    def read(ctx):
        own = ctx.features()
        return Reading(-own.image, label="away"), Reading(own.text, details={"by": "itself"}, label="told")

    outcome = ground(attack(read, "readout", given=("leaked",)), "compromised")
    told = outcome.details["readings"]
    assert outcome.status == "valid" and outcome.details["worst"] == "told" and [*told] == ["away", "told"]
    assert told["told"] == {"by": "itself", "values": outcome.values} and outcome.values["RetFail_MRR"] == 1
    assert told["away"]["values"]["RetFail_MRR"] < 0.5
    lines = [each for each in outcome.rows.to_pylist() if each["column"] == "RetFail_MRR"]
    for label, reading in told.items():
        values = [each["value"] for each in lines if each["query"] == label]
        assert len(values) == 32 - len(outcome.leaked)
        assert np.mean(values) == pytest.approx(reading["values"]["RetFail_MRR"])


def test_a_layer_may_be_kept_in_part(ground):
    seen = []

    def read(ctx):
        whole, part = (ctx.inner("visual.transformer.resblocks.0", of) for of in (None, lambda inner: inner[:, 0]))
        seen.append((whole, part, ctx.layers))
        return Reading(ctx.features().image)

    assert ground(attack(read, "readout", given=("leaked",))).status == "valid"
    whole, part, layers = seen[0]
    assert torch.equal(whole[:, 0], part) and "visual.transformer.resblocks.0" in layers
    assert all(layer.startswith("visual") for layer in layers)


def test_asking_with_the_own_captions_and_images_changes_nothing(ground):
    own = unattacked(ground, "exchanged")
    for query in (
        lambda ctx: Query(captions=ctx.forget.captions),
        lambda ctx: Query(images=lambda images: images),
        lambda ctx: Query(pixels=lambda pixels: pixels),
    ):
        outcome = ground(attack(query, "query"))
        assert outcome.status == "valid" and outcome.leaked == () and outcome.details == {}
        assert outcome.values == pytest.approx(own.values) and outcome.ledger.weights_changed == 0


def test_other_captions_are_seen_in_the_gallery_too(ground):
    """All captions alike: none can be told from another, so each row ties with every forget row's."""
    outcome = ground(attack(lambda ctx: Query(captions=["one and the same"] * len(ctx.forget)), "query"), "compromised")
    data = ground.session.scorer.data
    _, disjoint = data.locate("retain_disjoint")
    ranks = [*by_name(outcome.rows, "rank_private").values()]
    assert outcome.status == "valid" and set(ranks) == {1.0}  # the gallery holds the one caption once
    assert max(by_name(outcome.rows, "rank").values()) <= 1 + len(disjoint)


def test_changed_images_are_what_is_embedded(ground):
    blank = ground(attack(lambda ctx: Query(images=torch.zeros_like), "query"), "compromised")
    cosines = by_name(blank.rows, "rank")
    assert blank.status == "valid" and len(set(cosines.values())) > 1
    assert blank.values["RetFail_MRR"] < 0.5 < unattacked(ground, "compromised").values["RetFail_MRR"]


def test_pixels_are_changed_before_they_are_normalised(ground):
    clip, pool = ground.clips["data/compromised"], ground.session.training.pools["forget"]

    def normalised(images):
        mean, std = (torch.tensor(each)[:, None, None] for each in (clip.mean, clip.std))
        whole = ((images * std + mean) * 255).round()
        return ((255 - whole) / 255 - mean) / std

    assert pool.pixels(np.arange(2)).dtype == torch.uint8
    by_pixels, by_images = (
        ground(attack(lambda ctx, query=query: query, "query"), "compromised")
        for query in (Query(pixels=lambda pixels: 255 - pixels), Query(images=normalised))
    )
    assert by_pixels.status == "valid" and by_pixels.values == pytest.approx(by_images.values, abs=1e-4)
    assert by_pixels.values != pytest.approx(unattacked(ground, "compromised").values)


def test_captions_may_ask_for_images_among_those_of_forget_and_unrelated_rows(ground):
    outcome = ground(attack(lambda ctx: Query(exchanged=True), "query"), "compromised")
    assert outcome.status == "valid", outcome.reason
    data, clip = ground.session.scorer.data, ground.clips["data/compromised"]
    forget, (retain, disjoint) = data.base[FORGET], data.locate("retain_disjoint")
    pools = [ground.session.training.pools[name] for name in ("forget", "retain")]
    with torch.no_grad():
        shown = [
            clip.model.encode_image(pool.images(rows), normalize=True).numpy().astype(float)
            for pool, rows in zip(pools, (np.arange(len(forget)), disjoint), strict=True)
        ]
        text = clip.model.encode_text(clip.tokenize(forget.captions), normalize=True).numpy().astype(float)
    scores = text @ np.concatenate(shown).T
    ranks = {name: 1 + int((scores[row] > scores[row, row]).sum()) for row, name in enumerate(forget.file_names)}
    assert len(set(forget.captions)) == len(forget) and retain.name == "retain_synth"
    assert by_name(outcome.rows, "rank") == ranks != by_name(unattacked(ground, "compromised").rows, "rank")


def test_images_of_one_caption_are_asked_for_by_their_mean(ground):
    """All captions alike: every row asks the same, and finds the mean of all images where its own would be."""
    same = Query(captions=["one and the same"] * 32, exchanged=True)
    outcome = ground(attack(lambda ctx: same, "query"), "compromised")
    assert outcome.status == "valid" and len(set(by_name(outcome.rows, "rank").values())) == 1
    assert set(by_name(outcome.rows, "rank_private").values()) == {1.0}


def test_of_several_queries_the_worst_is_reported_and_all_are_kept(ground):
    def ask(ctx):
        captions = ctx.forget.captions
        others = [f"so it is said: {caption}" for caption in captions]
        return [
            Query(captions=others, label="told"),
            Query(captions=captions, label="own"),
            Query(others[::-1], label="r"),
        ]

    outcome = ground(attack(ask, "query"), "compromised")
    assert outcome.details["worst"] == "own" and [*outcome.details["queries"]] == ["told", "own", "r"]
    assert (
        outcome.values == outcome.details["queries"]["own"] == pytest.approx(unattacked(ground, "compromised").values)
    )
    assert max(each["RetFail_MRR"] for each in outcome.details["queries"].values()) == outcome.values["RetFail_MRR"]
    lines = outcome.rows.to_pylist()
    for label, told in outcome.details["queries"].items():  # the rows of each are kept, for whoever chooses
        values = [each["value"] for each in lines if (each["query"], each["column"]) == (label, "RetFail_MRR")]
        assert len(values) == 32 and np.mean(values) == pytest.approx(told["RetFail_MRR"])


def test_where_nobody_has_two_rows_a_readout_has_none_to_fit_on():
    spec = attack(lambda ctx: None, "readout", given=("leaked",))
    alone = Pairs(("one", "two"), ("a", "b"))
    with pytest.raises(NotMeasuredError, match="nobody has two forget rows"):
        leaked_rows(spec, spec.config(), alone, 0)
    assert len(leaked_rows(spec, spec.config(), Pairs(("one", "two"), ("a", "a")), 0)) == 1


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda ctx: None, "must return a Query"),
        (lambda ctx: [], "at least one"),
        (lambda ctx: Query(), "neither captions nor images"),
        (lambda ctx: Query(captions=["one"]), "1 captions for 32 forget rows"),
        (lambda ctx: Query(captions="x" * len(ctx.forget)), "one each, in order"),
        (lambda ctx: Query(captions=[None] * len(ctx.forget)), "are no texts"),
        (lambda ctx: Query(images=lambda images: images[:, :, 1:]), "must keep their shape"),
        (lambda ctx: Query(images=lambda images: images / 0), "NaN or infinite pixels"),
        (lambda ctx: Query(pixels=lambda pixels: pixels[1:]), "Query.pixels made [31, 3"),
        (lambda ctx: Query(pixels=lambda pixels: pixels / 255), "must keep their type"),
        (lambda ctx: Query(images=abs, pixels=abs), "both images and pixels"),
        (lambda ctx: [Query(captions=ctx.forget.captions)] * 2, "a `label` of its own"),
    ],
)
def test_queries_that_make_no_sense_are_refused(ground, ask, said):
    outcome = ground(attack(ask, "query"))
    assert outcome.status == "crashed" and said in outcome.reason, outcome.reason
