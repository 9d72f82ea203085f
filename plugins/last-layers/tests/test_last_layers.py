import re

import numpy as np
import open_clip
import pytest
import salmu_last_layers as plugin
import torch

from salmu_core import MethodError
from salmu_core.testing import assert_uses_budget, check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("last-layers")


def names(architecture):
    """Of the weights of an open_clip model, without any memory for them."""
    with torch.device("meta"):
        model = open_clip.create_model(architecture, device="meta")
    return [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize("blocks", [1, 3])
def test_they_are_the_last_blocks_of_both_towers_and_what_follows(blocks):
    found = plugin.last(names("ViT-B-32"), blocks)
    expected = {"visual.proj", "text_projection"}
    expected |= {f"{norm}.{part}" for norm in ("visual.ln_post", "ln_final") for part in ("weight", "bias")}
    numbers = "|".join(str(n) for n in range(12 - blocks, 12))
    late = [n for n in names("ViT-B-32") if re.fullmatch(rf"(visual\.)?transformer\.resblocks\.({numbers})\..*", n)]
    assert found == expected | set(late) and len(late) == 2 * 12 * blocks


@pytest.mark.parametrize("variant", ["cf", "eu"])
def test_all_other_weights_keep_their_bytes(tiny_benchmark, variant):
    outcome, session = run_method(SPEC, tiny_benchmark, variant=variant, lr=1e-3, batch_size=4)
    assert outcome.status == "valid", outcome.reason
    before = dict(session.clip.model.named_parameters())
    chosen = plugin.last(before, 1)
    same = {name for name, weight in outcome.model.named_parameters() if torch.equal(weight, before[name])}
    assert not same & chosen and same == before.keys() - chosen
    assert {"token_embedding.weight", "visual.conv1.weight", "logit_scale"} <= same


def test_eu_forgets_what_the_blocks_were(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, variant="eu", lr=1e-12, batch_size=4)
    before = dict(session.clip.model.named_parameters())
    for name, weight in outcome.model.named_parameters():
        new, old = weight.detach().numpy().ravel(), before[name].detach().numpy().ravel()
        if name not in plugin.last(before, 1):
            continue
        if weight.ndim == 1:
            assert new == pytest.approx(float(name.endswith("weight")), abs=1e-6), name
            continue
        inputs = 64 if name.endswith("c_proj.weight") else 16  # of a hidden layer four times as wide
        assert np.std(new) == pytest.approx(inputs**-0.5, rel=0.2), name
        assert abs(np.corrcoef(new, old)[0, 1]) < 0.25, name


def test_cf_goes_on_from_what_they_are(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, lr=1e-9, batch_size=4)
    for a, b in zip(outcome.model.parameters(), session.clip.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_model_without_blocks_says_so():
    with pytest.raises(MethodError, match="not two towers of numbered blocks"):
        plugin.last(["visual.conv1.weight", "transformer.resblocks.0.ln_1.weight"], 1)


@pytest.mark.parametrize("variant", ["cf", "eu"])
def test_it_draws_retain_pairs_only(tiny_benchmark, variant):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"retain"}, variant=variant)
