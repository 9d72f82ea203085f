import numpy as np
import torch
from salmu_attacks import rounded as plugin

from salmu_core.testing import attack_context, check_attack

test_conformance = check_attack("rounded")


def by_rows(weight, levels):
    """Row by row, the nearest of the whole multiples of a step that reach to the largest size."""
    made = np.zeros_like(weight)
    for row, values in enumerate(weight.reshape(len(weight), -1)):
        step = np.abs(values).max() / levels
        made.reshape(len(weight), -1)[row] = np.rint(values / step) * step if step else 0
    return made


def test_each_stage_is_the_checkpoint_rounded_and_nothing_of_the_stage_before(tiny_benchmark):
    ctx = attack_context(plugin.ROUNDED, tiny_benchmark)
    start = {name: value.numpy() for name, value in ctx.reference.named_parameters()}
    seen = []
    for stage in plugin.attack(ctx):
        seen.append((stage.label, stage.step))
        for name, weight in ctx.model.named_parameters():
            old, new = start[name], weight.detach().numpy()
            if stage.label == "fp16":
                assert np.array_equal(new, old.astype(np.float16).astype(np.float32))
            elif old.ndim < 2:
                assert np.array_equal(new, old), name
            else:
                turned = name in ("text_projection", "visual.proj")
                expected = by_rows(old.T if turned else old, {"int8": 127, "int4": 7}[stage.label])
                assert np.allclose(new, expected.T if turned else expected, rtol=1e-5, atol=1e-7), name
    assert seen == [("fp16", 16), ("int8", 24), ("int4", 28)]


def test_four_bits_are_fifteen_levels_and_no_row_moves_by_more_than_half_of_one():
    weight = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    weight[2] = 0
    made = plugin.rounded(weight, 4)
    step = weight.flatten(1).abs().amax(1) / 7
    assert all(len(row.unique()) <= 15 for row in made) and bool((made[2] == 0).all())
    assert bool(((made - weight).flatten(1).abs().amax(1) <= step / 2 + 1e-6).all())
    assert torch.equal(made.flatten(1).abs().amax(1), weight.flatten(1).abs().amax(1))
