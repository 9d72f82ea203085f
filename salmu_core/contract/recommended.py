"""Settings of a method that a benchmark recommends."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, JsonValue

from salmu_core.contract.declared import Link, Sentence, Spec


class Recommended(Spec):
    """Settings of a method that fit a benchmark's models, and where that is known from.

    The method need not be installed; its own config has the last word on fields and values.
    """

    config: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="Fields of its config -> values; of others its defaults fit."
    )
    budget: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="The budget they belong to, in units of the forget set's size; taken where nobody names one.",
    )
    source: Sentence = Field(description="Who used them, or how they were chosen.")
    link: Link | None = Field(default=None, description="Where that can be read.")
    tuned_on: tuple[str, ...] = Field(
        default=(), description="Worlds that `salmu tune` chose them on; none where somebody else did."
    )

    def within(self, table: str) -> Recommended:
        """The same, said of fields of a table."""
        return self.model_copy(update={"config": {f"{table}.{field}": value for field, value in self.config.items()}})

    def __str__(self) -> str:
        settings = [f"{field} = {value}" for field, value in self.config.items()]
        settings += [f"budget {self.budget:g}"] if self.budget else []
        return f"{', '.join(settings) or 'its defaults'} ({' '.join(filter(None, [self.source, self.link]))})"
