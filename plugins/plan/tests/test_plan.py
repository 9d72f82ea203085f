"""Plans of studies, and what comes of their lines."""

import json
import shlex
import subprocess

from stores import runs


def rows(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def carry_out(salmu, commands):
    for command in commands:
        words = shlex.split(command)
        assert words[:2] == ["salmu", "run"]
        done = salmu(*words[1:])
        assert done.returncode == 0, done.stderr


def bytes_of(folder):
    return {
        (run.relative_to(folder), name): (run / name).read_bytes()
        for run in runs(folder)
        for name in ("open_clip_model.safetensors", "per_row.parquet")
    }


def test_its_lines_make_what_one_command_makes_and_are_left_out_once_they_are_finished(salmu, tiny):
    study = ("finetuning", "--benchmark", tiny, "--seed", "0-1", "--budget", "1,2", "--set", "finetuning.batch_size=8")
    study += ("--attack", "bare-value", "--checkpoint-every", "3m", "--output", "has a space")
    planned = salmu("plan", *study, "--as", "jsonl")
    listed = rows(planned)
    assert len(listed) == 4 and not (salmu.folder / "has a space").exists()
    assert "not scored yet" in planned.stderr
    assert all({"cards": 1, "memory": 8, "minutes": 60, "by": "rule"}.items() <= row.items() for row in listed)
    assert all("--checkpoint-every 3m" in row["command"] for row in listed)
    carry_out(salmu, (row["command"] for row in listed[:2]))
    rest = rows(salmu("plan", *study, "--as", "jsonl"))
    assert [row["command"] for row in rest] == [row["command"] for row in listed[2:]]
    assert {row["by"] for row in rest} == {"2 finished"} and {row["cards"] for row in rest} == {0}
    every = rows(
        salmu("plan", *study, "--as", "jsonl", "--finished", "--minutes", "7", "--cards", "2", "--memory", "9")
    )
    assert [row["finished"] for row in every] == [True, True, False, False]
    assert {(row["cards"], row["memory"], row["minutes"], row["by"]) for row in every} == {(2, 9, 7, "asked")}
    carry_out(salmu, (row["command"] for row in rest))
    one = salmu("run", *study[:-1], "whole")
    assert one.returncode == 0
    made = bytes_of(salmu.folder / "has a space")
    assert len(made) == 8 and made == bytes_of(salmu.folder / "whole")
    ended = salmu("plan", *study)
    assert ended.returncode == 0 and "all 4 are finished" in ended.stdout


def test_a_sequence_is_one_line_and_makes_all_its_requests(salmu, tiny):
    study = ("finetuning", "--benchmark", tiny, "--requests", "2", "--set", "finetuning.batch_size=4", "--budget", "2")
    (row,) = rows(salmu("plan", *study, "--as", "jsonl"))
    assert row["runs"] == 2 and row["minutes"] == 120
    carry_out(salmu, [row["command"]])
    assert len(runs(salmu.folder / "runs")) == 2
    assert "finished" in salmu("plan", *study).stdout


def test_an_option_of_run_is_one_of_plan_and_goes_into_each_command(salmu, tiny):
    words = {"--threads": "2", "--micro-batch": "4", "--processes": "1", "--compile": "off", "--run-timeout": "2h"}
    study = ["finetuning", "--benchmark", tiny, *(word for pair in words.items() for word in pair), "--redo"]
    (row,) = rows(salmu("plan", *study, "--as", "jsonl"))
    given = shlex.split(row["command"])
    assert all(given[given.index(name) + 1] == value for name, value in words.items()) and "--redo" in given
    wrong = salmu("plan", "finetunin", "--benchmark", tiny)
    assert wrong.returncode == 2 and "finetuning" in wrong.stderr


def test_scripts_say_what_lines_need_and_are_what_a_shell_understands(salmu, tiny):
    study = ["finetuning", "--benchmark", tiny, "--seed", "0-2", "--minutes", "30", "--memory", "6"]
    plain = salmu("plan", *study, "--as", "shell").stdout.splitlines()
    array = salmu("plan", *study, "--as", "slurm-array", "--cards", "2").stdout
    assert "#SBATCH --array=0-2\n" in array and "#SBATCH --gres=gpu:2\n" in array
    assert "#SBATCH --time=30\n" in array and "#SBATCH --mem=6G\n" in array
    # What task 1 would carry out, with a `salmu` that says what it is told.
    say = 'salmu() { printf "%s\\n" salmu "$@"; }\n'
    told = subprocess.run(["bash", "-c", say + array], env={"SLURM_ARRAY_TASK_ID": "1"}, capture_output=True, text=True)
    assert told.stdout.splitlines() == shlex.split(plain[1])
    script = salmu("plan", *study, "--as", "hyperqueue", "--cards", "0").stdout
    say = 'hq() { printf "%s\\n" "${@: -1}"; }\n'
    told = subprocess.run(["bash", "-c", say + script], capture_output=True, text=True)
    assert told.stdout.splitlines() == plain
    assert "--time-request 30m" in script and "mem=6000" in script and "gpus" not in script
    table = salmu("plan", *study)
    assert "3 lines, 1.5 hours at most" in table.stdout
