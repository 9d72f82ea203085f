"""``salmu certify``: one person's associations before and after, as a page and as JSON. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from salmu_core.cli.reading import Reading
    from salmu_core.judge.single import OneRun
    from salmu_core.plugins.zoo import Zoo

app = typer.Typer()


@app.command()
def certify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    identity: Annotated[
        str,
        typer.Option(metavar="ID", help="Whose associations: the number file names begin with.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page to write; the JSON goes beside it.  [default: certificate-ID.html]", show_default=False
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark",
            metavar="NAME|PATH",
            help="Which benchmark's results, where there are several; or the folder its data lie in.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a page, and JSON, on one person: what was known of them before and after, and what that proves."""
    import re
    from datetime import UTC, datetime

    from salmu_certificate.build import build
    from salmu_certificate.evidence import gather, open_run
    from salmu_certificate.make import portraits, targets, write
    from salmu_certificate.wording import PARTS
    from salmu_core.cli.output import say
    from salmu_core.plugins.zoo import discover
    from salmu_core.show.escape import visible

    zoo = discover()
    opened = open_run(run)
    reading = _reading(opened, zoo, benchmark)
    evidence = gather(opened, reading.data(opened.world), identity)
    called = re.sub(r"[^\w.-]+", "-", evidence.person.identity_id)
    page = out or Path(f"certificate-{called}.html")
    targets(page)
    issued = datetime.now(UTC).isoformat(timespec="seconds")
    certificate = build(evidence, reading.notice, issued)
    made = write(page, certificate, portraits(evidence.people, evidence.person))
    name = visible(evidence.person.name)  # on one line, whatever the data say
    lines = [
        f"Made {made[0]} and {made[1]}: {name}, {certificate.method} on {certificate.benchmark}.",
        *(f"{PARTS[judgement.part].capitalize()}: {judgement.word}." for judgement in certificate.verdicts),
        f"The model as a whole: {certificate.population.verdict}.",
    ]
    say("\n".join(lines))


def _reading(run: OneRun, zoo: Zoo, benchmark: str | None) -> Reading:
    """The run's results, with the folder its data lie in where one is named."""
    from salmu_core.cli.reading import Reading
    from salmu_core.errors import UsageError

    folder = None
    if benchmark is not None and benchmark not in (run.world, run.world.partition("@")[0]):
        folder = Path(benchmark).expanduser().resolve()
        if not folder.is_dir():
            raise UsageError(f"{run.folder} is of {run.world}, not of {benchmark}, and there is no such folder.")
    return Reading(run.store, zoo, run.results, folder)
