"""How trackers are found by their names, and what they call a run."""

import pytest
from trackers import Listener

from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.store.records import RetainRef
from salmu_core.study.asked import Study
from salmu_core.study.plan import make_plan
from salmu_core.study.trackers import parse_trackers
from salmu_core.study.tracking import Trackers, facts_of


def test_every_run_has_a_name_and_an_identity_of_its_own(tiny):
    zoo = discover()

    def facts(benchmark="mini", started="2026-01-01T00:00:00+00:00", seed=0, **settings):
        study = Study(methods=("cliperase",), seeds=(seed,), config={"cliperase": settings} if settings else {})
        (planned,) = make_plan(study, benchmark, zoo, {})
        return facts_of(planned, started, "salmu-cliperase 1.0", RetainRef())

    first, second = facts(), facts("mini@3")
    assert first.project == second.project == "salmu-mini" and first.group == "cliperase"
    assert (first.config["world"], second.config["world"]) == (0, 3) and second.config["benchmark"] == "mini"
    assert first == facts()
    others = [first, second, facts(started="2026-01-01T00:00:01+00:00"), facts(seed=1), facts(lr=0.5)]
    assert len({each.id for each in others}) == 5
    assert len({each.name for each in others}) == 4  # made again, it is the same to people
    assert facts(lr=0.5).config["config.lr"] == 0.5


# Which there are


def test_names_are_parsed_and_each_is_checked_before_anything_begins(bring, heard, tmp_path):
    class Refuses(Listener):
        def check(self):
            raise UsageError("no key")

    bring("refuses", Refuses)
    assert parse_trackers(["listener,listener", " listener"]) == ("listener",) and parse_trackers([]) == ()
    with pytest.raises(UsageError, match="no key"):
        parse_trackers(["listener", "refuses"])
    (hint,) = Trackers(["listener"], tmp_path).hints("mini@3")
    assert hint == f"Tracked by listener: look into {tmp_path / '_trackers' / 'listener'} for salmu-mini"


def test_one_that_is_not_installed_is_a_sentence_with_what_brings_it(bring):
    with pytest.raises(UnknownNameError, match=r"'wandb'\. None is installed\. .*pip install salmu-trackers"):
        parse_trackers(["wandb"])
    bring("listener", Listener)
    with pytest.raises(UnknownNameError, match="Did you mean 'listener'"):
        parse_trackers(["listner"])


def _raises():
    raise SystemExit("no licence")


@pytest.mark.parametrize(
    ("kind", "words"), [(dict, "is no class of"), (_raises, "can't be used: SystemExit: no licence"), (3, "TypeError")]
)
def test_one_that_cannot_be_loaded_says_why(bring, kind, words):
    bring("odd", kind)
    with pytest.raises(UsageError, match=words):
        parse_trackers(["odd"])


def test_two_of_one_name_are_refused(bring, heard):
    bring("listener", Listener)
    with pytest.raises(UsageError, match="both want to be it"):
        parse_trackers(["listener"])
