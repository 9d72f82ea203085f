import re
from types import SimpleNamespace

import pytest
import torch
from salmu_attacks import reload as plugin

from salmu_core.testing import attack_context, check_attack, run_attack

test_conformance = check_attack("reload")


def test_each_stage_has_one_part_of_the_original_and_nothing_else(tiny_benchmark):
    ctx = attack_context(plugin.RELOAD, tiny_benchmark, "clean")
    names = set(ctx.model.state_dict())
    image = {name for name in names if name.startswith("visual.")}
    parts = {
        "text projection": {"text_projection"},
        "image projection": {"visual.proj"},
        "text tower": names - image - {"logit_scale"},
        "image tower": image,
    }
    seen = []
    for stage in plugin.attack(ctx):
        seen.append(stage)
        for name, weight in ctx.model.state_dict().items():
            source = ctx.original if name in parts[stage] else ctx.reference
            assert torch.equal(weight, source.state_dict()[name]), (stage, name)
    assert seen == list(parts) and ctx.model.token_embedding.weight.shape[0] > 1000


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("text.proj.weight", ["text projection", "text tower"]),
        ("text.text_projection.weight", ["text projection", "text tower"]),
        ("text.transformer.encoder.layer.0.output.dense.weight", ["text tower"]),
        ("transformer.resblocks.0.attn.out_proj.weight", ["text tower"]),
        ("visual.head.proj.weight", ["image projection", "image tower"]),
        ("visual.attnpool.c_proj.bias", ["image projection", "image tower"]),
        ("visual.trunk.blocks.0.attn.proj.weight", ["image tower"]),
        ("visual.layer1.0.bn1.running_mean", ["image tower"]),
        ("logit_scale", []),
        ("logit_bias", []),
    ],
)
def test_parts_of_every_class_of_clip(name, parts):
    assert [part for part, names in plugin.PARTS.items() if re.match(names, name)] == parts


def test_a_part_that_the_model_has_not_is_left_out():
    model = torch.nn.ModuleDict({"visual": torch.nn.Linear(2, 2)})
    absent = {}
    ctx = SimpleNamespace(model=model, reference=model, original=model, not_measured=absent.__setitem__)
    assert list(plugin.attack(ctx)) == ["image tower"]
    assert absent == dict.fromkeys(("text projection", "image projection", "text tower"), "the model has no such part")


def test_the_original_itself_has_everything_at_every_stage(tiny_benchmark):
    outcome = run_attack(plugin.RELOAD, tiny_benchmark)
    (values,) = {tuple(stage["values"].items()) for stage in outcome.details["stages"]}
    assert outcome.status == "valid" and dict(values) == outcome.values and outcome.ledger.weights_changed == 0
