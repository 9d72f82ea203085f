"""What portraits and sentences come from: two small protocols, and how an implementation is found."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from PIL import Image

from salmu_core import UsageError
from salmu_core.errors import UnknownNameError
from salmu_dataset.identities import Identity


@dataclass(frozen=True)
class Settings:
    """What a source is made with.

    Attributes:
        seed: Of the data set.
        size: Longer side of a portrait, in pixels.
        options: `KEY=VALUE` from the command line; a source raises UsageError for one it doesn't know.
    """

    seed: int
    size: int
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Anchor:
    """The face all portraits of a person are held against."""

    identity: Identity
    image: Image.Image


@dataclass(frozen=True)
class Portrait:
    """One candidate: an RGB image that is not square, and what anybody can see in it."""

    image: Image.Image
    caption: str


@dataclass(frozen=True)
class Facts:
    """What a sentence must say: `value` of the attribute `data_field` belongs to `name`."""

    name: str
    data_field: str
    value: str


class PortraitSource(Protocol):
    """Makes faces. Everything follows from the settings and the arguments, never from the order of calls.

    A source may set `alone = True`, if it must not be in several processes at a time, and may have a method
    `portraits(anchor, numbers)` that makes several at a time. `libraries` may name distributions whose versions its
    output depends on; a build goes on with the same ones only.
    """

    def anchor(self, identity: Identity, rng: np.random.Generator) -> Anchor:
        """A face for somebody; `rng` is this person's own."""

    def portrait(self, anchor: Anchor, number: int) -> Portrait:
        """Candidate `number`, from 0, of the person with that anchor."""

    def consistency(self, anchor: Anchor, image: Image.Image) -> float:
        """How surely `image`, as stored, shows the anchor's person: from 0 to 1."""


class CaptionSource(Protocol):
    """Words facts, in one of five styles.

    A source may set `alone = True` and `libraries`, as one of portraits may, and may have an attribute
    `fell_back`: whether its latest sentence is a template for want of a good one.
    """

    def captions(self, facts: Facts, style: int, rng: np.random.Generator) -> str:
        """A sentence with name and value word for word; `style` is from 0 to 4."""


PORTRAITS: Final = {
    "drawn": "salmu_dataset.drawn:DrawnPortraits",
    "diffusion": "salmu_dataset.diffusion:DiffusionPortraits",
}
CAPTIONS: Final = {
    "templates": "salmu_dataset.templates:TemplateCaptions",
    "paraphrase": "salmu_dataset.paraphrase:ParaphrasedCaptions",
}


def load_portraits(name: str, settings: Settings) -> PortraitSource:
    """The portrait source of that name, or `module:Class`.

    Raises:
        UsageError: There is none, it can't be imported, or it refuses its options.
    """
    source: PortraitSource = _load("portrait source", name, PORTRAITS, settings, ("anchor", "portrait", "consistency"))
    return source


def load_captions(name: str, settings: Settings) -> CaptionSource:
    """The caption source of that name, or `module:Class`.

    Raises:
        UsageError: There is none, it can't be imported, or it refuses its options.
    """
    source: CaptionSource = _load("caption source", name, CAPTIONS, settings, ("captions",))
    return source


def only_known(options: Mapping[str, str], known: tuple[str, ...], source: str) -> None:
    """Refuses options a source doesn't have.

    Raises:
        UsageError: There is one.
    """
    for key in options:
        if key not in known:
            raise UnknownNameError(f"option of the {source}", key, known)


def only_installed(modules: tuple[str, ...], source: str, extra: str) -> None:
    """Refuses to begin without the modules a source will import.

    Raises:
        UsageError: One is not installed.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UsageError(
                f"The {source} need the module {module!r}, which is not installed. Install salmu-dataset[{extra}]."
            )


def _load(kind: str, name: str, known: Mapping[str, str], settings: Settings, methods: tuple[str, ...]) -> Any:
    target = known.get(name, name)
    module, colon, attribute = target.partition(":")
    if not colon:
        raise UnknownNameError(kind, name, known, "Or name a class of your own as module:Class.")
    try:
        made = getattr(importlib.import_module(module), attribute)(settings)
    except ModuleNotFoundError as error:
        hint = f" Install salmu-dataset[{name}]." if name in known else ""
        raise UsageError(
            f"The {kind} {name!r} needs the module {error.name!r}, which is not installed.{hint}"
        ) from error
    except AttributeError as error:
        raise UsageError(f"The {kind} {name!r} can't be made: {error}.") from error
    lacking = [method for method in methods if not callable(getattr(made, method, None))]
    if lacking:
        raise UsageError(f"The {kind} {name!r} has no method {lacking[0]!r}.")
    return made
