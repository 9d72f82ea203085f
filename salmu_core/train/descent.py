"""Going down a loss: AdamW with its schedule, and what it must find again to go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from salmu_core.contract.config import Optimisation
from salmu_core.train.observer import UNSEEN, Observer
from salmu_core.train.place import Place
from salmu_core.train.tables import Tables


def learning_rate(step: int, steps: int, warmup: int, peak: float, schedule: str = "cosine") -> float:
    """Linear warm-up over ``warmup`` steps, then half a cosine towards 0, or no change; a pure function of the step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Descent:
    """Goes down a loss, step by step: AdamW, its schedule, clipping, and a temperature that stays in range.

    Args:
        tables: What is trained: clipped together, and ``logit_scale`` kept in CLIP's range, or its own.
        settings: AdamW and its schedule.
        steps: Steps of the whole training.
        warmup: Steps of it with linear warm-up.
        groups: The parameters as torch's optimizers take them; by default all of them decay alike.
        fused: Whether AdamW runs as one kernel; by default as torch chooses. It shows in the last bits.
    """

    def __init__(
        self,
        tables: Tables,
        settings: Optimisation,
        steps: int,
        warmup: int,
        place: Place,
        *,
        groups: list[dict[str, Any]] | None = None,
        fused: bool | None = None,
        observer: Observer = UNSEEN,
    ) -> None:
        self._tables, self._settings, self._steps, self._warmup = tables, settings, steps, warmup
        self._place, self._observer = place, observer
        optimizer = torch.optim.AdamW(
            tables.groups(groups) if groups else list(tables.trained.values()),
            lr=settings.lr,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=fused,
        )
        observer.on_optimizer(optimizer)
        if (scale := tables.trained.get("logit_scale")) is not None:
            # CLIP's logits are never scaled by more than 100 (Radford et al. 2021, 2.5); other families' may be.
            came = scale.detach()
            self._range = min(0.0, float(came.min())), max(math.log(settings.max_logit_scale), float(came.max()))
        self._own, self.optimizer = optimizer, place.optimizer(optimizer)

    def step(self, number: int, differentiate: Callable[[], Tensor]) -> Tensor:
        """Make one step; returns the loss.

        Args:
            number: Which step, from 0.
            differentiate: Computes the loss, adds its gradients to the parameters', and returns it.
        """
        settings = self._settings
        with self._observer.stepping():
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(number, self._steps, self._warmup, settings.lr, settings.schedule)
            self.optimizer.zero_grad(set_to_none=True)
            self._tables.drop()
            loss = differentiate()
            self._tables.gather(self._own)
            trained = self._tables.trained
            if settings.max_grad_norm:
                self._place.clip(list(trained.values()), settings.max_grad_norm, self.optimizer)
            self.optimizer.step()
            self._tables.scatter(self._own)
            if "logit_scale" in trained:
                with torch.no_grad():
                    trained["logit_scale"].clamp_(*self._range)
        return loss

    def state(self) -> dict[str, Tensor]:
        """What the next step depends on beside the weights and its number, by names of parameters.

        Moments are ``NAME/exp_avg`` and the like; of a table whose rows are trained, ``NAME/ids`` says which.
        """
        moments = {
            f"{name}/{key}": value
            for name, parameter in self._tables.trained.items()
            for key, value in self._own.state.get(parameter, {}).items()
        }
        return moments | {f"{name}/ids": ids for name, ids in self._tables.ids().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave, of a training that was begun alike."""
        parts: dict[str, dict[str, Tensor]] = {}
        for place, value in state.items():
            name, _, key = place.rpartition("/")
            parts.setdefault(name, {})[key] = value
        held = {name: (part.pop("ids"), len(part.get("exp_avg", ()))) for name, part in parts.items() if "ids" in part}
        self._tables.restore(held, self._own)
        names = {parameter: name for name, parameter in self._tables.trained.items()}
        order = [names[p] for group in self._own.param_groups for p in group["params"]]
        moments = {number: parts[name] for number, name in enumerate(order) if parts.get(name)}
        # torch's own knows where each kind of AdamW wants its moments.
        self._own.load_state_dict({**self._own.state_dict(), "state": moments})
