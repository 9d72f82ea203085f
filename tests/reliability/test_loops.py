"""A few trials of every loop of `benchmarks/reliability`, other ones each time; what fails is had again by its seed."""

import json
import os
import secrets
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "benchmarks" / "reliability"
#: Set to what a failure has printed, to have it again.
SEED = os.environ.get("SALMU_LOOPS_SEED")

pytestmark = [
    pytest.mark.xdist_group("reliability"),  # all that is asked of them is made once
    pytest.mark.skipif(sys.platform != "linux", reason="the loops fork, and look into /proc"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory, launcher):
    """What every loop found, by its name; and all that was printed."""
    return loops(launcher, tmp_path_factory.mktemp("loops"), "--quick")


def loops(launcher, folder, *words):
    words = [*words, "--out", str(folder / "made.json"), "--seed", SEED or str(secrets.randbelow(2**32))]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "SALMU_CACHE": str(folder / "cache")}
    ended = launcher.run(words, folder, environment, timeout=280, module="loops")
    said = ended.stdout + ended.stderr
    assert (folder / "made.json").is_file(), said
    return json.loads((folder / "made.json").read_text())["parts"], said


@pytest.mark.parametrize("loop", ["kills", "failures", "power", "locks", "flips"])
def test_nothing_is_lost_and_nothing_believed(made, loop):
    check(*made, loop)


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["kills", "failures", "machine"])
def test_nothing_is_lost_in_more_trials(launcher, tmp_path, loop):
    check(*loops(launcher, tmp_path, "--only", loop, "--count", "8"), loop)


def check(parts, said, loop):
    print(said)  # the seed, too
    wrong = [f"{line['fault']}: {text}" for line in parts[loop]["lines"] for text in line.get("wrong", [])]
    assert not wrong
    assert sum(line["times"] for line in parts[loop]["lines"]) > 0


def test_a_study_that_does_not_sync_is_found_out(made):
    controls = {line["fault"]: line["outcome"] for line in made[0]["power"]["lines"] if "control" in line["fault"]}
    assert set(controls.values()) == {"loss found"} and len(controls) == 2
