"""The goals, the loss, and what they are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from salmu_core import LearningRate, MethodContext, MethodError, Search, Step, TrainingConfig, Weight
from salmu_counterfactual.request import Fact, Mixture, Request

#: open_clip's standard deviation of a new token embedding, and how many times as long a row is that was trained.
NEW, TRAINED = 0.02, 1.5
#: Share of the budget, at most, that the goals are placed by.
PLACING = 0.05
#: Learned words of which there must be as many, or all are taken.
ENOUGH = 100
#: How far each forget row was from its goal when it was last looked at ``[rows]``.
DISTANCES = "distances"
#: Length of what is left of a vector by rounding alone, relative to it.
ROUNDING = 1e-4
#: Words made of two others that are tried.
JOINED = 8_192


class Config(TrainingConfig, Mixture):
    """Settings of Counterfactual."""

    lr: LearningRate = 2.5e-3
    batch_size: int = Field(default=8, ge=1, description="Forget captions, and as many retain captions, in one step.")
    warmup: float = Field(default=0.05, ge=0, le=1, description="Share of the steps with linear warm-up.")
    restated: int = Field(default=16, ge=0, description="Forget facts in other words, in one step.")
    counterfactuals: int = Field(default=128, ge=1, description="Counterfactual captions in one step.")
    sentences: int = Field(default=40, ge=1, description="Counterfactual captions that are drawn for each forget row.")
    most: int = Field(default=65_536, ge=1, description="Of all of them, at most.")
    words: Literal["known", "all"] = Field(
        default="known",
        description="What names are invented of: tokens whose embedding the model has learned, or all tokens.",
    )
    looked_at: int = Field(default=512, ge=1, description="Pairs of each set that the goals are placed by, at most.")
    level: float | None = Field(
        default=None, gt=-1, lt=1, description="The goals' cosine with the images; absent: the retain captions'."
    )
    stranger: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="How far goals lie from what captions share, towards the words about a stranger.",
    )
    forget_weight: Annotated[Weight, Search(0.25, 20, log=True)] = Field(
        default=2.25, description="Weight of forget captions' distance from their goals."
    )
    restated_weight: float = Field(default=1.0, ge=0, description="Weight of restated facts' distance from theirs.")
    tail_weight: Annotated[Weight, Search(0.3, 30, log=True)] = Field(
        default=3.0, description="Weight of the squares of both, by which the furthest count most."
    )
    keep_weight: Annotated[Weight, Search(0.3, 30, log=True)] = Field(
        default=3.0, description="Weight of counterfactual captions' distance."
    )
    retain_weight: float = Field(default=1.0, ge=0, description="Weight of retain captions' distance.")


#: Embeddings of texts, and where they should be.
Aimed = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Goals:
    """Where the captions of forget rows go: unit vectors, as near to images as retain captions are, and to no person's.

    Attributes:
        axis: The direction of the images' mean ``[d]``.
        level: The goals' cosine with it.
        people: For each row the direction in which its person's images differ from the mean ``[rows, d]``; zero where
            none were seen, or nobody else's.
        common: What captions have in common ``[d]``.
        stranger: How far a goal lies from that, from 0 to 1, towards what is said of a stranger.
    """

    axis: Tensor
    level: Tensor
    people: Tensor
    common: Tensor
    stranger: float

    @classmethod
    def placed(
        cls,
        config: Config,
        texts: Tensor,
        images: Tensor,
        rows: Tensor,
        people: Sequence[str | None],
        retain: Tensor,
    ) -> Self:
        """Find where the people's images lie.

        Args:
            config: The level, if it is given, and how far goals lie from what captions have in common.
            texts: The original's embeddings of counterfactual captions ``[n, d]``.
            images: Its embeddings of some forget images ``[m, d]``.
            rows: Of which rows ``[m]``.
            people: Who each row is about ``[rows]``.
            retain: Its embeddings of retain captions ``[k, d]``.
        """
        axis = normalize(images.mean(dim=0), dim=0)
        numbers = {person: number for number, person in enumerate(dict.fromkeys(people))}
        whose = torch.tensor([numbers[person] for person in people], device=images.device)
        sums = images.new_zeros(len(numbers), images.shape[1]).index_add_(0, whose[rows], images)
        if None in numbers:
            sums[numbers[None]] = 0  # one looks like another
        level = (retain @ axis).mean() if config.level is None else axis.new_tensor(config.level)
        return cls(axis, level, _aside(sums, axis)[whose], texts.mean(dim=0), config.stranger)

    def of(self, rows: Sequence[int] | Tensor, strangers: Tensor | None = None) -> Tensor:
        """Goals ``[n, d]`` of captions.

        Args:
            rows: Of which rows they tell the facts ``[n]``.
            strangers: The original's embeddings of what they would say of a stranger ``[n, d]``.
        """
        people = self.people[rows]
        goals = _aside(_aside(self.common.expand_as(people), self.axis), people)
        if strangers is not None:
            goals = torch.lerp(goals, _aside(_aside(strangers, self.axis), people), self.stranger)
        return self.level * self.axis + (1 - self.level**2).sqrt() * normalize(goals, dim=-1)


def _aside(texts: Tensor, axes: Tensor) -> Tensor:
    """The directions of texts ``[n, d]`` without what they have of unit vectors ``[d]`` or ``[n, d]``, or zero."""
    rest = texts - (texts * axes).sum(dim=-1, keepdim=True) * axes
    return normalize(rest * (rest.norm(dim=-1) > ROUNDING * texts.norm(dim=-1))[:, None], dim=-1)


def terms(config: Config, forget: Aimed, restated: Aimed, kept: Aimed, retain: Aimed) -> dict[str, Tensor]:
    """The loss, of unit vectors under the model, and of those that they should be.

    Args:
        config: Weights.
        forget: Embeddings of forget captions, and their goals, each ``[n, d]``.
        restated: The same of restated facts, each ``[m, d]``; there may be none.
        kept: Embeddings of counterfactual captions under the model and under the original, each ``[k, d]``.
        retain: The same of retain captions, each ``[r, d]``.
    """
    gone, told, beside, others = (
        (texts - goals).square().sum(dim=-1) for texts, goals in (forget, restated, kept, retain)
    )
    found = {
        "forget": config.forget_weight * gone.mean(),
        "tail": config.tail_weight * torch.cat([gone, told]).square().mean(),
        "keep": config.keep_weight * beside.mean(),
        "retain": config.retain_weight * others.mean(),
    }
    return found | ({"restated": config.restated_weight * told.mean()} if len(told) else {})


@dataclass(frozen=True)
class Editing:
    """What the loss needs in every step.

    Attributes:
        request: What is to be forgotten.
        strangers: Who stands for whom, by row.
        goals: Where forget captions go.
        own: The goal of each forget caption ``[rows, d]``.
        sentences: Counterfactual captions.
        embeddings: Of these under the original ``[n, d]``.
        asked: Forget captions as the model reads them.
    """

    request: Request
    strangers: Mapping[int, Fact]
    goals: Goals
    own: Tensor
    sentences: Sequence[str]
    embeddings: Tensor
    asked: frozenset[bytes]

    def loss(self, ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
        """Captions, facts in other words, and counterfactuals, through the text tower together."""
        config, random = ctx.config, _random(ctx)
        distances = ctx.state[DISTANCES]
        rows, restated, of_strangers = self._in_other_words(ctx, distances, random)
        numbers = [random.randrange(len(self.sentences)) for _ in range(config.counterfactuals)]
        forget, retain = step.forget.captions, step.retain.captions
        texts = ctx.embed_texts([*forget, *restated, *(self.sentences[n] for n in numbers), *retain])
        gone, told, kept, others = torch.split(texts, [len(forget), len(restated), len(numbers), len(retain)])
        own = goals = self.own[step.forget.index]
        distances[step.forget.index] = (gone - own).detach().float().square().sum(dim=-1)
        if rows:
            goals = self.goals.of(rows, ctx.reference_texts(of_strangers))
            distances[rows] = (told - goals).detach().float().square().sum(dim=-1)
        return terms(
            config,
            (gone, own),
            (told, goals[: len(rows)]),
            (kept, self.embeddings[numbers]),
            (others, ctx.reference_features(step.retain).text),
        )

    def _in_other_words(
        self, ctx: MethodContext[Config], distances: Tensor, random: Random
    ) -> tuple[list[int], list[str], list[str]]:
        """Rows, most of them far from their goals; of each its fact in other words, and a stranger's in the same."""
        telling = self.request.telling
        weights = distances[telling].nan_to_num(nan=1.0).tolist()
        drawn = random.choices(telling, weights, k=ctx.config.restated) if telling else []
        facts = [(row, self.request.in_other_words(row, random, self.strangers[row])) for row in drawn]
        facts = [(row, fact) for row, fact in facts if fact]
        # What is other words to people may be a forget caption once the context has cut off its end.
        read = as_read(ctx, [own for _, (own, _) in facts])
        facts = [each for each, ids in zip(facts, read, strict=True) if ids not in self.asked]
        return [row for row, _ in facts], [own for _, (own, _) in facts], [other for _, (_, other) in facts]


def unlearn(ctx: MethodContext[Config]) -> None:
    """Draw the counterfactuals, place the goals, edit the text tower."""
    config, random = ctx.config, _random(ctx)
    request = Request(ctx.forget, words_of(ctx, random), config)
    ctx.log("rows_without_name", len(ctx.forget) - len(request.named))
    ctx.log("rows_without_value", len(ctx.forget) - len(request.telling))
    count = min(config.sentences * len(request.named), config.most)
    asked = frozenset(as_read(ctx, ctx.forget.captions))
    drawn = [request.counterfactual(random) for _ in range(count)]
    sentences = [text for text, ids in zip(drawn, as_read(ctx, drawn), strict=True) if ids not in asked]
    if not sentences:
        raise MethodError(
            "the model's context cuts every sentence off before what tells it from a forget caption, so it can't be "
            "kept from saying the one by what it says of the other"
        )
    embeddings = ctx.reference_texts(sentences)
    size = max(1, min(config.looked_at, int(PLACING * ctx.budget.forget)))
    looked_at = next(ctx.batches("forget", size))
    images = ctx.reference_features(looked_at).image
    rows = torch.from_numpy(looked_at.index).to(images.device)
    retain = ctx.reference_features(next(ctx.batches("retain", size))).text
    goals = Goals.placed(config, embeddings, images, rows, ctx.forget.identity_ids, retain)
    own, strangers = goals.of(range(len(ctx.forget))), request.strangers(random)
    of_strangers = [request.about(row, of) for row, of in strangers.items()]
    own[list(strangers)] = goals.of(list(strangers), ctx.reference_texts(of_strangers))
    editing = Editing(request, strangers, goals, own, sentences, embeddings, asked)
    ctx.state[DISTANCES] = own.new_full((len(own),), 2.0)
    ctx.fit(editing.loss, params=of_text)
    del ctx.state[DISTANCES]


def of_text(name: str) -> bool:
    """Whether a parameter is the text tower's."""
    return not name.startswith("visual.") and name not in ("logit_scale", "logit_bias")


def words_of(ctx: MethodContext[Config], random: Random) -> list[str]:
    """Words that names are invented of: one of the tokenizer's, or two in one.

    A row of the table of token embeddings that no caption ever looked up is as long as it was when the training began.

    Raises:
        MethodError: The model has no such table, or its tokens are no words.
    """
    parts = [part for name, part in ctx.model.named_modules() if isinstance(part, nn.Embedding) and of_text(name)]
    table = max((part.weight.detach() for part in parts), key=len, default=None)
    if table is None:
        raise MethodError("the text tower has no table of token embeddings, by which its words could be told")
    words = {
        number: token.removesuffix("</w>").lstrip("Ġ▁#")
        for number, token in sorted(ctx.vocabulary().items())
        if number < len(table)
    }
    words = {number: word for number, word in words.items() if word.isascii() and word.isalpha()}
    trained = table.norm(dim=1) > TRAINED * NEW * table.shape[1] ** 0.5
    if ctx.config.words == "all" or sum(bool(trained[number]) for number in words) < ENOUGH:
        trained = torch.ones_like(trained)
    known = [word for number, word in words.items() if trained[number]]
    if not known:
        raise MethodError("the tokenizer's vocabulary has no words of letters, of which names could be invented")
    joined = [word + random.choice(known) for word in random.choices(known, k=JOINED)]
    names = [word.title() for word in dict.fromkeys([*known, *joined])]
    ids = ctx.tokenize(["", *names]).to(trained.device)
    trained[ids[0]] = True  # what stands around every text
    return [name for name, fits in zip(names, trained[ids[1:]].all(dim=1).tolist(), strict=True) if fits] or names


def as_read(ctx: MethodContext[Any], texts: Sequence[str]) -> list[bytes]:
    """Token ids of texts, as something that can be looked up: texts that differ behind the context's end are equal."""
    return [row.tobytes() for row in ctx.tokenize(texts).cpu().numpy()] if texts else []


def _random(ctx: MethodContext[Any]) -> Random:
    """A source of choices, drawn from the run's own."""
    return Random(int(torch.randint(2**62, (), generator=ctx.rng)))
