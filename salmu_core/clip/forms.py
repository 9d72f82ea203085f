"""The forms in which people have weights: what is told, taken off or put together before a model gets them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from safetensors.torch import load_file
from torch import Tensor

from salmu_core.clip.name import CANARY, ModelName
from salmu_core.disk.notes import note
from salmu_core.disk.reading import open_file, read_json
from salmu_core.errors import CheckpointError

#: What lists the files of weights that are more than one.
INDEX = ".safetensors.index.json"
#: What `torch.compile`, distributed training and trainers put before every name.
_WRAPPERS = r"(?:module\.|_orig_mod\.|model\.)+"
_POINTER = b"version https://git-lfs.github.com/"
#: Names that files of more than weights have for these, of which the first is taken.
_NESTED = ("state_dict", "model")


def find_index(folder: Path) -> Path | None:
    """The index of weights in several files, where a folder has one."""
    return min(folder.glob(f"*{INDEX}"), default=None)


def read_state(file: Path) -> dict[str, Tensor]:
    """Tensors by their names, as the model has them, of a file of weights or the index of several.

    A pickle is read in `torch.load`'s ``weights_only`` way.

    Raises:
        CheckpointError: It holds no weights, or is a Git LFS pointer.
        FileError: It is missing, or no file.
    """
    if file.name.endswith(INDEX):
        listed = read_json(file).get("weight_map")
        names = {*listed.values()} if isinstance(listed, dict) else set()
        if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise CheckpointError(f"{file} can't be loaded: its weight_map names no files beside it.")
        state: Any = {name: value for part in sorted(names) for name, value in _read_one(file.parent / part).items()}
    else:
        state = _read_one(file)
    return dict(_unwrapped(file, state))


def _read_one(file: Path) -> Any:
    with open_file(file) as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(
                f"{file} can't be loaded: it is a Git LFS pointer, which stands for a file that was not fetched: "
                "`git lfs pull` fetches it."
            )
    if file.suffix == ".safetensors":
        return load_file(file)
    content = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251 - called by salmu_core.clip.load
    chosen = next((key for key in _NESTED if isinstance(content, dict) and isinstance(content.get(key), dict)), None)
    if chosen is None:
        return content
    if beside := [key for key, value in content.items() if "ema" in str(key).lower() and isinstance(value, dict)]:
        note(f"{file} holds {beside[0]!r} beside {chosen!r}, an average of the weights: {chosen!r} is taken.")
    return content[chosen]


def _unwrapped(file: Path, state: Any) -> Iterator[tuple[str, Tensor]]:
    """Names without what wrappers of the model have put before them."""
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{file} can't be loaded: it holds other things than tensors by their names.")
    scales = [name for name in state if re.fullmatch(rf"{_WRAPPERS}logit_scale", str(name))]
    prefix = min(scales, key=len).removesuffix("logit_scale") if scales and "logit_scale" not in state else ""
    own = {name.removeprefix(prefix): value for name, value in state.items() if str(name).startswith(prefix)}
    if len(own) < len(state):
        other = next(name for name in state if not str(name).startswith(prefix))
        note(f"{file}: {len(state) - len(own)} tensors that don't begin with {prefix!r} are left out ({other!r}).")
    yield from own.items()


def put(model: Any, state: dict[str, Tensor], file: Path) -> None:
    """Give a model its weights as open_clip does, and say what is not as it was.

    Args:
        state: As `read_state` gives it; changed in place.
        file: Where it comes from, for messages.

    Raises:
        CheckpointError: A tensor holds whole numbers where the model has weights.
        RuntimeError: Names or shapes are others.
    """
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    wanted = model.state_dict()
    for name in ("logit_scale", "logit_bias"):
        here, there = state.get(name), wanted.get(name)
        if here is not None and there is not None and here.ndim != there.ndim and here.numel() == there.numel():
            note(f"{file}: {name} has the shape {list(here.shape)}, the model {list(there.shape)}: it was reshaped.")
            state[name] = here.reshape(there.shape)
    if "logit_bias" not in state and wanted.get("logit_bias") is not None:
        note(f"{file} has no logit_bias, as its config wants: it is 0.")
        state["logit_bias"] = torch.zeros_like(wanted["logit_bias"])
    unused = "text.transformer.embeddings.position_ids"  # of transformers before 4.31
    if unused not in wanted:
        state.pop(unused, None)
    before = {name: value.shape for name, value in state.items() if name.endswith("positional_embedding")}
    resize_pos_embed(state, model)
    resize_text_pos_embed(state, model)
    for name, shape in before.items():
        if state[name].shape != shape:
            note(
                f"{file}: {name} has {shape[0]} positions, and the config wants {len(state[name])}: it was resized, "
                "and the model is not quite the one that was trained."
            )
    _check_kinds(state, wanted, file)
    model.load_state_dict(state, strict=True)


def _check_kinds(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path) -> None:
    weights = {name: value for name, value in state.items() if name in wanted and wanted[name].is_floating_point()}
    if whole := [name for name, value in weights.items() if not value.is_floating_point()]:
        raise CheckpointError(
            f"{file} can't be loaded: {whole[0]} holds {weights[whole[0]].dtype}, which are no weights."
        )
    half = [value.dtype for value in weights.values() if value.dtype in (torch.float16, torch.bfloat16)]
    if half:
        kind = str(half[0]).removeprefix("torch.")
        note(f"{file}: {len(half)} of {len(weights)} tensors are {kind}: they are computed with in float32.")


def tell_unchecked(name: ModelName, config: Mapping[str, Any]) -> None:
    """Say what of a model without a canary nobody can check, and what its config leaves open."""
    remedy = f" `salmu canary {name.folder} --write` makes one." if name.folder else ""
    gelu = "with" if config["model_cfg"].get("quick_gelu") else "without"
    note(
        f"{name} has no {CANARY}, so nobody can check whether it is computed as it was trained: its config says {gelu} "
        f"quick_gelu, which weights of OpenAI need and most others don't.{remedy}"
    )
    if not config["preprocess_cfg"]:
        note(
            f"The config of {name} has no preprocess_cfg: its images are resized and scaled as OpenAI's models have it."
        )
