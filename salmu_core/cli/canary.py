"""``salmu canary``: does a model still give the embeddings it gave when it was written?"""

from __future__ import annotations

from salmu_core.benchmark.sources import MANIFEST
from salmu_core.cli.output import print_json, say
from salmu_core.clip.name import find_model
from salmu_core.errors import CheckpointError, UsageError


def listen(model: str, write: bool, as_json: bool) -> int:
    """Compare a model with its canary, or write one; returns the exit code.

    Raises:
        UsageError: There is no such model, or a canary is to be written where none can lie.
        CheckpointError: The model can't be loaded.
    """
    name = find_model(model)
    if write and name.folder is None:
        raise UsageError(f"A canary lies in a model folder, and {name} is none: download or save the model first.")
    if write and name.folder is not None and (name.folder.parent / MANIFEST).is_file():
        raise UsageError(f"{name.folder} belongs to a benchmark whose files are checked: nothing is written there.")
    from salmu_core.clip import canary
    from salmu_core.clip.load import load_clip, locate, song_of

    clip, parts = load_clip(model, listen=False), locate(name)
    if write and parts.folder is not None:
        canary.write_canary(parts.folder, canary.sing(clip, parts.weights))
    song, found, problem = None, None, ""
    try:
        song = song_of(parts)
        found = canary.check(song, clip, parts.weights, parts.variant) if song is not None else None
    except CheckpointError as error:
        problem = str(error)
    there = song is not None or bool(problem)
    if as_json:
        off = {"images": found.images, "texts": found.texts} if found else None
        shown = {"model": str(name), "canary": there, "written": write, "sound": not problem, "problem": problem}
        print_json({**shown, "deviation": off, "tolerance": canary.TOLERANCE})
    elif problem:
        say(problem)
    elif found is None:
        hint = f" `salmu canary {model} --write` makes one, if you know that the model is as it should be."
        say(f"{name} has no canary." + (hint if name.folder is not None else ""))
    else:
        said = "has a new canary" if write else "gives the embeddings that its canary says"
        say(f"{name} {said}, to {max(found.images, found.texts):.1g}.")
    return 1 if problem else 0
