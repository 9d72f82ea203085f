"""Methods that do what they can to their process, to the study, to other runs and to the judge: none gets far.

One study has them all, and between them two that are good: these must come out as in a study of their own.
"""

import json
import re

import psutil
import pytest

from salmu_core.disk import landlock
from salmu_core.study.member import forks

pytestmark = pytest.mark.skipif(not forks("cpu"), reason="each run would be a fresh interpreter here")

#: Does its work, honestly: beside it, whatever the rest of a body does would be a valid run.
WORK = "ctx.model.logit_scale.data.add_(0.01)"
#: Body -> status, and a pattern of the reason.
BODIES = {
    # It ends its process, or never ends.
    "exits with 0": ("os._exit(0)", "died", "3 times ended with exit code 0: it left no result"),
    "exits with 3": ("os._exit(3)", "died", "exit code 3"),
    "segfaults": ("os.kill(os.getpid(), signal.SIGSEGV)", "died", "SIGSEGV"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "died", "SIGKILL"),
    "ends its group": ("os.killpg(0, signal.SIGTERM)", "died", "exit code 1: it left no result"),
    "sleeps": ("time.sleep(600)", "died", "took longer than the 8 s of --run-timeout"),
    "takes memory": ("b = b'x' * (5 << 28); time.sleep(600)", "died", "more memory than the 1.3 GB of --run-memory"),
    "raises an interrupt": ("raise KeyboardInterrupt", "crashed", "KeyboardInterrupt"),
    "raises an exit": ("raise SystemExit(0)", "crashed", "SystemExit"),
    "recurses": ("f = lambda: f(); f()", "crashed", "RecursionError"),
    # It leaves something behind.
    "leaves a thread": (f"threading.Thread(target=time.sleep, args=(600,)).start(); {WORK}", "valid", ""),
    "leaves a process": (f"subprocess.Popen(['sleep', '97531']); {WORK}", "valid", ""),
    "leaves a daemon": (f"os.fork() or (os.setsid(), os.fork() and os._exit(0), time.sleep(600)); {WORK}", "valid", ""),
    "forks and comes back": (f"os.fork(); {WORK}", "valid", ""),
    "forks and raises": (f"os.fork() or 1 / 0; {WORK}", "valid", ""),
    # It changes its process.
    "closes files": (f"os.closerange(0, 300); {WORK}", "valid", ""),
    "leaves the folder": (f"os.chdir('/'); os.umask(0o777); {WORK}", "valid", ""),
    "moves the cache": (f"os.environ['SALMU_CACHE'] = '/nowhere'; {WORK}", "valid", ""),
    "computes in float64": (f"torch.set_default_dtype(torch.float64); {WORK}", "valid", ""),
    "compiles": (f"keep(); {WORK}", "valid", ""),
    "wants no gradients": (f"torch.set_grad_enabled(False); {WORK}", "valid", ""),
    "ignores signals": (f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {WORK}", "valid", ""),
    "patches torch": (f"F.normalize = torch.nn.Module.eval = lambda *a, **k: a[0]; {WORK}", "valid", ""),
    "patches metrics": (f"import salmu_protocol_metrics as m; patch(m); {WORK}", "valid", ""),
    "patches the exit": ("os._exit = sys.exit = lambda *a: None", "unchanged", ""),
    # It says and leaves what it should not.
    "tells too much": (f"tell(b'[\"step\", 1' + b'0' * 400 + b', 1, {{}}]\\n' + LIES); {WORK}", "valid", ""),
    "leaves what is not its own": ("move('left'); leave('{}')", "died", "something else than a file"),
    "leaves a state with holes": ("hole(); save(other(ctx)); leave('{}')", "died", "something else than a file of at"),
    "leaves facts that are deep": ("leave('[' * 200_000)", "died", "facts that are none: .*deep"),
    "leaves a file for what it saved": (
        "move('saves').touch(); os._exit(3)",
        "died",
        "3 times ended with exit code 3",
    ),
    "digs deep": (f"dig(2000); {WORK}", "valid", ""),
    "prints": (f"print('\\x1b]0;owned\\x07' + 'x' * 300_000); {WORK}", "valid", ""),
    "tells lies": (f"tell(b'[\"step\", 1e400, {{}}]\\n[[[\\n\\xff\\xfe\\n' + b'[' * 200_000); {WORK}", "valid", ""),
    "leaves NaN": ('leave(\'{"scalars": {"x": [[0, NaN]]}}\')', "died", "facts that are none"),
    "leaves its own verdict": ('leave(\'{"status": "died"}\')', "died", "not its own to give"),
    "leaves a link": ("link('clean'); leave('{}')", "died", "something else than a file"),
    "leaves weights of another kind": ("save({'a': torch.ones(1)}); leave('{}')", "altered", "tensors are not those"),
    "leaves what it began with": ("save(ctx.model.state_dict()); leave('{}')", "unchanged", "not a single weight"),
    # It reaches for what it is not shown.
    "reads the holdouts": (f"denied(next((BENCHMARK / 'data').glob('holdout*')), 'rb'); {WORK}", "valid", ""),
    "reads Clean": (f"denied(BENCHMARK / 'clean' / 'open_clip_model.safetensors', 'rb'); {WORK}", "valid", ""),
    "reads a result": (f"denied(next(RUNS.glob('*/a-good/*/*/run.json')), 'rb'); {WORK}", "valid", ""),
    "edits a result": (f"denied(next(RUNS.glob('*/a-good/*/*/run.json')), 'r+b'); {WORK}", "valid", ""),
    "edits the benchmark": (f"denied(next((BENCHMARK / 'data').glob('forget*')), 'r+b'); {WORK}", "valid", ""),
    "poisons the cache": (f"denied(next(CACHE.glob('pixels/*/*')), 'r+b'); {WORK}", "valid", ""),
    "puts into the cache": (f"denied(CACHE / 'embeddings' / 'new', 'wb'); {WORK}", "valid", ""),
    "signals the judge": (f"signalled(os.getppid()); {WORK}", "valid", ""),
}
#: What a kernel without Landlock can't keep from anybody.
KERNELS = {"reads a result", "reads the holdouts", "reads Clean", "edits a result", "edits the benchmark"}
KERNELS |= {"poisons the cache", "puts into the cache", "signals the judge"}
HEAD = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from salmu_core import MethodConfig, MethodSpec, hookimpl

BENCHMARK, RUNS, CACHE = map(Path, {places})

def scratch():
    return Path(os.environ["TMPDIR"]).parent

def keep():
    from torch._inductor.runtime.cache_dir_utils import cache_dir, triton_cache_dir
    for folder in (Path(cache_dir()), Path(triton_cache_dir(0))):
        assert scratch() in folder.parents
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel").touch()

def denied(path, mode):
    try:
        open(path, mode).close()
    except PermissionError:
        return
    raise AssertionError(f"{{path}} could be opened")

def signalled(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        return
    raise AssertionError("it could be killed")

def patch(module):
    from salmu_core.score import scorer, evaluate
    for found in [m for n, m in sys.modules.items() if n.startswith(("salmu_protocol", "salmu_core.score"))]:
        for name, value in list(vars(found).items()):
            if callable(value):
                setattr(found, name, lambda *a, **k: 1.0)

def tell(text):
    with open(scratch() / "told", "ab") as file:
        file.write(text)

def leave(text):
    (scratch() / "left" / "facts.json").write_text(text)
    time.sleep(600)

HUGE = b'1' + b'0' * 400
LIES = b'["step", 1, 2, {{"x": %b}}]\\n["step", -1, -2, {{}}]\\n["scalar", "x", %b, 1]\\n' % (HUGE, HUGE)

def move(name):
    (scratch() / name).rename(scratch() / "tmp" / name)
    if name == "left":
        os.symlink(scratch() / "tmp" / name, scratch() / name)
    return scratch() / name

def hole():
    with open(scratch() / "left" / "state.safetensors", "wb") as file:
        file.truncate(50 << 30)

def other(ctx):
    return {{k: v + 0.01 if v.is_floating_point() else v for k, v in ctx.model.state_dict().items()}}

def dig(depth):
    os.chdir(scratch())
    for _ in range(depth):
        os.mkdir("deeper")
        os.chdir("deeper")
    os.chmod("..", 0)

def save(tensors):
    save_file({{k: v.clone() for k, v in tensors.items()}}, scratch() / "left" / "open_clip_model.safetensors")

def link(role):
    os.symlink(BENCHMARK / role / "open_clip_model.safetensors", scratch() / "left" / "open_clip_model.safetensors")
"""
METHOD = """
def unlearn_{number}(ctx):
    with torch.no_grad():
        {body}
"""
SPECS = """
@hookimpl
def salmu_methods():
    names = {names}
    acts = [globals()[f"unlearn_{{i}}"] for i in range(len(names))]
    return [
        MethodSpec(name=name, summary="Does it.", paper="https://example.org", config=MethodConfig, unlearn=act)
        for name, act in zip(names, acts, strict=True)
    ]
"""


def plugin(bodies, *places):
    """A plugin with a method for each body."""
    acts = [METHOD.format(number=i, body=body) for i, body in enumerate(bodies.values())]
    specs = SPECS.format(names=[name.replace(" ", "-").lower() for name in bodies])
    return HEAD.format(places=[*map(str, places)]) + "".join(acts) + specs


def content(folder):
    """All that a study leaves of a method, but for times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".parquet") and not path.parent.name.startswith("."):
            found[path.relative_to(folder)] = path.read_bytes()
        if path.name == "metrics.json":
            found[path.relative_to(folder)] = json.loads(path.read_text())["metrics"]
    return found


def test_no_method_reaches_beyond_its_own_run(salmu, install, tiny, tmp_path):
    bodies = {"a good": WORK} | {name: body for name, (body, *_) in BODIES.items()}
    if not landlock.version():
        bodies = {name: body for name, body in bodies.items() if name not in KERNELS}
    names = [name.replace(" ", "-").lower() for name in bodies]
    install("hostile", plugin(bodies, tiny, salmu.folder / "runs", tmp_path / "cache"))
    more = ("--benchmark", tiny, "--budget", "1", "--set", "finetuning.batch_size=4")
    alone = salmu("run", "a-good", "finetuning", *more, "--output", "alone", "--processes", "1")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    limits = ("--run-timeout", "8s", "--run-memory", "1.3GB", "--processes", "2")
    done = salmu("run", *names, "finetuning", *more, *limits, timeout=200)
    said = done.stdout + done.stderr

    assert done.returncode == 1 and "Traceback" not in said, said
    assert "\x1b" not in said and "\x07" not in said and len(said) < 1_000_000
    wrong = []
    (runs,) = (path for path in (salmu.folder / "runs").iterdir() if path.is_dir())
    for name, (_, status, reason) in BODIES.items():
        (path,) = runs.glob(f"{name.replace(' ', '-').lower()}/*/*/run.json") or [None]
        record = json.loads(path.read_text())
        if record["status"] != status or not re.search(reason, record["reason"]):
            wrong.append(f"{name}: {record['status']}: {record['reason']}")
        if (status == "valid") != (path.parent / "metrics.json").exists():
            wrong.append(f"{name}: scored though {status}, or not")
    assert not wrong, "\n".join(wrong)
    for method in ("a-good", "finetuning", "_references"):
        (other,) = (path for path in (salmu.folder / "alone").iterdir() if path.is_dir())
        assert content(runs / method) == content(other / method) != {}, method
    left = [p for p in psutil.process_iter(["cmdline"]) if "97531" in (p.info["cmdline"] or [])]
    assert not left and not [*runs.rglob(".*.work"), *runs.rglob(".*.attempts")]
    again = salmu("run", *names, "finetuning", *more, *limits)
    assert again.returncode == 1 and "Nothing to do" in again.stdout
