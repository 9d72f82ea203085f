"""The commands for reference pairs: arguments only."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Threads

app = typer.Typer(no_args_is_help=True, help="Train reference pairs: Clean and Compromised models.")


class Model(StrEnum):
    """The two models of a pair."""

    clean = "clean"
    compromised = "compromised"


@app.callback()
def references() -> None:
    """Train a reference pair from scratch."""


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the pair; a training that was stopped goes on there.")],
    retain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARDS",
            help="Retain pairs: tar files, as in 'shards/{00000..41407}.tar', or a folder of them, or one in the "
            "released layout; repeatable.",
            show_default=False,
        ),
    ] = None,
    sensitive: Annotated[
        Path | None,
        typer.Option(help="Folder in the released layout: its sensitive pairs.", show_default=False),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            help="An open_clip architecture, or a JSON file that describes one.  [default: ViT-B-16]",
            show_default=False,
        ),
    ] = None,
    only: Annotated[Model | None, typer.Option(help="Train one of the two.", show_default=False)] = None,
    config: Annotated[
        Path | None, typer.Option(help="A recipe (TOML); options go over it.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the recipe; repeatable.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that read images for each process that trains; 0 reads in the same.  "
            "[default: up to 8 for an accelerator, else 0]",
            show_default=False,
        ),
    ] = None,
    piece: Annotated[
        int,
        typer.Option(
            min=0,
            help="Pairs a process encodes at a time, for a batch whose activations don't fit into its memory; costs a "
            "third more time.  [default: all]",
            show_default=False,
        ),
    ] = 0,
    save_steps: Annotated[int, typer.Option(min=1, help="Write a checkpoint every so many steps,")] = 1000,
    save_minutes: Annotated[float, typer.Option(min=0, help="and after so many minutes.")] = 15,
    keep: Annotated[int, typer.Option(min=1, help="Checkpoints to keep of a training that goes on.")] = 2,
    threads: Threads = 1,
) -> None:
    """Train Clean and Compromised from scratch: one recipe, one seed, the same retain batches.

    The defaults are open_clip's recipe for ViT-B/16. Works under `accelerate launch`, on any number of processes:
    which pairs form a batch does not depend on it. After a stop the same command goes on from
    its last checkpoint.
    """
    from salmu_references.command import Request
    from salmu_references.command import train as begin

    request = Request(
        arch=arch,
        retain=retain or [],
        sensitive=sensitive,
        out=out,
        only=only.value if only else None,
        config=config,
        settings=settings or [],
        workers=workers,
        piece=piece,
        threads=threads,
        save_steps=save_steps,
        save_minutes=save_minutes,
        keep=keep,
    )
    raise typer.Exit(begin(request))


@app.command()
def recipe(
    config: Annotated[
        Path | None, typer.Option(help="A recipe (TOML) to show the fields of.", show_default=False)
    ] = None,
) -> None:
    """List the fields of a recipe, with their values and meaning."""
    from salmu_references.describe import describe

    describe(config)
