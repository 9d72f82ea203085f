from __future__ import annotations

import numpy as np
import pytest
from salmu_protocol_metrics.retrieval import draw_gallery, draw_rows


@pytest.fixture
def make(world, split, units, rng):
    """A world whose forget rows have these captions; texts get random embeddings unless given."""

    def build(forget, retain, d=8, text=None, image=None):
        image = units(rng.normal(size=(len(forget), d))) if image is None else image
        made = world({"forget": split(image, forget), "retain_disjoint": split(None, retain)}, dict(text or {}))
        made.say(rng, [*forget, *retain], d)
        return made

    return build


def drawn(pool, source, size=1000):
    """The draw, said in another way: sort the pool's captions by one raw random number each."""
    pool = sorted(set(pool))
    keyed = sorted((source.random_raw(), i) for i in range(len(pool)))
    return [pool[i] for _, i in keyed][:size]


def reference(world, alone=False, pools=None):
    """Ranks by plain loops; among forget captions alone, or among all."""
    forget, retain = world.splits["forget"], world.splits["retain_disjoint"].captions
    source = np.random.PCG64(42)
    # One number per forget caption, then one per retain caption, from one generator.
    own, others = pools or (drawn(forget.captions, source), [c for c in retain if c not in forget.captions])
    gallery = [*own, *([] if alone else others if pools else drawn(others, source))]
    vectors = np.stack([world.text[c].astype(np.float64) for c in gallery])
    bits = {caption: vector.tobytes() for caption, vector in world.text.items()}
    ranks = []
    for image, caption in zip(forget.image, forget.captions, strict=True):
        own = world.text[caption]
        mine = sum(float(a) * float(b) for a, b in zip(image, own, strict=True))
        rank = 1.0
        scores = (vectors * image.astype(np.float64)).sum(axis=1).tolist()
        for other, score in zip(gallery, scores, strict=True):
            if other == caption:
                continue
            if bits[other] == bits[caption]:
                rank += 0.5
            elif score > mine:
                rank += 1
        ranks.append(rank)
    return np.array(ranks)


def means(result):
    return {figure: rows.mean() for figure, rows in result.per_row.values.items()}


@pytest.mark.parametrize("forget, retain", [(30, 50), (1200, 40), (40, 1200), (1100, 1100)])
def test_ranks_are_those_of_plain_loops(make, compute, forget, retain):
    made = make([f"f{i}" for i in range(forget)], [f"r{i}" for i in range(retain)])
    result = compute("RetFail", made)
    expected = reference(made)
    np.testing.assert_array_equal(result.ranks.values, expected)
    np.testing.assert_array_equal(result.ranks.like[0], reference(made, alone=True))
    assert result.ranks.like[1] == 1 + min(forget, 1000)
    assert means(result) == {"MRR": np.mean(1 / expected), "R@1": np.mean(expected == 1)}
    assert result.details["drawn_from_forget"] == min(forget, 1000)
    assert result.details["drawn_from_retain_disjoint"] == min(retain, 1000)
    assert result.ranks.gallery == 1 + min(forget, 1000) + min(retain, 1000)
    size = result.ranks.gallery
    assert result.chance == pytest.approx({"MRR": sum(1 / rank for rank in range(1, size + 1)) / size, "R@1": 1 / size})
    assert len(set(expected)) > 10


@pytest.mark.parametrize("forget, retain", [(3, 0), (30, 50), (1100, 1100)])
def test_what_is_retrieved_is_what_sorting_the_gallery_gives(make, compute, forget, retain):
    made = make([f"f{i}" for i in range(forget)], [f"r{i}" for i in range(retain)])
    result = compute("RetFail", made)
    found = result.retrieved
    rows, texts = made.splits["forget"], made.splits["retain_disjoint"].captions
    gallery = [*dict.fromkeys(c for pool in draw_gallery(rows.captions, texts) for c in pool)]
    cosines = rows.image.astype(float) @ np.stack([made.text[c] for c in gallery]).astype(float).T
    for row, (image, own) in enumerate(zip(rows.image.astype(float), rows.captions, strict=True)):
        scores = dict(zip(gallery, cosines[row].tolist(), strict=True))
        scores.setdefault(own, float(image @ made.text[own].astype(float)))
        best = sorted(scores, key=lambda c: -scores[c])[:5]
        shown = [found.captions[i] for i in found.found[row]]
        assert shown == best[: len(shown)] and len(shown) == min(5, len(gallery))
        np.testing.assert_allclose(found.cosines[row], [scores[c] for c in shown], rtol=0, atol=1e-12)
        rank = result.ranks.values[row]
        assert (own in shown) == (rank <= 5) and (own not in shown or shown[int(rank) - 1] == own)
    assert found.split == "forget"


def test_equal_captions_are_retrieved_in_the_order_of_the_gallery(make, compute, units):
    names = [f"f{i}" for i in range(1200)]
    one = units(np.arange(1.0, 9.0))
    made = make(names, ["r"], text=dict.fromkeys([*names, "r"], one), image=np.stack([one] * 1200))
    found = compute("RetFail", made).retrieved
    gallery = [c for pool in draw_gallery(names, ["r"]) for c in pool]
    assert {tuple(found.captions[i] for i in row) for row in found.found} == {tuple(gallery[:5])}


@pytest.mark.parametrize("spread", [0.3, 1e-2, 1e-4, 1e-6])
def test_captions_that_float32_cannot_tell_apart_rank_as_those_it_can(make, compute, rng, units, spread):
    names, d = [f"f{i}" for i in range(60)], 24
    near = rng.normal(size=d) + spread * rng.normal(size=(121, d))
    near[::2] = near[0] + spread * rng.normal(size=(61, d)) / 100  # half of them closer still
    text = {name: units(vector) for name, vector in zip([*names, *(f"r{i}" for i in range(61))], near, strict=True)}
    made = make(names, [f"r{i}" for i in range(61)], text=text, image=units(rng.normal(size=(60, d)) + near[0]))
    result = compute("RetFail", made)
    np.testing.assert_array_equal(result.ranks.values, reference(made))
    np.testing.assert_array_equal(result.ranks.like[0], reference(made, alone=True))
    images, found = made.splits["forget"].image.astype(np.longdouble), result.retrieved
    everything = np.stack([text[caption] for caption in text]).astype(np.longdouble)
    best = np.sort(images @ everything.T, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(found.cosines, best.astype(float), rtol=0, atol=1e-15 * d)


def test_the_same_caption_on_many_rows_is_one_of_the_gallery(make, compute):
    made = make(["a", "b", "a", "c", "b"] * 4, ["x", "x", "a"])
    result = compute("RetFail", made)
    assert result.ranks.gallery == 1 + 3 + 1
    np.testing.assert_array_equal(result.ranks.values, reference(made))


def test_a_perfect_model_ranks_all_first(make, compute, units):
    basis = np.eye(8, dtype=np.float32)
    made = make([f"f{i}" for i in range(8)], ["r"], text={f"f{i}": basis[i] for i in range(8)}, image=basis)
    made.text["r"] = units(np.ones(8))
    assert means(compute("RetFail", made)) == {"MRR": 1.0, "R@1": 1.0}


@pytest.mark.parametrize("forget, retain", [(10, 7), (1500, 1500)])
def test_a_collapsed_model_ranks_in_the_middle(make, compute, units, forget, retain):
    names = [f"f{i}" for i in range(forget)], [f"r{i}" for i in range(retain)]
    one = units(np.arange(1.0, 9.0))
    made = make(*names, text={c: one for c in (*names[0], *names[1])}, image=np.stack([one] * forget))
    result = compute("RetFail", made)
    rank, gallery = result.ranks.values, min(forget, 1000) + min(retain, 1000)
    in_gallery = np.isin(names[0], draw_gallery(*names)[0])
    np.testing.assert_array_equal(rank, 1 + (gallery - in_gallery) / 2)
    assert means(result)["R@1"] == 0


def test_captions_of_equal_embeddings_share_a_rank(make, compute, rng, units):
    # Pairs of captions the model can't tell apart, at odd places of a matrix of odd size.
    forget = [f"f{i}" for i in range(701)]
    text = {}
    for i in range(0, 701, 2):
        text[f"f{i}"] = text[f"f{i + 1}"] = units(rng.normal(size=37))
    made = make(forget, [f"r{i}" for i in range(333)], d=37, text=text)
    rank = compute("RetFail", made).ranks.values
    np.testing.assert_array_equal(rank, reference(made))
    assert (rank[:-1] % 1 == 0.5).all()
    assert rank[-1] % 1 == 0


def test_different_vectors_of_equal_cosine_tie(make, compute):
    corner = np.array([[1, 1, 1, 1]], dtype=np.float32) / 2
    signs = {"own": [1, 1, 1, -1], "tie": [-1, 1, 1, 1], "below": [1, -1, 1, -1], "above": [1, 1, 1, 1]}
    text = {name: np.array(s, dtype=np.float32) / 2 for name, s in signs.items()}
    result = compute("RetFail", make(["own"], ["tie", "below", "above"], d=4, text=text, image=corner))
    assert result.ranks.values == [2.5]
    result = compute("RetFail", make(["own"], ["tie", "below"], d=4, text=text, image=corner))
    assert means(result) == {"MRR": 1 / 1.5, "R@1": 0.0}


def test_an_own_caption_that_was_drawn_is_no_other_one(make, compute):
    forget = [f"f{i}" for i in range(1400)]
    made = make(forget, [f"r{i}" for i in range(30)])
    pool = draw_gallery(forget, made.splits["retain_disjoint"].captions)[0]
    assert len(pool) == 1000
    one = made.text["f0"]
    made.text |= dict.fromkeys(made.text, one)
    rank = dict(zip(forget, compute("RetFail", made).ranks.values, strict=True))
    assert {rank[c] for c in pool} == {1 + 1029 / 2}
    assert {rank[c] for c in set(forget) - set(pool)} == {1 + 1030 / 2}


def test_the_gallery_is_the_same_however_rows_are_ordered():
    forget, retain = [f"f{i}" for i in range(1500)], [f"r{i}" for i in range(1500)]
    first = draw_gallery(forget, retain)
    assert first == draw_gallery(forget[::-1] + forget, retain[::-1])
    assert [len(set(p)) for p in first] == [1000, 1000]
    assert first[0][:3] == ["f690", "f747", "f317"]  # the draw itself: every published figure hangs on it


def test_a_caption_of_both_sets_is_drawn_once():
    assert draw_gallery(["a", "b"], ["b", "c"])[1] == ["c"]


def of_the_authors(*pools):
    """What their evaluator draws: `np.random.seed(42)` once, then `np.random.choice` for each of its two lists."""
    before = np.random.get_state()
    try:
        np.random.seed(42)
        return [np.random.choice(pool, min(1000, len(pool)), replace=False).tolist() for pool in pools]
    finally:
        np.random.set_state(before)


@pytest.mark.parametrize("forget, retain", [(30, 50), (2000, 1500)])
def test_rows_are_drawn_as_the_authors_draw_them(make, compute, forget, retain):
    # Several rows of one caption, in either set and in both.
    captions = [f"f{i % (forget // 3)}" for i in range(forget)], [f"{'rf'[i % 2]}{i % 20}" for i in range(retain)]
    made = make(*captions)
    made.metrics["RetFail"] = {"draw": "rows"}
    result, pools = compute("RetFail", made), of_the_authors(*captions)
    assert [*map(list, draw_rows(*captions))] == pools
    assert len(set(pools[0])) < len(pools[0]) and set(pools[0]) & set(pools[1])
    expected = reference(made, pools=pools)
    np.testing.assert_array_equal(result.ranks.values, expected)
    np.testing.assert_array_equal(result.ranks.like[0], reference(made, alone=True, pools=pools))
    assert means(result) == {"MRR": np.mean(1 / expected), "R@1": np.mean(expected == 1)}
    assert result.ranks.gallery == 1 + min(forget, 1000) + min(retain, 1000)
    assert result.details["draw"] == "rows" and (expected % 1 == 0).all()
    assert compute("RetFail", make(*captions)).details["draw"] == "distinct"
    shown = [[made_of.captions[i] for i in row if i >= 0] for made_of in [result.retrieved] for row in made_of.found]
    gallery = np.stack([made.text[c] for c in {*pools[0], *pools[1]}])
    for row, image in zip(shown, made.splits["forget"].image, strict=True):
        scores = [float(image.astype(float) @ made.text[c].astype(float)) for c in row]
        assert len(set(row)) == len(row) > 0 and scores == sorted(scores, reverse=True)
        assert scores[0] >= (gallery.astype(float) @ image.astype(float)).max() - 1e-12


@pytest.mark.parametrize("draw", ["distinct", "rows"])
def test_a_caption_drawn_twice_is_as_little_another_one_as_one_drawn_once(make, compute, units, draw):
    one = units(np.arange(1.0, 9.0))
    made = make(["a"] * 5 + ["b"] * 3, ["a", "r"], text=dict.fromkeys("abr", one), image=np.stack([one] * 8))
    made.metrics["RetFail"] = {"draw": draw}
    others = {"distinct": (2, 2), "rows": (4, 7)}[draw]  # all tie: those that are not the own one
    expected = [1 + others[0] / 2] * 5 + [1 + others[1] / 2] * 3
    np.testing.assert_array_equal(compute("RetFail", made).ranks.values, expected)


@pytest.mark.parametrize("wrong", [{"draw": "all"}, {"draws": "rows"}])
def test_what_can_not_be_set_is_an_error(make, compute, wrong):
    made = make(["a", "b"], ["c"])
    made.metrics["RetFail"] = wrong
    with pytest.raises(ValueError, match="what can be set is draw: distinct or rows"):
        compute("RetFail", made)


def test_embeddings_that_are_not_finite_are_an_error(make, compute):
    made = make(["a", "b"], ["c"])
    made.splits["forget"].image[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        compute("RetFail", made)
