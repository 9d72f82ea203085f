"""The anchor, the loss, and what they are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from salmu_core import LearningRate, MethodContext, MethodError, Step, TrainingConfig, Weight
from salmu_counterfactual.request import Mixture, Request

#: open_clip's standard deviation of a new token embedding, and how many times as long a row is that was trained.
NEW, TRAINED = 0.02, 1.5
#: Share of the budget, at most, that the anchor is placed by.
PLACING = 0.05
#: Learned words of which there must be as many, or all are taken.
ENOUGH = 100


class Config(TrainingConfig, Mixture):
    """Settings of Counterfactual."""

    lr: LearningRate = 2.5e-3
    batch_size: int = Field(default=8, ge=1, description="Forget captions, and as many retain captions, in one step.")
    warmup: float = Field(default=0.05, ge=0, le=1, description="Share of the steps with linear warm-up.")
    restated: int = Field(default=16, ge=0, description="Forget facts in other words, in one step.")
    counterfactuals: int = Field(default=96, ge=1, description="Counterfactual captions in one step.")
    sentences: int = Field(default=40, ge=1, description="Counterfactual captions that are drawn for each forget row.")
    most: int = Field(default=65_536, ge=1, description="Of all of them, at most.")
    words: Literal["known", "all"] = Field(
        default="known",
        description="What names are invented of: tokens whose embedding the model has learned, or all tokens.",
    )
    looked_at: int = Field(default=512, ge=1, description="Pairs of each set that the anchor is placed by, at most.")
    level: float | None = Field(
        default=None, gt=-1, lt=1, description="The anchor's cosine with the images; absent: the retain captions'."
    )
    forget_weight: Weight = Field(default=1.5, description="Weight of forget captions' distance from the anchor.")
    restated_weight: Weight = Field(default=0.75, description="Weight of restated facts' distance from it.")
    tail_weight: Weight = Field(
        default=2.0, description="Weight of the squares of both, by which the furthest count most."
    )
    keep_weight: Weight = Field(default=2.0, description="Weight of counterfactual captions' distance.")
    retain_weight: Weight = Field(default=1.0, description="Weight of retain captions' distance.")


#: Embeddings of the same texts under the model and under the original.
Twice = tuple[Tensor, Tensor]


def anchor_of(texts: Tensor, images: Tensor, retain: Tensor, level: float | None = None) -> Tensor:
    """Where forget captions go: what counterfactual captions have in common, as near to the images as any caption.

    Args:
        texts: The original's embeddings of counterfactual captions ``[n, d]``.
        images: Its embeddings of forget images ``[m, d]``.
        retain: Its embeddings of retain captions ``[k, d]``.
        level: Cosine with the mean image; by default the retain captions'.

    Returns:
        A unit vector ``[d]``.
    """
    axis, common = normalize(images.mean(dim=0), dim=0), texts.mean(dim=0)
    height = (retain @ axis).mean() if level is None else axis.new_tensor(level)
    aside = normalize(common - (common @ axis) * axis, dim=0)
    anchor: Tensor = height * axis + (1 - height**2).sqrt() * aside
    return anchor


def terms(config: Config, gone: Sequence[Tensor], anchor: Tensor, kept: Twice, retain: Twice) -> dict[str, Tensor]:
    """The loss, of unit vectors.

    Args:
        config: Weights.
        gone: Embeddings ``[n, d]`` of forget captions, and of restated facts ``[m, d]``, of which there may be none.
        anchor: Where they go ``[d]``.
        kept: Embeddings of counterfactual captions under the model and under the original, each ``[k, d]``.
        retain: The same of retain captions, each ``[r, d]``.
    """
    forget, restated = ((texts - anchor).square().sum(dim=-1) for texts in gone)
    found = {
        "forget": config.forget_weight * forget.mean(),
        "tail": config.tail_weight * torch.cat([forget, restated]).square().mean(),
        "keep": config.keep_weight * (kept[0] - kept[1]).square().sum(dim=-1).mean(),
        "retain": config.retain_weight * (retain[0] - retain[1]).square().sum(dim=-1).mean(),
    }
    return found | ({"restated": config.restated_weight * restated.mean()} if len(restated) else {})


@dataclass(frozen=True)
class Editing:
    """What the loss needs in every step.

    Attributes:
        request: What is to be forgotten.
        anchor: Where it goes ``[d]``.
        sentences: Counterfactual captions.
        embeddings: Of these under the original ``[n, d]``.
    """

    request: Request
    anchor: Tensor
    sentences: Sequence[str]
    embeddings: Tensor

    def loss(self, ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
        """Captions, facts in other words, and counterfactuals, through the text tower together."""
        config, random = ctx.config, _random(ctx)
        rows, count = self.request.telling, config.restated if self.request.telling else 0
        forget = [*step.forget.captions]
        facts = (self.request.restated(random.choice(rows), random) for _ in range(count))
        restated = [fact for fact in facts if fact]
        numbers = [random.randrange(len(self.sentences)) for _ in range(config.counterfactuals)]
        retain = step.retain.captions
        texts = ctx.embed_texts([*forget, *restated, *(self.sentences[n] for n in numbers), *retain])
        *gone, kept, others = torch.split(texts, [len(forget), len(restated), len(numbers), len(retain)])
        before = ctx.reference_features(step.retain).text
        return terms(config, gone, self.anchor, (kept, self.embeddings[numbers]), (others, before))


def unlearn(ctx: MethodContext[Config]) -> None:
    """Draw the counterfactuals, place the anchor, edit the text tower."""
    config, random = ctx.config, _random(ctx)
    request = Request(ctx.forget, words_of(ctx), config)
    ctx.log("rows_without_name", len(ctx.forget) - len(request.named))
    ctx.log("rows_without_value", len(ctx.forget) - len(request.telling))
    count = min(config.sentences * len(request.named), config.most)
    sentences = [request.counterfactual(random) for _ in range(count)]
    embeddings = ctx.reference_texts(sentences)
    size = max(1, min(config.looked_at, int(PLACING * ctx.budget.forget)))
    images = ctx.reference_features(next(ctx.batches("forget", size))).image
    retain = ctx.reference_features(next(ctx.batches("retain", size))).text
    editing = Editing(request, anchor_of(embeddings, images, retain, config.level), sentences, embeddings)
    ctx.fit(editing.loss, params=of_text)


def of_text(name: str) -> bool:
    """Whether a parameter is the text tower's."""
    return not name.startswith("visual.") and name not in ("logit_scale", "logit_bias")


def words_of(ctx: MethodContext[Config]) -> list[str]:
    """Words, and parts of words, that names are invented of.

    A row of the table of token embeddings that no caption ever looked up is as long as it was when the training began.

    Raises:
        MethodError: The model has no such table, or its tokens are no words.
    """
    tokens = ctx.vocabulary()
    parts = [part for name, part in ctx.model.named_modules() if isinstance(part, nn.Embedding) and of_text(name)]
    table = max((part.weight.detach() for part in parts), key=len, default=None)
    if table is None:
        raise MethodError("the text tower has no table of token embeddings, by which its words could be told")
    words = {
        number: token.removesuffix("</w>").lstrip("Ġ▁#") for number, token in tokens.items() if number < len(table)
    }
    words = {number: word for number, word in words.items() if word.isascii() and word.isalpha()}
    trained = table.norm(dim=1) > TRAINED * NEW * table.shape[1] ** 0.5
    known = [word for number, word in sorted(words.items()) if trained[number]]
    if ctx.config.words == "all" or len(known) < ENOUGH:
        known = [word for _, word in sorted(words.items())]
    if not known:
        raise MethodError("the tokenizer's vocabulary has no words of letters, of which names could be invented")
    return known


def _random(ctx: MethodContext[Any]) -> Random:
    """A source of choices, drawn from the run's own."""
    return Random(int(torch.randint(2**62, (), generator=ctx.rng)))
