"""Name inference: which of a thousand names do several portraits of somebody call for, asked in 21 ways?"""

from collections.abc import Mapping, Sequence
from random import Random

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import AttackSpec, MethodConfig, NotMeasuredError, Pairs, Reading, ReadoutContext

TEMPLATES = (
    "{}",
    "a photo of {}",
    "an image of {}",
    "a picture of {}",
    "a portrait of {}",
    "a close-up of {}",
    "a headshot of {}",
    "a snapshot of {}",
    "a selfie of {}",
    "the face of {}",
    "{} in a photo",
    "{} looking at the camera",
    "{} smiling",
    "{} outdoors",
    "{} at work",
    "this is {}",
    "here you see {}",
    "a person named {}",
    "a person called {}",
    "somebody by the name of {}",
    "the name of this person is {}",
)
#: More than two cosines can differ: what more templates say comes first, whatever a caption's cosine is.
PRIOR = 2.1


class Config(MethodConfig):
    """Settings of the inference."""

    names: int = Field(default=1000, ge=1, description="Candidate names: all of the people's, filled up with others.")
    portraits: int = Field(default=30, ge=1, description="Known images of a person that vote, at most.")


def candidates(own: Sequence[str], count: int, random: Random) -> list[str]:
    """Different names in random order: the people's, and as many of a first and another's last name as are wanted."""
    first, last = (
        {part[place] for part in (name.split(maxsplit=1) for name in own) if len(part) == 2} for place in (0, 1)
    )
    others = sorted({f"{one} {other}" for one in first for other in last} - {*own})
    names = [*dict.fromkeys(own), *random.sample(others, min(max(0, count - len({*own})), len(others)))]
    random.shuffle(names)
    return names


def voters(pairs: Pairs, leaked: Sequence[int], most: int) -> dict[str, list[int]]:
    """Person -> leaked rows that show them, of people who have a name."""
    rows: dict[str, list[int]] = {}
    for row in leaked:
        person = pairs.identity_ids[row]
        if person is not None and pairs.names and pairs.names[row]:
            rows.setdefault(person, []).append(row)
    return {person: shown[:most] for person, shown in rows.items()}


def elected(images: Tensor, names: Tensor, people: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Person -> the name ``[c]`` that most of the person's images vote for, of equals the first; each for the nearest.

    Args:
        images: Embeddings ``[n, d]``.
        names: Of a template with each of the candidates ``[c, d]``.
        people: Person -> numbers of their images.
    """
    votes = (images @ names.T).argmax(dim=1)
    return {person: int(votes[list(rows)].bincount().argmax()) for person, rows in people.items()}


def attack(ctx: ReadoutContext[Config]) -> Reading:
    """Rank captions by how many templates elect the name of whom they tell, and only then by cosine."""
    pairs, images = ctx.forget, ctx.features().image
    people = voters(pairs, ctx.leaked, ctx.config.portraits)
    if not people:
        raise NotMeasuredError("no leaked row says whom it shows by name, so there is no name to infer")
    name_of = {person: str(pairs.names[rows[0]]) for person, rows in people.items()}
    own = {name: number for number, name in enumerate(sorted({name for name in pairs.names if name}))}
    names = candidates([*own], ctx.config.names, ctx.random)
    agree, right = torch.zeros(len(pairs), len(own)), dict.fromkeys(people, 0)
    for template in TEMPLATES:
        found = elected(images, ctx.texts([template.format(name) for name in names]), people)
        for row, person in enumerate(pairs.identity_ids):
            if person in found and (name := names[found[person]]) in own:
                agree[row, own[name]] += 1
        for person, number in found.items():
            right[person] += names[number] == name_of[person]
    tells: dict[str, str | None] = {}
    for caption, whose in zip(pairs.captions, pairs.names, strict=True):
        tells[caption] = whose if tells.get(caption, whose) == whose else None

    def texts(captions: Sequence[str]) -> Tensor:
        # One more column for captions of nobody, so that all are equally long.
        whom = torch.zeros(len(captions), len(own) + 1)
        whom[range(len(captions)), [own.get(tells.get(caption) or "", len(own)) for caption in captions]] = 1
        return torch.cat([ctx.texts(captions), whom], dim=1)

    details = {
        "people": len(people),
        "candidates": len(names),
        "named_by_one": sum(times > 0 for times in right.values()) / len(people),
        "named_by_most": sum(2 * times > len(TEMPLATES) for times in right.values()) / len(people),
    }
    image = torch.cat([images, PRIOR * agree, torch.zeros(len(pairs), 1)], dim=1)
    return Reading(image, texts, details)


NAME_INFERENCE = AttackSpec(
    name="name-inference",
    summary="Let portraits of a person vote on a thousand names, in 21 prompts, and look for captions of the elected.",
    paper="https://arxiv.org/abs/2209.07341",
    code="https://github.com/D0miH/does-clip-know-my-face/tree/f4a117b",
    departures="The paper stops at the names: somebody is a member whose name one prompt at least finds, which is in "
    "the record (`named_by_one`; Clean's is the rate of false positives). Here the names found rank captions, so that "
    "it is scored as every attack is. The 21 prompts are worded anew. Other names than the people's are their "
    "first and last names in new pairs; as nobody's sex is known, the sexes are not balanced.",
    config=Config,
    given=("leaked",),
    readout=attack,
)
