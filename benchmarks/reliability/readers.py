"""What reads files that somebody else may have written, each with one of its own, and how such a file is spoiled."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

#: What parsers, counters and terminals stumble over.
TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"1" * 5_000, b"-1", b"null", b"true", b'"', b"[" * 5_000, b'{"a":' * 2_000,
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\xef\xbb\xbf", b"\xff" * 7 + b"\x7f",
    b"{0..999999999}", b"\x1b]0;x\x07", b"\n\n[[a]]\n", b"9999999999", b"../../..", b",", b"{}", b"[]", b"=", b" ",
)  # fmt: skip
#: What stands where a file of JSON has something else.
VALUES = (
    None,
    True,
    False,
    -1,
    0,
    1,
    10**30,
    1e308,
    -0.5,
    "",
    "x",
    "\x1b\u202e",
    "1",
    [],
    {},
    [[]],
    [None],
    {"": None},
)


class Reader(NamedTuple):
    """One of them.

    Attributes:
        file: Its file.
        read: Reads it, from the file or from a folder around it.
        share: How often its turn comes; a slow one's is rare.
    """

    file: Path
    read: Callable[[], object]
    share: int = 1


def spoiled(content: bytes, random: Random) -> bytes:
    """A file's content after something has happened to it."""
    if content[:1] in (b"{", b"[") and random.random() < 0.5:
        with suppress(ValueError):
            return _replanted(json.loads(content), random)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        size = len(content)
        at, most = random.randrange(size + 1), random.choice((1, 8, 64, 4096))
        more = random.randint(1, max(1, min(size, most)))
        match random.randrange(8):
            case 0 if size:  # one bit
                at %= size
                content = content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]
            case 1:
                content = content[:at]
            case 2:
                content = content[:at] + content[at + more :]
            case 3:
                content = content[:at] + content[at : at + more] * random.choice((2, 3, 50)) + content[at + more :]
            case 4:
                content = content[:at] + bytes(more) + content[at + more :]
            case 5:
                content = content[:at] + random.randbytes(more) + content[at + more :]
            case 6:
                content = content[:at] + random.choice(TOKENS) + content[at:]
            case _:
                content = content[:at] + random.choice(TOKENS) + content[at + more :]
    return content


def _replanted(value: Any, random: Random) -> bytes:
    """A document of which one part is another, is gone or is there twice."""
    places = [*_places(value)]
    if places:
        parent, key = random.choice(places)
        match random.randrange(6):
            case 0:
                del parent[key]
            case 1:
                return (
                    json.dumps(value)
                    .replace(f"{json.dumps(key)}: ", f"{json.dumps(key)}: 1, {json.dumps(key)}: ")
                    .encode()
                )
            case 2 if isinstance(parent, dict):
                parent[f"{key}x"] = parent.pop(key)
            case _:
                parent[key] = random.choice(VALUES)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(part)


def readers(ground: Path, runs: Path, work: Path) -> dict[str, Reader]:
    """Every reader of the core by its name.

    Args:
        ground: A benchmark folder.
        runs: A results folder with a run, its references and an attack of any benchmark.
        work: An empty folder, for copies of both and a cache.
    """
    os.environ["SALMU_CACHE"] = str(work / "cache")
    ground, runs = shutil.copytree(ground, work / "ground"), shutil.copytree(runs, work / "runs")
    return {**_records(runs), **_settings(work), **_models(ground), **_data(ground), **_caches(ground, work)}


def _records(runs: Path) -> dict[str, Reader]:
    from salmu_core.judge.results import read_results
    from salmu_core.store.folders import Store, read_record
    from salmu_core.store.records import MetricsRecord, RunRecord

    run = next(path.parent for path in sorted(runs.rglob("run.json")))
    world = run.relative_to(runs).parts[0]
    metrics = next(path for path in sorted(runs.rglob("metrics.json")))

    def results() -> object:
        return read_results(Store(runs), [world])

    return {
        "a run's record": Reader(run / "run.json", lambda: read_record(run / "run.json", RunRecord), 60),
        "a record of figures": Reader(metrics, lambda: read_record(metrics, MetricsRecord), 60),
        "results, with a run's record": Reader(run / "run.json", results, 4),
        "results, with a table of rows": Reader(next(iter(sorted(runs.rglob("per_row.parquet")))), results, 4),
    }


def _settings(work: Path) -> dict[str, Reader]:
    from salmu_core.benchmark.manifest import Manifest, read_manifest, write_manifest
    from salmu_core.benchmark.sources import read_sources
    from salmu_core.disk.record import FileSeal
    from salmu_core.study.asked import read_study
    from salmu_core.study.parsing import parse_budgets, parse_numbers, parse_settings

    folder = work / "settings"
    folder.mkdir()
    study, sources, words = folder / "study.toml", folder / "benchmark.toml", folder / "words"
    study.write_text(
        'benchmark = "mini"\nmethods = ["finetuning", "delete"]\nbudgets = [1, 2.5]\nseeds = [0, 1]\nworlds = [0, 3]\n'
        'retain = ["a/{0..9}.tar"]\nretain_share = 0.5\nrequests = 2\nattacks = ["bare-value"]\n'
        "[config.finetuning]\nlr = 1e-4\n[[config.delete]]\nbatch_size = 8\n[[config.delete]]\nbatch_size = 4\n"
    )
    sources.write_text(
        'name = "own"\ndata = "."\nclean = "clean"\ncompromised = "hf-hub:owner/name@main"\nnum_train = 10\n'
        'notice = "A notice."\n[rows]\nforget = 10\n[identities]\nforget = 3\n[settings.finetuning]\nlr = 1e-4\n'
    )
    words.write_text("0-4,7,9-12")
    files = {f"data/{n}.parquet": FileSeal(size=n, sha256="0" * 64) for n in range(4)}
    write_manifest(folder, Manifest(files=files, zeroshot="elsewhere"))

    def options() -> object:
        text = words.read_bytes().decode("utf-8", "surrogateescape")
        for parse in (parse_budgets, lambda texts: parse_numbers(texts, "--seed", "seeds"), parse_settings):
            with suppress(_sentence()):
                parse([text])
        return parse_settings([f"finetuning.lr={text}"])

    return {
        "a study file": Reader(study, lambda: read_study(study), 60),
        "benchmark.toml": Reader(sources, lambda: read_sources(folder), 60),
        "a world's manifest": Reader(folder / "manifest.json", lambda: read_manifest(folder), 60),
        "values of options": Reader(words, options, 60),
    }


def _models(ground: Path) -> dict[str, Reader]:
    from salmu_core.clip.canary import read_canary
    from salmu_core.clip.config import read_config
    from salmu_core.clip.load import load_clip

    model = ground / "clean"
    found = {
        "a model's config": Reader(model / "open_clip_config.json", lambda: read_config(model), 60),
        "a model, by its config": Reader(model / "open_clip_config.json", lambda: load_clip(model, check=False), 1),
        "a model, by its weights": Reader(next(model.glob("*.safetensors")), lambda: load_clip(model, check=False), 1),
    }
    if (model / "salmu_canary.json").is_file():
        found["a canary"] = Reader(model / "salmu_canary.json", lambda: read_canary(model), 60)
    return found


def _data(ground: Path) -> dict[str, Reader]:
    from salmu_report.people import thumbnail

    from salmu_core.benchmark.rows import read_rows
    from salmu_core.benchmark.splits import read_evaluation
    from salmu_core.benchmark.zeroshot import read_zeroshot
    from salmu_core.contract import layout

    zeroshot = ground / "zeroshot"
    shard = next(iter(sorted((ground / "data").glob("forget*.parquet"))))

    def rows() -> object:
        table = read_rows(ground, "forget")
        return [table.encoded[i] for i in range(len(table))]

    def classes() -> object:
        known = read_zeroshot(zeroshot)
        return [known.encoded[i] for i in range(len(known.keys))]

    picture = ground / "picture.bin"
    picture.write_bytes(read_rows(ground, "forget").encoded[0])

    def everything() -> object:
        return read_evaluation(ground, zeroshot)

    return {
        "a shard of rows": Reader(shard, rows, 8),
        "an image": Reader(picture, lambda: thumbnail(picture.read_bytes(), 16), 30),
        "people": Reader(ground / layout.IDENTITIES, everything, 4),
        "facts of captions": Reader(ground / layout.CAPTIONS_METADATA, everything, 4),
        "fragile people": Reader(ground / layout.FRAGILE_IDS, everything, 4),
        "a tar of images": Reader(next(iter(sorted(zeroshot.glob("test/*.tar")))), classes, 8),
        "how many tars there are": Reader(zeroshot / "test" / "nshards.txt", classes, 8),
        "names of classes": Reader(zeroshot / "classnames.txt", classes, 8),
    }


def _caches(ground: Path, work: Path) -> dict[str, Reader]:
    from salmu_core.disk import stamps
    from salmu_core.disk.cache import recall, remember
    from salmu_core.disk.file_hashes import Stamps
    from salmu_core.disk.space import COUNTS, STAMPS
    from salmu_core.plugins.catalogue import Catalogue

    cache = work / "cache"
    remember(COUNTS, "key", json.dumps({"rows": 3, "identities": ["a"]}).encode())
    counts = next((cache / COUNTS).iterdir())
    stamps.GRANULARITY_NS = 0
    file = ground / "data"
    shard = next(iter(sorted(file.glob("*.parquet"))))

    def hashes() -> object:
        with Stamps(file) as known:
            return known(shard)

    hashes()
    folder = work / "catalogue"
    folder.mkdir()
    from salmu_core.plugins.zoo import discover

    discover(fresh=True)
    found = {
        "an entry of the cache": Reader(counts, lambda: recall(COUNTS, "key"), 60),
        "remembered hashes": Reader(next((cache / STAMPS).iterdir()), hashes, 30),
    }
    for path in (cache / "catalogue").glob("*.json"):
        shutil.copy(path, folder / path.name)
        found["what plugins declare"] = Reader(folder / path.name, lambda: Catalogue(folder), 4)
    return found


def _sentence() -> type[Exception]:
    from salmu_core.errors import SalmuError

    return SalmuError
