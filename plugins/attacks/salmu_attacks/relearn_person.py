"""Relearning a person: train on some pairs of each forgotten person, and see whether their other facts come back."""

from collections.abc import Hashable, Iterator
from random import Random

from pydantic import Field

from salmu_attacks import relearning
from salmu_attacks.relearning import CODE, DEPARTURES, PAPER, leaked_loss, relearn
from salmu_core import AttackSpec, ModelAttackContext, NotMeasuredError, Pairs, Stage


class Config(relearning.Config):
    """Settings of the relearning."""

    pairs: int = Field(
        default=4, ge=1, description="Pairs of each person that leaked; of who has fewer in half of the facts, those."
    )


def leaked(pairs: Pairs, config: Config, random: Random) -> list[int]:
    """Rows at random of half of each person's facts; of who has one fact, none, as nothing would be left to score."""
    people: dict[str, dict[Hashable, list[int]]] = {}
    for row, (person, fact) in enumerate(zip(pairs.identity_ids, pairs.facts, strict=True)):
        if person is not None:
            people.setdefault(person, {}).setdefault(fact, []).append(row)
    chosen: list[int] = []
    for facts in people.values():
        told = random.sample([*facts.values()], len(facts) // 2)
        rows = [row for fact in told for row in fact]
        chosen += random.sample(rows, min(config.pairs, len(rows)))
    if len(chosen) < 2:  # a contrastive loss of one pair is 0
        raise NotMeasuredError("too few people have two facts, of which one could leak and the other be scored")
    return chosen


def attack(ctx: ModelAttackContext[Config]) -> Iterator[Stage]:
    """CLIP's own loss on leaked pairs."""
    return relearn(ctx, leaked_loss)


RELEARN_PERSON = AttackSpec(
    name="relearn-person",
    summary="Fine-tune on a few pairs of each forgotten person: do their other facts come back with them?",
    paper=PAPER,
    code=CODE,
    departures=DEPARTURES + " There, k samples of a class leaked; here, of a person, from at most half of the person's "
    "facts. A fact of which a pair leaked is not scored, in other words neither.",
    config=Config,
    given=("leaked",),
    leaked=leaked,
    whole_facts=True,
    model=attack,
)
