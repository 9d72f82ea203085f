"""Processes of a study: what is in them, how they stop, and that their number shows in no result."""

import json
import sys

import pyarrow.parquet as pq
import pytest
from sources import method
from stores import runs

SPY = """
import gc, torch
gc.unfreeze()  # what is frozen is listed nowhere
from safetensors.torch import load_file
SECRETS = set(open({secrets!r}).read().splitlines())
CLEAN = load_file({clean!r})["visual.proj"]
mine = {{id(s) for s in SECRETS}} | {{id(CLEAN)}}
# Not only what gc lists: tuples of strings are not tracked, so every reference is followed.
seen, stack, found = set(), gc.get_objects(), []
while stack:
    thing = stack.pop()
    if id(thing) in seen or id(thing) in mine:
        continue
    seen.add(id(thing))
    if isinstance(thing, str):
        found += [thing] if thing in SECRETS else []
        continue
    if isinstance(thing, torch.Tensor) and thing.shape == CLEAN.shape and torch.equal(thing.detach(), CLEAN):
        found.append("the Clean model")
    stack += gc.get_referents(thing)
assert len(seen) > 10_000
print("FOUND", found)
with ctx.edit() as w: w["visual.proj"].mul_(2)
"""


def test_neither_holdouts_nor_clean_are_in_the_process_while_a_method_runs(salmu, tiny, install, tmp_path):
    secrets = tmp_path / "secrets.txt"
    secrets.write_text("\n".join(_captions(tiny, "holdout_association") + _captions(tiny, "holdout_identity")))
    clean = tmp_path / "clean"
    clean.write_bytes((tiny / "clean" / "open_clip_model.safetensors").read_bytes())
    install("spy", method("spy", SPY.format(secrets=str(secrets), clean=str(clean))))
    done = salmu("run", "finetuning", "spy", "--benchmark", tiny, "--processes", "1")  # it is not the first to run
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("FOUND")] == ["FOUND []"]


def _captions(tiny, split):
    return pq.read_table(next((tiny / "data").glob(f"{split}-*")))["text"].to_pylist()


#: Ends `salmu` once a method sleeps and another run is finished; prints how long it took.
STOP = """
import os, runpy, signal, sys, time
from pathlib import Path

sent = signal.Signals[sys.argv.pop(1)]
process = os.fork()
if not process:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background may have it ignored
    runpy.run_module("salmu_core", run_name="__main__", alter_sys=True)  # which ends this process

def there(name):
    try:
        return sorted(Path("runs").rglob(name))
    except FileNotFoundError:  # a folder went while it was looked through
        return []

def finished():
    return [path for path in there("run.json") if not path.parent.name.startswith(".")]

while not ((found := there("asleep")) and finished()):
    time.sleep(0.1)
asleep = int(found[0].read_text())
os.kill(process, sent)
begun = time.monotonic()
code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
while os.path.exists(f"/proc/{asleep}") and time.monotonic() < begun + 10:
    time.sleep(0.05)
print(f"{time.monotonic() - begun:.1f}", file=sys.stderr)
sys.exit(code % 256)
"""


@pytest.mark.parametrize(
    ("sent", "code"),
    [("SIGINT", 130), ("SIGKILL", 256 - 9), pytest.param("SIGTERM", 130, marks=pytest.mark.slow)],
)
def test_a_stop_is_tidy_leaves_no_process_and_keeps_what_is_finished(salmu, tiny, install, sent, code):
    body = "import os, time\nasleep = os.environ['TMPDIR'] + '/asleep'\n"
    body += "open(asleep + '.new', 'w').write(str(os.getpid())); os.rename(asleep + '.new', asleep)\ntime.sleep(60)"
    install("slow", method("slow", body))
    words = ["run", "finetuning", "slow", "--benchmark", str(tiny), "--set", "finetuning.batch_size=8"]
    words += ["--processes", "2"]
    (salmu.folder / "stop.py").write_text(STOP)
    done = salmu(sent, *words, module="stop")
    assert done.returncode == code, done.stderr
    assert float(done.stderr.splitlines()[-1]) < 15 and "Traceback" not in done.stderr
    assert sent == "SIGKILL" or "Stopped" in done.stdout
    (kept,) = runs(salmu.folder / "runs")
    assert kept.parts[-3] == "finetuning"
    hidden = {p.name for p in (salmu.folder / "runs").rglob("*") if p.name.startswith(".b") and p.is_dir()}
    assert hidden <= {".b5-s0.work"}  # what the next attempt goes on from


#: Two processes, told what `accelerate launch` tells those it starts.
RANKS = """
import os, runpy, socket, sys

with socket.create_server(("127.0.0.1", 0)) as free:
    port = str(free.getsockname()[1])
os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
ranks = {}
for rank in "01":
    if not (process := os.fork()):
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
        runpy.run_module("salmu_core", run_name="__main__", alter_sys=True)  # which ends this process
    ranks[rank] = process
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in ranks.values()))
"""
LAUNCH = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")
LAUNCH += ("--num_machines", "1", "--mixed_precision", "no")


@pytest.mark.parametrize(
    "launch",
    [{"module": "ranks"}, pytest.param({"launch": LAUNCH}, marks=pytest.mark.slow)],
    ids=["forked", "launched"],
)
def test_processes_share_the_runs_and_the_table_is_the_same(salmu, tiny, launch):
    (salmu.folder / "ranks.py").write_text(RANKS)
    names = ("delete", "finetuning", "negative-gradient")
    settings = [w for name in names for w in ("--set", f"{name}.batch_size=8")]
    words = ("run", *names, *settings, "--budget", "2", "--benchmark", tiny, "--json", "--output")
    alone = salmu(*words, "alone", "--processes", "1")
    shared = [salmu(*words, "launched", **launch), salmu(*words, "3", "--processes", "3")]
    one = {r.relative_to(salmu.folder / "alone"): r for r in runs(salmu.folder / "alone")}
    assert alone.returncode == 0 and len(one) == 3
    for done, name in zip(shared, ("launched", "3"), strict=True):
        assert done.returncode == 0, done.stderr
        two = {r.relative_to(salmu.folder / name): r for r in runs(salmu.folder / name)}
        assert one.keys() == two.keys()
        for key, folder in one.items():
            for file in ("open_clip_model.safetensors", "per_row.parquet"):
                assert (folder / file).read_bytes() == (two[key] / file).read_bytes(), key
            assert _values(folder) == _values(two[key])
        assert _table(alone.stdout) == _table(done.stdout[done.stdout.index("{") :])


ANEW = """
import sys
from salmu_core.cli import main
from salmu_core.study import work

if __name__ == "__main__":
    work.forks = lambda device: False
    sys.exit(main())
"""


@pytest.mark.slow
def test_where_nothing_can_be_forked_fresh_interpreters_do_the_same(salmu, tiny, tmp_path):
    script = tmp_path / "anew.py"
    script.write_text(ANEW)
    words = ("run", "--set", "finetuning.batch_size=8", "--benchmark", str(tiny), "finetuning", "--seed", "0-1")
    alone = salmu(*words, "--output", "alone", "--processes", "1")
    anew = salmu(*words, "--output", "anew", "--processes", "2", launch=(sys.executable, str(script)))
    assert alone.returncode == anew.returncode == 0, anew.stderr
    pairs = list(zip(*(runs(salmu.folder / name) for name in ("alone", "anew")), strict=True))
    assert len(pairs) == 2
    for one, two in pairs:
        for file in ("open_clip_model.safetensors", "per_row.parquet"):
            assert (one / file).read_bytes() == (two / file).read_bytes()


def test_sequences_are_shared_whole_and_the_table_is_the_same(salmu, tiny, install):
    """Requests and the whole, each a row; what failed ends its sequence, and the command says so."""
    install("boom", method("boom", 'raise ValueError("boom")'))
    words = ("run", "finetuning", "boom", "--set", "finetuning.batch_size=4")
    words += ("--benchmark", tiny, "--requests", "2", "--json", "--output")
    alone, shared = (salmu(*words, name, "--processes", name) for name in ("1", "2"))
    assert alone.returncode == shared.returncode == 1, alone.stderr
    found = json.loads(alone.stdout)
    assert _table(alone.stdout) == _table(shared.stdout)
    assert [(line["method"], line["request"]) for line in found["lines"]] == [("finetuning", n) for n in (None, 1, 2)]
    assert [(row["status"], row["people"]) for row in found["runs"]] == [
        *(("crashed", "everybody"), ("not-begun", "everybody")),
        *(("valid", "of the request"), ("valid", "of the request"), ("valid", "everybody")),
    ]
    last = found["runs"][-1]
    assert len(last["start"]["runs"]) == 1 and last["checkpoint"] == last["folder"]
    again = salmu("run", "finetuning", "--benchmark", tiny, "--from", last["folder"], "--output", "1")
    assert again.returncode == 0, again.stderr
    assert "finetuning from finetuning b5 s0" in again.stdout.replace("\n", " ")


def _values(folder):
    return {
        name: entry["values"] for name, entry in json.loads((folder / "metrics.json").read_text())["metrics"].items()
    }


def _table(text):
    found = json.loads(text)
    return found["references"], found["lines"], [(r["method"], r["config_hash"], r["metrics"]) for r in found["runs"]]
