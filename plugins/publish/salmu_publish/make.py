"""From a run folder to a folder for a hub: refused unless the run is sound, written whole or not at all."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from salmu_core.clip.name import CANARY, CONFIG
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.files import new_folder
from salmu_core.disk.reading import SMALL, read_bytes
from salmu_core.disk.record import FileSeal
from salmu_core.errors import StoreError, UsageError
from salmu_core.judge.single import read_one_run
from salmu_core.plugins.zoo import Zoo
from salmu_core.store.folders import METRICS, RUN
from salmu_publish.card import Sound, render

CARD = "README.md"
#: Files of a tokenizer of Hugging Face, which a checkpoint has beside its weights if it needs them.
_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model")
#: What every published folder consists of, beside them.
_PARTS = (WEIGHTS, CONFIG, CANARY, RUN, METRICS, CARD)


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        run: The run folder.
        out: The folder to make; by default one in ``published/``, named after the run.
        licence: Of the weights, as the hub spells it; None if it is not said.
        repository: ``OWNER/NAME`` it is to be uploaded to, for the card's example; empty if nowhere. What was published
            of this run before is then taken as it is, unless it may be replaced.
        replace: Whether what was published into the folder before may be replaced.
    """

    run: Path
    out: Path | None = None
    licence: str | None = None
    repository: str = ""
    replace: bool = False


@dataclass(frozen=True)
class Published:
    """A folder that was made.

    Attributes:
        folder: Where.
        files: Names of its files.
        title: The run in a few words.
        new: Whether it was made now, and not taken as it was.
    """

    folder: Path
    files: tuple[str, ...]
    title: str
    new: bool = True


def read_run(folder: Path, zoo: Zoo, notice: str = "") -> Sound:
    """Read a run, and refuse one that is no result.

    Raises:
        UsageError: The folder is no run's, or the run is invalid, of other data than its references, or not scored.
        StoreError: It is damaged.
    """
    return Sound(**vars(read_one_run(folder, "published")), notice=notice)


def make_folder(sound: Sound, wanted: Wanted) -> Published:
    """Write the folder: checkpoint, records and card. One that is there and to be uploaded is only checked.

    Raises:
        UsageError: The licence or the folder won't do.
        CheckpointError: The checkpoint can't be loaded, or does not give what its canary says.
        StoreError: A file changed while it was copied.
    """
    from salmu_core.clip.load import load_clip

    record = sound.record
    if wanted.licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", wanted.licence):
        raise UsageError(f"{wanted.licence!r} is no licence as hubs spell them: apache-2.0, cc-by-4.0, other, ...")
    out = (wanted.out or Path("published") / _name(sound)).expanduser().absolute()
    again = bool(wanted.repository) and not wanted.replace
    _refuse(out, sound, wanted.replace or again)
    title = f"{record.method} on {sound.world}, budget {record.budget:g}, seed {record.seed}"
    if again and out.is_dir() and any(out.iterdir()):
        _same(out, sound, wanted.licence)
        load_clip(out)
        return Published(out, tuple(sorted(path.name for path in out.iterdir())), title, new=False)
    load_clip(sound.folder)  # that it loads, as what it was, is what is published
    try:
        with new_folder(out) as new:
            for file in [*_sealed(sound), RUN, METRICS]:
                shutil.copyfile(sound.folder / file, new / file)
            if changed := _changed(new, sound):
                raise StoreError(f"{sound.folder / changed} changed while it was copied: nothing is published.")
            (new / CARD).write_text(render(sound, title, wanted.licence, wanted.repository), encoding="utf-8")
            files = tuple(sorted(path.name for path in new.iterdir()))
    except OSError as error:
        raise UsageError(f"{out} can't be made: {error.strerror or error}. Give another folder by --out.") from error
    return Published(out, files, title)


def _name(sound: Sound) -> str:
    return f"{sound.world}-{sound.record.method}-{sound.record.config_hash[:12]}-{sound.folder.name}".replace("@", "-")


def _sealed(sound: Sound) -> list[str]:
    """What of a run's files is published: what a checkpoint needs."""
    patterns = (*_PARTS, *_TOKENIZER)
    return [name for name in sound.record.files if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _changed(folder: Path, sound: Sound) -> str:
    """The first of them that is not in a folder what it was in the run; empty if none."""
    seals = sound.record.files
    return next((name for name in _sealed(sound) if FileSeal.of(folder / name) != seals[name]), "")


def _refuse(out: Path, sound: Sound, replace: bool) -> None:
    """A folder that is something else must not be replaced, whatever was asked for."""
    inside = out.resolve()
    if inside.is_relative_to(sound.folder.parents[3]) or sound.folder.is_relative_to(inside):
        raise UsageError(f"{out} lies among the results of {sound.folder.parents[3]}. Give another folder by --out.")
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not all((out / file).is_file() for file in (CARD, RUN, WEIGHTS))):
        raise UsageError(f"{out} is there already, and nothing that was published. Give another folder by --out.")
    for path in sorted(out.iterdir()):
        if not path.is_file() or not any(fnmatchcase(path.name, pattern) for pattern in (*_PARTS, *_TOKENIZER)):
            raise UsageError(f"{path} was never published: move it elsewhere, or give another folder by --out.")
    if any(out.iterdir()) and not replace:
        raise UsageError(f"{out} is there already. Replace it by --force, or give another folder by --out.")


def _same(out: Path, sound: Sound, licence: str | None) -> None:
    """What was published before may have been edited since, but it must be whole, and of this run."""
    missing = [name for name in (*_PARTS, *_sealed(sound)) if not (out / name).is_file()]
    if missing or (changed := _changed(out, sound)):
        why = f"has no {missing[0]}" if missing else f"holds another {changed} than the run's"
        raise UsageError(f"{out} {why}. Make it anew by --force, or give another folder by --out.")
    card = read_bytes(out / CARD, SMALL).decode("utf-8", "replace")
    if licence is not None and not re.search(rf"^license: *['\"]?{re.escape(licence)}['\"]?\s*$", card, re.MULTILINE):
        raise UsageError(f"{out / CARD} does not say 'license: {licence}'. Mend it there, or make it anew by --force.")
