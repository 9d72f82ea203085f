"""The settings of a run that is made by hand."""

from __future__ import annotations

from typing import Any

from salmu_core.contract.config import MethodConfig
from salmu_core.contract.settings import make_config
from salmu_core.contract.specs import MethodSpec
from salmu_core.contract.wrapping import WrapperConfig
from salmu_core.plugins.zoo import discover


def settings_of(spec: MethodSpec, batch_size: int | None = None, **config: Any) -> MethodConfig:
    """A method's settings; of a wrapper, over the loss of the installed method that they name.

    Args:
        batch_size: Of a method that trains; of a wrapper, a setting of what it wraps.
    """
    few = {} if batch_size is None else {"batch_size": batch_size}
    if issubclass(spec.config, WrapperConfig):
        wrapper = spec.config(**{**config, "settings": {**few, **config.get("settings", {})}})
        return wrapper.around(discover().methods[wrapper.loss].spec)
    return make_config(spec, {**few, **config})
