"""One bit of one file is flipped: is it found, healed or refused, or is what the file says believed all the same?

Flips in results are looked at by `salmu results`, and healed by the command that made them; those in the cache and in
the benchmark meet the same study in a new folder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from faults.subject import RUNS, Subject, hidden, lasting
from faults.tallies import Trial
from faults.trials import forked, salmu

RESULTS = ("results", "--output", RUNS, "--json")
SILENT = "used silently"


def loop(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """Most flips are looked at by `salmu results`, all in one process; the others cost a study each."""
    yield from seen(subject, rng, count)
    for each in (healed, caches, benchmarks):
        yield from each(subject, rng, 1 + count // 60)


def seen(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """Flips in results, each looked at by `salmu results`."""
    with subject.place(finished=True) as place:
        flips = [
            (path, rng.randrange(path.stat().st_size), 1 << rng.randrange(8))
            for path in _spread(_results(place), rng, count)
        ]

        def look() -> int:
            answers = [(*_looked(), True)]
            for path, offset, bit in flips:
                raw = path.read_bytes()
                path.write_bytes(flipped(raw, offset, bit))
                answers.append((*_looked(), same_json(raw, path)))
                path.write_bytes(raw)
            Path("answers.json").write_text(json.dumps(answers), encoding="utf-8")
            return 0

        ended = forked(place, look)
        assert ended.code == 0, ended.text
        (first, wanted, _), *answers = json.loads((place / "answers.json").read_text(encoding="utf-8"))
        assert first == 0, wanted
    for (path, offset, bit), (code, shown, harmless) in zip(flips, answers, strict=True):
        name = str(path.relative_to(place))
        outcome = "found" if code == 1 else "harmless" if harmless and shown == wanted else SILENT
        wrong = f"{name}, byte {offset} ^ {bit}: exit {code}" if outcome == SILENT else ""
        yield Trial(f"a bit of {_kind(path)}", outcome, wrong)


def _looked() -> tuple[int, Any]:
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(io.StringIO()):
        code = salmu(RESULTS)
    try:
        return code, lasting(json.loads(said.getvalue()))
    except ValueError:
        return code, said.getvalue()


def healed(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """A flip in results, and then the command that made them."""
    for _ in range(count):
        with subject.place(finished=True) as place:
            path = rng.choice(_results(place))
            offset, bit = flip(path, rng)
            ended = subject.run(place)
            faults = subject.faults(place)
        outcome = "healed" if ended.code == 0 and not faults else "refused" if ended.code else SILENT
        where = f"{path.relative_to(place)}, byte {offset} ^ {bit}"
        wrong = f"{where}: exit 0, and {faults[0]}" if outcome == SILENT else ""
        yield Trial(f"a bit of {_kind(path)}, then the same command", outcome, wrong)


def caches(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """A flip in every file of the cache, and then the same study in a new folder."""
    for _ in range(count):
        with subject.place(finished=True) as place:
            (place / RUNS).rename(place / "before")
            for path in sorted((place / "cache").rglob("*")):
                if path.is_file() and path.stat().st_size and path.suffix != ".lock":
                    flip(path, rng)
            ended = subject.run(place)
            faults = [f"exit {ended.code}: {ended.sentence}"] if ended.code else subject.faults(place)
        outcome = "not healed" if ended.code else SILENT if faults else "healed"
        yield Trial("a bit of every file of the cache", outcome, "; ".join(faults[:5]))


def benchmarks(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """A flip in a file of the benchmark, and then the same study in a new folder, with what is cached of before."""
    files = sorted(path for path in subject.benchmark.rglob("*") if path.is_file())
    for path in _spread(files, rng, count):
        raw = path.read_bytes()
        with subject.place(finished=True) as place:
            (place / RUNS).rename(place / "before")
            offset, bit = flip(path, rng)
            ended = subject.run(place)
            same = subject.faults(place) == [] and same_json(raw, path)
            renamed = ended.code == 0 and _data(place / RUNS) != _data(place / "before")
        path.write_bytes(raw)
        where = f"{path.name}, byte {offset} ^ {bit}"
        if "Traceback" in ended.text or ended.code is None:
            trial = "traceback or hang", f"{where}: {ended.sentence}"
        elif ended.code or renamed:
            trial = "used, under a hash of its own" if renamed else "refused", ""
        else:
            trial = ("harmless", "") if same else (SILENT, f"{where}: under the hash of before")
        yield Trial(f"a bit of the benchmark's {path.suffix or path.name}", *trial)


def _data(runs: Path) -> list[Any]:
    """Hashes of the data that records say they were made on."""
    found = []
    for path in sorted(runs.rglob("*.json")):
        if path.name in ("run.json", "metrics.json"):
            record = json.loads(path.read_bytes())
            found.append([record.get(name) for name in ("benchmark", "data_hash", "zeroshot_hash", "checkpoint_hash")])
    return found


def _results(place: Path) -> list[Path]:
    """Every file of results in a place."""
    paths = (path for path in (place / RUNS).rglob("*") if path.is_file() and not hidden(path.relative_to(place)))
    return sorted(paths)


def _spread(files: list[Path], rng: Random, count: int) -> Iterator[Path]:
    """Files in turn, so that small ones come up as often as large ones."""
    for number in range(count):
        if number % len(files) == 0:
            rng.shuffle(files)
        yield files[number % len(files)]


def flip(path: Path, rng: Random) -> tuple[int, int]:
    """Flip one bit of a file; returns where."""
    raw = path.read_bytes()
    offset, bit = rng.randrange(len(raw)), 1 << rng.randrange(8)
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(flipped(raw, offset, bit))
    path.chmod(mode)
    return offset, bit


def flipped(raw: bytes, offset: int, bit: int) -> bytes:
    """Bytes with a bit flipped."""
    return raw[:offset] + bytes([raw[offset] ^ bit]) + raw[offset + 1 :]


def same_json(raw: bytes, path: Path) -> bool:
    """Whether a file says what it said, as JSON."""
    try:
        return bool(json.loads(raw) == json.loads(path.read_bytes()))
    except (ValueError, RecursionError):
        return False


def _kind(path: Path) -> str:
    return f"a reference's {path.name}" if "_references" in path.parts else f"a run's {path.name}"
