"""Text to image: ask by a caption for the person's picture, where everything else asks by a picture for captions."""

from typing import Any

from salmu_core import AttackSpec, Query, QueryContext


def attack(ctx: QueryContext[Any]) -> Query:
    """Every forget row, the other way round."""
    return Query(exchanged=True)


TEXT_TO_IMAGE = AttackSpec(
    name="text-to-image",
    summary="Ask by the forgotten captions for their images, among those of others: does a name still find a face?",
    paper="https://arxiv.org/abs/2103.00020",
    departures="Retrieval in both directions is how the paper judges such a model; as an attack on what was unlearned "
    "this one is ours.",
    query=attack,
)
