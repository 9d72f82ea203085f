"""The authors' result file, ``evaluation_NAME.json``: what stands where, and what must hold of it.

Two tables, ``efficacy`` and ``utility``, have an entry for each of the ten metrics: its figures, and of three of them a
list with a value for each row of the forget set, in the order of the sorted shards. What was skipped is -1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from salmu_core.disk.reading import read_json
from salmu_core.errors import UsageError
from salmu_core.store.folders import RANK

Floats = NDArray[np.float64]
#: What stands for a figure that was not computed.
SKIPPED = -1
#: How far a figure may lie from what its rows say: theirs may have been taken in another precision.
ROUNDING = 1e-4


class Part(NamedTuple):
    """A metric's entry.

    Attributes:
        table: The table it stands in.
        key: Its key there.
        figures: Key of a figure -> its column here.
        rows: Key of its list, if it has one, and the column here that has these values.
    """

    table: str
    key: str
    figures: Mapping[str, str]
    rows: tuple[str, str] | None = None

    @property
    def metric(self) -> str:
        """Its name."""
        return self.key.partition("_")[2]


def _mean(table: str, key: str, rows: bool = False) -> Part:
    name = key.partition("_")[2]
    return Part(table, key, {"mean": name}, ("scores", name) if rows else None)


PARTS = (
    Part("efficacy", "1.1_RetFail", {"R@1": "RetFail_R@1", "MRR": "RetFail_MRR"}, ("outcomes", RANK)),
    _mean("efficacy", "1.2_AssocStr", rows=True),
    Part("efficacy", "1.3_ACS", {"acs_accuracy": "ACS"}),
    Part("efficacy", "1.4_IdZSC", {"identity_classification_accuracy": "IdZSC"}),
    _mean("efficacy", "1.5_CoreAssoc", rows=True),
    Part("utility", "2.1_GenKnow", {"ImageNet1k_Accuracy": "GenKnow"}),
    *(_mean("utility", key) for key in ("2.2_InterIdSim", "2.3_IntraIdSim", "2.4_VisIdInt", "2.5_FragSim")),
)


class Evaluation(NamedTuple):
    """What a file says of one checkpoint.

    Attributes:
        values: Column -> figure; what was skipped is not there.
        rows: Column (`RANK` for the ranks of RetFail) -> value of each forget row ``[n]``.
    """

    values: Mapping[str, float]
    rows: Mapping[str, Floats]

    def as_json(self) -> dict[str, Any]:
        """As the authors write it."""
        tables: dict[str, Any] = {"efficacy": {}, "utility": {}}
        for part in PARTS:
            entry: dict[str, Any] = {key: self.values.get(column, SKIPPED) for key, column in part.figures.items()}
            if part.rows:
                key, column = part.rows
                # Theirs are whole numbers; where captions tie, ours are halves.
                entry[key] = [int(x) if column == RANK and x % 1 == 0 else x for x in self.rows[column].tolist()]
            tables[part.table][part.key] = entry
        return tables


def name_of(path: Path) -> str:
    """The NAME of ``evaluation_NAME.json``.

    Raises:
        UsageError: The file is called otherwise.
    """
    found = re.fullmatch(r"evaluation_([A-Za-z0-9][A-Za-z0-9._-]{0,79})\.json", path.name)
    if found is None:
        raise UsageError(
            f"{path} is not called as an evaluation file is, evaluation_NAME.json, where NAME is of letters, digits, "
            "points, hyphens and underscores: rename it."
        )
    return found[1]


def read(path: Path, rows: int, gallery: int) -> Evaluation:
    """Read an evaluation file.

    Args:
        path: The file.
        rows: How many the forget set has.
        gallery: Captions that a caption is ranked among, itself included.

    Raises:
        FileError: It can't be read, or is no JSON; NaN is none.
        UsageError: It is another file, of other rows, or contradicts itself.
    """
    tables = read_json(path)
    values: dict[str, float] = {}
    lists: dict[str, Floats] = {}
    for part in PARTS:
        where = f"{path}: {part.table}/{part.key}"
        table = tables.get(part.table)
        entry = table.get(part.key) if isinstance(table, dict) else None
        wanted = [*part.figures, *(part.rows or ())[:1]]
        if not isinstance(entry, dict) or (lacking := [key for key in wanted if key not in entry]):
            what = f"{part.table}/{part.key}" + (f"/{lacking[0]}" if isinstance(entry, dict) else "")
            raise UsageError(f"{path} is no evaluation file of SALMUBench's: it has no {what}.")
        given = {column: _number(entry[key], f"{where}/{key}") for key, column in part.figures.items()}
        values |= {column: value for column, value in given.items() if value != SKIPPED}
        if part.rows:
            key, column = part.rows
            lists[column] = _rows(entry[key], f"{where}/{key}", rows, (1, gallery) if column == RANK else (-1, 1))
    evaluation = Evaluation(values, lists)
    for column, of_rows in figures_of(lists).items():
        mean = float(of_rows.mean())
        if column not in values or not math.isclose(values[column], mean, rel_tol=0, abs_tol=ROUNDING):
            raise UsageError(
                f"{path} contradicts itself: it says that {column} is {values.get(column, SKIPPED):g}, and its rows "
                f"that it is {mean:g}."
            )
    return evaluation


def figures_of(lists: Mapping[str, Floats]) -> dict[str, Floats]:
    """Column of a figure -> its value of each row, of what the lists hold."""
    ranks = lists[RANK]
    own = {column: rows for column, rows in lists.items() if column != RANK}
    return {"RetFail_MRR": 1 / ranks, "RetFail_R@1": (ranks == 1).astype(np.float64), **own}


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{where} is {value!r:.80}, and not a number.")
    return float(value)


def _rows(values: object, where: str, rows: int, bounds: Sequence[float]) -> Floats:
    """A value for each row; what is no cosine or rank is refused, and -1 above all: no mean is taken of it."""
    if not isinstance(values, list):
        raise UsageError(f"{where} is {values!r:.80}, and not a list with a value for each row.")
    if len(values) != rows:
        raise UsageError(
            f"{where} has {len(values):,} values, and the forget set {rows:,} rows: some are missing, or it is of "
            "another benchmark."
        )
    numbers = np.array([_number(value, f"{where}, row {row}") for row, value in enumerate(values)])
    low, high = bounds
    slack = ROUNDING if low == SKIPPED else 0  # of a cosine in half precision
    wrong = (numbers < low - slack) | (numbers > high + slack) | (numbers == SKIPPED)
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "which stands for what was skipped" if numbers[row] == SKIPPED else f"outside {low:g} to {high:g}"
        raise UsageError(f"{where}, row {row} is {numbers[row]:g}, {what}.")
    return numbers
