"""``salmu publish``: a run as a folder for a hub, and, if asked for, on it. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Json

app = typer.Typer()


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="A run folder: runs/BENCHMARK/METHOD/CONFIG/b5-s0.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to make.  [default: one in published/, named after the run]", show_default=False),
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload the folder to the hub.", show_default=False)
    ] = None,
    private: Annotated[
        bool, typer.Option("--private/--public", help="Who may see the repository that --push makes.")
    ] = True,
    licence: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Licence of the weights, as in apache-2.0 or cc-by-4.0.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what was published into the folder before.")] = False,
    as_json: Json = False,
) -> None:
    """Make a folder of a run that is ready for a hub: checkpoint, records, and a model card with the figures.

    Nothing leaves this machine without --push.
    """
    from salmu_core.cli.output import print_json, say
    from salmu_core.cli.reading import notice
    from salmu_core.errors import UsageError
    from salmu_core.plugins.zoo import discover
    from salmu_core.show.words import verdict
    from salmu_publish.hub import check, upload
    from salmu_publish.make import Wanted, make_folder, read_run

    if push is not None:
        check(push)
        if not private and licence is None:
            raise UsageError("A public model needs a licence: give one by --licence, as in --licence apache-2.0.")
    zoo = discover()
    world = run.expanduser().resolve().parents[2].name if len(run.expanduser().resolve().parents) > 2 else ""
    sound = read_run(run, zoo, notice(world, zoo))
    made = make_folder(sound, Wanted(run, out, licence, push or "", force))
    address = upload(made.folder, push, private, made.title) if push else None
    if as_json:
        record = {"folder": str(made.folder), "files": list(made.files), "title": made.title, "address": address}
        print_json({**record, "verdict": verdict(sound.line.diagnosis), "line": sound.line.as_json()})
        return
    lines = [
        f"{'Made' if made.new else 'As it was:'} {made.folder}: {', '.join(made.files)}",
        f"{made.title}: {verdict(sound.line.diagnosis)}.",
    ]
    if licence is None and made.new:
        lines.append("Its card says that no licence was given: --licence ID gives one.")
    lines.append(f"Uploaded to {address}." if address else "Nothing was uploaded: --push OWNER/NAME does that.")
    say("\n".join(lines))
