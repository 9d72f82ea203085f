"""What all declarations have in common: how names, sentences and links look, and that nothing changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

#: A name as it is typed on the command line and stands in paths: lower case, words joined by hyphens.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=50)]
#: A metric's name as the literature writes it; it becomes a column and a file name.
MetricName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_@-]*$", max_length=50)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=300)]
#: Rule of conformance -> why it is known not to hold.
KnownFailures = Mapping[str, Annotated[str, StringConstraints(min_length=10, max_length=300)]]
Link = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]


class Spec(BaseModel):
    """Base of all declarations: immutable, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
