"""What one run of a study is given by whoever schedules it. Nothing here needs torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from salmu_core.disk.space import size_of
from salmu_core.errors import UsageError
from salmu_core.train.settings import seconds_of


class Resources(BaseModel):
    """The table ``[resources]`` of a study file: for engines and plans, which hold nobody to it by themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cards: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of an accelerator that one run is given: 0.25 for four at a time on each, 0 for none. "
        "Absent: a whole one, where there are any.",
    )
    memory: str | None = Field(default=None, description="Memory of one run, as 16GB; absent: what the engine gives.")
    time: str | None = Field(default=None, description="Time of one run, as 10m or 2h; absent: what the engine gives.")

    @field_validator("memory")
    @classmethod
    def _size(cls, text: str | None) -> str | None:
        try:
            if text is not None and not size_of(text, "memory"):
                raise ValueError("no memory at all")
        except UsageError as error:
            raise ValueError(str(error)) from error
        return text

    @field_validator("time")
    @classmethod
    def _time(cls, text: str | None) -> str | None:
        if text is not None and not seconds_of(text):
            raise ValueError(f"{text!r} is no time: write it as 90s, 10m or 2h")
        return text

    @property
    def memory_bytes(self) -> int | None:
        """Its memory."""
        return None if self.memory is None else size_of(self.memory, "memory")

    @property
    def time_seconds(self) -> float | None:
        """Its time."""
        return None if self.time is None else seconds_of(self.time)
