"""Where a run's configuration comes from, and what is said of one that nobody chose for its benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from salmu_core.contract.recommended import Recommended
from salmu_core.contract.specs import MethodSpec

#: The setting that fits one model and wrecks another.
RATE = "lr"


@dataclass(frozen=True)
class Origin:
    """Where the settings and the budget of a run come from.

    Attributes:
        benchmark: The benchmark, without its world.
        recommended: What the benchmark recommends for it, if anything.
        given: Fields of its config that the user sets.
        budget_given: Whether the user names the budget.
        outdated: Whether what is recommended was tuned with other code of the method.
    """

    benchmark: str
    method: MethodSpec
    recommended: Recommended | None = None
    given: frozenset[str] = frozenset()
    budget_given: bool = True
    outdated: bool = False

    @property
    def taken(self) -> Recommended | None:
        """What is taken of the recommendation, the user's own settings apart; None for nothing."""
        if self.recommended is None:
            return None
        config = {field: value for field, value in self.recommended.config.items() if field not in self.given}
        budget = None if self.budget_given else self.recommended.budget
        changed = {"config": config, "budget": budget}
        return self.recommended.model_copy(update=changed) if config or budget else None

    @property
    def adviser(self) -> str:
        """Who recommends, as the beginning of a sentence."""
        tuned = self.recommended is not None and self.recommended.tuned_on
        return "What was tuned is taken" if tuned else f"{self.benchmark} recommends"

    @property
    def unfit(self) -> bool:
        """Whether nobody chose the settings for this benchmark: no user, no benchmark, and not the method's author."""
        fields = self.method.config.model_fields
        chosen = RATE in self.given if RATE in fields else bool(self.given)
        return bool(fields) and not chosen and self.recommended is None and self.method.chosen_on != self.benchmark


def notes(origins: Iterable[Origin]) -> Iterator[str]:
    """What to say of a study's settings before it starts: what is taken from whom, and what nobody chose.

    Args:
        origins: Of its runs; they may be many, and are told in a sentence or two.
    """
    found = list(origins)
    taken = {(o.adviser, str(o.taken), o.method.name) for o in found if o.taken}
    for (adviser, settings), same in groupby(sorted(taken), key=lambda it: it[:2]):
        yield f"{adviser} for {_names(it[2] for it in same)}: {settings}. Settings of yours go over it."
    if older := {o.method.name for o in found if o.outdated}:
        yield f"{_names(older)} had other code when it was tuned: `salmu tune` again, to choose for what it is now."
    unfit = sorted({(_whence(o.method), o.method.name) for o in found if o.unfit})
    if unfit:
        whose = [f"{_names(it[1] for it in same)} ({on})" for on, same in groupby(unfit, key=lambda it: it[0])]
        where = _names({o.benchmark for o in found if o.unfit})
        yield (
            f"Nobody chose settings of {' and '.join(whose)} for {where}, which recommends none: defaults may wreck "
            "its models, or leave them as they are. Choose by `ctx.probe()`, as `salmu tune` does, and give --tuned, "
            "--set METHOD.FIELD=VALUE or a study file."
        )


def _whence(method: MethodSpec) -> str:
    return (
        f"chosen on {method.chosen_on}" if method.chosen_on else "which does not say on what its defaults were chosen"
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
