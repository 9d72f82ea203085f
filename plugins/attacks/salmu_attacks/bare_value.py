"""Bare values: ask for what a caption tells without the sentence that was unlearned."""

from collections.abc import Iterator
from typing import Any

from salmu_core import AttackSpec, NotMeasuredError, Pairs, Query, QueryContext


def bare(pairs: Pairs) -> Iterator[str]:
    """The value of each row; its caption where it has none."""
    for caption, value in zip(pairs.captions, pairs.values or (None,) * len(pairs), strict=True):
        yield value or caption


def named(pairs: Pairs) -> Iterator[str]:
    """The person's name before the value; the caption where there is no value, the value where there is no name."""
    values, names = (known or (None,) * len(pairs) for known in (pairs.values, pairs.names))
    for caption, value, name in zip(pairs.captions, values, names, strict=True):
        yield f"{name} {value}" if name and value else value or caption


def attack(ctx: QueryContext[Any]) -> list[Query]:
    """Two ways to ask, of which the one needs values, and the other names beside."""
    values, names = (known or (None,) * len(ctx.forget) for known in (ctx.forget.values, ctx.forget.names))
    if not any(values):
        raise NotMeasuredError("no row says its value apart from its caption")
    if not any(value and name for value, name in zip(values, names, strict=True)):
        ctx.not_measured(named.__name__, "no row says whom its value is told of")
        return [Query(tuple(bare(ctx.forget)), label=bare.__name__)]
    return [Query(tuple(ask(ctx.forget)), label=ask.__name__) for ask in (bare, named)]


BARE_VALUE = AttackSpec(
    name="bare-value",
    summary="Ask for the value alone, or for name and value, instead of the whole caption.",
    paper="https://arxiv.org/abs/2309.17410",
    departures="The paper rephrases questions to a language model; here a caption loses everything but what it tells. "
    "Rows without metadata are asked for by their caption.",
    query=attack,
)
