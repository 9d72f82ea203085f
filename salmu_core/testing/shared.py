"""What `salmu doctor --output` looks at: what clusters get wrong where results are to lie.

Only what would break a result is off: results stay right where locks hold nobody, and a cache that is not shared costs
time. Several processes of a launcher look together, at each other's files too.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from salmu_core.disk.files import demolish, make_home
from salmu_core.disk.locks import held
from salmu_core.disk.owners import temporary_name
from salmu_core.disk.stamps import GRANULARITY_NS
from salmu_core.errors import SalmuError, described
from salmu_core.machine import cache_folder
from salmu_core.run.launch import place
from salmu_core.testing.doctor import Finding

#: Takes a lock, says so, and keeps it until it hears something.
_HOLD = """
import sys
from pathlib import Path
from salmu_core.disk.locks import held
with held(Path(sys.argv[1]), wait=False) as taken:
    print(taken, flush=True)
    sys.stdin.read()
"""
#: How often a file is replaced while it is read.
_TIMES = 200
#: Seconds that a clock may differ by: two files that differ less may look like written at one moment.
_MOMENT = GRANULARITY_NS / 1e9


class Peers:
    """The processes that a launcher started, of which this is one; alone, where none did.

    Attributes:
        index: Which one this is.
        count: How many there are.
    """

    def __init__(self) -> None:
        self.index, self.count = place()
        if self.count > 1:
            import torch.distributed

            torch.distributed.init_process_group("gloo")

    def gather(self, value: Any) -> list[Any]:
        """What each of them has; all have come so far then."""
        if self.count == 1:
            return [value]
        import torch.distributed

        found: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(found, value)
        return found

    def close(self) -> None:
        """Nothing more is said."""
        if self.count > 1:
            import torch.distributed

            torch.distributed.destroy_process_group()


def shared(output: Path) -> list[Finding]:
    """Locks, renames, clocks, the cache and cards, as jobs on a results folder meet them; all of it is taken away."""
    peers = Peers()
    try:
        with _probe(output.absolute(), peers) as folder:
            if isinstance(folder, str):
                return [Finding("results", False, folder)]
            looks = (_locks, _renames, _clocks, _cache, _cards)
            return [finding for look in looks for finding in look(folder, peers)]
    finally:
        peers.close()


@contextmanager
def _probe(output: Path, peers: Peers) -> Iterator[Path | str]:
    """An empty folder there, the same for all processes; what went wrong instead, as a sentence."""
    made = output if not output.exists() else None
    mine: Path | str = temporary_name(output / "doctor")
    if not peers.index:
        try:
            make_home(output)
            Path(mine).mkdir()
        except OSError as error:
            mine = f"{output} can't be written ({error.strerror}): choose another --output"
    folder = peers.gather(mine)[0]
    wrong = isinstance(folder, Path) and not folder.is_dir()
    if any(peers.gather(wrong)):
        folder = f"{output} is not the same folder for all processes: choose an --output that all nodes see"
    try:
        yield folder
    finally:
        peers.gather(None)
        if not peers.index:
            with suppress(OSError):
                if isinstance(mine, Path):
                    demolish(mine)
                if made is not None:
                    made.rmdir()


def _locks(folder: Path, peers: Peers) -> Iterator[Finding]:
    """Whether two processes can't hold one lock."""
    name, path = "locks", folder / "lock"
    try:
        if peers.count > 1:
            with held(path, wait=False) if not peers.index else _nothing():
                peers.gather(None)
                twice = any(peers.gather(bool(peers.index) and _free(path)))
                peers.gather(None)
            between = f"{peers.count} processes on {len(set(peers.gather(platform.node())))} machines"
        else:
            words = [sys.executable, "-c", _HOLD, str(path)]
            with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
                assert other.stdout is not None
                taken = other.stdout.readline().strip() == "True"
                twice = taken and _free(path)
                other.communicate("")
            if not taken:
                raise OSError("it can't be taken")
            between = "two processes of this machine"
    except (OSError, SalmuError, NotImplementedError) as error:
        yield Finding(name, True, f"no lock can be had: {described(error)}. {_UNLOCKED}", advice=True)
        return
    if twice:
        yield Finding(name, True, f"{between} hold one at the same time. {_UNLOCKED}", advice=True)
    else:
        yield Finding(name, True, f"of {between} one holds it")


_UNLOCKED = (
    "Results stay right, but jobs may make a run twice: mount with `flock` (Lustre), or give each job runs of its own, "
    "as `salmu plan` lists them"
)


def _free(path: Path) -> bool:
    with held(path, wait=False) as taken:
        return taken


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _renames(folder: Path, peers: Peers) -> Iterator[Finding]:
    """Whether what is replaced is there at every moment, whole, and a folder takes no other one's place."""
    wrong = _replaced(folder / "file") if not peers.index else ""
    if not peers.index and not wrong:
        for name in ("one", "two"):
            (folder / name).mkdir()
            (folder / name / "file").write_text(name, encoding="utf-8")
        with suppress(OSError):
            (folder / "one").rename(folder / "two")
        if not (folder / "one").exists():
            wrong = "a folder took the place of another one that was not empty"
    peers.gather(None)
    unseen = sum(not seen for seen in peers.gather((folder / "file").exists()))
    if wrong := peers.gather(wrong)[0]:
        yield Finding("renames", False, f"{wrong}: nothing is safe on this disk, choose another --output")
    elif unseen:
        text = f"{unseen} of {peers.count} processes don't see at once what another one wrote"
        yield Finding("renames", True, f"{text}: tables of jobs that end together may lack runs", advice=True)
    else:
        yield Finding(
            "renames", True, f"{_TIMES} files took one another's place, and a reader found each of them whole"
        )


def _replaced(path: Path) -> str:
    """What a reader missed while a file was replaced again and again; empty if nothing."""
    size, wrong, ended = 4096, [""], threading.Event()
    path.write_bytes(bytes(size))

    def read() -> None:
        while not ended.is_set():
            try:
                if len(path.read_bytes()) != size:
                    wrong[0] = "a file was found half written"
            except OSError as error:
                wrong[0] = f"a file that was replaced could not be read ({error.strerror})"

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(_TIMES):
            new = path.with_name("new")
            new.write_bytes(bytes([number % 256]) * size)
            new.replace(path)
    except OSError as error:
        wrong[0] = f"a file can't take the place of another one ({error.strerror})"
    finally:
        ended.set()
        reader.join()
    return wrong[0]


def _clocks(folder: Path, peers: Peers) -> Iterator[Finding]:
    """Whether the disk's clock, and those of the machines, agree."""
    path = folder / f"clock-{peers.index}"
    path.touch()
    offsets = peers.gather(path.stat().st_mtime - time.time())
    peers.gather(None)
    now = peers.gather(time.time())
    worst, apart = max(offsets, key=abs), max(now) - min(now)
    text = f"a new file is {worst:+.1f} s off this machine's clock" + f", machines {apart:.1f} s apart" * (len(now) > 1)
    if min(offsets) < -_MOMENT:
        text += (
            ". Changes of files may go unnoticed: have the machines' clocks set by NTP (chrony), or tell your admins"
        )
        yield Finding("clocks", False, text)
    elif max(worst, apart) > _MOMENT:
        yield Finding(
            "clocks", True, f"{text}: files are read more often than they had to be; NTP mends that", advice=True
        )
    else:
        yield Finding("clocks", True, text)


def _cache(folder: Path, peers: Peers) -> Iterator[Finding]:
    """Whether other machines find what this one puts into the cache."""
    cache, near = cache_folder().absolute(), folder.parent.with_name("salmu-cache")
    advice = f"export SALMU_CACHE={near} in every job, or what is built and decoded here is made again on each node"
    if peers.count > 1:
        probe = peers.gather(temporary_name(cache / "doctor"))[0]
        try:
            if not peers.index:
                make_home(cache)
                probe.touch()
            peers.gather(None)
            alone = not all(peers.gather((cache / probe.name).exists()))  # each in the cache that it uses
        finally:
            peers.gather(None)
            if not peers.index:
                probe.unlink(missing_ok=True)
    else:
        existing = next(path for path in (cache, *cache.parents) if path.exists())
        alone = existing.stat().st_dev != folder.stat().st_dev
    if alone:
        what = "is not the cache of all processes" if peers.count > 1 else "lies on another disk than the results"
        yield Finding("shared cache", True, f"{cache} {what}: {advice}", advice=True)
    else:
        where = "all processes see it" if peers.count > 1 else "it lies on the disk of the results"
        yield Finding("shared cache", True, f"{cache}: {where}")


def _cards(folder: Path, peers: Peers) -> Iterator[Finding]:
    """Which cards each process sees."""
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    said = f"CUDA_VISIBLE_DEVICES is {visible!r}" if visible is not None else "CUDA_VISIBLE_DEVICES is not set"
    there = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    found = peers.gather((names, said, there))
    for number, (cards, variable, devices) in enumerate(found):
        name = "cards" if peers.count == 1 else f"cards of process {number}"
        if cards:
            yield Finding(name, True, f"{_counted(cards)}; {variable}")
        elif devices:
            why = "this torch is built without CUDA" if torch.version.cuda is None else variable
            text = f"{len(devices)} on this machine, and none can be used ({why}): ask the scheduler for one, as "
            text += "`--gres=gpu:1`, and install a torch for CUDA"
            yield Finding(name, True, text, advice=True)
        else:
            yield Finding(name, True, f"none: runs compute on the CPU; {variable}")


def _counted(names: Sequence[str]) -> str:
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
