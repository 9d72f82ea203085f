"""How models come from a hub or a folder: pinned, and safetensors only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from salmu_core import UsageError


def pinned(options: Mapping[str, str], what: str, flag: str) -> tuple[str, str | None]:
    """Name and revision of a model in options `WHAT` and `WHAT_revision`; a local folder has no revision.

    Raises:
        UsageError: It is not named, or a name on the hub is not pinned to a commit.
    """
    name, key = options.get(what, ""), f"{what}_revision"
    if not name:
        raise UsageError(f"Name a model: {flag} {what}=OWNER/NAME {flag} {key}=COMMIT, or a local folder.")
    if Path(name).is_dir():
        return name, None
    revision = options.get(key, "")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UsageError(
            f"{what}={name} is no local folder, and a model from the hub must be pinned to a commit: give {flag} "
            f"{key}= and its 40 hexadecimal digits. A branch can change, and the data set with it."
        )
    return name, revision


def number(options: Mapping[str, str], key: str, default: float, low: float, high: float) -> float:
    """A number among the options.

    Raises:
        UsageError: It is none, or out of bounds.
    """
    text = options.get(key)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise UsageError(f"{key}={text}: a number from {low:g} to {high:g} is needed.")
    return value
