"""``salmu publish``: a run as a folder for a hub, and, if asked for, on it."""

from __future__ import annotations

from pathlib import Path

from salmu_core.cli.output import print_json, say
from salmu_core.cli.reading import notice
from salmu_core.errors import UsageError
from salmu_core.plugins import discover
from salmu_core.publish import Wanted, make_folder, read_run
from salmu_core.publish.hub import check, push
from salmu_core.show.words import verdict


def publish(
    run: Path, out: Path | None, repository: str | None, private: bool, licence: str | None, force: bool, as_json: bool
) -> int:
    """Make the folder, upload it if a repository is named, and say what was done; returns the exit code.

    Raises:
        UsageError: The run can't be published, or the request makes no sense; nothing was written.
        SalmuError: The upload failed; the folder is there.
    """
    if repository is not None:
        check(repository)
        if not private and licence is None:
            raise UsageError("A public model needs a licence: give one by --licence, as in --licence apache-2.0.")
    zoo = discover()
    world = run.expanduser().resolve().parents[2].name if len(run.expanduser().resolve().parents) > 2 else ""
    sound = read_run(run, zoo, notice(world, zoo))
    made = make_folder(sound, Wanted(run, out, licence, repository or "", force))
    address = push(made.folder, repository, private, made.title) if repository else None
    if as_json:
        shown = {"folder": str(made.folder), "files": list(made.files), "title": made.title, "address": address}
        print_json({**shown, "verdict": verdict(sound.line.diagnosis), "line": sound.line.as_json()})
        return 0
    lines = [
        f"{'Made' if made.new else 'As it was:'} {made.folder}: {', '.join(made.files)}",
        f"{made.title}: {verdict(sound.line.diagnosis)}.",
    ]
    if licence is None and made.new:
        lines.append("Its card says that no licence was given: --licence ID gives one.")
    lines.append(f"Uploaded to {address}." if address else "Nothing was uploaded: --push OWNER/NAME does that.")
    say("\n".join(lines))
    return 0
