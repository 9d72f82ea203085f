"""Pydantic models on the page of the Python interface: their fields with what these mean, instead of a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def is_model(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel)


def signature(_app: Sphinx, _what: str, _name: str, thing: Any, *_: object) -> tuple[str, None] | None:
    # Pydantic's own spells out every pattern and bound.
    return ("", None) if is_model(thing) else None


def fields(_app: Sphinx, _what: str, _name: str, thing: Any, _options: object, lines: list[str]) -> None:
    if not is_model(thing) or not thing.model_fields:
        return
    inherited = {name for base in thing.__bases__ if is_model(base) for name in base.model_fields}
    shown = {name: field for name, field in thing.model_fields.items() if name not in inherited}
    lines += ["", "Fields:", ""]
    for name, field in shown.items():
        required = ", required" if field.is_required() else ""
        lines.append(f"* ``{name}``{required}" + (f": {field.description}" if field.description else ""))
    lines.append("")


def colon(_app: Sphinx, what: str, _name: str, _thing: Any, _options: object, lines: list[str]) -> None:
    # Napoleon takes whatever stands before a colon in a property's first line for its type.
    if what in ("property", "attribute") and lines:
        lines[0] = lines[0].replace(": ", " – ")  # noqa: RUF001


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", fields)
    app.connect("autodoc-process-docstring", colon, priority=400)
    return {"parallel_read_safe": True}
