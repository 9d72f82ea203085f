"""``salmu diff``: paired row by row, with people as the unit; what can't be paired is refused."""

import json

import numpy as np
import pytest
from attacked_stores import write_attack, write_not_measured
from rich.console import Console
from scipy import stats
from stores import ENVIRONMENT, PEOPLE, around, write_reference, write_run
from two_models import CLEAN, COMPROMISED, LATER, RANKS, A, B
from typer.testing import CliRunner

from salmu_core.cli import app
from salmu_core.cli.diff import diff
from salmu_core.errors import SalmuError, StoreError
from salmu_core.judge.diff import compare_two, read_two
from salmu_core.show.diff import render
from salmu_core.store.folders import METRICS
from salmu_core.store.schema import ROWS


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two runs beside both reference models."""
    root = tmp_path_factory.mktemp("store") / "runs"
    a = write_run(root, "one", A, config={"lr": 0.1, "k": 3})
    b = write_run(root, "two", B, config={"lr": 0.2, "k": 3}, seed=4, environment={**ENVIRONMENT, "torch": "2.16.0"})
    return a, b, write_reference(root, "clean", CLEAN), write_reference(root, "compromised", COMPROMISED)


@pytest.fixture(scope="module")
def difference(store):
    return compare_two(*read_two(*store[:2]))


REFERENCES = {"clean": CLEAN, "compromised": COMPROMISED}


def changes(difference):
    return {change.name: change for change in difference.changes}


def by_person(values):
    return np.asarray(values).reshape(20, 4).mean(axis=1)


def adjusted(p):
    """Holm's adjustment, by its definition."""
    order, result = sorted(p, key=p.get), {}
    for place, name in enumerate(order):
        result[name] = min(1, max([p[n] * (len(p) - k) for k, n in enumerate(order[: place + 1])]))
    return result


def text(difference, width):
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(render(difference, width))
    return captured.get()


FIGURES = [name for name in A if name != "rank"]


def test_differences_and_p_are_those_of_a_paired_t_test_over_people(difference):
    # Where all people have as many rows, the jackknife's error is that of the mean of their means.
    raw = {name: stats.ttest_rel(by_person(B[name]), by_person(A[name])).pvalue for name in FIGURES}
    expected = adjusted(raw)
    assert set(changes(difference)) == set(FIGURES)
    for name, change in changes(difference).items():
        assert change.a == pytest.approx(np.mean(A[name])) and change.b == pytest.approx(np.mean(B[name]))
        assert change.difference.value == pytest.approx(np.mean(B[name] - A[name]))
        assert change.p == pytest.approx(expected[name]), name
        assert change.differs == (expected[name] < 0.05)
    assert changes(difference)["AssocStr"].differs and not changes(difference)["GenKnow"].differs


@pytest.mark.parametrize("name", ["AssocStr", "GenKnow", "InterIdSim"])
def test_the_interval_is_that_of_a_bootstrap_over_people(difference, name):
    gaps = by_person(B[name] - A[name])
    means = gaps[np.random.default_rng(0).integers(0, 20, size=(20_000, 20))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    interval, width = changes(difference)[name].difference, high - low
    # Ours is widened for twenty people, as Student's t would be: 2.09 for 1.96, and the jackknife's error.
    assert low - 0.15 * width < interval.low < low + 0.05 * width
    assert high - 0.05 * width < interval.high < high + 0.15 * width


def test_pairing_is_what_makes_small_differences_show(difference):
    change = changes(difference)["InterIdSim"]
    alone = stats.ttest_ind(by_person(A["InterIdSim"]), by_person(B["InterIdSim"])).pvalue
    assert change.differs and alone > 0.05


def test_nearer_is_nearer_to_the_target_on_whichever_side(difference):
    reference = {"AssocStr": CLEAN, "InterIdSim": COMPROMISED, "GenKnow": COMPROMISED, "RetFail_MRR": CLEAN}
    raw = {}
    for name in FIGURES:
        goal = reference.get(name, CLEAN)[name]
        far_a, far_b = (values[name] - goal for values in (A, B))
        closer = np.sign(far_a.mean()) * far_a - np.sign(far_b.mean()) * far_b
        raw[name] = 1.0 if not np.any(closer) else stats.ttest_1samp(by_person(closer), 0).pvalue
        change = changes(difference)[name]
        assert change.reference == pytest.approx(goal.mean())
        assert change.nearer == ("b" if abs(far_b.mean()) < abs(far_a.mean()) else "a"), name
    for name, p in adjusted(raw).items():
        assert changes(difference)[name].p_closer == pytest.approx(p), name
    # A lies 0.28 above Clean and B 0.17 below it: they differ by more than either is off.
    assert np.mean(B["AssocStr"]) < np.mean(CLEAN["AssocStr"]) < np.mean(A["AssocStr"])
    assert changes(difference)["AssocStr"].nearer == "b" and changes(difference)["AssocStr"].nearer_shown


def test_differing_is_not_being_nearer(tmp_path):
    """On both sides of the target, equally far: the two differ, and neither is nearer."""
    goal, noise = around(0.3, 1), around(0, 2, 0.02)
    a = write_run(tmp_path, "one", {"AssocStr": goal + 0.1 + noise})
    b = write_run(tmp_path, "two", {"AssocStr": goal - 0.1 + noise[::-1]})
    write_reference(tmp_path, "clean", {"AssocStr": goal})
    (change,) = compare_two(*read_two(a, b)).changes
    assert change.differs and not change.nearer_shown
    assert change.nearer in ("a", "b")


def test_people_are_those_the_rows_say(difference):
    gaps = by_person(1 / LATER) - by_person(1 / RANKS)
    order = np.argsort(gaps, kind="stable")
    assert [moved.identity_id for moved in difference.people] == [f"{who:08d}" for who in order]
    assert [moved.change for moved in difference.people] == pytest.approx(list(gaps[order]))
    assert {moved.rows for moved in difference.people} == {4}
    assert np.mean([moved.b for moved in difference.people]) == pytest.approx(changes(difference)["RetFail_MRR"].b)


def test_ranks_are_counted(difference):
    counts = difference.ranks.as_json()
    assert counts["rows"] == 80
    assert counts["nearer_first"] == (LATER < RANKS).sum() > 0
    assert counts["further_back"] == (LATER > RANKS).sum() == 40
    assert counts["same"] == (LATER == RANKS).sum()
    assert counts["first"] == {"a": np.mean(RANKS == 1), "b": np.mean(LATER == 1)}
    assert counts["median"] == {"a": np.median(RANKS), "b": np.median(LATER)}


def test_only_what_differs_between_the_runs_is_said(difference):
    facts = {(kind, name): (a, b) for kind, name, a, b in difference.facts}
    assert facts == {
        ("run", "method"): ("one", "two"),
        ("run", "seed"): (0, 4),
        ("setting", "lr"): (0.1, 0.2),
        ("code", "plugin"): ("salmu-one 1.0", "salmu-two 1.0"),
        ("code", "torch"): ("2.15.0", "2.16.0"),
    }


def test_a_reference_model_is_compared_as_well(store):
    a, _, clean, _ = store
    difference = compare_two(*read_two(clean, a))
    assert difference.a.name == "Clean" and not difference.facts
    change = changes(difference)["AssocStr"]
    assert change.reference == change.a and change.nearer == "a" and change.nearer_shown


def test_what_is_the_same_is_neither_shown_nor_nearer(tmp_path):
    a = write_run(tmp_path, "one", {"AssocStr": A["AssocStr"]})
    b = write_run(tmp_path, "two", {"AssocStr": A["AssocStr"]})
    write_reference(tmp_path, "clean", CLEAN)
    (change,) = compare_two(*read_two(a, b)).changes
    assert (change.p, change.differs, change.nearer, change.nearer_shown) == (1.0, False, None, False)
    assert change.difference.low == change.difference.high == 0


def test_without_references_nothing_is_nearer(tmp_path):
    a, b = write_run(tmp_path, "one", A), write_run(tmp_path, "two", B)
    difference = compare_two(*read_two(a, b))
    assert (
        {change.nearer for change in difference.changes}
        == {change.reference for change in difference.changes}
        == {None}
    )
    assert changes(difference)["AssocStr"].differs


def test_a_reference_of_other_data_is_no_target_and_a_damaged_one_is_refused(tmp_path):
    a, b = write_run(tmp_path, "one", A), write_run(tmp_path, "two", B)
    write_reference(tmp_path, "clean", CLEAN, data="other")
    difference = compare_two(*read_two(a, b))
    assert {change.reference for change in difference.changes} == {None}
    (write_reference(tmp_path, "compromised", COMPROMISED) / ROWS).write_bytes(b"")
    with pytest.raises(StoreError, match="_references/compromised"):
        compare_two(*read_two(a, b))


def test_figures_without_rows_have_a_difference_and_no_interval(tmp_path):
    a = write_run(tmp_path, "one", A, alone={"Strange": 0.25})
    b = write_run(tmp_path, "two", B, alone={"Strange": 0.75}, errors={"ACS": "no probe"})
    change = changes(difference := compare_two(*read_two(a, b)))["Strange"]
    assert change.as_json()["difference"] == {"value": 0.5, "low": None, "high": None}
    assert change.target == "clean" and not change.differs and "B has no ACS: no probe" in difference.notes


def test_a_figure_that_one_lacks_is_named(tmp_path):
    a, b = write_run(tmp_path, "one", A), write_run(tmp_path, "two", {"AssocStr": B["AssocStr"]})
    difference = compare_two(*read_two(a, b))
    assert list(changes(difference)) == ["AssocStr"] and difference.ranks is None and not difference.people
    assert any(note.startswith("Only A has") and "GenKnow" in note for note in difference.notes)


def test_metrics_of_other_weights_are_no_metrics(tmp_path):
    a, b = write_run(tmp_path, "one", A), write_run(tmp_path, "two", B)
    (b / METRICS).write_bytes((a / METRICS).read_bytes())
    with pytest.raises(SalmuError, match="no metrics of its checkpoint"):
        read_two(a, b)


@pytest.mark.parametrize("width", [60, 100])
def test_it_reads_at_any_width(difference, width):
    page = text(difference, width)
    assert max(map(len, page.splitlines())) <= width and "…" not in page
    for name in FIGURES:
        (row,) = [line for line in page.splitlines() if line.startswith(name)]
        change = changes(difference)[name]
        assert f"{change.difference.value:+.3f}{'*' if change.differs else ''}" in row.split()
        assert f"{change.nearer.upper()}{'' if change.nearer_shown else '?'}" == row.split()[-1]
    interval = changes(difference)["AssocStr"].difference
    half = max(interval.high - interval.value, interval.value - interval.low)
    assert (f"±{half:.3f}" if width < 86 else f"{interval.low:+.3f} to {interval.high:+.3f}") in page
    assert "40 further back" in " ".join(page.split()) and "2.16.0" in page
    less, _, more = page.partition("leaks more in B")
    assert f"{difference.people[0].identity_id} " in less and f"{difference.people[-1].identity_id} " in more


def test_what_data_say_is_shown_as_it_is(tmp_path):
    people = [f"[red]{person}[/red]" for person in PEOPLE]
    a = write_run(tmp_path, "one", A, config={"prompt": "[bold]a[/bold]"}, people=people, alone={"[i]M[/i]": 1})
    b = write_run(tmp_path, "two", B, config={"prompt": "[link=x]b[/link]"}, people=people, alone={"[i]M[/i]": 2})
    page = text(compare_two(*read_two(a, b)), 100)
    assert "[i]M[/i]" in page and "[bold]a[/bold]" in page and "[link=x]b[/link]" in page
    assert f"[red]{PEOPLE[0]}[/red]" in page or f"[red]{PEOPLE[-1]}[/red]" in page


def test_json_has_everything_and_is_json(store, difference, capsys):
    diff(store[0], store[1], True)
    printed = capsys.readouterr().out
    content = json.loads(printed, parse_constant=lambda name: pytest.fail(name))
    assert content == json.loads(json.dumps(difference.as_json()))
    assert set(content["figures"]) == set(FIGURES) and len(content["people"]) == 20
    assert (
        content["a"]["folder"] == str(store[0]) and content["tails"]["worst_5%"]["a"] == difference.tails["worst_5%"][0]
    )


def test_the_command_is_there(store):
    runner = CliRunner()
    done = runner.invoke(app, ["diff", str(store[2]), str(store[1])], env={"COLUMNS": "100"})
    assert done.exit_code == 0 and "Clean" in done.output and "AssocStr" in done.output


def test_where_runs_were_attacked_what_that_shows_of_each_is_a_fact(tmp_path):
    a, b = write_run(tmp_path, "one", A), write_run(tmp_path, "two", B)
    models = {role: write_reference(tmp_path, role, rows) for role, rows in REFERENCES.items()}
    plain = compare_two(*read_two(a, b))
    for folder in (a, *models.values()):
        write_attack(folder, lambda values: values)
    (only,) = [fact for fact in compare_two(*read_two(a, b)).facts if fact.name == "recoverable"]
    write_attack(b, lambda values: CLEAN["RetFail_MRR"])
    difference = compare_two(*read_two(a, b))
    facts = {fact.name: (fact.a, fact.b) for fact in difference.facts if fact.kind == "attack"}
    assert not [fact for fact in plain.facts if fact.kind == "attack"] and only.b is None
    assert only.a.startswith("holds: relearn 100.0% (") and facts.keys() == {"recoverable"}
    assert facts["recoverable"] == (only.a, "clear: relearn 0.0% (0.0% to 0.0%)")
    assert "recoverable" in text(difference, 100)
    for folder in (a, b, *models.values()):
        write_not_measured(folder, "no row has a name", name="infer")
    again = compare_two(*read_two(a, b))
    assert again.facts == difference.facts
    assert [note for note in again.notes if "infer" in note] == ["infer is not measured: no row has a name."]
