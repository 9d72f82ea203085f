"""Models with BatchNorm: running statistics are weights, and move with their layer alone."""

import pytest
import torch

from salmu_core import MethodSpec
from salmu_core.clip.load import load_clip
from salmu_core.clip.save import save_checkpoint
from salmu_core.clip.weights import share_changed
from salmu_core.contract.config import TrainingConfig
from salmu_core.testing import run_method, write_tiny_benchmark
from salmu_core.testing.tiny import tiny_config, tiny_model


@pytest.fixture(scope="module")
def normalising(tmp_path_factory):
    """A benchmark of open_clip's RN50 kind, very small."""
    import open_clip

    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "patch_size": None}
    text = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    folder = write_tiny_benchmark(tmp_path_factory.mktemp("benchmark"))
    with torch.random.fork_rng():
        model = open_clip.model.CLIP(16, vision, text).eval()
    for role in ("clean", "compromised"):
        save_checkpoint(folder / role, model, config)
    return folder


def moved(folder, unlearn=None, **facts):
    """Which tensors a method moves; and the run."""
    spec = MethodSpec(
        name="some", summary="s", paper="https://example.org", unlearn=unlearn, config=TrainingConfig, **facts
    )
    outcome, session = run_method(spec, folder, batch_size=4)
    assert outcome.status in ("valid", "unchanged"), outcome.reason
    before, after = session.clip.model.state_dict(), outcome.model.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}, outcome


def similarity(ctx, step):
    return ctx.features(step.forget).pair_similarity.mean()


def only_gradients(ctx):
    gradients = ctx.gradients(similarity, on="forget")
    with ctx.edit() as weights:
        weights["text_projection"] -= 1e-3 * gradients["text_projection"]


def only_text(ctx):
    ctx.fit(similarity, steps=1, params=lambda name: name == "text_projection")


def only_text_with_a_look(ctx):
    def looked(ctx, step):
        ctx.probe()
        return similarity(ctx, step)

    ctx.fit(looked, steps=1, params=lambda name: name == "text_projection")


@pytest.mark.parametrize("method", [only_gradients, only_text, only_text_with_a_look])
def test_statistics_of_layers_that_are_not_trained_stay(normalising, method):
    names, outcome = moved(normalising, method)
    assert names == {"text_projection"} and outcome.status == "valid"


def test_statistics_of_layers_that_are_trained_move_and_count(normalising):
    def one_layer(ctx):
        ctx.fit(similarity, steps=1, params=lambda name: name.startswith("visual.bn1."))

    names, _ = moved(normalising, one_layer)
    assert {"visual.bn1.running_mean", "visual.bn1.running_var"} <= names
    assert all(name.startswith("visual.bn1.") for name in names)


def test_what_moved_in_buffers_is_a_change():
    original = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
    assert share_changed(model, original) == 0
    model[0].running_mean += 1
    assert share_changed(model, original) == 0.25


def test_a_temperature_outside_of_clips_range_is_where_it_came(tmp_path):
    """SigLIP's is above 100: a method that does nothing must not change it."""
    folder, model = write_tiny_benchmark(tmp_path / "b"), tiny_model(3)
    with torch.no_grad():
        model.logit_scale.fill_(4.7215)
    save_checkpoint(folder / "compromised", model, tiny_config())
    names, outcome = moved(folder, loss=lambda ctx, step: similarity(ctx, step) * 0.0)
    assert outcome.status == "unchanged" and not names
    names, outcome = moved(folder, loss=lambda ctx, step: -ctx.model.logit_scale * 99)  # it can fall, and not grow
    assert outcome.status == "unchanged"
    _, outcome = moved(folder, loss=lambda ctx, step: ctx.model.logit_scale * 99)
    assert float(outcome.model.logit_scale.detach()) < 4.7215
    assert float(load_clip(folder / "compromised").model.logit_scale.detach()) == pytest.approx(4.7215)
