"""`salmu dataset`: arguments only. What a command needs is imported when it runs, so that help is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="dataset",
    help="Build a data set of fictitious people in the released layout.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Options = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="An option of the source; repeatable.", show_default=False),
]


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="The folder to build in; an unfinished build there goes on.")],
    identities: Annotated[int, typer.Option(help="People; 774 as released, at least 3.")] = 774,
    countries: Annotated[int, typer.Option(help="Countries they live in, 65 at most.")] = 65,
    seed: Annotated[int, typer.Option(min=0, help="Everything follows from it: another seed, other people.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=512, help="Longer side of the pictures, in pixels.")] = 224,
    pairs: Annotated[
        float | None,
        typer.Option(help="Sensitive pairs a person, on average.  [default: 60,053 / 774]", show_default=False),
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, help="Portraits made of each person, before curation.")] = 100,
    consistency: Annotated[
        float, typer.Option(min=0, max=1, help="How surely a portrait must show the anchor's person to be kept.")
    ] = 0.6,
    portraits: Annotated[
        str, typer.Option(metavar="NAME", help="Where faces come from: drawn, diffusion, or module:Class.")
    ] = "drawn",
    portrait_option: Options = None,
    captions: Annotated[
        str, typer.Option(metavar="NAME", help="Where sentences come from: templates, paraphrase, or module:Class.")
    ] = "templates",
    caption_option: Options = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes at work.  [default: one a core]", show_default=False)
    ] = None,
    stage: Annotated[
        str,
        typer.Option(help="Stop after this one: anchors, portraits, curation, pii, captions, retain or splits."),
    ] = "splits",
    keep_stages: Annotated[bool, typer.Option("--keep-stages", help="Keep the work folder, .stages.")] = False,
) -> None:
    """Build the data set: anchors, portraits, curation, private data, captions, splits.

    A build that was ended anywhere goes on with the same command. The same arguments give the same bytes, whatever the
    number of processes.
    """
    import os

    from pydantic import ValidationError

    from salmu_core import UsageError
    from salmu_core.cli.output import say
    from salmu_core.cli.progress import reporting
    from salmu_core.errors import explain
    from salmu_dataset.build import build as make
    from salmu_dataset.manifest import Arguments

    given: dict[str, Any] = {
        "identities": identities,
        "countries": countries,
        "seed": seed,
        "size": size,
        "pairs": pairs,
        "candidates": candidates,
        "consistency": consistency,
        "portraits": portraits,
        "captions": captions,
        "portrait_options": _options("--portrait-option", portrait_option),
        "caption_options": _options("--caption-option", caption_option),
    }
    try:
        arguments = Arguments(**given)
    except ValidationError as error:
        raise UsageError(f"--{explain(error, given)}") from error
    with reporting(to_stderr=True) as reporter:
        finished = make(out, arguments, processes or os.cpu_count() or 1, reporter.building, stage, keep_stages)
    if finished is None:
        say(f"{out}: done up to stage {stage}")
        return
    kept = f"{finished.kept:,} portraits kept of {finished.made:,}"
    say(f"{out}: {kept} ({', '.join(f'{n:,} {why}' for why, n in finished.reasons.items() if n) or 'none rejected'})")
    for folder, splits in finished.rows.items():
        say(f"{out / folder}: {', '.join(f'{split} {rows:,}' for split, rows in splits.items())}")


@app.command()
def status(out: Annotated[Path, typer.Argument(help="The folder of a build.", show_default=False)]) -> None:
    """Show how far a build is."""
    from salmu_core.cli.output import say
    from salmu_dataset.build import state

    for name, there, count in state(out):
        say(f"{name:<10} {'done' if there == count else f'{there} of {count}'}")


def _options(flag: str, given: list[str] | None) -> dict[str, str]:
    from salmu_core import UsageError

    found = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text!r}: write KEY=VALUE.")
        found[key] = value
    return found
