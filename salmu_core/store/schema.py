"""What all records have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

#: Raised whenever a field of a record changes its meaning.
SCHEMA = 2


class Record(BaseModel):
    """Base of everything written as JSON: closed and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")
