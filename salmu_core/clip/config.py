"""A model folder's ``open_clip_config.json``: read, and held to what a machine can build. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from salmu_core.clip.name import CONFIG
from salmu_core.disk.reading import SMALL, read_json
from salmu_core.errors import CheckpointError, FileError, MissingFileError

#: What a number of a config may be, by its name: several times what any published model has.
_LIMITS = {"layers": 1_000, "depth": 1_000, "image_size": 4_096, "size": 4_096, "context_length": 4_096}
_LIMITS |= {"width": 65_536, "embed_dim": 65_536, "mlp_ratio": 64, "patch_size": 4_096, "n_queries": 65_536}
_LIMIT = 2_000_000


def read_config(folder: Path) -> dict[str, Any]:
    """``model_cfg`` and ``preprocess_cfg`` of a model folder.

    Raises:
        CheckpointError: It has none, or one that is damaged, asks for code, or for more than can be built.
    """
    path = folder / CONFIG
    try:
        config = read_json(path, limit=SMALL)
    except MissingFileError:
        raise CheckpointError(f"{folder} is no open_clip model folder: it has no {CONFIG}") from None
    except FileError as error:
        raise CheckpointError(str(error)) from error
    parts = {"model_cfg": config.get("model_cfg"), "preprocess_cfg": config.get("preprocess_cfg") or {}}
    model = parts["model_cfg"]
    if not all(isinstance(part, dict) for part in (model, parts["preprocess_cfg"])):
        raise CheckpointError(f"{path} can't be read: model_cfg or preprocess_cfg is no object.")
    if not isinstance(text := model.get("text_cfg"), dict):
        raise CheckpointError(f"{path} can't be read: model_cfg has no text_cfg that is an object.")
    for name, number in _numbers(parts):
        if abs(number) > (most := _LIMITS.get(name, _LIMIT)):
            raise CheckpointError(f"{path} is refused: {name} is {number:,}, and more than {most:,} is never built.")
    kwargs = text.get("tokenizer_kwargs")
    if isinstance(kwargs, dict) and kwargs.get("trust_remote_code"):
        raise CheckpointError(f"{path} asks for a tokenizer that is code from the network; such a model is not loaded.")
    return parts


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number by its name; one in a list by the list's."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, list):
            numbers = [number for number in value if isinstance(number, int | float)]
            yield from ((key, number) for number in (*numbers, sum(numbers) if key == "layers" else 0))
            yield from (pair for part in value if isinstance(part, dict) for pair in _numbers(part))
        elif isinstance(value, int | float):
            yield key, value


@contextmanager
def offline() -> Iterator[None]:
    """The hub's client asks nothing of the network: what a config on this machine names must be on it."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
