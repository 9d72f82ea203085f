"""Sentences from the templates of the embedded benchmark: five styles an attribute."""

from __future__ import annotations

import numpy as np
from salmu_mini.captions import sensitive_caption

from salmu_dataset.sources import Facts, Settings, only_known


class TemplateCaptions:
    """The default: statement, instruction, possessive, record, remark."""

    def __init__(self, settings: Settings) -> None:
        only_known(settings.options, (), "template captions")

    def captions(self, facts: Facts, style: int, rng: np.random.Generator) -> str:
        """The template of that style, filled in; nothing is drawn from `rng`."""
        return sensitive_caption(facts.name, facts.data_field, facts.value, style)
