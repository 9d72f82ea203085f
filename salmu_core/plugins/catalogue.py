"""What entry points declare, remembered as JSON: who lists plugins need not import them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from salmu_core.contract.hookspecs import HOOKS
from salmu_core.contract.version import API_VERSION
from salmu_core.disk.files import write_text
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import SalmuError
from salmu_core.plugins.code import CodeState, code_state


class Declaration(BaseModel):
    """A spec as JSON has it.

    Attributes:
        hook: Which hook returned it.
        data: Its fields, but for functions and classes.
        functions: Names of the fields that are functions.
        schemas: Name of each field that is a class of settings -> its JSON schema.
    """

    model_config = ConfigDict(frozen=True)

    hook: str
    data: dict[str, Any]
    functions: tuple[str, ...]
    schemas: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, spec: BaseModel) -> Self:
        """Of what a hook returned.

        Raises:
            Exception: Of any kind: something of it can't be JSON.
        """
        hook, kind = next((hook, kind) for hook, kind in HOOKS.items() if isinstance(spec, kind))
        fields = {name: getattr(spec, name) for name in kind.model_fields}
        classes = {n: v for n, v in fields.items() if isinstance(v, type) and issubclass(v, BaseModel)}
        functions = tuple(n for n, v in fields.items() if callable(v) and n not in classes)
        data = spec.model_dump(mode="json", include=fields.keys() - classes.keys() - {*functions})
        return cls(
            hook=hook, data=data, functions=functions, schemas={n: c.model_json_schema() for n, c in classes.items()}
        )

    def card(self) -> Any:
        """The spec, with something in the place of its functions that can't be called, and without its classes.

        Raises:
            KeyError: There is no such hook, or no such field.
            ValidationError: It is no such spec.
        """
        card = HOOKS[self.hook].model_validate({**self.data, **dict.fromkeys(self.functions, _absent)})
        for name in self.schemas:
            del card.__dict__[name]  # a default stands there
        return card


def _absent(*_: object, **__: object) -> None:
    """In the place of a function that was not imported."""
    raise RuntimeError("This is a card, which nothing can be run of: `Declared.spec` imports the plugin.")


class _Entry(BaseModel):
    code: str
    declares: tuple[Declaration, ...]


class _Content(BaseModel):
    environment: str
    entries: dict[str, _Entry] = {}


class Catalogue:
    """What every entry point of this Python installation was last seen to declare.

    An entry holds as long as the plugin's code, the core's, and the distributions that are installed stay what they
    are. One that is lost is made again, so a file that is damaged or can't be written is as good as none.

    Args:
        folder: Where its file lies; None for one that is empty, and stays so.
    """

    def __init__(self, folder: Path | None) -> None:
        core = code_state(__name__) if folder else None
        self._settled = core is not None and core.settled
        self._content = _Content(environment="")
        self._changed = False
        if folder is None or core is None:
            return
        self._path = folder / f"{hash_json([sys.prefix, sys.version])[:16]}.json"
        self._content = _Content(environment=hash_json([API_VERSION, core.digest, *_installed()]))
        with suppress(OSError, ValueError):
            content = _Content.model_validate_json(self._path.read_bytes())
            if content.environment == self._content.environment:
                self._content = content

    def recall(self, entry: str, code: CodeState | None) -> tuple[Declaration, ...]:
        """What an entry point declares, if that is known of the code it has; else nothing."""
        known = self._content.entries.get(entry)
        return known.declares if known and code and known.code == code.digest else ()

    def remember(self, entry: str, code: CodeState, declares: tuple[Declaration, ...]) -> None:
        """Note what an entry point declares; not if its code is so young that a change might not show."""
        known = _Entry(code=code.digest, declares=declares)
        if code.settled and self._settled and self._content.entries.get(entry) != known:
            self._content.entries[entry] = known
            self._changed = True

    def forget(self, entry: str) -> None:
        """Strike an entry point out."""
        self._changed |= self._content.entries.pop(entry, None) is not None

    def save(self) -> None:
        """Write what has changed; where that can't be, it is looked for again next time."""
        if self._changed:
            self._changed = False
            with suppress(OSError, ValueError, SalmuError):
                write_text(self._path, json.dumps(self._content.model_dump()))


def _installed() -> Iterator[list[str]]:
    """The folders that distributions are installed in, and which: plugins import what they depend on."""
    for folder in sys.path:
        with suppress(OSError):
            names = [e.name for e in os.scandir(folder or ".") if e.name.endswith((".dist-info", ".egg-info"))]
            if names:
                yield [folder, *sorted(names)]
