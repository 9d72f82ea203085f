"""What distributions bring by a name, for one option of the command line: entry points of a group of their own."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.allowed import allowed

#: Groups of entry points.
TRACKERS, ENGINES = "salmu.trackers", "salmu.engines"


@dataclass(frozen=True)
class Named:
    """One kind of such things.

    Attributes:
        group: Of the entry points; each names what makes one.
        base: What each must be one of.
        noun: What one is called.
        option: Of the command line.
        known: Name -> what to install for it, of those that are known of.
    """

    group: str
    base: type
    noun: str
    option: str
    known: Mapping[str, str]

    def make(self, name: str, *given: object) -> Any:
        """What is installed under a name, made of what it is given.

        Raises:
            UnknownNameError: No distribution brings it.
            UsageError: It can't be made, or two distributions bring one of this name.
        """
        points = set(allowed(entry_points(group=self.group)))
        choice = sorted((point for point in points if point.name == name), key=lambda point: point.value)
        if not choice:
            hint = f"pip install {self.known[name]} brings it." if name in self.known else ""
            raise UnknownNameError(self.noun, name, {point.name for point in points}, hint)
        if len(choice) > 1:
            values = " and ".join(point.value for point in choice)
            raise UsageError(f"{self.option} {name}: {values} both want to be it; uninstall one of them.")
        try:
            made = choice[0].load()(*given)
        except UsageError:
            raise
        except (Exception, SystemExit) as error:  # a plugin's code: anything can come out of it
            raise UsageError(
                f"{self.option} {name} can't be used: {type(error).__name__}: {sentence(error)}"
            ) from error
        if not isinstance(made, self.base):
            what = f"{choice[0].value} is no class of salmu_core's {self.base.__name__}."
            raise UsageError(f"{self.option} {name} can't be used: {what}")
        return made


def sentence(error: BaseException) -> str:
    """What an exception says, on one line."""
    return textwrap.shorten(str(error), 250, placeholder=" ...").rstrip(".") + "."
