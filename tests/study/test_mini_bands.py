"""The embedded benchmark behaves as promised, world after world, under the real metrics."""

from statistics import mean

import pytest
import torch

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.contract.layout import ROLES
from salmu_core.plugins.zoo import discover
from salmu_core.score.scorer import Scorer

WORLDS = (0, 4, 5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_reference_models_lie_in_their_bands():
    torch.set_num_threads(1)
    zoo, found = discover(), []
    for world in WORLDS:
        benchmark = open_benchmark(f"mini@{world}" if world else "mini", zoo, lambda *_: None)
        scorer = Scorer(benchmark, list(zoo.metrics.values()), torch.device("cpu"))
        found.append({role: scorer.compute(benchmark.model(role), "", lambda *_: None).record.values for role in ROLES})
    for values in found:
        clean, compromised = values["clean"], values["compromised"]
        for band in zoo.benchmarks["mini"].spec.bands:
            assert band.low <= values[band.model][band.figure] <= band.high, band
        assert clean["VisIdInt"] > compromised["VisIdInt"] and clean["FragSim"] > compromised["FragSim"]
    assert mean(abs(v["clean"]["GenKnow"] - v["compromised"]["GenKnow"]) for v in found) <= 0.02
