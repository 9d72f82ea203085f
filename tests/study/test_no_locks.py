"""A file system that says it locks and does not: attempts at one run never write into one folder."""

import json
import os

import pytest
from stores import runs

from salmu_core.disk.owners import signature
from salmu_core.store.attempts import UNKNOWN, Attempts
from salmu_core.store.scratch import at_work, attempt_in, clear_home, hand_on, inherit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

#: Two whole commands on one folder, in processes where every lock is granted at once; each tells what it printed.
BOTH = """
import contextlib, fcntl, os, runpy, sys

fcntl.flock = lambda *_: None
children = []
for name in "12":
    if not (child := os.fork()):
        out = os.open(name + ".txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1), os.dup2(out, 2)
        runpy.run_module("salmu_core", run_name="__main__", alter_sys=True)
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""
#: Long enough for both to be at it, with steps that are kept; and what a shared folder would mix up.
SLOW = """
import os, time
from pathlib import Path
from salmu_core import MethodSpec, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

def loss(ctx, step):
    mine = Path(os.environ["TMPDIR"], "mine")
    if not mine.exists():
        print("BEGAN", time.monotonic())
        mine.write_text(str(os.getpid()))
    assert mine.read_text() == str(os.getpid()), "another attempt writes here"
    time.sleep(0.4)
    print("AT", time.monotonic())
    return -contrastive_loss(ctx, step.forget)

@hookimpl
def salmu_methods():
    config = TrainingConfig.with_defaults(batch_size=4)
    return [MethodSpec(name="slow", summary="A test.", paper="https://example.org", config=config, loss=loss)]
"""


def times(text):
    begun = [float(line.split()[1]) for line in text.splitlines() if line.startswith("BEGAN ")]
    at = [float(line.split()[1]) for line in text.splitlines() if line.startswith("AT ")]
    return min(begun), max(at)


@pytest.mark.parametrize("redo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_commands_on_one_folder_leave_one_whole_result(salmu, tiny, install, redo):
    install("slow", SLOW)
    (salmu.folder / "both.py").write_text(BOTH)
    words = ["slow", "--benchmark", str(tiny), "--budget", "3", "--checkpoint-every", "1", "--processes", "1"]
    words += ["--attack", "bare-value"]
    alone = salmu("run", *words, "--output", "alone")
    assert alone.returncode == 0, alone.stderr
    if redo:
        assert salmu("run", *words).returncode == 0
        words.append("--redo")
    both = salmu("run", *words, module="both", fresh=True)
    said = [(salmu.folder / f"{name}.txt").read_text() for name in "12"]
    assert both.returncode == 0, said
    (begun, ended), (other, last) = map(times, said)
    assert max(begun, other) < min(ended, last), "both were at it at the same time"
    assert not any("another attempt" in text or "tried once more" in text or "damaged" in text for text in said)
    (run,), (whole,) = runs(salmu.folder / "runs"), runs(salmu.folder / "alone")
    assert json.loads((run / "run.json").read_text())["status"] == "valid"
    for name in ("open_clip_model.safetensors", "per_row.parquet"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    verified = salmu("verify", "runs", "--sample", "1", "--seed", "1")
    assert verified.returncode == 0 and "All of it is whole" in verified.stdout, verified.stdout
    hidden = [p for p in (salmu.folder / "runs").rglob(".*") if not p.name.endswith(".lock")]
    assert hidden == []


def test_a_command_that_comes_while_another_is_at_work_goes_on_from_what_that_has_kept(tmp_path):
    """Without taking it away; what handed it on, or is gone, is cleared up."""
    home = tmp_path / ".run.work"
    living, gone, mine = attempt_in(home), home / f"00000000-1-1-{'0' * 8}", attempt_in(home)
    for folder, age in ((living, 20), (gone, 10_000)):
        (folder / "saves" / "training-0001").mkdir(parents=True)
        (folder / "saves" / "training-0001" / "save.json").write_text(folder.name)
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (path.stat().st_mtime - age,) * 2)
    (living / "saves" / ".training-0001.half").mkdir()
    assert at_work(living) and not at_work(gone) and not at_work(home / "kept-1") and not at_work(mine)
    mine.mkdir()
    inherit(mine, "saves")
    clear_home(home, mine)
    assert {path.name for path in home.iterdir()} == {living.name, mine.name}
    assert [path.name for path in (mine / "saves").iterdir()] == ["training-0001"]
    assert (mine / "saves" / "training-0001" / "save.json").read_text() == living.name
    hand_on(mine, "saves")
    (kept,) = (path for path in home.iterdir() if path != living)
    hand_on(living, "none")
    following = attempt_in(home)
    following.mkdir()
    inherit(following, "saves")
    assert (following / "saves" / "training-0001").exists() and not (kept / "saves").exists()
    clear_home(home)
    assert [*home.iterdir()] == [following]
    hand_on(following, "none")
    assert not home.exists()


def test_attempts_that_are_at_work_are_no_deaths_of_the_study(tmp_path):
    """Where locks hold nobody, many processes may be at one run."""
    several = [tmp_path / "work" / signature() for _ in range(UNKNOWN + 1)]
    for scratch in several:
        scratch.mkdir(parents=True)
        Attempts(tmp_path / "attempts", "x", scratch).begin()
    following = Attempts(tmp_path / "attempts", "x", tmp_path / "work" / signature())
    assert not following.verdict()
    for scratch in several:
        scratch.rename(scratch.with_name(f"00000000-1-1-{scratch.name[-8:]}"))
    assert "whole study ended" in following.verdict()
