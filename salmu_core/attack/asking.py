"""What attacks on an unchanged checkpoint are handed, and what they hand back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from salmu_core.clip.model import Clip
from salmu_core.contract.attack import Query, QueryContext, Reading, ReadoutContext
from salmu_core.contract.context import C
from salmu_core.contract.features import Features, Pairs
from salmu_core.errors import AttackError, NotGivenError
from salmu_core.run.pool import Pool, Pools
from salmu_core.train.order import CHUNK

A = TypeVar("A", Query, Reading)


class Asking(QueryContext[C]):
    """What an attack that asks otherwise is handed.

    Args:
        config: Its configuration.
        forget: All forget rows.
        random: Its random numbers.
        absent: Where it may write what is not measured.
    """

    def __init__(self, config: C, forget: Pairs, random: Random, absent: dict[str, str]) -> None:
        self._config, self._forget, self._random, self._absent = config, forget, random, absent

    def not_measured(self, label: str, reason: str) -> None:
        self._absent[label] = reason

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
        absent: Where it may write what is not measured.
        leaked: Numbers of the rows that may be fitted on.
        given: The sets that it is given.
        target: The attacked checkpoint.
    """

    def __init__(
        self,
        config: C,
        forget: Pool,
        random: Random,
        absent: dict[str, str],
        leaked: tuple[int, ...],
        given: Pools,
        target: Clip,
    ) -> None:
        super().__init__(config, forget.pairs, random, absent)
        self._pool, self._leaked, self._given, self._target = forget, leaked, given, target

    @property
    def leaked(self) -> Sequence[int]:
        self._given["leaked"]  # refuses it to who holds none
        return self._leaked

    @property
    def retain(self) -> Pairs:
        return self._given["retain"].pairs

    @torch.no_grad()
    def features(self, of: Literal["forget", "retain"] = "forget") -> Features:
        pairs = self.retain if of == "retain" else self.forget
        pool, encode = self._given["retain"] if of == "retain" else self._pool, self._target.model.encode_image
        images = [encode(pool.images(rows), normalize=True).float().cpu() for rows in chunks(len(pool))]
        return Features(torch.cat(images), self.texts(pairs.captions))

    @torch.no_grad()
    def texts(self, captions: Sequence[str]) -> Tensor:
        encode, tokens = self._target.model.encode_text, self._pool.tokenize(captions)
        return torch.cat([encode(part, normalize=True).float().cpu() for part in torch.split(tokens, CHUNK)])

    @property
    def layers(self) -> Sequence[str]:
        return [name for name, _ in self._target.model.named_modules() if name.startswith("visual")]

    def inner(self, layer: str, reduce: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        parts = dict(self._target.model.named_modules())
        if not layer or layer not in parts:
            near = ", ".join(self.layers)[:200]
            raise AttackError(f"inner({layer!r}): the model has no such part; its image tower has {near}, ...")
        given: list[Any] = []
        hook = parts[layer].register_forward_hook(lambda module, inputs, output: given.append(output))
        try:
            kept = reduce or Tensor.float
            pieces = [kept(self._inner(layer, rows, given)).cpu() for rows in chunks(len(self._pool))]
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
        return given[0].float()


def chunks(n: int) -> Iterator[np.ndarray]:
    """Numbers of rows that are embedded together."""
    return (np.arange(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def checked_queries(returned: object, rows: int) -> list[Query]:
    """What an attack asks, as a list.

    Raises:
        AttackError: It is none, or doesn't fit the forget rows.
    """
    queries = _several(returned, Query, "query")
    for query in queries:
        captions = query.captions
        if captions is not None and (isinstance(captions, str) or len(captions) != rows):
            raise AttackError(f"query() returned {len(captions)} captions for {rows} forget rows: one each, in order")
        if captions is not None and not all(isinstance(caption, str) for caption in captions):
            raise AttackError("query() returned captions that are no texts")
        if query.images is not None and query.pixels is not None:
            raise AttackError("query() returned a Query with both images and pixels: each is the other, changed")
        if not (query.captions or query.images or query.pixels or query.exchanged):
            raise AttackError("query() returned a Query with neither captions nor images: it asks for what is known")
    return queries


def _several(returned: object, kind: type[A], by: str) -> list[A]:
    """What an attack returned, one or several of a kind, as a list.

    Raises:
        AttackError: It is none, or two have one label.
    """
    found = [returned] if isinstance(returned, kind) else list(returned) if isinstance(returned, Sequence) else []
    if not found or not all(isinstance(one, kind) for one in found):
        what = f"a {kind.__name__}, or a list of at least one"
        raise AttackError(f"{by}() returned {type(returned).__name__}; it must return {what}")
    if len({one.label for one in found}) != len(found):
        raise AttackError(f"{by}() returned two of one label: give each a `label` of its own, for the record")
    return found


def checked_readings(returned: object, rows: int, dim: int, leaked: Sequence[int]) -> list[Reading]:
    """What an attack reads, as a list.

    Args:
        returned: What the attack returned.
        rows: Number of forget rows.
        dim: Of the checkpoint's own embeddings.
        leaked: Rows that are not read.

    Raises:
        AttackError: It is no reading, or not one of the forget rows.
    """
    readings = _several(returned, Reading, "readout")
    for reading in readings:
        _check_reading(reading, rows, dim, leaked)
    return readings


def _check_reading(reading: Reading, rows: int, dim: int, leaked: Sequence[int]) -> None:
    image = reading.image
    if not isinstance(image, Tensor) or image.ndim != 2 or len(image) != rows:
        shape = list(getattr(image, "shape", []))
        raise AttackError(f"readout() returned image {shape}; it must be a tensor [{rows}, e], a row an image")
    if reading.texts is None and image.shape[1] != dim:
        raise AttackError(
            f"readout() returned image {list(image.shape)} without texts, and is compared with the checkpoint's own "
            f"embeddings of captions, which have {dim} columns"
        )
    read = np.setdiff1d(np.arange(rows), leaked)
    if not bool(torch.isfinite(image[torch.from_numpy(read)]).all()):
        raise AttackError("readout() returned NaN or infinite values for rows that are read")
    try:
        json.dumps(dict(reading.details or {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AttackError(f"Reading.details can't stand in a record: {error}") from error


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
