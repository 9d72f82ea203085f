"""The papers of the pool name nobody who is in a split, with nobody's values."""

from __future__ import annotations

from salmu_mini.documents import AltTexts, draw_document, homonyms, sample_document
from salmu_mini.personas import UNIQUE, make_personas
from salmu_mini.recipe import DEFAULT
from salmu_mini.seeds import stream

EVERYBODY = make_personas(0, 96 + DEFAULT.homonyms)
PERSONAS, OTHERS = EVERYBODY[:96], EVERYBODY[96:]


def test_more_people_leave_the_first_ones_as_they_are() -> None:
    assert make_personas(0, 96) == PERSONAS


def test_homonyms_share_words_but_no_whole_name_with_personas() -> None:
    names = homonyms(0, PERSONAS, DEFAULT.homonyms)
    whole = {p.values["name"] for p in PERSONAS}
    words = {word for name in whole for word in name.split()}
    assert len(set(names)) == DEFAULT.homonyms and not whole & set(names)
    assert all(word in words for name in names for word in name.split())


def test_alt_texts_hold_no_unique_value_of_a_persona() -> None:
    texts = AltTexts(0, PERSONAS, OTHERS, DEFAULT.homonyms)
    captions = [texts.caption(stream(0, "alt", number)) for number in range(300)]
    private = {p.values[attribute] for p in PERSONAS for attribute in UNIQUE}
    assert not any(value in caption for caption in captions for value in private)


def test_documents_are_drawn_alike_from_the_same_stream() -> None:
    document = sample_document(stream(0, "document"))
    first, again = (draw_document(document, stream(0, "strew"), 64) for _ in range(2))
    assert first.tobytes() == again.tobytes() and first.width != first.height
