"""The judge knows metrics by what they are for: made-up ones take part in verdicts, tails and places like any other."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from entries import declaration, entry, shown
from stores import around, leak, write_reference, write_run
from studies import Maker

from salmu_core.judge.compare import compare
from salmu_core.judge.diagnosis import CATASTROPHIC, INEFFECTIVE, OVER_GENERALISED, Verdict
from salmu_core.judge.diff import compare_two, read_two
from salmu_core.judge.results import read_results
from salmu_core.judge.targets import called, columns, kept, leading, leading_kept
from salmu_core.plugins.zoo import discover
from salmu_core.store.folders import Store

HOME = Path(__file__).parents[2]
HOLDS, OPEN, CLEAR = Verdict.HOLDS, Verdict.OPEN, Verdict.CLEAR
PUBLISHED = json.loads((HOME / "tests" / "data" / "published.json").read_text())["metrics"]
#: Reference models with two made-up figures more.
REFERENCES = {
    "clean": {**PUBLISHED["clean"], "Whisper_bits": 0.001, "Chatter": 0.5},
    "compromised": {**PUBLISHED["compromised"], "Whisper_bits": 0.6, "Chatter": 0.5},
}
WHISPER = {"role": "leak", "bounds": (0, 1), "columns": ("Whisper_bits", "Whisper_words")}
CHATTER = {"role": "knowledge", "bounds": (0, 1), "target": "compromised", "pillar": "utility", "reads": ("zeroshot",)}
EVERY = shown(Whisper=WHISPER, Chatter=CHATTER)
IDEAL = {
    **REFERENCES["compromised"],
    **{c.name: REFERENCES["clean"][c.name] for c in EVERY if c.target == "clean" and c.name in REFERENCES["clean"]},
}
ALONE = [c for c in EVERY if c.metric not in ("RetFail", "GenKnow")]


def judged(values, columns, without=()):
    """A method's line beside the reference models, all without some figures."""
    references = {role: {n: x for n, x in means.items() if n not in without} for role, means in REFERENCES.items()}
    maker = Maker(references, chance={"RetFail_MRR": 0.0008})
    figures = {name: value for name, value in {**IDEAL, **values}.items() if name not in without and value is not None}
    (line,) = compare(maker.results([maker.row("one", figures)]), columns).lines
    return line


@pytest.mark.parametrize("name", ["RetFail_MRR", "Whisper_bits"])
def test_any_leak_makes_a_method_ineffective_and_all_must_be_clear(name):
    assert judged({}, EVERY).diagnosis.verdicts[INEFFECTIVE] is CLEAR
    left = judged({name: 0.5 * REFERENCES["compromised"][name]}, EVERY)
    assert left.diagnosis.verdicts[INEFFECTIVE] is HOLDS and left.diagnosis.verdicts[CATASTROPHIC] is CLEAR
    # What is told is the leak of which least is gone, and all of them stand in full.
    assert left.diagnosis.evidence.reduction.value == pytest.approx(0.5)
    assert left.as_json()["leaks"].keys() == {"RetFail_MRR", "Whisper_bits"}
    assert left.as_json()["leaks"][name]["reduction"]["value"] == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["GenKnow", "Chatter"])
def test_any_knowledge_that_falls_makes_a_method_catastrophic(name):
    assert judged({name: 0.4}, EVERY).diagnosis.verdicts[CATASTROPHIC] is HOLDS


def test_without_the_protocols_metrics_others_of_the_role_take_their_place():
    without = ("RetFail_MRR", "RetFail_R@1", "GenKnow")
    line = judged({}, ALONE, without)
    assert [line.diagnosis.verdicts[mode] for mode in (INEFFECTIVE, CATASTROPHIC, OVER_GENERALISED)] == [CLEAR] * 3
    assert line.places.keys() == {"leak", "knowledge", "holdouts"} and line.fronts.keys() == {"knowledge", "holdouts"}
    leaky = judged({"Whisper_bits": 0.5, "Chatter": 0.4}, ALONE, without)
    assert leaky.diagnosis.modes(HOLDS) == [INEFFECTIVE, CATASTROPHIC]
    assert "Whisper_bits" in [called(ALONE, "leak")] and called(EVERY, "leak") == "leak"


@pytest.mark.parametrize("name", ["RetFail_MRR", "Whisper_bits", "GenKnow", "InterIdSim", "IntraIdRet"])
def test_what_the_references_have_and_the_run_lacks_leaves_its_mode_unjudged(name):
    references = {
        role: {**means, "IntraIdRet": 0.2 * (1 + (role == "compromised"))} for role, means in REFERENCES.items()
    }
    maker = Maker(references)
    full = {**IDEAL, "IntraIdRet": 0.4}
    rows = [maker.row("all", full), maker.row("lacks", {n: x for n, x in full.items() if n != name})]
    lines = {line.method: line.diagnosis for line in compare(maker.results(rows), EVERY).lines}
    mode = {"RetFail_MRR": INEFFECTIVE, "Whisper_bits": INEFFECTIVE, "GenKnow": CATASTROPHIC}.get(
        name, OVER_GENERALISED
    )
    assert lines["all"].not_measured == [] and lines["lacks"].not_measured == [mode]


def test_a_holdout_set_without_any_figure_leaves_the_mode_unjudged_and_ranks_can_stand_for_cosines():
    assert judged({}, EVERY, ("InterIdSim",)).diagnosis.not_measured == [OVER_GENERALISED]
    references = {
        role: {**means, "InterIdRet": 0.2 * (1 + (role == "compromised"))} for role, means in REFERENCES.items()
    }
    references = {role: {n: x for n, x in means.items() if n != "InterIdSim"} for role, means in references.items()}
    maker = Maker(references)
    for value, verdict in ((0.4, CLEAR), (0.2, HOLDS)):
        row = maker.row("one", {**{n: x for n, x in IDEAL.items() if n != "InterIdSim"}, "InterIdRet": value})
        (line,) = compare(maker.results([row]), [c for c in EVERY if c.name != "InterIdSim"]).lines
        assert line.diagnosis.verdicts[OVER_GENERALISED] is verdict
        assert line.all_kept is not None and "holdouts" in line.places


def test_the_first_of_a_role_leads_a_primary_one_before_others():
    assert leading(EVERY, "leak") == "RetFail_MRR" and leading(EVERY, "naming") == "IdZSC"
    both = (
        shown(Whisper={**WHISPER, "primary": True}),
        shown(Louder={**WHISPER, "columns": ("Louder",), "primary": True}),
    )
    assert [leading(each, "leak") for each in both] == ["RetFail_MRR"] * 2  # installed ones come first here
    assert leading([c for c in EVERY if c.metric != "RetFail"], "leak") == "Whisper_bits"
    assert leading(shown(Whisper=WHISPER), "leak", "forget_identity") == ""
    assert [c.role for c in EVERY if c.metric == "Whisper"] == ["leak", "other"]
    assert leading_kept(EVERY) == ["InterIdSim", "IntraIdSim"]
    assert [c.name for c in kept(EVERY)] == ["InterIdSim", "IntraIdSim", "InterIdRet", "IntraIdRet"]


def test_of_two_declarations_of_a_metric_the_first_model_has_it():
    newer = declaration("Whisper", **{**WHISPER, "role": "other"})
    models = [{"Whisper": entry("Whisper", declaration("Whisper", **WHISPER))}, {"Whisper": entry("Whisper", newer)}]
    assert leading(columns(models), "leak") == "Whisper_bits" and leading(columns(models[::-1]), "leak") == ""


def test_a_folder_is_judged_where_the_plugins_of_its_metrics_are_not_installed(tmp_path, monkeypatch):
    """And a leak of another name has the tails, the ranks and the people that the protocol's has."""
    ranks = np.random.default_rng(0).integers(1, 30, 80)
    told = {"GenKnow": 0.8, "InterIdSim": 0.5, "IntraIdSim": 0.5, "AssocStr": 0.3}
    knows = {name: around(mean, number) for number, (name, mean) in enumerate(told.items())}
    never = {**knows, "InterIdSim": around(0.1, 1), "IntraIdSim": around(0.1, 2)}

    def judge(search):
        def rows(ranks, others):
            return {name.replace("RetFail", search): values for name, values in {**leak(ranks), **others}.items()}

        root = tmp_path / search
        write_reference(root, "clean", rows(np.full(80, 900), never), search=search)
        write_reference(root, "compromised", rows(ranks, knows), search=search)
        runs = [write_run(root, f"x{k}", rows(ranks * k, knows), search=search) for k in (2, 30)]
        results = read_results(Store(root), ["mini"])
        return compare(results, results.columns), compare_two(*read_two(*runs))

    installed, one = judge("RetFail")
    monkeypatch.setattr("salmu_core.plugins.zoo.discover", lambda *_: pytest.fail("it looks at what is installed"))
    unknown, two = judge("Whisper")
    for line, other in zip(installed.lines, unknown.lines, strict=True):
        assert line.diagnosis.verdicts == other.diagnosis.verdicts and len(line.diagnosis.verdicts) == 3
        assert line.places == other.places and other.places.keys() == {"leak", "knowledge", "holdouts"}
        tails = [{name: figure.value for name, figure in each.tails.items()} for each in (line, other)]
        assert tails[0] == tails[1] and tails[1].keys() == {"worst_1%", "worst_5%", "people@1"}
        assert other.figures["Whisper_MRR"].difference == line.figures["RetFail_MRR"].difference is not None
    assert one.ranks.as_json() == two.ranks.as_json() and one.people == two.people != []


def test_nothing_that_judges_or_shows_knows_a_metric_by_name():
    """What a metric is for, it says itself: whose name stood in the source, no other could take the place of."""
    metrics = discover().metrics.values()
    names = {name for metric in metrics for name in (metric.card.name, *metric.card.columns)}
    known = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?![\w-])")
    assert known.search("RetFail's rows") and len(names) > 12
    found = [
        f"{path.relative_to(HOME)}: {match[0]}"
        for top in ("salmu_core", "plugins/certificate/salmu_certificate", "plugins/report/salmu_report")
        for path in sorted((HOME / top).rglob("*"))
        if path.suffix in (".py", ".jinja", ".js")
        for match in known.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
