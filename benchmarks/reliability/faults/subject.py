"""What the loops are about: a tiny study, undisturbed, and any other held against it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from faults.calls import Call, Heard, Log
from faults.trials import Ended, Kill, forked, salmu

#: What differs between two makings of the same: times and memory, and what is hashed of records that have them.
OF_THE_MOMENT = frozenset({"started", "seconds", "peak_memory_bytes", "seal"})
RUNS, HERE = "runs", "here"
#: A run, whose checkpoint is scored, and so are the two reference models.
STUDY = ("run", "finetuning", "--set", "finetuning.batch_size=4", "--budget", "2")


class Subject:
    """A study on a tiny benchmark, in a folder where many others of its like are made beside it.

    Args:
        work: An empty folder.
        more: Words that follow `STUDY`.

    Attributes:
        undisturbed: Where one was made that nobody disturbed.
    """

    def __init__(self, work: Path, more: Sequence[str] = ()) -> None:
        work.mkdir(exist_ok=True)
        self.work = work.resolve()
        self.benchmark = self.work / "benchmark"
        self._words = [*STUDY, "--benchmark", str(self.benchmark), *more]
        self._number = 0

        def write() -> int:
            from salmu_core.testing.tiny import write_tiny_benchmark

            write_tiny_benchmark(self.benchmark, people=4, pairs=2)
            return 0

        self._expect(forked(self.work, write))
        self.undisturbed = self.work / "undisturbed" / HERE
        self.undisturbed.mkdir(parents=True)
        self._expect(self.run(self.undisturbed))
        self.content = content(self.undisturbed / RUNS)

    @contextmanager
    def place(self, finished: bool = False) -> Iterator[Path]:
        """A new folder for a study, in a new one of its own; ``finished``: with all that an undisturbed one has."""
        self._number += 1
        folder = self.work / f"place-{self._number}" / HERE
        if finished:
            shutil.copytree(self.undisturbed, folder)
        else:
            folder.mkdir(parents=True)
        yield folder
        shutil.rmtree(folder.parent)

    def run(self, place: Path, heard: Heard | None = None, kill: Kill | None = None, more: Sequence[str] = ()) -> Ended:
        """Make the study in a place."""
        return forked(place, lambda: salmu(self.command(*more)), heard, kill)

    def command(self, *more: str, output: str = RUNS) -> list[str]:
        """The words of the command that makes it in the current folder."""
        return [*self._words, "--output", output, *more]

    @cached_property
    def calls(self) -> tuple[list[Call], float]:
        """All calls that it makes about files, in order, before each and after it; and the seconds that it takes."""
        log = Log(self.work / "calls.txt")
        with self.place() as place:
            ended = self._expect(self.run(place, log))
        return log.calls(), ended.seconds

    def faults(self, place: Path) -> list[str]:
        """What a study that should be finished has that the undisturbed one has not, or lacks; empty if it is as good.

        Results are compared byte by byte, records without what is of the moment; temporary files are faults.
        """
        made, faults = content(place / RUNS), []
        for name in sorted(self.content.keys() | made.keys()):
            if made.get(name) != self.content.get(name):
                differs = "differs" if name in self.content else "is one too many"
                faults.append(f"{name} {differs if name in made else 'is missing'}")
        return faults + [f"{path} is left over" for path in leftovers(place)]

    @staticmethod
    def _expect(ended: Ended) -> Ended:
        assert ended.code == 0, ended.text
        return ended


def content(folder: Path) -> dict[str, str]:
    """Every file of results but for hidden ones: path -> a hash of what would be the same if it were made again."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    visible = (path for path in files if not hidden(path.relative_to(folder)))
    return {str(path.relative_to(folder)): _content(path) for path in visible}


def _content(path: Path) -> str:
    raw = path.read_bytes()
    if path.suffix == ".json":
        try:
            raw = json.dumps(lasting(json.loads(raw)), sort_keys=True).encode()
        except ValueError:
            raw = b"no JSON: " + raw
    return hashlib.sha256(raw).hexdigest()


def lasting(value: Any) -> Any:
    """A JSON value without what is of the moment."""
    if isinstance(value, dict):
        return {name: lasting(item) for name, item in value.items() if name not in OF_THE_MOMENT}
    return [lasting(item) for item in value] if isinstance(value, list) else value


def hidden(path: Path) -> bool:
    """Whether a relative path is or lies below something that a name with a dot hides."""
    return any(part.startswith(".") for part in path.parts)


def leftovers(place: Path) -> list[str]:
    """What is neither a result nor a lock, in results and cache."""
    paths = [path.relative_to(place) for folder in (RUNS, "cache") for path in (place / folder).rglob("*")]
    return [str(path) for path in paths if path.name.startswith(".") and path.suffix != ".lock"]


def halves(place: Path) -> list[str]:
    """Records under a final name that can't be read, or whose files are not those that they describe."""
    wrong = []
    for path in sorted((place / RUNS).rglob("*.json")):
        if hidden(path.relative_to(place)):
            continue
        try:
            record = json.loads(path.read_bytes())
        except ValueError:
            wrong.append(f"{path} is no JSON")
            continue
        records = ("run.json", "metrics.json", "attack.json")
        for name, sealed in record["files"].items() if path.name in records else ():
            file = path.parent / name
            if not (file.is_file() and _sha256(file) == sealed["sha256"]):
                wrong.append(f"{file} is not what {path.name} describes")
    return wrong


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
