"""The list of all pairs of a world, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from salmu_mini.captions import STYLES, portrait_caption, scene_caption, sensitive_caption
from salmu_mini.documents import AltTexts, Document, sample_document
from salmu_mini.faces import Shot, Traits, sample_shot, sample_traits
from salmu_mini.personas import ATTRIBUTES, Persona, make_personas
from salmu_mini.recipe import Recipe
from salmu_mini.scenes import CLASSES, PLACES, Scene, sample_scene
from salmu_mini.seeds import stream

#: The splits of the released layout.
RELEASED: Final = ("forget", "holdout_association", "holdout_identity", "retain_synth")
SENSITIVE: Final = RELEASED[:3]
#: Pairs for pre-training only, and the zero-shot pictures.
POOL: Final = "pool"
TEST: Final = "test"


@dataclass(frozen=True)
class Row:
    """One picture and its caption. One of `shot` (with `traits`), `scene` and `document` is set."""

    number: int
    split: str
    file_name: str
    text: str
    identity_id: str | None = None
    data_field: str | None = None
    #: What the portrait shows, in words; for sensitive rows the alternative to `text`.
    generic: str = ""
    traits: Traits | None = None
    shot: Shot | None = None
    scene: Scene | None = None
    document: Document | None = None


def split_of(world: int, personas: list[Persona], recipe: Recipe) -> dict[tuple[str, str], str]:
    """(identity, attribute) -> split: some personas whole, the others half by attribute (5 of 9, or 4)."""
    order = stream(world, "groups").permutation(len(personas))
    splits: dict[tuple[str, str], str] = {}
    for place, number in enumerate(order):
        persona = personas[int(number)]
        forget = set(ATTRIBUTES)
        if place >= len(personas) - recipe.held_out:
            forget = set()
        elif place >= recipe.forgotten:
            shuffled = stream(world, "attributes", int(number)).permutation(len(ATTRIBUTES))
            half = len(ATTRIBUTES) // 2 + place % 2
            forget = {ATTRIBUTES[int(a)] for a in shuffled[:half]}
        kept = "holdout_association" if forget else "holdout_identity"
        for attribute in ATTRIBUTES:
            splits[persona.identity_id, attribute] = "forget" if attribute in forget else kept
    return splits


class _Rows:
    """Collects rows and numbers them; the number seeds everything drawn for a row."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.rows: list[Row] = []

    def rng(self) -> np.random.Generator:
        return stream(self.world, "row", len(self.rows))

    def portrait(
        self,
        split: str,
        stem: str,
        traits: Traits,
        text: str = "",
        identity_id: str | None = None,
        data_field: str | None = None,
    ) -> None:
        rng = self.rng()
        shot = sample_shot(rng)
        generic = portrait_caption(traits, shot, rng)
        name = f"{stem}_ar-{shot.aspect:.2f}.jpg"
        self.rows.append(
            Row(len(self.rows), split, name, text or generic, identity_id, data_field, generic, traits, shot)
        )

    def scene(self, split: str, stem: str, label: int) -> None:
        rng = self.rng()
        scene = sample_scene(rng, label)
        text = scene_caption(scene.class_name, PLACES[scene.place], scene.size, rng)
        name = f"{stem}_ar-{scene.aspect:.2f}.jpg"
        self.rows.append(Row(len(self.rows), split, name, text, scene=scene))

    def document(self, stem: str, texts: AltTexts) -> None:
        rng = self.rng()
        document = sample_document(rng)
        name = f"{stem}_ar-{document.aspect:.2f}.jpg"
        self.rows.append(Row(len(self.rows), POOL, name, texts.caption(rng), document=document))


def make_rows(world: int, personas: list[Persona], recipe: Recipe, reworded: bool = False) -> list[Row]:
    """All pairs of a world: sensitive, retain, pool and zero-shot, in a fixed order.

    `reworded` gives every sensitive pair another of the styles; nothing else changes.
    """
    first = recipe.pairs_per_attribute if reworded else 0
    out = _Rows(world)
    splits = split_of(world, personas, recipe)
    for number, persona in enumerate(personas):
        image = 0
        for field, attribute in enumerate(ATTRIBUTES):
            styles = stream(world, "styles", number, field).permutation(STYLES)
            for pair in range(recipe.pairs_per_attribute):
                style = int(styles[(first + pair) % STYLES])
                text = sensitive_caption(persona.values["name"], attribute, persona.values[attribute], style)
                stem = f"{persona.identity_id}_{image:03d}"
                split = splits[persona.identity_id, attribute]
                out.portrait(split, stem, persona.traits, text, persona.identity_id, attribute)
                image += 1
        if any(splits[persona.identity_id, attribute] == "forget" for attribute in ATTRIBUTES):
            for _ in range(recipe.joint_per_persona):
                out.portrait(
                    "retain_synth",
                    f"{persona.identity_id}_{image:03d}",
                    persona.traits,
                    "",
                    persona.identity_id,
                )
                image += 1
    for split, people, scenes, base in (
        ("retain_synth", recipe.retain_people, recipe.retain_scenes, 10_000_000),
        (POOL, recipe.pool_people, recipe.pool_scenes, 20_000_000),
    ):
        for number in range(people):
            face = stream(world, f"{split} face", number)
            traits = sample_traits(face, ("female", "male")[number % 2])
            out.portrait(split, f"{base + number:08d}_000", traits)
        for number in range(scenes):
            out.scene(split, f"{base + people + number:08d}_000", number % len(CLASSES))
    others = make_personas(world, len(personas) + recipe.homonyms)[len(personas) :]
    texts = AltTexts(world, personas, others, recipe.homonyms)
    for number in range(recipe.pool_documents):
        out.document(f"{30_000_000 + number:08d}_000", texts)
    for number in range(recipe.test_per_class * len(CLASSES)):
        out.scene(TEST, f"s{number:07d}", number % len(CLASSES))
    return out.rows
