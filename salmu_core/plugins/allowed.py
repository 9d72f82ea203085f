"""Which plugins may be used: all that are installed, or those alone that ``SALMU_PLUGINS`` names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions
from urllib.parse import unquote, urlsplit

from salmu_core.contract.kinds import PROJECT
from salmu_core.errors import UnknownNameError, UsageError

#: Names of distributions, as in ``salmu-delete,salmu-protocol-metrics``; or ``off``, for none.
VARIABLE = "SALMU_PLUGINS"


def allowed(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """Those of entry points that may be imported; the others are as if they were not installed.

    Raises:
        UnknownNameError: A plugin is named that is not installed.
        UsageError: Plugins are named, and ``off`` too.
    """
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        return list(points)
    names = {_normal(name): name.strip() for name in text.split(",") if name.strip()}
    if "off" in names:
        if len(names) > 1:
            raise UsageError(f"{VARIABLE}={text}: name the plugins that may be used, or say off; not both.")
        return []
    known = {
        str(dist.name)
        for dist in distributions()
        if any(point.group.partition(".")[0] == PROJECT for point in dist.entry_points)
    }
    for name in names.keys() - {_normal(one) for one in known}:
        hint = "`salmu plugins` lists them by their distributions."
        raise UnknownNameError("installed plugin", names[name], known, hint)
    return [point for point in points if _normal(owner(point)) in names]


def left_out() -> str:
    """That plugins are left out, as a sentence that follows another; empty where all may be used."""
    text = os.environ.get(VARIABLE, "").strip()
    return f" {VARIABLE} is {text!r}, and leaves plugins out." if text else ""


def owner(point: EntryPoint) -> str:
    """Name of the distribution that an entry point came with."""
    return str(point.dist.name) if point.dist else ""


def source(dist: Distribution | None) -> str:
    """Where a distribution's code came from and lies, in a few words, without names and passwords in an address."""
    if dist is None:
        return "nobody knows"
    folder = str(dist.locate_file(""))
    try:
        told = json.loads(dist.read_text("direct_url.json") or "{}")
        url = urlsplit(told.get("url", ""))
        address = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
        if told.get("dir_info", {}).get("editable"):
            return f"editable: {unquote(url.path)}"
        if vcs := told.get("vcs_info"):
            return f"{vcs['vcs']}+{address}@{vcs['commit_id']}, in {folder}"
    except (ValueError, AttributeError, KeyError, TypeError):
        return f"its direct_url.json is damaged; in {folder}"
    if address:
        return f"{address}, in {folder}"
    return f"{'an index' if dist.read_text('INSTALLER') else 'nobody installed it'}, in {folder}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
