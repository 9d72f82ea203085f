"""A trial: one plugin examined in a process of its own, which tells what it finds line by line.

It writes as it goes, because a plugin may end the process or never return.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
import warnings
from importlib.metadata import EntryPoint, distributions

from salmu_core.contract.kinds import PROJECT
from salmu_core.contract.version import SalmuDeprecationWarning
from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.testing.conformance.journal import Journal
from salmu_core.testing.conformance.request import Request


def preload() -> None:
    """For a process that trials are forked from: import torch and make the benchmarks once for many of them."""
    import pyarrow.dataset  # noqa: F401 - each trial's first table would import it, and its first image look for codecs
    from PIL import Image

    from salmu_core.testing.conformance import attack_trial, method_trial, metric_trial
    from salmu_core.testing.tiny import tiny_files

    Image.init()
    trials = (method_trial, metric_trial, attack_trial)
    for people, hidden in dict.fromkeys(size for trial in trials for size in trial.BENCHMARKS.values()):
        tiny_files(0, people, 4, hidden)


def main(request: str) -> None:
    """Carry out a trial; ``request`` is a `Request` as JSON."""
    asked = Request.model_validate_json(request)
    journal = Journal(asked.journal)
    journal.at("loading it")
    work, home, temporary = (asked.scratch / name for name in ("work", "home", "tmp"))
    for folder in (work, home, temporary):
        folder.mkdir()
    os.environ.update(HOME=str(home), TMPDIR=str(temporary), SALMU_CACHE=str(asked.scratch / "cache"))
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # or scikit-learn asks `lscpu`
    tempfile.tempdir = str(temporary)
    os.chdir(work)
    sys.path[:] = asked.path
    sys.dont_write_bytecode = True
    said = os.open(asked.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream, target in enumerate((os.open(os.devnull, os.O_RDONLY), said, said)):
        os.dup2(target, stream)
    try:
        with warnings.catch_warnings(record=True) as dated:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", SalmuDeprecationWarning)
            _examine(asked, journal)
        journal.rule("current", str(dated[0].message) if dated else None, advice=True)
    except BaseException:
        journal.rule("loads", f"the trial itself failed: {traceback.format_exc()}")
    journal.end()


def _examine(asked: Request, journal: Journal) -> None:
    from salmu_core.testing.conformance import attack_trial, method_trial, metric_trial
    from salmu_core.testing.conformance.witness import Witness

    witness = Witness(asked.scratch / "tiny")
    with witness.watching():
        zoo = _load(asked)
    witness.forget_draws()
    if asked.kind == "method":
        method_trial.examine(zoo.methods[asked.name].spec, asked, journal, witness)
    elif asked.kind == "metric":
        metric_trial.examine(zoo.metrics[asked.name], asked, journal, witness)
    else:
        attack_trial.examine(zoo.attacks[asked.name].spec, asked, journal, witness)


def _load(asked: Request) -> Zoo:
    """The one plugin, and no other."""
    points: list[EntryPoint] = [
        point
        for dist in distributions(name=asked.distribution)
        for point in dist.entry_points
        if (point.name, point.value) == asked.entry_point and point.group == PROJECT
    ]
    return discover(points)
