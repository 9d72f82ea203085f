"""One step of contrastive pre-training, and many of them in a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from salmu_core.train.descent import Descent
from salmu_core.train.place import Place
from salmu_core.train.settings import Pretraining
from salmu_core.train.tables import Tables


@dataclass(frozen=True)
class Batch:
    """A process's part of one global batch.

    Attributes:
        inputs: What the towers are called with.
        sizes: Pairs that each process holds of the batch, in order of ranks.
        replaced: Pairs of this part that stand in for unreadable ones.
    """

    inputs: tuple[Any, ...]
    sizes: tuple[int, ...]
    replaced: int = 0


class Towers(nn.Module):
    """Both encoders as one module, so that one call goes through whatever shares gradients and sets the precision.

    Called with images (uint8, ``[n, 3, h, w]``) and token ids (``[n, context]``), it returns normalised features of
    the images and of the captions, ``[n, d]``, and the inverse temperature.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, clip: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.clip: Any = clip
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.encode_images(images), self.clip.encode_text(tokens, normalize=True), self.clip.logit_scale.exp()

    def encode_images(self, images: Tensor) -> Tensor:
        """Normalised features of images, uint8 ``[n, 3, h, w]``."""
        features: Tensor = self.clip.encode_image(images.float().div(255).sub(self.mean).div(self.std), normalize=True)
        return features


def parameter_groups(model: nn.Module, settings: Pretraining) -> list[dict[str, Any]]:
    """What decays (matrices) and what does not: gains, biases, the temperature, and embeddings where so set."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or ("embedding" in name and not settings.decay_embeddings)
        (free if plain else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}]


def off_centre(cosines: Tensor) -> Tensor:
    """Mean square, over pictures and captions, of their mean cosine with everybody else's captions and pictures.

    The contrastive loss does not feel a constant added to all cosines of a picture or of a caption, and small
    models let it grow to .3 and more; this holds it near 0, where large models are.

    Args:
        cosines: ``[n, n]``, own pairs on the diagonal.
    """
    wrong = cosines - torch.diag(cosines.diagonal())
    others = len(cosines) - 1
    return ((wrong.sum(0) / others).square().mean() + (wrong.sum(1) / others).square().mean()) / 2


def contrastive(images: Tensor, texts: Tensor, scale: Tensor, centring: float) -> Tensor:
    """CLIP's symmetric cross-entropy, plus the centring term: a scalar.

    Args:
        images: Normalised image features, ``[n, d]``.
        texts: Those of the captions, ``[n, d]``.
        scale: The inverse temperature.
        centring: Weight of `off_centre`.
    """
    cosines = images @ texts.T
    # `losses.contrastive` but for the last bits, which both those who train with it and the built models hold.
    logits, target = scale * cosines, torch.arange(len(cosines), device=cosines.device)
    loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    return loss + centring * off_centre(cosines) if centring else loss


class Trainer:
    """A model in training.

    Args:
        towers: Has the model as ``clip``; called with a batch's inputs it returns image features, caption features
            and the inverse temperature.
        settings: The loss, AdamW and its schedule.
        steps: Steps of the whole training.
        piece: Pairs a process encodes at a time; 0 for all of its part of a batch.
        known: Ids of the tokens that occur, ascending, of a training in one process on a CPU: all that is trained of
            the token embedding is their rows. By default it is trained as a whole.

    Attributes:
        descent: Makes its steps.
    """

    def __init__(
        self,
        towers: Any,
        settings: Pretraining,
        steps: int,
        place: Place | None = None,
        piece: int = 0,
        known: Tensor | None = None,
    ) -> None:
        self.place = place or Place()
        self.settings, self._piece = settings, piece
        self.model: Any = towers.clip
        self._call = self.place.ready(towers)
        named = dict(self.model.named_parameters())
        self._tables = Tables(self.model, named, [*named] if known is None else [], known)
        self.descent = Descent(
            self._tables,
            settings,
            steps,
            settings.warmup,
            self.place,
            groups=parameter_groups(self.model, settings),
            fused=True if self.place.device.type == "cuda" else None,
        )
        self.optimizer = self.descent.optimizer

    def run(self, batches: Iterable[Batch], start: int = 0) -> Iterator[tuple[int, Tensor, Batch]]:
        """One step for each batch, yielding the number of steps done, the loss of this process, and the batch.

        Args:
            batches: Those from step ``start`` on; no more than the training has steps.
            start: Steps done before.
        """
        self._call.train()
        with self._tables:
            for step, batch in enumerate(batches, start):
                # All processes in the same way, or they would wait for each other at different places.
                differentiate = self._in_pieces if 0 < self._piece < max(batch.sizes) else self._whole
                yield step + 1, self.descent.step(step, partial(differentiate, batch)).detach(), batch

    def loss(self, images: Tensor, texts: Tensor, scale: Tensor, batch: Batch) -> Tensor:
        """The loss of this process's features."""
        return contrastive(images.float(), texts.float(), scale, self.settings.centring)

    def _whole(self, batch: Batch) -> Tensor:
        images, texts, scale = self._call(*batch.inputs)
        loss = self.loss(images, texts, scale, batch)
        self._backward(loss)
        return loss

    def _backward(self, loss: Tensor) -> None:
        with self._tables.gathering():
            self.place.backward(loss)

    def _in_pieces(self, batch: Batch) -> Tensor:
        """The same gradients with one piece's activations in memory at a time (GradCache, Gao et al. 2021).

        The loss needs the features of all pairs, but no activations; with its gradients at the features, each piece is
        encoded a second time and differentiated by itself.
        """
        pieces = list(zip(*(torch.split(tensor, self._piece) for tensor in batch.inputs), strict=True))
        with torch.no_grad():
            encoded = [self._call(*piece) for piece in pieces]
        images, texts = (torch.cat([piece[tower] for piece in encoded]).requires_grad_() for tower in (0, 1))
        scale = encoded[0][2].requires_grad_()
        loss = self.loss(images, texts, scale, batch)
        at_images, at_texts, at_scale = torch.autograd.grad(loss, (images, texts, scale))
        slopes = zip(torch.split(at_images, self._piece), torch.split(at_texts, self._piece), strict=True)
        for number, (piece, (at_image, at_text)) in enumerate(zip(pieces, slopes, strict=True), 1):
            last = number == len(pieces)
            with nullcontext() if last else self.place.apart(self._call):
                image, text, scale = self._call(*piece)
                part = (image * at_image).sum() + (text * at_text).sum()
                self._backward(part + scale * at_scale if last else part)
        return loss
