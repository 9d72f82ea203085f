"""The power goes: of a study there is left what it had synced, and of the rest nothing, or names without content.

Which files and folders were synced, and with what in them, is written down at every fsync. A cut is a kill of every
process; then the folder is made anew from that record in one of two ways: ``strict`` keeps of every folder the names
that it had when it was synced last, as POSIX promises; ``names only`` keeps all names, as a journal of metadata may.
Either way a file has the content that it had when it was synced last, and is empty or zeros if it never was.

The control leaves out syncing, of files or of folders. There finished work must get lost: where the loop does not find
that, it could not find anything.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from faults.calls import Call
from faults.kills import killed
from faults.subject import RUNS, Subject, hidden
from faults.tallies import Trial
from faults.trials import orphans

STRICT, NAMES = "strict", "names only"
SYNCING = ("rename", "fsync")
#: What is left of a finished study, and what a control leaves unsynced.
WAYS = ((STRICT, ""), (NAMES, ""), (NAMES, "files"), (STRICT, "folders"))


class Disk:
    """What of a folder would outlive a power cut: hears every call of whoever writes there.

    Args:
        vault: Where it keeps what was synced.
        left_out: ``files`` or ``folders``, which are not synced though that was asked for.
    """

    def __init__(self, vault: Path, left_out: str = "") -> None:
        vault.mkdir()
        self.name = vault.name
        self._vault = vault
        self._left_out = left_out

    def __call__(self, call: Call) -> None:
        if not call.done:
            return
        path = Path(call.path)
        if call.name == "mkdir":
            with suppress(PermissionError):
                self._entry(path).unlink(missing_ok=True)  # of one that had this number before
        elif call.name == "fsync":
            self.sync(path)

    def sync(self, path: Path) -> None:
        """Keep what a file or folder has now."""
        # Gone from its name; or synced by the process of a run, which may not write here: it commits nothing itself.
        with suppress(FileNotFoundError, PermissionError):
            entry, folder = self._entry(path), path.is_dir()
            if self._left_out == ("folders" if folder else "files"):
                return
            fresh = entry.with_name(f"{entry.name}.{os.getpid()}")
            if folder:
                fresh.write_text(json.dumps({child.name: self._name(child) for child in path.iterdir()}))
            else:
                shutil.copyfile(path, fresh)
                with suppress(FileExistsError):  # so that its number is no other file's
                    os.link(path, self._vault / f"held-{self._name(path)}")
            fresh.replace(entry)

    def restore(self, live: Path, to: Path, way: str, zeros: bool) -> None:
        """Make a folder anew as it is after a cut.

        Args:
            live: The folder as its processes saw it.
            to: Where to, a new name.
            way: `STRICT` or `NAMES`.
            zeros: Whether a file that was never synced is as long as it was, rather than empty.
        """
        files = {self._name(path): path for path in [live, *live.rglob("*")]}
        self._restore(self._name(live), to, files, way, zeros)

    def _restore(self, name: str, to: Path, live: dict[str, Path], way: str, zeros: bool) -> None:
        kept, path = self._vault / name, live.get(name)
        if name.endswith("d"):
            to.mkdir()
            names = json.loads(kept.read_text()) if kept.is_file() else {}
            if way == NAMES and path is not None:
                names = {child.name: self._name(child) for child in path.iterdir()}
            for child, number in names.items():
                self._restore(number, to / child, live, way, zeros)
        elif kept.is_file():
            shutil.copyfile(kept, to)
        else:
            to.write_bytes(bytes(path.stat().st_size if zeros and path is not None else 0))

    def _entry(self, path: Path) -> Path:
        return self._vault / self._name(path)

    @staticmethod
    def _name(path: Path) -> str:
        facts = path.lstat()
        return f"{facts.st_ino}{'d' if path.is_dir() else 'f'}"


def loop(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """A cut of a finished study each way; the controls, which must lose something; then at any rename or sync."""
    yield from _finished(subject, rng)
    moments = [call for call in subject.calls[0] if call.name in SYNCING and call.done]
    for number in range(count - len(WAYS)):
        yield _cut(subject, (STRICT, NAMES)[number % 2], rng.randint(1, len(moments)), rng)


def _finished(subject: Subject, rng: Random) -> Iterator[Trial]:
    """The power goes when a study has said that it is finished: one study, and a disk for each of `WAYS`."""
    with subject.place() as place:
        disks = [Disk(place.with_name(f"disk-{number}"), left_out) for number, (_, left_out) in enumerate(WAYS)]
        for disk in disks:
            disk.sync(place)

        def heard(call: Call) -> None:
            for disk in disks:
                disk(call)

        ended = subject.run(place, heard)
        assert ended.code == 0, ended.text
        written = _files(place)
        for (way, left_out), disk in zip(WAYS, disks, strict=True):
            kept = _files(_restored(place, disk, way, rng))
            lost = [name for name, content in written.items() if kept.get(name) != content]
            if left_out:
                wrong = "" if lost else "nothing was lost: the loop can't tell"
                yield Trial(f"control: {left_out} never synced", "loss found" if lost else "no loss found", wrong)
            else:
                wrong = "; ".join(f"{name} is lost though the study was finished" for name in lost[:5])
                yield Trial(f"power cut, finished ({way})", "files lost" if lost else "whole", wrong)


def _cut(subject: Subject, way: str, number: int, rng: Random) -> Trial:
    """The power goes at the n-th rename or sync."""
    with subject.place() as place:
        disk = Disk(place.with_name("disk"))
        disk.sync(place)
        killed(subject, place, SYNCING, number, True, disk)
        orphans(place)
        after = _restored(place, disk, way, rng)
        resumed = subject.run(after)
        wrong = [] if resumed.code == 0 else [f"begun again, it ends with {resumed.code}: {resumed.sentence}"]
        wrong += subject.faults(after)
    fault = f"power cut, at any rename or sync ({way})"
    return Trial(fault, "not the same" if wrong else "resumed, same", "; ".join(wrong[:5]))


def _restored(place: Path, disk: Disk, way: str, rng: Random) -> Path:
    after = place.with_name(f"after-{disk.name}")
    disk.restore(place, after, way, zeros=rng.random() < 0.5)
    return after


def _files(place: Path) -> dict[str, bytes]:
    """All visible files of its results."""
    root = place / RUNS
    paths = (path for path in root.rglob("*") if path.is_file() and not hidden(path.relative_to(root)))
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}
