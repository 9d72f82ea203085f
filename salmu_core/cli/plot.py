"""``salmu plot``: the report's pictures as files."""

from __future__ import annotations

from pathlib import Path

from salmu_core.cli.output import say
from salmu_core.cli.progress import reporter
from salmu_core.cli.report import compose
from salmu_core.errors import UsageError
from salmu_core.show.pictures import FORMATS, draw, figures, file_name
from salmu_core.store.files import replacing


def write_plots(runs: Path, out: Path, form: str, benchmark: str | None, worlds: list[str]) -> None:
    """Write every picture, each whole or not at all.

    Raises:
        UsageError: A format is none there is, or the folder holds no results.
    """
    forms = [name.strip().lower() for name in form.split(",")]
    if unknown := [name for name in forms if name not in FORMATS]:
        raise UsageError(f"--format {unknown[0]}: pictures are written as {' or '.join(FORMATS)}.")
    with reporter(0, to_stderr=True, what="pictures") as telling:
        report = compose(runs, benchmark, worlds, 0, [], telling)
        made = [*figures(report)]
        taken: set[str] = set()
        for number, (name, spec) in enumerate(made):
            telling.building("drawing", number / len(made))
            called = file_name(name)
            while called in taken:
                called += "-"
            taken.add(called)
            for each in dict.fromkeys(forms):
                with replacing(out / f"{called}.{each}") as path:
                    path.write_bytes(draw(spec, each))
    say(f"{out}: {len(made)} pictures as {', '.join(dict.fromkeys(forms))}")
