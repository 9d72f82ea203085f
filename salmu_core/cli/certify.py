"""``salmu certify``: one person's associations before and after, as a page and as JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from salmu_core.certificate import build, gather, open_run, portraits, targets, write
from salmu_core.certificate.wording import PARTS
from salmu_core.cli.output import say
from salmu_core.cli.reading import Reading
from salmu_core.errors import UsageError
from salmu_core.judge.onerun import OneRun
from salmu_core.plugins import Zoo, discover


def write_certificate(run: Path, identity: str, out: Path | None, benchmark: str | None) -> None:
    """Write the certificate, and say what it says.

    Args:
        run: A run folder.
        identity: Whose associations.
        out: The page; by default ``certificate-ID.html`` here.
        benchmark: Name of its benchmark, or the folder its data lie in.

    Raises:
        SalmuError: It can't be made; nothing was written.
    """
    zoo = discover()
    opened = open_run(run, zoo)
    reading = _reading(opened, zoo, benchmark)
    evidence = gather(opened, reading.data(opened.world), identity)
    called = re.sub(r"[^\w.-]+", "-", evidence.person.identity_id)
    page = out or Path(f"certificate-{called}.html")
    targets(page)
    issued = datetime.now(UTC).isoformat(timespec="seconds")
    certificate = build(evidence, zoo.metrics, reading.notice, issued)
    made = write(page, certificate, portraits(evidence.people, evidence.person))
    name = " ".join(evidence.person.name.split())  # on one line, whatever the data say
    lines = [
        f"Made {made[0]} and {made[1]}: {name}, {certificate.method} on {certificate.benchmark}.",
        *(f"{PARTS[each.part].capitalize()}: {each.word}." for each in certificate.verdicts),
        f"The model as a whole: {certificate.population.verdict}.",
    ]
    say("\n".join(lines))


def _reading(run: OneRun, zoo: Zoo, benchmark: str | None) -> Reading:
    """The run's results, with the folder its data lie in where one is named."""
    folder = None
    if benchmark is not None and benchmark not in (run.world, run.world.partition("@")[0]):
        folder = Path(benchmark).expanduser().resolve()
        if not folder.is_dir():
            raise UsageError(f"{run.folder} is of {run.world}, not of {benchmark}, and there is no such folder.")
    return Reading(run.store, zoo, run.results, folder)
