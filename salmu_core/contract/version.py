"""The version of the contract between the core and its plugins, and whether a plugin was written for it.

The API's version is the first two numbers of the core's: a release that breaks a plugin changes them, no other does.
A plugin states the range it was written for as its requirement on salmu-core.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from packaging.requirements import Requirement

#: Name of the core's distribution.
CORE: Final = "salmu-core"
#: What a plugin written today is written for.
API_VERSION: Final = "0.2"
#: The requirement a plugin written today states.
REQUIREMENT: Final = f"{CORE}>=0.2,<0.3"


class SalmuDeprecationWarning(DeprecationWarning):
    """Something of the interface is used that the next API version may take away; the message names what to use."""


def api_problem(point: EntryPoint) -> str | None:
    """A sentence if a plugin's own requirement rules out the core that runs."""
    installed = version(CORE)
    for requirement in core_requirements(point.dist.requires if point.dist else None):
        if requirement.specifier.contains(installed, prereleases=True):
            continue
        name = point.dist.name if point.dist else point.name
        return (
            f"written for {CORE}{requirement.specifier}, but {installed} (API {API_VERSION}) is installed: "
            f"install a release of {name} for API {API_VERSION}, or the {CORE} it asks for"
        )
    return None


def core_requirements(lines: Iterable[str] | None) -> list[Requirement]:
    """What a distribution's ``Requires-Dist`` lines ask of the core, as far as they apply here."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    requirements = []
    for line in lines or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and canonicalize_name(requirement.name) == CORE:
            requirements.append(requirement)
    return requirements
