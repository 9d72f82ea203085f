"""From rows to figures: the core takes the means, and what does not fit together is the metric's error."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from salmu_core import MetricResult, MetricSpec, PerRow, Ranks
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.plugins.zoo import Declared
from salmu_core.score.evaluate import compute_one
from salmu_core.store.records import MetricEntry


@pytest.fixture(scope="module")
def data(tiny):
    return read_evaluation(tiny, tiny / "zeroshot")


@pytest.fixture(scope="module")
def n(data):
    return len(data.base["forget"])


def scored(data, result, **fields):
    facts = {"name": "One", "summary": "Made up.", "pillar": "efficacy", "target": "clean", "reads": ("forget",)}
    facts |= {"paper": "https://example.org", "compute": lambda ctx: result}
    return compute_one(Declared.of(MetricSpec(**{**facts, **fields}), "d", "1", __name__), SimpleNamespace(data=data))


def test_a_figure_is_the_mean_of_its_rows_and_one_without_rows_is_a_value(data, n):
    rows = np.random.default_rng(0).normal(size=n)
    entry, tables = scored(data, MetricResult(per_row=PerRow("forget", rows), chance=0.25))
    assert entry.values == {"One": float(np.mean(rows))} and entry.chance == {"One": 0.25} and entry.gallery is None
    assert tables.rows["value"].to_pylist() == rows.tolist() and set(tables.rows["column"].to_pylist()) == {"One"}
    mixed = MetricResult(value={"b": 3}, per_row=PerRow("forget", {"a": rows}), chance={"b": 2})
    entry, tables = scored(data, mixed, figures=("a", "b"))
    assert list(entry.values.items()) == [("One_a", pytest.approx(math.fsum(rows) / n)), ("One_b", 3.0)]
    assert entry.chance == {"One_b": 2.0}
    assert set(tables.rows["column"].to_pylist()) == {"One_a"}
    entry, tables = scored(data, MetricResult(0.5))
    assert entry.values == {"One": 0.5} and len(tables.rows) == 0


def test_some_rows_are_those_of_their_numbers(data):
    entry, tables = scored(data, MetricResult(per_row=PerRow("forget", np.array([1.0, 4.0]), index=[3, 1])))
    assert entry.values == {"One": 2.5} and tables.rows["row"].to_pylist() == [3, 1]
    names = data.base["forget"].file_names
    assert tables.rows["file_name"].to_pylist() == [names[3], names[1]]


def test_ranks_are_rows_of_their_own_and_the_gallery_stands_in_the_record(data, n):
    ranks, like = np.arange(n) + 1.0, np.ones(n)
    entry, tables = scored(data, MetricResult(0.5, ranks=Ranks("forget", ranks, n, (like, 2))))
    assert (entry.values, entry.gallery, entry.gallery_like) == ({"One": 0.5}, n, 2)
    assert tables.rows["value"].to_pylist() == [*ranks, *like]
    assert tables.rows["column"].to_pylist() == ["rank"] * n + ["rank_private"] * n


def test_the_declaration_is_in_the_record_whatever_becomes_of_it(data):
    fields = {"role": "leak", "bounds": (0, 1), "primary": True, "figures": ("a", "b")}
    entry, _ = scored(data, None, **fields)
    back = MetricEntry.model_validate_json(entry.model_dump_json())
    assert "it must return a MetricResult" in back.error and not back.values
    assert (back.declared.role, back.declared.primary, back.declared.bounds) == ("leak", True, (0, 1))
    assert back.declared.columns == ("One_a", "One_b") and back.declared.reads == ("forget",)


ROWS, TWO = np.zeros(4), {"figures": ("a", "b")}


@pytest.mark.parametrize(
    ("result", "fields", "said"),
    [
        (MetricResult(), {}, "nothing for One"),
        (MetricResult({"a": 1.0}), TWO, "nothing for One_b"),
        (MetricResult({"a": 1.0, "b": 1.0, "c": 1.0}), TWO, "a value of 'c'; its figures are called a, b"),
        (MetricResult(1.0), TWO, "must give a value by figure: a, b"),
        (MetricResult({"One": 1.0}), {}, "must give a value for One alone, without a name"),
        (MetricResult(1.0, PerRow("forget", ROWS, index=range(4))), {}, "a value and rows of One"),
        (MetricResult(per_row=PerRow("forget", {"One": ROWS}, index=range(4))), {}, "rows for One alone"),
        (MetricResult({"b": 1.0}, PerRow("forget", {"One_a": ROWS}, index=range(4))), TWO, "rows of 'One_a'"),
        (MetricResult(per_row=PerRow("forget", ROWS)), {}, r"\[4\] values of One for [0-9]+ rows of forget"),
        (MetricResult(per_row=PerRow("forget", ROWS * math.nan, index=range(4))), {}, "NaN or infinite"),
        (MetricResult(per_row=PerRow("forget", ROWS, index=[0, 1, 1, 2])), {}, "row numbers that repeat"),
        (MetricResult(per_row=PerRow("retain_joint", ROWS, index=range(4))), {}, "does not declare to read"),
        (MetricResult(math.nan), {}, "nan"),
        (MetricResult(1.5), {"bounds": (0, 1)}, "One is 1.5, outside its bounds 0 and 1"),
        (MetricResult(-0.5), {"bounds": (0, 1)}, "outside its bounds"),
        (MetricResult(0.5, chance={"a": 1.0}), {}, "what guessing gives for One alone"),
        (MetricResult(0.5, chance=math.inf), {}, "inf"),
        (MetricResult(0.5, ranks=Ranks("forget", ROWS, 9)), {}, "a rank outside 1 to 9, its gallery"),
        (MetricResult(0.5, ranks=Ranks("forget", ROWS + 10, 9)), {}, "a rank outside 1 to 9"),
        (MetricResult(0.5, ranks=Ranks("forget", ROWS + 1, 9)), {}, "4.* values of rank for [0-9]+ rows"),
        (MetricResult(0.5, ranks=Ranks("forget", ROWS + 1, 9, (ROWS + 7, 6))), {}, "a rank_private outside 1 to 6"),
        (MetricResult(0.5, ranks=Ranks("retain_joint", ROWS + 1, 9)), {}, "does not declare to read"),
        (MetricResult(0.5, details={"a": math.nan}), {}, "not JSON compliant"),
        (0.5, {}, "returned float; it must return a MetricResult"),
    ],
)
def test_what_does_not_fit_is_the_metrics_error(data, result, fields, said):
    entry, tables = scored(data, result, **fields)
    assert entry.values == entry.chance == entry.details == {} and entry.gallery is None and len(tables.rows) == 0
    assert re.search(said, entry.error), entry.error


def test_rounding_may_take_a_figure_a_little_out_of_its_bounds(data):
    assert scored(data, MetricResult(1 + 1e-9), bounds=(0, 1))[0].values == {"One": 1 + 1e-9}
