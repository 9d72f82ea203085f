"""`salmu references train`: the pair it leaves, going on after a stop, several processes, and mistakes as sentences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from references_data import picture, write_tar
from safetensors.numpy import load_file
from salmu_references import command, training
from typer.testing import CliRunner

from salmu_core.clip.load import load_clip
from salmu_core.errors import SalmuError
from salmu_core.run.reporter import Reporter

Words = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def salmu(words: list[str]) -> tuple[int, str]:
    """Exit code and output of a command, in this process."""
    from salmu_core.cli import app

    done = CliRunner().invoke(app, words)
    if done.exception and not isinstance(done.exception, (SystemExit, SalmuError)):
        raise done.exception
    if isinstance(done.exception, SalmuError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def weights(out: Path, role: str) -> bytes:
    return (out / role / "open_clip_model.safetensors").read_bytes()


def test_the_pair_its_record_and_a_second_time(words: Words, tmp_path: Path) -> None:
    out = tmp_path / "pair"
    code, said = salmu(words(out, "sensitive_passes=4"))
    assert code == 0, said
    record = json.loads((out / "training.json").read_text())
    assert record["schema_version"] == 1, "its fields are what they were, whatever became of those of runs"
    assert record["retain"]["pairs"] == 39 and len(record["retain"]["parts"]) == 3
    assert record["sensitive"]["pairs"] == 15
    clean, compromised = record["models"]["clean"], record["models"]["compromised"]
    assert (clean["steps"], clean["retain_samples"], clean["sensitive_samples"]) == (12, 72, 0)
    assert (compromised["retain_samples"], compromised["sensitive_samples"]) == (72, 60)
    assert [point[0] for point in clean["curve"]] == list(range(1, 13))
    assert "each seen 4 times" in said and not (out / "checkpoints").exists()
    for role in ("clean", "compromised"):
        assert load_clip(out / role).image_size in (16, (16, 16))
    assert weights(out, "clean") != weights(out, "compromised")
    before = weights(out, "clean")
    code, said = salmu(words(out, "sensitive_passes=4"))
    assert code == 0 and said.count("done earlier") == 2 and weights(out, "clean") == before
    code, said = salmu(words(out, "sensitive_passes=4", "lr=2e-3"))
    assert code == 2 and "lr is 0.001 there and 0.002 here" in said
    alone = tmp_path / "alone"
    code, said = salmu([*words(alone, "sensitive_passes=4"), "--only", "compromised"])
    assert code == 0, said
    assert weights(alone, "compromised") == weights(out, "compromised") and not (alone / "clean").exists()


def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(words: Words, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = ("steps=60",)
    assert salmu([*words(whole, *settings), "--only", "compromised"])[0] == 0
    command = [*words(killed, *settings), "--only", "compromised", "--save-steps", "4"]
    running = subprocess.Popen([sys.executable, "-m", "salmu_core", *command], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(killed.glob("checkpoints/compromised/step-*8")) and time.monotonic() < deadline:
        time.sleep(0.002)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert not (killed / "compromised").exists()
    assert 1 <= len(list(killed.glob("checkpoints/compromised/step-*"))) <= 3
    code, said = salmu(command)
    assert code == 0, said
    (resumed,) = json.loads((killed / "training.json").read_text())["models"]["compromised"]["resumed_at"]
    assert 8 <= resumed < 60
    assert weights(whole, "compromised") == weights(killed, "compromised")


class Interrupts(Reporter):
    """Presses Ctrl-C at a step."""

    def __init__(self, at: int) -> None:
        self.at, self.said = at, ""

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        if "loss" in values and done == self.at:
            os.kill(os.getpid(), signal.SIGINT)

    def say(self, text: str) -> None:
        self.said += text


def test_ctrl_c_keeps_a_checkpoint(words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stopped, hears = tmp_path / "whole", tmp_path / "stopped", Interrupts(5)
    before = signal.getsignal(signal.SIGINT)  # ignored, where the tests run in the background

    @contextmanager
    def reporting(to_stderr: bool, first: bool):
        yield hears

    assert salmu([*words(whole), "--only", "clean"])[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(command, "reporting", reporting)
        assert salmu([*words(stopped), "--only", "clean"])[0] == 130
    assert "the same command goes on" in hears.said
    (saved,) = stopped.glob("checkpoints/clean/step-*")
    assert signal.getsignal(signal.SIGINT) is before
    code, said = salmu([*words(stopped, "lr=2e-3"), "--only", "clean"])
    assert code == 2 and "lr is 0.001 there and 0.002 here" in said
    for name, found in (("optimizer.safetensors", b""), ("state.json", b'"step": ')):
        whole_file = (saved / name).read_bytes()
        place = whole_file.index(found) + len(found) or len(whole_file) - 1
        (saved / name).write_bytes(whole_file[:place] + b"7" + whole_file[place + 1 :])
        code, said = salmu([*words(stopped), "--only", "clean"])
        assert code == 1 and "is damaged" in said
        (saved / name).write_bytes(whole_file)
    assert salmu([*words(stopped), "--only", "clean"])[0] == 0
    assert weights(whole, "clean") == weights(stopped, "clean")


def test_two_processes_train_what_one_does(words: Words, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    settings = ("batch=7", "steps=6", "centring=5")
    assert salmu(words(one, *settings))[0] == 0
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--main_process_port", "0", "-m", "salmu_core"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    words_of_two = [*words(two, *settings), "--piece", "3", "--workers", "1"]
    with (tmp_path / "said").open("w+") as log:
        running = subprocess.Popen(
            [*launch, *words_of_two], stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            code = running.wait(200)
        finally:
            if running.poll() is None:  # the launcher alone would leave those it started waiting for each other
                os.killpg(running.pid, signal.SIGKILL)
        log.seek(0)
        said = log.read()
    assert code == 0, said
    assert "in each of 2 processes" in said
    records = [json.loads((out / "training.json").read_text())["models"] for out in (one, two)]
    for role in ("clean", "compromised"):
        a, b = (load_file(out / role / "open_clip_model.safetensors") for out in (one, two))
        for key in a:
            np.testing.assert_allclose(a[key], b[key], atol=1e-4)
        np.testing.assert_allclose(records[0][role]["curve"], records[1][role]["curve"], atol=1e-4)
        assert records[1][role]["environment"]["processes"] == "2"


def test_unreadable_web_images_are_replaced_and_counted(words: Words, data: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    samples = [{"png": picture(rng), "txt": b"a thing"} for _ in range(20)]
    samples[3]["png"] = samples[3]["png"][:60]
    samples += [{"txt": b"no picture"}, {"png": picture(rng)}]
    write_tar(tmp_path / "web.tar", samples)
    given = words(tmp_path / "out", "steps=10", "batch=4")
    given[given.index("--retain") + 1] = str(tmp_path / "web.tar")
    code, said = salmu([*given, "--only", "clean"])
    assert code == 0 and "2 samples without image or caption left out" in said
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["models"]["clean"]["unreadable"] == 2 and record["retain"]["parts"][0]["left_out"] == 2


MISTAKES = {
    "no retain": (["--retain", "OUT/none.tar"], 1, "none.tar is missing"),
    "arch": (["--arch", "ViT-B-61"], 2, "Did you mean"),
    "siglip": (["--arch", "ViT-B-16-SigLIP"], 2, "sigmoid loss"),
    "field": (["--set", "learning=3"], 2, "there is no 'learning'"),
    "value": (["--set", "batch=0"], 2, "batch = 0"),
    "form": (["--set", "batch"], 2, "not of the form FIELD=VALUE"),
    "warm-up": (["--set", "warmup=40"], 2, "--set warmup=1"),
    "batch": (["--set", "batch=40"], 2, "more than the 39 retain pairs"),
    "sensitive": (["--sensitive", "OUT"], 2, "holds no sensitive pairs"),
    "twice": (["--retain", "DATA/00000.tar", "--retain", "DATA/00000.tar"], 2, "2 times"),
    "config": (["--config", "OUT/none.toml"], 2, "is missing"),
    "empty": (["--retain", "EMPTY"], 1, "none of 3 samples"),
    "batch norm": (["--arch", "RN50"], 2, "normalises over batches"),
    "preprocessing": (["--arch", "OUT/crop.json"], 2, "no such preprocessing"),
    "list": (["--arch", "OUT/list.json"], 2, "describes no model"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_sentences(name: str, words: Words, data: Path, tmp_path: Path) -> None:
    given, code, sentence = MISTAKES[name]
    write_tar(tmp_path / "empty.tar", [{"txt": b"words alone"}] * 3)
    arch = json.loads((data / "arch.json").read_text())
    for file, preprocess in (("crop", {"resize_mode": "crop"}), ("list", ["squash"])):
        (tmp_path / f"{file}.json").write_text(json.dumps({"model_cfg": arch, "preprocess_cfg": preprocess}))
    out = tmp_path / "out"
    places = {"OUT": tmp_path, "DATA": data, "EMPTY": tmp_path / "empty.tar"}
    full = words(out)
    if given[0] == "--retain":
        del full[full.index("--retain") : full.index("--retain") + 2]
    for word in given:
        for short, path in places.items():
            word = word.replace(short, str(path))
        full.append(word)
    found, said = salmu(full)
    assert found == code and sentence in said, said
    assert not out.exists()


@pytest.mark.parametrize("then", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_twice_is_one_request_and_ctrl_c_does_not_wait(then: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchrun and Slurm send SIGTERM to each process twice."""
    with training._stoppable() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked
        with pytest.raises(KeyboardInterrupt):
            if then == signal.SIGTERM:
                monkeypatch.setattr(training, "REPEATS", -1.0)
            os.kill(os.getpid(), then)


def test_checkpoints_stay_until_the_record_says_that_the_model_is_done(
    words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", command.write

    def killed(where: Path, record: object, role: str = "", model: object = None) -> None:
        if role:
            raise MemoryError
        write(where, record)

    given = [*words(out), "--only", "clean", "--save-steps", "4"]
    with monkeypatch.context() as patch:
        patch.setattr(command, "write", killed)
        with pytest.raises(MemoryError):
            salmu(given)
    assert (out / "clean").is_dir() and list(out.glob("checkpoints/clean/step-*8"))
    before = weights(out, "clean")
    code, said = salmu(given)
    assert code == 0 and weights(out, "clean") == before, said
    assert json.loads((out / "training.json").read_text())["models"]["clean"]["resumed_at"] == [8]
    left = out / "checkpoints" / "clean" / ".step-000000012.killed"
    left.mkdir(parents=True)  # as if it had been killed before it could clear
    assert salmu(given)[0] == 0 and not (out / "checkpoints").exists()


def test_a_folder_with_other_things_is_left_alone(words: Words, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("chapter 1")
    code, said = salmu(words(tmp_path / "out"))
    assert code == 2 and "give a new folder to --out" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
