"""Captions as a tokenizer has them, tokenised once for each content and tokenizer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from open_clip.tokenizer import HFTokenizer, SigLipTokenizer, SimpleTokenizer
from safetensors.torch import load, save
from torch import Tensor

from salmu_core.clip.model import Clip
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.hashing import hash_file, hash_json, hash_text
from salmu_core.disk.notes import note
from salmu_core.disk.space import TOKENS

#: Libraries that clean and cut texts, where they are installed.
_LIBRARIES = ("open-clip-torch", "ftfy", "regex", "transformers", "tokenizers", "sentencepiece")
#: Captions that are fewer are tokenised sooner than looked for.
FEW = 16


def tokenize(clip: Clip, captions: Sequence[str]) -> Tensor:
    """As `Clip.tokenize`, from the cache where it has them.

    Args:
        clip: Whose tokenizer is used.
        captions: Texts ``[n]``.
    """
    identity = identity_of(clip.tokenizer) if len(captions) >= FEW else None
    if identity is None:
        return clip.tokenize(captions)
    key = [identity, hash_json(list(captions))]
    if (known := recall(TOKENS, key)) is not None:
        return load(known)["tokens"].long()
    tokens = clip.tokenize(captions)
    if int(tokens.min()) >= 0 and int(tokens.max()) < 2**31:
        remember(TOKENS, key, save({"tokens": tokens.int()}))
    return tokens


def tell_cut(clip: Clip, what: str, captions: Sequence[str], values: Sequence[str | None] = ()) -> None:
    """Say how many captions are longer than a model reads, and of how many the private value is cut off.

    Args:
        clip: Whose tokenizer is used.
        what: The captions are, as in ``forget``.
        captions: Texts ``[n]``.
        values: What each of them tells ``[n]``; empty where that is not known.
    """
    long = _cut(clip, captions)
    if not len(long):
        return
    told = [(captions[i], values[i]) for i in long.tolist()] if values else []
    ends = [text[: text.find(value) + len(value)] for text, value in told if value and value in text]
    unseen = len(_cut(clip, ends))
    lost = f", and in {unseen:,} of them the private value, so that no model of this kind can tell it" if unseen else ""
    context = clip.tokenize([""]).shape[1]
    note(
        f"{len(long):,} of {len(captions):,} captions of {what} are longer than the {context} tokens of the model's "
        f"context: their ends are cut off{lost} ({captions[long[0]]!r:.160})."
    )


def _cut(clip: Clip, captions: Sequence[str]) -> np.ndarray:
    """Numbers of the captions that a tokenizer cuts."""
    if not len(captions) or getattr(clip.tokenizer, "reduction_fn", None):
        return np.empty(0, dtype=int)
    tokens, padding = tokenize(clip, captions), clip.tokenize([""])[0, -1]
    full = np.flatnonzero((tokens[:, -1] != padding).numpy())
    if not len(full):
        return full
    # What fits exactly looks the same, but not where there is room for one token more.
    longer = clip.tokenizer([captions[i] for i in full.tolist()], context_length=tokens.shape[1] + 1)
    cut: np.ndarray = full[(longer[:, -1] != padding).numpy()]
    return cut


@lru_cache(maxsize=8)
def identity_of(tokenizer: Any) -> str | None:
    """Two tokenizers for which this is equal give equal tokens; None for one of which too little is known to say so.

    It is made of all that they consist of: vocabulary, merges, settings, files; and of the code by its versions.
    """
    kind = type(tokenizer)
    if kind not in (SimpleTokenizer, HFTokenizer, SigLipTokenizer) or getattr(tokenizer, "reduction_fn", None):
        return None  # a reduction draws random numbers
    content: Any
    if kind is SimpleTokenizer:
        pieces, merges = (
            hash_text("\n".join(table)) for table in (tokenizer.encoder, map(" ".join, tokenizer.bpe_ranks))
        )
        numbers = [hash_text(str(list(table.values()))) for table in (tokenizer.encoder, tokenizer.bpe_ranks)]
        content = [pieces, merges, numbers, tokenizer.pat.pattern, tokenizer.sot_token_id, tokenizer.eot_token_id]
    else:
        content = _files(tokenizer.tokenizer)
    settings = {
        name: str(getattr(value, "__qualname__", value))
        for name, value in vars(tokenizer).items()
        if value is None or isinstance(value, str | int) or callable(value)
    }
    settings.pop("tokenizer", None)
    return hash_json([kind.__name__, settings, content, [_version(name) for name in _LIBRARIES]])


def _files(tokenizer: Any) -> list[list[str]]:
    """Hugging Face's own files of a tokenizer, but for what its last call has left in them."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        whole = Path(folder) / "tokenizer.json"
        if whole.is_file():
            parts = json.loads(whole.read_text(encoding="utf-8"))
            whole.write_text(json.dumps({**parts, "truncation": None, "padding": None}), encoding="utf-8")
        return [[str(f.relative_to(folder)), hash_file(f)] for f in sorted(Path(folder).rglob("*")) if f.is_file()]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
