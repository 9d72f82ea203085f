"""From a name to a package: checks it, guesses the rest, and fills in templates."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import TypeAdapter, ValidationError

from salmu_core.contract.declared import MetricName, Name
from salmu_core.contract.version import REQUIREMENT
from salmu_core.disk.files import new_folder, write_text
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import Zoo


class Kind(StrEnum):
    """What can be made."""

    method = "method"
    metric = "metric"
    benchmark = "benchmark"
    attack = "attack"


class Attack(StrEnum):
    """What an attack can do: change the model, ask otherwise, or read embeddings."""

    model = "model"
    query = "query"
    readout = "readout"


@dataclass(frozen=True)
class Made:
    """A package that was made.

    Attributes:
        files: Its files, relative to the folder.
    """

    folder: Path
    files: tuple[Path, ...]


def make_plugin(
    kind: Kind,
    name: str,
    into: Path | None,
    zoo: Zoo,
    *,
    edit: bool = False,
    over: str | None = None,
    attack: Attack = Attack.model,
) -> Made:
    """Write a package.

    Args:
        into: The folder to make; by default ``salmu-NAME`` here.
        edit: For a method: one that edits weights, not a loss.
        over: For a method: one that stands on any loss, by default on that of this method.
        attack: For an attack: what it does.

    Raises:
        UnknownNameError: There is no method to stand on.
        UsageError: The name is invalid or taken, that method has no loss, or the folder is there already.
    """
    slug = _slug(kind, name)
    names = {"distribution": f"salmu-{slug}", "module": f"salmu_{slug.replace('-', '_')}"}
    _refuse_taken(kind, name, names, zoo)
    needs = [REQUIREMENT]
    if over is not None:
        if not zoo.methods[over].facts["loss"]:
            raise UsageError(f"There is no loss of {over} to stand on: name a method that is given by its loss.")
        needs.append(zoo.methods[over].distribution)
    folder = into if into is not None else Path(names["distribution"])
    if folder.exists() and not _free(folder):
        raise UsageError(f"{folder} is there already. Give another folder by --into, or remove it.")
    facts = {
        **names,
        "kind": kind,
        "name": name,
        "slug": slug,
        "entry_point": name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name),
        "title": name if kind == "metric" else slug.replace("-", " ").capitalize(),
        "description": f"{name}: {'an' if kind == 'attack' else 'a'} {kind} for SALMU.",
        "requirements": json.dumps(needs),
        "author": json.dumps(_author(), ensure_ascii=False),
        "edit": edit,
        "over": over,
        "attack": attack,
    }
    files = _render(facts, bare=_in_a_repository(folder))
    try:
        if folder.exists():
            files = {path: text for path, text in files.items() if not (folder / path).exists()}
            _write(folder, files)
        else:
            with new_folder(folder.absolute()) as empty:
                _write(empty, files)
    except OSError as error:
        raise UsageError(f"{folder} can't be made: {error.strerror}. Give another folder by --into.") from error
    return Made(folder, tuple(sorted(map(Path, files))))


def _free(folder: Path) -> bool:
    """Whether nothing but hidden files is there, as in a repository that has just been made."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def _slug(kind: Kind, name: str) -> str:
    """The name as it stands in a distribution's: ``MyMetric`` -> ``my-metric``."""
    slug, form, advice = name, Name, f"Use lower-case words joined by hyphens, e.g. 'my-{kind}'."
    if kind == "metric":
        form, advice = MetricName, "Use letters, digits, '_' and '-', e.g. 'MyMetric'."
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
        slug = re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-")
    try:
        TypeAdapter(form).validate_python(name)
        TypeAdapter(Name).validate_python(slug)
    except ValidationError as error:
        raise UsageError(f"{name!r} can't be the name of a {kind}. {advice}") from error
    return slug


def _refuse_taken(kind: Kind, name: str, names: dict[str, str], zoo: Zoo) -> None:
    owners = [declared.distribution for taken, declared in zoo.shelves[kind].items() if taken == name]
    owners += [row.distribution for row in zoo.problems if row.name == name or f"{kind} {name}" in row.declares]
    if owners:
        raise UsageError(f"The {kind} {name!r} is taken, by {owners[0]}. Choose another name, or uninstall it.")
    try:
        distribution(names["distribution"])
    except PackageNotFoundError:
        if find_spec(names["module"]) is None:
            return
    raise UsageError(
        f"{names['distribution']} (module {names['module']}) is installed already. Choose another name than {name!r}."
    )


def _author() -> str:
    """Who git says is typing, or nobody."""
    if shutil.which("git") is None:
        return ""
    command = ["git", "config", "user.name"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    return "".join(c for c in done.stdout if c.isprintable()).strip()


def _render(facts: dict[str, Any], *, bare: bool) -> dict[str, str]:
    """Path -> text of each file; a bare package leaves version control and CI to the repository it is in."""
    templates = Environment(
        loader=PackageLoader("salmu_core.cli.new"),
        undefined=StrictUndefined,
        autoescape=False,  # Python, TOML and Markdown, not HTML
    )
    kind, module = facts["kind"], facts["module"]
    sources = {
        "pyproject.toml": "shared/pyproject.toml.jinja",
        "README.md": f"{kind}/README.md.jinja",
        f"{module}.py": f"{kind}/module.py.jinja",
        f"tests/test_{facts['slug'].replace('-', '_')}.py": f"{kind}/test.py.jinja",
    }
    if not bare:
        sources |= {".gitignore": "shared/gitignore.jinja", ".github/workflows/tests.yml": "shared/tests.yml.jinja"}
    return {
        path: templates.get_template(template).render(facts).rstrip("\n") + "\n" for path, template in sources.items()
    }


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        write_text(folder / path, text)


def _in_a_repository(folder: Path) -> bool:
    return any((parent / ".git").exists() for parent in folder.absolute().parents)
