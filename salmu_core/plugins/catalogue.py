"""What entry points declare, remembered as JSON: who lists plugins imports neither them nor pydantic."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from salmu_core.contract.version import API_VERSION
from salmu_core.disk.files import write_text
from salmu_core.disk.hashing import hash_json, hash_text
from salmu_core.disk.reading import read_text
from salmu_core.errors import FileError, SalmuError
from salmu_core.plugins.code import CodeState, code_state

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Declaration:
    """A spec as JSON has it.

    Attributes:
        hook: Which hook returned it.
        data: Its fields, but for functions and classes.
        functions: Names of the fields that are functions.
        schemas: Name of each field that is a class of settings -> its JSON schema.
    """

    hook: str
    data: Mapping[str, Any]
    functions: tuple[str, ...]
    schemas: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, spec: BaseModel, hooks: Mapping[str, type[BaseModel]]) -> Self:
        """Of what one of the hooks returned.

        Raises:
            Exception: Of any kind: something of it can't be JSON.
        """
        from pydantic import BaseModel

        hook, kind = next((hook, kind) for hook, kind in hooks.items() if isinstance(spec, kind))
        fields = {name: getattr(spec, name) for name in kind.model_fields}
        classes = {n: v for n, v in fields.items() if isinstance(v, type) and issubclass(v, BaseModel)}
        functions = tuple(n for n, v in fields.items() if callable(v) and n not in classes)
        data = spec.model_dump(mode="json", include=fields.keys() - classes.keys() - {*functions})
        return cls(hook, data, functions, {n: c.model_json_schema() for n, c in classes.items()})

    def card(self, hooks: Mapping[str, type[BaseModel]]) -> Any:
        """The spec, with something in the place of its functions that can't be called, and without its classes.

        Raises:
            ValidationError: It is no such spec.
        """
        card = hooks[self.hook].model_validate({**self.data, **dict.fromkeys(self.functions, _absent)})
        for name in self.schemas:
            del card.__dict__[name]  # a default stands there
        return card


def _absent(*_: object, **__: object) -> None:
    """In the place of a function that was not imported."""
    raise RuntimeError("This is a card, which nothing can be run of: `Declared.spec` imports the plugin.")


@dataclass(frozen=True)
class Entry:
    """What is remembered of an entry point.

    Attributes:
        code: `CodeState.digest` of what it was imported from.
        distribution: Name of its distribution.
        version: The distribution's.
        declares: What it declares.
    """

    code: str
    distribution: str
    version: str
    declares: tuple[Declaration, ...]


class Catalogue:
    """What every entry point of this Python installation was last seen to declare.

    An entry holds as long as the plugin's code and metadata, the core's code, and the distributions that are installed
    stay what they are. One that is lost is made again: a file that is damaged or can't be written is as good as none.

    Args:
        folder: Where its file lies; None for one that is empty, and stays so.
    """

    def __init__(self, folder: Path | None) -> None:
        core = code_state(__name__) if folder else None
        self._settled = core is not None and core.settled
        self._entries: dict[str, Entry] = {}
        self._changed = False
        if folder is None or core is None:
            return
        self._path = folder / f"{hash_json([sys.prefix, sys.version])[:16]}.json"
        self._environment = hash_json([API_VERSION, core.digest, *_installed()])
        with suppress(FileError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            content = json.loads(read_text(self._path))  # a plugin may declare an infinity
            if content["seal"] == self._seal(content["entries"]):
                self._entries = {key: _entry(**entry) for key, entry in content["entries"].items()}

    def recall(self, key: str, code: CodeState | None) -> Entry | None:
        """What is known of an entry point and the code it has now."""
        known = self._entries.get(key)
        return known if known and code and known.code == code.digest else None

    def remember(self, key: str, code: CodeState, entry: Entry) -> None:
        """Note what an entry point declares; not if its code is so young that a change might not show."""
        if code.settled and self._settled and self._entries.get(key) != entry:
            self._entries[key] = entry
            self._changed = True

    def forget(self, key: str) -> None:
        """Strike an entry point out."""
        self._changed |= self._entries.pop(key, None) is not None

    def save(self) -> None:
        """Write what has changed; where that can't be, it is looked for again next time."""
        if self._changed:
            self._changed = False
            with suppress(OSError, ValueError, SalmuError):
                entries = {key: asdict(entry) for key, entry in self._entries.items()}
                write_text(self._path, json.dumps({"seal": self._seal(entries), "entries": entries}))

    def _seal(self, entries: Mapping[str, Any]) -> str:
        return hash_text(f"{self._environment} {json.dumps(entries)}")


def _entry(declares: list[dict[str, Any]], **facts: str) -> Entry:
    return Entry(declares=tuple(Declaration(**{**d, "functions": tuple(d["functions"])}) for d in declares), **facts)


def key_of(point: EntryPoint) -> str:
    """What an entry point is remembered by: its words, and all that its distribution says of itself."""
    dist = point.dist
    metadata = (dist.read_text("METADATA") or dist.read_text("PKG-INFO")) if dist else None
    return hash_json([point.name, point.value, metadata])


def _installed() -> Iterator[list[str]]:
    """The folders that distributions are installed in, and which: plugins import what they depend on."""
    for folder in sys.path:
        with suppress(OSError):
            names = [e.name for e in os.scandir(folder or ".") if e.name.endswith((".dist-info", ".egg-info"))]
            if names:
                yield [folder, *sorted(names)]
