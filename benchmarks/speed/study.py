"""What a whole study costs, in processor seconds of all its processes, against another checkout.

`salmu run --all` where nothing has been built yet, which builds the benchmark and trains its two reference models;
where the benchmark is built; and where everything has its result already. Then `salmu results` over 270 runs, made of
the study by `many_runs.py`. What remains beyond imports is the command less a process that does nothing but import, in
the same order, every module that the command had imported when it ended. A study has as many processes as it chooses.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from figures import Figure, in_turn, ratio, spread
from many_runs import make
from sides import Asked, Checkout, processor_seconds

#: Runs the command and writes down which modules it had imported when it ended.
TRACED = """
import json, sys
from salmu_core.cli import main
sys.argv = sys.argv[1:]
out = sys.argv.pop(0)
try:
    main()
finally:
    with open(out, "w") as file:
        json.dump([name for name in [*sys.modules] if name != "__main__"], file)
"""
IMPORTING = """
import contextlib, importlib, json, sys
with open(sys.argv[1]) as file:
    names = json.load(file)
for name in names:
    with contextlib.suppress(Exception):
        importlib.import_module(name)
"""


def measure(asked: Asked) -> Iterator[Figure]:
    """A study cold, cached and finished; a listing of many runs."""
    study = ["run", "--benchmark", asked.benchmark]
    study += ["delete", "finetuning", "--budget", "1"] if asked.quick else ["--all"]
    sides = asked.checkouts
    for name, checkout in sides.items():
        shutil.rmtree(checkout.cache, ignore_errors=True)
        shutil.rmtree(asked.work / f"runs-{name}", ignore_errors=True)
    made = {name: partial(run_study, one, study, asked.work / f"runs-{name}") for name, one in sides.items()}
    cold = in_turn(made, 1, warm=0)
    cached = in_turn(made, 1 if asked.quick else 2, warm=0)
    if asked.against:
        yield ratio("`salmu run --all`, cold", "the same there", cold, ("this", "against"), at_most=0.6)
        yield ratio("`salmu run --all`, cached", "the same there", cached, ("this", "against"), at_most=0.55)
    again = {n: partial(command, one, [*study, "--output", asked.work / f"runs-{n}"]) for n, one in sides.items()}
    yield from beyond_imports("`salmu run --all`, nothing to do", asked, again, at_most=1.0)
    for name in sides:
        many = asked.work / f"many-{name}"
        shutil.rmtree(many, ignore_errors=True)
        number = make(asked.work / f"runs-{name}", many, 6 if asked.quick else 270)
    listing = {n: partial(command, one, ["results", "--output", asked.work / f"many-{n}"]) for n, one in sides.items()}
    yield from beyond_imports(f"`salmu results`, {number} runs", asked, listing, whole=1.5)


def run_study(checkout: Checkout, words: list[str], out: Path) -> float:
    """Make all runs of a study."""
    shutil.rmtree(out, ignore_errors=True)
    return processor_seconds(checkout, "salmu_core", *words, "--output", out, threads=None)


def command(checkout: Checkout, words: list[str | Path], modules: Path | None = None) -> float:
    """A command; ``modules``: where to write down what it has imported."""
    if modules is None:
        return processor_seconds(checkout, "salmu_core", *words)
    return processor_seconds(checkout, TRACED, modules, "salmu", *words, module="-c")


def beyond_imports(what, asked, commands, at_most=None, whole=None) -> Iterator[Figure]:
    """What a command costs, and what of it is not imports."""
    importing = {}
    for name, one in asked.checkouts.items():
        modules = asked.work / f"modules-{name}.json"
        commands[name](modules=modules)
        assert "salmu_core.cli" in json.loads(modules.read_text(encoding="utf-8"))
        importing[f"imports {name}"] = partial(processor_seconds, one, IMPORTING, modules, module="-c")
    costs = in_turn({**commands, **importing}, 1 if asked.quick else 5)
    rest = [a - b for a, b in zip(costs["this"], costs["imports this"], strict=True)]
    yield spread(what, costs["this"], unit="s", at_most=whole)
    yield spread(f"{what}: beyond imports", rest, unit="s", at_most=at_most)
    if asked.against:
        yield ratio(what, "the same there", costs, ("this", "against"))
