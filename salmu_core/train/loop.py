"""The one training loop: of every method, and of the reference models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from salmu_core.contract.config import TrainingConfig
from salmu_core.errors import MethodError
from salmu_core.losses import total
from salmu_core.train.descent import Descent
from salmu_core.train.observer import UNSEEN, Observer
from salmu_core.train.pieces import Pieces
from salmu_core.train.place import Accelerated
from salmu_core.train.surgery import surgery, watched
from salmu_core.train.tables import Tables

if TYPE_CHECKING:
    from salmu_core.contract.context import Transform

Terms = Tensor | Mapping[str, Tensor]
Objective = Callable[[int], Terms]


class NonFiniteLossError(MethodError):
    """The loss became NaN or infinite.

    Lower the learning rate, or mend the loss; the run is made again once the method's code or settings have changed.
    """


class Saving:
    """What a loop tells how far it is, and goes on from; this one keeps nothing."""

    def begin(self) -> tuple[int, int] | None:
        """Steps that were made, and of how many, where there is something to go on from."""
        return None

    def restore(self, descent: Descent) -> None:
        """Put everything where it was after the last step that was made."""

    def evaluated(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """The loss of a step is known; nothing has come of it yet."""

    def made(self, steps: int, count: int, descent: Descent) -> None:
        """So many steps of so many are made, and all is said about them."""


#: For a training that nobody goes on with.
UNSAVED = Saving()


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
    saving: Saving = UNSAVED,
) -> int:
    """Minimise ``objective(step)`` over the parameters of ``model``; returns the number of steps made.

    Args:
        model: Trained in place; left in eval mode, with the ``requires_grad`` flags it came with.
        objective: A scalar, or named scalars that are summed, for each step number from 0; asked again for the last
            one where memory ran out.
        steps: How many; asked once the first step's objective is known, and what it draws with it.
        accelerator: Gives precision and scaling; the model must be on its device.
        params: Which parameters to train, by name; by default all.
        also: Modules that are trained beside the model, by name.
        transform: Gradients of each term -> those that the optimizer gets.
        pieces: What the objective encodes with, so that it can do with less memory.
        observer: Who looks on; is told of the loss and its terms.
        saving: Keeps how far it is, and knows of steps that need not be made again.

    Raises:
        MethodError: No parameter is selected, or the loss is no scalar, has no gradient or is not finite.
    """
    terms: Mapping[str, Tensor] = {}
    pieces = pieces or Pieces(model)
    with training(model, params, also) as trained, Tables(model, trained, watched(transform, trained)) as tables:
        known = {**dict(model.named_parameters()), **trained}
        gradients = surgery(accelerator, trained, known, transform, tables.by_name)

        def evaluate(step: int) -> None:
            nonlocal terms
            with accelerator.autocast():
                terms = checked(objective(step))
            saving.evaluated(step, terms)

        def differentiate(step: int) -> Tensor:
            nonlocal terms
            if step > first or not terms:  # those of the first step may be there
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

        if (position := saving.begin()) is None:
            with observer.stepping():
                pieces.enough(partial(evaluate, 0), undo)
        first, count = position or (0, steps())
        warmup = round(config.warmup * count)
        descent = Descent(tables, config, count, warmup, Accelerated(accelerator), fused=True, observer=observer)
        saving.restore(descent)

        # Reading a value from an accelerator waits for it, so there it is done less often.
        every = 1 if accelerator.device.type == "cpu" else 10
        for step in range(first, count):
            loss = descent.step(step, partial(pieces.enough, partial(differentiate, step), undo))
            gradients.settle()
            if (step + 1) % every == 0 or step + 1 == count:
                observer.on_step(step + 1, count, _finite({"loss": loss, **terms}, step, transform))
            saving.made(step + 1, count, descent)
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


def _finite(terms: Mapping[str, Tensor], step: int, transform: Transform | None) -> dict[str, float]:
    values = {name: float(value) for name, value in terms.items()}
    if not all(map(math.isfinite, values.values())):
        cause = "" if transform is None else ", which the transform's gradients may have brought about"
        raise NonFiniteLossError(f"the loss is not finite at step {step}{cause}: {values}")
    return values


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
