"""What a plan says is what `salmu run` does, whoever carries it out."""

import ast
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from salmu_core.testing import typed

WORDS = ("finetuning", "direct-similarity", "--benchmark", "./tiny", "--budget", "1")
SALMU = "import sys; from salmu_core.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A folder with a benchmark, and a `salmu` on its PATH."""
    from salmu_core.testing import write_tiny_benchmark

    folder = tmp_path_factory.mktemp("ground")
    write_tiny_benchmark(folder / "tiny")
    (folder / "bin").mkdir()
    script = folder / "bin" / "salmu"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(SALMU)} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture
def salmu(ground, monkeypatch):
    """Type it there; returns exit code, standard output and standard error."""
    monkeypatch.setenv("SALMU_CACHE", str(ground / "cache"))
    monkeypatch.setenv("PATH", f"{ground / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(ground)  # for what a plan says, and a shell does

    def call(*words, command="plan"):
        done = typed(ground, command, *words)
        return done.returncode, done.stdout, done.stderr

    return call


def lines(salmu, *words):
    code, out, err = salmu(*words, "--as", "jsonl")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def weights(results):
    found = Path(results).rglob("*.safetensors")
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_there_is_a_command_for_every_run(ground, salmu):
    planned = lines(salmu, *WORDS, "--seed", "0-1", "--output", "none")
    assert sorted((line["method"], line["seed"]) for line in planned) == [
        *(("direct-similarity", seed) for seed in (0, 1)),
        *(("finetuning", seed) for seed in (0, 1)),
    ]
    assert not (ground / "none").exists()


def test_the_commands_make_what_one_run_makes_and_then_nothing_is_left(ground, salmu):
    more = ("--set", "finetuning.batch_size=4", "--seed", "1")
    assert salmu(*WORDS, *more, "--output", "whole", command="run")[0] == 0
    for line in lines(salmu, *WORDS, *more, "--output", "parts"):
        done = subprocess.run(line["command"], shell=True, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (ground / "parts" / line["folder"] / "metrics.json").is_file()
    assert weights(ground / "parts") == weights(ground / "whole") != {}
    assert lines(salmu, *WORDS, *more, "--output", "parts") == []
    code, out, _ = salmu(*WORDS, *more, "--output", "parts")
    assert code == 0 and "Nothing to do: all 2 runs are finished" in out
    finished = lines(salmu, *WORDS, *more, "--output", "parts", "--finished")
    assert [line["finished"] for line in finished] == 2 * [True]
    # What they took is what others of their method will take, half as much again.
    (seen,) = lines(
        salmu, "finetuning", *WORDS[2:], "--output", "parts", "--set", "finetuning.batch_size=4", "--seed", 7
    )
    assert seen["minutes"] == 3 and 2 < seen["memory_gb"] < 8 and seen["cards"] == 0


def test_what_a_run_will_take_is_unknown_first_then_as_the_study_says_and_options_go_over_it(ground, salmu):
    (plain,) = lines(salmu, *WORDS[1:], "--output", "none")
    assert (plain["minutes"], plain["memory_gb"]) == (None, None)
    (ground / "study.toml").write_text('[resources]\ncards = 0.5\nmemory = "4GiB"\ntime = "10m"\n')
    (said,) = lines(salmu, *WORDS[1:], "--output", "none", "--config", "study.toml")
    assert (said["cards"], said["memory_gb"], said["minutes"]) == (0.5, 4, 10)
    over = ("--cards", "1", "--memory", "8GiB", "--minutes", "30")
    (typed,) = lines(salmu, *WORDS[1:], "--output", "none", "--config", "study.toml", *over)
    assert (typed["cards"], typed["memory_gb"], typed["minutes"]) == (1, 8, 30)


def test_options_of_every_run_stand_in_every_command_and_requests_are_one_line(ground, salmu):
    more = ("--requests", "2", "--threads", "2", "--redo", "--run-timeout", "5m", "--compile", "off")
    (line,) = lines(salmu, *WORDS[1:], *more, "--output", "a folder")
    words = shlex.split(line["command"])
    assert words[words.index("--output") + 1] == str(ground / "a folder")
    for option, value in (("--requests", "2"), ("--threads", "2"), ("--run-timeout", "5m"), ("--compile", "off")):
        assert words[words.index(option) + 1] == value
    assert "--redo" in words and words.count("--redo") == 1


def test_schedulers_get_a_line_or_a_task_for_each(ground, salmu):
    needs = ("--cards", "0.5", "--memory", "4GiB", "--minutes", "30", "--output", "none")
    (submit,) = salmu(*WORDS[1:], *needs, "--as", "hyperqueue")[1].splitlines()
    words = shlex.split(submit)
    assert words[:2] == ["hq", "submit"] and "gpus/nvidia=0.5" in words and "mem=4096" in words and "30m" in words
    assert words[words.index("--") + 1 :][:3] == ["salmu", "run", "direct-similarity"]
    script = salmu(*WORDS, *needs, "--seed", "0-2", "--as", "slurm-array")[1]
    assert "#SBATCH --array=0-5\n" in script and "#SBATCH --mem=4G\n" in script and "#SBATCH --time=30\n" in script
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    own = subprocess.run(
        ["bash", "-c", re.sub("exec salmu", "echo salmu", script)],
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "4"},
        text=True,
        capture_output=True,
    )
    assert len(own.stdout.splitlines()) == 1 and own.stdout.startswith("salmu run ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing-like-it", *WORDS[2:]), "nothing-like-it"),
        ((), "Name the methods to run"),
        (("finetuning", "--memory", "much"), "--memory"),
        (("finetuning", "--benchmark", "./nowhere"), "nowhere"),
    ],
)
def test_what_can_not_be_planned_is_a_sentence(salmu, words, said):
    code, _, err = salmu(*words)
    assert code == 2 and said in err and "Traceback" not in err


def test_every_option_of_run_is_taken_handed_on_or_left_out_on_purpose():
    import inspect

    from salmu_plan import cli

    from salmu_core.cli.run import run

    names = inspect.signature(run).parameters.keys()
    planned = {
        "methods",
        "everything",
        "tag",
        "benchmark",
        "budget",
        "seed",
        "world",
        "retain",
        "retain_share",
        "start",
    }
    planned |= {"requests", "settings", "config", "tuned", "output", "mixed_precision"}
    assert names == planned | cli._HANDED_ON.keys() | cli._NOT_PLANNED


@pytest.mark.slow
def test_hyperqueue_carries_a_plan_out_with_the_same_bytes(ground, salmu, monkeypatch):
    page = Path(__file__).parents[3] / "docs" / "hyperqueue.md"
    if not page.is_file():
        pytest.skip("the page is not beside the tests")
    pytest.importorskip("hyperqueue")
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ast.parse(code)
    names = {"__name__": "page"}
    exec(compile(code, str(page), "exec"), names)
    more = ("--set", "finetuning.batch_size=4", "--seed", "0-2")
    assert salmu(*WORDS, *more, "--output", "one", command="run")[0] == 0
    logs = ground / "logs"
    logs.mkdir()
    (logs / "plan.jsonl").write_text(salmu(*WORDS, *more, "--output", "packed", "--as", "jsonl")[1])
    names["carry_out"](logs / "plan.jsonl", logs)
    assert weights(ground / "packed") == weights(ground / "one") != {}, [p.read_text() for p in logs.glob("*.txt")]
    assert lines(salmu, *WORDS, *more, "--output", "packed") == []
