"""Methods that stand on another method's loss: masks, surgery on its gradients, regularisers, adapters.

Importing this costs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from pydantic import Field, JsonValue, PrivateAttr

from salmu_core.contract.config import MethodConfig, TrainingConfig
from salmu_core.contract.declared import Name
from salmu_core.contract.settings import Settings, make_config
from salmu_core.contract.specs import MethodSpec
from salmu_core.errors import MethodError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.context import Loss, MethodContext
    from salmu_core.contract.steps import Step


class Wrapped(NamedTuple):
    """The loss that a wrapper stands on, and the settings it is minimised with.

    Attributes:
        loss: ``loss(ctx, step)``, as `fit` and `gradients` take it; whoever's run it is in, it sees its own `config`.
        config: All settings of its method. `fit` and `gradients` of a wrapper take them where they are given none.
        name: Its method.
    """

    loss: Loss
    config: TrainingConfig
    name: str

    def terms(self, ctx: MethodContext[Any], step: Step) -> dict[str, Tensor]:
        """The loss of a step as named terms, for others to stand beside; a scalar has the name of its method."""
        found = self.loss(ctx, step)
        return dict(found) if isinstance(found, Mapping) else {self.name: found}


class WrapperConfig(MethodConfig):
    """Settings of a method that stands on another method's loss, and has that one's optimizer."""

    loss: Name = Field(
        default="cliperase",
        description="The method whose loss it stands on: any that has one.",
        json_schema_extra={"wraps": True},
    )
    settings: dict[str, JsonValue] = Field(
        default={}, description="Settings of that method, as if it were run by itself: `settings.lr=1e-4`."
    )
    _wrapped: Wrapped | None = PrivateAttr(None)

    @property
    def wrapped(self) -> Wrapped:
        """The loss that it stands on.

        Raises:
            MethodError: It was not looked for: `around` was not called.
        """
        if self._wrapped is None:
            raise MethodError(f"nobody has said what the loss {self.loss!r} is: config.around(spec) does")
        return self._wrapped

    def around(self, method: MethodSpec, usual: Settings | None = None) -> Self:
        """These settings, standing on a method's loss: with all settings of that method, and `wrapped`.

        Args:
            method: The method that ``loss`` names.
            usual: Settings of it that those given here go over.

        Raises:
            UnknownNameError: It has no such setting.
            UsageError: It has no loss, or a setting of it is not allowed.
        """
        if method.loss is None:
            kind = "stands on one itself" if issubclass(method.config, WrapperConfig) else "changes weights without one"
            raise UsageError(
                f"There is no loss of {method.name}, which {kind}: name a method that is given by its loss."
            )
        config = cast(TrainingConfig, make_config(method, {**(usual or {}), **self.settings}))
        standing = self.model_copy(update={"settings": config.model_dump(mode="json")})
        standing._wrapped = Wrapped(_seeing(method.loss, config), config, method.name)
        return standing


def _seeing(loss: Loss, config: TrainingConfig) -> Loss:
    """A loss that sees its own method's settings, whoever's run it is in."""

    @wraps(loss)
    def seeing(ctx: MethodContext[Any], step: Any) -> Any:
        return loss(cast("MethodContext[Any]", _Seen(ctx, config)), step)

    return seeing


class _Seen:
    """A run's context, with other settings."""

    def __init__(self, ctx: MethodContext[Any], config: TrainingConfig) -> None:
        self._ctx, self.config = ctx, config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)
