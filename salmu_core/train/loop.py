"""The one training loop: of every method, and of anything else that is trained here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.progress import OnStep
from salmu_core.errors import MethodError
from salmu_core.losses import total

#: CLIP clamps its temperature so that logits are never scaled by more than 100 (Radford et al. 2021, 2.5).
MAX_LOG_SCALE = math.log(100)

Objective = Callable[[int], "Tensor | Mapping[str, Tensor]"]


class NonFiniteLossError(MethodError):
    """The loss became NaN or infinite."""


def learning_rate(step: int, steps: int, config: TrainingConfig) -> float:
    """Linear warm-up, then cosine decay towards 0; a pure function of the step."""
    warmup = round(config.warmup * steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def fit(
    model: nn.Module,
    objective: Objective,
    steps: int,
    config: TrainingConfig,
    accelerator: Accelerator,
    *,
    params: Callable[[str], bool] | None = None,
    grad_mask: Mapping[str, Tensor] | None = None,
    on_step: OnStep | None = None,
) -> None:
    """Minimise ``objective(step)`` over the parameters of ``model`` with AdamW.

    Args:
        model: Trained in place; left in eval mode, with the ``requires_grad`` flags it came with.
        objective: A scalar, or named scalars that are summed, for each step number from 0.
        steps: Number of steps.
        config: Optimizer settings.
        accelerator: Gives precision and scaling; the model must be on its device.
        params: Which parameters to train, by name; by default all.
        grad_mask: Parameter name -> factor on its gradient.
        on_step: Called with (steps done, steps, loss terms).

    Raises:
        MethodError: No parameter is selected, or the loss is no scalar, has no gradient or is not finite.
    """
    if steps == 0:
        return
    with training(model, params) as trained:
        if unknown := sorted(set(grad_mask or {}) - set(trained)):
            raise MethodError(f"grad_mask names parameters that are not trained: {', '.join(unknown[:3])}")
        optimizer = accelerator.prepare_optimizer(
            torch.optim.AdamW(
                trained.values(),
                lr=config.lr,
                betas=(0.9, 0.98),
                eps=1e-6,
                weight_decay=config.weight_decay,
                fused=True,
            )
        )
        # Reading a value from an accelerator waits for it, so there it is done less often.
        every = 1 if accelerator.device.type == "cpu" else 10
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, config)
            with accelerator.autocast():
                terms = objective(step)
                loss = checked(terms)
            accelerator.backward(loss)
            for name, mask in (grad_mask or {}).items():
                gradient = trained[name].grad
                if gradient is not None:
                    gradient.mul_(mask)
            if config.max_grad_norm:
                accelerator.clip_grad_norm_(trained.values(), config.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if "logit_scale" in trained:
                with torch.no_grad():
                    trained["logit_scale"].clamp_(0, MAX_LOG_SCALE)
            if (step + 1) % every == 0 or step + 1 == steps:
                values = _values(terms, loss)
                if not all(map(math.isfinite, values.values())):
                    raise NonFiniteLossError(f"the loss is not finite at step {step}: {values}")
                if on_step is not None:
                    on_step(step + 1, steps, values)


@contextmanager
def training(model: nn.Module, params: Callable[[str], bool] | None = None) -> Iterator[dict[str, nn.Parameter]]:
    """Put a model in train mode with only the chosen parameters trainable; restore flags afterwards."""
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    trained = {name: p for name, p in model.named_parameters() if flags[name] and (params is None or params(name))}
    if not trained:
        raise MethodError("no parameter is selected for training")
    for name, p in model.named_parameters():
        p.requires_grad_(name in trained)
    model.train()
    try:
        yield trained
    finally:
        model.eval()
        for name, p in model.named_parameters():
            p.requires_grad_(flags.get(name, True))
            p.grad = None


def checked(terms: Tensor | Mapping[str, Tensor]) -> Tensor:
    """The scalar to differentiate.

    Raises:
        MethodError: It is no scalar, or no gradient flows from it.
    """
    if isinstance(terms, Mapping) and not terms:
        raise MethodError("the loss is an empty dict; it needs at least one term")
    loss = total(terms)
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise MethodError(f"the loss must be a scalar tensor, or named ones; it is {shape}")
    if not loss.requires_grad:
        raise MethodError("no gradient flows from the loss: is it computed under no_grad or from detached tensors?")
    return loss


def _values(terms: Tensor | Mapping[str, Tensor], loss: Tensor) -> dict[str, float]:
    values = {"loss": float(loss.detach())}
    if isinstance(terms, Mapping):
        values |= {name: float(term.detach()) for name, term in terms.items()}
    return values
