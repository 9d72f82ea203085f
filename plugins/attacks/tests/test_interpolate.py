import numpy as np
from salmu_attacks import interpolate as plugin

from salmu_core.testing import attack_context, check_attack

test_conformance = check_attack("interpolate")


def test_every_weight_goes_so_far_to_the_original(tiny_benchmark):
    ctx = attack_context(plugin.INTERPOLATE, tiny_benchmark, "clean")
    start, end = ({n: v.numpy() for n, v in m.state_dict().items()} for m in (ctx.reference, ctx.original))
    steps = []
    for stage in plugin.attack(ctx):
        steps.append(stage.step)
        for name, weight in ctx.model.state_dict().items():
            expected = start[name] + stage.step * (end[name] - start[name])
            assert np.allclose(weight.numpy(), expected, rtol=0, atol=1e-6), (stage, name)
    assert steps == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
