"""``salmu check``: is an installed plugin fit for the zoo?"""

from __future__ import annotations

import signal

from salmu_core.cli.output import console, print_json
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins import Zoo, discover
from salmu_core.testing.conformance import RULES, Report, examine


def check(names: list[str], everything: bool, patience: float, as_json: bool) -> int:
    """Examine methods and metrics and print a report; returns the exit code."""
    if bool(names) == everything:
        raise UsageError("Name methods or metrics to check, or give --all.")
    for ending in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, ending):
            signal.signal(getattr(signal, ending), _interrupt)  # so that nothing is left behind
    zoo = discover()
    wanted = [each for name in names for each in _kinds(zoo, name)] or _all(zoo)
    reports = [_examine(kind, name, patience) for kind, name in wanted]
    if as_json:
        print_json([report.as_json() for report in reports])
    else:
        print("\n\n".join(report.markdown(RULES[report.kind]) for report in reports))
    return 0 if all(report.sound for report in reports) else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _examine(kind: str, name: str, patience: float) -> Report:
    with console(stderr=True).status(f"{name}: starting") as status:
        return examine(kind, name, patience=patience, on_stage=lambda stage: status.update(f"{name}: {stage}"))


def _kinds(zoo: Zoo, name: str) -> list[tuple[str, str]]:
    """What a name stands for: a method, a metric, both, or a plugin that can't be used."""
    found = [(kind, name) for kind, shelf in (("method", zoo.methods), ("metric", zoo.metrics)) if name in shelf]
    broken = next((row for row in zoo.problems if name == row.name or name in _declared(row.declares)), None)
    if not found and broken is not None:
        kind = next((d.split()[0] for d in broken.declares if d.split()[-1] == name), "plugin")
        found = [(kind, name)]
    if not found:
        known = [*zoo.methods, *zoo.metrics, *(row.name for row in zoo.problems)]
        raise UnknownNameError("method or metric", name, known, "`salmu plugins` lists what is installed.")
    return found


def _declared(declares: tuple[str, ...]) -> list[str]:
    return [each.split()[-1] for each in declares]


def _all(zoo: Zoo) -> list[tuple[str, str]]:
    broken = [("plugin", row.name) for row in zoo.problems]
    return [*(("method", name) for name in zoo.methods), *(("metric", name) for name in zoo.metrics), *broken]
