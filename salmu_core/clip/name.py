"""Names of models, as `salmu evaluate` and a benchmark's `clean` and `compromised` take them. Needs no torch.

A folder (with or without ``local-dir:``), ``hf-hub:OWNER/NAME`` (with or without ``@REVISION``), or an architecture of
open_clip with a file of weights, ``ViT-B-16:path/to/model.safetensors``.
"""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from salmu_core.errors import UsageError

CONFIG = "open_clip_config.json"
#: What a model gave when it was made; see `salmu_core.clip.canary`.
CANARY = "salmu_canary.json"
#: Files of weights that are read: safetensors, and pickles of which nothing but tensors is taken.
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")

_HUB = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class ModelName:
    """Where a model is; exactly one of folder, repository and architecture is given.

    Attributes:
        folder: An open_clip model folder, absolute.
        repository: ``OWNER/NAME`` on the hub.
        revision: A branch, tag or commit there.
        architecture: An architecture of open_clip.
        weights: The file of weights that goes with the architecture, absolute.
    """

    folder: Path | None = None
    repository: str = ""
    revision: str | None = None
    architecture: str = ""
    weights: Path | None = None

    def __str__(self) -> str:
        if self.folder is not None:
            return f"local-dir:{self.folder}"
        if self.repository:
            return f"hf-hub:{self.repository}" + (f"@{self.revision}" if self.revision else "")
        return f"{self.architecture}:{self.weights}"


def find_model(name: str | Path, base: Path | None = None) -> ModelName:
    """What a name stands for; of what is on this machine, that it is there.

    Args:
        name: The name. A `Path` is always a folder.
        base: What relative paths are relative to; by default the working folder.

    Raises:
        UsageError: It stands for nothing: no such folder, file or architecture, or not the form of a name.
    """
    text = str(name)
    scheme, _, rest = text.partition(":")
    if isinstance(name, Path):
        return _folder(name, base)
    if scheme == "local-dir":
        return _folder(Path(rest), base)
    if scheme == "hf-hub":
        match = _HUB.fullmatch(rest)
        if match is None:
            raise UsageError(
                f"{text!r} is no model on the hub: write hf-hub:OWNER/NAME, or hf-hub:OWNER/NAME@REVISION."
            )
        return ModelName(repository=match["repository"], revision=match["revision"])
    if rest and len(scheme) > 1 and not _path(Path(text), base).exists():  # C:\... is a path
        return _architecture(scheme, Path(rest), base)
    return _folder(Path(text), base)


def architectures() -> tuple[str, ...]:
    """Names of open_clip's architectures; it is not imported for that."""
    if (loaded := sys.modules.get("open_clip")) is not None:
        return tuple(loaded.list_models())  # some may have been added
    package = find_spec("open_clip")
    if package is None or package.origin is None:
        return ()
    return tuple(sorted(path.stem for path in (Path(package.origin).parent / "model_configs").glob("*.json")))


def _path(path: Path, base: Path | None) -> Path:
    return (base or Path()).joinpath(path.expanduser()).resolve()


def _folder(given: Path, base: Path | None) -> ModelName:
    folder = _path(given, base)
    if (folder / CONFIG).is_file():
        return ModelName(folder=folder)
    if folder.is_file():
        raise UsageError(f"{given} is a file: give its architecture before it, as in ViT-B-16:{given}.")
    if str(given).replace("/", "-") in architectures():
        raise UsageError(f"{given} is an architecture without weights: give a file of them, as in {given}:PATH.")
    hint = (
        f" For a model on the hub write hf-hub:{given}." if _HUB.fullmatch(str(given)) and not folder.is_dir() else ""
    )
    raise UsageError(f"{given} is no open_clip model folder: it has no {CONFIG}.{hint}")


def _architecture(name: str, given: Path, base: Path | None) -> ModelName:
    tag = name.replace("/", "-")  # as open_clip reads ViT-B/16
    if tag not in architectures():
        near = difflib.get_close_matches(tag, architectures(), n=3, cutoff=0.5)
        meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UsageError(f"{name}:{given}: there is no such folder, and open_clip has no architecture {name!r}.{meant}")
    weights = _path(given, base)
    if weights.suffix not in SUFFIXES:
        suffixes = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise UsageError(f"{name}:{given}: after an architecture comes a file of weights, {suffixes}.")
    if not weights.is_file():
        raise UsageError(f"{name}:{given}: there is no file {weights}.")
    return ModelName(architecture=tag, weights=weights)
