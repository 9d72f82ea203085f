"""Studies on clusters of several nodes: the same bytes as on one machine, whatever happens meanwhile."""

import os
import random
import re
import signal
import time
from collections import Counter

import psutil
import pytest
from clusters import cluster

from salmu_core.testing import begin_study, end_study, study_content, wait_for, write_tiny_benchmark

METHODS = ("finetuning", "--budget", "2", "--set", "finetuning.batch_size=4")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A folder with a benchmark and what one machine makes of it."""
    folder = tmp_path_factory.mktemp("ground")
    write_tiny_benchmark(folder / "tiny")
    said, code = end_study(begin_study(folder, *METHODS, "--benchmark", "./tiny", "--seed", "0-3", "--output", "here"))
    assert code == 0, said
    return folder


def begun(ground, made, output, *more, seeds="0-3"):
    words = ("--benchmark", "./tiny", "--seed", seeds, "--output", output, "--on", f"ray:{made.address}", *more)
    return begin_study(ground, *METHODS, *words)


def workers():
    """Processes in which pieces are done: children of actors."""
    found = []
    for process in psutil.process_iter():
        try:
            above = " ".join(process.parent().cmdline()) if process.parent() else ""
            if "ray::Host" in above and "resource_tracker" not in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has ended meanwhile
            continue
    return found


def test_two_nodes_without_a_common_folder_make_the_same_bytes(ground, monkeypatch):
    """Neither the marked file nor anything else of the results folder is seen there."""
    hide = ground / "hide"
    hide.mkdir(exist_ok=True)
    (hide / "sitecustomize.py").write_text(
        "import pathlib\n_is_file = pathlib.Path.is_file\n"
        "pathlib.Path.is_file = lambda self: not self.name.startswith('.seen-') and _is_file(self)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hide))
    with cluster(1, 1) as (made, _):
        said, code = end_study(begun(ground, made, "apart", "--processes", "2"))
    assert code == 0, said
    assert len({*re.findall(r" on \S+ \((\w{6})\)", said)}) == 2, said  # both took part
    assert study_content(ground / "apart") == study_content(ground / "here") != {}
    assert not [*(ground / "apart").glob(".seen-*")]


@pytest.mark.slow
def test_a_worker_killed_in_its_run_is_replaced(ground):
    with cluster(1, 1) as (made, _):
        driver = begun(ground, made, "killed", "--processes", "2")
        wait_for(lambda: [*(ground / "killed").glob("*/*/*/.*.work*")])
        victim = wait_for(workers)[0]
        victim.kill()
        said, code = end_study(driver)
    assert code == 0 and "another one begins that again" in said, said
    assert study_content(ground / "killed") == study_content(ground / "here")


@pytest.mark.slow
def test_a_lost_nodes_runs_are_given_to_others(ground):
    with cluster(1, 1, 1) as (made, nodes):
        driver = begun(ground, made, "lost", "--processes", "2")
        wait_for(lambda: [*(ground / "lost").glob("*/*/*/.*.work*")])
        made.remove_node(nodes[-1], allow_graceful=False)
        said, code = end_study(driver)
    assert code == 0, said
    assert study_content(ground / "lost") == study_content(ground / "here")


@pytest.mark.slow
def test_an_actor_that_always_crashes_is_a_sentence(ground, monkeypatch):
    crash = ground / "crash"
    crash.mkdir()
    (crash / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'salmu_ray.host' and 'default_worker' in ' '.join(sys.argv + sys.orig_argv):\n"
        "            import os; os._exit(3)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(crash))
    with cluster(1) as (made, _):
        said, code = end_study(begun(ground, made, "crashed", "--processes", "1"))
    assert code == 1 and "before it had begun with anything, 3 times" in said and "Traceback" not in said, said


@pytest.mark.slow
def test_of_eight_cards_none_is_given_more_than_it_has_room_for(ground):
    """Cards that do not exist: what counts is who is given which."""
    settings = ground / "cards.toml"
    settings.write_text("[resources]\ncards = 0.5\n[engine.ray]\ncpus = 0\n")
    seen, most = set(), Counter()
    with cluster({"num_cpus": 1, "num_gpus": 8}) as (made, _):
        driver = begun(ground, made, "cards", "--processes", "9", "--config", settings, seeds="0-17")
        while driver.poll() is None:
            now = Counter(filter(None, map(card, workers())))
            seen |= {*now}
            most |= now
            time.sleep(0.2)
        said, code = end_study(driver)
    assert code == 0, said
    assert seen <= {*"01234567"} and len(seen) >= 5 and max(most.values()) == 2, (seen, most)
    assert {*re.findall(r"\(card (\d) of", said)} <= seen


def card(process):
    try:
        return process.environ().get("CUDA_VISIBLE_DEVICES")
    except psutil.Error:
        return None


@pytest.mark.slow
def test_ctrl_c_ends_everything_and_the_same_command_goes_on(ground):
    with cluster(1, 1) as (made, _):
        driver = begun(ground, made, "stopped", "--processes", "2")
        wait_for(lambda: [*(ground / "stopped").glob("*/*/*/.*.work*")])
        os.kill(driver.pid, signal.SIGINT)
        said, code = end_study(driver)
        assert code == 130 and "the same command goes on from here" in said, said
        wait_for(lambda: not workers(), 30)
        said, code = end_study(begun(ground, made, "stopped", "--processes", "2"))
    assert code == 0, said
    assert study_content(ground / "stopped") == study_content(ground / "here")


@pytest.mark.slow
def test_two_studies_at_once_on_one_folder_make_each_run_once(ground):
    with cluster(1, 1) as (made, _):
        drivers = [begun(ground, made, "twice", "--processes", "1") for _ in range(2)]
        both = [end_study(driver) for driver in drivers]
    assert [code for _, code in both] in ([0, 0], [0, 1], [1, 0]), both
    assert study_content(ground / "twice") == study_content(ground / "here")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "node", "driver"])
def test_ten_kills_at_random_moments_change_nothing(ground, what):
    dice = random.Random(what)
    output = f"random-{what}"
    with cluster(1, 1, 1) as (made, nodes):
        driver, kills = begun(ground, made, output, "--processes", "2"), 0
        while kills < 10:
            time.sleep(dice.uniform(0.5, 6))
            if driver.poll() is not None:  # all is made: again
                driver.communicate()
                driver = begun(ground, made, output, "--processes", "2", "--redo")
                continue
            kills += 1
            if what == "driver":
                driver.kill()
            elif what == "node":
                made.remove_node(nodes.pop(), allow_graceful=False)
                nodes.append(made.add_node(num_cpus=1))
            elif alive := workers():
                dice.choice(alive).kill()
        driver.communicate(timeout=240)
        said, code = end_study(begun(ground, made, output, "--processes", "2"))
    assert code == 0, said
    assert study_content(ground / output) == study_content(ground / "here")
