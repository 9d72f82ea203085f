"""What all records have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of everything written as JSON: closed and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")
