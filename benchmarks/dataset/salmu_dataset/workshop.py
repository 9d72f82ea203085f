"""Where a build works: its folder, its arguments, and what follows from them, made when first asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from salmu_mini.pictures import encode

from salmu_core import BenchmarkError
from salmu_dataset import manifest
from salmu_dataset.identities import Identity, make_identities
from salmu_dataset.manifest import Arguments, Build, Person
from salmu_dataset.plan import Share, Totals, shares, totals
from salmu_dataset.sources import (
    Anchor,
    CaptionSource,
    Portrait,
    PortraitSource,
    Settings,
    load_captions,
    load_portraits,
)

STAGES: Final = ".stages"
BUILD: Final = "build.json"
FINISHED: Final = "manifest.json"
_PICTURES: Final = pa.schema([("number", pa.int32()), ("image", pa.binary()), ("caption", pa.string())])


class Workshop:
    """One build's work folder. Workers in other processes make one of their own from the path.

    Attributes:
        folder: What the user named.
        stages: The work folder within it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stages = folder / STAGES
        self.build = manifest.read(self.stages / BUILD, Build)
        self.arguments = self.build.arguments

    @cached_property
    def identities(self) -> list[Identity]:
        return make_identities(self.arguments.seed, self.arguments.identities, self.arguments.countries)

    @cached_property
    def totals(self) -> Totals:
        return totals(self.arguments.identities, self.arguments.pairs)

    @cached_property
    def shares(self) -> list[Share]:
        return shares(self.arguments.seed, self.totals)

    @cached_property
    def portraits(self) -> PortraitSource:
        return _portraits(self.arguments)

    @cached_property
    def captions(self) -> CaptionSource:
        return _captions(self.arguments)

    @cached_property
    def people(self) -> dict[str, Person]:
        return manifest.read(self.record("pii"), manifest.Pii).people

    def record(self, stage: str) -> Path:
        """Where a stage's record is, once the stage is complete."""
        return self.stages / f"{stage}.json"

    def unit(self, stage: str, number: int, suffix: str) -> Path:
        """Where one of a stage's files is."""
        return self.stages / stage / f"{number:08d}.{suffix}"

    def anchor(self, number: int) -> Anchor:
        """Somebody's anchor, as stored."""
        with Image.open(self.unit("anchors", number, "png")) as image:
            return Anchor(self.identities[number], image.convert("RGB"))

    def stored(self, portrait: Portrait, number: int) -> Picture:
        """Candidate `number` of somebody, encoded.

        Raises:
            BenchmarkError: The source returned something else than an RGB image with a caption.
        """
        if portrait.image.mode != "RGB" or not portrait.caption:
            name = self.arguments.portraits
            raise BenchmarkError(f"portrait source {name!r} returned a portrait without RGB image or without caption")
        return Picture(number, encode(portrait.image, "JPEG"), portrait.caption)

    def draw(self, anchor: Anchor, number: int) -> Picture:
        """As `stored`, made by the source."""
        return self.stored(self.portraits.portrait(anchor, number), number)


def check_sources(arguments: Arguments) -> set[str]:
    """See that both sources exist and take their options, before anything is written.

    Returns:
        The distributions that they say their output depends on.

    Raises:
        UsageError: One doesn't.
    """
    sources = _portraits(arguments), _captions(arguments)
    return {name for source in sources for name in getattr(source, "libraries", ())}


def _portraits(arguments: Arguments) -> PortraitSource:
    settings = Settings(arguments.seed, arguments.size, arguments.portrait_options)
    return load_portraits(arguments.portraits, settings)


def _captions(arguments: Arguments) -> CaptionSource:
    return load_captions(arguments.captions, Settings(arguments.seed, arguments.size, arguments.caption_options))


class Picture:
    """An encoded picture, its number in a file, and its generic caption."""

    __slots__ = ("caption", "data", "number")

    def __init__(self, number: int, data: bytes, caption: str) -> None:
        self.number, self.data, self.caption = number, data, caption

    def file_name(self, stem: str) -> str:
        """As the released files are called: `00000110_002_ar-0.76.jpg`."""
        with Image.open(io.BytesIO(self.data)) as image:
            return f"{stem}_ar-{image.width / image.height:.2f}.jpg"


def write_pictures(path: Path, pictures: list[Picture], note: dict[str, Any] | None = None) -> None:
    """Write one of the work folder's files of pictures, with a note in JSON: whole or not at all."""
    table = pa.table(
        {
            "number": [p.number for p in pictures],
            "image": [p.data for p in pictures],
            "caption": [p.caption for p in pictures],
        },
        schema=_PICTURES.with_metadata({"note": json.dumps(note or {})}),
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="none", use_dictionary=False)
    manifest.replace(path, sink.getvalue())


def read_note(path: Path) -> dict[str, Any]:
    """The note of such a file.

    Raises:
        BenchmarkError: The file is missing or damaged.
    """
    try:
        note: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"note"])
    except (OSError, pa.ArrowException) as error:
        raise BenchmarkError(f"{path} can't be read ({error}): remove it, and it is made again") from error
    return note


def read_pictures(path: Path) -> Iterator[Picture]:
    """Read such a file, in the order it was written.

    Raises:
        BenchmarkError: It is missing or damaged.
    """
    try:
        columns = pq.read_table(path).to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise BenchmarkError(f"{path} can't be read ({error}): remove it, and it is made again") from error
    for number, data, caption in zip(columns["number"], columns["image"], columns["caption"], strict=True):
        yield Picture(number, data, caption)
