"""The result of `salmu tune`: settings of methods that a search chose, and how they are laid over other advice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from salmu_core.contract.recommended import Recommended
from salmu_core.disk.files import visible_files
from salmu_core.disk.reading import read_json
from salmu_core.errors import FileError, UsageError

#: Its file.
TUNED = "tuned.json"


class Tuned(Recommended):
    """Settings of a method that a search chose.

    Attributes:
        code_hash: Of the method's code then.
    """

    code_hash: str

    def over(self, advice: Recommended | None) -> Recommended:
        """These settings, and of a benchmark's own advice what they do not touch."""
        if advice is None:
            return self
        more = "; what it did not search is as the benchmark recommends" * bool(advice.config.keys() - self.config)
        config = {**advice.config, **self.config}
        return self.model_copy(update={"config": config, "budget": advice.budget, "source": self.source + more})


_FILE = TypeAdapter(dict[str, Tuned])


def read_tuned(path: Path) -> dict[str, Tuned]:
    """Settings by method, from a search's file, its folder, or one above with no other search in it.

    Raises:
        UsageError: There is none, or several, or it can't be read.
    """
    file = path / TUNED if path.is_dir() else path
    if path.is_dir() and not file.exists():
        below = [file for file in visible_files(path) if file.name == TUNED]
        if len(below) > 1:
            folders = ", ".join(str(found.parent) for found in below)
            raise UsageError(f"{path} holds several results of `salmu tune`, name one: {folders}.")
        file = below[0] if below else file
    try:
        return _FILE.validate_python(read_json(file))
    except FileError as error:
        raise UsageError(f"{file} is no result of `salmu tune`: {error.reason}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{file} is no result of `salmu tune`: {'.'.join(map(str, first['loc']))}: {first['msg']}."
        ) from error


def tuned_text(tuned: Mapping[str, Tuned]) -> str:
    """What is written into such a file."""
    return json.dumps(_FILE.dump_python(dict(sorted(tuned.items())), mode="json"), indent=2) + "\n"
