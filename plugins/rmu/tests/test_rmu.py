import numpy as np
import pytest
import salmu_rmu as plugin
import torch

from salmu_core import MethodError
from salmu_core.testing import assert_uses_budget, check_method, run_method, tiny_model
from salmu_core.train.seeding import generator

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("rmu")


class Pairs:
    """A batch of random images, and of captions of two lengths."""

    def __init__(self, model, seed):
        rng = torch.Generator().manual_seed(seed)
        size = model.visual.image_size
        self.image = torch.randn(3, 3, *(size if isinstance(size, tuple) else (size, size)), generator=rng)
        self.text = torch.randint(1, 90, (3, model.context_length), generator=rng)
        self.text[0, 5:] = 0
        self.text[1, 9:] = 0


def test_hidden_states_of_the_last_blocks_are_what_the_model_goes_on_from():
    """What follows the last block, written out, gives the model's own embeddings."""
    model = tiny_model()
    batch = Pairs(model, 1)
    with torch.no_grad():
        last = len(model.visual.transformer.resblocks) - 1
        states = plugin.hidden(model, "image", plugin.block(model, "image", last), batch.image).unflatten(0, (3, -1))
        pooled = model.visual.ln_post(states)[:, 0] @ model.visual.proj
        np.testing.assert_allclose(pooled, model.encode_image(batch.image, normalize=False), atol=1e-5)
        last = len(model.transformer.resblocks) - 1
        states = plugin.hidden(model, "text", plugin.block(model, "text", last), batch.text)
        assert states.shape[0] == 5 + 9 + model.context_length
        ends = [row[row != 0].argmax().item() for row in batch.text]
        starts = [0, 5, 14]
        chosen = states[[start + end for start, end in zip(starts, ends, strict=True)]]
        pooled = model.ln_final(chosen) @ model.text_projection
        np.testing.assert_allclose(pooled, model.encode_text(batch.text, normalize=False), atol=1e-5)


def test_hooks_are_gone_afterwards_also_where_a_tower_fails():
    model = tiny_model()
    name, batch = plugin.block(model, "image", None), Pairs(model, 1)
    plugin.hidden(model, "image", name, batch.image)
    batch.image = batch.image[:, :2]
    with pytest.raises(RuntimeError):
        plugin.hidden(model, "image", name, batch.image)
    assert not model.get_submodule(name)._forward_hooks


def test_blocks_are_counted_from_0_and_the_default_is_in_the_middle():
    model = tiny_model()
    count = len(model.visual.transformer.resblocks)
    assert plugin.block(model, "image", None) == f"visual.transformer.resblocks.{(count - 1) // 2}"
    assert plugin.block(model, "text", 0) == "transformer.resblocks.0"
    with pytest.raises(MethodError, match="the image tower has no such list of blocks"):
        plugin.block(model, "image", count)


@pytest.fixture
def caught(monkeypatch):
    """What is fitted, of the first step: the states that were looked at, in their order."""
    states = []

    def recorded(model, tower, name, batch, original=plugin.hidden):
        found = original(model, tower, name, batch)
        states.append((tower, found.detach().double().numpy()))
        return found

    monkeypatch.setattr(plugin, "hidden", recorded)
    return states


@pytest.mark.parametrize(("variant", "tower"), [("published", "both"), ("isotropic", "image"), ("published", "text")])
def test_terms_are_mean_squared_distances_from_the_goal_and_from_the_original(tiny_benchmark, caught, variant, tower):
    settings = {"variant": variant, "tower": tower, "steering": 3.0, "retention_weight": 0.5}
    outcome, _ = run_method(SPEC, tiny_benchmark, batch_size=4, budget=3, lr=1e-3, **settings)
    assert outcome.status == "valid", outcome.traceback
    rng, towers = generator("run", 0), ("image", "text") if tower == "both" else (tower,)
    goals = {}
    for name in towers:
        width = next(states for side, states in caught if side == name).shape[1]
        u = (torch.rand if variant == "published" else torch.randn)(width, generator=rng).double().numpy()
        goals[name] = 3 * u / np.sqrt((u * u).sum())
        assert (goals[name] > 0).all() == (variant == "published")
    steps = [caught[i : i + 3 * len(towers)] for i in range(0, len(caught), 3 * len(towers))]
    for number in (0, len(steps) - 1):
        for side in towers:
            forget, retain, before = (states for owner, states in steps[number] if owner == side)
            told = [outcome.scalars[f"{side} {term}"][number][1] for term in ("forgetting", "retention")]
            expected = [((forget - goals[side]) ** 2).mean(), 0.5 * ((retain - before) ** 2).mean()]
            assert told == pytest.approx(expected, rel=1e-5, abs=1e-9)
    terms = {name for name in outcome.scalars if " " in name}
    assert terms == {f"{side} {term}" for side in towers for term in ("forgetting", "retention")}


def test_only_weights_up_to_the_layer_move(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, batch_size=4, layer=0, tower="image")
    before = dict(session.clip.model.named_parameters())
    moved = {name for name, p in outcome.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all(name.startswith("visual.") for name in moved)
    blocks = {name.split(".")[3] for name in moved if ".resblocks." in name}
    assert blocks == {"0"} and "visual.proj" not in moved


def test_run(tiny_benchmark):
    outcome = assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"})
    for term in ("image forgetting", "text forgetting"):
        assert outcome.scalars[term][-1][1] < outcome.scalars[term][0][1]
