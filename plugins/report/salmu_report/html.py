"""How pages are made from templates: whatever comes from data is text. Needs no torch."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def pages(package: str) -> Environment:
    """Templates of a package, all of whose values are escaped; JSON in them holds no NaN."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def assets(*parts: tuple[str, str]) -> Markup:
    """Styles or scripts of ours, one behind the other, to stand in a page as they are.

    Args:
        parts: Package and file name of each, below the package's ``assets``.
    """
    return Markup("\n".join((files(package) / "assets" / name).read_text("utf-8") for package, name in parts))
