"""The commands that speak with a hub: arguments only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import MODEL, Json


def download(
    name: Annotated[str, typer.Argument(help="A published benchmark, as `salmubench`.", show_default=False)],
    zeroshot: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the zero-shot set for GenKnow, in CLIP_benchmark's webdataset layout; remembered.",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART=REVISION",
            help="Another revision of data, clean or compromised, as in clean=main; repeatable; remembered.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check what is here; fetch nothing and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a published benchmark into the Hugging Face cache, and check every file of it.

    What is there already is not fetched again: a stopped download goes on, and with everything in the cache no network
    is needed. Commits are pinned when they are first fetched.
    """
    from salmu_core.cli.download import fetch

    raise typer.Exit(fetch(name, zeroshot, revision or [], check, as_json))


def canary(
    model: Annotated[str, typer.Argument(help=f"An open_clip model: {MODEL}.", show_default=False)],
    write: Annotated[
        bool, typer.Option("--write", help="Write a canary into the model's folder, in place of the one there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check whether a model still gives the embeddings it gave when it was written, or write them down.

    Runs have a canary, which is checked whenever their checkpoint is loaded. A model that QuickGELU, preprocessing or
    tokenizer of another config would feed wrongly is refused.
    """
    from salmu_core.cli.canary import check

    raise typer.Exit(check(model, write, as_json))
