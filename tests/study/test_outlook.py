"""When a study will be done: hand-made arithmetic on a clock that stands still."""

import pytest

from salmu_core.store.folders import RunKey
from salmu_core.study import outlook
from salmu_core.study.outlook import Outlook
from salmu_core.study.pieces import Piece


def run(method, budget=1.0, phase="unlearning", seed=0):
    return Piece(phase, "mini", RunKey("mini", method, "0" * 64, budget, seed))


@pytest.fixture
def clock(monkeypatch):
    """Set the time, in seconds."""
    now = [0.0]
    monkeypatch.setattr(outlook.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, seconds)


def done(watch, clock, piece, begun, ended):
    clock(begun)
    watch.begin(piece)
    clock(ended)
    watch.end(piece, done=True)


def test_nothing_is_foreseen_of_what_was_never_done(clock):
    watch = Outlook()
    assert watch.left([run("a")], 2) is None
    watch.begin(run("a"))
    clock(7)
    watch.end(run("a"), done=False)  # it tells nothing of how long one takes
    assert watch.left([run("a")], 2) is None
    assert watch.left([], 2) is None


def test_a_run_takes_what_runs_of_its_method_took_by_budget_and_others_the_mean(clock):
    watch = Outlook()
    done(watch, clock, run("a"), 0, 10)
    done(watch, clock, run("b", 5), 10, 30)  # 4 s for each of its budget
    assert watch.left([run("a", 2), run("b", 2)], 1) == ("unlearning", pytest.approx(2 * 10 + 2 * 4))
    assert watch.left([run("c")], 1) == ("unlearning", pytest.approx((10 + 4) / 2))
    assert watch.left([run("a", 2), run("b", 2)], 2) == ("unlearning", pytest.approx(20))  # no sooner than the longest


def test_what_somebody_is_at_counts_for_what_is_left_of_it(clock):
    watch = Outlook()
    done(watch, clock, run("a"), 0, 10)
    watch.begin(run("a", seed=1))
    clock(14)
    assert watch.left([], 1) == ("unlearning", pytest.approx(6))
    clock(40)  # it takes longer than was thought
    assert watch.left([run("a", seed=2)], 1) == ("unlearning", pytest.approx(10))


def test_it_ends_with_the_last_phase_that_can_be_foreseen(clock):
    watch = Outlook()
    done(watch, clock, run("a"), 0, 10)
    waiting = [run("a", seed=1), run("a", phase="scoring"), run("a", phase="scoring", seed=1)]
    assert watch.left(waiting, 1) == ("unlearning", pytest.approx(10))
    done(watch, clock, Piece("scoring", "mini", "clean"), 10, 13)
    assert watch.left(waiting, 1) == ("scoring", pytest.approx(10 + 2 * 3))
    assert watch.left([run("a", phase="scoring")], 1) == ("scoring", pytest.approx(3))
