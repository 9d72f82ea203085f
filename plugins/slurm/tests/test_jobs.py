"""Studies as jobs: submitit's local executor, and a real Slurm where there is one."""

import os
import re
import signal
import subprocess

import pytest
from salmu_slurm.engine import Slurm, _Tail
from salmu_slurm.share import Share, Written
from slurm_cluster import slurm

from salmu_core.errors import UsageError
from salmu_core.run.reporter import Reporter
from salmu_core.testing import begin_study, end_study, study_content, wait_for, write_tiny_benchmark

METHODS = ("finetuning", "--budget", "2", "--set", "finetuning.batch_size=4", "--benchmark", "./tiny", "--seed", "0-3")


def salmu(folder, *words, **environment):
    return begin_study(folder, *METHODS, *words, **environment)


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A folder with a benchmark and what one machine makes of it."""
    folder = tmp_path_factory.mktemp("ground")
    write_tiny_benchmark(folder / "tiny")
    said, code = end_study(salmu(folder, "--output", "here"))
    assert code == 0, said
    return folder


def test_jobs_of_this_machine_make_the_same_bytes(ground):
    said, code = end_study(salmu(ground, "--output", "local", "--on", "slurm:local", "--processes", "2"))
    assert code == 0, said
    assert re.findall(r"\[(\d+)/10\]", said) == [str(number) for number in range(1, 11)], said
    assert study_content(ground / "local") == study_content(ground / "here") != {}
    assert not [*(ground / "local").glob("_slurm")] and not [*(ground / "local").glob(".seen-*")]


def test_without_a_cluster_it_is_a_sentence(ground, tmp_path):
    said, code = end_study(salmu(ground, "--output", tmp_path / "none", "--on", "slurm", PATH=str(tmp_path)))
    assert code == 1 and "--on slurm: " in said and "Traceback" not in said, said
    assert not [*(tmp_path / "none").rglob("run.json")]


@pytest.mark.parametrize(("settings", "words"), [({"cpus": 0}, "cpus"), ({"partition": "x"}, "partition")])
def test_settings_that_make_no_sense_are_named(settings, words):
    with pytest.raises(UsageError, match=rf"\[engine.slurm\].*{words}"):
        Slurm("", settings)


def test_a_machine_that_does_not_see_the_results_says_so(tmp_path):
    share = Share(None, str(tmp_path / "results"), str(tmp_path / "told"), ".seen-x", 0, 1)
    assert "give an --output that all machines share" in share()


def test_what_is_written_is_told_once_and_half_a_line_not_yet(tmp_path):
    heard = []

    class Heard(Reporter):
        def end(self, note):
            heard.append(note)

        def at(self, place):
            heard.append(f"at {place}")

    path = tmp_path / "told"
    tail, told = _Tail(path, Heard()), Written(path)
    tail.look()
    told.tell("at", "one")
    told.end("made")
    told.passed("left to another process")
    with path.open("ab") as file:
        file.write(b'["exec", "x"]\nnonsense\n["end", "la')
    tail.look()
    tail.look()
    assert heard == ["at one", "made"]
    with path.open("ab") as file:
        file.write(b'st"]\n')
    tail.look()
    assert heard == ["at one", "made", "last"]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def running(environment):
    """Ids of jobs that run."""
    words = ["squeue", "--noheader", "--states=R", "--format=%A"]
    return subprocess.run(words, env=os.environ | environment, capture_output=True, text=True).stdout.split()


@pytest.mark.slow
def test_a_real_slurm_makes_the_same_bytes(ground, real):
    said, code = end_study(salmu(ground, "--output", "real", "--on", "slurm:main", "--processes", "2", **real))
    assert code == 0, said
    assert study_content(ground / "real") == study_content(ground / "here")


@pytest.mark.slow
def test_a_real_slurm_that_refuses_is_a_sentence(ground, real):
    said, code = end_study(salmu(ground, "--output", "nowhere", "--on", "slurm:nowhere", **real))
    assert code == 1 and "--on slurm: the jobs were refused" in said and "Traceback" not in said, said


@pytest.mark.slow
def test_a_real_job_that_is_requeued_goes_on(ground, real):
    driver = salmu(ground, "--output", "requeued", "--on", "slurm:main", "--processes", "1", **real)
    (job, *_) = wait_for(lambda: running(real))
    wait_for(lambda: [*(ground / "requeued").glob("*/*/*/*/run.json")])
    subprocess.run(["scontrol", "requeue", job], env=os.environ | real, check=True)
    said, code = end_study(driver)
    assert code == 0, said
    assert study_content(ground / "requeued") == study_content(ground / "here")


@pytest.mark.slow
def test_ctrl_c_cancels_what_is_submitted(ground, real):
    driver = salmu(ground, "--output", "stopped", "--on", "slurm:main", "--processes", "2", **real)
    wait_for(lambda: running(real))
    os.kill(driver.pid, signal.SIGINT)
    said, code = end_study(driver)
    assert code == 130 and "the same command goes on from here" in said, said
    wait_for(lambda: not running(real), 60)
