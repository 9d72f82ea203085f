"""What an attack declares and receives: it tries to bring back what a checkpoint was made to forget.

Importing this costs no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal

from pydantic import Field, field_validator, model_validator

from salmu_core.contract.config import MethodConfig, check_defaults
from salmu_core.contract.context import C, MethodContext
from salmu_core.contract.declared import KnownFailures, Link, Name, Sentence, Spec
from salmu_core.contract.kinds import ATTACK_KINDS, is_judged

if TYPE_CHECKING:
    from random import Random

    from torch import Tensor

    from salmu_core.contract.features import Features, Pairs
    from salmu_core.contract.model import ClipModel

    Leak = Callable[[Pairs, Any, Random], Sequence[int]]
    ModelAttack = Callable[["ModelAttackContext[Any]"], "Iterator[str | Stage] | None"]
    QueryAttack = Callable[["QueryContext[Any]"], "Query | Sequence[Query]"]
    ReadoutAttack = Callable[["ReadoutContext[Any]"], "Reading | Sequence[Reading]"]
else:
    Leak = ModelAttack = QueryAttack = ReadoutAttack = Callable

#: What an attacker may hold beside the checkpoint: pairs that leaked, the retain set, the weights before unlearning.
Given = Literal["leaked", "retain", "original"]


class AttackSpec(Spec):
    """An attack on an unlearned checkpoint: what the attacker holds, and exactly one of three ways to go about it.

    Whatever comes out is scored by the metrics of role ``leak`` on forget rows that the attacker did not hold, for
    the run, for Compromised and for Clean alike.
    """

    name: Name = Field(description="How it is called on the command line, in paths and in tables.")
    summary: Sentence = Field(description="One sentence, for listings.")
    paper: Link = Field(description="Where the attack is published.")
    code: Link | None = Field(default=None, description="Reference implementation, at a commit.")
    departures: str = Field(default="", description="What differs here from the paper, and why.")
    config: type[MethodConfig] = Field(
        default=MethodConfig, description="The class of its settings; all have defaults. `TrainingConfig` if it trains."
    )
    given: tuple[Given, ...] = Field(
        default=(),
        description="What the attacker holds beside the checkpoint; asking for more is an error. Who holds the "
        "original has the leak itself: what such an attack brings is shown, and no verdict rests on it.",
    )
    leaked: Leak | None = Field(
        default=None,
        description="``leaked(pairs, config, random)``: numbers of the forget rows that the attacker holds, which are "
        "not scored. Absent: half of each person's, for a readout that is given leaked rows; else none.",
    )
    whole_facts: bool = Field(
        default=False,
        description="Whether rows that tell the same of the same person as a leaked one (`Pairs.facts`) are not "
        "scored either.",
    )
    model: ModelAttack | None = Field(
        default=None,
        description="``model(ctx)``: changes ``ctx.model``, by training or by surgery; wherever it yields a label or a "
        "`Stage`, the model is scored as it stands.",
    )
    query: QueryAttack | None = Field(
        default=None, description="``query(ctx)``: asks the checkpoint otherwise; returns a `Query`, or several."
    )
    readout: ReadoutAttack | None = Field(
        default=None,
        description="``readout(ctx)``: reads embeddings by leaked or retain rows; returns a `Reading`, or several.",
    )
    known_failures: KnownFailures = Field(
        default_factory=dict, description="Rules of conformance (`salmu check`) it is known to break: rule -> reason."
    )

    _has_defaults = field_validator("config")(check_defaults)

    @model_validator(mode="after")
    def _one_of(self) -> AttackSpec:
        if sum(getattr(self, kind) is not None for kind in ATTACK_KINDS) != 1:
            raise ValueError(f"{self.name}: give exactly one of 'model', 'query' and 'readout'")
        if self.readout is not None and not {"leaked", "retain"} & {*self.given}:
            raise ValueError(
                f"{self.name}: a readout goes by leaked rows or by the retain set; add 'leaked' or 'retain' to `given`"
            )
        if (self.leaked is not None or self.whole_facts) and "leaked" not in self.given:
            raise ValueError(f"{self.name}: `leaked` and `whole_facts` are about leaked rows; add 'leaked' to `given`")
        if "leaked" in self.given and self.leaked is None and self.readout is None:
            raise ValueError(f"{self.name}: it is given 'leaked' rows; say which by `leaked=`, a function")
        if "original" in self.given and self.model is None:
            raise ValueError(f"{self.name}: only an attack on the model can be given the original")
        return self

    @property
    def kind(self) -> str:
        """``model``, ``query`` or ``readout``."""
        return next(kind for kind in ATTACK_KINDS if getattr(self, kind) is not None)

    @property
    def is_judged(self) -> bool:
        """Whether a verdict may rest on it: not where the attacker holds the original, and so the leak itself."""
        return is_judged(self.given)


class AttackRemarks(ABC):
    """What an attack of any kind may say beside what it finds."""

    @abstractmethod
    def not_measured(self, label: str, reason: str) -> None:
        """Say that there is no query, reading or stage of a label here, and why, as in "no row has a value".

        The others go on. Where there is none at all, raise `NotMeasuredError`.
        """


class ModelAttackContext(MethodContext[C], AttackRemarks):
    """What an attack on the model receives: a method's context, on the attacked checkpoint, with other data.

    ``step.leaked`` and ``step.retain`` are what `fit` draws, as far as ``given`` says so; there is no forget set, and
    no budget: `fit` needs ``steps``. `reference` is the attacked checkpoint as it was. Each `fit` begins with a
    new optimizer and a new schedule: of one before it only the weights stay, and the data go on where they were.
    """

    @property
    @abstractmethod
    def leaked(self) -> Pairs:
        """Captions, people and facts of the forget rows that the attacker holds."""

    @property
    @abstractmethod
    def original(self) -> ClipModel:
        """The model before unlearning, frozen."""

    @abstractmethod
    def restart(self) -> None:
        """Put the checkpoint's weights back into `model`, and begin `rng` and the order of the data anew.

        What comes after depends on nothing before it, so a stage is the same whatever other stages there are.
        """


@dataclass(frozen=True)
class Stage:
    """Where an attack on the model is scored; of several stages the one that brings back most beyond Clean is reported.

    Args:
        label: Tells stages of one attack apart.
        step: How far along its curve it is, from the checkpoint, where it is 0: a number of steps, a share of a way.
        curve: Stages that are drawn as one curve have the same.
    """

    label: str
    step: float | None = None
    curve: str = ""


class QueryContext(AttackRemarks, Generic[C]):
    """What an attack that asks otherwise receives: the forget rows as they are asked for."""

    @property
    @abstractmethod
    def config(self) -> C:
        """The attack's validated configuration."""

    @property
    @abstractmethod
    def forget(self) -> Pairs:
        """Captions, people and facts of all forget rows, in order."""

    @property
    @abstractmethod
    def random(self) -> Random:
        """The attack's random numbers; the same for every checkpoint."""


@dataclass(frozen=True)
class Query:
    """Forget rows asked for otherwise; of several queries the one that brings back most beyond Clean is reported.

    Args:
        captions: A caption for each forget row, in order; None for their own. A gallery's captions change alike.
        images: Normalised images ``[b, 3, h, w]`` -> images of that shape; None for the images as they are.
        label: Tells queries of one attack apart.
        pixels: As `images`, of what they are made of: uint8 ``[b, 3, h, w]``, on the CPU.
        exchanged: Whether captions ask for images: each row's caption stands in the place of its image, and a gallery's
            captions are stood for by the images that have them, where there are several by their mean.
    """

    captions: Sequence[str] | None = None
    images: Callable[[Tensor], Tensor] | None = None
    label: str = ""
    pixels: Callable[[Tensor], Tensor] | None = None
    exchanged: bool = False


class ReadoutContext(QueryContext[C]):
    """What an attack on embeddings receives: those of all forget rows, and what it is given to read them by.

    What `AttackSpec.given` does not list is an `AttackError`.
    """

    @property
    @abstractmethod
    def leaked(self) -> Sequence[int]:
        """Numbers of the forget rows that may be fitted on; all others are read."""

    @property
    @abstractmethod
    def retain(self) -> Pairs:
        """Captions of the retain set, and whom its images show."""

    @abstractmethod
    def features(self, of: Literal["forget", "retain"] = "forget") -> Features:
        """L2-normalised embeddings of all rows of a set, each ``[n, d]``, float32, on the CPU."""

    @abstractmethod
    def texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of any texts ``[n, d]``, float32, on the CPU."""

    @property
    @abstractmethod
    def layers(self) -> Sequence[str]:
        """Names of the parts of the image tower, in the model's order."""

    @abstractmethod
    def inner(self, layer: str, reduce: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What a part of the image tower gives for all forget rows ``[n, ...]``, float32, on the CPU.

        Args:
            layer: One of `layers`, as in ``visual.transformer.resblocks.3``.
            reduce: What is kept of it, of a batch ``[b, ...]`` at a time; None for all, which may take much memory.

        Raises:
            AttackError: There is no such part, or it gives no tensor with a row for each image.
        """


@dataclass(frozen=True)
class Reading:
    """What a readout makes of the forget rows; of several the one that brings back most beyond Clean is reported.

    Args:
        image: What is read from each forget image, in order ``[n, e]``; of leaked rows it is not looked at.
        texts: Any texts -> what they are compared with ``[m, e]``; None for the checkpoint's own embeddings.
        details: Facts about how it was fitted.
        label: Tells readings of one attack apart.
    """

    image: Tensor
    texts: Callable[[Sequence[str]], Tensor] | None = None
    details: Mapping[str, Any] | None = None
    label: str = ""
