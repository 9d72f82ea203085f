"""``salmu canary``: does a model still give the embeddings it gave when it was written?"""

from __future__ import annotations

from typing import Annotated

import typer

from salmu_core.cli.options import MODEL, Json
from salmu_core.cli.output import print_json, say
from salmu_core.clip.name import find_model
from salmu_core.contract.layout import MANIFEST
from salmu_core.errors import CheckpointError, UsageError
from salmu_core.store.folders import RUN


def canary(
    model: Annotated[str, typer.Argument(help=f"An open_clip model: {MODEL}.")],
    write: Annotated[
        bool, typer.Option("--write", help="Write a canary into the model's folder, in place of the one there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check whether a model still gives the embeddings it gave when it was written, or write them down.

    Runs have a canary, which is checked whenever their checkpoint is loaded. A model that QuickGELU, preprocessing or
    tokenizer of another config would feed wrongly is refused.
    """
    name = find_model(model)
    if write and name.folder is None:
        raise UsageError(f"A canary lies in a model folder, and {name} is none: download or save the model first.")
    if write and name.folder is not None:
        owner = "a benchmark" if (name.folder.parent / MANIFEST).is_file() else "a run"
        if owner == "a benchmark" or (name.folder / RUN).is_file():
            raise UsageError(f"{name.folder} belongs to {owner} whose files are sealed: nothing is written there.")
    from salmu_core.clip.canary import TOLERANCE, check_canary, make_canary, write_canary
    from salmu_core.clip.load import canary_of, load_clip, locate

    clip, parts = load_clip(model, check=False), locate(name)
    if write and parts.folder is not None:
        write_canary(parts.folder, make_canary(clip, parts.weights))
    recorded, deviation, problem = None, None, ""
    try:
        recorded = canary_of(parts)
        deviation = check_canary(recorded, clip, parts.weights) if recorded is not None else None
    except CheckpointError as error:
        problem = str(error)
    has_canary = recorded is not None or bool(problem)
    if as_json:
        off = {"images": deviation.images, "texts": deviation.texts} if deviation else None
        facts = {"model": str(name), "canary": has_canary, "written": write, "sound": not problem, "problem": problem}
        print_json({**facts, "deviation": off, "tolerance": TOLERANCE})
    elif problem:
        say(problem)
    elif deviation is None:
        hint = f" `salmu canary {model} --write` makes one, if you know that the model is as it should be."
        say(f"{name} has no canary." + (hint if name.folder is not None else ""))
    else:
        state = "has a new canary" if write else "gives the embeddings that its canary says"
        say(f"{name} {state}, to {max(deviation.images, deviation.texts):.1g}.")
    if problem:
        raise typer.Exit(1)
