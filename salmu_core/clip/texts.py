"""Captions through the text tower of a model, at the cost of their length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from open_clip import CLIP
from open_clip.transformer import TextTransformer
from torch import Tensor, nn

#: Texts from which on they are encoded in groups of about the same length, and the number of groups.
MANY, GROUPS = 64, 4


def encode_text(model: Any, tokens: Tensor, *, normalize: bool = False) -> Tensor:
    """``model.encode_text``, over no more positions than texts are long; of many, each group of a length apart.

    The same numbers, up to the order of sums: where attention is causal and the embedding is read at the end of the
    text, no position after it has a say. A model of which that is not known gets all positions. So does an
    accelerator in training: to see the length it would have to be waited for, and graphs keep their shapes.

    Args:
        tokens: Token ids, int64 ``[n, context_length]``.
        normalize: Whether embeddings are L2-normalised.

    Returns:
        Embeddings ``[n, d]``.
    """
    tower = _tower(model)
    if tower is None or not tokens.numel() or (tokens.device.type != "cpu" and torch.is_grad_enabled()):
        embeddings: Tensor = model.encode_text(tokens, normalize=normalize)
        return embeddings
    lengths = tokens.argmax(dim=-1) + 1
    if len(tokens) < MANY:
        return _encode(model, tower, tokens, int(lengths.max()), normalize)
    order = lengths.argsort(stable=True)
    groups = [
        _encode(model, tower, tokens[rows], int(lengths[rows[-1]]), normalize) for rows in order.tensor_split(GROUPS)
    ]
    return torch.cat(groups)[order.argsort()]


def _encode(model: Any, tower: nn.Module, tokens: Tensor, length: int, normalize: bool) -> Tensor:
    with _shortened(tower, length):
        embeddings: Tensor = model.encode_text(tokens[:, :length], normalize=normalize)
    return embeddings


def _tower(model: Any) -> nn.Module | None:
    """The module that has positions and mask of a text tower that reads from left to right, up to the last token."""
    tower = getattr(model, "text", model)
    if type(tower) not in (CLIP, TextTransformer) or getattr(tower, "cls_emb", None) is not None:
        return None
    pooling = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    # Whatever stands in for positions (an adapter, a caller's own) is not to be cut.
    mask = tower._buffers.get("attn_mask") if "positional_embedding" in tower._parameters else None
    if mask is None or pooling != "argmax" or getattr(tower, "use_pad_mask", False):
        return None
    return tower if not torch.triu(~mask.isneginf(), 1).any() and all(map(_plain, _parts(tower))) else None


def _parts(tower: nn.Module) -> Iterator[nn.Module]:
    """All modules of a text tower that texts go through."""
    return (part for name, child in tower.named_children() if name != "visual" for part in child.modules())


def _plain(part: nn.Module) -> bool:
    """Whether a module treats each position by those before it, as far as is known, and nobody looks on."""
    known = type(part).__module__.partition(".")[0] in ("open_clip", "salmu_core", "torch")
    return known and not (
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
    )


@contextmanager
def _shortened(tower: nn.Module, length: int) -> Iterator[None]:
    """Positions and mask of the first tokens only; a module's own attributes come before its parameters."""
    own = vars(tower)
    own["positional_embedding"] = tower._parameters["positional_embedding"][:length]  # type: ignore[index]
    own["attn_mask"] = tower._buffers["attn_mask"][:length, :length]  # type: ignore[index]
    try:
        yield
    finally:
        del own["positional_embedding"], own["attn_mask"]
