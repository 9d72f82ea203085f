"""open_clip models: loading, preprocessing and encoding, always by the model's own config."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import HF_HUB_PREFIX, _find_checkpoint_in_dir
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors import SafetensorError
from torch import nn

from salmu_core.clip.canary import Canary, check_canary, read_canary
from salmu_core.clip.config import offline, read_config
from salmu_core.clip.forms import find_index, put, read_state, tell_unchecked
from salmu_core.clip.model import Clip, assemble, plain_tokenizer, quiet
from salmu_core.clip.name import CANARY, CONFIG, ModelName, find_model
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import CheckpointError, FileError, UsageError

#: What a model on a hub may consist of, beside its config. The first weights there are, are taken.
_HUB_WEIGHTS = (WEIGHTS, "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")

#: Weights that a config may describe without having them: they take 400 MB.
_HARMLESS = 100_000_000


@dataclass(frozen=True)
class Parts:
    """Where the parts of a model lie.

    Attributes:
        config: ``model_cfg`` and ``preprocess_cfg``.
        folder: The folder that holds both; None for an architecture with a file of weights.
    """

    name: ModelName
    config: dict[str, Any]
    weights: Path
    folder: Path | None


def load_clip(name: str | Path, *, check: bool = True) -> Clip:
    """Load a model: a folder, ``local-dir:PATH``, ``hf-hub:OWNER/NAME[@REVISION]`` or ``ARCHITECTURE:WEIGHTS``.

    Tokenizer and preprocessing are those of the model's config; for an architecture, of open_clip's config of that
    name. Weights are safetensors, or a pickle of which nothing but tensors is read (``weights_only=True``). The global
    random state is left as it was found.

    Args:
        name: The model. A `Path` is a folder.
        check: Whether to compare its embeddings with its canary (see `salmu_core.clip.canary`), if it has one.

    Raises:
        CheckpointError: There is no such model, its files can't be read, its weights are another architecture's, or it
            does not give the embeddings its canary says.
    """
    try:
        model_name = find_model(name)
    except UsageError as error:
        raise CheckpointError(str(error)) from error
    with quiet():
        parts = locate(model_name)
        model = _build(parts)
        _load_weights(model, parts)
        clip = assemble(str(model_name), model, parts.config, _tokenizer(parts))
        model.eval().requires_grad_(True)
    canary = canary_of(parts) if check else None
    if canary is None:
        if check:
            tell_unchecked(model_name, parts.config)
        return clip
    try:
        check_canary(canary, clip, parts.weights)
    except CheckpointError as error:
        if parts.folder is None and (parts.weights.parent / CONFIG).is_file():
            raise CheckpointError(
                f"{error} The file's own {CONFIG} lies beside it: load {parts.weights.parent}."
            ) from error
        raise
    return clip


def canary_of(parts: Parts) -> Canary | None:
    """The canary of a model: in its folder, or beside a file of weights, if it was written for that very file.

    Raises:
        CheckpointError: It is damaged, or of another release.
    """
    if parts.folder is not None:
        return read_canary(parts.folder)
    canary = read_canary(parts.weights.parent)
    return canary if canary is not None and canary.weights == hash_file(parts.weights) else None


def locate(name: ModelName) -> Parts:
    """Find the parts of a model; those on a hub are fetched.

    Raises:
        CheckpointError: It has none, or they can't be fetched or read.
    """
    if name.architecture:
        assert name.weights is not None
        model_cfg = open_clip.get_model_config(name.architecture)
        return Parts(name, {"model_cfg": model_cfg, "preprocess_cfg": _usual(name.architecture)}, name.weights, None)
    folder = name.folder if name.folder is not None else _download(name)
    weights = _find_checkpoint_in_dir(folder)  # open_clip's own choice among several
    if (index := find_index(folder)) is not None and not (folder / WEIGHTS).is_file():
        weights = str(index)
    if weights is None:
        raise CheckpointError(f"{folder} can't be loaded: it has no weights, such as {WEIGHTS}.")
    return Parts(name, read_config(folder), Path(weights), folder)


def _usual(architecture: str) -> dict[str, Any]:
    """The preprocessing all published weights of an architecture share; where they differ, open_clip's default."""
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    configs = [merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(architecture, tag)) for tag in tags]
    agree = bool(configs) and all(config == configs[0] for config in configs)
    shared = configs[0] if agree else merge_preprocess_dict(PreprocessCfg(), {})
    del shared["size"]  # the architecture's
    return {key: list(value) if isinstance(value, tuple) else value for key, value in shared.items()}


def _download(name: ModelName) -> Path:
    """Fetch a model from the hub; returns its folder in the hub's cache."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def here(file: str) -> bool:
        return isinstance(try_to_load_from_cache(name.repository, file, revision=name.revision), str)

    def fetch(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(name.repository, file, revision=name.revision))
        except LocalEntryNotFoundError:  # offline: nobody can say whether the hub has it
            # A model that is here already is used without its canary; one that is to be fetched is not.
            if file == CONFIG or (file == CANARY and not any(map(here, _HUB_WEIGHTS))):
                raise
            return None
        except EntryNotFoundError:
            return None

    try:
        config = fetch(CONFIG)
        if config is None:
            raise CheckpointError(f"{name} is no open_clip model: it has no {CONFIG}.")
        fetch(CANARY)  # before the weights, so that a failure does not leave them here without it
        if not any(fetch(file) for file in _HUB_WEIGHTS):
            raise CheckpointError(f"{name} can't be loaded: it has no weights, such as {_HUB_WEIGHTS[0]}.")
    except CheckpointError:
        raise
    except Exception as error:  # whatever a network, a token or a cache can raise
        raise CheckpointError(f"{name} can't be fetched: {type(error).__name__}: {_first_line(error)}") from error
    return config.parent


def _build(parts: Parts) -> Any:
    """The architecture of a config, with random weights; the global random state is left alone."""
    here = nullcontext() if parts.name.repository else offline()
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]), here:
        (Path(folder) / CONFIG).write_text(json.dumps(parts.config), encoding="utf-8")
        build = partial(open_clip.create_model, f"local-dir:{folder}", load_weights=False, pretrained_text=False)
        wanted = 0
        with suppress(Exception), torch.device("meta"):  # what takes no memory, if every part of it can be had so
            wanted = sum(parameter.numel() for parameter in build(device="meta").parameters())
        if wanted > max(_HARMLESS, size := parts.weights.stat().st_size):
            raise CheckpointError(
                f"{parts.name} can't be loaded: its {CONFIG} describes {wanted:,} numbers, and {parts.weights} has "
                f"{size:,} bytes."
            )
        try:
            return build()
        except Exception as error:  # whatever a tower makes of a config: TypeError, KeyError, ImportError, ...
            why = f"{type(error).__name__}: {_first_line(error)}"
            raise CheckpointError(
                f"{parts.name} can't be loaded: open_clip can't build its model_cfg: {why}"
            ) from error


def _tokenizer(parts: Parts) -> Any:
    text = parts.config["model_cfg"]["text_cfg"]
    source = text.get("hf_tokenizer_name")
    try:
        if source and parts.name.repository:  # as open_clip: on a hub the tokenizer is a repository of its own
            return HFTokenizer(
                source.removeprefix(HF_HUB_PREFIX),
                context_length=text.get("context_length", 77),
                tokenizer_mode=text.get("tokenizer_mode"),
                **(text.get("tokenizer_kwargs") or {}),
            )
        if not (source or parts.name.architecture):
            return plain_tokenizer(parts.config)
        return open_clip.get_tokenizer(parts.name.architecture or f"local-dir:{parts.folder}")
    except ImportError as error:
        raise CheckpointError(
            f"{parts.name} has a tokenizer of Hugging Face ({source}), which needs another package: "
            f"pip install transformers. ({_first_line(error)})"
        ) from error
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and more
        where = f"{parts.folder} has none of its files that can be read" if parts.folder else "it can't be fetched"
        raise CheckpointError(
            f"{parts.name} can't be loaded: its tokenizer is {source or 'not known to open_clip'}, and {where}: "
            f"{_first_line(error)}"
        ) from error


def _load_weights(model: nn.Module, parts: Parts) -> None:
    from pickle import UnpicklingError  # noqa: TID251 - only to name what was refused

    file = parts.weights
    try:
        with _tensors_only():
            put(model, read_state(file), file)
    except CheckpointError:
        raise
    except FileError as error:
        raise CheckpointError(f"{file} can't be loaded: {error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{file} can't be loaded: it is no whole safetensors file ({error}).") from error
    except UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise CheckpointError(
                f"{file} is refused: it is a pickle that asks for {asked[1]} when it is read, and nothing but tensors "
                "is ever read from one. Get the model as safetensors."
            ) from error
        raise CheckpointError(f"{file} can't be loaded: it is damaged, or no file of weights.") from error
    except Exception as error:  # RuntimeError, AssertionError, KeyError, StopIteration: by what differs
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{file} is refused: it is a TorchScript archive, which is code. Get the model as safetensors."
            ) from error
        if isinstance(error, OSError):
            raise CheckpointError(f"{file} can't be loaded: {error}") from error
        what = parts.name.architecture or CONFIG
        raise CheckpointError(
            f"{file} can't be loaded: its weights are not those of {what}: {_misfit(error)}."
        ) from error


def _misfit(error: Exception) -> str:
    """PyTorch's list of every tensor that differs, as a sentence."""
    text, differences = str(error), []
    for kind, meaning in (("Missing", "are missing"), ("Unexpected", "are none of it")):
        listed = re.search(rf"{kind} key\(s\) in state_dict: (.*?)\.\s*(?:\n|$)", text, re.S)
        if listed:
            names = re.findall(r'"([^"]+)"', listed[1])
            differences.append(f"{len(names)} tensors {meaning} ({names[0]}{', ...' if len(names) > 1 else ''})")
    shapes = re.findall(r"size mismatch for (\S+): copying a param with shape \S*?\(?(\[.*?\])\)? .*?(\[.*?\])", text)
    if shapes:
        name, shape, needed = shapes[0]
        differences.append(f"{len(shapes)} have another shape ({name} is {shape}, {needed} is needed)")
    return ", ".join(differences) or f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Whoever reads a pickle in this block reads tensors alone, whatever the environment says."""
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
