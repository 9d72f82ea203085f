"""What attacks on an unchanged checkpoint are handed, and what they hand back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salmu_core.clip.model import Clip
from salmu_core.contract.attack import Query, QueryContext, Reading, ReadoutContext
from salmu_core.contract.context import C
from salmu_core.contract.features import Features, Pairs
from salmu_core.errors import AttackError, NotGivenError
from salmu_core.run.pool import Pool
from salmu_core.train.order import CHUNK


class Asking(QueryContext[C]):
    """What an attack that asks otherwise is handed.

    Args:
        config: Its configuration.
        forget: All forget rows.
        random: Its random numbers.
    """

    def __init__(self, config: C, forget: Pairs, random: Random) -> None:
        self._config, self._forget, self._random = config, forget, random

    @property
    def config(self) -> C:
        return self._config

    @property
    def forget(self) -> Pairs:
        return self._forget

    @property
    def random(self) -> Random:
        return self._random

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        members = ", ".join(f"ctx.{member}" for member in dir(self) if not member.startswith("_"))
        raise NotGivenError(f"this kind of attack is not given ctx.{name}; what it may look at is {members}")


class ReadingOut(Asking[C], ReadoutContext[C]):
    """What an attack on embeddings is handed; it embeds by itself, because what metrics share knows the holdouts.

    Args:
        config: Its configuration.
        forget: All forget rows, as the checkpoint takes them.
        random: Its random numbers.
        leaked: Numbers of the rows that may be fitted on.
        target: The attacked checkpoint.
    """

    def __init__(self, config: C, forget: Pool, random: Random, leaked: tuple[int, ...], target: Clip) -> None:
        super().__init__(config, forget.pairs, random)
        self._pool, self._leaked, self._target = forget, leaked, target

    @property
    def leaked(self) -> Sequence[int]:
        return self._leaked

    @torch.no_grad()
    def features(self) -> Features:
        encode = self._target.model.encode_image
        images = [encode(self._pool.images(rows), normalize=True).float().cpu() for rows in chunks(len(self._pool))]
        return Features(torch.cat(images), self.texts(self.forget.captions))

    @torch.no_grad()
    def texts(self, captions: Sequence[str]) -> Tensor:
        encode, tokens = self._target.model.encode_text, self._pool.tokenize(captions)
        return torch.cat([encode(part, normalize=True).float().cpu() for part in torch.split(tokens, CHUNK)])

    def inner(self, layer: str) -> Tensor:
        parts = dict(self._target.model.named_modules())
        if not layer or layer not in parts:
            near = ", ".join(name for name in parts if name.startswith("visual"))[:200]
            raise AttackError(f"inner({layer!r}): the model has no such part; its image tower has {near}, ...")
        given: list[Any] = []
        hook = parts[layer].register_forward_hook(lambda module, inputs, output: given.append(output))
        try:
            pieces = [self._inner(layer, rows, given) for rows in chunks(len(self._pool))]
        finally:
            hook.remove()
        return torch.cat(pieces)

    @torch.no_grad()
    def _inner(self, layer: str, rows: np.ndarray, given: list[Any]) -> Tensor:
        given.clear()
        self._target.model.encode_image(self._pool.images(rows))
        if len(given) != 1 or not isinstance(given[0], Tensor) or given[0].shape[:1] != (len(rows),):
            gave = f"{type(given[0]).__name__} {list(getattr(given[0], 'shape', []))}" if given else "nothing"
            raise AttackError(
                f"inner({layer!r}): it gives {gave} for {len(rows)} images, once each; it must be a part of the image "
                "tower that gives one tensor with a row for each image"
            )
        return given[0].float().cpu()


def chunks(n: int) -> Iterator[np.ndarray]:
    """Numbers of rows that are embedded together."""
    return (np.arange(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def checked_queries(returned: object, rows: int) -> list[Query]:
    """What an attack asks, as a list.

    Raises:
        AttackError: It is none, or doesn't fit the forget rows.
    """
    queries = [returned] if isinstance(returned, Query) else list(returned) if isinstance(returned, Sequence) else []
    if not queries or not all(isinstance(query, Query) for query in queries):
        raise AttackError(
            f"query() returned {type(returned).__name__}; it must return a Query, or a list of at least one"
        )
    for query in queries:
        captions = query.captions
        if captions is not None and (isinstance(captions, str) or len(captions) != rows):
            raise AttackError(f"query() returned {len(captions)} captions for {rows} forget rows: one each, in order")
        if captions is not None and not all(isinstance(caption, str) for caption in captions):
            raise AttackError("query() returned captions that are no texts")
        if captions is None and query.images is None:
            raise AttackError("query() returned a Query with neither captions nor images: it asks for what is known")
    if len({query.label for query in queries}) != len(queries):
        raise AttackError("query() returned queries of one label: give each a `label` of its own, for the record")
    return queries


def checked_reading(returned: object, rows: int, dim: int, leaked: Sequence[int]) -> Reading:
    """What an attack reads.

    Args:
        returned: What the attack returned.
        rows: Number of forget rows.
        dim: Of the checkpoint's own embeddings.
        leaked: Rows that are not read.

    Raises:
        AttackError: It is no reading, or not one of the forget rows.
    """
    if not isinstance(returned, Reading):
        raise AttackError(f"readout() returned {type(returned).__name__}; it must return a Reading")
    image = returned.image
    if not isinstance(image, Tensor) or image.ndim != 2 or len(image) != rows:
        shape = list(getattr(image, "shape", []))
        raise AttackError(f"readout() returned image {shape}; it must be a tensor [{rows}, e], a row an image")
    if returned.texts is None and image.shape[1] != dim:
        raise AttackError(
            f"readout() returned image {list(image.shape)} without texts, and is compared with the checkpoint's own "
            f"embeddings of captions, which have {dim} columns"
        )
    read = np.setdiff1d(np.arange(rows), leaked)
    if not bool(torch.isfinite(image[torch.from_numpy(read)]).all()):
        raise AttackError("readout() returned NaN or infinite values for rows that are read")
    return returned


def one_for_each(made: object, captions: Sequence[str], dim: int) -> Tensor:
    """Embeddings that an attack made of texts ``[m, dim]``, float32 on the CPU.

    Raises:
        AttackError: They are something else.
    """
    if not isinstance(made, Tensor) or made.shape != (len(captions), dim):
        raise AttackError(
            f"Reading.texts gave {list(getattr(made, 'shape', [])) or type(made).__name__} for {len(captions)} texts; "
            f"it must give a tensor [{len(captions)}, {dim}], to be compared with what is read"
        )
    embedded = made.detach().float().cpu()
    if not bool(torch.isfinite(embedded).all()):
        raise AttackError("Reading.texts gave NaN or infinite values")
    return embedded
