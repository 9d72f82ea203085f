"""A plan that a HyperQueue server carries out: two workers make the bytes that one command makes."""

import json
import os
import subprocess
import sys

import pytest
from stores import runs

pytestmark = pytest.mark.slow


def test_two_workers_make_what_one_machine_makes(salmu, tiny, tmp_path):
    hyperqueue = pytest.importorskip("hyperqueue", reason="pip install 'salmu-plan[hyperqueue]'")
    from hyperqueue.cluster import WorkerConfig

    study = ("finetuning", "--benchmark", tiny, "--seed", "0-2", "--set", "finetuning.batch_size=8", "--budget", "1")
    assert salmu("run", *study, "--output", "whole").returncode == 0
    own = ("--cards", "0", "--memory", "1", "--minutes", "1", "--processes", "1")
    planned = salmu("plan", *study, *own, "--as", "jsonl")
    assert len(planned.stdout.splitlines()) == 3
    # The `salmu` of a cluster's own environment, by its name.
    where = tmp_path / "bin"
    where.mkdir()
    (where / "salmu").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m salmu_core "$@"\n')
    (where / "salmu").chmod(0o755)
    place = {**os.environ, "PATH": f"{where}:{os.environ['PATH']}", "SALMU_CACHE": str(tmp_path / "cache")}
    with hyperqueue.LocalCluster(str(tmp_path / "server"), WorkerConfig(cores=1)) as cluster:
        cluster.start_worker(WorkerConfig(cores=1))
        words = [sys.executable, "-m", "salmu_plan.pack", "--server-dir", str(cluster.cluster.server_dir)]
        words.append("--no-memory")  # workers of a `LocalCluster` look for none
        packed = subprocess.run(
            words, input=planned.stdout, cwd=salmu.folder, env=place, capture_output=True, text=True, timeout=280
        )
    assert packed.returncode == 0, (packed.stderr, [p.read_text() for p in salmu.folder.glob("hq-*/*.stderr")])
    made, whole = (runs(salmu.folder / name) for name in ("runs", "whole"))
    assert [one.parts[-4:] for one in made] == [one.parts[-4:] for one in whole] and len(made) == 3
    for one, two in zip(made, whole, strict=True):
        for name in ("open_clip_model.safetensors", "per_row.parquet"):
            assert (one / name).read_bytes() == (two / name).read_bytes()
        metrics = [json.loads((run / "metrics.json").read_text())["metrics"] for run in (one, two)]
        assert len({json.dumps({n: m["values"] for n, m in each.items()}, sort_keys=True) for each in metrics}) == 1
    rest = salmu("plan", *study)
    assert "all 3 are finished" in rest.stdout
