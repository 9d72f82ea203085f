"""Default learning rates are those that the search by probe chose, and our table stands beside the right one."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from salmu_core.plugins.zoo import discover

LABORATORY = Path(__file__).parents[2] / "benchmarks" / "laboratory"
TABLE = LABORATORY / "learning_rates.tsv"


def script(name):
    """A script of the laboratory, as a module."""
    spec = importlib.util.spec_from_file_location(name, LABORATORY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_defaults_are_the_chosen_ones():
    with TABLE.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    chosen = {row["method"]: float(row["lr"]) for row in rows if row["chosen"]}
    methods = discover().methods
    assert chosen == {name: methods[name].spec.config().lr for name in chosen}
    assert {methods[name].card.chosen_on for name in chosen} == {"mini"}
    # All whose defaults were chosen on `mini` and train were searched, but for one that has a log of its own; wrappers
    # have the rate of what they wrap.
    on_mini = {name for name, row in methods.items() if row.card.chosen_on == "mini" and not row.over}
    assert on_mini - set(chosen) == {"descent-to-delete", "counterfactual"}
    assert (LABORATORY / "beyond_tried.tsv").is_file()


def test_the_marks_follow_the_rule_on_one_grid_for_all():
    search = script("learning_rates")
    scores: dict[str, dict[float, tuple[float, float]]] = {}
    with TABLE.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        scores.setdefault(row["method"], {})[float(row["lr"])] = float(row["leak left"]), float(row["retain agreement"])
    assert {tuple(found) for found in scores.values()} == {search.GRID}
    chosen = {row["method"]: float(row["lr"]) for row in rows if row["chosen"]}
    assert {name: search.choose(found) for name, found in scores.items()} == chosen


@pytest.mark.parametrize(
    ("scores", "rate"),
    [
        ({1: (0.04, 0.6), 2: (0.01, 0.8), 3: (0.001, 0.5)}, 2),  # all end the leak: what changes least
        ({1: (0.9, 0.95), 2: (0.5, 0.9), 3: (0.2, 0.3)}, 2),  # none does: the least leak of what changes little
        ({1: (0.9, 0.5), 2: (0.5, 0.4)}, 2),  # nor keeps anything: the least leak
    ],
)
def test_what_the_search_takes(scores, rate):
    assert script("learning_rates").choose(scores) == rate


def test_the_published_table_agrees_with_itself_and_with_its_mirror_not_at_all():
    table = script("paper_table")
    published = json.loads(table.PUBLISHED.read_text())["paper_table_budget_5"]
    ours = {table.NAMES[name]: row for name, row in published.items()}
    pairs, rho = table.beside(ours)
    assert all(value == pytest.approx(1) for value in rho.values())
    assert all(theirs == mine for found in pairs.values() for theirs, mine in found.values())
    mirror = {name: {column: -value for column, value in row.items()} for name, row in ours.items()}
    assert all(value == pytest.approx(-1) for value in table.beside(mirror)[1].values())


def read(name):
    with (LABORATORY / name).open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_search_was_equal_for_all_and_its_choice_is_the_best_of_its_log():
    rows = read("tuning.tsv")
    methods = {row["method"] for row in rows}
    assert (
        len(methods) >= 9
        and {row["budget"] for row in rows} == {"5.0"}
        and {row["world"] for row in rows} == {"mini@200"}
    )
    for name in methods:
        trials = [row for row in rows if row["method"] == name]
        values = {int(row["trial"]): float(row["objective"] or 0) for row in trials}
        assert sorted(values) == [*range(20)] and {row["code"] for row in trials} == {trials[0]["code"]}
        assert [values[int(row["trial"])] for row in trials if row["chosen"]] == [max(values.values())], name
        for row in trials:  # by hand: forgetting first, then what is kept
            gone, kept = float(row["forgotten"]), float(row["kept"])
            worth = 1 + kept if gone >= 0.95 else 2 * gone * kept / (gone + kept) if gone + kept else 0
            assert float(row["objective"]) == pytest.approx(worth / 2)
