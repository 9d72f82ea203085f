"""Default settings are those that the search by probe chose, and our table stands beside the right one."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from salmu_core.contract.search import searches
from salmu_core.plugins.zoo import discover

LABORATORY = Path(__file__).parents[2] / "benchmarks" / "laboratory"


def script(name):
    """A script of the laboratory, as a module."""
    spec = importlib.util.spec_from_file_location(name, LABORATORY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_defaults_are_the_chosen_ones():
    chosen = {row["method"]: json.loads(row["settings"]) for row in read("tuning.tsv") if row["chosen"]}
    methods = discover().methods
    for name, settings in chosen.items():
        defaults = methods[name].spec.config().model_dump(mode="json")
        searched = {field for field, _ in searches(methods[name].spec.config)}
        assert {field: settings[field] for field in searched} == {field: defaults[field] for field in searched}, name
        # Of a variant that is not the default there is a weight in the log, which changed nothing.
        assert settings.keys() - searched == ({"connectivity_weight"} if name == "dist-reg" else set())
    # All whose defaults were chosen on `mini` were searched, but for one that has a log of its own, and for those with
    # nothing to search: wrappers have the settings of what they wrap, and a control is as large as methods are.
    on_mini = {name for name, row in methods.items() if row.card.chosen_on == "mini"}
    unsearched = {name for name in on_mini if not any(searches(methods[name].spec.config))}
    assert all(methods[name].over or "control" in methods[name].tags for name in unsearched)
    assert on_mini - unsearched == {*chosen, "counterfactual"} and (LABORATORY / "beyond_tried.tsv").is_file()


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
            worth = 1 + kept if gone >= 0.99 else 2 * gone * kept / (gone + kept) if gone + kept else 0
            assert float(row["objective"]) == pytest.approx(worth / 2)
