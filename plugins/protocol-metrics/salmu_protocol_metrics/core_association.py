"""CoreAssoc: the bare association, name and value without a sentence around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from salmu_core import MetricContext, MetricResult, PerRow
from salmu_protocol_metrics.arrays import pair_cosines


def core_assoc(ctx: MetricContext) -> MetricResult:
    """Mean over rows of the larger cosine with "{name} {value}" and "{value} {name}"."""
    people = [ctx.person(str(i)) for i in ctx.identity_ids("forget")]
    facts = zip(people, ctx.facts("forget"), strict=True)
    words = [(str(person["name"]), value(person, fact)) for person, fact in facts]
    forwards, backwards = [f"{n} {v}" for n, v in words], [f"{v} {n}" for n, v in words]
    images = ctx.images("forget")
    texts = ctx.texts(forwards + backwards)
    cosines = np.maximum(pair_cosines(images, texts[: len(images)]), pair_cosines(images, texts[len(images) :]))
    return MetricResult(per_row=PerRow("forget", cosines), details={"texts": len({*forwards, *backwards})})


def value(person: Mapping[str, Any], fact: Mapping[str, Any]) -> str:
    """What a row tells of its person: the entry for its ``data_field``, of a list the first.

    Raises:
        ValueError: Neither the person nor the row has it.
    """
    field = fact["data_field"]
    known = person.get(field) or fact.get("value")
    if isinstance(known, list | tuple):
        known = next(iter(known), None)
    if not known:
        raise ValueError(f"there is no {field!r} of {person['name']!r} to ask for")
    return str(known)
