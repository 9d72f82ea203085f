"""``benchmark.toml``: where the parts of a benchmark come from, if not from beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from salmu_core.clip.name import CONFIG, SUFFIXES, find_model
from salmu_core.contract.declared import MetricName, Name
from salmu_core.contract.layout import WEIGHTS
from salmu_core.contract.recommended import Recommended
from salmu_core.contract.specs import check_count_names
from salmu_core.disk.reading import read_toml
from salmu_core.errors import BenchmarkError, FileError, MissingFileError, UsageError

SOURCES = "benchmark.toml"


class Sources(BaseModel):
    """``benchmark.toml``: where the parts of a benchmark come from, if not from beside it.

    Models are names as `salmu evaluate` takes them: a folder, ``local-dir:PATH``, ``hf-hub:OWNER/NAME[@REVISION]`` or
    ``ARCHITECTURE:WEIGHTS``. Relative paths are relative to the benchmark folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9-]*$", description="Its name in paths and tables.")
    data: str = Field(default=".", description="Folder with `data/*.parquet` and the JSON files.")
    clean: str = Field(default="clean", description="The Clean model.")
    compromised: str = Field(default="compromised", description="The Compromised model.")
    zeroshot: str = Field(default="zeroshot", description="Zero-shot classification set, as a webdataset folder.")
    num_train: int | None = Field(default=None, gt=0, description="Pairs Compromised was trained on.")
    notice: str = Field(default="", description="A sentence that stands above every table.")
    rows: Mapping[str, int] = Field(default_factory=dict, description="Split -> the rows it must have.")
    identities: Mapping[str, int] = Field(default_factory=dict, description="Split -> the people it must show.")
    settings: Mapping[Name, Mapping[str, JsonValue]] = Field(
        default_factory=dict, description="Method -> settings that fit the models; an empty table: its defaults do."
    )
    metrics: Mapping[MetricName, Mapping[str, JsonValue]] = Field(
        default_factory=dict, description="Metric -> settings it is computed with here."
    )

    @model_validator(mode="after")
    def _splits_exist(self) -> Sources:
        check_count_names(self.rows, self.identities)
        return self

    @property
    def recommended(self) -> dict[str, Recommended]:
        """Its settings, as a benchmark's declaration would recommend them."""
        source = f"its {SOURCES}"
        return {method: Recommended(config=config, source=source) for method, config in self.settings.items()}


def read_sources(folder: Path) -> Sources:
    """Where the parts of a benchmark folder lie: beside one another, unless its ``benchmark.toml`` says otherwise.

    Raises:
        BenchmarkError: The file can't be understood.
    """
    path = folder / SOURCES
    try:
        return Sources.model_validate(read_toml(path))
    except MissingFileError:
        return Sources()
    except FileError as error:
        raise BenchmarkError(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchmarkError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def part_path(folder: Path, source: str) -> Path:
    """Where a part of a benchmark lies."""
    return folder / Path(source.removeprefix("local-dir:")).expanduser()


def check_parts(folder: Path, sources: Sources) -> None:
    """A benchmark folder has parquet shards and both models.

    Raises:
        BenchmarkError: It lacks some; all are named.
    """
    parquet = part_path(folder, sources.data) / "data"
    missing = [] if list(parquet.glob("*.parquet")) else [str(parquet / "*.parquet")]
    for source in (sources.clean, sources.compromised):
        try:
            model = find_model(source, folder).folder
            if model is not None and not any(path.suffix in SUFFIXES for path in model.iterdir()):
                missing.append(str(model / WEIGHTS))
        except UsageError as error:
            # As a folder, which is what it is by default, it is one more thing that is missing.
            if ":" in source.removeprefix("local-dir:"):
                raise BenchmarkError(f"{folder / SOURCES}: {error}") from error
            missing.append(str(part_path(folder, source) / CONFIG))
    if missing:
        raise BenchmarkError(
            f"{folder} is not a benchmark folder: missing {', '.join(missing)}. "
            f"It needs data/*.parquet, the JSON files, clean/, compromised/ and zeroshot/, or a {SOURCES} "
            "that names other sources."
        )
