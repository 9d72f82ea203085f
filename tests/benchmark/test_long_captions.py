"""Captions that are longer than a model reads are counted, and those whose private value it never sees."""

import pytest

from salmu_core.benchmark.tokens import tell_cut
from salmu_core.clip.load import load_clip
from salmu_core.disk import notes


@pytest.fixture
def said(tiny, monkeypatch, caplog):
    monkeypatch.setattr(notes.LOG, "propagate", True)
    monkeypatch.setattr(notes, "_said", set())
    clip = load_clip(tiny / "compromised")  # of 20 tokens, two of which are the beginning and the end

    def told(*words):
        caplog.clear()
        tell_cut(clip, "forget", *words)
        return [record.getMessage() for record in caplog.records]

    return told


def words(number):
    """A text of so many tokens."""
    return " ".join(["cat"] * number)


@pytest.mark.parametrize("number", [1, 17, 18])
def test_what_fits_is_not_cut_though_it_fills_the_context(said, number):
    assert said([words(number)] * 3, ["cat"] * 3) == []


def test_what_is_longer_is_counted_and_so_are_values_that_are_not_seen(said):
    captions = [words(19), words(3), f"dog {words(30)}", f"{words(30)} dog", f"{words(16)} dog {words(9)}"]
    captions += [words(18)] * 20
    values = ["cat", "cat", "dog", "dog", "dog"] + [None] * 20
    (sentence,) = said(captions, values)
    assert "4 of 25 captions of forget are longer than the 20 tokens" in sentence
    assert "and in 1 of them the private value" in sentence
    (sentence,) = said(captions)
    assert "private" not in sentence


def test_the_tiny_benchmarks_captions_fit(said, tiny):
    from salmu_core.benchmark.splits import read_evaluation

    data = read_evaluation(tiny, tiny / "zeroshot")
    values = data.values("holdout_identity")
    assert data.values("retain_synth") == () and len(values) == 8 and all(values)
    assert all(value in caption for value, caption in zip(values, data.base["holdout_identity"].captions, strict=True))
    for split, rows in data.base.items():
        assert said(rows.captions, data.values(split)) == []
