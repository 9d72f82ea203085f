"""The one training loop: of every method, and of the reference models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from salmu_core.contract.config import Optimisation, TrainingConfig
from salmu_core.errors import MethodError
from salmu_core.losses import total
from salmu_core.train.observer import UNSEEN, Observer
from salmu_core.train.pieces import Pieces
from salmu_core.train.place import Accelerated, Place
from salmu_core.train.surgery import surgery, watched
from salmu_core.train.tables import Tables

if TYPE_CHECKING:
    from salmu_core.contract.context import Transform

Terms = Tensor | Mapping[str, Tensor]
Objective = Callable[[int], Terms]


class NonFiniteLossError(MethodError):
    """The loss became NaN or infinite."""


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
        place: Where it runs.
        groups: The parameters as torch's optimizers take them; by default all of them decay alike.
        fused: Whether AdamW runs as one kernel; by default as torch chooses. It shows in the last bits.
        observer: Who looks on.
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


def fit(
    model: nn.Module,
    objective: Objective,
    steps: Callable[[], int],
    config: TrainingConfig,
    accelerator: Accelerator,
    *,
    params: Callable[[str], bool] | None = None,
    also: Mapping[str, nn.Module] | None = None,
    transform: Transform | None = None,
    pieces: Pieces | None = None,
    observer: Observer = UNSEEN,
) -> int:
    """Minimise ``objective(step)`` over the parameters of ``model``; returns the number of steps made.

    Args:
        model: Trained in place; left in eval mode, with the ``requires_grad`` flags it came with.
        objective: A scalar, or named scalars that are summed, for each step number from 0; asked again for the last
            one where memory ran out.
        steps: How many; asked once the first step's objective is known, and what it draws with it.
        config: Optimizer settings.
        accelerator: Gives precision and scaling; the model must be on its device.
        params: Which parameters to train, by name; by default all.
        also: Modules that are trained beside the model, by name.
        transform: Gradients of each term -> those that the optimizer gets.
        pieces: What the objective encodes with, so that it can do with less memory.
        observer: Who looks on; is told of the loss and its terms.

    Raises:
        MethodError: No parameter is selected, or the loss is no scalar, has no gradient or is not finite.
    """
    terms: Mapping[str, Tensor] = {}
    pieces = pieces or Pieces(model)
    with training(model, params, also) as trained, Tables(model, trained, watched(transform, trained)) as tables:
        gradients = surgery(accelerator, trained, {**dict(model.named_parameters()), **trained}, transform)

        def evaluate(step: int) -> None:
            nonlocal terms
            with accelerator.autocast():
                terms = checked(objective(step))

        def differentiate(step: int) -> Tensor:
            nonlocal terms
            if step or not terms:  # those of the first step are there
                evaluate(step)
            observer.on_terms(terms, trained)
            with tables.gathering():
                gradients.differentiate(terms)
            # Their graph would stay until the next step has made its own.
            terms = {name: term.detach() for name, term in terms.items()}
            return total(terms)

        def undo() -> None:
            nonlocal terms
            terms = {}
            tables.drop()
            for parameter in trained.values():
                parameter.grad = None

        with observer.stepping():
            pieces.enough(partial(evaluate, 0), undo)
        count = steps()
        warmup = round(config.warmup * count)
        descent = Descent(tables, config, count, warmup, Accelerated(accelerator), fused=True, observer=observer)

        # Reading a value from an accelerator waits for it, so there it is done less often.
        every = 1 if accelerator.device.type == "cpu" else 10
        for step in range(count):
            loss = descent.step(step, partial(pieces.enough, partial(differentiate, step), undo))
            gradients.settle()
            if (step + 1) % every == 0 or step + 1 == count:
                values = {name: float(value) for name, value in {"loss": loss, **terms}.items()}
                if not all(map(math.isfinite, values.values())):
                    cause = "" if transform is None else ", which the transform's gradients may have brought about"
                    raise NonFiniteLossError(f"the loss is not finite at step {step}{cause}: {values}")
                observer.on_step(step + 1, count, values)
    return count


@contextmanager
def training(
    model: nn.Module, params: Callable[[str], bool] | None = None, also: Mapping[str, nn.Module] | None = None
) -> Iterator[dict[str, nn.Parameter]]:
    """Put a model, and what is trained beside it, in train mode with only the chosen parameters trainable.

    Afterwards the model is in eval mode, the others in the modes they came in, and all flags are as they were.

    Raises:
        MethodError: No parameter is selected, or a module can't be trained beside the model.
    """
    others = _beside(model, also or {})
    named = dict(model.named_parameters()) | others
    flags = {name: p.requires_grad for name, p in named.items()}
    modes = {part: part.training for module in (also or {}).values() for part in module.modules()}
    trained = {n: p for n, p in named.items() if flags[n] and (n in others or params is None or params(n))}
    if not trained:
        raise MethodError("no parameter is selected for training")
    for name, p in named.items():
        p.requires_grad_(name in trained)
    for module in (model, *modes):
        module.train()
    _still(model, trained)
    try:
        yield trained
    finally:
        model.eval()
        for part, mode in modes.items():
            part.training = mode
        for name, p in named.items():
            p.requires_grad_(flags[name])
            p.grad = None


def _still(model: nn.Module, trained: Mapping[str, nn.Parameter]) -> None:
    """Keep running statistics of layers that are not trained: they are weights, and would move by being looked at."""
    chosen = set(map(id, trained.values()))
    for part in model.modules():
        if isinstance(part, _NormBase) and not any(id(p) in chosen for p in part.parameters(recurse=False)):
            part.eval()


def _beside(model: nn.Module, also: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Parameters of modules that are trained beside a model, by their names in the loop."""
    taken = {name.partition(".")[0] for name, _ in model.named_parameters()}
    owners = {p: "the model" for p in model.parameters()}
    place, found = next(model.parameters()).device, {}
    for name, module in also.items():
        given = f"fit(also={{{name!r}: ...}})"
        if not isinstance(module, nn.Module):
            raise MethodError(f"{given} is a {type(module).__name__}, not a module: put it in a torch.nn.ParameterDict")
        if not name or "." in name:
            raise MethodError(f"{given}: names of parameters begin with this; choose a word without a dot")
        if name in taken:
            raise MethodError(f"{given}: parameters of the model begin with this name; choose another")
        if not any(p.requires_grad for p in module.parameters()):
            raise MethodError(f"{given} has no parameter that takes gradients, so there is nothing to train")
        for part, p in module.named_parameters():
            if p.device != place:
                raise MethodError(f"{given}: {part} is on {p.device}, the model on {place}; call .to(ctx.device)")
            if p in owners:
                raise MethodError(f"{given}: {part} belongs to {owners[p]} too, which trains it")
            owners[p] = f"{name!r}"
            found[f"{name}.{part}"] = p
    return found


def checked(terms: Terms) -> Mapping[str, Tensor]:
    """The terms of a loss by their names; a scalar's is ``loss``.

    Raises:
        MethodError: One is no scalar or has the name of their sum, or no gradient flows from any.
    """
    if isinstance(terms, Mapping) and not terms:
        raise MethodError("the loss is an empty dict; it needs at least one term")
    if isinstance(terms, Mapping) and "loss" in terms:
        raise MethodError("a term of the loss is called 'loss', as their sum is in the record; choose another name")
    named = terms if isinstance(terms, Mapping) else {"loss": terms}
    for name, term in named.items():
        if not isinstance(term, Tensor) or term.dim() != 0:
            what = "it" if named is not terms else f"its term {name!r}"
            shape = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
            raise MethodError(f"the loss must be a scalar tensor, or named ones; {what} is {shape}")
    if not any(term.requires_grad for term in named.values()):
        raise MethodError("no gradient flows from the loss: is it computed under no_grad or from detached tensors?")
    return named
